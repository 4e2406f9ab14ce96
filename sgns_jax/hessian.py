"""The Hessian of the loss times a direction, derived by hand.

For one term ℓ(s) = −weight · log σ(y·s) of a score s = v·u, with y = +1 for a positive
and −1 for a noise word:

    g = ∂ℓ/∂s = −y · weight · σ(−y·s),    h = ∂²ℓ/∂s² = y² · weight · σ(y·s)·σ(−y·s)

A direction (v̇, u̇) moves the score by ṡ = v̇·u + v·u̇, and the gradient g·u, g·v by

    (H·direction)_v = Σ h·ṡ·u + g·u̇,      (H·direction)_u = Σ h·ṡ·v + g·v̇

σ·(1 − σ) is at most ¼, reached at s = 0: for y = ±1 the curvature along v alone lies
between 0 and ¼ Σ weight·‖u‖²·‖v̇‖²; the loss is convex in v, and in u, but not in both.
"""

import jax.numpy as jnp
from jax.nn import sigmoid
from jax.typing import ArrayLike

from sgns_jax.block import BlockRows, BlockWeights, scores
from sgns_jax.gradient import scatter_rows, slope
from sgns_jax.loss import Collisions, check_shapes, counted, lookup
from sgns_jax.types import Params


def block_hvp(
    rows: BlockRows, weights: BlockWeights, direction: BlockRows
) -> BlockRows:
    """The Hessian of ``block_loss`` by the rows, times a direction of their shapes.

        S = V·Uᵀ,   Ṡ = V̇·Uᵀ + V·U̇ᵀ
        G = ∂L/∂S,  Ġ = y² ∘ weight ∘ σ(y ∘ S) ∘ σ(−y ∘ S) ∘ Ṡ
        (H·direction)_V = Ġ·U + G·U̇,   (H·direction)_U = Ġᵀ·V + Gᵀ·V̇

    Shapes as in ``block_gradient``.
    """
    (v_BCD, u_BRD), (dv_BCD, du_BRD) = rows, direction
    y_11R = weights.label_R[None, None, :]
    s_BCR = scores(v_BCD, u_BRD)
    ds_BCR = scores(dv_BCD, u_BRD) + scores(v_BCD, du_BRD)
    g_BCR = weights.weight_BCR * slope(y_11R, s_BCR)
    h_BCR = y_11R**2 * sigmoid(y_11R * s_BCR) * sigmoid(-y_11R * s_BCR)
    dg_BCR = weights.weight_BCR * h_BCR * ds_BCR
    return BlockRows(
        v_BCD=jnp.einsum("bcr,brd->bcd", dg_BCR, u_BRD)
        + jnp.einsum("bcr,brd->bcd", g_BCR, du_BRD),
        u_BRD=jnp.einsum("bcr,bcd->brd", dg_BCR, v_BCD)
        + jnp.einsum("bcr,bcd->brd", g_BCR, dv_BCD),
    )


def pair_hvp(
    params: Params,
    center: ArrayLike,
    context: ArrayLike,
    negatives: ArrayLike,
    direction: Params,
    collisions: Collisions = "keep",
) -> Params:
    """The Hessian of :func:`~sgns_jax.loss.pair_loss` times ``direction``.

    The pair is a block of one centre against 1 + K words; see the module's formulas.

    Args:
      params, center, context, negatives, collisions: as in ``pair_loss``.
      direction: ``Params`` of the shapes of ``params``.

    Returns:
      ``Params`` of the same shapes; rows that the pair does not read are zero.

    Raises:
      ValueError: if ids have other shapes, or collisions is unknown.
    """
    check_shapes(
        "pair_hvp", "for many pairs use vmap",
        center=(center, ""), context=(context, ""), negatives=(negatives, "K"),
    )  # fmt: skip
    negatives = jnp.asarray(negatives)
    words_R = jnp.concatenate([jnp.asarray(context)[None], negatives])
    counted_K = counted(negatives, context, collisions)
    weight_R = jnp.concatenate([jnp.array([True]), counted_K]).astype(float)
    label_R = jnp.where(jnp.arange(len(words_R)) == 0, 1.0, -1.0)

    def rows(tables: Params) -> BlockRows:
        v_D, u_RD = lookup(tables.w_in, center), lookup(tables.w_out, words_R)
        return BlockRows(v_D[None, None], u_RD[None])

    weights = BlockWeights(label_R, weight_R[None, None])
    product = block_hvp(rows(params), weights, rows(direction))
    return Params(
        scatter_rows(params.w_in, (jnp.asarray(center), product.v_BCD)),
        scatter_rows(params.w_out, (words_R, product.u_BRD)),
    )
