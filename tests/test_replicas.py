"""Replicas against plain loops over segments, and the rule that merges them."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from sgns_jax import replicas, train
from sgns_jax.block import LossParts
from sgns_jax.optimizers import RowRmsState, make_optimizer
from sgns_jax.segment import segment_parts
from sgns_jax.sharding import MeshShape, make_mesh
from sgns_jax.step import TrainState, make_sampling, make_step, run_keys
from sgns_jax.types import Params
from tests.test_segment import make_segment_run
from tests.test_train import CONFIG, corpus, fitted

V, D = 5, 3


@functools.cache
def compiled_merge(rows_at_once):
    """``merge`` of replicas that share a device; ``ROWS_AT_ONCE`` is traced."""
    every = PartitionSpec()
    merge = jax.shard_map(
        lambda *states: replicas.merge(*states), mesh=make_mesh(MeshShape(), 1),
        in_specs=(every, every), out_specs=every, check_vma=False,
    )  # fmt: skip
    return jax.jit(merge)


def merged(before, afters):
    stacked = jax.tree.map(lambda *x: np.stack(x), *afters)
    return compiled_merge(replicas.ROWS_AT_ONCE)(before, stacked)


def state(w_in, step=0, opt_state=()):
    w_in = jnp.asarray(w_in)
    return TrainState(Params(w_in, jnp.zeros_like(w_in)), opt_state, step)


def merged_rows(before, afters):
    """Merged ``w_in`` of replicas with the given ones."""
    return np.asarray(merged(state(before), [state(x) for x in afters]).params.w_in)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_rows_are_merged_one_by_one_by_the_formula(n):
    rng = np.random.default_rng(n)
    before, *afters = rng.normal(size=(n + 1, 50, D)).astype(np.float32)
    got = merged_rows(before, afters)
    for word in range(50):
        moves = [after[word].astype(float) - before[word] for after in afters]
        total = np.sum(moves, axis=0)
        c = np.clip(np.sum(np.square(moves)) / np.sum(total**2), 1 / n, 1)
        np.testing.assert_allclose(got[word], before[word] + c * total, atol=1e-5)


def test_what_agreement_means():
    """A move of one replica counts whole, equal ones once, orthogonal ones add up."""
    before, one = np.ones((V, D), np.float32), np.eye(D, dtype=np.float32)
    x, y = (before + np.tile(axis, (V, 1)) for axis in one[:2])
    np.testing.assert_array_equal(merged_rows(before, [before, x]), x)
    np.testing.assert_array_equal(merged_rows(before, [x, x, x]), x)
    np.testing.assert_array_equal(merged_rows(before, [x, y]), x + y - before)
    np.testing.assert_array_equal(merged_rows(before, [before, before]), before)
    opposite = 2 * before - x  # what cancels leaves the row alone, and 0/0 does not
    np.testing.assert_array_equal(merged_rows(before, [x, opposite]), before)


@pytest.mark.parametrize("n", [2, 4])
def test_rows_at_rest_keep_their_variance(n):
    """The docstring's claim, with 20,000 numbers a row: c = 2/(n + 1)."""
    rng = np.random.default_rng(0)
    before, *afters = rng.normal(size=(n + 1, 1, 20_000)).astype(np.float32)
    got = merged(
        TrainState(Params(before, before), (), 0),
        [TrainState(Params(after, after), (), 0) for after in afters],
    )
    # The standard deviation of a sample variance is √(2/20,000) = 0.01.
    assert abs(np.var(got.params.w_in) - 1) < 0.06


@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 5, 7])
def test_tables_are_merged_some_rows_at_a_time(monkeypatch, rows_at_once):
    rng = np.random.default_rng(1)
    before, *afters = rng.normal(size=(3, V, D)).astype(np.float32)
    want = merged_rows(before, afters)
    monkeypatch.setattr(replicas, "ROWS_AT_ONCE", rows_at_once)
    np.testing.assert_allclose(merged_rows(before, afters), want, rtol=1e-6)


def test_counts_add_up_and_the_rest_becomes_the_mean():
    """n adds up, q is the mean of all squares; Adam's averages are no counts."""

    def count(n, q):
        twice = Params(jnp.full(V, n), jnp.full(V, 2 * n))
        return RowRmsState(twice, Params(jnp.full(V, q), jnp.zeros(V)))

    # 10 of mean 2, and 3 of mean 15 and 4 of mean 9 that replicas met.
    first, second = count(13, (20 + 45) / 13), count(14, (20 + 36) / 14)
    got = merged(
        state(np.ones((V, D)), 7, count(10, 2.0)),
        [state(np.ones((V, D)), 9, first), state(np.ones((V, D)), 12, second)],
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        got.opt_state, count(17, (20 + 45 + 36) / 17),
    )  # fmt: skip
    assert got.step == 10
    adam = optax.ScaleByAdamState(jnp.int32(4), jnp.ones(V), jnp.ones(V))
    other = optax.ScaleByAdamState(jnp.int32(8), 2 * jnp.ones(V), 3 * jnp.ones(V))
    got = merged(
        state(np.ones((V, D)), 0, adam),
        [state(np.ones((V, D)), 0, adam), state(np.ones((V, D)), 0, other)],
    )
    want = optax.ScaleByAdamState(jnp.int32(6), 1.5 * jnp.ones(V), 2 * jnp.ones(V))
    jax.tree.map(np.testing.assert_array_equal, got.opt_state, want)


