"""Full-batch training on the exact expected loss of a small text, with D >= V.

The maths is at the head of ``factorization``: n(w,c) positive and m(w,c) noise terms
of a cell, s* = log(n/m). G settings (α, K) of one collision rule train together.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from tqdm import trange

from sgns_jax.config import Config
from sgns_jax.gradient import expected_gradient
from sgns_jax.loss import Collisions, expected_loss
from sgns_jax.noise import noise_distribution
from sgns_jax.types import Params

SOLVER = optax.lbfgs(memory_size=50)  # remembering 10: up to 3 times the iterations


class Run(NamedTuple):
    """One training of I iterations: where it should arrive, and where it did."""

    config: Config
    m_VV: np.ndarray  #: noise terms of each cell
    optimum_VV: np.ndarray  #: s*
    s_VV: np.ndarray  #: the scores reached
    error_I: np.ndarray  #: largest |s − s*| at a finite s*, by iteration
    unseen_I: np.ndarray  #: largest score of a pair never seen, by iteration


def noise_terms(
    n_VV: np.ndarray, noise_V: np.ndarray, K: float, rule: Collisions
) -> np.ndarray:
    """m(w,c), (V, V): how many of the noise words for centre w are c, on average."""
    draws_VV = n_VV.sum(1, keepdims=True) - (n_VV if rule == "skip" else 0)
    return K * noise_V * draws_VV


def log_ratio(n_VV: np.ndarray, m_VV: np.ndarray) -> np.ndarray:
    """s* = log(n/m): −∞ for a pair never seen, +∞ where no noise word stands against.

    NaN where there is neither: such a cell is in no term of the loss.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(n_VV / m_VV)


class Pairs(NamedTuple):
    """The P distinct pairs of a text, and which share of all pairs each one is."""

    centers_P: np.ndarray
    contexts_P: np.ndarray
    share_P: np.ndarray


def _mean(per_pair, rule, params, pairs, noise_V, K):
    """A function of a pair, averaged over the pairs of the text."""

    def one(center, context):
        return per_pair(params, center, context, noise_V, K, rule)

    each = jax.vmap(one)(pairs.centers_P, pairs.contexts_P)
    return jax.tree.map(lambda x: jnp.tensordot(pairs.share_P, x, 1), each)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def mean_loss(
    rule: Collisions, params: Params, pairs: Pairs, noise_V: Array, K: Array
) -> Array:
    """The exact expected loss of a text, per pair: L of ``factorization`` over Σ n.

    Its derivative by params is the library's own, ``expected_gradient``.
    """
    return _mean(expected_loss, rule, params, pairs, noise_V, K)


def _forward(rule, *arguments):
    return mean_loss(rule, *arguments), _mean(expected_gradient, rule, *arguments)


def _backward(rule, gradient, g):
    return jax.tree.map(lambda x: g * x, gradient), None, None, None


mean_loss.defvjp(_forward, _backward)


@partial(jax.jit, static_argnames="rule")
def step(rule, state_G, pairs, noise_GV, K_G, optimum_GVV):
    """One iteration of L-BFGS for each of G settings, and how far each then is."""

    def one(setting):
        (params, memory), noise_V, K, optimum_VV = setting

        def loss(params):
            return mean_loss(rule, params, pairs, noise_V, K)

        value, gradient = optax.value_and_grad_from_state(loss)(params, state=memory)
        update, memory = SOLVER.update(
            gradient, memory, params, value=value, grad=gradient, value_fn=loss
        )
        params = optax.apply_updates(params, update)
        return (params, memory), distances(scores(params), optimum_VV)

    # With vmap, 1.7 times slower: it runs both branches of the solver's conditions.
    return jax.lax.map(one, (state_G, noise_GV, K_G, optimum_GVV))


def scores(params: Params) -> Array:
    """s of every cell: (V, V), a row a centre."""
    return params.w_in @ params.w_out.T


def distances(s_VV: Array, optimum_VV: Array) -> tuple[Array, Array]:
    """The largest |s − s*| where s* is finite; the largest s where it is −∞."""
    finite_VV, unseen_VV = jnp.isfinite(optimum_VV), jnp.isneginf(optimum_VV)
    error = jnp.max(jnp.abs(s_VV - optimum_VV), where=finite_VV, initial=0)
    return error, jnp.max(s_VV, where=unseen_VV, initial=-jnp.inf)


def start(seed: int, V: int, dim: int) -> Params:
    """Normal vectors whose scores have standard deviation 1/4.

    ``init_params`` begins next to the saddle point v = u = 0 and L-BFGS leaves it
    slowly: after 1,000 iterations at K = 15 some scores were still off by 0.6.
    """
    normal_2VD = jax.random.normal(jax.random.key(seed), (2, V, dim))
    return Params(*(normal_2VD * (0.5 / dim**0.25)))


def train(
    configs: list[Config],
    counts_V: np.ndarray,
    n_VV: np.ndarray,
    dim: int,
    iterations: int,
) -> list[Run]:
    """Trains the settings of one collision rule side by side."""
    rule, V, G = configs[0].collisions, len(counts_V), len(configs)
    exponents = [config.noise_exponent for config in configs]
    noise_GV = np.array([noise_distribution(counts_V, alpha) for alpha in exponents])
    K_G = np.array([config.negatives for config in configs], float)
    m_GVV = np.array([noise_terms(n_VV, noise_GV[g], K_G[g], rule) for g in range(G)])
    optimum_GVV = log_ratio(n_VV, m_GVV)
    at = np.nonzero(n_VV)
    pairs = Pairs(*at, n_VV[at] / n_VV.sum())
    params = start(configs[0].seed, V, dim)
    state_G = jax.tree.map(lambda x: np.stack([x] * G), (params, SOLVER.init(params)))
    history = []
    for _ in trange(iterations, desc=rule, leave=False):
        state_G, reached = step(rule, state_G, pairs, noise_GV, K_G, optimum_GVV)
        history.append(jax.device_get(reached))
    s_GVV = jax.device_get(jax.vmap(scores)(state_G[0]))
    error_GI, unseen_GI = np.transpose(history, (1, 2, 0))
    fields = configs, m_GVV, optimum_GVV, s_GVV, error_GI, unseen_GI
    return [Run(*run) for run in zip(*fields, strict=True)]


def pmi_check(counts_V: np.ndarray, n_VV: np.ndarray) -> dict:
    """Is s* = PMI − log K where context counts make the noise, α = 1 and ``keep``?

    P_n = exp(log f − log Σf) is off by at most 2·log Σf units of ε, the logarithms by
    |PMI| + |s*| of them, and nine other operations by one each.
    """
    K, at = 5, np.nonzero(n_VV)
    context_V, total = n_VV.sum(0), n_VV.sum()
    PMI_P = log_ratio(n_VV * total, n_VV.sum(1, keepdims=True) * context_V)[at]

    def difference(f_V):
        noise_V = np.asarray(noise_distribution(f_V, 1.0))
        s_P = log_ratio(n_VV, noise_terms(n_VV, noise_V, K, "keep"))[at]
        return float(np.max(np.abs(s_P - (PMI_P - np.log(K)))))

    units = 2 * np.log(total) + 2 * np.max(np.abs(PMI_P)) + np.log(K) + 9
    bound = float(np.finfo(float).eps * units)
    return {
        "difference": difference(context_V),
        "bound": bound,
        "passed": difference(context_V) <= bound,
        "difference_by_word_counts": difference(counts_V),
    }
