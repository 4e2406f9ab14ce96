"""Text → vocabulary and int32 word ids on disk, piece by piece.

The text is read once: distinct words get provisional ids as they appear, written
to a temporary file; when all words are counted, these are mapped to the ids of the
vocabulary. A text with more distinct words than memory should hold is a row of
*generations*: each has its own provisional ids, and its words go to disk as it ends.
Memory holds one generation's words, the vocabulary, and a part of all words.
"""

import json
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sgns_jax.text import LINE_END, Tokens
from sgns_jax.types import SENTENCE_END
from sgns_jax.vocabulary import COUNTED, Vocabulary

#: Distinct words of a generation; in memory, about 200 bytes each.
MAX_WORDS = 4 << 20
_MEAN_LETTERS = 64  # fewer words if they are longer: lines of Chinese, encoded data
_PARTS = 64  # of a spilled generation; one part of all of them is in memory
_NO_WORDS = {LINE_END: 0, "": 1}
_DROPPED = -2
_RAW, _ABOUT = "raw.int32", "raw.json"
_THREADS = 2  # more would wait for the one that merges the words
_CHUNK_TOKENS = 1 << 20


class Generation(NamedTuple):
    """Tokens in a row whose provisional ids mean the same words."""

    tokens: range  #: their places in the text
    words: int  #: how many of them are words
    parts: list[pa.RecordBatch]  #: word, count, id; word w is in part hash(w) of all


class RawText(NamedTuple):
    """A text as provisional ids on disk: 0 a sentence end, 1 nothing, 2.. words."""

    path: Path  #: int32
    generations: list[Generation]
    bytes_read: int
    replaced_bytes: int