def test_a_round_is_each_segment_alone_then_a_merge(unoptimized):
    tokens, counts = corpus()
    config = dataclasses.replace(CONFIG, replicas=2)
    trainer = train.make_trainer(config, counts, len(tokens))
    start = jax.tree.map(np.asarray, trainer.state)
    update = make_optimizer("adagrad", trainer.schedule)
    run = jax.jit(make_segment_run(config, make_step(config, update)))
    size = train.segment_size(config, len(tokens), 40)
    afters, pairs = [], 0
    for i in range(2):
        segment_T = tokens[i * size : (i + 1) * size]
        after, metrics = run(
            start, run_keys(0), make_sampling(config, counts), segment_T, i
        )
        afters.append(after)
        pairs += int(metrics.pairs)
    want = merged(start, afters)
    _, got, metrics = next(train.fit(config, trainer, tokens))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, want
    )
    assert sum(metrics.pairs) == pairs == sum(metrics.loss.pairs)
    assert np.any(afters[0].params.w_in != afters[1].params.w_in)


def test_replicas_are_merged_every_few_steps(unoptimized, steps=3):
    """A round is a loop: so many steps of each replica alone, then a merge."""
    tokens, counts = corpus()
    config = dataclasses.replace(CONFIG, replicas=2, sync_every=steps)
    trainer = train.make_trainer(config, counts, len(tokens))
    state = jax.tree.map(np.asarray, trainer.state)
    step = make_step(config, make_optimizer("adagrad", trainer.schedule))
    parts = segment_parts(config, step, run_keys(0), make_sampling(config, counts))
    prepare, train_steps = map(jax.jit, (parts.prepare, parts.train))
    size = train.segment_size(config, len(tokens), 40)
    ready = [prepare(tokens[i * size : (i + 1) * size], i) for i in range(2)]
    numbers = [int(segment.num_steps) for segment, _ in ready]
    for first in range(0, max(numbers), steps):
        afters = []
        for i, (segment, sums) in enumerate(ready):
            last = min(first + steps, numbers[i])
            after, sums = train_steps(state, segment, sums, first, last)
            ready[i] = segment, sums
            afters.append(after)
        state = merged(state, afters)
    _, got, metrics = next(train.fit(config, trainer, tokens))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, state
    )
    losses = [float(sums.loss.positive) for _, sums in ready]
    np.testing.assert_allclose(metrics.loss.positive, losses, rtol=1e-4)


def test_when_replicas_are_merged_matters_but_not_how_it_is_said(unoptimized):
    config = dataclasses.replace(CONFIG, replicas=2, epochs=1)
    at_the_end, often, never_before = (
        fitted(dataclasses.replace(config, sync_every=n))[1].params.w_in
        for n in (0, 3, 10_000)
    )
    np.testing.assert_allclose(at_the_end, never_before, rtol=1e-4, atol=1e-5)
    distance = np.linalg.norm(at_the_end - often)
    assert distance > 0.01 * np.linalg.norm(at_the_end)


@pytest.mark.parametrize("sync_every", [0, 3])
def test_replicas_may_take_turns_on_one_device(monkeypatch, sync_every, unoptimized):
    """The same numbers to rounding: another program adds up in another order."""
    config = dataclasses.replace(CONFIG, replicas=2, epochs=1, sync_every=sync_every)
    apart = fitted(config)[1]
    assert len(apart.params.w_in.devices()) == 2
    devices = jax.devices()
    monkeypatch.setattr(jax, "devices", lambda: devices[:1])
    together = fitted(config)[1]
    assert len(together.params.w_in.devices()) == 1
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        apart, together,
    )  # fmt: skip


def test_replicas_draw_noise_of_their_own(unoptimized):
    """At equal steps: what a step is given differs by the segment."""
    config = dataclasses.replace(CONFIG, replicas=2)

    def step(state, keys, sampling, windows, starts_B, measured):
        return jax.random.key_data(keys.noise), LossParts(*jnp.zeros(2), 0)

    run = make_segment_run(config, step)
    data = run_keys(0), make_sampling(config, np.ones(40)), corpus(300)[0]
    state = jax.random.key_data(run_keys(0).noise)
    first, again, second = (run(state, *data, i)[0] for i in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != second)
