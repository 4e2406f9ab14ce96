"""Row updates against dense Optax: equal where theory says so, different where not."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgns_jax.optimizers import (
    RowUpdates,
    apply_row_updates,
    dense_updates,
    make_optimizer,
    make_schedule,
    merge_rows,
    on_touched_rows,
)
from sgns_jax.types import InputError, Params

V, D, R = 9, 3, 12
jit_merge = jax.jit(merge_rows, static_argnums=3)


def random_step(seed, ids_below=V):
    """Ids with repeats and untouched places, and their rows, for one table."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, ids_below, R).astype(np.int32)
    rows = rng.normal(size=(R, D)).astype(np.float32)
    return ids, rows, rng.random(R) < 0.8


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6))
def test_merge_adds_repeats_and_names_each_row_once(seed):
    ids, rows, touched = random_step(seed)
    updates = jit_merge(ids, rows, touched, V)
    want = np.zeros((V, D))
    np.add.at(want, ids[touched], rows[touched])
    got = dense_updates(jnp.zeros((V, D)), updates)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    assert len(set(np.asarray(updates.ids))) == R
    used = np.asarray(updates.ids)[np.asarray(updates.ids) < V]
    assert sorted(used) == sorted(set(ids[touched]))
    assert not np.any(np.asarray(updates.rows)[np.asarray(updates.ids) >= V])


def run(optimizer, rowwise, steps=6):
    """A few steps on random gradients, in the row form or the dense form."""
    rng = np.random.default_rng(0)
    params = Params(*jnp.asarray(rng.normal(size=(2, V, D)), jnp.float32))
    form = on_touched_rows(optimizer) if rowwise else optimizer
    state = form.init(params)
    for step in range(steps):
        updates = Params(
            merge_rows(*random_step(2 * step, 5), V),
            merge_rows(*random_step(2 * step + 1, 5), V),
        )
        if rowwise:
            updates, state = form.update(updates, state, params)
            params = Params(*map(apply_row_updates, params, updates))
        else:
            dense = Params(*map(dense_updates, params, updates))
            dense, state = form.update(dense, state, params)
            params = optax.apply_updates(params, dense)
    return params, state


# What treats rows one by one and leaves a row with zero gradient alone.
EXACT = {
    "sgd": make_optimizer("sgd", optax.linear_schedule(0.1, 0.01, 5)),
    "adagrad": make_optimizer("adagrad", optax.linear_schedule(0.1, 0.01, 5)),
    "optax.sgd": optax.sgd(0.1),
    "optax.adagrad": optax.adagrad(0.1),
}


@pytest.mark.parametrize("name", EXACT)
def test_row_form_is_exactly_the_dense_form(name):
    rows, row_state = run(EXACT[name], rowwise=True)
    dense, dense_state = run(EXACT[name], rowwise=False)
    jax.tree.map(np.testing.assert_array_equal, (rows, row_state), (dense, dense_state))
    start, _ = run(EXACT[name], rowwise=True, steps=0)
    assert np.any(rows.w_in != start.w_in)


def test_adam_on_touched_rows_leaves_the_others_alone():
    """Dense Adam's momentum moves rows that a step never read; the row form's not."""

    def second_step(form, first, second, state, params):
        _, state = form.update(first, state, params)
        return form.update(second, state, params)

    params = Params(jnp.ones((V, D)), jnp.ones((V, D)))
    ones, all_touched = jnp.ones((1, D)), jnp.array([True])
    first, second = (
        Params(*[merge_rows(jnp.array([word]), ones, all_touched, V)] * 2)
        for word in (2, 3)
    )
    adam = make_optimizer("adam", optax.constant_schedule(0.1))
    form = on_touched_rows(adam)
    updates, _ = second_step(form, first, second, form.init(params), params)
    moved = dense_updates(params.w_in, updates.w_in)
    assert set(np.flatnonzero(np.any(moved != 0, axis=1))) == {3}

    dense = [Params(*map(dense_updates, params, u)) for u in (first, second)]
    updates, _ = second_step(adam, *dense, adam.init(params), params)
    assert set(np.flatnonzero(np.any(updates.w_in != 0, axis=1))) == {2, 3}


