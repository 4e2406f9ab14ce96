"""Row updates against dense Optax: equal where theory says so, different where not."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgns_jax.optimizers import (
    add_rows,
    make_optimizer,
    make_schedule,
    merge_rows,
    on_touched_rows,
    scale_by_row_rms,
)
from sgns_jax.types import InputError, Params

#: One operation is compiled at a time here; test_step compares what users compile.
pytestmark = pytest.mark.usefixtures("unoptimized")
V, D, R = 9, 3, 12
ALL = Params(jnp.arange(V), jnp.arange(V))  #: ids of a dense gradient
jit_merge = jax.jit(merge_rows)


def random_rows(seed, ids_below=V):
    """Ids with repeats and their rows for one table; some rows are zero."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, ids_below, R).astype(np.int32)
    rows = rng.normal(size=(R, D)) * (rng.random((R, 1)) < 0.8)
    return ids, rows.astype(np.float32)


def random_step(seed):
    """Ids and rows for both tables."""
    both = random_rows(2 * seed, 5), random_rows(2 * seed + 1, 5)
    return map(Params._make, zip(*both, strict=True))


def dense(ids, rows):
    return jax.tree.map(lambda i, g: add_rows(jnp.zeros((V, D)), i, g), ids, rows)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6))
def test_merge_adds_repeats_and_names_each_row_once(seed):
    """Whatever was left in the scratch array, V − 1 or R or a negative number."""
    ids, rows = random_rows(seed)
    garbage = np.random.default_rng(seed).integers(-5, 50, V).astype(np.int32)
    merged = jit_merge(garbage, ids, rows)
    want = np.zeros((V, D))
    np.add.at(want, ids, rows)
    got = add_rows(jnp.zeros((V, D)), merged.ids, merged.rows)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    assert len(set(np.asarray(merged.ids))) == R
    used = np.asarray(merged.ids)[np.asarray(merged.ids) < V]
    assert sorted(used) == sorted(set(ids))
    assert not np.any(np.asarray(merged.rows)[np.asarray(merged.ids) >= V])


def run(optimizer, rowwise, steps=6):
    """A few steps on random gradients, in the row form or the dense form."""
    rng = np.random.default_rng(0)
    params = Params(*jnp.asarray(rng.normal(size=(2, V, D)), jnp.float32))
    form = on_touched_rows(optimizer) if rowwise else optimizer
    state = form.init(params)
    for step in range(steps):
        ids, rows = random_step(step)
        if rowwise:
            updates, state = form.update(rows, state, params, ids=ids)
            params = jax.tree.map(add_rows, params, ids, updates)
        else:
            updates, state = form.update(dense(ids, rows), state, params)
            params = optax.apply_updates(params, updates)
    return params, state.inner if rowwise else state


@pytest.mark.parametrize("optimizer", [optax.sgd(0.1), optax.adagrad(0.1)])
def test_touched_rows_are_exactly_the_dense_form(optimizer):
    """Of what treats rows one by one and leaves a row with zero gradient alone."""
    rows, row_state = run(optimizer, rowwise=True)
    all_rows, dense_state = run(optimizer, rowwise=False)
    jax.tree.map(
        np.testing.assert_array_equal, (rows, row_state), (all_rows, dense_state)
    )
    start, _ = run(optimizer, rowwise=True, steps=0)
    assert np.any(rows.w_in != start.w_in)


APART = {
    "sgd with momentum": optax.sgd(0.1, 0.9, nesterov=True),
    "adagrad": optax.adagrad(0.1),
    "adam": optax.adam(optax.linear_schedule(0.1, 0, 10)),
    "adamw": optax.adamw(0.1),
    "adabelief": optax.adabelief(0.1),
    "rmsprop": optax.rmsprop(0.1, centered=True, momentum=0.9),
    "lion": optax.lion(0.1),
    "clipping by coordinate": optax.chain(optax.clip(1.0), optax.sgd(0.1)),
}
MIXED = {
    "lamb": optax.lamb(0.1),
    "lars": optax.lars(0.1),
    "novograd": optax.novograd(0.1),
    "adafactor": optax.adafactor(0.1),
    "adafactor, its sums alone": optax.adafactor(
        0.1, multiply_by_parameter_scale=False, clipping_threshold=None
    ),
    "sm3": optax.sm3(0.1),
    "clipping by norm": optax.chain(optax.clip_by_global_norm(1e6), optax.sgd(0.1)),
    "noise": optax.chain(optax.add_noise(0.01, 0.55, 0), optax.sgd(0.1)),
    "prodigy": optax.contrib.prodigy(0.1),
    "muon": optax.contrib.muon(0.1, ns_steps=1),
}