def write_raw_ids(
    pieces: Iterable[bytes],
    split: Callable[[bytes], Tokens],
    folder: Path,
    on_tokens: Callable[[Tokens], None],
) -> RawText:
    """Tokenizes a text on two threads and writes every token's provisional id.

    ``on_tokens`` is called with each piece's tokens, in the order of the pieces.
    """
    path = folder / _RAW
    ids = defaultdict(None, _NO_WORDS)
    ids.default_factory = ids.__len__  # a new word gets the next id, in C
    generations: list[Generation] = []
    start = letters = bytes_read = replaced_bytes = 0
    with open(path, "wb") as file:
        for tokens in _map_ahead(split, pieces):
            on_tokens(tokens)
            known = len(ids)
            table = np.fromiter(map(ids.__getitem__, tokens.words), np.int32)
            file.write(table[tokens.ids])
            bytes_read += tokens.bytes_read
            replaced_bytes += tokens.replaced_bytes
            letters += sum(map(len, islice(reversed(ids), len(ids) - known)))
            if len(ids) > MAX_WORDS or letters > MAX_WORDS * _MEAN_LETTERS:
                file.flush()
                full = _counted(ids, path, range(start, file.tell() // 4))
                generations.append(_spilled(full, folder))
                start, letters = full.tokens.stop, 0
                # Else the next generation's words lie beside what these left.
                pa.default_memory_pool().release_unused()
    last = _counted(ids, path, range(start, path.stat().st_size // 4))
    generations.append(_spilled(last, folder) if generations else last)
    return RawText(path, generations, bytes_read, replaced_bytes)


def _counted(ids: dict[str, int], path: Path, tokens: range) -> Generation:
    """The words of ``ids``, in one part; ``ids`` is left without any."""
    counts = np.zeros(len(ids), np.int64)
    for chunk in _chunks(path, tokens):
        np.add.at(counts, chunk, 1)
    words = pa.array(list(ids), pa.large_string())
    numbers = pa.array(np.arange(len(ids), dtype=np.int32))
    columns = {"word": words, "count": pa.array(counts), "id": numbers}
    words = pa.record_batch(columns).slice(len(_NO_WORDS))
    ids.clear()
    ids.update(_NO_WORDS)
    return Generation(tokens, int(counts[len(_NO_WORDS) :].sum()), [words])


def save_raw(raw: RawText, folder: Path) -> RawText:
    """Leaves on disk what another process needs to know of a text, for ``load_raw``."""
    generations = [
        part if len(part.parts) == _PARTS else _spilled(part, folder)
        for part in raw.generations
    ]
    about = {
        "generations": [
            (part.tokens.start, part.tokens.stop, part.words) for part in generations
        ],
        "bytes_read": raw.bytes_read,
        "replaced_bytes": raw.replaced_bytes,
    }
    (folder / _ABOUT).write_text(json.dumps(about))
    return raw._replace(generations=generations)


def load_raw(folder: Path) -> RawText:
    """The text whose process called ``save_raw``."""
    about = json.loads((folder / _ABOUT).read_text())
    generations = [
        Generation(range(start, stop), words, _spilled_parts(folder, start))
        for start, stop, words in about["generations"]
    ]
    counts = about["bytes_read"], about["replaced_bytes"]
    return RawText(folder / _RAW, generations, *counts)


def _spilled(generation: Generation, folder: Path) -> Generation:
    """The words in parts by their hash, in a file that is mapped, not read."""
    (words,) = generation.parts
    # Not Python's hash, which is another one in every process.
    hashes = map(zlib.crc32, words["word"].cast(pa.large_binary()).to_pylist())
    part = np.fromiter(hashes, np.int64, len(words)) % _PARTS
    words = words.take(pa.array(np.argsort(part, kind="stable")))
    ends = np.cumsum(np.bincount(part, minlength=_PARTS)).tolist()
    path = _spilled_path(folder, generation.tokens.start)
    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, words.schema) as writer:
        for start, end in pairwise([0, *ends]):
            writer.write_batch(words.slice(start, end - start))
    parts = _spilled_parts(folder, generation.tokens.start)
    return generation._replace(parts=parts)


def _spilled_path(folder: Path, start: int) -> str:
    return str(folder / f"words-{start}.arrow")


def _spilled_parts(folder: Path, start: int) -> list[pa.RecordBatch]:
    batches = pa.ipc.open_file(pa.memory_map(_spilled_path(folder, start)))
    return [batches.get_batch(number) for number in range(_PARTS)]


def count_words(raws: Iterable[RawText]) -> Iterator[pa.Table]:
    """Words and how often they occur in all texts, in tables that share no word.

    Of more than one generation all must have been spilled.
    """
    generations = (found.parts for raw in raws for found in raw.generations)
    for batches in zip(*generations, strict=True):
        counted = pa.Table.from_batches(batches).select(COUNTED.names)
        if len(batches) > 1:
            groups = counted.group_by("word", use_threads=False)
            counted = groups.aggregate([("count", "sum")]).rename_columns(COUNTED.names)
        yield counted


def write_ids(
    raw: RawText,
    vocabulary: Vocabulary,
    path: Path,
    sentence_length: int,
    on_progress: Callable[[int], None],
) -> tuple[int, int]:
    """Writes a text as ids of the vocabulary, with ``SENTENCE_END`` between sentences.

    Args:
        raw: the text.
        vocabulary: the words to keep; the others are left out.
        path: the file to write, int32.
        sentence_length: cut sentences into parts of so many words; 0: never.
        on_progress: called with the bytes of ``raw.path`` that are done.

    Returns:
        The number of sentences written, and the words of the longest.
    """
    sentences = longest = words = 0  # words written of the last sentence
    unfinished = 0  # words of the last sentence seen so far
    held = np.array([], np.int32)  # a sentence end waits here until a word follows it
    with open(path, "wb") as file:
        for ids in _kept_ids(raw, vocabulary, on_progress):
            if sentence_length:
                ids, unfinished = _cut(ids, sentence_length, unfinished)
            ids = np.concatenate([held, ids])
            is_end = ids == SENTENCE_END
            after_end = np.concatenate([[file.tell() == 0], is_end[:-1]])
            ids = ids[~(is_end & after_end)]
            last = len(ids) - (ids[-1:] == SENTENCE_END).sum()
            file.write(ids[:last])
            held = ids[last:]
            ends = np.flatnonzero(ids[:last] == SENTENCE_END)
            lengths = np.diff(ends, prepend=-1 - words, append=last) - 1
            longest, words = max(longest, int(lengths.max())), int(lengths[-1])
            sentences += len(ends)
        wrote = file.tell() > 0
    return sentences + wrote, longest


def _kept_ids(
    raw: RawText, vocabulary: Vocabulary, on_progress: Callable[[int], None]
) -> Iterator[np.ndarray]:
    """The kept words of a text and all its sentence ends, chunk by chunk."""
    done = 0
    kept = pa.array(vocabulary.words, pa.large_string())
    for tokens, _, parts in raw.generations:
        words = pa.Table.from_batches(parts)
        found = pc.index_in(words["word"], value_set=kept).fill_null(_DROPPED)
        new_ids = np.full(len(_NO_WORDS) + len(words), _DROPPED, np.int32)
        new_ids[_NO_WORDS[LINE_END]] = SENTENCE_END
        new_ids[words["id"].to_numpy()] = found.to_numpy()
        for chunk in _chunks(raw.path, tokens):
            ids = new_ids[chunk]
            yield ids[ids != _DROPPED]
            done += chunk.nbytes
            on_progress(done)


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


def _chunks(path: Path, tokens: range) -> Iterator[np.ndarray]:
    for at in tokens[::_CHUNK_TOKENS]:
        count = min(_CHUNK_TOKENS, tokens.stop - at)
        yield np.fromfile(path, np.int32, count, offset=4 * at)


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
