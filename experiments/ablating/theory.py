"""Scores of word pairs against the optimum that Levy & Goldberg 2014 derive.

With enough dimensions the score of a pair seen in the text is, at the optimum,

    s*(w,c) = log[p(c|w) / (K·P_n(c))]

which is PMI(w,c) − log K if P_n(c) is p(c), c's share of all contexts. (A noise word
that equals its positive counts as noise; where it is skipped, s* is −log(1 − p(c|w))
higher, next to nothing for most pairs.) p is the distribution of the pairs that the
model is trained on, so it is counted with the model's own subsampling and windows.

Pairs are those of the text's most frequent words that were counted ``ENOUGH`` = 20
times: log n then has a standard deviation of about 1/√20 = 0.22 and a bias of −1/40,
which is little beside the spread of PMI, about 1. Each pair weighs the same.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from experiments.ablating.measure import Measure
from sgns_jax import window
from sgns_jax.config import Config
from sgns_jax.noise import noise_distribution
from sgns_jax.types import SENTENCE_END, Params

WORDS = 2_000  #: the most frequent: of rarer ones few pairs are seen often enough
ENOUGH = 20
SEGMENT = 2**18  # tokens; windows that its ends cut short are next to none
SEGMENTS = 64  # of a longer text so many are read, evenly spread: 17 million tokens

MEASURES = {
    "pmi_alpha_correlation": Measure(
        "Agreement with theory",
        "Pearson's correlation, over frequent word pairs, of the scores and the "
        "optimum log p(c|w) - log K - log P_n(c) of the model's own alpha and K "
        "(Levy & Goldberg 2014).",
        better=1,
    ),
    "pmi_alpha_offset": Measure(
        "Offset from theory",
        "Mean of score minus optimum over the same pairs, in nats: a wrong K would "
        "show as its logarithm, which a correlation does not see.",
        better=0,
    ),
    "pmi_correlation": Measure(
        "Agreement with PMI",
        "Pearson's correlation, over the same pairs, of the scores and the pointwise "
        "mutual information log p(c|w) - log p(c): the optimum of no alpha but, "
        "nearly, 1.",
        better=0,
    ),
}


class PairRule(NamedTuple):
    """The settings that say which words of a text are pairs."""

    window: int
    subsample: float
    subsample_rule: window.SubsampleRule
    dynamic_window: bool


def pair_rule(config: Config) -> PairRule:
    """Those of a configuration."""
    return PairRule(*(getattr(config, name) for name in PairRule._fields))


class SeenPairs(NamedTuple):
    """P word pairs that were counted often enough, each once."""

    centers_P: np.ndarray  #: (P,) w
    contexts_P: np.ndarray  #: (P,) c
    log_conditional_P: np.ndarray  #: (P,) log p(c|w), among all contexts of w
    log_marginal_P: np.ndarray  #: (P,) log p(c), among all contexts


def positives(
    tokens_T: np.ndarray, counts_V: np.ndarray, rule: PairRule
) -> Iterator[np.ndarray]:
    """Centres and contexts of a text's pairs, segment by segment: (2, P) word ids.

    They are the library's own, with fixed keys. Of a text longer than ``SEGMENTS``
    segments so many are read.
    """
    keep_V = window.keep_probability(counts_V, rule.subsample, rule.subsample_rule)
    W, T = rule.window, len(tokens_T)
    for number, start in enumerate(range(0, T, max(SEGMENT, -(-T // SEGMENTS)))):
        part = tokens_T[start : start + SEGMENT]
        segment_T = np.full(SEGMENT, SENTENCE_END, np.int32)
        segment_T[: len(part)] = part
        key = jax.random.key(number)
        laid = _windows(key, segment_T, keep_V, W, rule.dynamic_window)
        words_T, left_T, right_T = map(np.asarray, laid)
        pairs = []
        for d in range(1, max(left_T.max(), right_T.max()) + 1):
            for reach_T, offset in ((left_T, -d), (right_T, d)):
                i = np.flatnonzero(reach_T >= d)
                pairs.append(words_T[np.stack([i, i + offset])])
        yield np.concatenate(pairs, axis=1)


@partial(jax.jit, static_argnames="W")
def _windows(
    key: Array, segment_T: Array, keep_V: Array, W: int, dynamic: Array
) -> window.Windows:
    key_subsample, key_window = jax.random.split(key)
    kept = window.subsample(key_subsample, segment_T, keep_V)
    half_T = window.half_windows(key_window, segment_T.shape, W, dynamic)
    return window.lay_windows(kept, half_T)


def frequent(counts_V: np.ndarray, number: int) -> np.ndarray:
    """The ids of the most frequent words, most frequent first; none of count 0."""
    order_V = np.argsort(-counts_V, kind="stable")
    return order_V[: min(number, np.count_nonzero(counts_V))]


def count_pairs(
    tokens_T: np.ndarray, counts_V: np.ndarray, rule: PairRule
) -> SeenPairs:
    """Counts the pairs of a text's most frequent words.

    All other words count as one, which has its share of the contexts.
    """
    words_M = frequent(counts_V, WORDS)
    M = len(words_M)
    place_V = np.full(len(counts_V), M)
    place_V[words_M] = np.arange(M)
    n = np.zeros((M + 1) ** 2, np.int64)
    for centers, contexts in positives(tokens_T, counts_V, rule):
        cells = place_V[centers] * (M + 1) + place_V[contexts]
        n += np.bincount(cells, minlength=len(n))
    n = n.reshape(M + 1, M + 1)
    w, c = np.nonzero(n[:M, :M] >= ENOUGH)
    conditional_P = n[w, c] / n.sum(axis=1)[w]
    marginal_P = n.sum(axis=0)[c] / n.sum()
    return SeenPairs(words_M[w], words_M[c], np.log(conditional_P), np.log(marginal_P))


def optimum(pairs: SeenPairs, counts_V: np.ndarray, config: Config) -> np.ndarray:
    """s* = log p(c|w) − log K − log P_n(c) of each pair, (P,)."""
    with jax.enable_x64(True):  # P_n of a rare word at a large α is small
        probs_V = np.asarray(noise_distribution(counts_V, config.noise_exponent))
    log_noise_P = np.log(probs_V[pairs.contexts_P])
    return pairs.log_conditional_P - np.log(config.negatives) - log_noise_P


def measure(
    pairs: SeenPairs, counts_V: np.ndarray, config: Config, params: Params
) -> dict[str, float]:
    """``MEASURES`` of a model; not a number where the text has too few pairs."""
    v_PD, u_PD = params.w_in[pairs.centers_P], params.w_out[pairs.contexts_P]
    s_P = np.einsum("pd,pd->p", v_PD, u_PD)
    optimum_P = optimum(pairs, counts_V, config)
    pmi_P = pairs.log_conditional_P - pairs.log_marginal_P
    return {
        "pmi_alpha_correlation": correlation(s_P, optimum_P),
        "pmi_alpha_offset": float(np.mean(s_P - optimum_P)) if len(s_P) else np.nan,
        "pmi_correlation": correlation(s_P, pmi_P),
    }


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's; not a number if it is of fewer than 3 pairs, or one is constant."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
