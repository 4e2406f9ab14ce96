"""The loop of steps over a segment: what it hands to them, and what it adds up."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgns_jax.block import LossParts
from sgns_jax.optimizers import make_optimizer
from sgns_jax.segment import segment_parts
from sgns_jax.step import TrainState, init_params, make_sampling, make_step, run_keys
from tests.test_train import CONFIG, V, corpus, fitted


def make_segment_run(config, step):
    """``run(state, keys, sampling, segment_T, number)``."""

    def run(state, keys, sampling, *numbered):
        return segment_parts(config, step, keys, sampling).run(state, *numbered)

    return run


def recorded_starts(size, config):
    """What a segment's loop hands to its steps: (number of steps, B) block starts."""
    B = config.blocks_per_step

    def step(state, keys, sampling, windows, starts_B, measured):
        count, starts = state
        one = LossParts(jnp.float32(1), jnp.float32(2), jnp.int32(3))
        return (count + 1, starts.at[count].set(starts_B)), one

    run = jax.jit(make_segment_run(config, step))
    sampling = make_sampling(config, np.ones(V))
    state = jnp.int32(0), jnp.full((99, B), -1)
    tokens = jnp.zeros(size, jnp.int32)
    (count, starts), metrics = run(state, run_keys(0), sampling, tokens, 0)
    assert metrics.loss == (count, 2 * count, 3 * count)  # losses are summed from 0
    return np.asarray(starts[:count])


@pytest.mark.parametrize("size", [1, 8, 31, 32, 33, 257])
def test_steps_read_every_block_once_and_spread_out(size):
    config = dataclasses.replace(CONFIG, subsample=0.0)
    starts = recorded_starts(size, config)
    inside = starts[starts < size]
    np.testing.assert_array_equal(np.sort(inside), np.arange(0, size, 8))
    assert len(starts) == np.ceil(np.ceil(size / 8) / 4)  # no empty step
    if len(starts) > 1:
        assert np.all(np.diff(starts, axis=1) == 8 * len(starts))


def test_the_loss_is_measured_every_few_steps_and_changes_nothing():
    def step(state, keys, sampling, windows, starts_B, measured):
        one = LossParts(jnp.float32(1), jnp.float32(2), jnp.int32(3))
        return state + 1, jax.tree.map(lambda x: x * measured, one)

    config = dataclasses.replace(CONFIG, subsample=0.0, loss_every=4)
    run = jax.jit(make_segment_run(config, step))
    sampling = make_sampling(config, [600])
    for tokens, steps, measured in ((33, 2, 1), (128, 4, 1), (129, 5, 2), (300, 10, 3)):
        segment = jnp.zeros(tokens, jnp.int32)
        count, metrics = run(jnp.int32(0), run_keys(0), sampling, segment, 0)
        assert (count, metrics.loss.pairs) == (steps, 3 * measured)
        assert 2 * tokens < metrics.pairs < 6 * tokens  # of all steps
    vectors = (
        fitted(dataclasses.replace(CONFIG, loss_every=n))[1].params.w_in for n in (1, 4)
    )
    np.testing.assert_array_equal(*vectors)


def test_a_sum_of_a_billion_pairs_is_right():
    """1,200 thousand pairs at a time: float32 alone would end 1e-4 off, or stand still.

    The bound is that of Kahan's sum, two roundings (Higham 1993, equation 4.8), and
    one for each product that stands for the truth.
    """
    config = dataclasses.replace(
        CONFIG, block_size=2, blocks_per_step=2, loss_every=1, subsample=0.0
    )
    segment = jnp.zeros(4000, jnp.int32)  # a thousand steps
    terms = jnp.float32(1_200_000 * 2.7), jnp.float32(1_200_000 * 1.3)

    def step(state, keys, sampling, windows, starts_B, measured):
        return state + 1, LossParts(*terms, jnp.int32(1_200_000))

    run = jax.jit(make_segment_run(config, step))
    sampling = make_sampling(config, [600])
    steps, metrics = run(jnp.int32(0), run_keys(0), sampling, segment, 0)
    assert (steps, metrics.loss.pairs) == (1000, 1_200_000_000)
    for total, term in zip(metrics.loss[:2], terms, strict=True):
        want = 1000 * float(term)
        assert abs(float(total) - want) <= 4 * np.finfo(np.float32).eps * want


@pytest.mark.parametrize("bad", [0, 1, 2, 7])
def test_the_first_step_that_left_the_numbers_is_known(bad):
    """Every second step is measured, so the fault of step 1 shows at step 2."""

    def step(state, keys, sampling, windows, starts_B, measured):
        loss = jnp.where(measured, jnp.where(state >= bad, jnp.nan, 1.0), 0.0)
        return state + 1, LossParts(loss, jnp.float32(0), jnp.int32(1))

    config = dataclasses.replace(CONFIG, subsample=0.0, loss_every=2)
    run = jax.jit(make_segment_run(config, step))
    segment = jnp.zeros(32 * 6, jnp.int32)  # six steps
    data = run_keys(0), make_sampling(config, [600]), segment, 0
    _, metrics = run(jnp.int32(0), *data)
    assert metrics.finite_steps == {0: 0, 1: 2, 2: 2, 7: 6}[bad]


def start(config, counts, optimizer):
    """State, keys and sampling to begin with; a trainer would compile a round too."""
    keys = run_keys(config.seed)
    params = init_params(keys.init, V, config.dim)
    state = TrainState(params, optimizer.init(params), jnp.int32(0))
    return state, keys, make_sampling(config, counts)


def test_every_pass_subsamples_anew(unoptimized):
    """Runs that differ in the segment's number alone."""
    tokens, counts = corpus()
    optimizer = make_optimizer("sgd", lambda step: 0.1)
    run = jax.jit(make_segment_run(CONFIG, make_step(CONFIG, optimizer)))
    data = *start(CONFIG, counts, optimizer), tokens[:500]
    pairs = {int(run(*data, segment)[1].pairs) for segment in range(4)}
    assert len(pairs) > 1


def test_one_trace_for_all_segments(unoptimized):
    """One compiled program whatever the number of kept tokens, one trace a shape."""
    tokens, counts = corpus()
    traces = []
    optimizer = make_optimizer("sgd", lambda count: 0.1)
    step = make_step(CONFIG, optimizer)

    def counted(*arguments):
        traces.append(1)
        return step(*arguments)

    run = jax.jit(make_segment_run(CONFIG, counted))
    (state, *data), sizes = start(CONFIG, counts, optimizer), set()
    for segment in range(4):
        part = tokens[segment * 500 :][:500]
        state, metrics = run(state, *data, part, segment)
        sizes.add(int(metrics.pairs))
    assert len(sizes) > 1
    assert len(traces) == 1
