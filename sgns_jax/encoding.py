"""Text → vocabulary and int32 word ids on disk, piece by piece.

The text is read once: distinct words get provisional ids as they appear, written
to a temporary file; when all words are counted, NumPy maps those to the ids of
the vocabulary. Memory grows with the number of distinct words, not with the text.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sgns_jax.text import LINE_END, Tokens
from sgns_jax.types import SENTENCE_END
from sgns_jax.vocabulary import Vocabulary

_DROPPED = -2
_THREADS = 2  # more would wait for the one that merges the words
_CHUNK_TOKENS = 1 << 20


class RawIds(NamedTuple):
    """A text as provisional ids on disk: 0 a sentence end, 1 nothing, 2.. words."""

    path: Path  #: int32
    words: list[str]  #: the distinct words by first appearance; word i has id i + 2
    counts: np.ndarray  #: (words,) int64, how often each occurs
    bytes_read: int
    replaced_bytes: int


def write_raw_ids(
    pieces: Iterable[bytes],
    split: Callable[[bytes], Tokens],
    path: Path,
    on_progress: Callable[[int], None],
) -> RawIds:
    """Tokenizes a text on two threads and writes every token's provisional id."""
    ids = defaultdict(None, {LINE_END: 0, "": 1})
    ids.default_factory = ids.__len__  # a new word gets the next id, in C
    bytes_read = replaced_bytes = 0
    with open(path, "wb") as file:
        for tokens in _map_ahead(split, pieces):
            table = np.fromiter(map(ids.__getitem__, tokens.words), np.int32)
            table[tokens.ids].tofile(file)
            bytes_read += tokens.bytes_read
            replaced_bytes += tokens.replaced_bytes
            on_progress(bytes_read)
    counts = sum(np.bincount(chunk, minlength=len(ids)) for chunk in _chunks(path))
    return RawIds(path, list(ids)[2:], counts[2:], bytes_read, replaced_bytes)


def write_ids(
    raw: RawIds, vocabulary: Vocabulary, path: Path, sentence_length: int = 0
) -> int:
    """Writes a text as ids of the vocabulary, with ``SENTENCE_END`` between sentences.

    Args:
        raw: the text.
        vocabulary: the words to keep; the others are left out.
        path: the file to write, int32.
        sentence_length: cut sentences into parts of so many words; 0: never.

    Returns:
        The number of sentences written.
    """
    position = {word: id for id, word in enumerate(vocabulary.words)}
    table = [SENTENCE_END, _DROPPED]
    table += [position.get(word, _DROPPED) for word in raw.words]
    new_ids = np.array(table, np.int32)

    sentences = 0
    unfinished = 0  # words of the last sentence seen so far
    held = new_ids[:0]  # a sentence end waits here until a word follows it
    with open(path, "wb") as file:
        for chunk in _chunks(raw.path):
            ids = new_ids[chunk]
            ids = ids[ids != _DROPPED]
            if sentence_length:
                ids, unfinished = _cut(ids, sentence_length, unfinished)
            ids = np.concatenate([held, ids])
            is_end = ids == SENTENCE_END
            after_end = np.concatenate([[file.tell() == 0], is_end[:-1]])
            ids = ids[~(is_end & after_end)]
            last = len(ids) - (ids[-1:] == SENTENCE_END).sum()
            ids[:last].tofile(file)
            held = ids[last:]
            sentences += np.count_nonzero(ids[:last] == SENTENCE_END)
    return int(sentences) + 1


def _cut(ids: np.ndarray, length: int, unfinished: int) -> tuple[np.ndarray, int]:
    """Puts a sentence end before every ``length``-th word of a sentence, and the first.

    ``unfinished`` words of the first sentence came before; returns the ids and how
    many words of the last sentence came so far.
    """
    index = np.arange(len(ids))
    is_word = ids != SENTENCE_END
    last_end = np.maximum.accumulate(np.where(is_word, -1 - unfinished, index))
    before = index - last_end - 1  # words of this sentence before this one
    cuts = np.flatnonzero(is_word & (before % length == 0))
    left = len(ids) - 1 - int(last_end[-1]) if len(ids) else unfinished
    return np.insert(ids, cuts, SENTENCE_END), left


def _chunks(path: Path) -> Iterator[np.ndarray]:
    with open(path, "rb") as file:
        while (chunk := np.fromfile(file, np.int32, _CHUNK_TOKENS)).size:
            yield chunk


def _map_ahead(
    function: Callable[[bytes], Tokens], pieces: Iterable[bytes]
) -> Iterator[Tokens]:
    """``map`` on threads, in order, that reads no further ahead than it must."""
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = deque()
        for piece in pieces:
            waiting.append(pool.submit(function, piece))
            if len(waiting) > _THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
