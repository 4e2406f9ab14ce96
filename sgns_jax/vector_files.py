"""The file formats of word vectors: word2vec's text and binary, and ``.npz``.

gensim and fastText read and write the first two as well. In them only a space and a
line end separate; other white space, such as a no-break space, is part of a word.
"""

import itertools
import math
import mmap
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sgns_jax.types import InputError

_CHUNK = 1 << 20  # numbers converted from or to text at once: bounds the memory
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


def _read_header(file: BinaryIO, bytes_per_number: int) -> tuple[int, int]:
    header = file.readline(64)
    fields = header.split()
    if len(fields) != 2 or not all(f.isdigit() and int(f) > 0 for f in fields):
        raise InputError(
            "line 1 must be the number of words and of columns, both 1 or more, got "
            f"{header!r}"
        )
    rows, columns = int(fields[0]), int(fields[1])
    # Checked before anything is allocated: a letter, a space and the numbers a row.
    least = rows * (2 + columns * bytes_per_number) - 1
    size = os.fstat(file.fileno()).st_size - file.tell()
    if size < least:
        raise InputError(
            f"{rows} rows of {columns} numbers, as line 1 promises, need {least} bytes "
            f"or more, {size} are there; the file is cut off or its header wrong"
        )
    return rows, columns


def _read_text(file: BinaryIO) -> tuple[list[bytes], np.ndarray]:
    rows, columns = _read_header(file, bytes_per_number=2)
    matrix = np.empty((rows, columns), np.float32)
    words: list[bytes] = []
    while len(words) < rows:
        start = len(words)
        step = min(max(1, _CHUNK // columns), rows - start)
        lines = [
            line.rstrip(b" \r\n").partition(b" ")
            for line in itertools.islice(file, step)
        ]
        if not lines:
            raise InputError(f"line 1 promises {rows} rows, the file has {start}")
        words += [word for word, _, _ in lines]
        matrix[start : len(words)] = _numbers(lines, columns, start + 2)
    if any(line.strip() for line in file):
        raise InputError(f"line 1 promises {rows} rows, the file has more")
    return words, matrix


def _numbers(
    lines: list[tuple[bytes, bytes, bytes]], columns: int, first_line: int
) -> np.ndarray:
    try:
        texts = pa.array([numbers for _, _, numbers in lines], pa.large_string())
        fields = pc.split_pattern(texts, " ")
        lengths = pc.list_value_length(fields).to_numpy()
        if (lengths == columns).all():
            return pc.cast(fields.values, pa.float32()).to_numpy().reshape(-1, columns)
        problem = f"got {lengths[0]}"
    except pa.ArrowInvalid as error:
        problem = f"{error!s:.80}"
    if len(lines) > 1:  # once more, by halves, to find the line at fault
        half = len(lines) // 2
        _numbers(lines[:half], columns, first_line)
        _numbers(lines[half:], columns, first_line + half)
    word = lines[0][0].decode(errors="backslashreplace")
    raise InputError(
        f"line {first_line}, word {word!r}: needs {columns} numbers with single spaces "
        f"between; {problem}"
    )


def _read_binary(file: BinaryIO) -> tuple[list[bytes], np.ndarray]:
    rows, columns = _read_header(file, bytes_per_number=4)
    matrix = np.empty((rows, columns), np.float32)
    words: list[bytes] = []
    position = file.tell()
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    for row in range(rows):
        space = data.find(b" ", position)
        end = space + 1 + 4 * columns
        if space < 0 or end > len(data):
            raise InputError(
                f"line 1 promises {rows} rows, the file ends in row {row + 1}"
            )
        # word2vec.c ends a vector with a line end, gensim does not.
        words.append(data[position:space].lstrip(b"\n"))
        if b"\n" in (word := words[-1]):
            raise InputError(f"row {row + 1}: word {word[:40]!r} holds a line end")
        matrix[row] = np.frombuffer(data, "<f4", columns, space + 1)
        position = end
    if data[position : position + 2] not in (b"", b"\n"):
        raise InputError(f"line 1 promises {rows} rows, the file has more")
    return words, matrix


def _read_npz(file: BinaryIO) -> tuple[list[bytes], np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            words, matrix = (_read_array(archive, name) for name in ("words", "matrix"))
    except MemoryError:
        raise
    except Exception as error:  # a damaged archive raises any of a dozen types
        raise InputError(
            "needs to be an .npz file with the arrays words and matrix"
        ) from error
    return words.tobytes().split(b"\n"), matrix


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
    read: Callable[[BinaryIO], tuple[list[bytes], np.ndarray]]


_FORMATS = {
    "text": FileFormat((".txt", ".vec"), True, _write_text, _read_text),
    "binary": FileFormat((".bin",), True, _write_binary, _read_binary),
    "npz": FileFormat((".npz",), False, _write_npz, _read_npz),
}


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
