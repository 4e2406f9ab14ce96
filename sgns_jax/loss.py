"""The loss of skip-gram with negative sampling, as the paper writes it.

Mikolov et al. 2013, "Distributed Representations of Words and Phrases and their
Compositionality" (arXiv 1310.4546), equation (4), negated so that it is minimised.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import log_sigmoid
from jax.typing import ArrayLike

from sgns_jax.types import Params

#: What becomes of a noise word that equals the positive: counted or left out.
Collisions = Literal["keep", "skip"]


def lookup(table: ArrayLike, ids: ArrayLike) -> Array:
    """Rows of a table; an id outside 0..V−1 gives NaN, not a neighbour's row.

    JAX would otherwise clamp such an id in silence. Half-precision rows come back
    as float32: a bfloat16 dot product of 100 terms has two digits left.
    """
    table, ids = jnp.asarray(table), jnp.asarray(ids)
    rows = table.at[ids].get(mode="fill", wrap_negative_indices=False)
    return rows.astype(jnp.promote_types(table.dtype, jnp.float32))


def counted(noise_ids: ArrayLike, context: ArrayLike, collisions: Collisions) -> Array:
    """Which noise words count, as booleans: all, or those that miss the positive."""
    if collisions == "keep":
        return jnp.full(jnp.shape(noise_ids), True)
    if collisions == "skip":
        return jnp.asarray(noise_ids) != context
    raise ValueError(f"collisions must be 'keep' or 'skip', got {collisions!r}")


def check_shapes(function: str, advice: str, **arguments: tuple[Array, str]) -> None:
    """Refuses what does not have the axes that a function takes.

    Args:
      function: its name, as the user called it.
      advice: what to do, or what the axes are.
      arguments: name → array and the letters of its axes, "PK" for (P, K). A letter
        is the same number everywhere.

    Raises:
      ValueError: names the function, the argument, its shape and the one needed.
    """
    sizes: dict[str, int] = {}
    for name, (array, axes) in arguments.items():
        shape = jnp.asarray(array).shape
        needed = [str(sizes.get(letter, letter)) for letter in axes]
        sizes = dict(zip(axes, shape, strict=False)) | sizes
        if shape != tuple(map(sizes.get, axes)):
            raise ValueError(
                f"{function}: {name} must have shape "
                f"({', '.join(needed)}{',' * (len(axes) == 1)}), got {shape}; {advice}"
            )


def pair_loss(
    params: Params,
    center: ArrayLike,
    context: ArrayLike,
    negatives: ArrayLike,
    collisions: Collisions = "keep",
) -> Array:
    """The loss of one (centre, context) pair with K noise words.

        L = −log σ(u_o·v_c) − Σ_k log σ(−u_k·v_c)

    A term is summed, never averaged: K words push K times as hard as one.

    Args:
      params: ``w_in`` (V, D) holds v, ``w_out`` (V, D) holds u.
      center: c, the id of the centre word; a scalar in 0..V−1.
      context: o, the id of the positive word; a scalar in 0..V−1.
      negatives: (K,) ids of the noise words; repeats count as often as they stand.
      collisions: a noise word equal to o is counted (``keep``: the optimum is then
        s* = log[p(o|c) / (K·P_n(o))]) or left out (``skip``: word2vec.c's rule).

    Returns:
      A scalar, float32 or wider. NaN if an id is outside 0..V−1.

    Raises:
      ValueError: if ids have other shapes, or collisions is unknown.

    Example: with every score 0 and K = 2 the loss is 3·log 2 = 2.0794.

    Source: Mikolov et al. 2013 (arXiv 1310.4546), equation (4).
    """
    check_shapes(
        "pair_loss", "for many pairs use batch_loss",
        center=(center, ""), context=(context, ""), negatives=(negatives, "K"),
    )  # fmt: skip
    negatives = jnp.asarray(negatives)
    v_D = lookup(params.w_in, center)
    u_D, u_KD = lookup(params.w_out, context), lookup(params.w_out, negatives)
    counted_K = counted(negatives, context, collisions)
    positive = log_sigmoid(u_D @ v_D)
    negative_K = log_sigmoid(-(u_KD @ v_D))
    return -positive - jnp.sum(negative_K, where=counted_K)


def batch_loss(
    params: Params,
    centers: ArrayLike,
    contexts: ArrayLike,
    negatives: ArrayLike,
    collisions: Collisions = "keep",
) -> Array:
    """The sum of :func:`pair_loss` over P pairs: ids (P,), (P,) and (P, K).

    A sum, not a mean: a mean would tie the learning rate to the batch size.

    Raises:
      ValueError: if ids have other shapes, or collisions is unknown.
    """
    check_shapes(
        "batch_loss", "for one pair use pair_loss",
        centers=(centers, "P"), contexts=(contexts, "P"), negatives=(negatives, "PK"),
    )  # fmt: skip

    def one(center, context, noise_ids):
        return pair_loss(params, center, context, noise_ids, collisions)

    return jnp.sum(jax.vmap(one)(centers, contexts, negatives))


def expected_loss(
    params: Params,
    center: ArrayLike,
    context: ArrayLike,
    noise_probs: ArrayLike,
    num_negatives: ArrayLike,
    collisions: Collisions = "keep",
) -> Array:
    """The pair's loss with the noise words averaged out exactly.

        L = −log σ(u_o·v_c) − K · Σ_w P_n(w) · log σ(−u_w·v_c)

    It is the mean of :func:`pair_loss` over K independent draws from P_n. It reads
    every row of ``w_out``: for studies with a small vocabulary.

    Args:
      params: as in :func:`pair_loss`.
      center: c, a scalar id.
      context: o, a scalar id.
      noise_probs: (V,) P_n, sums to 1; see ``noise_distribution``.
      num_negatives: K, any number ≥ 0; it may be traced and need not be whole.
      collisions: as in :func:`pair_loss`; ``skip`` leaves w = o out of the sum.

    Returns:
      A scalar, float32 or wider. NaN if an id is outside 0..V−1.

    Raises:
      ValueError: if an id is no scalar, noise_probs is not (V,), or collisions is
        unknown.

    Source: Mikolov et al. 2013, equation (4); Levy & Goldberg 2014, equation (4).
    """
    v_D, u_D, u_VD, probs_V = expected_terms(
        "expected_loss", params, center, context, noise_probs, collisions
    )
    noise = jnp.sum(probs_V * log_sigmoid(-(u_VD @ v_D)))
    return -log_sigmoid(u_D @ v_D) - num_negatives * noise


def expected_terms(
    function: str,
    params: Params,
    center: ArrayLike,
    context: ArrayLike,
    noise_probs: ArrayLike,
    collisions: Collisions,
) -> tuple[Array, Array, Array, Array]:
    """v_c, u_o, all u, and the P_n that counts: what the expected form reads.

    Errors name ``function``, which the user called.
    """
    check_shapes(
        function, "a pair, and a probability for each row of w_out",
        w_out=(params.w_out, "VD"), center=(center, ""), context=(context, ""),
        noise_probs=(noise_probs, "V"),
    )  # fmt: skip
    V = params.w_out.shape[0]
    counted_V = counted(jnp.arange(V), context, collisions)
    u_VD = lookup(params.w_out, jnp.arange(V))
    probs_V = jnp.where(counted_V, noise_probs, 0).astype(u_VD.dtype)
    return lookup(params.w_in, center), lookup(params.w_out, context), u_VD, probs_V
