"""A training step's gradient as a random variable: its mean and its variance.

The text is a block of the corpus with fixed windows, so that the noise words alone
are random. With n_xo positives of centre word x and context o, m_x = Σ_o n_xo and
the gradient f_w that a noise word w brings to the block,

    mean                  Σ_xo n_xo·∂(−log σ(s_xo)) + K Σ_w P_n(w)·f_w
    variance, shared      K²/N · (Σ_w P_n(w)·|f_w|² − |Σ_w P_n(w)·f_w|²)
    variance, independent K · the same for each pair alone, summed over the pairs

Variance means the trace of the covariance matrix: the mean of |gradient − mean|².
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit as sigmoid

from experiments.estimation.checks import largest_z
from experiments.estimation.sampling import noise_probabilities
from sgns_jax import block, window
from sgns_jax.config import Config
from sgns_jax.corpus import Corpus
from sgns_jax.optimizers import merge_rows
from sgns_jax.step import make_sampling, rows_of_words, run_keys, sample_batch
from sgns_jax.types import InputError, Params

J = 32  #: directions that the gradient is projected on


class Study(NamedTuple):
    """A block of the corpus, and the vectors at which its gradient is taken."""

    config: Config
    counts: np.ndarray  #: (V,) of the corpus
    params: Params
    windows: window.Windows  #: of the kept words; all of them reach W far
    pairs_P2: np.ndarray  #: the positives: (P, 2) centre and context words


def make_study(config: Config, corpus: Corpus, params: Params) -> Study:
    """The first C kept words of the corpus, each with its full window."""
    C, W, counts = config.block_size, config.window, corpus.vocabulary.counts
    keep_V = window.keep_probability(counts, config.subsample, config.subsample_rule)
    key, segment_T = run_keys(config.seed).subsample, np.array(corpus.tokens[: 64 * C])
    kept = jax.jit(window.subsample)(key, segment_T, keep_V)
    size = int(kept.size)
    words, sentences = np.asarray(kept.tokens_T), np.asarray(kept.sentences_T)
    near = [
        (words[i], words[j])
        for i in range(min(C, size))
        for j in range(max(i - W, 0), min(i + W + 1, size))
        if i != j and sentences[i] == sentences[j]
    ]
    if not near:
        raise InputError(
            f"corpus {config.corpus} has no pairs among its first words: no sentence "
            "keeps two of them; give longer lines, a lower --min_count or --subsample=0"
        )
    config = dataclasses.replace(config, blocks_per_step=1)
    half_T = window.half_windows(key, segment_T.shape, W, dynamic=False)
    windows = window.lay_windows(kept, half_T)
    return Study(config, counts, params, windows, np.array(near))


def _float64(study: Study) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.asarray(table, np.float64) for table in study.params)


def _positives(study: Study, rule: str):
    """Distinct centre words X, their positives n_XV, and m_XV that noise stands for."""
    centers_P, contexts_P = study.pairs_P2.T
    words_X, place_P = np.unique(centers_P, return_inverse=True)
    n_XV = np.zeros((len(words_X), len(study.counts)))
    np.add.at(n_XV, (place_P, contexts_P), 1)
    m_X1 = np.sum(n_XV, axis=1, keepdims=True)
    # Skip: a noise word does not count for the pairs whose context it is.
    return words_X, n_XV, m_X1 - n_XV if rule == "skip" else m_X1 + 0 * n_XV


def mean_gradient(study: Study, P_V: np.ndarray, K: float, rule: str) -> Params:
    """The module's mean as matrix products, in NumPy float64."""
    words_X, n_XV, m_XV = _positives(study, rule)
    w_in, u_VD = _float64(study)
    v_XD = w_in[words_X]
    s_XV = v_XD @ u_VD.T
    g_XV = -n_XV * sigmoid(-s_XV) + K * P_V * m_XV * sigmoid(s_XV)
    mean_in = np.zeros(w_in.shape)
    mean_in[words_X] = g_XV @ u_VD
    return Params(mean_in, g_XV.T @ v_XD)


def shared_variance(study: Study, P_V: np.ndarray, rule: str) -> float:
    """The variance of f_w over one draw of w; times K²/N that of the block."""
    words_X, _, m_XV = _positives(study, rule)
    w_in, u_VD = _float64(study)
    v_XD = w_in[words_X]
    # f_w has the rows f_xw·u_w for the centres x, and Σ_x f_xw·v_x for w.
    f_XV = m_XV * sigmoid(v_XD @ u_VD.T)
    out_VD = f_XV.T @ v_XD
    square_V = np.sum(f_XV**2, 0) * np.sum(u_VD**2, 1) + np.sum(out_VD**2, 1)
    mean_in_XD, mean_out_VD = (P_V * f_XV) @ u_VD, P_V[:, None] * out_VD
    return float(P_V @ square_V - np.sum(mean_in_XD**2) - np.sum(mean_out_VD**2))


