"""Reading word2vec's text and binary, as programs and public collections have them.

Beyond what ``vector_files`` writes: text without a header, with a UTF-8 mark or with
spaces in words; binary without line ends.
"""

import codecs
import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sgns_jax.types import InputError, shown

BLOCK = 1 << 22  # bytes read at once
_CHUNK = 1 << 20  # numbers converted at once: bounds the memory
_MAX_COLUMNS = 1 << 20
_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")  # white space may be in a word
_OF_ONE_SIZE = 40  # no training gives numbers that are 2⁴⁰ times each other


class Input(NamedTuple):
    """Where a table is read from."""

    file: BinaryIO  #: the bytes, unpacked
    size: int | None  #: how many there are; None: it is packed, so nobody knows
    limit: int | None  #: rows that are wanted, the first ones; None: all


def _header(line: bytes, source: Input, bytes_per_number: int) -> tuple[int, int]:
    fields = line.split()
    # 18 digits fit every counter; Python makes no number of thousands of them.
    numbers = [int(f) for f in fields if f.isdigit() and len(f) <= 18]
    if len(fields) != 2 or len(numbers) != 2 or 0 in numbers:
        raise InputError(
            "line 1 must be the number of words and of columns, both 1 or more, or in "
            f"a text a word and its numbers; got {line[:64]!r}"
        )
    rows, columns = numbers
    if columns > _MAX_COLUMNS:
        raise InputError(f"line 1 promises {columns} columns; that is no word vector")
    # Checked before anything is read: a letter, a space and the numbers a row.
    least = min(rows, source.limit or rows) * (2 + columns * bytes_per_number) - 1
    if source.size is not None and (size := source.size - len(line)) < least:
        raise InputError(
            f"{rows} rows of {columns} numbers, as line 1 promises, need {least} bytes "
            f"or more, {size} are there; the file is cut off or its header wrong"
        )
    return rows, columns


def _gathered(
    parts: Iterable[tuple[list[bytes], np.ndarray]], columns: int, most: int
) -> tuple[list[bytes], np.ndarray]:
    """A table of its parts. Memory grows with what is there, whatever was promised."""
    words: list[bytes] = []
    matrix = np.empty((0, columns), np.float32)
    for part_words, part in parts:
        start, end = len(words), len(words) + len(part)
        if end > len(matrix):
            reserve = min(most, max(end, 2 * len(matrix)))
            matrix.resize((reserve, columns), refcheck=False)
        matrix[start:end] = part
        words += part_words
    matrix.resize((len(words), columns), refcheck=False)
    return words, matrix


def read_text(source: Input) -> tuple[list[bytes], np.ndarray]:
    first = source.file.readline(BLOCK).removeprefix(codecs.BOM_UTF8)
    numbers = first.rstrip(b" \r\n").split(b" ")[1:]
    has_header = len(numbers) < 2 or not all(map(_NUMBER.fullmatch, numbers))
    if has_header:
        rows, columns = _header(first, source, bytes_per_number=2)
        lines: Iterator[bytes] = iter(source.file)
    else:  # as GloVe writes it
        rows, columns = sys.maxsize, len(numbers)
        lines = itertools.chain([first], source.file)
    most = min(rows, source.limit or rows)
    parts = _text_parts(lines, columns, most, 1 + has_header)
    words, matrix = _gathered(parts, columns, most)
    if has_header and len(words) < most:
        raise InputError(f"line 1 promises {rows} rows, the file has {len(words)}")
    if most == rows and any(line.strip() for line in lines):
        ends = f"line 1 promises {rows} rows" if has_header else "an empty line ends it"
        raise InputError(f"{ends}, the file has more")
    return words, matrix


