"""Known wrong derivations, each swapped into the library to see the laboratory fail.

A mutant replaces functions of ``sgns_jax`` while it is applied. Those that get ∂L/∂s
wrong are made from one pattern and replace it wherever the library writes it: in the
pair (and so the batch), in the expectation, and in the blocks (and so the trainer).
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
from jax.nn import sigmoid

from sgns_jax import block, gradient, noise, optimizers, step
from sgns_jax.block import BlockRows
from sgns_jax.gradient import PairGradient
from sgns_jax.loss import expected_terms
from sgns_jax.types import Params

_LEARNING_RATE = 0.025  # of the mutant that moves a row too early


class Mutant(NamedTuple):
    """A wrong derivation: what is wrong, and what it puts where."""

    about: str
    replaced: dict[tuple[object, str], Callable]  #: (module, name) → wrong function


@contextlib.contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """The library with the mutant in it. Functions compiled before are not touched."""
    with contextlib.ExitStack() as stack:
        for (module, name), wrong in mutant.replaced.items():
            stack.enter_context(mock.patch.object(module, name, wrong))
        yield


def _by_score(about: str, positive: Callable, negative: Callable) -> Mutant:
    """∂L/∂s of a positive and of a noise word, as two functions of s."""

    def rows(v_D, u_D, u_KD, counted_K):
        g = positive(u_D @ v_D)
        g_K = jnp.where(counted_K, negative(u_KD @ v_D), 0)
        return PairGradient(g * u_D + g_K @ u_KD, g * v_D, jnp.outer(g_K, v_D))

    def expected(
        params, center, context, noise_probs, num_negatives, collisions="keep"
    ):
        v_D, u_D, u_VD, probs_V = expected_terms(
            params, center, context, noise_probs, collisions
        )
        g = positive(u_D @ v_D)
        g_V = num_negatives * probs_V * negative(u_VD @ v_D)
        w_out = jnp.outer(g_V, v_D).at[context].add(g * v_D)
        w_in = jnp.zeros_like(params.w_in).at[center].set(g * u_D + g_V @ u_VD)
        return Params(w_in, w_out)

    def blocks(rows, weights):
        s_BCR = block.scores(*rows)
        is_token = weights.label_R[None, None, :] > 0
        by_score = jnp.where(is_token, positive(s_BCR), negative(s_BCR))
        return _block_gradient(rows, weights, weights.weight_BCR * by_score)

    return Mutant(
        about,
        {
            (gradient, "row_gradient"): rows,
            (gradient, "expected_gradient"): expected,
            (block, "block_gradient"): blocks,
        },
    )


def _block_gradient(rows, weights, g_BCR):
    by_row = BlockRows(
        jnp.einsum("bcr,brd->bcd", g_BCR, rows.u_BRD),
        jnp.einsum("bcr,bcd->brd", g_BCR, rows.v_BCD),
    )
    return block.block_loss(rows, weights), by_row


def _right_positive(s):
    return -sigmoid(-s)


def _table_sigmoid(s):
    """word2vec.c: 1000 slots over ±6, found with the integer 1000 / 6 / 2 = 83."""
    slot = jnp.floor((jnp.clip(s, -6, 6) + 6) * (1000 // 6 // 2))
    return sigmoid((slot / 1000 * 2 - 1) * 6)


def _clip_to_certain(s):
    """word2vec.c: beyond ±6 the word counts as known, σ is 0 or 1."""
    return jnp.where(s > 6, 1.0, jnp.where(s < -6, 0.0, sigmoid(s)))


def _unless_certain(g):
    """gensim: beyond ±6 the pair is passed over, right or wrong."""
    return lambda s: jnp.where(abs(s) > 6, 0.0, g(s))


def _stale_rows(v_D, u_D, u_KD, counted_K):
    right = gradient_rows(v_D, u_D, u_KD, counted_K)
    moved_D = v_D - _LEARNING_RATE * right.v_D
    late = gradient_rows(moved_D, u_D, u_KD, counted_K)
    return PairGradient(right.v_D, late.u_D, late.u_KD)


def _stale_blocks(rows, weights):
    loss, right = block_gradient(rows, weights)
    moved = BlockRows(rows.v_BCD - _LEARNING_RATE * right.v_BCD, rows.u_BRD)
    return loss, BlockRows(right.v_BCD, block_gradient(moved, weights)[1].u_BRD)


def _expected_once(params, center, context, probs, num_negatives, collisions="keep"):
    return expected_gradient(params, center, context, probs, 1, collisions)


def _shared_once(tokens_BE, mask_BCE, noise_BN, num_negatives, collisions):
    return shared_weights(tokens_BE, mask_BCE, noise_BN, 1.0, collisions)


def _mean_rows(v_D, u_D, u_KD, counted_K):
    right = gradient_rows(v_D, u_D, u_KD, counted_K)
    return jax.tree.map(lambda g: g / (len(u_KD) + 1), right)


def _mean_blocks(rows, weights):
    loss, right = block_gradient(rows, weights)
    return loss, jax.tree.map(lambda g: g / loss.pairs, right)


def _overwritten(like, *updates):
    total = jnp.zeros(like.shape, like.dtype)
    for ids, rows in updates:
        rows = rows.reshape(-1, like.shape[1]).astype(like.dtype)
        total = total.at[ids.ravel()].set(rows, mode="drop")
    return total


def _merged_by_overwriting(place_V, ids, rows):
    merged = merge_rows(place_V, ids, rows)
    is_used_R1 = (merged.ids < len(place_V))[:, None]
    return merged._replace(rows=jnp.where(is_used_R1, rows, 0))


def _unmasked_shared(tokens_BE, mask_BCE, noise_BN, num_negatives, collisions):
    (_, C, E), N = mask_BCE.shape, noise_BN.shape[1]
    right = shared_weights(tokens_BE, mask_BCE, noise_BN, num_negatives, collisions)
    all_BCN = jnp.full((*mask_BCE.shape[:2], N), num_negatives / N * (E - C))
    return _with_noise(right, E, all_BCN)


def _unmasked_independent(tokens_BE, mask_BCE, noise_BN, *K_and_collisions):
    right = independent_weights(tokens_BE, mask_BCE, noise_BN, *K_and_collisions)
    return _with_noise(right, mask_BCE.shape[2], jnp.ones_like(noise_BN[:, None]))


def _with_noise(weights, E, weight_BCN):
    tokens_BCE = weights.weight_BCR[:, :, :E]
    noise_BCN = weight_BCN.astype(tokens_BCE.dtype)
    return weights._replace(weight_BCR=jnp.concatenate([tokens_BCE, noise_BCN], axis=2))


def _one_table(params, centers, contexts, negatives, collisions="keep"):
    shared = Params(params.w_in, params.w_in)
    right = batch_gradient(shared, centers, contexts, negatives, collisions)
    return Params(right.w_in + right.w_out, jnp.zeros_like(params.w_out))


def _one_table_of_rows(gradient, batch):
    ids, rows = rows_of_words(gradient, batch)
    both = jnp.concatenate(ids), jnp.concatenate(rows)
    return tuple(Params(x, 0 * x) for x in both)


def _frozen(key, table, shape):
    del key
    return draw(jax.random.key(0), table, shape)


def _other_exponent(counts, exponent):
    return alias_table(counts, exponent - 0.25)


# The right functions, as they are before any mutant is applied.
gradient_rows, batch_gradient = gradient.row_gradient, gradient.batch_gradient
expected_gradient, block_gradient = gradient.expected_gradient, block.block_gradient
shared_weights, independent_weights = block.shared_weights, block.independent_weights
merge_rows, rows_of_words = optimizers.merge_rows, step.rows_of_words
draw, alias_table = noise.draw, noise.alias_table

MUTANTS = {
    "article_slip": _by_score(
        "-σ(-s) where the gradient of a noise word is σ(s), as the article computes",
        _right_positive,
        lambda s: -sigmoid(-s),
    ),
    "flipped_sign": _by_score(
        "the sum over noise words subtracted instead of added",
        _right_positive,
        lambda s: -sigmoid(s),
    ),
    "missing_positive": _by_score(
        "the positive's term left out", lambda s: 0 * s, sigmoid
    ),
    "k_forgotten": Mutant(
        "noise counted once instead of K times",
        {
            (gradient, "expected_gradient"): _expected_once,
            (block, "shared_weights"): _shared_once,
        },
    ),
    "mean_for_sum": Mutant(
        "the mean over a pair's K + 1 terms, or a step's pairs, instead of the sum",
        {
            (gradient, "row_gradient"): _mean_rows,
            (block, "block_gradient"): _mean_blocks,
        },
    ),
    "stale_row": Mutant(
        "the input row moved (by 0.025 of its gradient) before the output rows' turn",
        {
            (gradient, "row_gradient"): _stale_rows,
            (block, "block_gradient"): _stale_blocks,
        },
    ),
    "sigma_table": _by_score(
        "word2vec.c's σ table, whose integer division makes σ(0) = 0.494",
        lambda s: _table_sigmoid(s) - 1,
        _table_sigmoid,
    ),
    "clip_word2vec": _by_score(
        "σ taken as 0 or 1 beyond ±6, as word2vec.c does",
        lambda s: _clip_to_certain(s) - 1,
        _clip_to_certain,
    ),
    "clip_gensim": _by_score(
        "no gradient beyond ±6, as gensim does",
        _unless_certain(_right_positive),
        _unless_certain(sigmoid),
    ),
    "overwritten_duplicates": Mutant(
        "of equal rows the last one kept instead of their sum",
        {
            (gradient, "scatter_rows"): _overwritten,
            (optimizers, "merge_rows"): _merged_by_overwriting,
        },
    ),
    "unmasked_noise": Mutant(
        "noise words of contexts beyond the sentence's end counted",
        {
            (block, "shared_weights"): _unmasked_shared,
            (block, "independent_weights"): _unmasked_independent,
        },
    ),
    "one_table": Mutant(
        "one table of vectors for both roles",
        {
            (gradient, "batch_gradient"): _one_table,
            (step, "rows_of_words"): _one_table_of_rows,
        },
    ),
    "frozen_noise": Mutant(
        "noise words drawn once and used at every step", {(noise, "draw"): _frozen}
    ),
    "other_exponent": Mutant(
        "P_n with exponent 0.5 where 0.75 is meant",
        {(noise, "alias_table"): _other_exponent},
    ),
}
