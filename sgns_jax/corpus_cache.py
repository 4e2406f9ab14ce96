"""The folder of an encoded corpus: found whole, or replaced whole."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sgns_jax.types import InputError

TOKENS, VOCABULARY, META = "tokens.int32", "vocabulary.tsv", "corpus.json"
_SCRATCH = ".encoding-"


class DamagedError(Exception):
    """A file of the cache is not what was written; the message names it."""


def read_cache(folder: Path, key: str) -> dict | None:
    """What ``write_meta`` was given, if the folder holds the corpus of this key.

    Raises:
        DamagedError: the folder holds it, or may hold it, and a file is damaged.
    """
    path = folder / META
    try:
        meta = json.loads(path.read_bytes())
        if meta.pop("sha256") != _sha256(meta):
            raise ValueError
    except FileNotFoundError:
        return None
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ):
        raise DamagedError(f"{path} is damaged or of another version") from None
    if meta["key"] != key:
        return None
    for name, digest in meta["files"].items():
        path = folder / name
        try:
            if _file_sha256(path) != digest:
                raise DamagedError(f"{path} is damaged")
        except OSError as error:
            raise DamagedError(f"{path} cannot be read: {error.strerror}") from None
    return meta["corpus"]


def write_meta(folder: Path, key: str, corpus: dict) -> None:
    """Completes a cache whose other files are written: key, checksums."""
    files = {name: _file_sha256(folder / name) for name in (TOKENS, VOCABULARY)}
    meta = {"key": key, "corpus": corpus, "files": files}
    meta["sha256"] = _sha256(meta)
    (folder / META).write_text(json.dumps(meta, indent=1))


def _sha256(meta: dict) -> str:
    return hashlib.sha256(json.dumps(meta).encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_meta(folder: Path) -> dict:
    """What ``write_meta`` wrote, with no check: another process has just done it."""
    return json.loads((folder / META).read_bytes())


def scratch(folder: Path, number: int) -> Path:
    """The folder that ``new_cache`` makes."""
    return folder / f"{_SCRATCH}{number}"


@contextmanager
def new_cache(folder: Path, number: int) -> Iterator[Path]:
    """A scratch folder whose files replace the cache's when the block succeeds.

    ``number`` tells it from those of others.

    Raises:
        InputError: files cannot be written; the old cache is as it was.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        new = scratch(folder, number)
        new.mkdir()
        try:
            with _locked(new):
                yield new
            # Without its last file a cache is none: killed here, we encode again.
            (folder / META).unlink(missing_ok=True)
            for name in (TOKENS, VOCABULARY, META):
                (new / name).replace(folder / name)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"cannot write to the cache folder {folder}: {error.strerror or error}; "
            "make room there and see that it may be written to, or give another one"
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Says that a process works here; the system forgets it when the process ends.

    Raises:
        BlockingIOError: one does already.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    """Removes what processes left that were killed while they encoded."""
    for scratch in folder.glob(_SCRATCH + "*"):
        try:
            with _locked(scratch):
                shutil.rmtree(scratch)
        except OSError:
            continue  # in use, or another process was faster
