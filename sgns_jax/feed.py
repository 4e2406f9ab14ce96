"""The text handed to devices, a round at a time, and checked as it goes."""

import jax
import numpy as np
from jax import Array

from sgns_jax.config import Config
from sgns_jax.types import SENTENCE_END, InputError


def hand_over(
    config: Config,
    vocabulary_size: int,
    tokens: np.ndarray,
    start: int,
    size: int,
    segments: jax.ShapeDtypeStruct,
) -> Array:
    """The segments of a round, (R, T), where they are worked off.

    They follow each other in the text, ``size`` tokens each. Rows are longer where
    devices share them evenly.

    Args:
      config: the settings.
      vocabulary_size: V.
      tokens: the text; what this process's devices are given of it is read.
      start: where the round begins in it.
      size: tokens of a segment.
      segments: shape and place of the result.

    Raises:
      InputError: as for ``train.fit``.
    """

    def read(part: tuple[slice, slice]) -> np.ndarray:
        part_Lt = _read(tokens, start, size, segments.shape, part)
        _check_ids(part_Lt, vocabulary_size)
        if 0 < config.sentence_length <= config.window:  # else blocks are wide enough
            _check_sentences(part_Lt, config.sentence_length)
        return part_Lt

    return jax.make_array_from_callback(segments.shape, segments.sharding, read)


def _read(
    tokens: np.ndarray,
    start: int,
    size: int,
    shape: tuple[int, int],
    part: tuple[slice, slice],
) -> np.ndarray:
    """A part of a round's segments: the rows and columns that a device is given."""
    rows, columns = (range(n)[asked] for n, asked in zip(shape, part, strict=True))
    part_Lt = np.full((len(rows), len(columns)), SENTENCE_END, np.int32)
    for row, part_t in zip(rows, part_Lt, strict=True):
        first = start + row * size
        text = tokens[first + columns.start : first + min(columns.stop, size)]
        part_t[: len(text)] = text
    return part_Lt


def _check_ids(ids: np.ndarray, vocabulary_size: int) -> None:
    low, high = ids.min(), ids.max()
    if low < SENTENCE_END or high >= vocabulary_size:
        raise InputError(
            f"fit: tokens hold ids from {low} to {high}, the vocabulary has ids 0 to "
            f"{vocabulary_size - 1}; encode the corpus again with this vocabulary"
        )


def _check_sentences(ids: np.ndarray, most: int) -> None:
    ends = np.pad(ids == SENTENCE_END, ((0, 0), (1, 1)), constant_values=True)
    longest = np.diff(np.flatnonzero(ends)).max() - 1
    if longest > most:
        raise InputError(
            f"fit: tokens hold a sentence of {longest} words, the configuration says "
            f"sentence_length = {most}; encode the corpus with it"
        )
