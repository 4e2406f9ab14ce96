"""One training step: a pure function of the state, the keys and the data.

    segment → {subsampling, half-windows}                     once a segment
    blocks of kept tokens, noise words → rows → gradient → update    a step

All randomness comes from keys folded with counts: of segments, of steps, and with the
place of a block in its segment, whichever device works it off.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from sgns_jax import block, noise, window
from sgns_jax.config import Config
from sgns_jax.jax_settings import pinned
from sgns_jax.optimizers import add_rows
from sgns_jax.sharding import UNSPLIT, Split, gather, zero_after
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
    dynamic_window: Array  #: scalar bool


class Keys(NamedTuple):
    """The run's random keys, one for each use; each is folded with a count."""

    init: Array
    subsample: Array  #: with the segment's
    window: Array  #: with the segment's
    noise: Array  #: with the step's and the block's


def run_keys(seed: int) -> Keys:
    """The keys of a run; equal seeds give equal runs.

    They are those of ``jax.random.key(seed)`` as JAX comes. Made of their bits, as its
    settings may change what a seed gives: the kind of key, an offset to every seed.
    """
    with pinned():
        bits = jnp.array([0, seed], jnp.uint32)
        key = jax.random.wrap_key_data(bits, impl="threefry2x32")
        return Keys(*jax.random.split(key, 4))


def init_params(key: Array, vocabulary_size: int, dim: int) -> Params:
    """v uniform on ±1/(2D), u zero, as word2vec.c starts: every score begins at 0."""
    shape = (vocabulary_size, dim)
    low, high = -0.5 / dim, 0.5 / dim
    w_in = jax.random.uniform(key, shape, jnp.float32, low, high)
    return Params(w_in, jnp.zeros(shape, jnp.float32))


def make_sampling(config: Config, counts: np.ndarray) -> Sampling:
    """Sampling tables of a vocabulary with the given counts."""
    return Sampling(
        window.keep_probability(counts, config.subsample, config.subsample_rule),
        noise.alias_table(counts, config.noise_exponent),
        jnp.float32(config.negatives),
        jnp.bool_(config.dynamic_window),
    )


def reach(config: Config, segment_size: int) -> int:
    """The farthest that a window sees: W, or less where a segment or sentence ends.

    ``sentence_length`` tells of sentences, see ``train.narrowed``. Blocks are so wide.
    """
    longest = min(config.sentence_length or segment_size, segment_size)
    return max(1, min(config.window, longest - 1))


class Batch(NamedTuple):
    """What a step reads: the words behind each row, and the weights."""

    centers_BC: Array  #: (B, C) centre words
    words_BR: Array  #: (B, R) the words around them, then the noise words
    weights: block.BlockWeights  #: how often each (centre, word) score counts


def prepare_segment(
    config: Config, keys: Keys, sampling: Sampling, segment_T: Array, segment: Array
) -> tuple[window.Windows, Array]:
    """Subsamples a segment and lays windows; also how many tokens were kept.

    ``segment`` counts from 0 over all epochs; the draws are folded with it.
    """
    key_subsample, key_window = (
        jax.random.fold_in(key, segment) for key in (keys.subsample, keys.window)
    )
    kept = window.subsample(key_subsample, segment_T, sampling.keep_V)
    W, dynamic = config.window, sampling.dynamic_window
    half_T = window.half_windows(key_window, segment_T.shape, W, dynamic)
    return window.lay_windows(kept, half_T), kept.size


Step = Callable[
    [TrainState, Keys, Sampling, window.Windows, Array, Array],
    tuple[TrainState, block.LossParts],
]


def make_step(
    config: Config, optimizer: optax.GradientTransformation, split: Split = UNSPLIT
) -> Step:
    """The pure training step of a configuration, ready for jit, vmap and loops.

    ``step(state, keys, sampling, windows, starts_B, measured)`` reads the blocks that
    start at the given positions of a segment, and returns the new state and, where
    ``measured``, the loss that these blocks had before it (else zeros: the loss takes
    a quarter as long as the rest). A start outside the segment is an empty block; a
    step without pairs changes no parameter.

    Args:
      config: its model, training and batching settings are built in.
      optimizer: a row optimiser, see ``sgns_jax.optimizers``; with
        ``updates="dense"`` any Optax transformation.
      split: the mesh axes that the step is split over; it is then called in
        ``shard_map``, on a share of the blocks and on a device's columns.
    """
    gradients = {"analytic": block.block_gradient, "autodiff": _autodiff_gradient}
    block_gradient = gradients[config.gradient]
    update = _row_update if config.updates == "rows" else _dense_update
    optimizer = optax.with_extra_args_support(optimizer)

    def step(state, keys, sampling, windows, starts_B, measured=True):
        batch = sample_batch(config, state.step, keys, sampling, windows, starts_B)
        rows = read_rows(config, state.params, batch)
        _, gradient = block_gradient(rows, batch.weights, split.model)
        ids, by_row = gather(rows_of_words(gradient, batch), split.data)
        params, opt_state = update(optimizer, ids, by_row, state)
        if split.model:  # the loss's scores are exchanged last
            measured &= zero_after((params, opt_state)) == 0
        loss_of = partial(block.block_loss, columns=split.model)
        loss = jax.lax.cond(measured, loss_of, _no_loss, rows, batch.weights)
        return TrainState(params, opt_state, state.step + 1), loss

    return step


