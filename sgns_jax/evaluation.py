"""Score word vectors on human similarity judgements and on analogies.

A question with a word that the vocabulary lacks is left out, and every score says how
many questions it covers.
"""

import math
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sgns_jax.types import InputError
from sgns_jax.vectors import WordVectors

_BATCH = 512  # analogies answered at once: 60 MB of cosines with 30,000 words


class SimilarityScore(NamedTuple):
    """How well the cosines of word pairs follow people's judgement of them."""

    name: str  #: of the file, without its ending
    rho: float  #: Spearman's rank correlation; nan: < 3 pairs, or all scores equal
    covered: int  #: pairs with both words in the vocabulary
    pairs: int  #: pairs in the file
    restrict_vocabulary: int | None  #: only so many most frequent words; None: all
    case: str  #: "lower" or "keep"


class SectionScore(NamedTuple):
    """Analogies answered right, in one section or several."""

    name: str
    accuracy: float  #: correct / covered; nan if no question is covered
    correct: int
    covered: int  #: questions with all four words in the vocabulary
    questions: int  #: questions in the file


class AnalogyScore(NamedTuple):
    """Analogies answered right, in a file of sections."""

    name: str  #: of the file, without its ending
    total: SectionScore
    semantic: SectionScore
    syntactic: SectionScore  #: the sections whose names start with "gram"
    sections: tuple[SectionScore, ...]
    restrict_vocabulary: int | None  #: only so many most frequent words; None: all
    case: str  #: "lower" or "keep"


def spearman(
    vectors: WordVectors,
    path: str | os.PathLike,
    restrict_vocabulary: int | None = None,
    case: str = "lower",
) -> SimilarityScore:
    """Spearman's correlation between the cosines of word pairs and human scores.

    Args:
      vectors: the word vectors.
      path: a UTF-8 file of lines ``word1 TAB word2 TAB score``, without header.
        Further columns, empty lines and lines that start with # are passed over.
      restrict_vocabulary: use only so many most frequent words; None: all.
      case: "lower": words are compared in lower case, and the most frequent of the
        vocabulary words that are then equal stands for all; "keep": as they are.

    Raises:
      InputError: no such file, no pair in it, or a malformed line.
    """
    path = Path(path)
    rows = _rows(vectors, restrict_vocabulary, case)
    ids, human = [], []
    for number, line in _lines(path, comment="#"):
        words, score = line.split("\t")[:2], _number(line.split("\t")[2:3])
        if not all(words) or score is None:
            raise InputError(
                f"{path}, line {number}: needs word TAB word TAB score, got {line!r}"
            )
        ids.append([rows.get(_fold(word, case), -1) for word in words])
        human.append(score)
    if not ids:
        raise InputError(f"{path}: holds no word pair")
    covered = (np.array(ids) >= 0).all(axis=1)
    first, second = vectors.normalized[np.array(ids)[covered].T]
    cosines = np.einsum("pd,pd->p", first, second)
    rho = _correlation(cosines, np.array(human)[covered])
    return SimilarityScore(
        path.stem, rho, int(covered.sum()), len(ids), restrict_vocabulary, case
    )


def analogies(
    vectors: WordVectors,
    path: str | os.PathLike,
    restrict_vocabulary: int | None = 30_000,
    case: str = "lower",
) -> AnalogyScore:
    """Share of the analogies "a is to b as c is to d" whose d is found by 3CosAdd.

    The answer is the word nearest to b − a + c, of unit vectors, among the words of
    the restricted vocabulary without a, b and c (Mikolov et al. 2013, NAACL; named by
    Levy & Goldberg 2014, CoNLL).

    Args:
      vectors: the word vectors.
      path: a UTF-8 file of lines ``a b c d`` under lines ``: section``. Empty lines
        and lines that start with // are passed over.
      restrict_vocabulary: use only so many most frequent words; None: all.
      case: "lower": words are compared in lower case, and the most frequent of the
        vocabulary words that are then equal stands for all in a question; each of
        them is as good an answer. "keep": as they are.

    Raises:
      InputError: no such file, no question in it, or a malformed line.
    """
    path = Path(path)
    rows = _rows(vectors, restrict_vocabulary, case)
    names, ids = [], []
    for name, words in _questions(path):
        names.append(name)
        ids.append([rows.get(_fold(word, case), -1) for word in words])
    if not ids:
        raise InputError(f"{path}: holds no analogy")
    covered = (np.array(ids) >= 0).all(axis=1)
    correct = np.zeros(len(ids), bool)
    # A word answers for the row that stands for it in questions.
    words = vectors.words[:restrict_vocabulary]
    stands_for = np.array([rows[_fold(word, case)] for word in words])
    unit = vectors.normalized[:restrict_vocabulary]
    correct[covered] = _solved(unit, stands_for, np.array(ids)[covered])

    def score(title: str, asked: np.ndarray) -> SectionScore:
        right, known = int(correct[asked].sum()), int(covered[asked].sum())
        accuracy = right / known if known else math.nan
        return SectionScore(title, accuracy, right, known, int(asked.sum()))

    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    section = np.array([number[name] for name in names])  # a name may be very long
    syntactic = np.array([name.startswith("gram") for name in names])
    return AnalogyScore(
        path.stem,
        score("total", np.ones_like(syntactic)),
        score("semantic", ~syntactic),
        score("syntactic", syntactic),
        tuple(score(name, section == i) for name, i in number.items()),
        restrict_vocabulary,
        case,
    )


