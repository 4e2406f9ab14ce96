"""The vocabulary: which words are kept, and their ids."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sgns_jax.types import InputError, shown

#: Words that were counted. Large strings: more than 2 GiB of them may come together.
COUNTED = pa.schema({"word": pa.large_string(), "count": pa.int64()})


@dataclass(frozen=True)
class Vocabulary:
    """The words of a model, most frequent first; a word's id is its place here."""

    words: tuple[str, ...]  #: V distinct words without white space
    counts: np.ndarray  #: (V,) int64, how often each word occurs in the corpus

    def __len__(self) -> int:
        return len(self.words)


def build_vocabulary(
    counted: Iterable[pa.Table], min_count: int = 5, max_vocabulary: int = 0
) -> tuple[Vocabulary, int]:
    """Keeps the frequent words and puts them in order.

    Args:
        counted: tables with the columns of ``COUNTED``, in any order; no word is
            there twice. Memory holds one of them and the words kept so far.
        min_count: leave out words that occur less often.
        max_vocabulary: keep at most so many words, the most frequent; 0: no limit.

    Returns:
        The vocabulary by falling count, words of one count by code point; and how
        often words occur, added up, that occur less often than ``min_count``.

    Raises:
        InputError: fewer than two words are left.
    """
    kept = COUNTED.empty_table()
    largest = dropped = 0
    for part in counted:
        counts = part["count"].to_numpy()
        largest = max(largest, counts.max(initial=0))
        dropped += int(counts[counts < min_count].sum())
        part = part.filter(pc.greater_equal(part["count"], min_count))
        kept = pa.concat_tables([kept, part])
        if 0 < 2 * max_vocabulary < len(kept):
            kept = _most_frequent(kept, max_vocabulary)
    if not len(kept):
        raise InputError(
            f"no word occurs min_count = {min_count} times: the most frequent one "
            f"occurs {largest} times; give a lower min_count or more text"
        )
    kept = _most_frequent(kept, max_vocabulary)
    words = tuple(kept["word"].to_pylist())
    if len(words) == 1:
        raise InputError(
            f"the vocabulary is the single word {shown(words[0])}, the model needs two "
            "or more; give a lower min_count, a larger vocabulary or more text"
        )
    return Vocabulary(words, kept["count"].to_numpy()), dropped


def _most_frequent(counted: pa.Table, number: int) -> pa.Table:
    """The first words, or all if ``number`` is 0, in the vocabulary's order."""
    # The order of UTF-8 bytes, which Arrow compares, is that of code points.
    ordered = counted.sort_by([("count", "descending"), ("word", "ascending")])
    return ordered.slice(0, number or None)


def save_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    """Writes one line a word: word, tab, count."""
    with open(path, "wb") as file:  # bytes: no line-end translation
        for word, count in zip(vocabulary.words, vocabulary.counts, strict=True):
            file.write(f"{word}\t{count}\n".encode())


def load_vocabulary(path: Path) -> Vocabulary:
    """Reads what ``save_vocabulary`` wrote.

    Raises:
        InputError: the file is damaged.
    """
    words, counts = [], []
    try:
        with open(path, "rb") as file:
            for line in file:
                word, _, count = line.decode().partition("\t")  # no word holds a tab
                words.append(word)
                counts.append(int(count))
        vocabulary = Vocabulary(tuple(words), np.array(counts, np.int64))
    except (ValueError, OverflowError):
        raise InputError(f"{path}: line {len(words)} is no word, tab, count") from None
    if len(set(words)) < len(words) or min(counts, default=0) < 1:
        raise InputError(f"{path} is damaged: no word, one twice, or a count below 1")
    return vocabulary
