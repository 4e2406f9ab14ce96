"""The gradient derived by hand against autodiff, the oracle and 50 digits."""

from functools import partial

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from jax.test_util import check_grads

from sgns_jax.gradient import (
    batch_gradient,
    expected_gradient,
    pair_gradient,
    slope,
)
from sgns_jax.loss import batch_loss, expected_loss, pair_loss
from sgns_jax.noise import noise_distribution
from tests import oracle
from tests.test_loss import (
    APPLE,
    CAT,
    DOG,
    RUN,
    TOY,
    numbers_of_negatives,
    params_with_score,
    random_params,
    rules,
    seeds,
)

# Primitive by primitive each would be compiled by itself: ten times as long.
jit_gradient = jax.jit(pair_gradient, static_argnums=4)
jit_autodiff = jax.jit(jax.grad(pair_loss), static_argnums=4)


@partial(jax.jit, static_argnums=4)
def jit_both(*arguments):
    return pair_gradient(*arguments), jax.grad(pair_loss)(*arguments)


def assert_trees_close(got, want, **tolerance):
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(
            np.asarray(a, np.float64), np.asarray(b, np.float64), **tolerance
        )


def test_toy_example():
    # From the right column of the walkthrough: one step of SGD at 0.1.
    gradient = pair_gradient(TOY, CAT, DOG, jnp.array([APPLE, RUN]))
    np.testing.assert_allclose(gradient.w_in[CAT], [1.144601, 0.892973], atol=1e-6)
    w_out = TOY.w_out - 0.1 * gradient.w_out
    np.testing.assert_allclose(w_out[DOG], [1.011920, 0.523841], atol=1e-6)
    np.testing.assert_allclose(w_out[APPLE], [0.904743, 0.809485], atol=1e-6)
    np.testing.assert_allclose(w_out[RUN], [0.437754, -0.124492], atol=1e-6)


@pytest.mark.parametrize("y", [1, -1, 2, 0.7, -0.7])
def test_the_slope_is_that_of_a_term(y, x64):
    s = np.array([0, 1e-8, 1, -1, 20, -20, 300, -300])
    with mpmath.workdps(50):
        want = [float(-y / (1 + mpmath.exp(mpmath.mpf(y) * x))) for x in s]
    # y·s is rounded, which moves σ(−y·s) by |y·s| half-ε in proportion.
    units = 4 + np.abs(y * s)
    got = np.asarray(slope(y, jnp.asarray(s)))
    assert np.all(abs(got / want - 1) <= units * np.finfo(float).eps)