def _text_parts(
    lines: Iterator[bytes], columns: int, most: int, number: int
) -> Iterator[tuple[list[bytes], np.ndarray]]:
    """Words and numbers of some lines at a time, up to an empty one."""
    lines = itertools.takewhile(bytes.strip, itertools.islice(lines, most))
    step = max(1, _CHUNK // columns)
    while rows := [_split(line, columns) for line in itertools.islice(lines, step)]:
        yield [word for word, _ in rows], _numbers(rows, columns, number)
        number += len(rows)


def _split(line: bytes, columns: int) -> tuple[bytes, bytes]:
    """A line's word and its numbers, the last ones: a word may hold spaces."""
    line = line.rstrip(b" \r\n")
    if line.count(b" ") > columns:
        word = line.rsplit(b" ", columns)[0]
        parts = word.split(b" ")
        # "Apollo 11" is a word; a fraction in it is a number too many.
        fractions = (_NUMBER.fullmatch(part) and not part.isdigit() for part in parts)
        if all(parts) and not any(fractions):
            return word, line[len(word) + 1 :]
    word, _, numbers = line.partition(b" ")
    return word, numbers


def _numbers(
    rows: list[tuple[bytes, bytes]], columns: int, first_line: int
) -> np.ndarray:
    try:
        texts = pa.array([numbers for _, numbers in rows], pa.large_string())
        fields = pc.split_pattern(texts, " ")
        lengths = pc.list_value_length(fields).to_numpy()
        if (lengths == columns).all():
            return pc.cast(fields.values, pa.float32()).to_numpy().reshape(-1, columns)
        problem = f"got {lengths[0]}"
    except pa.ArrowInvalid as error:
        problem = f"{error!s:.80}"
    if len(rows) > 1:  # once more, by halves, to find the line at fault
        half = len(rows) // 2
        _numbers(rows[:half], columns, first_line)
        _numbers(rows[half:], columns, first_line + half)
    word = rows[0][0].decode(errors="backslashreplace")
    raise InputError(
        f"line {first_line}, word {shown(word)}: needs {columns} numbers with single "
        f"spaces between; {problem}"
    )


def read_binary(source: Input) -> tuple[list[bytes], np.ndarray]:
    rows, columns = _header(source.file.readline(64), source, bytes_per_number=4)
    most = min(rows, source.limit or rows)
    return _gathered(_binary_parts(source.file, rows, columns, most), columns, most)


def _binary_parts(
    file: BinaryIO, rows: int, columns: int, most: int
) -> Iterator[tuple[list[bytes], np.ndarray]]:
    words: list[bytes] = []
    numbers: list[bytes] = []
    last = vector = b""
    line_ends = True  # word2vec.c ends a vector with a line end, gensim does not
    for row, (word, after) in enumerate(_binary_rows(file, columns)):
        line_ends &= not row or word.startswith(b"\n")
        if not line_ends and _goes_on(vector, word):
            raise InputError(
                f"row {row}: the word that begins with {last[:40]!r} holds a space, "
                "which ends a word in this format; have it written as text, or with _"
            )
        if row == most:
            break
        if not after:
            raise InputError(
                f"line 1 promises {rows} rows, the file ends in row {row + 1}"
            )
        last, vector = word.lstrip(b"\n"), after
        if b"\n" in last:
            raise InputError(f"row {row + 1}: word {last[:40]!r} holds a line end")
        words.append(last)
        numbers.append(vector)
        if len(numbers) * columns >= _CHUNK:
            yield words, _floats(numbers, columns)
            words, numbers = [], []
    yield words, _floats(numbers, columns)
    if most == rows and (after or word not in (b"", b"\n")):
        raise InputError(f"line 1 promises {rows} rows, the file has more")


def _floats(numbers: list[bytes], columns: int) -> np.ndarray:
    return np.frombuffer(b"".join(numbers), "<f4").reshape(-1, columns)


def _goes_on(vector: bytes, following: bytes) -> bool:
    """Whether a vector's bytes begin with the rest of its word and a space.

    gensim writes such words. Of the true vector, as many bytes as the rest is long then
    stand before the next word. So the two are told by what begins the next word, which
    is mostly no text; and by the numbers, which are of all sizes where they are read
    from the wrong place, and of one size from the right one.
    """
    space = vector.find(b" ", 0, len(following))
    if space >= 0 and not _is_text(following):
        return True
    while space >= 0:
        right = vector[space + 1 :] + following[: space + 1]
        if _binades(right) < _OF_ONE_SIZE <= _binades(vector):
            return True
        space = vector.find(b" ", space + 1, len(following))
    return False


def _is_text(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":  # cut, as word2vec.c cuts
            return False
    return not _CONTROLS.search(word)


def _binades(vector: bytes) -> int:
    """By how many powers of two the numbers of a vector lie apart, but for zeros."""
    exponents = np.frombuffer(vector, "<u4") >> 23 & 255  # 255: not finite
    exponents = exponents[exponents > 0]
    return int(np.ptp(exponents)) if len(exponents) else 0


def _binary_rows(file: BinaryIO, columns: int) -> Iterator[tuple[bytes, bytes]]:
    """Words and the bytes of their numbers; at the end what is left, and no numbers."""
    data, position = b"", 0
    while True:
        space = data.find(b" ", position)
        end = space + 1 + 4 * columns
        if space >= 0 and end <= len(data):
            yield data[position:space], data[space + 1 : end]
            position = end
        elif (space >= 0 or len(data) < 2 * BLOCK) and (block := file.read(BLOCK)):
            data, position = data[position:] + block, 0
        else:
            yield data[position:], b""
            return
