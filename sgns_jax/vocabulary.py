"""The vocabulary: which words are kept, and their ids."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sgns_jax.types import InputError


@dataclass(frozen=True)
class Vocabulary:
    """The words of a model, most frequent first; a word's id is its place here."""

    words: tuple[str, ...]  #: V distinct words without white space
    counts: np.ndarray  #: (V,) int64, how often each word occurs in the corpus

    def __len__(self) -> int:
        return len(self.words)


def build_vocabulary(
    words: Iterable[str],
    counts: Iterable[int],
    min_count: int = 5,
    max_vocabulary: int = 0,
) -> Vocabulary:
    """Keeps the frequent words and puts them in order.

    Args:
        words: distinct words, in any order.
        counts: how often each occurs.
        min_count: leave out words that occur less often.
        max_vocabulary: keep at most so many words, the most frequent; 0: no limit.

    Returns:
        The vocabulary by falling count; words of one count by code point.

    Raises:
        InputError: fewer than two words are left.
    """
    pairs = list(zip(words, counts, strict=True))
    kept = [(word, count) for word, count in pairs if count >= min_count]
    if not kept:
        largest = max((count for _, count in pairs), default=0)
        raise InputError(
            f"no word occurs min_count = {min_count} times: the most frequent one "
            f"occurs {largest} times; give a lower --min_count or more text"
        )
    kept.sort(key=lambda pair: (-pair[1], pair[0]))
    kept = kept[: max_vocabulary or None]
    if len(kept) == 1:
        raise InputError(
            f"the vocabulary is the single word {kept[0][0]!r}, the model needs two "
            "or more; give a lower --min_count, a larger vocabulary or more text"
        )
    words, counts = zip(*kept, strict=True)
    return Vocabulary(words, np.array(counts, np.int64))


def save_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    """Writes one line a word: word, tab, count."""
    pairs = zip(vocabulary.words, vocabulary.counts.tolist(), strict=True)
    text = "".join(f"{word}\t{count}\n" for word, count in pairs)
    path.write_bytes(text.encode())  # bytes: no line-end translation


def load_vocabulary(path: Path) -> Vocabulary:
    """Reads what ``save_vocabulary`` wrote."""
    fields = path.read_bytes().decode().split()  # no word holds white space
    return Vocabulary(tuple(fields[::2]), np.array(fields[1::2], np.int64))
