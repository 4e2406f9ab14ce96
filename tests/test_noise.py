"""The noise distribution, the alias table's exactness, and the draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sgns_jax import noise
from sgns_jax.noise import alias_table, draw, implied_distribution, noise_distribution
from sgns_jax.types import InputError
from tests import oracle

COUNTS = np.array([1000, 300, 100, 30, 10, 5, 5, 1])
#: Of some lengths: each is compiled for.
counts_lists = st.sampled_from((1, 2, 3, 7, 20, 50)).flatmap(
    lambda n: st.lists(st.integers(0, 10**9), min_size=n, max_size=n).filter(any)
)
exponents = st.floats(-3, 3)


@settings(deadline=None)
@given(counts_lists, exponents)
def test_equals_the_oracle(counts, exponent):
    with jax.enable_x64(True):
        got = noise_distribution(np.array(counts), exponent)
    want = oracle.noise_distribution(counts, exponent)
    np.testing.assert_allclose(got, want, rtol=1e-11)


def test_powers_do_not_overflow():
    probs = noise_distribution(np.array([10**9, 10**9, 1]), 40.0)
    np.testing.assert_allclose(probs, [0.5, 0.5, 0], atol=1e-6)
    probs = noise_distribution(np.array([10**9, 10**9, 1]), -40.0)
    np.testing.assert_allclose(probs, [0, 0, 1], atol=1e-6)


def test_counts_beyond_32_bits():
    probs = noise_distribution(np.array([3_000_000_000, 1_000_000_000]), 1.0)
    np.testing.assert_allclose(probs, [0.75, 0.25], rtol=1e-6)


def test_exponent_can_be_traced_and_differentiated():
    slope = jax.grad(lambda a: noise_distribution(COUNTS, a)[0])(0.75)
    step = 1e-3
    upper, lower = (noise_distribution(COUNTS, 0.75 + h)[0] for h in (step, -step))
    np.testing.assert_allclose(slope, (upper - lower) / (2 * step), rtol=1e-3)
    curve = jax.jit(jax.vmap(noise_distribution, (None, 0)))(COUNTS, jnp.arange(3.0))
    np.testing.assert_allclose(curve[0], np.full(8, 1 / 8), rtol=1e-6)


@settings(deadline=None, max_examples=60)
@given(counts_lists, exponents)
def test_table_implies_the_distribution(counts, exponent):
    """To a share of the V·2³² that probabilities are made of, V for the largest."""
    V = len(counts)
    got = implied_distribution(alias_table(counts, exponent))
    want = oracle.noise_distribution(counts, exponent)
    error = np.abs(got - want) * V * 2**32
    allowed = np.where(want == want.max(), V, 1) + 1e-11 * want * V * 2**32
    assert np.all(error <= allowed)
    np.testing.assert_array_equal(got > 0, np.array(counts) > 0)  # all drawable
    np.testing.assert_allclose(got.sum(), 1, rtol=1e-15)


def test_table_by_hand():
    # Shares 1/2 and 3/2 of a slot: the first slot is half its own, half the second's.
    table = alias_table([1, 3], 1.0)
    assert int(table.threshold[0]) == 2**31 and list(table.alias) == [1, 1]
    np.testing.assert_array_equal(implied_distribution(table), [0.25, 0.75])
    uniform = implied_distribution(alias_table([7, 7, 7, 7], 1.0))
    np.testing.assert_array_equal(uniform, [0.25] * 4)


def test_table_of_a_real_size():
    counts = 1e8 / np.arange(1, 70_001)
    got = implied_distribution(alias_table(counts, 0.75))
    want = oracle.noise_distribution(counts, 0.75)
    np.testing.assert_allclose(got, want, rtol=1e-8)


@pytest.mark.parametrize("exponent", [0.75, 0, 1, -0.5])
def test_draws_follow_the_distribution(exponent):
    table = alias_table(COUNTS, exponent)
    ids = jax.jit(draw, static_argnums=2)(jax.random.key(1), table, (1000, 200))
    seen = np.bincount(ids.ravel(), minlength=8)
    expected = implied_distribution(table) * seen.sum()
    # Chance of a false alarm: one in 10,000, and the key is fixed.
    assert stats.chisquare(seen, expected).pvalue > 1e-4


def test_zero_counts_are_never_drawn():
    ids = draw(jax.random.key(0), alias_table([0, 1, 0, 3], 0.0), (10_000,))
    assert set(np.unique(ids)) == {1, 3}


def test_two_keys_give_different_draws_under_one_jit():
    """Draws are not frozen at trace time."""
    table = alias_table(COUNTS, 0.75)
    compiled = jax.jit(lambda key: draw(key, table, (100,)))
    assert np.any(compiled(jax.random.key(0)) != compiled(jax.random.key(1)))
    np.testing.assert_array_equal(
        compiled(jax.random.key(0)), draw(jax.random.key(0), table, (100,))
    )


@pytest.mark.parametrize("counts", [[], [0, 0], [1, -1], [1, np.nan], [[1, 2]]])
def test_bad_counts(counts):
    with pytest.raises(InputError, match="counts must be a"):
        alias_table(counts, 0.75)


@pytest.mark.parametrize("exponent", [np.nan, np.inf, -np.inf])
def test_bad_exponent(exponent):
    with pytest.raises(InputError, match="exponent must be a finite number, got"):
        alias_table([1, 2], exponent)


def test_an_exponent_that_overflows():
    with pytest.raises(InputError, match="overflows float64 with counts up to 1000;"):
        alias_table(COUNTS, 1e308)
    for exponent, word in ((1e3, 0), (-1e308, 7)):  # large, and yet none
        assert implied_distribution(alias_table(COUNTS, exponent)).argmax() == word


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 2**32 - 1),
    st.lists(st.integers(0, 2**32 - 1), min_size=9, max_size=9),
)
def test_products_of_64_bits_are_exact(n, numbers):
    x = jnp.asarray(np.array(numbers, np.uint32))
    high, low = noise._multiply(x, n)
    want = [divmod(number * n, 2**32) for number in numbers]
    got = zip(np.asarray(high).tolist(), np.asarray(low).tolist(), strict=True)
    assert list(got) == want


def test_a_draw_is_one_share_of_the_table(monkeypatch):
    """⌊x·V·2³² / 2⁶⁴⌋ in whole numbers of any size; slot above, coin below.

    Among the bits are some whose lower half carries into the slot.
    """
    key, table = jax.random.key(3), alias_table(np.arange(1, 78), 0.75)
    bits = np.array(jax.random.bits(key, (2, 500), jnp.uint32))
    # 77·high is −1, −2 … modulo 2³², and 77·low nearly 77·2³².
    bits[0, :50] = -np.arange(1, 51) * pow(77, -1, 2**32) % 2**32
    bits[1, :50] = 2**32 - 1
    monkeypatch.setattr(jax.random, "bits", lambda *_: jnp.asarray(bits))
    high, low = bits.tolist()
    threshold, alias = (np.asarray(x).tolist() for x in table)
    want = []
    for h, lower in zip(high, low, strict=True):
        slot, coin = divmod((h * 2**32 + lower) * 77 >> 32, 2**32)
        want.append(slot if coin < threshold[slot] else alias[slot])
    np.testing.assert_array_equal(draw(key, table, (500,)), want)