# Repeats, a noise word equal to the positive and one equal to the centre are common
# among 7 words and up to 12 draws.
@settings(deadline=None, max_examples=40)
@given(seeds, numbers_of_negatives, rules)
def test_equals_the_oracle(seed, K, collisions):
    params = random_params(seed)
    rng = np.random.default_rng(seed)
    center, context = rng.integers(0, 7, 2)
    negatives = rng.integers(0, 7, K)
    weights = [1.0 if collisions == "keep" else float(k != context) for k in negatives]
    got = jit_gradient(params, center, context, negatives, collisions)
    want = oracle.pair_gradient(*params, center, context, negatives, weights)
    assert_trees_close(got, want, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(seeds, numbers_of_negatives, rules)
def test_equals_autodiff_in_float64(seed, K, collisions):
    with jax.enable_x64(True):
        params = random_params(seed, dtype=np.float64)
        rng = np.random.default_rng(seed)
        ids = (*rng.integers(0, 7, 2), rng.integers(0, 7, K), collisions)
        got, want = jit_both(params, *ids)
        assert_trees_close(got, want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("collisions", ["keep", "skip"])
def test_batch_and_expected_equal_autodiff(collisions, x64):
    params = random_params(5, dtype=np.float64)
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 7, 9), rng.integers(0, 7, 9), rng.integers(0, 7, (9, 4))
    jit = partial(jax.jit, static_argnames="collisions")
    got = jit(batch_gradient)(params, *pairs, collisions=collisions)
    want = jit(jax.grad(batch_loss))(params, *pairs, collisions=collisions)
    assert_trees_close(got, want, rtol=1e-12, atol=1e-14)
    probs = noise_distribution(np.arange(1, 8), 0.75)
    expected = params, 2, 3, probs, 5
    got = jit(expected_gradient)(*expected, collisions=collisions)
    want = jit(jax.grad(expected_loss))(*expected, collisions=collisions)
    assert_trees_close(got, want, rtol=1e-12, atol=1e-15)


def test_finite_differences(x64):
    params = random_params(6, dtype=np.float64)
    negatives = jnp.array([1, 1, 3])
    loss = jax.jit(lambda params: pair_loss(params, 0, 3, negatives))
    check_grads(loss, (params,), 1, eps=1e-5)


@pytest.mark.parametrize("score", [0, 1e-8, 1, -1, 17, 30, -30, 80, -80, 1e4, -1e4])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("autodiff", [False, True])
def test_50_digits_at_any_score(score, dtype, autodiff, x64):
    """No NaN, and no zero where the true gradient is a number of the dtype."""
    params = params_with_score(score, dtype)
    exact = mpmath.mpf(float(params.w_out[0, 0]))
    with mpmath.workdps(50):
        sigma_minus = 1 / (1 + mpmath.exp(exact))  # σ(−s)
        sigma = 1 / (1 + mpmath.exp(-exact))
    gradient = jit_autodiff if autodiff else jit_gradient
    got = gradient(params, 0, 1, np.array([2]), "keep")
    assert got.w_out.dtype == dtype
    # Autodiff reaches σ(s) as exp(s − log(1 + eˢ)): the rounding of a number near s
    # becomes a relative error of |s|/2 units. The derived form has no such term.
    units = 4 + abs(score) if autodiff else 4
    tolerance = units * float(jnp.finfo(dtype).eps)
    smallest = float(jnp.finfo(dtype).tiny)
    np.testing.assert_allclose(
        got.w_out[1:, 0].astype(np.float64),
        [-float(sigma_minus), float(sigma)],
        rtol=tolerance,
        atol=smallest,
    )
    if sigma_minus > smallest:
        assert got.w_out[1, 0] != 0


def test_untouched_rows_are_exactly_zero():
    gradient = pair_gradient(random_params(1), 2, 3, jnp.array([4, 4]))
    assert not np.any(np.delete(gradient.w_in, 2, axis=0))
    assert not np.any(np.delete(gradient.w_out, [3, 4], axis=0))


def test_jit_and_vmap_agree_with_plain_calls():
    params = random_params(2)
    negatives = jnp.array([[1, 2], [5, 5]])
    batched = jax.vmap(jax.jit(pair_gradient), (None, 0, None, 0))
    got = batched(params, jnp.array([0, 6]), jnp.int32(5), negatives)
    for i, center in enumerate([0, 6]):
        want = pair_gradient(params, center, 5, negatives[i])
        assert_trees_close([got.w_in[i], got.w_out[i]], want, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("bad", [7, -1])
def test_ids_outside_the_vocabulary_are_not_clamped(bad):
    gradient = pair_gradient(random_params(0), 0, 1, jnp.array([bad]))
    assert jnp.all(jnp.isnan(gradient.w_in[0]))
    assert not np.any(gradient.w_out[6])


def test_half_precision_is_rounded_once_at_the_end():
    half = random_params(4, dtype="bfloat16")
    full = jax.tree.map(lambda table: table.astype(jnp.float32), half)
    arguments = (2, 3, noise_distribution(np.arange(1, 8), 0.75), 5)
    got = expected_gradient(half, *arguments)
    want = expected_gradient(full, *arguments)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b.astype(jnp.bfloat16))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_have_the_dtype_of_the_params(dtype):
    params = random_params(0, dtype=dtype)
    probs = noise_distribution(np.arange(1, 8), 0.75)
    for gradient in (
        pair_gradient(params, 0, 1, jnp.array([2])),
        expected_gradient(params, 0, 1, probs, 5),
    ):
        assert gradient.w_in.dtype == gradient.w_out.dtype == dtype
