"""Word vectors: look up, compare, find neighbours, save and load.

The formats are word2vec's text and binary formats, which gensim and fastText read
as well, and NumPy's ``.npz``. In word2vec's formats only a space and a line end
separate; other white space, such as a no-break space, is part of a word. Bytes of a
word that are not UTF-8 (word2vec.c cuts long words inside a character) are shown as
``\\xNN``.
"""

import difflib
import itertools
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sgns_jax.types import InputError

_CHUNK = 1 << 20  # numbers converted from or to text at once: bounds the memory
_SUGGEST_FROM = 20_000  # difflib needs about 0.1 s for as many words


class UnknownWordError(InputError, KeyError):
    """A word that the vocabulary lacks."""

    __str__ = Exception.__str__  # KeyError would show the message in quotes


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Words and their vectors, row by row.

    Args:
      words: V different, non-empty words, most frequent first.
      matrix: (V, D) finite numbers; kept as float32.

    Raises:
      InputError: the two do not fit together, or a value is not finite.
    """

    words: tuple[str, ...]
    matrix: np.ndarray

    def __post_init__(self):
        words = tuple(self.words)
        matrix = np.asarray(self.matrix)
        if not np.can_cast(matrix.dtype, np.float32, "same_kind"):
            raise InputError(f"the matrix must hold real numbers, got {matrix.dtype}")
        with np.errstate(over="ignore"):  # too large for float32: caught as inf below
            matrix = matrix.astype(np.float32, copy=False)
        if matrix.ndim != 2 or 0 in matrix.shape or len(matrix) != len(words):
            raise InputError(
                f"need one row of at least one number for each word, got {len(words)} "
                f"words and a matrix of shape {matrix.shape}"
            )
        object.__setattr__(self, "words", words)
        object.__setattr__(self, "matrix", matrix)
        if "" in self._rows:
            raise InputError(f"word {self._rows[''] + 1} is empty; give it a name")
        if len(self._rows) < len(words):
            twice = next(w for i, w in enumerate(words) if self._rows[w] != i)
            raise InputError(f"word {twice!r} appears twice; keep one of the two")
        finite = np.isfinite(matrix).all(axis=1)
        if not finite.all():
            word = words[int(np.argmin(finite))]
            raise InputError(f"the vector of {word!r} is not finite; leave it out")

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def normalized(self) -> np.ndarray:
        """(V, D) rows of length 1; a zero row stays zero."""
        # float64: squares of float32 numbers neither overflow nor vanish in it
        squares = np.einsum("vd,vd->v", self.matrix, self.matrix, dtype=np.float64)
        lengths = np.sqrt(np.where(squares > 0, squares, 1.0))[:, None]
        unit = np.empty_like(self.matrix)
        return np.divide(self.matrix, lengths, out=unit, casting="same_kind")

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._rows

    def __getitem__(self, word: str) -> np.ndarray:
        """The (D,) vector of a word; UnknownWordError if there is none."""
        return self.matrix[self.index(word)]

    def index(self, word: str) -> int:
        """The row of a word, 0 for the most frequent; UnknownWordError if none."""
        if word not in self._rows:
            raise UnknownWordError(_unknown(word, self.words))
        return self._rows[word]

    def similarity(self, a: str, b: str) -> float:
        """The cosine of the vectors of two words."""
        return float(self.normalized[self.index(a)] @ self.normalized[self.index(b)])

    def nearest(
        self, query: str | np.ndarray, top: int = 10
    ) -> list[tuple[str, float]]:
        """The words nearest to a word or a (D,) vector, with cosines, nearest first.

        A query word is itself left out; of equally near words the more frequent
        stands first.
        """
        if isinstance(query, str):
            row = self.index(query)
            return self._nearest(self.normalized[row], [row], top)
        return self._nearest(np.asarray(query, np.float64), [], top)

    def analogy(self, a: str, b: str, c: str, top: int = 10) -> list[tuple[str, float]]:
        """The words that are to c as b is to a, with cosines, best first.

        3CosAdd: the words nearest to b − a + c, of unit vectors, without the three
        (Mikolov et al. 2013, NAACL; named by Levy & Goldberg 2014, CoNLL).
        """
        rows = [self.index(word) for word in (a, b, c)]
        unit_a, unit_b, unit_c = self.normalized[rows]
        return self._nearest(unit_b - unit_a + unit_c, rows, top)

    def _nearest(
        self, query: np.ndarray, without: list[int], top: int
    ) -> list[tuple[str, float]]:
        if query.shape != self.matrix.shape[1:] or not np.isfinite(query).all():
            raise InputError(
                f"a query vector must be {self.matrix.shape[1]} finite numbers, got "
                f"shape {query.shape}"
            )
        if top < 1:
            raise InputError(f"top must be 1 or more, got {top}")
        length = np.linalg.norm(query.astype(np.float64)) or 1.0
        cosines = self.normalized @ (query / length).astype(np.float32)
        cosines[without] = -np.inf
        top = min(top, len(self) - len(set(without)))
        least = np.partition(cosines, -top)[-top]
        rows = np.flatnonzero(cosines >= least)
        rows = rows[np.argsort(-cosines[rows], kind="stable")][:top]
        return [(self.words[row], float(cosines[row])) for row in rows]

    def save(self, path: str | os.PathLike, format: str | None = None) -> None:
        """Write the vectors to a file, whole or not at all.

        Args:
          path: the file; its ending names the format unless ``format`` does.
          format: "text" (.txt, .vec; the shortest numbers that give the same
            float32), "binary" (.bin) or "npz" (.npz: ``matrix``, and ``words`` as
            UTF-8 bytes, one word a line).

        Raises:
          InputError: unknown format, no such folder, or a word that the format
            cannot hold.
        """
        path = Path(path)
        file_format = _file_format(path, format)
        separators = " \n" if file_format.splits_at_space else "\n"
        for word in self.words:
            if any(separator in word for separator in separators):
                raise InputError(
                    f"{path}: word {word!r} holds a space or a line end, which ends a "
                    "word in this format; replace it, by _ for instance"
                )
        try:
            words = [word.encode() for word in self.words]
        except UnicodeEncodeError as error:
            raise InputError(f"{path}: {error.object!r} is not valid Unicode") from None
        if not path.parent.is_dir():
            raise InputError(f"{path}: no folder {path.parent}; create it first")
        with _replacing(path) as file:
            file_format.write(file, words, self.matrix)

    @classmethod
    def load(cls, path: str | os.PathLike, format: str | None = None) -> "WordVectors":
        """Read vectors that ``save``, gensim, fastText or word2vec.c wrote.

        Args:
          path: the file; its ending names the format unless ``format`` does.
          format: "text", "binary" or "npz", as for ``save``.

        Raises:
          InputError: no such file, or it does not hold what its header promises.
        """
        path = Path(path)
        read = _file_format(path, format).read
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        with open(path, "rb") as file:
            try:
                words, matrix = read(file)
                return cls(
                    tuple(w.decode(errors="backslashreplace") for w in words), matrix
                )
            except InputError as error:
                raise InputError(f"{path}: {error}") from None


def _unknown(word: object, words: tuple[str, ...]) -> str:
    by_lower = {w.lower(): w for w in reversed(words[:_SUGGEST_FROM])}
    near = difflib.get_close_matches(str(word).lower(), by_lower)
    hint = "; near: " + ", ".join(repr(by_lower[w]) for w in near) if near else ""
    return f"word {word!r} is not in the vocabulary{hint}"


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
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
    if len(lines) > 1:  # once more, line by line, to find the one at fault
        for number, line in enumerate(lines, first_line):
            _numbers([line], columns, number)
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
        matrix[row] = np.frombuffer(data, "<f4", columns, space + 1)
        position = end
    if data[position:].strip():
        raise InputError(f"line 1 promises {rows} rows, the file has more")
    return words, matrix


def _read_npz(file: BinaryIO) -> tuple[list[bytes], np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return arrays["words"].tobytes().split(b"\n"), arrays["matrix"]
    except Exception as error:  # a damaged archive raises any of a dozen types
        raise InputError(
            "needs to be an .npz file with the arrays words and matrix"
        ) from error


class _Format(NamedTuple):
    endings: tuple[str, ...]
    splits_at_space: bool
    write: Callable[[BinaryIO, list[bytes], np.ndarray], None]
    read: Callable[[BinaryIO], tuple[list[bytes], np.ndarray]]


_FORMATS = {
    "text": _Format((".txt", ".vec"), True, _write_text, _read_text),
    "binary": _Format((".bin",), True, _write_binary, _read_binary),
    "npz": _Format((".npz",), False, _write_npz, _read_npz),
}


def _file_format(path: Path, name: str | None) -> _Format:
    if name in _FORMATS:
        return _FORMATS[name]
    for file_format in _FORMATS.values():
        if name is None and path.suffix.lower() in file_format.endings:
            return file_format
    raise InputError(
        f"{path}: unknown format {name or path.suffix!r}; end the name in .txt, .vec, "
        f".bin or .npz, or give format= one of {', '.join(_FORMATS)}"
    )
