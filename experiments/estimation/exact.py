"""What can be enumerated: every draw of noise, every subsampling, of a tiny text.

Each outcome is weighted by its probability, so the sum is the expectation itself, and
nothing but float64's rounding may differ.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.estimation.checks import Check, rounding
from experiments.estimation.pairs import SECTION as PAIRS
from experiments.estimation.pairs import expected_pairs
from sgns_jax import block, gradient, window
from sgns_jax.noise import noise_distribution
from sgns_jax.types import Params

V, D, K, N = 4, 3, 2, 2
COUNTS, RULES = np.array([8, 4, 2, 1]), ("keep", "skip")
#: Two sentences with repeated words; centres have one to three contexts.
TOKENS, SENTENCES = np.array([0, 1, 0, 2, 3, 0, 1]), np.array([0, 0, 0, 0, 1, 1, 1])
SECTION = "1. Unbiased, exactly: mean over all draws of 4 words against its expectation"


class Case(NamedTuple):
    """A sampled gradient of some positives."""

    gradient: Callable[[Array], Params]  #: of a tuple of noise words
    length: int  #: noise words of the tuple
    pairs_P2: np.ndarray  #: the positives: (P, 2) centre and context words


def check_gradients(seed: int) -> list[Check]:
    """Pairs, shared and independent noise against ``expected_gradient``."""
    checks = []
    with jax.enable_x64(True):
        rng = np.random.default_rng(seed)
        params = Params(*jnp.asarray(rng.normal(size=(2, V, D))))
        probs_V = noise_distribution(COUNTS, 0.75)
        for kind, rule in itertools.product(CASES, RULES):
            case = CASES[kind](params, rule)
            mean = _mean_over_tuples(case, probs_V)
            want = sum_expected(params, case.pairs_P2, probs_V, K, rule)
            # σ(s) times a parameter, 1 + K times a pair. In a sum: the tuples, and in
            # each of them, or in the expectation, fewer than 100 terms.
            largest = max(float(jnp.max(jnp.abs(p))) for p in params)
            terms = len(case.pairs_P2) * (1 + K) * largest
            bound = rounding(terms, V**case.length + 100)
            what = f"{kind}, {rule}: largest error"
            checks.append(Check(SECTION, what, largest_error(mean, want), "<=", bound))
    return checks


def largest_error(got: Params, want: Params) -> float:
    """The largest difference of an entry."""
    tables = zip(got, want, strict=True)
    return float(np.max([np.max(np.abs(np.asarray(a) - b)) for a, b in tables]))


@partial(jax.jit, static_argnums=4)
def sum_expected(params, pairs_P2, probs_V, num_negatives, collisions) -> Params:
    """Σ ``expected_gradient`` over pairs."""

    def add(total, pair):
        args = params, *pair, probs_V, num_negatives, collisions
        return jax.tree.map(jnp.add, total, gradient.expected_gradient(*args)), None

    zero = jax.tree.map(jnp.zeros_like, params)
    return jax.lax.scan(add, zero, jnp.asarray(pairs_P2))[0]


def _mean_over_tuples(case, probs_V):
    """Σ over all V^length tuples of probability × gradient."""
    tuples = np.array(list(itertools.product(range(V), repeat=case.length)))
    chances = np.prod(np.asarray(probs_V)[tuples], axis=1)
    each = jax.jit(jax.vmap(case.gradient))(tuples)
    return Params(*(np.tensordot(chances, g, 1) for g in each))


def _pairs(params, rule):
    """The pair tier, over all pairs of words."""
    pairs_P2 = np.array(list(itertools.product(range(V), repeat=2)))

    def of_tuple(noise_K):
        def one(pair):
            return gradient.pair_gradient(params, *pair, noise_K, rule)

        each = jax.vmap(one)(jnp.asarray(pairs_P2))
        return jax.tree.map(lambda g: jnp.sum(g, axis=0), each)

    return Case(of_tuple, K, pairs_P2)


def _blocks(params, rule, shared):
    """The block tier, over the pairs of the text.

    All blocks get the same tuple: each block's gradient reads its own draws only, so
    the mean of their sum is the sum of their means.
    """
    C, W, weights_of = (
        (4, 2, block.shared_weights) if shared else (1, 1, block.independent_weights)
    )

    def of_tuple(noise_N):
        starts_B = jnp.arange(0, len(TOKENS), C)
        kept = (jnp.asarray(x, jnp.int32) for x in (TOKENS, SENTENCES, len(TOKENS)))
        half_T = jnp.full(len(TOKENS), W)
        windows = window.lay_windows(window.KeptTokens(*kept), half_T)
        blocks = window.cut_blocks(windows, starts_B, C, W)
        noise_BN = jnp.tile(noise_N[None], (len(starts_B), 1))
        weights = weights_of(*blocks, noise_BN, K, rule)
        centers_BC = blocks.tokens_BE[:, W : W + C]
        words_BR = jnp.concatenate([blocks.tokens_BE, noise_BN], axis=1)
        rows = block.BlockRows(params.w_in[centers_BC], params.w_out[words_BR])
        _, (v_BCD, u_BRD) = block.block_gradient(rows, weights)
        return Params(
            gradient.scatter_rows(params.w_in, (centers_BC, v_BCD)),
            gradient.scatter_rows(params.w_out, (words_BR, u_BRD)),
        )

    return Case(of_tuple, N if shared else 2 * W * K, _text_pairs(W))


def _text_pairs(half_window):
    """(P, 2) the text's pairs of words, by plain loops."""
    near = [
        (i, j)
        for i, j in itertools.permutations(range(len(TOKENS)), 2)
        if abs(i - j) <= half_window and SENTENCES[i] == SENTENCES[j]
    ]
    return TOKENS[np.array(near)]


CASES = {
    "pairs": _pairs,
    "shared noise": partial(_blocks, shared=True),
    "independent noise": partial(_blocks, shared=False),
}


def check_pairs() -> list[Check]:
    """Closed form of the pairs against enumeration: W = 3, words of two sentences."""
    W, keep_T = 3, np.array([0.3, 1, 0.5, 0.9, 0.2, 0.7, 0.4])
    E_TT = np.zeros((len(keep_T), len(keep_T)))
    for kept in itertools.product((False, True), repeat=len(keep_T)):
        chance = np.prod(np.where(kept, keep_T, 1 - keep_T))
        places = list(enumerate(np.flatnonzero(kept)))
        for half in range(1, W + 1):
            for (a, i), (b, j) in itertools.permutations(places, 2):
                if abs(a - b) <= half and SENTENCES[i] == SENTENCES[j]:
                    E_TT[i, j] += chance / W
    closed_TT = expected_pairs(keep_T, SENTENCES, W)
    error = float(np.max(np.abs(closed_TT - E_TT)))
    # Probabilities that add up to at most 1, 2⁷·3 of them, products of 7 numbers.
    bound = rounding(1, 2**7 * 3 + 7)
    what = "closed form - all subsamplings of 7 words"
    return [Check(PAIRS, what, error, "<=", bound)]
