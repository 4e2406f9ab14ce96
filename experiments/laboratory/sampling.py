"""What the gradient is an average over: are the noise words fresh, and from P_n?"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from experiments.laboratory import block_problems
from experiments.laboratory.answers import EXACT
from experiments.laboratory.bounds import Comparison
from experiments.laboratory.problems import COUNTS_V, EXPONENT, V
from sgns_jax import noise, step, window

_CHANCE = (
    1e-9  # that a sound sampler fails a check; keys are fixed, so it never flickers
)
_WORDS = 4096


def examinations() -> list[Callable[[], list[Comparison]]]:
    return [examine]


def examine() -> list[Comparison]:
    """Whether steps draw anew, the table's distribution, and the drawn one."""
    first, second, table = _draws()
    probs_V = fifty_digit_noise()
    return [
        _fresh(first, second, probs_V),
        _implied(table, probs_V),
        _drawn(first, probs_V),
    ]


def fifty_digit_noise() -> np.ndarray:
    """P_n ∝ f^α at 50 digits, rounded once."""
    powers = [EXACT.mpf(float(f)) ** EXACT.mpf(EXPONENT) for f in COUNTS_V]
    return np.array([float(p / EXACT.fsum(powers)) for p in powers])


def _draws() -> tuple[np.ndarray, np.ndarray, noise.AliasTable]:
    """Noise words that the trainer's sampling draws in its first two steps."""
    config = dataclasses.replace(
        block_problems.trainer_config("shared", "keep"), noise_words=_WORDS
    )
    keys, sampling = step.run_keys(0), step.make_sampling(config, COUNTS_V)
    windows = window.Windows(*(jnp.zeros(8, jnp.int32),) * 3)
    starts_B = jnp.arange(config.blocks_per_step) * config.block_size

    @jax.jit
    def words(count):
        batch = step.sample_batch(config, count, keys, sampling, windows, starts_B)
        return batch.words_BR[:, -_WORDS:]

    return np.asarray(words(0)).ravel(), np.asarray(words(1)).ravel(), sampling.noise


def _fresh(first, second, probs_V) -> Comparison:
    """Two independent draws agree with chance Σ P_n²."""
    chance, n = np.sum(probs_V**2), len(first)
    z = abs(np.mean(first == second) - chance) / np.sqrt(chance * (1 - chance) / n)
    bound = scipy.stats.norm.isf(_CHANCE / 2)
    why = f"z of agreeing words; {_CHANCE:g} by chance"
    return _statement("noise words of two steps", "z of agreement", z, bound, why)


def _implied(table, probs_V) -> Comparison:
    """Shares are whole: half a share a word, and the rest of V/2 on the largest."""
    error = np.max(abs(noise.implied_distribution(table) - probs_V))
    bound = (V + 1) / 2 / (V * 2**32) + 4 * np.finfo(np.float64).eps
    why = "half a share of 1/(V·2³²) for each of V words, and 4 ε"
    return _statement("alias table", "P_n, 50 digits", error, bound, why)


def _drawn(first, probs_V) -> Comparison:
    expected_V = len(first) * probs_V
    seen_V = np.bincount(first, minlength=V)
    statistic = np.sum((seen_V - expected_V) ** 2 / expected_V)
    bound = scipy.stats.chi2.isf(_CHANCE, V - 1)
    why = f"χ² with {V - 1} degrees of freedom; {_CHANCE:g} by chance"
    return _statement("noise words drawn", "χ² of P_n", statistic, bound, why)


def _statement(quantity, against, error, bound, why) -> Comparison:
    return Comparison(
        quantity, f"alpha={EXPONENT:g}", "float32", against, float(error), float("nan"),
        "all words", float(bound), why, bool(error <= bound),
    )  # fmt: skip
