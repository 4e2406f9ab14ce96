"""A segment's training: its windows, a loop of steps over them, what they show."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sgns_jax import block, window
from sgns_jax.config import Config
from sgns_jax.sharding import UNSPLIT, Split
from sgns_jax.step import Keys, Sampling, Step, TrainState, prepare_segment


class SegmentMetrics(NamedTuple):
    """What a segment's training shows; of a round, with an axis for its replicas."""

    loss: block.LossParts  #: summed over the steps that were measured
    pairs: Array  #: int32, positives of all steps
    finite_steps: Array  #: int32, steps before the first loss that is not finite


def first_not_finite(metrics: SegmentMetrics) -> int | None:
    """Steps of a round before its first loss that is no finite number; None: all are.

    Of replicas, that of the first one that left the numbers. Waits for the device.
    """
    if np.isfinite(jax.tree.leaves(metrics.loss)).all():
        return None
    return int(np.min(metrics.finite_steps))


class Segment(NamedTuple):
    """A segment made ready: what its steps read, and how many there are."""

    windows: window.Windows
    key: Array  #: noise words are drawn with it
    num_steps: Array  #: int32, depends on how many tokens are kept


class Sums(NamedTuple):
    """What the steps of a segment have added up so far."""

    loss: block.LossParts
    rest: block.LossParts  #: what rounding took from ``loss``, see ``_add``
    finite_steps: Array


class SegmentParts(NamedTuple):
    """A segment's training in its parts, for steps that do not follow at once."""

    #: ``(segment_T, number of the segment)`` → the segment, sums of no steps
    prepare: Callable[[Array, Array], tuple[Segment, Sums]]
    #: ``(state, segment, sums, first, last)`` → state, sums after steps first..last−1
    train: Callable[..., tuple[TrainState, Sums]]
    #: ``(segment, sums)`` → what all steps show
    show: Callable[[Segment, Sums], SegmentMetrics]

    def run(
        self, state: TrainState, segment_T: Array, number: Array
    ) -> tuple[TrainState, SegmentMetrics]:
        """All of it: the state after the segment, and what its steps show."""
        segment, sums = self.prepare(segment_T, number)
        state, sums = self.train(state, segment, sums, 0, segment.num_steps)
        return state, self.show(segment, sums)


def segment_parts(
    config: Config,
    step: Step,
    keys: Keys,
    sampling: Sampling,
    models_axis: str | None = None,
    split: Split = UNSPLIT,
) -> SegmentParts:
    """The parts of a segment's training, whose steps are a loop.

    A segment's number counts from 0 over all epochs and seeds all random draws. Every
    ``loss_every``-th step is measured, the first one always, and the losses are
    added up with Kahan's compensation. The number of steps depends on how many tokens
    are kept; the compiled program does not.

    Args:
      config: its batching settings.
      step: see ``sgns_jax.step.make_step``.
      keys, sampling: the run's.
      models_axis: the axis that ``train`` is vmapped over, if it is. The loop then goes
        on until each model has done its steps, and what is done stays as it is: to
        let every model leave the loop for itself, vmap would copy all tables at every
        step.
      split: as ``step`` was given it. Each device of ``data`` takes blocks that follow
        each other; where B cannot be shared evenly, some are empty.
    """
    B, C = config.blocks_per_step, config.block_size

    def prepare(segment_T, number):
        windows, kept = prepare_segment(config, keys, sampling, segment_T, number)
        # Replicas are at the same step at the same time, yet in different segments.
        key = jax.random.fold_in(keys.noise, number)
        num_blocks = -(-kept // C)
        num_steps = -(-num_blocks // B)
        zero = block.LossParts(jnp.float32(0), jnp.float32(0), jnp.int32(0))
        return Segment(windows, key, num_steps), Sums(zero, zero, num_steps)

    def train(state, segment, sums, first, last):
        windows, key, num_steps = segment
        of_segment, length = keys._replace(noise=key), len(windows.tokens_T)
        blocks_B = _share(B, split.data)

        def body(i, carry):
            state, (total, rest, finite_steps) = carry
            # A step's blocks lie evenly over the segment: neighbours in the text
            # repeat each other's words, and repeats in a step act from stale rows.
            starts_B = (blocks_B * num_steps + i) * C
            measured = i % config.loss_every == 0
            there_B = (blocks_B < B) & (i < num_steps)
            starts_B = jnp.where(there_B, starts_B, length)
            after, loss = step(state, of_segment, sampling, windows, starts_B, measured)
            if models_axis:
                after = _unless(i >= num_steps, config, state, after)
            total, rest = _add(total, rest, loss)
            finite = jnp.isfinite(loss.positive + loss.negative)
            finite_steps = jnp.minimum(finite_steps, jnp.where(finite, num_steps, i))
            return after, Sums(total, rest, finite_steps)

        if models_axis:
            last = jax.lax.pmax(last, models_axis)
        return jax.lax.fori_loop(first, last, body, (state, sums))

    def show(segment, sums):
        loss, finite_steps = sums.loss, sums.finite_steps
        if split.data:
            loss = jax.lax.psum(loss, split.data)
            finite_steps = jax.lax.pmin(finite_steps, split.data)
        pairs = jnp.sum(segment.windows.left_T + segment.windows.right_T)
        return SegmentMetrics(loss, pairs, finite_steps)

    return SegmentParts(prepare, train, show)


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
