"""The sampler of noise words against P_n: its table exactly, its draws by χ²."""

import jax
import numpy as np
from jax import Array
from scipy import stats

from experiments.estimation.checks import P_BOUND, Check, rounding
from sgns_jax import noise

EXPONENTS = (-0.5, 0.0, 0.75, 1.0)


def noise_probabilities(counts: np.ndarray, exponent: float) -> np.ndarray:
    """P_n in NumPy, apart from the library's; every count is above 0."""
    power_V = (counts / counts.max()) ** float(exponent)
    return power_V / power_V.sum()


def check_sampler(counts: np.ndarray, key: Array) -> tuple[list[Check], dict]:
    """The checks of each exponent, and how often each word was drawn."""
    V = len(counts)
    draws = max(100 * V, 100_000)  # most words then have a cell of their own
    section = f"4. The sampler of noise words: {draws:,} draws among {V:,} words"
    checks, seen = [], {}
    for i, exponent in enumerate(EXPONENTS):
        P_V = noise_probabilities(counts, exponent)
        table = noise.alias_table(counts, exponent)
        error = table_error(P_V, noise.implied_distribution(table))
        what = f"exponent {exponent:g}: table's error / its rounding"
        checks.append(Check(section, what, error, "<=", 1.0))
        key_draw = jax.random.fold_in(key, i)
        ids = jax.jit(noise.draw, static_argnums=2)(key_draw, table, (draws,))
        seen[exponent] = np.bincount(np.asarray(ids), minlength=V)
        cell_V = pooled(draws * P_V)
        observed = np.bincount(cell_V, seen[exponent])
        p = stats.chisquare(observed, np.bincount(cell_V, draws * P_V)).pvalue
        what = f"exponent {exponent:g}: chi-square of {len(observed):,} cells, p"
        # Both tails: counts that agree too well were not drawn independently.
        checks.append(Check(section, what, 2 * min(p, 1 - p), ">=", P_BOUND))
    return checks, seen


def table_error(P_V: np.ndarray, implied_V: np.ndarray) -> float:
    """The largest |implied − P_n| as a part of what the table's rounding allows.

    Probabilities are whole numbers of V·2³² shares. Rounding moves a word by half a
    share, or by less than one where it would leave none; the likeliest word makes up
    for all of them. P_n itself is known to float64's rounding of V additions (and
    a power, below 100 units), once here and once in the library.
    """
    V = len(P_V)
    shares_V = P_V * V * 2**32
    allowed_V = np.where(P_V == P_V.max(), V, 1) + rounding(shares_V, 2 * (V + 100))
    return float(np.max(np.abs(implied_V * V * 2**32 - shares_V) / allowed_V))


def pooled(expected_V: np.ndarray, least: float = 5) -> np.ndarray:
    """A cell for each word, neighbours in one cell until it expects ``least``."""
    cells, cell, total = [], 0, 0.0
    for expected in expected_V:
        cells.append(cell)
        total += expected
        if total >= least:
            cell, total = cell + 1, 0.0
    # A last cell that expects less joins the one before.
    return np.minimum(cells, cell - 1)
