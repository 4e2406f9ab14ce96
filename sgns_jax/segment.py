"""A segment's training: its windows, a loop of steps over them, what they show."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from sgns_jax import block
from sgns_jax.config import Config
from sgns_jax.sharding import UNSPLIT, Split
from sgns_jax.step import Keys, Sampling, Step, TrainState, prepare_segment


class SegmentMetrics(NamedTuple):
    """What a segment's training shows; of a round, with an axis for its replicas."""

    loss: block.LossParts  #: summed over the steps that were measured
    pairs: Array  #: int32, positives of all steps
    finite_steps: Array  #: int32, steps before the first loss that is not finite


SegmentRun = Callable[
    [TrainState, Keys, Sampling, Array, Array], tuple[TrainState, SegmentMetrics]
]


def make_segment_run(
    config: Config, step: Step, models_axis: str | None = None, split: Split = UNSPLIT
) -> SegmentRun:
    """``run(state, keys, sampling, segment_T, segment)``: a segment's steps in a loop.

    ``segment`` counts from 0 over all epochs and seeds all random draws. Every
    ``loss_every``-th step is measured, the first one always, and the losses are added
    up with Kahan's compensation. The number of steps depends on how many tokens are
    kept; the compiled program does not.

    Args:
      config: its batching settings.
      step: see ``sgns_jax.step.make_step``.
      models_axis: the axis that ``run`` is vmapped over, if it is. The loop then goes
        on until each model has done its steps, and what is done stays as it is: to
        let every model leave the loop for itself, vmap would copy all tables at every
        step.
      split: as ``step`` was given it. Each device of ``data`` takes blocks that follow
        each other; where B cannot be shared evenly, some are empty.
    """
    B, C = config.blocks_per_step, config.block_size

    def run(state, keys, sampling, segment_T, segment):
        blocks_B = _share(B, split.data)
        windows, kept = prepare_segment(config, keys, sampling, segment_T, segment)
        # Replicas are at the same step at the same time, yet in different segments.
        keys = keys._replace(noise=jax.random.fold_in(keys.noise, segment))
        num_blocks = -(-kept // C)
        num_steps = -(-num_blocks // B)

        def body(i, carry):
            state, total, rest, finite_steps = carry
            # A step's blocks lie evenly over the segment: neighbours in the text
            # repeat each other's words, and repeats in a step act from stale rows.
            starts_B = (blocks_B * num_steps + i) * C
            measured = i % config.loss_every == 0
            there_B = (blocks_B < B) & (i < num_steps)
            starts_B = jnp.where(there_B, starts_B, len(segment_T))
            after, loss = step(state, keys, sampling, windows, starts_B, measured)
            if models_axis:
                after = _unless(i >= num_steps, config, state, after)
            total, rest = _add(total, rest, loss)
            finite = jnp.isfinite(loss.positive + loss.negative)
            finite_steps = jnp.minimum(finite_steps, jnp.where(finite, num_steps, i))
            return after, total, rest, finite_steps

        zero = block.LossParts(jnp.float32(0), jnp.float32(0), jnp.int32(0))
        longest = jax.lax.pmax(num_steps, models_axis) if models_axis else num_steps
        carry = state, zero, zero, num_steps
        state, loss, _, finite_steps = jax.lax.fori_loop(0, longest, body, carry)
        if split.data:
            loss = jax.lax.psum(loss, split.data)
            finite_steps = jax.lax.pmin(finite_steps, split.data)
        pairs = jnp.sum(windows.left_T + windows.right_T)
        return state, SegmentMetrics(loss, pairs, finite_steps)

    return run


def _share(blocks: int, axis: str | None) -> Array:
    """The numbers of this device's blocks of a step; as many on each device."""
    if axis is None:
        return jnp.arange(blocks)
    share = -(-blocks // jax.lax.axis_size(axis))
    return jax.lax.axis_index(axis) * share + jnp.arange(share)


def _add(
    total: block.LossParts, rest: block.LossParts, term: block.LossParts
) -> tuple[block.LossParts, block.LossParts]:
    """Kahan's sum: the new total, and what rounding took from it, to be taken back.

    Its error does not grow with the number of terms (Higham 1993, equation 4.8).
    """
    term = jax.tree.map(jnp.subtract, term, rest)
    larger = jax.tree.map(jnp.add, total, term)
    rest = jax.tree.map(lambda new, old, x: (new - old) - x, larger, total, term)
    return larger, rest


def _unless(
    done: Array, config: Config, state: TrainState, after: TrainState
) -> TrainState:
    """The state after a step, or the one before it where a model was done already.

    A step of empty blocks changes no row, but it counts; and a dense optimiser may
    move rows without a gradient.
    """

    def choose(old, new):
        is_table = jnp.ndim(new) and config.updates == "rows"
        return new if is_table else jnp.where(done, old, new)

    return jax.tree.map(choose, state, after)
