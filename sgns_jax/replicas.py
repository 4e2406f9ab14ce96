"""Replicas: copies of the model that train side by side and are merged after a round.

Each replica takes a segment of the text of its own and trains on it without a word to
the others; then, or after every few steps, the copies become one again. Devices that
need not meet at every step lose no time in waiting. It is local SGD, and n replicas
give the same numbers (but for rounding) on n devices, on fewer, and on one, where they
take turns.

How far two replicas' moves of a row agree decides what becomes of them. Of a word that
only one of them met, the move counts whole; where all went the same way, each for
itself, the mean counts, or the row would go n times as far as any of them saw fit:

    Δ_i = row of replica i − row before,   c = Σ_i |Δ_i|² / |Σ_i Δ_i|²  within [1/n, 1]
    row ← row before + c · Σ_i Δ_i

c is 1 for one move or for orthogonal ones and 1/n for equal ones. Rows that wander
about a resting place with variance σ² are merged (c = 2/(n+1)) into one of variance σ²
again; their mean would have σ²/n, the sum of their moves (n² − n + 1)·σ².

Source: local SGD, Stich 2019 (arXiv 1805.09767). The rule is ours, in the spirit of
Adasum (Maleki et al. 2021, arXiv 2006.02924), which sets two gradients between their
mean and their sum.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from sgns_jax.config import Config
from sgns_jax.optimizers import RowRmsState
from sgns_jax.segment import SegmentMetrics, SegmentParts
from sgns_jax.sharding import DATA, REPLICA, gather, split_of, zero_after
from sgns_jax.step import TrainState
from sgns_jax.types import Params

#: ``(state, model, segments, number of the first)`` → state, metrics
Round = Callable[[TrainState, Any, Array, Array], tuple[TrainState, SegmentMetrics]]

#: Rows merged at a time: few enough to stay in a core's cache between the sums.
ROWS_AT_ONCE = 4096


def make_round(
    parts_of: Callable[[Any], SegmentParts],
    config: Config,
    tokens: int,
    mesh: Mesh,
    specs: TrainState,
) -> Round:
    """``round(state, model, segments_LT, segment)``: each replica trains a segment.

    Replica i takes segment ``segment + i``. The state is that of all; the metrics have
    a leading axis for the replicas, since sums over many would not fit int32.

    Args:
      parts_of: the parts of a segment's training of a model, for the mesh's split.
      config: its replicas, and how often they are merged.
      tokens: T of a segment. ``segments_LT`` may be longer, to be split evenly.
      mesh: from ``sharding.make_mesh``.
      specs: of the state on it.
    """
    columns = split_of(mesh).model

    def on_one_device(state, model, segments_Lt, segment):
        # Devices that share blocks are handed a part of the text each.
        segments_LT = jax.lax.all_gather(segments_Lt, DATA, axis=1, tiled=True)
        segments_LT, L = segments_LT[:, :tokens], len(segments_Lt)
        parts = parts_of(model)
        if config.replicas == 1:  # nothing to merge, so no copy of what was before
            state, metrics = parts.run(state, segments_LT[0], segment)
            return state, jax.tree.map(lambda x: x[None], metrics)
        numbers_L = segment + jax.lax.axis_index(REPLICA) * L + jnp.arange(L)
        text_L = segments_LT, numbers_L
        if config.sync_every:
            steps = config.sync_every
            state, metrics_L = _merged_every(steps, parts, state, text_L, columns)
            return state, _of_all(metrics_L)
        train = partial(parts.run, state)
        after_L, metrics_L = jax.lax.map(lambda text: train(*text), text_L)
        metrics_R = _of_all(metrics_L)
        return merge(state, after_L, columns, zero_after(metrics_R)), metrics_R

    every = PartitionSpec()
    in_specs = specs, every, PartitionSpec(REPLICA, DATA), every
    # Not checked: a loop's types would have to say at every step what varies.
    return jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=in_specs,
        out_specs=(specs, every),
        check_vma=False,
    )


def _of_all(metrics_L: SegmentMetrics) -> SegmentMetrics:
    """The metrics of all replicas. Pairs would be known before any step is done."""
    pairs = metrics_L.pairs + zero_after(metrics_L.loss)
    return gather(metrics_L._replace(pairs=pairs), REPLICA)


def _merged_every(
    steps: int,
    parts: SegmentParts,
    state: TrainState,
    text_L: tuple[Array, Array],
    columns: str | None,
) -> tuple[TrainState, SegmentMetrics]:
    """A round with a merge after each so many steps of all replicas, and at the end."""
    segments_L, sums_L = jax.lax.map(lambda text: parts.prepare(*text), text_L)
    # Where a replica has no step left, the others go on, and it is merged with them.
    longest = jax.lax.pmax(jnp.max(segments_L.num_steps), REPLICA)

    def period(i, carry):
        state, sums_L = carry

        def train(prepared):
            segment, sums = prepared
            last = jnp.minimum((i + 1) * steps, segment.num_steps)
            return parts.train(state, segment, sums, i * steps, last)

        after_L, sums_L = jax.lax.map(train, (segments_L, sums_L))
        return merge(state, after_L, columns), sums_L

    periods = -(-longest // steps)
    state, sums_L = jax.lax.fori_loop(0, periods, period, (state, sums_L))
    return state, jax.lax.map(lambda x: parts.show(*x), (segments_L, sums_L))


def merge(
    before: TrainState, after_L: TrainState, columns: str | None = None, zero: int = 0
) -> TrainState:
    """One state of the replicas', which began a round as ``before``.

    Gradients that were counted (``scale_by_row_rms``) add up; other optimiser state,
    moving averages and counts of steps, becomes the mean. ``after_L`` holds the
    replicas of this device along a leading axis; called within ``shard_map``, where
    columns may be split over the axis ``columns``. ``zero`` says what it waits for, see
    ``zero_after``.
    """

    def counts(x):
        return isinstance(x, RowRmsState)

    def opt_state(old, new_L):
        return _merge_counts(old, new_L) if counts(old) else _mean(new_L)

    step = _mean(after_L.step + zero)
    states = jax.tree.map(
        opt_state, before.opt_state, after_L.opt_state, is_leaf=counts
    )
    done, params = [step, states], []
    for table, table_L in zip(before.params, after_L.params, strict=True):
        params.append(_merge_table(table, table_L, columns, zero_after(done)))
        done.append(params[-1])
    return TrainState(Params(*params), states, step)


def _total(x_L: Array) -> Array:
    return jax.lax.psum(jnp.sum(x_L, axis=0), REPLICA)


def _replicas(x_L: Array) -> int:
    return len(x_L) * jax.lax.axis_size(REPLICA)


def _mean(after_L: Array) -> Array:
    total, R = _total(after_L), _replicas(after_L)
    return total // R if jnp.issubdtype(total.dtype, jnp.integer) else total / R


def _merge_counts(before: RowRmsState, after_L: RowRmsState) -> RowRmsState:
    """All gradients counted, and the mean of all their squares: n and n·q add up."""

    def added(old, new_L):
        return old + _total(new_L - old[None])

    def squares(state):
        return jax.tree.map(jnp.multiply, state.count, state.mean_square)

    count = jax.tree.map(added, before.count, after_L.count)
    total = jax.tree.map(added, squares(before), squares(after_L))
    mean = jax.tree.map(lambda s, n: s / jnp.maximum(n, 1), total, count)
    return RowRmsState(count, mean)


def _merge_rows(before_RD: Array, after_LRD: Array, columns: str | None) -> Array:
    """The module's rule for some rows of a table."""
    move_LRD = after_LRD - before_RD[None]
    sum_RD = _total(move_LRD)
    squares_R = _total(jnp.sum(move_LRD**2, axis=2))
    square_R = jnp.sum(sum_RD**2, axis=1)
    if columns:
        squares_R, square_R = jax.lax.psum((squares_R, square_R), columns)
    c_R = jnp.where(square_R > 0, squares_R / square_R, 1)
    c_R = jnp.clip(c_R, 1 / _replicas(after_LRD), 1)
    return before_RD + c_R[:, None] * sum_RD


def _merge_table(
    before: Array, after_L: Array, columns: str | None, zero: Array
) -> Array:
    """The same for a table, some rows at a time, in the memory of a replica's."""
    V, D = before.shape

    def merged(after_L, start, size):
        rows = jax.lax.dynamic_slice(before, (start, 0), (size, D))
        rows_L = jax.lax.dynamic_slice(after_L, (0, start, 0), (len(after_L), size, D))
        rows = _merge_rows(rows, rows_L, columns)
        return jax.lax.dynamic_update_slice(after_L, rows[None], (0, start, 0))

    size = min(V, ROWS_AT_ONCE)
    full, rest = divmod(V, size)
    after_L = jax.lax.fori_loop(
        0, full, lambda i, x: merged(x, i * size + zero, size), after_L
    )
    return merged(after_L, V - rest + zero, rest)[0] if rest else after_L[0]
