"""One training step against the oracle's gradient, and what a step must not do."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sgns_jax.config import Config
from sgns_jax.noise import implied_distribution
from sgns_jax.optimizers import make_optimizer
from sgns_jax.step import (
    TrainState,
    init_params,
    make_sampling,
    make_step,
    prepare_segment,
    run_keys,
    sample_batch,
)
from sgns_jax.types import Params
from sgns_jax.window import KeptTokens, half_windows, lay_windows
from tests import oracle

V = 12
COUNTS = np.arange(V, 0, -1) * 10
CONFIG = Config(
    dim=6,
    window=2,
    negatives=3,
    block_size=4,
    noise_words=5,
    blocks_per_step=3,
    subsample=0.0,
    optimizer="sgd",
    learning_rate=0.1,
    product_dtype="float32",
)
KEYS = run_keys(0)
STARTS = jnp.arange(3) * 4


def segment(seed=0, size=11):
    """Eleven tokens in two sentences; the last block's last centre is padding."""
    tokens = np.random.default_rng(seed).integers(0, V, 12).astype(np.int32)
    sentences = (np.arange(12) > 6).astype(np.int32)
    kept = KeptTokens(jnp.asarray(tokens), jnp.asarray(sentences), jnp.int32(size))
    return lay_windows(kept, half_windows(jax.random.key(seed), (12,), 2, True))


def random_state(optimizer, seed=0):
    rng = np.random.default_rng(seed)
    params = Params(*jnp.asarray(rng.normal(size=(2, V, 6)), jnp.float32))
    return TrainState(params, optimizer.init(params), jnp.int32(0))


def one_step(config, windows=None, state=None):
    rate = optax.constant_schedule(config.learning_rate)
    dense = config.updates == "dense"
    optimizer = make_optimizer(config.optimizer, rate, dense=dense)
    state = state or random_state(optimizer)
    windows = segment() if windows is None else windows
    step = jax.jit(make_step(config, optimizer))
    sampling = make_sampling(config, COUNTS)
    return state, *step(state, KEYS, sampling, windows, STARTS)


def config_with(**settings):
    return dataclasses.replace(CONFIG, **settings)


@pytest.mark.parametrize("product_dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("mode", ["shared", "independent"])
@pytest.mark.parametrize("collisions", ["keep", "skip"])
def test_sgd_step_is_the_oracles_gradient_step(mode, collisions, product_dtype):
    """The gradient the trainer applies, duplicates added up, is the pairs' sum.

    With products of bfloat16 it is that at the rounded rows, but for another rounding
    of each term to 8 bits; where terms cancel a few of those may be left.
    """
    config = config_with(
        negatives_mode=mode, collisions=collisions, product_dtype=product_dtype
    )
    before, after, loss = one_step(config)
    sampling = make_sampling(config, COUNTS)
    sample = jax.jit(sample_batch, static_argnums=0)
    batch = sample(config, before.step, KEYS, sampling, segment(), STARTS)
    batch = jax.tree.map(np.asarray, batch)
    rounded = jax.tree.map(lambda x: x.astype(product_dtype), before.params)
    params = jax.tree.map(lambda x: np.asarray(x, np.float32), rounded)
    d_in, d_out, total = np.zeros((V, 6)), np.zeros((V, 6)), 0.0
    C = 4 if mode == "shared" else 1  # independent: each centre is its own block
    E = C + 2 * 2
    mask = batch.weights.weight_BCR[:, :, :E] > 0
    tokens_BE, noise_BN = batch.words_BR[:, :E], batch.words_BR[:, E:]
    for b, c, e in np.argwhere(mask):
        center, context = batch.centers_BC[b, c], tokens_BE[b, e]
        if mode == "shared":
            words, weight = noise_BN[b], 3 / 5
        else:
            pair = e - (e > 2)
            words, weight = noise_BN[b, 3 * pair : 3 * pair + 3], 1.0
        skip = collisions == "skip"
        weights = [0.0 if skip and w == context else weight for w in words]
        pair = (*params, center, context, words, weights)
        total += oracle.pair_loss(*pair)
        by_in, by_out = oracle.pair_gradient(*pair)
        d_in, d_out = d_in + by_in, d_out + by_out
    assert loss.pairs == mask.sum() > 20
    np.testing.assert_allclose(loss.positive + loss.negative, total, rtol=1e-5)
    tolerance = 1e-5 if product_dtype == "float32" else 2**-7
    tables = zip(before.params, after.params, (d_in, d_out), strict=True)
    for table, moved, gradient in tables:
        got = (np.asarray(table, float) - moved) / 0.1
        assert np.linalg.norm(got - gradient) < tolerance * np.linalg.norm(gradient)
    assert after.step == 1


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam"])
def test_analytic_and_autodiff_train_alike(optimizer):
    results = [
        one_step(config_with(optimizer=optimizer, gradient=gradient))[1].params
        for gradient in ("analytic", "autodiff")
    ]
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_row_and_dense_updates_are_equal():
    """To rounding: repeats are added to the row one by one, or added up before."""
    states = [one_step(config_with(updates=way))[1] for way in ("rows", "dense")]
    for a, b in zip(*(state.params for state in states), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


CLIPPED = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.3))