def sample_batch(
    config: Config,
    step: Array,
    keys: Keys,
    sampling: Sampling,
    windows: window.Windows,
    starts_B: Array,
) -> Batch:
    """Cuts the blocks of a step and draws noise words, folded with its count.

    Each pair draws ``config.negatives`` words where they are independent, and the first
    K of ``sampling`` count.
    """
    C, W = config.block_size, reach(config, len(windows.tokens_T))
    shared = config.negatives_mode == "shared"
    if not shared:  # each centre is a block of its own
        starts_B, C = (starts_B[:, None] + jnp.arange(C)[None]).ravel(), 1
    tokens_BE, mask_BCE = window.cut_blocks(windows, starts_B, C, W)

    N = config.noise_words if shared else 2 * W * config.negatives
    noise_BN = draw_noise(jax.random.fold_in(keys.noise, step), sampling, starts_B, N)
    ids = tokens_BE, mask_BCE, noise_BN
    weights_of = block.shared_weights if shared else block.independent_weights
    weights = weights_of(*ids, sampling.num_negatives, config.collisions)
    words_BR = jnp.concatenate([tokens_BE, noise_BN], axis=1)
    return Batch(tokens_BE[:, W : W + C], words_BR, weights)


def draw_noise(key: Array, sampling: Sampling, starts_B: Array, number: int) -> Array:
    """Noise words (B, number) of a step's blocks, each folded with where it starts."""

    def of_block(start):
        block_key = jax.random.fold_in(key, start)
        return noise.draw(block_key, sampling.noise, (number,))

    return jax.vmap(of_block)(starts_B)


def read_rows(config: Config, params: Params, batch: Batch) -> block.BlockRows:
    """The rows of a batch, in the dtype that the products take them in."""
    rows = params.w_in[batch.centers_BC], params.w_out[batch.words_BR]
    if config.product_dtype == "bfloat16":
        rows = (block.cast(x, jnp.bfloat16) for x in rows)
    return block.BlockRows(*rows)


def rows_of_words(gradient: block.BlockRows, batch: Batch) -> tuple[Params, Params]:
    """The words of each table, (R,), and the gradient by their rows, (R, D).

    A word stands as often as the batch has it; its rows add up.
    """
    ids = Params(batch.centers_BC.ravel(), batch.words_BR.ravel())
    D = gradient.v_BCD.shape[-1]
    return ids, Params(*(rows.reshape(-1, D) for rows in gradient))


def _row_update(optimizer, ids, rows, state):
    updates, opt_state = optimizer.update(rows, state.opt_state, state.params, ids=ids)
    return Params(*map(add_rows, state.params, ids, updates)), opt_state


def _dense_update(optimizer, ids, rows, state):
    params = state.params
    tables = zip(params, ids, rows, strict=True)
    gradient = (add_rows(jnp.zeros_like(table), i, g) for table, i, g in tables)
    ids = jax.tree.map(lambda table: jnp.arange(len(table)), params)
    updates, opt_state = optimizer.update(
        Params(*gradient), state.opt_state, params, ids=ids
    )
    return optax.apply_updates(params, updates), opt_state


def _no_loss(rows, weights):
    shapes = jax.eval_shape(block.block_loss, rows, weights)
    return jax.tree.map(lambda part: jnp.zeros(part.shape, part.dtype), shapes)


def _autodiff_gradient(rows, weights, columns=None):
    """What ``block_gradient`` derives by hand, from ``jax.grad`` of the loss.

    Autodiff rounds it to the dtype of the rows.
    """

    def total(rows):
        parts = block.block_loss(rows, weights, columns)
        return parts.positive + parts.negative, parts

    gradient, parts = jax.grad(total, has_aux=True)(rows)
    wide = (g.astype(jnp.promote_types(g.dtype, jnp.float32)) for g in gradient)
    return parts, block.BlockRows(*wide)
