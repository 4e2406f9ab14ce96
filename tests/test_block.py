"""The block tier against the pair tier by an explicit loop, autodiff and the oracle."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgns_jax.block import (
    BlockRows,
    block_gradient,
    block_loss,
    cast,
    independent_weights,
    shared_weights,
)
from sgns_jax.loss import expected_loss
from sgns_jax.noise import alias_table, draw, noise_distribution
from sgns_jax.types import Params
from tests import oracle

V, D, B, W, K = 6, 4, 24, 2, 3
SHAPE = {"shared": (5, 7), "independent": (1, 2 * W * K)}  # C, N
CASES = [(mode, rule) for mode in SHAPE for rule in ("keep", "skip")]


# Primitive by primitive each would be compiled by itself: ten times as long.
jit_gradient, jit_loss = jax.jit(block_gradient), jax.jit(block_loss)


@partial(jax.jit, static_argnums=(0, 4))
def weights_of(mode, tokens_BE, mask_BCE, noise_BN, collisions):
    weights = shared_weights if mode == "shared" else independent_weights
    return weights(tokens_BE, mask_BCE, noise_BN, K, collisions)


def random_block(seed, mode, collisions, dtype=np.float64):
    """Tables, ids, rows and weights of blocks over so few words that they repeat."""
    rng = np.random.default_rng(seed)
    C, N = SHAPE[mode]
    E = C + 2 * W
    w_in, w_out = rng.normal(size=(2, V, D))
    tokens_BE, noise_BN = rng.integers(0, V, (B, E)), rng.integers(0, V, (B, N))
    offset = np.arange(E) - W - np.arange(C)[:, None]
    half_BC1 = rng.integers(0, W + 1, (B, C, 1))  # 0: a centre without contexts
    mask_BCE = (np.abs(offset) <= half_BC1) & (offset != 0)
    centers_BC = tokens_BE[:, W : W + C]
    words_BR = np.concatenate([tokens_BE, noise_BN], axis=1)
    rows = BlockRows(
        *(jnp.asarray(r, dtype) for r in (w_in[centers_BC], w_out[words_BR]))
    )
    ids = tokens_BE, mask_BCE, noise_BN
    return (w_in, w_out), ids, rows, weights_of(mode, *ids, collisions)


def pairs_of(ids, mode, collisions):
    """Every positive with its noise words and weights, by plain loops."""
    tokens_BE, mask_BCE, noise_BN = ids
    for b, c, e in np.argwhere(mask_BCE):
        center, context = tokens_BE[b, W + c], tokens_BE[b, e]
        if mode == "shared":
            words, weight = noise_BN[b], K / len(noise_BN[b])
        else:  # contexts at positions 0 1 (2) 3 4 have noise words 0.., K.., 2K.., 3K..
            pair = {0: 0, 1: 1, 3: 2, 4: 3}[e]
            words, weight = noise_BN[b, K * pair : K * (pair + 1)], 1.0
        skip = collisions == "skip"
        weights = [0.0 if skip and word == context else weight for word in words]
        yield center, context, words, weights


@pytest.mark.parametrize(("mode", "collisions"), CASES)
def test_equals_the_pairs_one_by_one(mode, collisions, x64):
    tables, ids, rows, weights = random_block(0, mode, collisions)
    parts, gradient = jit_gradient(rows, weights)
    loss, d_in, d_out, pairs = 0.0, np.zeros((V, D)), np.zeros((V, D)), 0
    for pair in pairs_of(ids, mode, collisions):
        loss += oracle.pair_loss(*tables, *pair)
        by_in, by_out = oracle.pair_gradient(*tables, *pair)
        d_in, d_out, pairs = d_in + by_in, d_out + by_out, pairs + 1
    assert parts.pairs == pairs > 10
    np.testing.assert_allclose(parts.positive + parts.negative, loss, rtol=1e-12)
    tokens_BE, mask_BCE, noise_BN = ids
    got_in, got_out = np.zeros((2, V, D))
    C = mask_BCE.shape[1]
    np.add.at(got_in, tokens_BE[:, W : W + C], gradient.v_BCD)
    np.add.at(got_out, np.concatenate([tokens_BE, noise_BN], 1), gradient.u_BRD)
    np.testing.assert_allclose(got_in, d_in, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(got_out, d_out, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("mode", "collisions"), CASES)
def test_gradient_equals_autodiff(mode, collisions, x64):
    _, _, rows, weights = random_block(1, mode, collisions)

    def total(rows):
        parts = block_loss(rows, weights)
        return parts.positive + parts.negative

    parts, gradient = jit_gradient(rows, weights)
    for got, want in zip(gradient, jax.jit(jax.grad(total))(rows), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(parts, jit_loss(rows, weights), rtol=1e-14)


@pytest.mark.parametrize(("mode", "collisions"), CASES)
def test_expectation_is_the_papers_loss(mode, collisions, unoptimized):
    """The mean over noise draws is ``expected_loss`` summed over the positives."""
    tables, ids, rows, _ = random_block(2, mode, collisions, np.float32)
    tokens_BE, mask_BCE, noise_BN = map(jnp.asarray, ids)
    counts = np.array([50, 20, 10, 5, 2, 1])
    table, P_n = alias_table(counts, 0.75), noise_distribution(counts, 0.75)
    params = Params(*jnp.asarray(tables, jnp.float32))
    E = tokens_BE.shape[1]

    def loss(key):
        noise = draw(key, table, noise_BN.shape)
        weights = weights_of(mode, tokens_BE, mask_BCE, noise, collisions)
        u_BRD = jnp.concatenate([rows.u_BRD[:, :E], params.w_out[noise]], axis=1)
        parts = block_loss(rows._replace(u_BRD=u_BRD), weights)
        return parts.positive + parts.negative

    keys = jax.random.split(jax.random.key(0), 4000)
    draws = jax.jit(jax.vmap(loss))(keys)
    expected = jax.jit(expected_loss, static_argnums=5)
    want = sum(
        float(expected(params, center, context, P_n, K, collisions))
        for center, context, *_ in pairs_of(ids, mode, collisions)
    )
    error = np.std(draws) / np.sqrt(len(draws))
    assert abs(np.mean(draws) - want) < 4 * error
    assert error < 0.01 * want  # the bound above can fail


@pytest.mark.parametrize("mode", SHAPE)
@pytest.mark.parametrize("score", [0, 30, -30, 1e4, -1e4])
def test_no_nan_and_no_lost_gradient_at_any_score(mode, score):
    _, (tokens_BE, *_), rows, weights = random_block(0, mode, "keep", np.float32)
    e_D = np.eye(D, dtype=np.float32)[0]
    v_BCD = np.broadcast_to(e_D, rows.v_BCD.shape)
    rows = BlockRows(v_BCD, np.full(rows.u_BRD.shape, score, np.float32))
    parts, gradient = jit_gradient(rows, weights)
    assert all(np.all(np.isfinite(g)) for g in (*parts, *gradient))
    positive, negative = parts.positive / parts.pairs, parts.negative / parts.pairs
    # Sums of up to 840 float32 numbers of one sign: at most 840/2 units of 1.2e-7.
    np.testing.assert_allclose(positive, oracle.softplus(-score), rtol=5e-5)
    np.testing.assert_allclose(negative, K * oracle.softplus(score), rtol=5e-5)
    E = tokens_BE.shape[1]
    if score <= 30:  # σ(−1e4) is no float32 number
        assert np.any(gradient.u_BRD[:, :E] != 0)
    if score >= -30:
        assert np.any(gradient.u_BRD[:, E:] != 0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_rows_are_added_up_in_float32(dtype):
    """The rows are exact in float32, and so are the scores; G alone is rounded, each
    entry to the dtype's nearest.
    """
    _, _, rows, weights = random_block(3, "shared", "keep", np.float32)
    half = BlockRows(*(part.astype(dtype) for part in rows))
    full = BlockRows(*(part.astype(np.float32) for part in half))
    loss, gradient = jit_gradient(half, weights)
    want_loss, want = jit_gradient(full, weights)
    np.testing.assert_allclose(loss.positive, want_loss.positive, rtol=1e-6)
    half_ulp = float(jnp.finfo(dtype).eps) / 2
    y, w = np.asarray(weights.label_R), np.asarray(weights.weight_BCR)
    v, u = (np.asarray(part, np.float64) for part in full)
    g = abs(w / (1 + np.exp(y * np.einsum("bcd,brd->bcr", v, u))))
    sizes = (  # Σ|terms| of each entry: what a rounding of G is relative to
        np.einsum("bcr,brd->bcd", g, abs(u)),
        np.einsum("bcr,bcd->brd", g, abs(v)),
    )
    for got, right, size in zip(gradient, want, sizes, strict=True):
        assert got.dtype == np.float32
        error = abs(np.asarray(got, np.float64) - right)
        assert np.all(error <= (half_ulp + 1e-5) * size + 1e-6)
        assert np.max(error) > 1e-5  # G is rounded: these are not float32 products


def test_cast_to_bfloat16_is_rounding_to_nearest():
    """All signs, exponents and ties of float32; NaN stays NaN."""
    upper = np.arange(2**16, dtype=np.uint32) << 16  # every bfloat16
    lower = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    x = (upper[:, None] | lower).view(np.float32)
    x = x[~np.isnan(x) & ~((x != 0) & (abs(x) < np.finfo(np.float32).tiny))]
    got = jax.jit(cast, static_argnums=1)(x, jnp.dtype(jnp.bfloat16))
    want = jnp.asarray(x).astype(jnp.bfloat16)
    np.testing.assert_array_equal(got.view(np.uint16), want.view(np.uint16))
    nan = jnp.array([np.nan, -np.nan, 1.0])
    np.testing.assert_array_equal(np.isnan(cast(nan, jnp.bfloat16)), [1, 1, 0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_other_casts_are_astype(dtype, x64):
    x = jnp.asarray(np.linspace(-3, 3, 7), dtype)
    for to in (np.float32, np.float64):
        assert cast(x, jnp.dtype(to)).dtype == to
        np.testing.assert_array_equal(cast(x, jnp.dtype(to)), x.astype(to))
