"""The gradient of the loss, derived by hand.

With s = u·v and the two facts d/ds log σ(s) = σ(−s) and d/ds log σ(−s) = −σ(s):

    L = −log σ(s_o) − Σ_k log σ(−s_k),   s_o = u_o·v_c,   s_k = u_k·v_c
    ∂L/∂s_o = −σ(−s_o) = σ(s_o) − 1,     ∂L/∂s_k = σ(s_k)
    ∂L/∂v_c = −σ(−s_o)·u_o + Σ_k σ(s_k)·u_k        (∂s/∂v = u)
    ∂L/∂u_o = −σ(−s_o)·v_c                         (∂s/∂u = v)
    ∂L/∂u_k =  σ(s_k)·v_c,  added up where words repeat

σ(s) − 1 is written −σ(−s): the difference rounds to 0 in float32 from s = 17 on,
the product form keeps every digit. With the label y = +1 of a positive and −1 of a
noise word both are −y·σ(−y·s): :func:`slope`, which every tier takes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid
from jax.typing import ArrayLike

from sgns_jax.loss import (
    Collisions,
    check_shapes,
    counted,
    expected_terms,
    lookup,
)
from sgns_jax.types import Params


def slope(y: Array | float, s: Array) -> Array:
    """d/ds of −log σ(y·s), one term of the loss: −y·σ(−y·s).

    y is +1 for a positive, which gives −σ(−s), and −1 for a noise word, which gives
    σ(s); any other number is right, too. Shapes are broadcast.
    """
    return -y * sigmoid(-y * s)


class PairGradient(NamedTuple):
    """The gradient of a pair's loss by the rows that the pair reads."""

    v_D: Array  #: (D,) ∂L/∂v_c
    u_D: Array  #: (D,) ∂L/∂u_o
    u_KD: Array  #: (K, D) ∂L/∂u_k, one row for each noise word drawn


def row_gradient(v_D: Array, u_D: Array, u_KD: Array, counted_K: Array) -> PairGradient:
    """The module's formulas on the rows themselves; noise words not counted give 0."""
    g = slope(+1, u_D @ v_D)
    g_K = jnp.where(counted_K, slope(-1, u_KD @ v_D), 0)
    return PairGradient(v_D=g * u_D + g_K @ u_KD, u_D=g * v_D, u_KD=jnp.outer(g_K, v_D))


def pair_gradient(
    params: Params,
    center: ArrayLike,
    context: ArrayLike,
    negatives: ArrayLike,
    collisions: Collisions = "keep",
) -> Params:
    """The gradient of :func:`~sgns_jax.loss.pair_loss`, derived by hand.

        L = −log σ(s_o) − Σ_k log σ(−s_k),   s_o = u_o·v_c,   s_k = u_k·v_c
        ∂L/∂s_o = −σ(−s_o) = σ(s_o) − 1,     ∂L/∂s_k = σ(s_k)
        ∂L/∂v_c = −σ(−s_o)·u_o + Σ_k σ(s_k)·u_k        (∂s/∂v = u)
        ∂L/∂u_o = −σ(−s_o)·v_c                         (∂s/∂u = v)
        ∂L/∂u_k =  σ(s_k)·v_c,  added up where words repeat

    Args:
      params, center, context, negatives, collisions: as in ``pair_loss``.

    Returns:
      ``Params`` of the shapes and dtypes of ``params``; all rows but c, o and the
      noise words are zero. Ids outside 0..V−1 make the other rows NaN.

    Raises:
      ValueError: if ids have other shapes, or collisions is unknown.

    Example: at v_c = [1, 2] and u_o = [0, 0] with no noise, ∂L/∂u_o = [−½, −1].

    Source: Mikolov et al. 2013 (arXiv 1310.4546), equation (4), differentiated.
    """
    check_shapes(
        "pair_gradient", "for many pairs use batch_gradient",
        center=(center, ""), context=(context, ""), negatives=(negatives, "K"),
    )  # fmt: skip
    one = [jnp.asarray(ids)[None] for ids in (center, context, negatives)]
    return batch_gradient(params, *one, collisions)


def batch_gradient(
    params: Params,
    centers: ArrayLike,
    contexts: ArrayLike,
    negatives: ArrayLike,
    collisions: Collisions = "keep",
) -> Params:
    """The gradient of ``batch_loss``: row gradients of P pairs, added up by word.

    Ids are (P,), (P,) and (P, K). Rows of P pairs are computed side by side and
    scattered once; no (P, V, D) array is made.

    Raises:
      ValueError: if ids have other shapes, or collisions is unknown.
    """
    check_shapes(
        "batch_gradient", "for one pair use pair_gradient",
        centers=(centers, "P"), contexts=(contexts, "P"), negatives=(negatives, "PK"),
    )  # fmt: skip

    def one(center, context, noise_ids):
        return row_gradient(
            lookup(params.w_in, center),
            lookup(params.w_out, context),
            lookup(params.w_out, noise_ids),
            counted(noise_ids, context, collisions),
        )

    rows = jax.vmap(one)(centers, contexts, negatives)
    w_in = scatter_rows(params.w_in, (centers, rows.v_D))
    w_out = scatter_rows(params.w_out, (contexts, rows.u_D), (negatives, rows.u_KD))
    return Params(w_in, w_out)


def scatter_rows(like: Array, *updates: tuple[ArrayLike, Array]) -> Array:
    """Zeros of a table's shape, plus each (ids, rows); repeated ids add up."""
    total = jnp.zeros(like.shape, jnp.promote_types(like.dtype, jnp.float32))
    for ids, rows in updates:
        at = total.at[jnp.ravel(ids)]
        rows = rows.reshape(-1, like.shape[1])
        total = at.add(rows, mode="drop", wrap_negative_indices=False)
    return total.astype(like.dtype)


def expected_gradient(
    params: Params,
    center: ArrayLike,
    context: ArrayLike,
    noise_probs: ArrayLike,
    num_negatives: ArrayLike,
    collisions: Collisions = "keep",
) -> Params:
    """The gradient of :func:`~sgns_jax.loss.expected_loss`, derived by hand.

        ∂L/∂v_c = −σ(−s_o)·u_o + K Σ_w P_n(w)·σ(s_w)·u_w
        ∂L/∂u_w =  K·P_n(w)·σ(s_w)·v_c − [w = o]·σ(−s_o)·v_c

    Arguments, shapes and errors as in ``expected_loss``. Returns ``Params``.
    """
    v_D, u_D, u_VD, probs_V = expected_terms(
        "expected_gradient", params, center, context, noise_probs, collisions
    )
    g = slope(+1, u_D @ v_D)
    g_V = num_negatives * probs_V * slope(-1, u_VD @ v_D)
    w_in = scatter_rows(params.w_in, (jnp.asarray(center), g * u_D + g_V @ u_VD))
    positive = scatter_rows(u_VD, (jnp.asarray(context), g * v_D))
    w_out = jnp.outer(g_V, v_D) + positive
    return Params(w_in, w_out.astype(params.w_out.dtype))
