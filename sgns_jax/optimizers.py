"""Optimisers for the rows that a step touches, as Optax transformations.

A step reads a few thousand of V rows, and a word stands at many places of it. Its
gradient therefore travels as rows (R, D) with their words, ids (R,); rows of one word
add up. A *row optimiser* is an Optax transformation whose ``update`` is given the ids:

    updates, state = optimizer.update(rows, state, params, ids=ids)

and whose updates stand at the places of the rows, to be added by :func:`add_rows`. What
scales rows one by one (SGD, :func:`scale_by_row_rms`) never brings the rows of a word
together, which would take as long as the update itself. :func:`on_touched_rows` does,
and makes a row optimiser of any Optax transformation.

Dense gradients (V, D) are rows too, with ids 0..V−1.

Where the D columns of all tables are split over devices, each updates its own, and
what is one number for a row is asked of all of them: those functions are told the mesh
axis, ``columns``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from sgns_jax.types import InputError, Params


def add_rows(table: Array, ids: Array, rows: Array) -> Array:
    """The table (V, D) with rows (R, D) added at ids (R,); repeated ids add up.

    The table keeps its dtype. Ids of V and above add nothing.
    """
    return table.at[ids].add(rows.astype(table.dtype), mode="drop")


class MergedRows(NamedTuple):
    """Rows of which each word has one."""

    ids: Array  #: (R,) int32; V and above mark an unused place
    rows: Array  #: (R, D) totals; 0 at unused places
    place_V: Array  #: (V,) int32, where in the last step each word stood


def merge_rows(place_V: Array, ids: Array, rows: Array) -> MergedRows:
    """Adds up the rows of equal ids, at one of their places.

    Adding is what makes it a gradient: with ``set`` one of the rows would win. Which
    of a word's places is used is of no matter, so it may be left to ``set``, whatever
    order repeats have there. No work grows with V: ``place_V`` is never cleared, only
    what was just written is read.

    Args:
      place_V: (V,) int32, anything; the next call takes the one returned.
      ids: (R,) words, repeats allowed.
      rows: (R, D) their contributions.
    """
    (V,), (R,) = place_V.shape, ids.shape
    place_R = jnp.arange(R, dtype=jnp.int32)
    place_V = place_V.at[ids].set(place_R, mode="drop")
    chosen_R = place_V.at[ids].get(mode="fill", fill_value=R)
    total = jnp.zeros_like(rows).at[chosen_R].add(rows, mode="drop")
    # Unused places get ids that differ too, so that scatters may rely on it.
    ids = jnp.where(chosen_R == place_R, ids, V + place_R)
    return MergedRows(ids, total, place_V)


class TouchedRowsState(NamedTuple):
    """State of :func:`on_touched_rows`."""

    inner: optax.OptState  #: the optimiser's own, tables of V rows mostly
    place_V: Params  #: (V,) each, see :func:`merge_rows`


def on_touched_rows(
    optimizer: optax.GradientTransformation, columns: str | None = None
) -> optax.GradientTransformationExtraArgs:
    """A row optimiser from any Optax transformation that treats rows one by one.

    It acts on the words whose gradient is not zero, each once, and on the same rows of
    its own state. For SGD and Adagrad that is exactly what the dense optimiser does,
    whose other rows have gradient zero and stand still. Adam's do not: its momentum
    moves rows the step never read, so Adam on touched rows ("lazy Adam") is an
    optimiser of its own.

    Raises:
      InputError: the optimiser does not treat rows one by one: it takes a norm of a
        table (LAMB, LARS, clipping by it), sums over rows (Adafactor, SM3), products of
        them (Muon), or draws noise.
    """
    _refuse_mixed_rows(optimizer, columns)
    return _on_touched_rows(optimizer, columns)


def _refuse_mixed_rows(
    optimizer: optax.GradientTransformation, columns: str | None
) -> None:
    """Takes two steps of random tables, and of two of their rows by themselves.

    Tables are so large as Adafactor begins to sum at, the second gradient as any norm
    is cut at. Rows differ in size, or means of two and of all would be near.
    """
    V, D, some = 130, 129, np.array([5, 2])
    rng = np.random.default_rng(0)
    size_3V1 = 10 ** rng.uniform(-1, 1, (3, V, 1)) * [[[1]], [[1]], [[1e6]]]
    tables_3VD = (size_3V1 * rng.normal(size=(3, V, D))).astype(np.float32)

    def steps(tables_3RD):
        params, *gradients = (Params(table, table) for table in tables_3RD)
        state, moves = optimizer.init(params), []
        for gradient in gradients:
            updates, state = optimizer.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
            moves.append(updates)
        return {"update": moves, "state": state}

    def rows_of(x):
        return x[some] if x.shape[:1] == (V,) else x

    def among_and_alone():
        among = steps(tables_3VD)
        among["update"] = jax.tree.map(rows_of, among["update"])
        among["state"] = optax.tree_map_params(optimizer, rows_of, among["state"])
        return among, steps(tables_3VD[:, some])

    if columns:  # an axis of one device
        among_and_alone = jax.vmap(among_and_alone, axis_name=columns, axis_size=1)
    with jax.ensure_compile_time_eval():
        among, alone = jax.jit(among_and_alone)()
    leaves = jax.tree_util.tree_leaves_with_path(among)
    for (path, one), other in zip(leaves, jax.tree.leaves(alone), strict=True):
        if isinstance(one, jax.core.Tracer):
            return  # the optimiser's own settings are traced, and no numbers yet
        if not _near(one, other):
            raise InputError(
                f"on_touched_rows: this optimiser mixes rows: its {path[0].key} for "
                f"two rows among {V} is another one than for them alone, at "
                f"{jax.tree_util.keystr(path[1:])} (a norm of a table, sums over rows "
                "or noise do that); give one that treats rows one by one, like sgd, "
                'adagrad or adam, or use updates="dense"'
            )


def _near(one: Array, other: Array) -> bool:
    if one.shape != other.shape or not jnp.issubdtype(one.dtype, jnp.number):
        return one.shape == other.shape
    least = 1e-5 * np.max(np.abs(one), initial=0)
    return np.allclose(one, other, rtol=1e-3, atol=least, equal_nan=True)


def _on_touched_rows(
    optimizer: optax.GradientTransformation, columns: str | None = None
) -> optax.GradientTransformationExtraArgs:
    def init(params):
        place_V = jax.tree.map(lambda p: jnp.zeros(len(p), jnp.int32), params)
        return TouchedRowsState(optimizer.init(params), place_V)

    def update(updates, state, params, *, ids):
        merged = jax.tree.map(merge_rows, state.place_V, ids, updates)
        ids, rows, place_V = jax.tree.transpose(
            jax.tree.structure(updates), jax.tree.structure(MergedRows(0, 0, 0)), merged
        )
        V = jax.tree.map(len, params)
        touched = jax.tree.map(lambda rows: _any_nonzero(rows, columns), rows)
        ids = jax.tree.map(_without_others, ids, touched, V)
        # The state's tree with each table's ids in the table's place, None elsewhere.
        state_ids = optax.tree_map_params(
            optimizer,
            lambda _, i: i,
            state.inner,
            ids,
            transform_non_params=lambda _: None,
        )
        taken = jax.tree.map(_take, state_ids, state.inner, is_leaf=_is_none)
        row_params = jax.tree.map(_take, ids, params)
        rows, moved = optimizer.update(rows, taken, row_params)
        inner = jax.tree.map(_put, state_ids, state.inner, moved, is_leaf=_is_none)
        return rows, TouchedRowsState(inner, place_V)

    return optax.GradientTransformationExtraArgs(init, update)


def _any_nonzero(rows: Array, columns: str | None) -> Array:
    nonzero_R = jnp.any(rows != 0, axis=1)
    if columns is None:
        return nonzero_R
    return jax.lax.pmax(nonzero_R.astype(jnp.int32), columns) > 0


def _without_others(ids: Array, touched: Array, V: int) -> Array:
    return jnp.where(touched, ids, V + jnp.arange(len(ids)))


def _take(ids: Array | None, table: Array) -> Array:
    """Rows of a table in the state; what has no rows (a step count) as it is."""
    return table if ids is None else table.at[ids].get(mode="fill", fill_value=0)


def _put(ids: Array | None, table: Array, rows: Array) -> Array:
    if ids is None:
        return rows
    return table.at[ids].set(rows, mode="drop", unique_indices=True)


def _is_none(leaf) -> bool:
    return leaf is None


class RowRmsState(NamedTuple):
    """State of :func:`scale_by_row_rms`."""

    count: Params  #: (V,) int32 each, n: gradients that a row has had
    mean_square: Params  #: (V,) each, q: the mean over them of mean_d g²


def scale_by_row_rms(
    power: float = 0.15, columns: str | None = None
) -> optax.GradientTransformationExtraArgs:
    """Gradients by the usual size of their row's, and by a power of how many it had.

        n_w ← n_w + 1,   q_w ← q_w + (mean_d g_d² − q_w) / n_w      for each g of w
        update = g / (√k_w · √q_w · n_w^power)

    A row optimiser: the k_w gradients that w has in a step count one by one, and all
    are scaled by what n_w and q_w are after the last of them. They were taken at one
    point and may all say the same; √k keeps such a word from running away (k unrelated
    ones add up to √k, and so to a step of the usual size). For k = 1, ``power`` ½ is
    Adagrad by rows, as √(n·q) is the root of the sum of squares; 0 takes steps of one
    size throughout. One number for a row, not one for each coordinate, keeps the
    direction of the gradient. A gradient of zero does not count. A mean, for a sum in
    float32 stands still after 2²⁴ of its like.

    Source: Duchi, Hazan & Singer 2011; by rows as in Gupta et al. 2014 and DLRM
    (Naumov et al. 2019). The power is ours: skip-gram wants a small one, see
    experiments/README.md.
    """

    def init(params):
        count = jax.tree.map(lambda p: jnp.zeros(len(p), jnp.int32), params)
        mean_square = jax.tree.map(lambda p: jnp.zeros(len(p), p.dtype), params)
        return RowRmsState(count, mean_square)

    def mean_squares(rows):
        square_R = jnp.mean(rows * rows, axis=1)
        return jax.lax.pmean(square_R, columns) if columns else square_R

    def one_table(rows, square_R, n_V, q_V, ids):
        before_R = n_V.at[ids].get(mode="fill", fill_value=0)
        # Adding 0 in this way makes XLA read before it writes; it copies all V else.
        one_R = (square_R > 0) + jnp.minimum(before_R, 0)
        n_V = n_V.at[ids].add(one_R, mode="drop")
        n_R = n_V.at[ids].get(mode="fill", fill_value=0)
        k_R, n_R = (
            jnp.maximum(count, 1).astype(rows.dtype) for count in (n_R - before_R, n_R)
        )
        q_R = q_V.at[ids].get(mode="fill", fill_value=0)
        change_R = jnp.where(square_R > 0, (square_R - q_R) / n_R, 0)
        q_V = q_V.at[ids].add(change_R.astype(q_V.dtype), mode="drop")
        q_R = q_V.at[ids].get(mode="fill", fill_value=0)
        scale_R = jnp.where(q_R > 0, jax.lax.rsqrt(k_R * q_R), 0) * n_R**-power
        return scale_R[:, None] * rows, n_V, q_V

    def update(updates, state, params=None, *, ids):
        del params
        squares = map(mean_squares, updates)
        tables = map(one_table, updates, squares, state.count, state.mean_square, ids)
        updates, count, mean_square = map(Params._make, zip(*tables, strict=True))
        return updates, RowRmsState(count, mean_square)

    return optax.GradientTransformationExtraArgs(init, update)


def make_schedule(name: str, learning_rate: Array, num_steps: Array) -> optax.Schedule:
    """The learning rate at each step: ``linear``, ``cosine`` or ``constant``.

    The first two end at 1/10000 of the start, word2vec.c's floor, and stay there. Rate
    and number of steps may be traced: models of one program differ in them.
    """
    floor = 1e-4
    shapes = {  # of the part that is done, from 0 to 1
        "linear": optax.linear_schedule(1.0, floor, 1),
        "cosine": optax.cosine_decay_schedule(1.0, 1, alpha=floor),
        "constant": optax.constant_schedule(1.0),
    }
    if name not in shapes:
        raise InputError(f"schedule must be linear, cosine or constant, got {name!r}")
    return lambda step: learning_rate * shapes[name](step / num_steps)


def make_optimizer(
    name: str,
    schedule: optax.Schedule,
    power: float = 0.15,
    dense: bool = False,
    columns: str | None = None,
) -> optax.GradientTransformationExtraArgs:
    """``sgd``, ``adagrad`` (:func:`scale_by_row_rms`) or ``adam`` as a row optimiser.

    Args:
      name: which.
      schedule: step → learning rate.
      power: of ``adagrad``.
      dense: Adam by whole tables, whose momentum moves every row; for gradients of
        shape (V, D).
      columns: the mesh axis that D is split over, if it is.
    """
    scale = {
        "sgd": optax.identity,
        "adagrad": lambda: scale_by_row_rms(power, columns),
        "adam": optax.scale_by_adam,
    }
    if name not in scale:
        raise InputError(f"optimizer must be {', '.join(scale)}, got {name!r}")
    scaled = scale[name]()
    if name == "adam" and not dense:
        scaled = _on_touched_rows(scaled, columns)
    rate = optax.scale_by_learning_rate(schedule)
    return optax.with_extra_args_support(optax.chain(scaled, rate))
