"""The loss against the paper's formula in NumPy float64 and in 50 digits."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgns_jax.gradient import batch_gradient, expected_gradient, pair_gradient
from sgns_jax.hessian import pair_hvp
from sgns_jax.loss import batch_loss, expected_loss, pair_loss
from sgns_jax.noise import noise_distribution
from sgns_jax.types import Params
from tests import oracle

# From the walkthrough: vocabulary cat, dog, apple, banana, run.
CAT, DOG, APPLE, RUN = 0, 1, 2, 4
TOY = Params(
    jnp.zeros((5, 2)).at[CAT].set(jnp.array([1.0, 2.0])),
    jnp.array([[0, 0], [1, 0.5], [1, 1], [0, 0], [0.5, 0]]),
)

seeds = st.integers(0, 10**6)
numbers_of_negatives = st.sampled_from([0, 1, 12])  # few shapes: few compilations
rules = st.sampled_from(["keep", "skip"])

# Primitive by primitive each would be compiled by itself: ten times as long.
jit_loss = jax.jit(pair_loss, static_argnums=4)


def random_params(seed, V=7, D=5, scale=1.0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    w_in, w_out = (scale * rng.normal(size=(V, D)) for _ in range(2))
    return Params(jnp.asarray(w_in, dtype), jnp.asarray(w_out, dtype))


def params_with_score(score, dtype):
    """One dimension, so that every score of word 0 is exactly the given number."""
    return Params(jnp.ones((3, 1), dtype), jnp.full((3, 1), score, dtype))


def test_toy_example():
    # Scores 2, 3, 0.5: −log σ(2) − log σ(−3) − log σ(−0.5) = 4.149592.
    loss = pair_loss(TOY, CAT, DOG, jnp.array([APPLE, RUN]))
    np.testing.assert_allclose(loss, 4.149592, atol=5e-7)


def test_zero_scores_give_log_2_a_term():
    params = Params(jnp.zeros((3, 4)), jnp.zeros((3, 4)))
    loss = pair_loss(params, 0, 1, jnp.array([2, 2]))
    np.testing.assert_allclose(loss, 3 * np.log(2), rtol=1e-7)


@settings(deadline=None, max_examples=40)
@given(seeds, numbers_of_negatives, rules)
def test_equals_the_oracle(seed, K, collisions):
    params = random_params(seed)
    rng = np.random.default_rng(seed)
    center, context = rng.integers(0, 7, 2)
    negatives = rng.integers(0, 7, K)
    weights = [1.0 if collisions == "keep" else float(k != context) for k in negatives]
    got = jit_loss(params, center, context, negatives, collisions)
    want = oracle.pair_loss(*params, center, context, negatives, weights)
    # K + 1 sums of 5 products, each rounded: about (5 + K) half-units of float32.
    np.testing.assert_allclose(got, want, rtol=2e-6)


@pytest.mark.parametrize("score", [0, 1e-8, 1, -1, 20, -20, 30, -30, 90, 1e4, -1e4])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_50_digits_at_any_score(score, dtype, x64):
    params = params_with_score(score, dtype)
    exact = mpmath.mpf(float(params.w_out[0, 0]))  # bfloat16 rounds 1e4 itself
    with mpmath.workdps(50):
        want = mpmath.log1p(mpmath.exp(-exact)) + mpmath.log1p(mpmath.exp(exact))
    got = jit_loss(params, 0, 1, np.array([2]), "keep")
    assert got.dtype == ("float64" if dtype == "float64" else "float32")
    np.testing.assert_allclose(float(got), float(want), rtol=4 * jnp.finfo(got).eps)


@pytest.mark.parametrize("collisions", ["keep", "skip"])
def test_expected_loss_is_the_mean_over_all_draws(collisions, x64):
    """K = 2: the mean over all V² draws, each weighted by its probability."""
    params = random_params(3, V=4, dtype=np.float64)
    probs = np.asarray(noise_distribution(np.array([5, 3, 2, 1]), 0.75))
    mean = 0.0
    for i in range(4):
        for j in range(4):
            loss = jit_loss(params, 0, 1, np.array([i, j]), collisions)
            mean += probs[i] * probs[j] * float(loss)
    expected = jax.jit(expected_loss, static_argnums=5)
    got = expected(params, 0, 1, probs, 2, collisions)
    np.testing.assert_allclose(got, mean, rtol=1e-14)


def test_keep_has_its_optimum_at_shifted_pmi(x64):
    """At s* = log[p(o|c) / (K·P_n(o))] the mean gradient by each score is zero.

    With ``skip`` it is zero at log[p / (K·P_n·(1 − p))] instead: five words, free
    scores (D = V), one centre.
    """
    p = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    P_n = np.asarray(noise_distribution(p, 0.75))
    K = 3
    for collisions, optimum in (
        ("keep", np.log(p / (K * P_n))),
        ("skip", np.log(p / (K * P_n * (1 - p)))),
    ):

        def mean_loss(scores, collisions=collisions):
            params = Params(jnp.ones((1, 1)), scores[:, None])
            by_context = [
                expected_loss(params, 0, o, P_n, K, collisions) for o in range(5)
            ]
            return jnp.dot(p, jnp.stack(by_context))

        gradient = jax.jit(jax.grad(mean_loss))
        np.testing.assert_allclose(gradient(optimum), 0, atol=1e-15)
        assert np.all(np.abs(gradient(optimum + 0.1)) > 1e-3)


def test_batch_loss_is_the_sum_of_pairs():
    params = random_params(1)
    centers, contexts = jnp.array([0, 3, 3]), jnp.array([1, 2, 3])
    negatives = jnp.array([[1, 1], [4, 5], [3, 0]])
    pairs = zip(centers, contexts, negatives, strict=True)
    want = sum(float(jit_loss(params, *pair, "keep")) for pair in pairs)
    got = jax.jit(batch_loss)(params, centers, contexts, negatives)
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("bad", [7, -1])
def test_ids_outside_the_vocabulary_give_nan(bad):
    params = random_params(0)
    assert jnp.isnan(pair_loss(params, bad, 0, jnp.array([1])))
    assert jnp.isnan(pair_loss(params, 0, bad, jnp.array([1])))
    assert jnp.isnan(pair_loss(params, 0, 1, jnp.array([bad])))


def test_jit_and_vmap_agree_with_plain_calls():
    params = random_params(2)
    negatives = jnp.array([[1, 2], [3, 4]])
    centers = jnp.array([0, 6])
    plain = [
        pair_loss(params, c, 5, n) for c, n in zip(centers, negatives, strict=True)
    ]
    batched = jax.vmap(jax.jit(pair_loss), (None, 0, None, 0))
    got = batched(params, centers, jnp.int32(5), negatives)
    np.testing.assert_allclose(got, jnp.stack(plain), rtol=1e-6)


def test_takes_plain_numbers_and_arrays_of_numpy():
    params = Params(*(np.asarray(table) for table in TOY))
    for negatives in ([APPLE, RUN], (APPLE, RUN), np.array([APPLE, RUN])):
        loss = pair_loss(params, CAT, DOG, negatives)
        np.testing.assert_allclose(loss, 4.149592, atol=5e-7)


_OF_A_PAIR = (
    ((0, 1, [[1]]), "negatives must have shape (K,), got (1, 1); for many pairs use"),
    ((0, 1, 2), "negatives must have shape (K,), got (); for many pairs use"),
    (([0], 1, [1]), "center must have shape (), got (1,); for many pairs use"),
    ((0, [1], [1]), "context must have shape (), got (1,); for many pairs use"),
)
_OF_PAIRS = (
    (([0], [1], [1]), "negatives must have shape (1, K), got (1,); for one pair use"),
    ((0, 1, [1]), "centers must have shape (P,), got (); for one pair use"),
    (([0, 1], [1], [[1]]), "contexts must have shape (2,), got (1,); for one pair use"),
)
_EXPECTED = (
    ((0, 1, np.ones(6) / 6, 5), "noise_probs must have shape (7,), got (6,); a pair"),
    (([0], 1, np.ones(7) / 7, 5), "center must have shape (), got (1,); a pair"),
)
_WRONG_SHAPES = [
    (function, *case)
    for function, cases in {
        pair_loss: _OF_A_PAIR,
        pair_gradient: _OF_A_PAIR,
        pair_hvp: _OF_A_PAIR,
        batch_loss: _OF_PAIRS,
        batch_gradient: _OF_PAIRS,
        expected_loss: _EXPECTED,
        expected_gradient: _EXPECTED,
    }.items()
    for case in cases
]


@pytest.mark.parametrize(
    "function, arguments, message",
    [pytest.param(*case, id=case[0].__name__) for case in _WRONG_SHAPES],
)
def test_errors_name_the_function_and_the_argument(function, arguments, message):
    params = random_params(0)
    if function is pair_hvp:
        arguments = (*arguments, params)
    arguments = [np.array(x) if isinstance(x, list) else x for x in arguments]
    with pytest.raises(ValueError) as error:
        function(params, *arguments)
    assert str(error.value).startswith(f"{function.__name__}: {message}")
    assert "\n" not in str(error.value)


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="collisions must be 'keep' or 'skip'"):
        pair_loss(random_params(0), 0, 1, jnp.array([1]), "drop")
