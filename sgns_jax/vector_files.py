"""The file formats of word vectors: word2vec's text and binary, and ``.npz``.

gensim and fastText read and write the first two as well. In them only a space and a
line end separate; other white space, such as a no-break space, is part of a word.
"""

import io
import lzma
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sgns_jax.formats import HEAD_BYTES, format_of
from sgns_jax.types import InputError
from sgns_jax.vector_readers import BLOCK, Input, read_binary, read_text

_CHUNK = 1 << 20  # numbers converted to text at once: bounds the memory
_FASTTEXT = (793712314).to_bytes(4, "little")  # its src/fasttext.cc begins a file so
_PACKED_ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".lz4")
_HEADER_BYTES = 1000  # of an array in .npz; np.savez writes 128
# Bytes that one byte of an archive can stand for: deflate has 258 in two bits.
_UNPACKED = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: 1032}


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is whole."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_text(file: BinaryIO, words: list[bytes], matrix: np.ndarray) -> None:
    rows, columns = matrix.shape
    file.write(b"%d %d\n" % (rows, columns))
    step = max(1, _CHUNK // columns)
    for start in range(0, rows, step):
        part = matrix[start : start + step]
        numbers = pc.cast(pa.array(part.ravel()), pa.string())
        ends = np.arange(0, part.size + 1, columns, dtype=np.int32)
        lines = pc.binary_join(pa.ListArray.from_arrays(ends, numbers), " ").to_pylist()
        for word, line in zip(words[start : start + step], lines, strict=True):
            file.write(b"%s %s\n" % (word, line.encode()))


def _write_binary(file: BinaryIO, words: list[bytes], matrix: np.ndarray) -> None:
    file.write(b"%d %d\n" % matrix.shape)
    for word, row in zip(words, matrix.astype("<f4", copy=False), strict=True):
        file.write(b"%s %s\n" % (word, row.tobytes()))


def _write_npz(file: BinaryIO, words: list[bytes], matrix: np.ndarray) -> None:
    np.savez(file, words=np.frombuffer(b"\n".join(words), np.uint8), matrix=matrix)


def _read_npz(source: Input) -> tuple[list[bytes], np.ndarray]:
    try:
        with zipfile.ZipFile(source.file) as archive:
            words, matrix = (_read_array(archive, name) for name in ("words", "matrix"))
    except MemoryError:
        raise
    except Exception as error:  # a damaged archive raises any of a dozen types
        raise InputError(
            "needs to be an .npz file with the arrays words and matrix"
        ) from error
    return words.tobytes().split(b"\n")[: source.limit], matrix[: source.limit]


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array of numbers, once its header promises no more than the file can hold.

    NumPy by itself allocates whatever the header promises.
    """
    member = archive.getinfo(f"{name}.npy")
    size = min(member.compress_size, os.fstat(archive.fp.fileno()).st_size)
    can_hold = size * _UNPACKED[member.compress_type]
    with archive.open(member) as data:
        version = np.lib.format.read_magic(data)
        shape, _, dtype = np.lib.format.read_array_header_1_0(data, _HEADER_BYTES)
    length = math.prod(map(abs, shape)) * dtype.itemsize
    if version != (1, 0) or dtype.kind not in "biuf" or length > can_hold:
        raise ValueError(f"{name} is not what np.savez writes of numbers")
    with archive.open(member) as data:
        return np.lib.format.read_array(data, max_header_size=_HEADER_BYTES)


class FileFormat(NamedTuple):
    """How a format is written and read; words are bytes here."""

    endings: tuple[str, ...]
    splits_at_space: bool  #: a word cannot hold a space
    write: Callable[[BinaryIO, list[bytes], np.ndarray], None]
    read: Callable[[Input], tuple[list[bytes], np.ndarray]]


_FORMATS = {
    "text": FileFormat((".txt", ".vec"), True, _write_text, read_text),
    "binary": FileFormat((".bin",), True, _write_binary, read_binary),
    "npz": FileFormat((".npz",), False, _write_npz, _read_npz),
}


def read_vectors(
    path: Path, name: str | None, limit: int | None
) -> tuple[list[bytes], np.ndarray]:
    """The words and vectors of a file, which may be packed.

    Raises:
      InputError: no such file, of no format, damaged, or a limit below 1.
    """
    packed = path.suffix.lower() in _PACKED_ENDINGS
    kind = file_format(path.with_suffix("") if packed else path, name)
    if limit is not None and limit < 1:
        raise InputError(f"limit must be 1 or more, or None for all, got {limit}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with open(path, "rb") as file:
        try:
            return kind.read(_open(file, kind, limit))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from None


def _open(file: BinaryIO, kind: FileFormat, limit: int | None) -> Input:
    """What the first bytes say is packed is unpacked, whatever the file's name."""
    head = file.read(HEAD_BYTES)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if head.startswith(_FASTTEXT):
        raise InputError(
            "is a model in fastText's own format; give the .vec file that is written "
            "beside it, or as text what fasttext print-word-vectors prints"
        )
    found = format_of(head)
    if found is None or kind is _FORMATS["npz"]:
        return Input(file, size, limit)
    if found.unpack is None:
        raise InputError(f"is {found.name}, and no word vectors")
    return Input(io.BufferedReader(found.unpack(file), BLOCK), None, limit)


def file_format(path: Path, name: str | None) -> FileFormat:
    """The format of a name, or of a file's ending if no name is given.

    Raises:
      InputError: there is none.
    """
    if name in _FORMATS:
        return _FORMATS[name]
    for known in _FORMATS.values():
        if name is None and path.suffix.lower() in known.endings:
            return known
    raise InputError(
        f"{path}: unknown format {name or path.suffix!r}; end the name in .txt, .vec, "
        f".bin or .npz, or give format= one of {', '.join(_FORMATS)}"
    )
