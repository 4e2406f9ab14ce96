"""The block tier against the pair tier by an explicit loop, autodiff and the oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgns_jax.block import (
    BlockRows,
    BlockWeights,
    block_gradient,
    block_loss,
    independent_weights,
    pair_columns,
    shared_weights,
)
from sgns_jax.loss import expected_loss
from sgns_jax.noise import alias_table, draw, noise_distribution
from sgns_jax.types import Params
from tests import oracle

V, D, B, C, W, N, K = 6, 4, 3, 5, 2, 7, 3
E, P = C + 2 * W, 2 * W
CASES = [
    (mode, collisions)
    for mode in ("shared", "independent")
    for collisions in ("keep", "skip")
]


def random_block(seed, mode, collisions, dtype=np.float64):
    """Tables, ids and weights of random blocks over so few words that they repeat."""
    rng = np.random.default_rng(seed)
    w_in, w_out = rng.normal(size=(2, V, D))
    tokens_BE = rng.integers(0, V, (B, E))
    offset = np.arange(E) - W - np.arange(C)[:, None]
    half_BC1 = rng.integers(0, W + 1, (B, C, 1))  # 0: a centre without contexts
    mask_BCE = (np.abs(offset) <= half_BC1) & (offset != 0)
    if mode == "shared":
        noise = rng.integers(0, V, (B, N))
        weight = shared_weights(tokens_BE, mask_BCE, noise, K, collisions)
    else:
        noise = rng.integers(0, V, (B, C, P * K))
        weight = independent_weights(tokens_BE, mask_BCE, noise, collisions)
    centers_BC = tokens_BE[:, W : W + C]
    rows = BlockRows(w_in[centers_BC], w_out[tokens_BE], w_out[noise])
    rows = BlockRows(*(jnp.asarray(r, dtype) for r in rows))
    weights = BlockWeights(jnp.asarray(mask_BCE), weight)
    return (w_in, w_out), (centers_BC, tokens_BE, noise), weights, rows


def pairs_of(ids, mask_BCE, mode, collisions):
    """Every positive with its noise words and weights, by plain loops."""
    centers_BC, tokens_BE, noise = ids
    for b, c, e in np.argwhere(mask_BCE):
        context = tokens_BE[b, e]
        if mode == "shared":
            words, weight = noise[b], K / N
        else:
            column = list(np.asarray(pair_columns(C, W))[c]).index(e)
            words, weight = noise[b, c, K * column : K * (column + 1)], 1.0
        skip = collisions == "skip"
        weights = [0.0 if skip and word == context else weight for word in words]
        yield centers_BC[b, c], context, words, weights


def test_pair_columns_are_the_neighbours_in_order():
    np.testing.assert_array_equal(pair_columns(2, 2), [[0, 1, 3, 4], [1, 2, 4, 5]])


@pytest.mark.parametrize(("mode", "collisions"), CASES)
def test_equals_the_pairs_one_by_one(mode, collisions, x64):
    tables, ids, weights, rows = random_block(0, mode, collisions)
    parts, gradient = block_gradient(rows, weights)
    loss, d_in, d_out, pairs = 0.0, np.zeros((V, D)), np.zeros((V, D)), 0
    for pair in pairs_of(ids, weights.mask_BCE, mode, collisions):
        loss += oracle.pair_loss(*tables, *pair)
        by_in, by_out = oracle.pair_gradient(*tables, *pair)
        d_in, d_out, pairs = d_in + by_in, d_out + by_out, pairs + 1
    assert parts.pairs == pairs > 0
    np.testing.assert_allclose(parts.positive + parts.negative, loss, rtol=1e-12)
    got_in, got_out = np.zeros((2, V, D))
    np.add.at(got_in, ids[0], gradient.v_BCD)
    np.add.at(got_out, ids[1], gradient.u_BED)
    np.add.at(got_out, ids[2], gradient.u_noise)
    np.testing.assert_allclose(got_in, d_in, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(got_out, d_out, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("mode", "collisions"), CASES)
def test_gradient_equals_autodiff(mode, collisions, x64):
    _, _, weights, rows = random_block(1, mode, collisions)

    def total(rows):
        parts = block_loss(rows, weights)
        return parts.positive + parts.negative

    parts, gradient = block_gradient(rows, weights)
    for got, want in zip(gradient, jax.grad(total)(rows), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(parts, block_loss(rows, weights), rtol=1e-14)


@pytest.mark.parametrize(("mode", "collisions"), CASES)
def test_expectation_is_the_papers_loss(mode, collisions):
    """The mean over noise draws is ``expected_loss`` summed over the positives."""
    tables, ids, weights, rows = random_block(2, mode, collisions, np.float32)
    counts = np.array([50, 20, 10, 5, 2, 1])
    table, P_n = alias_table(counts, 0.75), noise_distribution(counts, 0.75)
    w_out = jnp.asarray(tables[1], jnp.float32)
    mask_BCE, tokens_BE = weights.mask_BCE, jnp.asarray(ids[1])

    def loss(key):
        noise = draw(key, table, ids[2].shape)
        if mode == "shared":
            weight = shared_weights(tokens_BE, mask_BCE, noise, K, collisions)
        else:
            weight = independent_weights(tokens_BE, mask_BCE, noise, collisions)
        parts = block_loss(
            rows._replace(u_noise=w_out[noise]), BlockWeights(mask_BCE, weight)
        )
        return parts.positive + parts.negative

    draws = jax.vmap(loss)(jax.random.split(jax.random.key(0), 4000))
    expected = jax.jit(expected_loss, static_argnums=5)
    want = sum(
        float(expected(Params(*tables), center, context, P_n, K, collisions))
        for center, context, *_ in pairs_of(ids, mask_BCE, mode, collisions)
    )
    error = np.std(draws) / np.sqrt(len(draws))
    assert abs(np.mean(draws) - want) < 4 * error
    assert error < 0.01 * want  # the bound above can fail


@pytest.mark.parametrize("mode", ["shared", "independent"])
@pytest.mark.parametrize("score", [0, 30, -30, 1e4, -1e4])
def test_no_nan_and_no_lost_gradient_at_any_score(mode, score):
    _, _, weights, rows = random_block(0, mode, "keep", np.float32)
    rows = BlockRows(
        jnp.ones_like(rows.v_BCD).at[..., 1:].set(0),
        jnp.full_like(rows.u_BED, score),
        jnp.full_like(rows.u_noise, score),
    )
    parts, gradient = block_gradient(rows, weights)
    assert all(np.all(np.isfinite(g)) for g in (*parts, *gradient))
    mean_positive = parts.positive / parts.pairs
    np.testing.assert_allclose(mean_positive, oracle.softplus(-score), rtol=1e-6)
    np.testing.assert_allclose(
        parts.negative / parts.pairs, K * oracle.softplus(score), rtol=1e-6
    )
    if score <= 30:  # σ(−1e4) is no float32 number
        assert np.any(gradient.u_BED != 0)