@pytest.mark.parametrize("plain", [optax.adamw(0.1), CLIPPED])
def test_any_dense_optax_optimizer_works(plain, unoptimized):
    """Also one that moves rows without a gradient (adamw) or mixes rows (clipping)."""
    step = jax.jit(make_step(config_with(updates="dense"), plain))
    state, losses = random_state(plain), []
    for _ in range(20):
        sampling = make_sampling(CONFIG, COUNTS)
        state, loss = step(state, KEYS, sampling, segment(), STARTS)
        losses.append(float((loss.positive + loss.negative) / loss.pairs))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam"])
@pytest.mark.parametrize("mode", ["shared", "independent"])
def test_a_step_without_pairs_changes_only_the_count(optimizer, mode, unoptimized):
    config = config_with(optimizer=optimizer, negatives_mode=mode)
    _, state, _ = one_step(config)  # so that Adam has momentum
    _, after, loss = one_step(config, segment(size=0), state)
    assert loss.pairs == 0
    jax.tree.map(np.testing.assert_array_equal, after.params, state.params)
    assert after.step == state.step + 1


def test_a_loss_that_is_not_measured_is_zero(unoptimized):
    optimizer = make_optimizer("sgd", lambda step: 0.1)
    step, state = jax.jit(make_step(CONFIG, optimizer)), random_state(optimizer)
    data = KEYS, make_sampling(CONFIG, COUNTS), segment(), STARTS
    (after, loss), (same, none) = (step(state, *data, x) for x in (True, False))
    assert loss.positive > 0 and none == (0, 0, 0)
    jax.tree.map(np.testing.assert_array_equal, after, same)


def test_steps_draw_anew_and_repeat_exactly(unoptimized):
    sampling = make_sampling(CONFIG, COUNTS)
    draw = jax.jit(
        lambda step: sample_batch(CONFIG, step, KEYS, sampling, segment(), STARTS)
    )
    first, second = draw(0), draw(1)
    E = 4 + 2 * 2
    assert np.any(first.words_BR[:, E:] != second.words_BR[:, E:])  # noise words
    np.testing.assert_array_equal(first.words_BR[:, :E], second.words_BR[:, :E])
    jax.tree.map(np.testing.assert_array_equal, first, draw(0))


@pytest.mark.parametrize("mode", ["shared", "independent"])
def test_a_block_draws_the_same_noise_whatever_its_companions(mode, unoptimized):
    """So that devices may share blocks in any way."""
    config, sampling = config_with(negatives_mode=mode), make_sampling(CONFIG, COUNTS)
    draw = jax.jit(
        lambda starts: sample_batch(config, 3, KEYS, sampling, segment(), starts)
    )
    both = draw(STARTS[:2])
    each = [draw(STARTS[i : i + 1]) for i in range(2)]
    together = jax.tree.map(lambda *x: np.concatenate(x), *each)
    np.testing.assert_array_equal(both.words_BR, together.words_BR)
    assert np.any(each[0].words_BR[:, -5:] != each[1].words_BR[:, -5:])


def test_sampling_follows_the_settings():
    config = config_with(subsample=0.02, subsample_rule="paper", noise_exponent=-0.5)
    sampling = make_sampling(config, COUNTS)
    want = oracle.keep_probability(COUNTS, 0.02, "paper")
    np.testing.assert_allclose(sampling.keep_V, want, rtol=1e-6)
    want = oracle.noise_distribution(COUNTS, -0.5)
    np.testing.assert_allclose(implied_distribution(sampling.noise), want, rtol=1e-8)


def test_windows_and_noise_have_keys_of_their_own(unoptimized):
    keys = jnp.stack([jax.random.key_data(key) for key in KEYS])
    assert len(np.unique(np.asarray(keys), axis=0)) == len(KEYS)
    sampling, other = make_sampling(CONFIG, COUNTS), run_keys(1)
    sampling = sampling._replace(keep_V=jnp.full(V, 0.7))

    @jax.jit
    def drawn(keys, number):
        tokens = jnp.arange(99) % V
        windows, kept = prepare_segment(CONFIG, keys, sampling, tokens, number)
        batch = sample_batch(CONFIG, number, keys, sampling, windows, STARTS)
        return kept, windows.tokens_T, windows.left_T, batch.words_BR[:, 8:]

    def differ(keys, number):
        pairs = zip(drawn(keys, number), drawn(KEYS, 0), strict=True)
        return [bool(np.any(a != b)) for a, b in pairs]

    assert differ(KEYS, 0) == [False] * 4
    assert differ(KEYS, 1) == [True] * 4
    assert differ(KEYS._replace(noise=other.noise), 0) == [False] * 3 + [True]
    _, tokens, left, noise_words = differ(KEYS._replace(window=other.window), 0)
    assert (tokens, left, noise_words) == (False, True, False)
    _, tokens, _, noise_words = differ(KEYS._replace(subsample=other.subsample), 0)
    assert tokens and not noise_words


def test_initial_params():
    params = init_params(KEYS.init, 1000, 50)
    assert params.w_in.shape == params.w_out.shape == (1000, 50)
    assert np.all(np.abs(params.w_in) <= 0.01)  # 1 / (2 · 50)
    assert np.std(params.w_in) > 0.005
    assert not np.any(params.w_out)


def test_equal_seeds_equal_keys():
    assert jnp.all(run_keys(3).noise == run_keys(3).noise)
    assert not jnp.all(run_keys(3).noise == run_keys(4).noise)