@pytest.mark.parametrize("name", APART)
def test_what_treats_rows_one_by_one_is_taken(name):
    on_touched_rows(APART[name])


@pytest.mark.parametrize("name", MIXED)
def test_what_mixes_rows_is_refused(name):
    """They would train, to other vectors than they do on whole tables."""
    with pytest.raises(InputError, match="this optimiser mixes rows: its (upd|state)"):
        on_touched_rows(MIXED[name])


def test_what_mixes_rows_is_told_from_what_asks_other_devices():
    """``scale_by_row_rms`` asks for a row's mean over the devices that have columns."""

    def by_row(updates, state, params=None):
        del params
        square = jax.tree.map(lambda g: jnp.mean(g * g, axis=1), updates)
        square = jax.lax.pmean(square, "model")
        return jax.tree.map(lambda g, q: g / q[:, None], updates, square), state

    def by_table(updates, state, params=None):
        del params
        return jax.lax.pmean(optax.tree.clip(updates, -1, 1), "model"), jax.tree.map(
            jnp.sum, updates
        )

    def init(params):
        return jax.tree.map(lambda p: jnp.zeros(()), params)

    on_touched_rows(
        optax.GradientTransformation(optax.init_empty_state, by_row), "model"
    )
    with pytest.raises(InputError, match="its state for two rows among 130"):
        on_touched_rows(optax.GradientTransformation(init, by_table), "model")


def test_an_optimizer_whose_rate_is_traced_is_taken_as_it_is():
    """As one that many models share in a program; there are no numbers to compare."""

    @jax.jit
    def update(rate, rows, ids):
        form = on_touched_rows(optax.adam(rate))
        params = Params(jnp.ones((V, D)), jnp.ones((V, D)))
        return form.update(rows, form.init(params), params, ids=ids)[0]

    @jax.jit
    def mixed(rows):
        on_touched_rows(optax.lamb(0.1))
        return rows

    ids, rows = random_step(0)
    assert np.any(update(0.1, rows, ids).w_in)
    with pytest.raises(InputError, match="mixes rows"):  # its own settings are known
        mixed(rows)


def test_adam_on_touched_rows_leaves_the_others_alone():
    """Dense Adam's momentum moves rows that a step never read; the row form's not."""
    params = Params(jnp.ones((V, D)), jnp.ones((V, D)))
    ids, ones = (Params(*[jnp.array([w])] * 2) for w in (2, 3)), jnp.ones((1, D))
    first, second = ids
    rows = Params(ones, ones)
    adam = make_optimizer("adam", optax.constant_schedule(0.1))
    _, state = adam.update(rows, adam.init(params), params, ids=first)
    updates, _ = adam.update(rows, state, params, ids=second)
    moved = dense(second, updates).w_in
    assert set(np.flatnonzero(np.any(moved != 0, axis=1))) == {3}

    whole = make_optimizer("adam", optax.constant_schedule(0.1), dense=True)
    _, state = whole.update(dense(first, rows), whole.init(params), params, ids=ALL)
    updates, _ = whole.update(dense(second, rows), state, params, ids=ALL)
    assert set(np.flatnonzero(np.any(updates.w_in != 0, axis=1))) == {2, 3}


def test_what_cancels_is_no_gradient():
    """Two rows of a word that add up to 0 leave it and its momentum alone."""
    params = Params(jnp.ones((V, D)), jnp.ones((V, D)))
    ids, ones = Params(*[jnp.array([2, 2])] * 2), jnp.ones((2, D))
    adam = make_optimizer("adam", optax.constant_schedule(0.1))
    _, state = adam.update(Params(ones, ones), adam.init(params), params, ids=ids)
    cancel = ones * jnp.array([[1.0], [-1.0]])
    updates, after = adam.update(Params(cancel, cancel), state, params, ids=ids)
    assert not np.any(updates.w_in)
    tables = (
        [x for x in jax.tree.leaves(s) if x.shape == (V, D)] for s in (state, after)
    )
    jax.tree.map(np.testing.assert_array_equal, *tables)


