"""The blocked objective: many pairs as matrix products, and its gradient by hand.

A block is C consecutive kept tokens, the centres, against R words: the E = C + 2W
tokens around the centres (label y = +1) and N noise words (y = −1). A weight says how
often each (centre, word) score counts:

    L = −Σ_cr weight_cr · log σ(y_r · s_cr),   s_cr = v_c·u_r

For a token the weight is 1 where it is a context of the centre and 0 elsewhere, a
band. For a noise word it says how many noise words of the paper it stands for:

- shared noise: N words drawn once a block stand for the K words of each of the m_c
  pairs of a centre, each with weight m_c·K/N. Its expectation is the paper's loss,
  and a row is read once a token, not once a pair.
- independent noise: a block is one centre (C = 1), and each of its 2W possible pairs
  draws K words of its own (N = 2W·K), with weight 1 where the pair exists.

Sharing noise words between pairs comes from Ji et al. 2016 (pWord2Vec, arXiv
1604.04661); the weights that keep the expectation are ours.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import log_sigmoid

from sgns_jax.gradient import slope
from sgns_jax.loss import Collisions, counted


class BlockRows(NamedTuple):
    """The rows that B blocks read, or the gradient by them."""

    v_BCD: Array  #: (B, C, D) centre vectors
    u_BRD: Array  #: (B, R, D) context vectors of the E tokens and N noise words


class BlockWeights(NamedTuple):
    """What each score of a block is compared with, and how often it counts."""

    label_R: Array  #: (R,) y: +1 for the E tokens, −1 for the N noise words
    weight_BCR: Array  #: (B, C, R) ≥ 0


class LossParts(NamedTuple):
    """The two sums of the loss, apart, and the number of positives behind them."""

    positive: Array  #: −Σ log σ(s) over the positives
    negative: Array  #: −Σ weight·log σ(−s) over the noise words
    pairs: Array  #: number of positives, int32


def block_loss(
    rows: BlockRows, weights: BlockWeights, columns: str | None = None
) -> LossParts:
    """The module's L, its two sums apart; L is ``parts.positive + parts.negative``.

    With independent noise it equals the sum of ``pair_loss`` over the positives; with
    shared noise that sum with K/N for the weight of a noise word. ``expected_loss``
    is the expectation of both.

    Args:
      rows, weights: see their classes.
      columns: the mesh axis that the D columns are split over, if they are; each of its
        devices gives its columns of the rows, and is given the whole loss.
    """
    return _parts(scores(*rows, columns), weights)


def scores(v_BCD: Array, u_BRD: Array, columns: str | None = None) -> Array:
    """S = V·Uᵀ, (B, C, R), added up in float32 where the rows are of half precision.

    Where columns are split, a device has a part of each sum, and they are added up.
    """
    dtype = jnp.promote_types(v_BCD.dtype, jnp.float32)
    s_BCR = jnp.einsum("bcd,brd->bcr", v_BCD, u_BRD, preferred_element_type=dtype)
    if columns is None:
        return s_BCR
    # Autodiff is by this device's columns: the parts of the others are constants.
    constant_BCR = jax.lax.stop_gradient(s_BCR)
    return jax.lax.psum(constant_BCR, columns) + (s_BCR - constant_BCR)


def block_gradient(
    rows: BlockRows, weights: BlockWeights, columns: str | None = None
) -> tuple[LossParts, BlockRows]:
    """The gradient of :func:`block_loss` by the rows, derived by hand, and the loss.

        S = V·Uᵀ,   G = ∂L/∂S = −y ∘ weight ∘ σ(−y ∘ S)
        ∂L/∂V = G·U,   ∂L/∂U = Gᵀ·V

    It is ``row_gradient`` summed over the pairs: for y = +1 an entry of G is
    −σ(−s), for y = −1 it is +σ(s). The products take G in the dtype of the rows; they
    are added up, and the gradient is returned, in float32 or wider. Column d of both
    depends on the other columns by S alone: split over ``columns`` (as for the loss),
    each device derives its own.
    """
    v_BCD, u_BRD = rows
    s_BCR = scores(v_BCD, u_BRD, columns)
    y_11R = weights.label_R[None, None, :]
    g_BCR = weights.weight_BCR * slope(y_11R, s_BCR)
    # Turned by itself: inside the product, XLA for CPUs takes a slower path.
    g_BRC = jax.lax.optimization_barrier(jnp.swapaxes(g_BCR, 1, 2))
    g_BCR, g_BRC = (cast(g, v_BCD.dtype) for g in (g_BCR, g_BRC))
    wide = {"preferred_element_type": s_BCR.dtype}
    gradient = BlockRows(
        v_BCD=jnp.einsum("bcr,brd->bcd", g_BCR, u_BRD, **wide),
        u_BRD=jnp.einsum("brc,bcd->brd", g_BRC, v_BCD, **wide),
    )
    return _parts(s_BCR, weights), gradient


def cast(x: Array, dtype: jnp.dtype) -> Array:
    """``x.astype(dtype)``; float32 to bfloat16 in a quarter of the time on CPUs.

    XLA keeps the payload of each NaN there. The upper half of a float32 that was
    rounded to bfloat16's 8 bits is that bfloat16.
    """
    if x.dtype != jnp.float32 or dtype != jnp.bfloat16:
        return x.astype(dtype)
    rounded = jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)
    upper = jax.lax.bitcast_convert_type(rounded, jnp.uint32) >> 16
    return jax.lax.bitcast_convert_type(upper.astype(jnp.uint16), dtype)


def _parts(s_BCR: Array, weights: BlockWeights) -> LossParts:
    label_R, weight_BCR = weights
    terms_BCR = -weight_BCR * log_sigmoid(label_R[None, None, :] * s_BCR)
    terms_R, count_R = (jnp.sum(x, axis=(0, 1)) for x in (terms_BCR, weight_BCR))
    is_token_R = label_R > 0
    return LossParts(
        positive=jnp.sum(terms_R, where=is_token_R),
        negative=jnp.sum(terms_R, where=~is_token_R),
        pairs=jnp.sum(count_R, where=is_token_R).astype(jnp.int32),
    )


def shared_weights(
    tokens_BE: Array,
    mask_BCE: Array,
    noise_BN: Array,
    num_negatives: float,
    collisions: Collisions,
) -> BlockWeights:
    """Weights for N noise words that all pairs of a block share.

    K/N · m_c for each, m_c the centre's positives; ``skip`` takes from m_c those that
    are the noise word itself.

    Args:
      tokens_BE: (B, E) words at the block's positions.
      mask_BCE: (B, C, E) bool, which of them are contexts of which centre.
      noise_BN: (B, N) noise words.
      num_negatives: K; it may be traced.
      collisions: ``keep`` or ``skip``.
    """
    B, N = noise_BN.shape
    mask_BCE = mask_BCE.astype(float)  # float64 where x64 is on
    if collisions == "keep":
        m_BC = jnp.sum(mask_BCE, axis=2)
        m_BCN = jnp.broadcast_to(m_BC[:, :, None], (*m_BC.shape, N))
    else:
        differ_BEN = counted(noise_BN[:, None, :], tokens_BE[:, :, None], collisions)
        m_BCN = mask_BCE @ differ_BEN.astype(float)
    return _weights(mask_BCE, num_negatives / N * m_BCN)


def independent_weights(
    tokens_BE: Array,
    mask_BCE: Array,
    noise_BN: Array,
    num_negatives: float,
    collisions: Collisions,
) -> BlockWeights:
    """Weights for blocks of one centre whose 2W possible pairs draw words each.

    Arguments as in :func:`shared_weights`, with C = 1, E = 1 + 2W, N = 2W·(words
    drawn by a pair): the noise words stand pair by pair, from the leftmost context to
    the rightmost. The first K of each pair count, so that models with different K fit
    into one program.
    """
    B, N = noise_BN.shape
    W = tokens_BE.shape[1] // 2

    def contexts(values_BE):  # without the centre
        return jnp.concatenate([values_BE[:, :W], values_BE[:, W + 1 :]], axis=1)[
            ..., None
        ]

    noise_BPK = noise_BN.reshape(B, 2 * W, -1)
    counts_BPK = counted(noise_BPK, contexts(tokens_BE), collisions)
    counts_BPK &= jnp.arange(noise_BPK.shape[2])[None, None] < num_negatives
    exists_BP1 = contexts(mask_BCE[:, 0, :])
    weight_BN = (exists_BP1 & counts_BPK).reshape(B, N)
    return _weights(mask_BCE.astype(float), weight_BN[:, None, :].astype(float))


def _weights(mask_BCE: Array, weight_BCN: Array) -> BlockWeights:
    E, N = mask_BCE.shape[2], weight_BCN.shape[2]
    label_R = jnp.concatenate([jnp.ones(E), -jnp.ones(N)])
    return BlockWeights(label_R, jnp.concatenate([mask_BCE, weight_BCN], axis=2))
