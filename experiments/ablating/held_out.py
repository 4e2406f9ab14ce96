"""What a model is not trained on, and how it ranks it: shared by words and items."""

import numpy as np

from sgns_jax.types import SENTENCE_END, InputError


def split(
    tokens_T: np.ndarray, share: float = 0.01, piece: int = 1000
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts evenly spread pieces out of a text: the training text, the pieces.

    Pieces lie in the middle of equal parts of the text, so that they have its topics
    in its proportions; a part that is too short to give ``piece`` gives less. Windows
    see neither across a hole nor from one piece into the next: a sentence ends there.

    Args:
      tokens_T: (T,) int32 word ids, ``SENTENCE_END`` between sentences; may be a memory
        map.
      share: of the tokens that is cut out, below 1/2.
      piece: tokens of a piece, at most; 3 or more, so that each has a word.

    Returns:
      Two streams of the same form: what is left, and the pieces one after another.

    Raises:
      InputError: the share holds not even two tokens.
    """
    T = len(tokens_T)
    held = int(share * T)
    if held < 2:
        raise InputError(
            f"a text of {T} words is too short to hold {share:g} of it out; give at "
            f"least {int(np.ceil(2 / share))} words"
        )
    num_pieces = -(-held // piece)
    piece = held // num_pieces
    middles = (np.arange(num_pieces) + 0.5) * T / num_pieces
    cuts = [(start, start + piece) for start in (middles - piece / 2).astype(int)]
    borders = [0, *np.ravel(cuts), T]
    left = zip(borders[::2], borders[1::2], strict=True)
    return _joined(tokens_T, left), _joined(tokens_T, cuts)


def _joined(tokens_T, parts):
    """Parts of a stream with a sentence's end between them."""
    end = np.array([SENTENCE_END], np.int32)
    pieces = [x for start, stop in parts for x in (end, tokens_T[start:stop])]
    joined_T = np.concatenate(pieces)[1:]
    # A part may begin or end at the end of a sentence: never twice, first or last.
    is_end_T = joined_T == SENTENCE_END
    spare_T = is_end_T & np.concatenate([[True], is_end_T[:-1]])
    joined_T = joined_T[~spare_T]
    return joined_T[:-1] if joined_T[-1] == SENTENCE_END else joined_T


def ranks(true_P: np.ndarray, others_PC: np.ndarray, skip_PC: np.ndarray) -> np.ndarray:
    """The place of each true word among its candidates, 1 the best: (P,).

        1 + #(candidates with a greater score) + ½·#(candidates with an equal one)

    A tie counts half, its mean over orders: a model whose scores are all equal ranks
    in the middle, not first.

    Args:
      true_P: scores of P true words.
      others_PC: scores of the C candidates that each is ranked among.
      skip_PC: which of them are left out, because they are the true word itself.
    """
    true_P1 = true_P[:, None]
    above_PC = (others_PC > true_P1) & ~skip_PC
    equal_PC = (others_PC == true_P1) & ~skip_PC
    return 1 + above_PC.sum(axis=1) + equal_PC.sum(axis=1) / 2