def independent_variance(study: Study, P_V: np.ndarray, rule: str) -> float:
    """The same of each pair alone, summed over the pairs; times K that of the block."""
    centers_P, contexts_P = study.pairs_P2.T
    w_in, u_VD = _float64(study)
    v_PD = w_in[centers_P]
    f_PV = sigmoid(v_PD @ u_VD.T)  # the rows f_pw·u_w for the centre, f_pw·v_p for w
    if rule == "skip":
        f_PV[np.arange(len(f_PV)), contexts_P] = 0
    length_P, length_V = np.sum(v_PD**2, 1), np.sum(u_VD**2, 1)
    square_P = (P_V * f_PV**2) @ length_V + (f_PV**2 @ P_V) * length_P
    mean_in_PD, mean_out_P = (P_V * f_PV) @ u_VD, (f_PV**2 @ P_V**2) * length_P
    return float(np.sum(square_P - mean_out_P) - np.sum(mean_in_PD**2))


class Point(NamedTuple):
    """What the draws at one setting give, beside what they should."""

    z_mean: float  #: largest |z| of the mean, over J directions
    variance: float  #: Monte Carlo
    standard_error: float  #: of the variance
    exact_variance: float  #: the module's closed form
    square_mean: float  #: |mean gradient|²

    @property
    def z_variance(self) -> float:
        return (self.variance - self.exact_variance) / self.standard_error


def measure(study: Study, config: Config, key: jax.Array, draws: int) -> Point:
    """Draws the step's gradient many times at the settings of ``config``."""
    P_V = noise_probabilities(study.counts, config.noise_exponent)
    rule, K, N = config.collisions, config.negatives, config.noise_words
    mean = mean_gradient(study, P_V, K, rule)
    if config.negatives_mode == "shared":
        exact = K**2 / N * shared_variance(study, P_V, rule)
    else:
        exact = K * independent_variance(study, P_V, rule)
    square_mean = sum(float(np.sum(m**2)) for m in mean)
    directions = _directions(config.seed, mean)
    sampling = make_sampling(config, study.counts)
    # The exponent is in the sampling table: one compiled program for all of them.
    static = dataclasses.replace(config, noise_exponent=0.75)
    text = study.params, study.windows
    samples = _draw(static, draws, *text, sampling, key, mean, directions)
    deviation_M, along_M, on_MJ = (np.asarray(x, np.float64) for x in samples)
    expected_J = sum(
        np.sum((x_JV @ m) * y_JD, axis=1)
        for m, (x_JV, y_JD) in zip(mean, directions, strict=True)
    )
    z = largest_z(np.column_stack([along_M, on_MJ]), np.append(square_mean, expected_J))
    square_M = deviation_M + square_mean
    error = square_M.std(ddof=1) / np.sqrt(draws)
    return Point(z, float(square_M.mean()), float(error), float(exact), square_mean)


def _directions(seed, params):
    """J random directions x⊗y for each table: cheap to hold, cheap to project on."""
    rng = np.random.default_rng(seed)
    sizes = (table.shape for table in params)
    return Params(*([rng.normal(size=(J, n)) for n in shape] for shape in sizes))


@partial(jax.jit, static_argnames=("config", "draws"))
def _draw(config, draws, params, windows, sampling, key, mean, directions):
    """M steps' gradients, each as |g − mean|² − |mean|², g·mean and g·directions.

    The gradient is made as a training step makes it. That the sums are of float32
    moves the variance by less than a thousandth of its standard error.
    """
    keys = run_keys(config.seed)._replace(noise=key)
    starts_B = jnp.zeros(1, jnp.int32)

    def one(step):
        batch = sample_batch(config, step, keys, sampling, windows, starts_B)
        rows = params.w_in[batch.centers_BC], params.w_out[batch.words_BR]
        _, gradient = block.block_gradient(block.BlockRows(*rows), batch.weights)
        tables = map(len, params), *rows_of_words(gradient, batch)
        by_word = (
            merge_rows(jnp.zeros(V, jnp.int32), ids, rows)
            for V, ids, rows in zip(*tables, strict=True)
        )
        parts = map(_statistics, by_word, mean, directions)
        return jax.tree.map(jnp.add, *parts)

    return jax.lax.map(one, jnp.arange(draws))


def _statistics(gradient, mean_VD, direction):
    """One table's share; rows that the step does not touch add |mean|² to the first."""
    ids_R, rows_RD, _ = gradient
    x_JV, y_JD = direction
    mean_RD = mean_VD.at[ids_R].get(mode="fill", fill_value=0)
    x_JR = x_JV.at[:, ids_R].get(mode="fill", fill_value=0)
    deviation = jnp.sum((rows_RD - mean_RD) ** 2 - mean_RD**2)
    along_mean = jnp.sum(rows_RD * mean_RD)
    return deviation, along_mean, jnp.einsum("jr,rd,jd->j", x_JR, rows_RD, y_JD)
