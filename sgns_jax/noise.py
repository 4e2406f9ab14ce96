"""The noise: P_n ∝ f^α for any real α, and exact draws from it.

Draws use Walker's alias method (Walker 1977; tables as Vose 1991 builds them). The
table is built in whole numbers: slot i keeps i with probability threshold[i] / 2³²
and gives alias[i] otherwise, so the distribution it draws from is a fraction that
can be read back without error.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from sgns_jax.types import InputError

_ONE = 2**32  # a slot's whole mass: the coin is one 32-bit random number


class AliasTable(NamedTuple):
    """A distribution over V words, drawn from in constant time."""

    threshold: Array  #: (V,) uint32: slot i keeps i when its coin is below this
    alias: Array  #: (V,) int32: the word that slot i gives otherwise


def noise_distribution(counts: ArrayLike, exponent: ArrayLike) -> Array:
    """P_n(w) = f(w)^α / Σ_w' f(w')^α, for any real α.

    α = 1 is the unigram distribution, 0.75 word2vec's choice, 0 uniform; α < 0
    prefers rare words. A word with count 0 was never seen and has probability 0 at
    every α. Computed from α·log f, so that no power overflows.

    Args:
      counts: (V,) f, numbers ≥ 0, at least one above 0.
      exponent: α, a real number; it may be traced, and differentiated by.

    Returns:
      (V,) probabilities that sum to 1; float64 where x64 is on, else float32.

    Example: counts [16, 1], α = 0.75 → [8/9, 1/9].

    Source: Mikolov et al. 2013, section 2.2; Caselles-Dupré et al. 2018 for α < 0.
    """
    counts = jnp.asarray(counts, float)  # as int32, 3 billion would turn negative
    seen = counts > 0
    log_f = jnp.log(jnp.where(seen, counts, 1))
    return jax.nn.softmax(exponent * log_f, where=seen)


def alias_table(counts: ArrayLike, exponent: float) -> AliasTable:
    """The alias table of P_n ∝ counts^exponent; built once, on the host, in float64.

    Every word with a count above 0 can be drawn, however small its probability: it
    has at least one of the V·2³² shares that probabilities are rounded to.

    Raises:
      InputError: if counts hold no positive number, or anything negative or NaN; if
        the exponent is not finite, or so large that α·log f is not.
    """
    counts = np.asarray(counts, np.float64)
    if not (counts.ndim == 1 and np.all(counts >= 0) and np.any(counts > 0)):
        raise InputError(
            "alias_table: counts must be a (V,) array of numbers >= 0 with at least "
            f"one above 0, got shape {counts.shape} with sum {counts.sum()}"
        )
    if not np.isfinite(exponent):
        raise InputError(f"noise exponent must be a finite number, got {exponent}")
    with jax.enable_x64(True):
        probs_V = np.asarray(noise_distribution(counts, exponent))
    if not np.isfinite(probs_V).all():
        raise InputError(
            f"noise exponent {exponent:g} overflows float64 with counts up to "
            f"{counts.max():g}; give one nearer to 0"
        )
    return _vose(_shares(probs_V, counts > 0))


def _shares(probs_V: np.ndarray, seen_V: np.ndarray) -> np.ndarray:
    """Probabilities as whole numbers of shares, V·2³² in all."""
    total = len(probs_V) * _ONE
    shares_V = np.rint(probs_V * total).astype(np.int64)
    shares_V = np.where(seen_V, np.maximum(shares_V, 1), 0)
    # Rounding is off by at most one share a word; the largest word does not feel it.
    shares_V[np.argmax(shares_V)] += total - shares_V.sum()
    return shares_V


def _vose(shares_V: np.ndarray) -> AliasTable:
    """Fills each slot with one word below the mean and one above it."""
    share = shares_V.tolist()
    threshold, alias = [_ONE - 1] * len(share), list(range(len(share)))
    small = [word for word, n in enumerate(share) if n < _ONE]
    large = [word for word, n in enumerate(share) if n > _ONE]
    while small:  # the total is V·2³², so a word below the mean leaves one above it
        low, high = small.pop(), large[-1]
        threshold[low], alias[low] = share[low], high
        share[high] -= _ONE - share[low]
        if share[high] <= _ONE:
            large.pop()
            if share[high] < _ONE:
                small.append(high)
    return AliasTable(
        jnp.asarray(np.array(threshold, np.uint32)),
        jnp.asarray(np.array(alias, np.int32)),
    )


def implied_distribution(table: AliasTable) -> np.ndarray:
    """The distribution that draws from a table follow: (V,) float64.

    Summed in whole numbers; the one rounding is the division by V·2³² at the end.
    """
    threshold = np.asarray(table.threshold).astype(np.int64)
    alias = np.asarray(table.alias)
    slots = np.arange(len(alias))
    shares = np.where(alias == slots, _ONE, threshold)
    np.add.at(shares, alias, np.where(alias == slots, 0, _ONE - threshold))
    return shares / (len(alias) * _ONE)


def draw(key: Array, table: AliasTable, shape: tuple[int, ...]) -> Array:
    """Independent draws from P_n: int32 word ids of the given shape.

    A draw is one of the table's V·2³² shares: ⌊x·V·2³² / 2⁶⁴⌋ for 64 random bits x. Its
    upper part is the slot, its lower 32 bits are the coin. (One 32-bit number for
    both would leave the coin 15 bits at V = 70,000.)
    """
    high, low = jax.random.bits(key, (2, *shape), jnp.uint32)
    V = table.alias.shape[0]
    slot, middle = _multiply(high, V)
    carried, _ = _multiply(low, V)
    coin = middle + carried  # modulo 2³²
    slot = (slot + (coin < middle)).astype(jnp.int32)
    return jnp.where(coin < table.threshold[slot], slot, table.alias[slot])


def _multiply(x: Array, n: int) -> tuple[Array, Array]:
    """The upper and the lower 32 bits of x·n, for uint32 x and n < 2³²."""
    n_high, n_low = jnp.uint32(n >> 16), jnp.uint32(n & 0xFFFF)
    x_high, x_low = x >> 16, x & 0xFFFF
    low = x_low * n_low
    mixed = x_high * n_low + (low >> 16)
    other = x_low * n_high + (mixed & 0xFFFF)
    return x_high * n_high + (mixed >> 16) + (other >> 16), x * jnp.uint32(n)
