"""Optax on the rows a step touches.

A step reads a few thousand of V rows. Its gradient travels as :class:`RowUpdates`,
each row once, and :func:`on_touched_rows` lets any Optax transformation act on just
those rows and on the same rows of its own state. For SGD and Adagrad that is exactly
what the dense optimiser does, whose other rows have gradient zero and stand still.
Adam's do not: its momentum moves rows the step never read, so Adam on touched rows
("lazy Adam") is an optimiser of its own.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from sgns_jax.types import InputError, Params


class RowUpdates(NamedTuple):
    """Gradients or updates of some rows of a (V, D) table, each row at most once."""

    ids: Array  #: (R,) int32; V and above mark an unused place
    rows: Array  #: (R, D)


def merge_rows(ids: Array, rows: Array, touched: Array, num_rows: int) -> RowUpdates:
    """Adds up the rows of equal ids.

    Each word's total lands where the word stands first; the other places are unused.
    Adding is what makes it a gradient: with ``set`` one of the rows would win.

    Args:
      ids: (R,) words, repeats allowed.
      rows: (R, D) their contributions.
      touched: (R,) bool; a place that is False takes no part.
      num_rows: V.
    """
    (R,) = ids.shape
    place = jnp.arange(R)
    ids = jnp.where(touched, ids, num_rows)
    first_V = jnp.full((num_rows,), R).at[ids].min(place, mode="drop")
    first_R = first_V.at[ids].get(mode="fill", fill_value=R)
    total = jnp.zeros_like(rows).at[first_R].add(rows, mode="drop")
    # Unused places get ids that differ too, so that scatters may rely on it.
    return RowUpdates(jnp.where(first_R == place, ids, num_rows + place), total)


def apply_row_updates(table: Array, updates: RowUpdates) -> Array:
    """``optax.apply_updates`` for one table and some of its rows, in its dtype."""
    at, rows = table.at[updates.ids], updates.rows.astype(table.dtype)
    return at.add(rows, mode="drop", unique_indices=True)


def dense_updates(table: Array, updates: RowUpdates) -> Array:
    """Row updates as a dense array of the shape of ``table``, zero elsewhere."""
    return apply_row_updates(jnp.zeros_like(table), updates)


def on_touched_rows(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """An Optax transformation that acts on touched rows only.

    ``init`` takes params as usual. ``update`` takes :class:`RowUpdates` in place of
    each table's gradient and returns them in place of each table's update. The
    optimiser sees the touched rows as if they were the whole table, so it must treat
    rows one by one: no norms over a table, no mixing of rows.
    """

    def update(updates, state, params):
        ids = jax.tree.map(lambda u: u.ids, updates, is_leaf=_is_updates)
        rows = jax.tree.map(lambda u: u.rows, updates, is_leaf=_is_updates)
        # The state's tree with each table's ids in the table's place, None elsewhere.
        state_ids = optax.tree_map_params(
            optimizer, lambda _, i: i, state, ids, transform_non_params=lambda _: None
        )
        taken = jax.tree.map(_take, state_ids, state, is_leaf=_is_none)
        row_params = jax.tree.map(lambda i, p: _take(i, p), ids, params)
        rows, moved = optimizer.update(rows, taken, row_params)
        state = jax.tree.map(_put, state_ids, state, moved, is_leaf=_is_none)
        return jax.tree.map(RowUpdates, ids, rows), state

    return optax.GradientTransformation(optimizer.init, update)


def _take(ids: Array | None, table: Array) -> Array:
    """Rows of a table in the state; what has no rows (a step count) as it is."""
    return table if ids is None else table.at[ids].get(mode="fill", fill_value=0)


def _put(ids: Array | None, table: Array, rows: Array) -> Array:
    if ids is None:
        return rows
    return table.at[ids].set(rows, mode="drop", unique_indices=True)


def _is_none(leaf) -> bool:
    return leaf is None


def _is_updates(leaf) -> bool:
    return isinstance(leaf, RowUpdates)


class RowRssState(NamedTuple):
    """State of :func:`scale_by_row_rss`."""

    mean_square_sum: Params  #: (V, 1) each: Σ over steps of mean_d g²


def scale_by_row_rss(initial: float = 0.0) -> optax.GradientTransformation:
    """Row-wise Adagrad: one accumulated square for a row, not one for each number.

        G_w ← G_w + mean_d g_wd²,   update_w = g_w / √G_w

    The step of a row shrinks with the work it has done, so the most frequent words,
    which take thousands of pairs in one step, cannot run away; and a row's direction
    is kept, which Adagrad by coordinate does not do. A row that never had a gradient
    has update 0.

    Source: Duchi, Hazan & Singer 2011; by rows as in Gupta et al. 2014 and DLRM
    (Naumov et al. 2019).
    """

    def init(params):
        return RowRssState(
            jax.tree.map(lambda p: jnp.full((p.shape[0], 1), initial, p.dtype), params)
        )

    def update(updates, state, params=None):
        del params
        total = jax.tree.map(
            lambda g, G: G + jnp.mean(g * g, axis=1, keepdims=True),
            updates,
            state.mean_square_sum,
        )
        updates = jax.tree.map(
            lambda g, G: g * jnp.where(G > 0, jax.lax.rsqrt(G), 0), updates, total
        )
        return updates, RowRssState(total)

    return optax.GradientTransformation(init, update)


def make_schedule(name: str, learning_rate: float, num_steps: int) -> optax.Schedule:
    """The learning rate at each step: ``linear``, ``cosine`` or ``constant``.

    The first two end at 1/10000 of the start, word2vec.c's floor, and stay there.
    """
    floor = 1e-4
    if name == "linear":
        end = floor * learning_rate
        return optax.linear_schedule(learning_rate, end, num_steps)
    if name == "cosine":
        return optax.cosine_decay_schedule(learning_rate, num_steps, alpha=floor)
    if name == "constant":
        return optax.constant_schedule(learning_rate)
    raise InputError(f"schedule must be linear, cosine or constant, got {name!r}")


def make_optimizer(name: str, schedule: optax.Schedule) -> optax.GradientTransformation:
    """``sgd``, ``adagrad`` (row-wise) or ``adam`` in their dense form.

    Wrap it in :func:`on_touched_rows` for row updates.
    """
    scale = {
        "sgd": optax.identity,
        "adagrad": scale_by_row_rss,
        "adam": optax.scale_by_adam,
    }
    if name not in scale:
        raise InputError(f"optimizer must be {', '.join(scale)}, got {name!r}")
    return optax.chain(scale[name](), optax.scale_by_learning_rate(schedule))
