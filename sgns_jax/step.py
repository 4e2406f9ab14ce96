"""One training step: a pure function of the state, the keys and the data.

    blocks of kept tokens → {half-windows, noise words} → rows → gradient → update

All randomness comes from ``fold_in(key, state.step)``.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from sgns_jax import block, noise, window
from sgns_jax.config import Config
from sgns_jax.optimizers import (
    apply_row_updates,
    dense_updates,
    merge_rows,
    on_touched_rows,
)
from sgns_jax.types import Params


@flax.struct.dataclass
class TrainState:
    """All that training changes."""

    params: Params  #: the two tables
    opt_state: optax.OptState  #: the optimiser's state, tables of V rows mostly
    step: Array  #: scalar int32, optimiser steps done


class Sampling(NamedTuple):
    """What the corpus and the configuration say about sampling, as arrays."""

    keep_V: Array  #: (V,) probability that an occurrence is kept
    noise: noise.AliasTable  #: P_n
    num_negatives: Array  #: scalar float32, K


class Keys(NamedTuple):
    """The run's random keys, one for each use; each is folded with a count."""

    init: Array
    subsample: Array
    window: Array
    noise: Array


def run_keys(seed: int) -> Keys:
    """The keys of a run; equal seeds give equal runs."""
    return Keys(*jax.random.split(jax.random.key(seed), 4))


def init_params(key: Array, vocabulary_size: int, dim: int) -> Params:
    """v uniform on ±1/(2D), u zero, as word2vec.c starts: every score begins at 0."""
    shape = (vocabulary_size, dim)
    w_in = jax.random.uniform(key, shape, minval=-0.5 / dim, maxval=0.5 / dim)
    return Params(w_in, jnp.zeros(shape))


def make_sampling(config: Config, counts: np.ndarray) -> Sampling:
    """Sampling tables of a vocabulary with the given counts."""
    return Sampling(
        window.keep_probability(counts, config.subsample, config.subsample_rule),
        noise.alias_table(counts, config.noise_exponent),
        jnp.float32(config.negatives),
    )


class Batch(NamedTuple):
    """What a step reads: the words behind each row, and the weights."""

    centers_BC: Array  #: (B, C) centre words
    words_BR: Array  #: (B, R) the words around them, then the noise words
    weights: block.BlockWeights  #: how often each (centre, word) score counts


Step = Callable[
    [TrainState, Keys, Sampling, window.KeptTokens, Array],
    tuple[TrainState, block.LossParts],
]


def make_step(config: Config, optimizer: optax.GradientTransformation) -> Step:
    """The pure training step of a configuration, ready for jit, vmap and loops.

    ``step(state, keys, sampling, kept, starts_B)`` reads the blocks that start at
    the given positions of a subsampled segment, and returns the new state and the
    loss that these blocks had before it. A start outside the segment is an empty
    block; a step without pairs changes no parameter.

    Args:
      config: its model, training and batching settings are built in.
      optimizer: a dense Optax transformation, see ``make_optimizer``; any other will
        do that treats rows one by one (or any at all with ``updates="dense"``).
    """
    gradients = {"analytic": block.block_gradient, "autodiff": _autodiff_gradient}
    block_gradient = gradients[config.gradient]
    update = _row_update if config.updates == "rows" else _dense_update

    def step(state, keys, sampling, kept, starts_B):
        batch = sample_batch(config, state.step, keys, sampling, kept, starts_B)
        rows = block.BlockRows(
            v_BCD=state.params.w_in[batch.centers_BC],
            u_BRD=state.params.w_out[batch.words_BR],
        )
        loss, gradient = block_gradient(rows, batch.weights)
        by_word = merge_gradient(gradient, batch, state.params)
        params, opt_state = update(optimizer, by_word, state)
        return TrainState(params, opt_state, state.step + 1), loss

    return step


def sample_batch(
    config: Config,
    step: Array,
    keys: Keys,
    sampling: Sampling,
    kept: window.KeptTokens,
    starts_B: Array,
) -> Batch:
    """Draws half-windows and noise words of a step, from keys folded with its count."""
    C, W = config.block_size, config.window
    shared = config.negatives_mode == "shared"
    if not shared:  # each centre is a block of its own
        starts_B, C = (starts_B[:, None] + jnp.arange(C)[None]).ravel(), 1
    (B,) = starts_B.shape
    key_window = jax.random.fold_in(keys.window, step)
    half_BC = window.half_windows(key_window, (B, C), W, config.dynamic_window)
    tokens_BE, mask_BCE = window.cut_blocks(kept, starts_B, half_BC, W)

    N = config.noise_words if shared else 2 * W * config.negatives
    key_noise = jax.random.fold_in(keys.noise, step)
    noise_BN = noise.draw(key_noise, sampling.noise, (B, N))
    ids = tokens_BE, mask_BCE, noise_BN
    if shared:
        K = sampling.num_negatives
        weights = block.shared_weights(*ids, K, config.collisions)
    else:
        weights = block.independent_weights(*ids, config.collisions)
    words_BR = jnp.concatenate([tokens_BE, noise_BN], axis=1)
    return Batch(tokens_BE[:, W : W + C], words_BR, weights)


def merge_gradient(gradient: block.BlockRows, batch: Batch, params: Params) -> Params:
    """The step's gradient by table, as :class:`RowUpdates`: each touched row once.

    A row is touched if a score of it counts: padding, and positions that no window
    reaches, are not.
    """
    V, D = params.w_in.shape
    counts_BCR = batch.weights.weight_BCR > 0

    def merged(ids, rows, touched):
        return merge_rows(ids.ravel(), rows.reshape(-1, D), touched.ravel(), V)

    return Params(
        w_in=merged(batch.centers_BC, gradient.v_BCD, jnp.any(counts_BCR, axis=2)),
        w_out=merged(batch.words_BR, gradient.u_BRD, jnp.any(counts_BCR, axis=1)),
    )


def _row_update(optimizer, gradient, state):
    optimizer = on_touched_rows(optimizer)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    return Params(*map(apply_row_updates, state.params, updates)), opt_state


def _dense_update(optimizer, gradient, state):
    gradient = Params(*map(dense_updates, state.params, gradient))
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    return optax.apply_updates(state.params, updates), opt_state


def _autodiff_gradient(rows, weights):
    """What ``block_gradient`` derives by hand, from ``jax.grad`` of the loss."""

    def total(rows):
        parts = block.block_loss(rows, weights)
        return parts.positive + parts.negative, parts

    gradient, parts = jax.grad(total, has_aux=True)(rows)
    return parts, gradient
