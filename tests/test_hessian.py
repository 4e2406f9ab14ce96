"""The Hessian times a direction against autodiff, by hand, and its symmetry."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings

from sgns_jax.block import BlockRows, BlockWeights, block_loss
from sgns_jax.hessian import block_hvp, pair_hvp
from sgns_jax.loss import pair_loss
from sgns_jax.types import Params
from tests.test_gradient import assert_trees_close
from tests.test_loss import numbers_of_negatives, random_params, rules, seeds


def jvp_of_grad(loss, at, direction):
    return jax.jvp(jax.grad(loss), (at,), (direction,))[1]


@partial(jax.jit, static_argnames="collisions")
def by_hand_and_autodiff(params, ids, direction, collisions):
    """One compilation for both."""
    want = jvp_of_grad(lambda at: pair_loss(at, *ids, collisions), params, direction)
    return pair_hvp(params, *ids, direction, collisions), want


@settings(deadline=None, max_examples=20)
@given(seeds, numbers_of_negatives, rules)
def test_pair_equals_autodiff(seed, K, collisions):
    with jax.enable_x64(True):
        params = random_params(seed, dtype=np.float64)
        direction = random_params(seed + 1, dtype=np.float64)
        rng = np.random.default_rng(seed)
        ids = (*rng.integers(0, 7, 2), rng.integers(0, 7, K))
        got, want = by_hand_and_autodiff(params, ids, direction, collisions)
        assert_trees_close(got, want, rtol=1e-12, atol=1e-13)


def test_numbers_one_can_redo():
    # s = 0, so g = −½ and h = ¼; the direction moves u_o by [1, 0], so ṡ = 1.
    params = Params(jnp.array([[1.0, 2.0], [0, 0]]), jnp.zeros((2, 2)))
    direction = Params(jnp.zeros((2, 2)), jnp.array([[0.0, 0], [1, 0]]))
    got = pair_hvp(params, 0, 1, jnp.zeros(0, int), direction)
    np.testing.assert_array_equal(got.w_in, [[-0.5, 0], [0, 0]])  # g·u̇
    np.testing.assert_array_equal(got.w_out, [[0, 0], [0.25, 0.5]])  # h·ṡ·v


def test_the_hessian_is_symmetric(x64):
    params, a, b = (random_params(seed, dtype=np.float64) for seed in (1, 2, 3))
    ids = 2, 3, jnp.array([3, 4, 4, 2])

    def inner(x, y):
        return sum(np.sum(np.multiply(p, q)) for p, q in zip(x, y, strict=True))

    hvp = jax.jit(pair_hvp)
    one, other = inner(a, hvp(params, *ids, b)), inner(b, hvp(params, *ids, a))
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_block_equals_autodiff(x64):
    rng = np.random.default_rng(0)
    B, C, R, D = 2, 3, 5, 4
    label_R = jnp.array([1.0, 2, 0.7, -1, -0.7])  # a temperature's, besides ±1
    weights = BlockWeights(label_R, jnp.array(rng.uniform(0, 2, (B, C, R))))

    @jax.jit
    def by_hand_and_autodiff(at, direction):
        return block_hvp(at, weights, direction), jvp_of_grad(loss, at, direction)

    def rows():
        v_BCD, u_BRD = rng.normal(size=(B, C, D)), rng.normal(size=(B, R, D))
        return BlockRows(jnp.array(v_BCD), jnp.array(u_BRD))

    def loss(rows):
        parts = block_loss(rows, weights)
        return parts.positive + parts.negative

    got, want = by_hand_and_autodiff(rows(), rows())
    assert_trees_close(got, want, rtol=1e-12, atol=1e-13)
