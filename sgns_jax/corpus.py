"""Encoded corpora: word ids on disk, memory-mapped, encoded once and kept."""

import codecs
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
import pyarrow as pa

from sgns_jax import corpus_cache, parts
from sgns_jax.builtin_corpora import BUILT_IN, is_built_in
from sgns_jax.config import Config
from sgns_jax.files import source_files
from sgns_jax.text import STDIN, check_files
from sgns_jax.types import InputError
from sgns_jax.vocabulary import Vocabulary, load_vocabulary

_FORMAT = 4  # counts up when the meaning of the cached files changes


class TextSettings(TypedDict, total=False):
    """What decides how a text becomes ids; defaults are those of ``Config``."""

    encoding: str  #: the text's codec
    min_count: int  #: leave out words that occur less often
    max_vocabulary: int  #: keep at most so many words; 0: no limit
    tokenizer: str  #: "whitespace", "letters" or "tabs", see ``text.tokenize``
    lowercase: bool  #: put words in lower case
    sentence_length: int  #: cut sentences after so many kept words; 0: never


SETTINGS = tuple(TextSettings.__annotations__)


@dataclass(frozen=True)
class Corpus:
    """An encoded corpus.

    Words outside the vocabulary are left out, as word2vec does, so that windows
    close over them. ``SENTENCE_END`` stands between sentences only: never first,
    never last, never twice in a row.
    """

    tokens: np.memmap  #: (T,) int32, word ids 0..V-1 and SENTENCE_END
    vocabulary: Vocabulary
    raw_words: int  #: words read: those kept and those dropped
    kept_words: int  #: words in ``tokens``
    dropped_by_min_count: int  #: words read that occur less often than ``min_count``
    dropped_by_max_vocabulary: int  #: the others that are not in ``tokens``
    sentences: int  #: sentences in ``tokens``
    longest_sentence: int  #: words of the longest; 1: there is no pair to train on
    bytes_read: int  #: bytes of the text in UTF-8, with one line end for each file
    replaced_bytes: int  #: how many U+FFFD stand for what could not be decoded
    fingerprint: str  #: hash of the text and the settings above


