"""A text of any size with the law of natural ones, made faster than it can be read.

Words are drawn one by one from a law of Zipf and Mandelbrot with a heavy tail,

    P(rank >= r) ∝ (r + 3.2)^−0.1 − (N + 3.2)^−0.1        r = 0, 1, ..., N − 1

the integral of (x + 3.2)^−1.1, which fits English Wikipedia. Of N = 30 million words
20 GB hold nearly all. A word is its rank in base 100, a syllable a digit: ba is 0, be
is 1, zu is 99, beba is 100.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from sgns_jax.vector_files import replacing

WORDS = 30_000_000  #: N
SHIFT, TAIL = 3.2, 0.1
LINE_WORDS = 20
_PIECE_WORDS = LINE_WORDS << 15  # arrays of more leave the cache
_SYLLABLES = [c + v for c in "bcdfghjklmnpqrstvwxz" for v in "aeiou"]


def _numerals(first: list[str]) -> np.ndarray:
    """(10000,) uint32: four letters, the first syllable as given; no letter is 0."""
    pairs = "".join((a + b).rjust(4, "\0") for a in first for b in _SYLLABLES)
    return np.frombuffer(pairs.encode(), np.uint32)


# The last two digits of a number, with and without zeros in front of them.
_SHORT, _FULL = _numerals(["", *_SYLLABLES[1:]]), _numerals(_SYLLABLES)
_LOW = np.concatenate([_SHORT, _FULL])
_HIGH = np.concatenate([[np.uint32(0)], _SHORT[1:]])  # no digits, where all are zeros
_WORD = np.dtype([("high", np.uint32), ("low", np.uint32), ("end", np.uint8)])


def spell(ranks: np.ndarray) -> bytes:
    """The words of some ranks below 10^8, 20 a line."""
    high, low = np.divmod(ranks, 10_000)
    words = np.empty(len(ranks), _WORD)
    words["high"] = _HIGH[high]
    words["low"] = _LOW[low + 10_000 * (high > 0)]
    words["end"] = ord(" ")
    words["end"][LINE_WORDS - 1 :: LINE_WORDS] = ord("\n")
    return words.tobytes().translate(None, b"\0")


def draw(rng: np.random.Generator, size: int, number: int = WORDS) -> np.ndarray:
    """(size,) ranks below ``number``: the law's distribution function, inverted."""
    low, high = SHIFT**-TAIL, (number + SHIFT) ** -TAIL
    x = (low - rng.random(size) * (low - high)) ** (-1 / TAIL) - SHIFT
    return np.clip(x, 0, number - 1).astype(np.int32)  # rounding may leave the range


def pieces(seed: int, number: int = WORDS) -> Iterator[bytes]:
    """An endless text, in pieces of whole lines."""
    rng = np.random.default_rng(seed)
    while True:
        yield spell(draw(rng, _PIECE_WORDS, number))


def write(
    path: Path,
    num_bytes: int,
    seed: int,
    on_progress: Callable[[int], None] = lambda written: None,
) -> None:
    """Writes the first bytes of the text of a seed, to the end of their last line."""
    written = 0
    with replacing(path) as file:
        for piece in pieces(seed):
            if written + len(piece) > num_bytes:
                piece = piece[: piece.index(b"\n", num_bytes - written - 1) + 1]
            file.write(piece)
            written += len(piece)
            on_progress(written)
            if written >= num_bytes:
                return