def evaluate_folder(
    vectors: WordVectors,
    folder: str | os.PathLike,
    restrict_vocabulary: int | None = 30_000,
    case: str = "lower",
) -> list[SimilarityScore | AnalogyScore]:
    """Score the vectors on every evaluation file of a folder, sorted by file name.

    Args:
      vectors: the word vectors.
      folder: each ``*.tsv`` is a file for ``spearman``, with the whole vocabulary;
        each ``*.txt`` that starts with a ``: section`` one for ``analogies``.
      restrict_vocabulary: for analogies, only so many most frequent words; None: all.
      case: as for ``spearman`` and ``analogies``.

    Raises:
      InputError: no such folder, no such file in it, or a malformed line.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    results: list[SimilarityScore | AnalogyScore] = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".tsv":
            results.append(spearman(vectors, path, case=case))
        elif path.suffix == ".txt" and _has_sections(path):
            results.append(analogies(vectors, path, restrict_vocabulary, case))
    if not results:
        raise InputError(
            f"{folder}: needs word pairs in *.tsv files or analogies in *.txt files "
            "that start with a line ': section'"
        )
    return results


def to_json(result: Any) -> Any:
    """A score as dicts, lists, strings and numbers; a missing (nan) one is None."""
    if hasattr(result, "_asdict"):
        return {key: to_json(value) for key, value in result._asdict().items()}
    if isinstance(result, tuple | list):
        return [to_json(value) for value in result]
    return None if isinstance(result, float) and math.isnan(result) else result


def format_table(results: Sequence[SimilarityScore | AnalogyScore]) -> str:
    """The scores as a table of at most 80 columns, a missing score as a dash."""
    lines = [_line("evaluation", "score", "covered")]
    rules = {}
    for result in results:
        if isinstance(result, SimilarityScore):
            rho = "-" if math.isnan(result.rho) else f"{result.rho:.3f}"
            lines.append(
                _line(result.name, rho, f"{result.covered:,}/{result.pairs:,}")
            )
            rules["similarity"] = result
            continue
        for part in (result.total, result.semantic, result.syntactic):
            name = result.name if part is result.total else f"  {part.name}"
            right = "-" if math.isnan(part.accuracy) else f"{100 * part.accuracy:.1f} %"
            lines.append(_line(name, right, f"{part.covered:,}/{part.questions:,}"))
        rules["analogies"] = result
    limits = (
        f"{kind} {f'first {n:,}' if (n := rule.restrict_vocabulary) else 'all'} words"
        for kind, rule in rules.items()
    )
    cases = " and ".join(sorted({rule.case for rule in rules.values()}))
    return "\n".join([*lines, f"vocabulary: {', '.join(limits)}; case: {cases}"])


def _line(name: str, score: str, covered: str) -> str:
    name = name if len(name) <= 44 else name[:43] + "…"
    return f"{name:<44}{score:>12}{covered:>20}"


def _fold(word: str, case: str) -> str:
    return word.lower() if case == "lower" else word


def _rows(vectors: WordVectors, limit: int | None, case: str) -> dict[str, int]:
    if case not in ("lower", "keep"):
        raise InputError(f"case must be 'lower' or 'keep', got {case!r}")
    if limit is not None and limit < 1:
        raise InputError(
            f"restrict_vocabulary must be 1 or more, or None for all, got {limit}"
        )
    rows: dict[str, int] = {}
    for row, word in enumerate(vectors.words[:limit]):
        rows.setdefault(_fold(word, case), row)
    return rows


def _number(fields: list[str]) -> float | None:
    try:
        number = float(fields[0])
    except (IndexError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    from scipy.stats import (
        spearmanr,  # not before: a second that training need not wait
    )

    return float(spearmanr(x, y).statistic)


def _solved(unit: np.ndarray, stands_for: np.ndarray, ids: np.ndarray) -> np.ndarray:
    alike = defaultdict(list)
    for row, standing in enumerate(stands_for.tolist()):
        alike[standing].append(row)
    solved = np.zeros(len(ids), bool)
    for start in range(0, len(ids), _BATCH):
        part = ids[start : start + _BATCH]
        a, b, c, d = part.T
        cosines = (unit[b] - unit[a] + unit[c]) @ unit.T
        for cosine, question in zip(cosines, part[:, :3].tolist(), strict=True):
            for word in question:
                cosine[alike[word]] = -np.inf
        answer = cosines.argmax(axis=1)
        left = np.isfinite(cosines[np.arange(len(part)), answer])
        solved[start : start + _BATCH] = left & (stands_for[answer] == d)
    return solved


def _lines(path: Path, comment: str) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text; convert it") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith(comment):
            yield number, line


def _questions(path: Path) -> Iterator[tuple[str, list[str]]]:
    section = ""
    for number, line in _lines(path, comment="//"):
        if line.startswith(":"):
            section = line[1:].strip()
            continue
        words = line.replace("\t", " ").strip(" ").split(" ")
        if not section or len(words) != 4:
            raise InputError(
                f"{path}, line {number}: needs four words, below a line ': section', "
                f"got {line!r}"
            )
        yield section, words


def _has_sections(path: Path) -> bool:
    first = next(_lines(path, comment="//"), (0, ""))
    return first[1].startswith(":")
