"""Word vectors: look up, compare, find neighbours, save and load.

Bytes of a word that are not UTF-8 (word2vec.c cuts long words inside a character) are
shown as ``\\xNN``.
"""

import difflib
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from sgns_jax.types import InputError, shown
from sgns_jax.vector_files import file_format, read_vectors, replacing

_SUGGEST_FROM = 20_000  # difflib needs about 0.1 s for as many words


class UnknownWordError(InputError, KeyError):
    """A word that the vocabulary lacks."""

    __str__ = Exception.__str__  # KeyError would show the message in quotes


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Words and their vectors, row by row.

    Args:
      words: V different, non-empty strings, most frequent first.
      matrix: (V, D) finite numbers; kept as float32 and read-only, so that what is
        computed from it stays true. An array that can be written to is copied.

    Raises:
      InputError: the two do not fit together, a word is no string, or a value is not
        finite.
    """

    words: tuple[str, ...]
    matrix: np.ndarray

    def __init__(self, words: Iterable[str], matrix: ArrayLike) -> None:
        words = tuple(words)
        for row, word in enumerate(words, 1):
            if not isinstance(word, str):
                raise InputError(
                    f"word {row} is {shown(word)}, which is no string; give "
                    "str(word) for each word"
                )
        matrix = np.asarray(matrix)
        if not np.can_cast(matrix.dtype, np.float32, "same_kind"):
            raise InputError(f"the matrix must hold real numbers, got {matrix.dtype}")
        with np.errstate(over="ignore"):  # too large for float32: caught as inf below
            matrix = matrix.astype(np.float32, copy=matrix.flags.writeable)
        if matrix.ndim != 2 or 0 in matrix.shape or len(matrix) != len(words):
            raise InputError(
                f"need one row of at least one number for each word, got {len(words)} "
                f"words and a matrix of shape {matrix.shape}"
            )
        object.__setattr__(self, "words", words)
        object.__setattr__(self, "matrix", _read_only(matrix))
        if "" in self._rows:
            raise InputError(f"word {self._rows[''] + 1} is empty; give it a name")
        if len(self._rows) < len(words):
            twice = next(w for i, w in enumerate(words) if self._rows[w] != i)
            raise InputError(f"word {shown(twice)} appears twice; keep one of the two")
        finite = np.isfinite(matrix).all(axis=1)
        if not finite.all():
            word = words[int(np.argmin(finite))]
            raise InputError(f"the vector of {shown(word)} is not finite; leave it out")

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def normalized(self) -> np.ndarray:
        """(V, D) rows of length 1, read-only; a zero row stays zero."""
        # float64: squares of float32 numbers neither overflow nor vanish in it
        squares = np.einsum("vd,vd->v", self.matrix, self.matrix, dtype=np.float64)
        lengths = np.sqrt(np.where(squares > 0, squares, 1.0))[:, None]
        unit = np.empty_like(self.matrix)
        np.divide(self.matrix, lengths, out=unit, casting="same_kind")
        return _read_only(unit)

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._rows

    def __getitem__(self, word: str) -> np.ndarray:
        """The (D,) vector of a word, read-only; UnknownWordError if there is none."""
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
        kind = file_format(path, format)
        separators = " \n" if kind.splits_at_space else "\n"
        for word in self.words:
            if any(separator in word for separator in separators):
                raise InputError(
                    f"{path}: word {shown(word)} holds a space or a line end, which "
                    "ends a word in this format; replace it, by _ for instance"
                )
        try:
            words = [word.encode() for word in self.words]
        except UnicodeEncodeError as error:
            raise InputError(
                f"{path}: {shown(error.object)} is not valid Unicode"
            ) from None
        if not path.parent.is_dir():
            raise InputError(f"{path}: no folder {path.parent}; create it first")
        with replacing(path) as file:
            kind.write(file, words, self.matrix)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        format: str | None = None,
        limit: int | None = None,
    ) -> "WordVectors":
        """Read vectors that ``save``, gensim, fastText, GloVe or word2vec.c wrote.

        Text may lack the header and begin with a UTF-8 mark. Where a word occurs twice,
        the first is kept, and a UserWarning counts the others.

        Args:
          path: the file; its ending names the format unless ``format`` does. Text and
            binary may be packed by gzip, bzip2, xz, zstd or lz4 (.vec.gz).
          format: "text", "binary" or "npz", as for ``save``.
          limit: read only so many rows, the first ones; None: all.

        Raises:
          InputError: no such file, or it does not hold what its header promises.
        """
        found, matrix = read_vectors(Path(path), format, limit)
        words = [word.decode(errors="backslashreplace") for word in found]
        rows: dict[str, int] = {}
        for row, word in enumerate(words):
            rows.setdefault(word, row)
        if len(rows) < len(words):
            again = next(word for row, word in enumerate(words) if rows[word] != row)
            warnings.warn(
                f"{path}: {len(words) - len(rows)} of {len(words)} rows have the word "
                f"of an earlier row, like {shown(again)}, and are left out",
                stacklevel=2,
            )
            words, matrix = list(rows), matrix[list(rows.values())]
        try:
            return cls(words, _read_only(matrix))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _unknown(word: object, words: tuple[str, ...]) -> str:
    by_lower = {w.lower(): w for w in reversed(words[:_SUGGEST_FROM])}
    near = difflib.get_close_matches(str(word).lower(), by_lower)
    hint = "; near: " + ", ".join(shown(by_lower[w]) for w in near) if near else ""
    return f"word {shown(word)} is not in the vocabulary{hint}"
