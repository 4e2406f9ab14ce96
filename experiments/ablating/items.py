"""How well item vectors guess the next item of a session.

The last item of some sessions is held out of training; given the item i before it, a
model ranks all others by one of two rules:

    cosine   v_j·v_i / (|v_j| |v_i|)   how alike two items are
    score    u_j·v_i                   what the loss trains: fitted without error it
                                       is log P(j near i) − α log f(j) + constant

    hit@10   the share of questions whose answer is among the first ten
    MRR      the mean of 1 / rank

Sources: Barkan & Koenigstein 2016 (item2vec; cosines of the v). Caselles-Dupré,
Lesaint & Royo-Letelier 2018 (the last item from the one before it, hit@10; their
program ranks by the Euclidean distance of the v).
"""

from typing import NamedTuple

import numpy as np

from experiments.ablating.measure import Measure
from sgns_jax.types import SENTENCE_END, InputError, Params

RULES = {"cosine": "cosine of v", "score": "score u·v"}
BANDS = ("head", "middle", "tail")
GUESSES = 10
_SCORES_AT_A_TIME = 2**22  # 16 MB of float32, and as much again for a comparison


def _measures():
    for rule, by in RULES.items():
        for band in ("", *BANDS):
            suffix = f"_{rule}_{band}" if band else f"_{rule}"
            title = f"{by}, {band}" if band else by
            among = f" in the {band} third of all interactions" if band else ""
            yield (
                f"hit10{suffix}",
                Measure(
                    f"hit@10, {title}",
                    f"Share of next items{among} that are among the first ten by {by}.",
                    +1,
                ),
            )
            yield (
                f"mrr{suffix}",
                Measure(
                    f"MRR, {title}", f"Mean 1/rank by {by} of next items{among}.", +1
                ),
            )
        yield (
            f"coverage10_{rule}",
            Measure(
                f"coverage, {by}",
                f"Share of all items among the first ten by {by} of a question.",
                +1,
            ),
        )


MEASURES: dict[str, Measure] = dict(_measures())


class Questions(NamedTuple):
    """What is asked of every model; fixed before any training."""

    previous_Q: np.ndarray  #: (Q,) the item that is known
    next_Q: np.ndarray  #: (Q,) the item that followed it, another one
    counts_V: np.ndarray  #: (V,) how often each item is trained on
    band_V: np.ndarray  #: (V,) index into BANDS, see :func:`popularity_bands`


def prepare(tokens_T: np.ndarray, number: int = 10_000) -> tuple[np.ndarray, Questions]:
    """Holds out the last items of some sessions.

    Of all sessions that have at least three items and do not end in a repetition,
    evenly spread ones are taken: ``number``, or as many as make a tenth of all
    sessions, whichever is less.

    Args:
      tokens_T: (T,) item ids 0..V−1, ``SENTENCE_END`` between sessions only.
      number: how many questions to ask at most.

    Returns:
      The tokens without what is held out, to train on, and the questions.

    Raises:
      InputError: there is nothing to ask.
    """
    tokens_T = np.asarray(tokens_T)
    (breaks,) = np.nonzero(tokens_T == SENTENCE_END)
    starts_S = np.append(0, breaks + 1)
    last_S = np.append(breaks, len(tokens_T)) - 1
    fit_S = (last_S - starts_S >= 2) & (tokens_T[last_S] != tokens_T[last_S - 1])
    fitting = last_S[fit_S]
    Q = min(number, len(last_S) // 10, len(fitting))
    if Q < 1:
        raise InputError(
            f"prepare: {len(last_S)} sessions, {len(fitting)} of them with 3 items and "
            "an end that repeats none, give no question; give at least 10 sessions, "
            "of which one can be asked about"
        )
    held_Q = fitting[np.arange(Q) * len(fitting) // Q]
    training_T = np.delete(tokens_T, held_Q)
    counts_V = np.bincount(
        training_T[training_T != SENTENCE_END], minlength=tokens_T.max() + 1
    )
    bands_V = popularity_bands(counts_V)
    return training_T, Questions(
        tokens_T[held_Q - 1], tokens_T[held_Q], counts_V, bands_V
    )


def popularity_bands(counts_V: np.ndarray) -> np.ndarray:
    """Thirds of all interactions: 0 for the head, 1 for the middle, 2 for the tail.

    The head are the most popular items that together make a third, and so on; an
    item belongs where its first interaction falls.
    """
    order = np.argsort(-counts_V, kind="stable")
    before = np.cumsum(counts_V[order]) - counts_V[order]
    band_V = np.empty(len(counts_V), np.int8)
    band_V[order] = np.minimum(3 * before // counts_V.sum(), len(BANDS) - 1)
    return band_V


def measure(questions: Questions, params: Params) -> dict[str, float]:
    """All of ``MEASURES``; nan for a band of which nothing is asked.

    Args:
      questions: from :func:`prepare`.
      params: w_in and w_out as NumPy arrays.

    Raises:
      FloatingPointError: a vector is not finite; compared with NaN, nothing would be
        greater, and each answer first.
    """
    v_VD, u_VD = np.asarray(params.w_in), np.asarray(params.w_out)
    if not (np.isfinite(v_VD).all() and np.isfinite(u_VD).all()):
        raise FloatingPointError("measure: a vector is not finite; training diverged")
    norm_V1 = np.linalg.norm(v_VD, axis=1, keepdims=True)
    unit_VD = v_VD / np.where(norm_V1 > 0, norm_V1, 1)
    tables = {"cosine": (unit_VD, unit_VD), "score": (v_VD, u_VD)}
    band_Q, result = questions.band_V[questions.next_Q], {}
    for rule, (query_VD, item_VD) in tables.items():
        rank_Q, guessed_V = rank(questions, query_VD, item_VD)
        asked = {"": np.ones(len(rank_Q), bool)}
        asked |= {f"_{band}": band_Q == i for i, band in enumerate(BANDS)}
        for band, chosen_Q in asked.items():
            result[f"hit10_{rule}{band}"] = _mean(rank_Q[chosen_Q] <= GUESSES)
            result[f"mrr_{rule}{band}"] = _mean(1 / rank_Q[chosen_Q])
        result[f"coverage10_{rule}"] = _mean(guessed_V)
    return result


def _mean(values):
    return float(np.mean(values)) if len(values) else float("nan")


def rank(
    questions: Questions, query_VD: np.ndarray, item_VD: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(Q,) the rank of each answer among all items but the previous one, from 1; and
    (V,) whether an item is among the first ten of any question.

    Items of equal scores share the mean of their ranks.
    """
    V = len(item_VD)
    rank_Q, guessed_V = np.empty(len(questions.next_Q)), np.zeros(V, bool)
    batch = max(1, _SCORES_AT_A_TIME // V)
    for start in range(0, len(rank_Q), batch):
        part = slice(start, start + batch)
        previous_B, next_B = questions.previous_Q[part], questions.next_Q[part]
        score_BV = query_VD[previous_B] @ item_VD.T
        rows = np.arange(len(next_B))
        score_BV[rows, previous_B] = -np.inf
        answer_B1 = score_BV[rows, next_B][:, None]
        greater_B = np.count_nonzero(score_BV > answer_B1, axis=1)
        equal_B = np.count_nonzero(score_BV == answer_B1, axis=1) - 1
        rank_Q[part] = 1 + greater_B + equal_B / 2
        first = min(GUESSES, V - 1)
        guessed_V[np.argpartition(-score_BV, first - 1, axis=1)[:, :first]] = True
    return rank_Q, guessed_V
