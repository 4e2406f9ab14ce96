"""Encoded corpora: word ids on disk, memory-mapped, encoded once and kept."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from sgns_jax import encoding
from sgns_jax.builtin_corpora import BUILT_IN
from sgns_jax.text import STDIN, open_source, source_files, text_bytes, tokenize
from sgns_jax.types import InputError
from sgns_jax.vocabulary import (
    Vocabulary,
    build_vocabulary,
    load_vocabulary,
    save_vocabulary,
)

_FORMAT = 1  # counts up when the meaning of these files changes
_TOKENS, _VOCABULARY, _META = "tokens.int32", "vocabulary.tsv", "corpus.json"
_RAW = "raw.int32"


@dataclass(frozen=True)
class Corpus:
    """An encoded corpus.

    Words outside the vocabulary are left out, as word2vec does, so that windows
    close over them. ``SENTENCE_END`` stands between sentences only: never first,
    never last, never twice in a row.
    """

    tokens: np.memmap  #: (T,) int32, word ids 0..V-1 and SENTENCE_END
    vocabulary: Vocabulary
    raw_words: int  #: words read
    kept_words: int  #: words in ``tokens``
    sentences: int  #: sentences in ``tokens``
    bytes_read: int  #: bytes of unpacked text, with one line end for each file
    replaced_bytes: int  #: how many U+FFFD stand for bytes that are not UTF-8
    fingerprint: str  #: hash of the text and the settings above


def load_corpus(
    source: str,
    cache_dir: str | Path,
    *,
    min_count: int = 5,
    max_vocabulary: int = 0,
    tokenizer: str = "whitespace",
    lowercase: bool = False,
    sentence_length: int = 0,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> Corpus:
    """Encodes a corpus, or opens it where the same text was encoded before.

    Args:
        source: a built-in corpus ("pydoc", "text8"), or what ``text.open_source``
            reads. Standard input ("-") can be read but once: if the folder holds
            a corpus encoded from it with these settings, that one is opened.
        cache_dir: folder for the encoded corpus; it holds one at a time.
        min_count: leave out words that occur less often.
        max_vocabulary: keep at most so many words; 0: no limit.
        tokenizer: "whitespace" or "letters", see ``text.tokenize``.
        lowercase: put words in lower case.
        sentence_length: cut sentences into parts of so many kept words; 0: never.
        on_progress: called with the bytes read so far and the bytes in all (None
            where they are unknown: packed files, standard input).

    Returns:
        The corpus. Its tokens stay on disk.

    Raises:
        InputError: the source cannot be read or holds too few words, or the
            folder cannot be written.
    """
    if source in BUILT_IN:
        source = str(BUILT_IN[source](on_progress))
    folder = Path(cache_dir).expanduser()
    files = [] if source == STDIN else source_files(source)
    settings = {
        "min_count": min_count,
        "max_vocabulary": max_vocabulary,
        "tokenizer": tokenizer,
        "lowercase": lowercase,
        "sentence_length": sentence_length,
    }
    key = _key(files, settings)
    if not _is_cached(folder, key):
        root = Path(source).expanduser()
        if root.is_dir() and folder.resolve().is_relative_to(root.resolve()):
            raise InputError(
                f"cache folder {folder} lies inside the corpus {source} and would be "
                "read as text; give another folder"
            )
        total = text_bytes(files) if files else None
        with _new_cache(folder) as new:
            corpus = _encode(
                source,
                settings,
                new,
                lambda done: on_progress and on_progress(done, total),
            )
            meta = {"key": key, "settings": settings, "corpus": corpus}
            (new / _META).write_text(json.dumps(meta, indent=1))
    return Corpus(
        tokens=np.memmap(folder / _TOKENS, np.int32, mode="r"),
        vocabulary=load_vocabulary(folder / _VOCABULARY),
        **json.loads((folder / _META).read_text())["corpus"],
    )


def _key(files: list[Path], settings: dict) -> str:
    """Tells a source by what costs no reading: names, sizes and times of its files."""
    stats = [(file.name, file.stat()) for file in files]
    identity = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    text = json.dumps([_FORMAT, settings, identity])
    return hashlib.sha256(text.encode()).hexdigest()


def _is_cached(folder: Path, key: str) -> bool:
    try:
        meta = json.loads((folder / _META).read_text())
        tokens = meta["corpus"]["kept_words"] + meta["corpus"]["sentences"] - 1
        return (
            meta["key"] == key
            and (folder / _TOKENS).stat().st_size == 4 * tokens
            and (folder / _VOCABULARY).exists()
        )
    except (OSError, ValueError, KeyError):
        return False


def _encode(
    source: str, settings: dict, folder: Path, on_progress: Callable[[int], None]
) -> dict[str, int | str]:
    """Writes tokens and vocabulary; returns the corpus's other fields."""
    digest = hashlib.sha256(json.dumps(settings).encode())
    raw = encoding.write_raw_ids(
        _hashed(open_source(source), digest),
        partial(
            tokenize,
            tokenizer=settings["tokenizer"],
            lowercase=settings["lowercase"],
        ),
        folder / _RAW,
        on_progress,
    )
    if not raw.words:
        raise InputError(
            f"corpus {source!r} holds no words; give text, or another tokenizer"
        )
    vocabulary = build_vocabulary(
        raw.words,
        raw.counts.tolist(),
        settings["min_count"],
        settings["max_vocabulary"],
    )
    save_vocabulary(vocabulary, folder / _VOCABULARY)
    sentences = encoding.write_ids(
        raw, vocabulary, folder / _TOKENS, settings["sentence_length"]
    )
    return {
        "raw_words": int(raw.counts.sum()),
        "kept_words": int(vocabulary.counts.sum()),
        "sentences": sentences,
        "bytes_read": raw.bytes_read,
        "replaced_bytes": raw.replaced_bytes,
        "fingerprint": digest.hexdigest()[:32],
    }


def _hashed(pieces: Iterable[bytes], digest) -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece


@contextmanager
def _new_cache(folder: Path) -> Iterator[Path]:
    """A scratch folder whose files replace the cache's when the block succeeds."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=folder, prefix=".encoding-")
    except OSError as error:
        raise InputError(
            f"cannot write to the cache folder {folder}: {error}; give another one"
        ) from error
    with scratch:
        yield Path(scratch.name)
        # Without its last file a cache is none: killed here, we encode again.
        (folder / _META).unlink(missing_ok=True)
        for name in (_TOKENS, _VOCABULARY, _META):
            Path(scratch.name, name).replace(folder / name)