def test_row_adagrad_by_hand():
    # Power ½: Σ mean_d g² = mean(3², 4²) = 12.5, then 25: steps g/√12.5, then g/√25.
    # Power ¼ takes steps √√n longer; power 0 divides by the mean size, √12.5, always.
    params = Params(jnp.zeros((2, 2)), jnp.zeros((1, 2)))
    gradient = Params(jnp.array([[3.0, 4.0], [0, 0]]), jnp.zeros((1, 2)))
    ids = Params(jnp.arange(2), jnp.arange(1))
    for power in (0.5, 0.25, 0.0):
        rate = optax.constant_schedule(1.0)
        adagrad = make_optimizer("adagrad", rate, power)
        state = adagrad.init(params)
        for n in (1, 2, 3):
            updates, state = adagrad.update(gradient, state, params, ids=ids)
            size = np.sqrt(12.5) * n**power
            want = [-3 / size, -4 / size]
            np.testing.assert_allclose(updates.w_in[0], want, rtol=1e-6)
            np.testing.assert_array_equal(updates.w_in[1], [0, 0])  # no 0/0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**4), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_row_adagrad_counts_repeats_one_by_one(seed, power):
    """Against plain loops over what each word has had; zero gradients do not count."""
    optimizer = scale_by_row_rms(power)
    update = jax.jit(optimizer.update)
    tables = Params(jnp.zeros((V, D)), jnp.zeros((V, D)))
    state, had = optimizer.init(tables), ({}, {})
    for step in range(3):
        ids, rows = random_step(seed + step)
        updates, state = update(rows, state, tables, ids=ids)
        for table, squares in enumerate(had):
            before = {word: len(seen) for word, seen in squares.items()}
            for word, g in zip(ids[table], rows[table], strict=True):
                if np.any(g):
                    squares.setdefault(int(word), []).append(
                        np.mean(g.astype(float) ** 2)
                    )
            for word, g, got in zip(
                ids[table], rows[table], updates[table], strict=True
            ):
                seen = squares.get(int(word), [1.0])
                k = max(len(seen) - before.get(int(word), 0), 1)
                want = g / (np.sqrt(k * np.mean(seen)) * len(seen) ** power)
                np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)


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
    ids, rows = random_step(0)
    form = on_touched_rows(decay)
    updates, _ = form.update(rows, form.init(params), params, ids=ids)
    both = zip(params, dense(ids, updates), dense(ids, rows), strict=True)
    for table, got, g in both:
        touched = np.any(np.asarray(g) != 0, axis=1)
        want = np.where(touched[:, None], -0.5 * (g + 0.1 * table), 0)
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
        assert 0 < touched.sum() < V


@pytest.mark.parametrize("name", ["adagrad", "adam"])
def test_row_updates_compile_once(name):
    traces = []

    @jax.jit
    def update(rows, state, params, ids):
        traces.append(1)
        return optimizer.update(rows, state, params, ids=ids)

    optimizer = make_optimizer(name, optax.constant_schedule(1.0))
    params = Params(jnp.ones((V, D)), jnp.ones((V, D)))
    state = optimizer.init(params)
    for seed in range(3):
        ids, rows = random_step(seed)
        _, state = update(rows, state, params, ids)
    assert len(traces) == 1  # the state keeps its shapes and types


@pytest.mark.parametrize("name", ["sgd", "adagrad", "adam"])
def test_ids_out_of_range_touch_nothing(name):
    optimizer = make_optimizer(name, optax.constant_schedule(1.0))
    params = Params(jnp.ones((V, D)), jnp.ones((V, D)))
    state = optimizer.init(params)
    ids = Params(*[jnp.array([V, V + 7])] * 2)
    rows = Params(*[jnp.ones((2, D))] * 2)
    updates, after = optimizer.update(rows, state, params, ids=ids)
    moved = jax.tree.map(add_rows, params, ids, updates)
    jax.tree.map(np.testing.assert_array_equal, moved, params)
    tables = [x for x in jax.tree.leaves(after) if x.shape[:1] == (V,)]
    assert all(not np.any(table) for table in tables)


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


def test_half_precision_tables_take_float32_rows():
    table, rows = jnp.ones((V, D), jnp.bfloat16), jnp.full((2, D), 0.25)
    moved = add_rows(table, jnp.array([2, V]), rows)
    assert moved.dtype == jnp.bfloat16
    np.testing.assert_array_equal(moved[2], jnp.full(D, 1.25))
    np.testing.assert_array_equal(moved[3], jnp.ones(D))