def test_row_adagrad_by_hand():
    # G = 0 + mean(3², 4²) = 12.5, then 12.5 + 12.5: steps g/√12.5, then g/√25.
    adagrad = make_optimizer("adagrad", optax.constant_schedule(1.0))
    params = Params(jnp.zeros((2, 2)), jnp.zeros((1, 2)))
    gradient = Params(jnp.array([[3.0, 4.0], [0, 0]]), jnp.zeros((1, 2)))
    state = adagrad.init(params)
    for root in (np.sqrt(12.5), 5):
        updates, state = adagrad.update(gradient, state, params)
        np.testing.assert_allclose(updates.w_in[0], [-3 / root, -4 / root], rtol=1e-6)
        np.testing.assert_array_equal(updates.w_in[1], [0, 0])  # no 0/0


def test_sgd_by_hand():
    sgd = make_optimizer("sgd", optax.constant_schedule(0.5))
    gradient = Params(jnp.array([[3.0, -4.0]]), jnp.array([[0.0, 1.0]]))
    updates, _ = sgd.update(gradient, sgd.init(gradient))
    np.testing.assert_array_equal(updates.w_in, [[-1.5, 2.0]])
    np.testing.assert_array_equal(updates.w_out, [[0.0, -0.5]])


def test_the_optimizer_sees_the_touched_rows_of_the_params():
    """Weight decay on touched rows: −lr·(g + 0.1·p) there, nothing elsewhere."""
    decay = optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.5))
    params = Params(*jnp.arange(2.0 * V * D).reshape(2, V, D))
    gradient = Params(*(merge_rows(*random_step(seed, 5), V) for seed in (0, 1)))
    form = on_touched_rows(decay)
    updates, _ = form.update(gradient, form.init(params), params)
    for table, row_updates, g in zip(params, updates, gradient, strict=True):
        got, g = (dense_updates(table, x) for x in (row_updates, g))
        touched = np.any(np.asarray(g) != 0, axis=1)
        want = np.where(touched[:, None], -0.5 * (g + 0.1 * table), 0)
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
        assert 0 < touched.sum() < V


def test_row_updates_compile_once():
    traces = []

    @jax.jit
    def update(updates, state, params):
        traces.append(1)
        return form.update(updates, state, params)

    form = on_touched_rows(EXACT["adagrad"])
    params = Params(jnp.ones((V, D)), jnp.ones((V, D)))
    state = form.init(params)
    for seed in range(3):
        rows = jit_merge(*random_step(seed), V)
        _, state = update(Params(rows, rows), state, params)
    assert len(traces) == 1  # the state keeps its shapes and types


def test_updates_out_of_range_touch_nothing():
    table = jnp.ones((V, D))
    updates = RowUpdates(jnp.array([V, V + 1]), jnp.ones((2, D)))
    np.testing.assert_array_equal(apply_row_updates(table, updates), table)


def test_schedules():
    linear = make_schedule("linear", 0.2, 100)
    np.testing.assert_allclose([linear(0), linear(50)], [0.2, 0.1], rtol=1e-3)
    for name in ("linear", "cosine"):
        schedule = make_schedule(name, 0.2, 100)
        np.testing.assert_allclose([schedule(100), schedule(999)], 2e-5, rtol=1e-3)
    assert make_schedule("constant", 0.2, 100)(99) == 0.2
    # A quarter of the way a cosine is at (1 + cos 45°)/2 = 0.854, a line at 0.75.
    np.testing.assert_allclose(make_schedule("cosine", 0.2, 100)(25), 0.1707, rtol=1e-3)


def test_unknown_names():
    with pytest.raises(InputError, match="optimizer must be sgd, adagrad, adam, got"):
        make_optimizer("lion", optax.constant_schedule(1.0))
    with pytest.raises(InputError, match="schedule must be linear, cosine or constant"):
        make_schedule("step", 0.2, 100)


def test_half_precision_tables_take_float32_updates():
    table = jnp.ones((V, D), jnp.bfloat16)
    updates = RowUpdates(jnp.array([2, V]), jnp.full((2, D), 0.25, jnp.float32))
    moved = apply_row_updates(table, updates)
    assert moved.dtype == jnp.bfloat16
    np.testing.assert_array_equal(moved[2], jnp.full(D, 1.25))
    np.testing.assert_array_equal(moved[3], jnp.ones(D))
