"""Score word vectors on human similarity judgements and on analogies.

A question with a word that the vocabulary lacks is left out, and every score says how
many questions it covers.
"""

import math
import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from sgns_jax.evaluation_files import (
    Pairs,
    Questions,
    read_folder,
    read_pairs,
    read_questions,
)
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
      path: lines of word, word and number, see ``evaluation_files.read_pairs``.
      restrict_vocabulary: use only so many most frequent words; None: all.
      case: "lower": words are compared in lower case, and the most frequent of the
        vocabulary words that are then equal stands for all; "keep": as they are.

    Raises:
      InputError: no such file, no pair in it, or a malformed line.
    """
    return _rank(vectors, read_pairs(path), restrict_vocabulary, case)


def _rank(
    vectors: WordVectors, pairs: Pairs, restrict_vocabulary: int | None, case: str
) -> SimilarityScore:
    rows = _rows(vectors, restrict_vocabulary, case)
    ids = _ids(rows, pairs.words, case)
    covered = (ids >= 0).all(axis=1)
    first, second = vectors.normalized[ids[covered].T]
    cosines = np.einsum("pd,pd->p", first, second)
    rho = _correlation(cosines, np.array(pairs.scores)[covered])
    return SimilarityScore(
        pairs.name, rho, int(covered.sum()), len(ids), restrict_vocabulary, case
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
      path: lines ``a b c d`` under lines ``: section``, see
        ``evaluation_files.read_questions``.
      restrict_vocabulary: use only so many most frequent words; None: all.
      case: "lower": words are compared in lower case, and the most frequent of the
        vocabulary words that are then equal stands for all in a question; each of
        them is as good an answer. "keep": as they are.

    Raises:
      InputError: no such file, no question in it, or a malformed line.
    """
    return _answer(vectors, read_questions(path), restrict_vocabulary, case)


def _answer(
    vectors: WordVectors,
    questions: Questions,
    restrict_vocabulary: int | None,
    case: str,
) -> AnalogyScore:
    names = questions.sections
    rows = _rows(vectors, restrict_vocabulary, case)
    ids = _ids(rows, questions.words, case)
    covered = (ids >= 0).all(axis=1)
    correct = np.zeros(len(ids), bool)
    # A word answers for the row that stands for it in questions.
    stands_for = _ids(rows, [vectors.words[:restrict_vocabulary]], case)[0]
    unit = vectors.normalized[:restrict_vocabulary]
    correct[covered] = _solved(unit, stands_for, ids[covered])

    def score(title: str, asked: np.ndarray) -> SectionScore:
        right, known = int(correct[asked].sum()), int(covered[asked].sum())
        accuracy = right / known if known else math.nan
        return SectionScore(title, accuracy, right, known, int(asked.sum()))

    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    section = np.array([number[name] for name in names])  # a name may be very long
    syntactic = np.array([name.startswith("gram") for name in names])
    return AnalogyScore(
        questions.name,
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
      folder: its word pairs are scored by ``spearman``, with the whole vocabulary,
        and its analogies by ``analogies``; ``evaluation_files.read_folder`` says
        which files are which.
      restrict_vocabulary: for analogies, only so many most frequent words; None: all.
      case: as for ``spearman`` and ``analogies``.

    Raises:
      InputError: as ``read_folder``.
    """
    results: list[SimilarityScore | AnalogyScore] = []
    for found in read_folder(folder).sets:
        if isinstance(found, Pairs):
            results.append(_rank(vectors, found, None, case))
        else:
            results.append(_answer(vectors, found, restrict_vocabulary, case))
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


def _ids(rows: dict[str, int], asked: Sequence[Sequence[str]], case: str) -> np.ndarray:
    """The rows that stand for words, −1 where there is none."""
    return np.array([[rows.get(_fold(w, case), -1) for w in words] for words in asked])


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
