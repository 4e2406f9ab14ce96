"""The blocked objective: many pairs as two matrix products, and its gradient.

A block is C consecutive kept tokens (the centres) and W positions to either side,
E = C + 2W in all. Its positives are the entries of one banded (C, E) score matrix.
Its noise is either

- shared: N words drawn once a block stand for K words a pair, each with weight K/N.
  Every pair's K expectations are then estimated by the same N words: the mean over
  draws is the paper's loss, and a row is read once a token, not once a pair; or
- independent: each pair draws K words of its own, as the paper says.

Both are one formula, since both say: centre c has score s against some noise rows,
and each such score counts with a weight.

    L = −Σ_ce mask·log σ(v_c·u_e) − Σ_cn weight·log σ(−v_c·u_n)

The source of sharing noise words is Ji et al. 2016 (pWord2Vec, arXiv 1604.04661);
here the shared words are weighted so that the expectation stays the paper's.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.nn import log_sigmoid, sigmoid

from sgns_jax.loss import Collisions, counted


class BlockRows(NamedTuple):
    """The rows that B blocks read, or the gradient by them."""

    v_BCD: Array  #: (B, C, D) centre vectors
    u_BED: Array  #: (B, E, D) context vectors of the positions
    u_noise: Array  #: (B, N, D) shared noise, or (B, C, M, D) independent noise


class BlockWeights(NamedTuple):
    """How often each score of a block counts."""

    mask_BCE: Array  #: (B, C, E) bool, the positives
    weight_noise: Array  #: (B, C, N) or (B, C, M) ≥ 0, the noise words


class LossParts(NamedTuple):
    """The two sums of the loss, apart, and the number of positives behind them."""

    positive: Array  #: −Σ log σ(s) over the positives
    negative: Array  #: −Σ weight·log σ(−s) over the noise words
    pairs: Array  #: number of positives, int32


def pair_columns(block: int, window: int) -> Array:
    """(C, 2W) positions of the possible contexts of each centre of a block."""
    offset = jnp.arange(1, window + 1)
    offset = jnp.concatenate([-offset[::-1], offset])
    return jnp.arange(block)[:, None] + window + offset[None]


def shared_weights(
    tokens_BE: Array,
    mask_BCE: Array,
    noise_BN: Array,
    num_negatives: float,
    collisions: Collisions,
) -> Array:
    """(B, C, N) weights K/N · (positives of c that noise word n may stand against).

    ``keep`` counts all m_c positives of a centre; ``skip`` leaves out those that are
    the noise word itself.
    """
    N = noise_BN.shape[1]
    mask_BCE = mask_BCE.astype(float)  # float64 where x64 is on
    if collisions == "keep":
        pairs_BCN = jnp.sum(mask_BCE, axis=2, keepdims=True)
        pairs_BCN = jnp.broadcast_to(pairs_BCN, (*mask_BCE.shape[:2], N))
    else:
        differ_BEN = counted(noise_BN[:, None, :], tokens_BE[:, :, None], collisions)
        pairs_BCN = mask_BCE @ differ_BEN.astype(float)
    return num_negatives / N * pairs_BCN


def independent_weights(
    tokens_BE: Array, mask_BCE: Array, noise_BCM: Array, collisions: Collisions
) -> Array:
    """(B, C, M) weights 1 or 0: noise word m of a centre counts if its pair exists.

    The M = 2W·K noise words of a centre stand pair by pair, K after K, in the order
    of :func:`pair_columns`.
    """
    B, C, M = noise_BCM.shape
    columns_CP = pair_columns(C, (mask_BCE.shape[2] - C) // 2)
    P = columns_CP.shape[1]
    exists_BCP = jnp.take_along_axis(mask_BCE, columns_CP[None], axis=2)
    context_BCP = tokens_BE[:, columns_CP]
    noise_BCPK = noise_BCM.reshape(B, C, P, M // P)
    counts = counted(noise_BCPK, context_BCP[..., None], collisions)
    weight_BCPK = exists_BCP[..., None] & counts
    return weight_BCPK.reshape(B, C, M).astype(float)


def _noise_axes(u_noise: Array) -> str:
    """The axes of noise rows in einsum letters: shared by the block, or of a centre."""
    return "bnd" if u_noise.ndim == 3 else "bcnd"


def _scores(rows: BlockRows) -> tuple[Array, Array]:
    noise = _noise_axes(rows.u_noise)
    positive_BCE = jnp.einsum("bcd,bed->bce", rows.v_BCD, rows.u_BED)
    return positive_BCE, jnp.einsum(f"bcd,{noise}->bcn", rows.v_BCD, rows.u_noise)


def _parts(s_BCE: Array, s_noise: Array, weights: BlockWeights) -> LossParts:
    mask_BCE, weight_noise = weights
    return LossParts(
        positive=-jnp.sum(log_sigmoid(s_BCE), where=mask_BCE),
        negative=-jnp.sum(weight_noise * log_sigmoid(-s_noise)),
        pairs=jnp.sum(mask_BCE, dtype=jnp.int32),
    )


def block_loss(rows: BlockRows, weights: BlockWeights) -> LossParts:
    """The module's L, its two sums apart; L is ``parts.positive + parts.negative``.

    Equals the sum of ``pair_loss`` over the positives when noise is independent, and
    has ``expected_loss`` for its expectation either way (for shared noise, with the
    noise words weighted K/N).
    """
    return _parts(*_scores(rows), weights)


def block_gradient(
    rows: BlockRows, weights: BlockWeights
) -> tuple[LossParts, BlockRows]:
    """The gradient of :func:`block_loss` by the rows, derived by hand, and the loss.

        G⁺ = −mask ∘ σ(−S⁺)      S⁺ = V·Uᵀ      ∂L/∂S⁺
        G⁻ = weight ∘ σ(S⁻)      S⁻ = V·U_Nᵀ    ∂L/∂S⁻
        ∂L/∂V = G⁺·U + G⁻·U_N,   ∂L/∂U = G⁺ᵀ·V,   ∂L/∂U_N = G⁻ᵀ·V

    It is ``row_gradient`` summed over the block, written as matrix products. Scores
    and loss come for free beside it.
    """
    v_BCD, u_BED, u_noise = rows
    noise = _noise_axes(u_noise)
    s_BCE, s_noise = _scores(rows)
    g_BCE = jnp.where(weights.mask_BCE, -sigmoid(-s_BCE), 0)
    g_noise = weights.weight_noise * sigmoid(s_noise)
    gradient = BlockRows(
        v_BCD=jnp.einsum("bce,bed->bcd", g_BCE, u_BED)
        + jnp.einsum(f"bcn,{noise}->bcd", g_noise, u_noise),
        u_BED=jnp.einsum("bce,bcd->bed", g_BCE, v_BCD),
        u_noise=jnp.einsum(f"bcn,bcd->{noise}", g_noise, v_BCD),
    )
    return _parts(s_BCE, s_noise, weights), gradient