def load_corpus(
    source: str | Config,
    cache_dir: str | Path,
    *,
    on_progress: Callable[[int, int | None], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
    team: parts.Team = parts.ALONE,
    **settings: Unpack[TextSettings],
) -> Corpus:
    """Encodes a corpus, or opens it where the same text was encoded before.

    Args:
        source: a built-in corpus ("pydoc", "text8"), or what ``text.open_source``
            reads; or a Config, which holds the source and the settings. Standard
            input ("-") can be read but once: if the folder holds a corpus encoded
            from it with these settings, that one is opened.
        cache_dir: folder for the encoded corpus; it holds one at a time.
        settings: those of ``TextSettings``, beside a source that is no Config.
        on_progress: called with the bytes read so far and the bytes in all (None
            where they are unknown: packed files, standard input); then again from
            the begin with those of the ids.
        on_warning: called with one line where a file has the name of a built-in
            corpus, where the lines of a text are JSON objects, and where a cache is
            damaged, before the text is encoded again. What is opened is checked
            against its checksums.
        team: the processes that call this together, each for its share of the files.

    Returns:
        The corpus. Its tokens stay on disk.

    Raises:
        InputError: the source cannot be read, is no text, changes meanwhile or holds
            too few words, a setting is out of its range, or the folder cannot be
            written; the folder is then as it was.
    """
    source, settings = _settings(source, settings)
    warn = on_warning or (lambda line: None)
    if source in BUILT_IN and not is_built_in(source):
        warn(
            f"{source!r} is a file or folder here, and that is read; the built-in text "
            "of this name is read where there is none"
        )
    source, files = _files(source, on_progress, team)
    folder, key = Path(cache_dir).expanduser(), _key(files, settings)
    try:
        fields = corpus_cache.read_cache(folder, key) if team.index == 0 else None
    except corpus_cache.DamagedError as damage:
        if source == STDIN:
            raise InputError(
                f"{damage}, and what came from standard input is gone; remove "
                f"{folder} and give the text again"
            ) from None
        warn(f"{damage}; encoding the text again")
        fields = None
    team.wait("looked up")  # reading all of it again may take the first a while
    if not team.first_says(fields is not None):
        _refuse_cache_in_source(folder, source)
        tell = on_progress or (lambda done, total: None)
        mine = parts.share(files, team)
        total = check_files(mine, settings["encoding"]) if mine else None
        with _scratch(folder, team) as new, _unchanged(source, files):
            team.wait("begun")
            text = source, files, settings
            fields = parts.encode(*text, new, team, tell, warn, total)
            if team.index == 0:
                corpus_cache.write_meta(new, key, fields)
        team.wait("encoded")
        pa.default_memory_pool().release_unused()  # what words took, tables may need
    return _open(folder, corpus_cache.read_meta(folder)["corpus"])


def find_corpus(
    source: str | Config, cache_dir: str | Path, **settings: Unpack[TextSettings]
) -> Corpus | None:
    """What ``load_corpus`` would open without reading the text; None if it would.

    Args:
        source, cache_dir, settings: as for ``load_corpus``.

    Raises:
        InputError: the source cannot be read.
    """
    folder = Path(cache_dir).expanduser()
    source, settings = _settings(source, settings)
    key = _key(_files(source)[1], settings)
    try:
        fields = corpus_cache.read_cache(folder, key)
    except corpus_cache.DamagedError:
        return None
    return _open(folder, fields) if fields else None


def _settings(source: str | Config, given: dict) -> tuple[str, dict]:
    """The source itself, and the value of each of ``SETTINGS``."""
    if unknown := given.keys() - set(SETTINGS):
        raise TypeError(f"{', '.join(unknown)}: not among {', '.join(SETTINGS)}")
    if isinstance(source, Config) and given:
        raise InputError(
            f"{', '.join(given)} given beside a Config, which says how its text is "
            "encoded; set it there: dataclasses.replace(config, ...)"
        )
    config = source if isinstance(source, Config) else Config(str(source), **given)
    settings = {name: getattr(config, name) for name in SETTINGS}
    # By whatever name it is called.
    settings["encoding"] = codecs.lookup(config.encoding).name
    return config.corpus, settings


@contextmanager
def _scratch(folder: Path, team: parts.Team) -> Iterator[Path]:
    """A folder for new files, which the first process makes and puts in place."""
    number = team.first_says(random.SystemRandom().getrandbits(30))
    if team.index:
        yield corpus_cache.scratch(folder, number)
        return
    with corpus_cache.new_cache(folder, number) as new:
        yield new


def _open(folder: Path, fields: dict) -> Corpus:
    return Corpus(
        tokens=np.memmap(folder / corpus_cache.TOKENS, np.int32, mode="r"),
        vocabulary=load_vocabulary(folder / corpus_cache.VOCABULARY),
        **fields,
    )


def _files(
    source: str, on_progress=None, team: parts.Team = parts.ALONE
) -> tuple[str, list[Path]]:
    """The source as a path, made if it is built in, and its files."""
    if is_built_in(source):
        if team.index:
            team.wait("made")  # by the first: two would write the same file
        source = str(BUILT_IN[source](on_progress))
        if not team.index:
            team.wait("made")
    return source, [] if source == STDIN else source_files(source)


def _key(files: list[Path], settings: dict) -> str:
    identity = json.dumps([_FORMAT, settings, _stats(files)])
    return hashlib.sha256(identity.encode()).hexdigest()


def _refuse_cache_in_source(folder: Path, source: str) -> None:
    root = Path(source).expanduser()
    if root.is_dir() and folder.resolve().is_relative_to(root.resolve()):
        raise InputError(
            f"cache folder {folder} lies inside the corpus {source} and would be "
            "read as text; give another folder"
        )


def _stats(files: list[Path]) -> list[tuple[str, int, int]]:
    """Tells files by what costs no reading: names, sizes and times."""
    try:
        stats = [(file.name, file.stat()) for file in files]
    except OSError as error:
        raise InputError(
            f"cannot read {error.filename}: {error.strerror}; is the text being moved?"
        ) from None
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


@contextmanager
def _unchanged(source: str, files: list[Path]) -> Iterator[None]:
    """Refuses a text if its files change while the block reads them."""
    files = [file for file in files if file.is_file()]  # a pipe changes as it is read
    before = _stats(files)
    yield
    if files and _stats(source_files(source)) != before:
        raise InputError(
            f"corpus {source!r} changed while it was read; run this again when "
            "nothing writes to it"
        )
