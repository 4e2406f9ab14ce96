"""Subsampling, windows and blocks against plain loops."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgns_jax.types import SENTENCE_END
from sgns_jax.window import (
    KeptTokens,
    cut_blocks,
    half_windows,
    keep_probability,
    lay_windows,
    subsample,
)
from tests import oracle

KEY = jax.random.key(0)


@functools.partial(jax.jit, static_argnums=(3, 4))
def jit_cut(kept, half_T, starts_B, block, window):
    return cut_blocks(lay_windows(kept, half_T), starts_B, block, window)


@pytest.mark.parametrize(("rule", "kept"), [("word2vec", 0.911), ("paper", 0.577)])
def test_keep_probability_by_hand(rule, kept):
    # t = 1e-3, f = 0.003: √(1/3) = 0.577, and 1/3 more by the program's rule.
    got = keep_probability([3, 997], 1e-3, rule)
    np.testing.assert_allclose(got[0], kept, atol=5e-4)


@pytest.mark.parametrize("rule", ["word2vec", "paper"])
def test_keep_probability_equals_the_oracle(rule):
    """To the last bit: a device with other roundings would keep other tokens."""
    counts = np.random.default_rng(0).integers(1, 10**7, 1000)
    got = keep_probability(counts, 1e-4, rule)
    want = oracle.keep_probability(counts, 1e-4, rule)
    np.testing.assert_array_equal(got, np.asarray(want, np.float32))


def test_threshold_zero_keeps_all():
    np.testing.assert_array_equal(keep_probability([5, 1], 0.0, "paper"), [1, 1])


def test_unknown_rule():
    with pytest.raises(ValueError, match="rule must be 'word2vec' or 'paper'"):
        keep_probability([1, 2], 1e-4, "gensim")


def stream(sentences):
    """Sentences as one token array with SENTENCE_END between them."""
    joined = [t for sentence in sentences for t in [*sentence, SENTENCE_END]]
    return np.array(joined[:-1] or [SENTENCE_END], np.int32)


def test_subsample_closes_the_gaps_and_keeps_sentences_apart():
    segment = stream([[0, 1, 0, 2], [0], [2, 2, 1]])
    keep = jnp.array([0.0, 1.0, 1.0])  # word 0 always goes, the others stay
    kept = subsample(KEY, jnp.asarray(segment), keep)
    assert kept.size == 5
    np.testing.assert_array_equal(kept.tokens_T[:5], [1, 2, 2, 2, 1])
    sentence = np.asarray(kept.sentences_T[:5])
    np.testing.assert_array_equal(sentence == sentence[0], [1, 1, 0, 0, 0])


def test_sentence_ends_are_never_kept_as_tokens():
    segment = stream([[0, 1], [2], [0, 0]])
    kept = subsample(KEY, jnp.asarray(segment), jnp.ones(3))
    assert kept.size == 5
    np.testing.assert_array_equal(kept.tokens_T[:5], [0, 1, 2, 0, 0])
    assert list(np.diff(kept.sentences_T[:5]) > 0) == [False, True, True, False]


def test_subsample_rates_are_the_keep_probabilities():
    counts = np.array([40_000, 9_000, 1_000])
    tokens = np.repeat(np.arange(3), counts).astype(np.int32)
    keep = jnp.array([0.1, 0.5, 0.9])
    kept = subsample(KEY, tokens, keep)
    seen = np.bincount(kept.tokens_T[: kept.size], minlength=3)
    error = seen - counts * keep
    assert np.all(np.abs(error) < 4 * np.sqrt(counts * keep * (1 - keep)))


def test_subsample_differs_by_key():
    tokens, keep = jnp.zeros(1000, jnp.int32), jnp.array([0.5])
    sizes = [int(subsample(jax.random.key(i), tokens, keep).size) for i in range(5)]
    assert len(set(sizes)) > 1


def test_half_windows_are_uniform_or_fixed():
    half = half_windows(KEY, (40_000,), 8, dynamic=True)
    seen = np.bincount(half, minlength=9)
    assert seen[0] == 0
    # 40,000 draws: 5,000 each, standard deviation 66. word2vec.c's generator gives
    # only four of the eight widths inside a sentence.
    np.testing.assert_allclose(seen[1:], 5000, atol=5 * 66)
    assert np.all(half_windows(KEY, (3, 4), 8, dynamic=False) == 8)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(0, 12), max_size=5),
    st.sampled_from([1, 3, 100, 2**30]),
    st.integers(0, 10**6),
)
def test_windows_end_with_their_sentence(lengths, window, seed):
    """Whatever W; sentences of which no word was kept have numbers, too."""
    room, rng = 60, np.random.default_rng(seed)
    numbers_T = np.repeat(np.arange(len(lengths)), lengths)
    size = len(numbers_T)
    half_T = rng.integers(1, window + 1, room).astype(np.int32)
    sentences_T = np.pad(numbers_T, (0, room - size)).astype(np.int32)
    kept = KeptTokens(np.zeros(room, np.int32), sentences_T, np.int32(size))
    _, *sides = jax.jit(lay_windows)(kept, half_T)
    for reach_T, step in zip(sides, (-1, 1), strict=True):
        assert reach_T.dtype == np.int32 and not np.any(reach_T[size:])
        for i in range(size):
            n = 0
            while n < half_T[i] and 0 <= (j := i + step * (n + 1)) < size:
                if numbers_T[j] != numbers_T[i]:
                    break
                n += 1
            assert reach_T[i] == n


def block_pairs(sentences, half, window, block):
    """(centre, context) positions that the blocks of a segment have, in order."""
    tokens = [t for sentence in sentences for t in sentence]
    numbers = [i for i, sentence in enumerate(sentences) for _ in sentence]
    size, room = len(tokens), 62  # one shape: one compilation
    padded = np.zeros((2, room), np.int32)  # padding looks like word 0, sentence 0
    padded[0, :size], padded[1, :size] = tokens, numbers
    kept = KeptTokens(*jnp.asarray(padded), jnp.int32(size))
    starts = np.arange(0, room + 1 + block, block)  # the last ones are beyond the end
    half_T = np.full(room, window, np.int32)
    half_T[:size] = half
    blocks = jit_cut(kept, half_T, starts, block, window)
    blocks = jax.tree.map(np.asarray, blocks)
    pairs = []
    for b, c, e in np.argwhere(blocks.mask_BCE):
        center, context = starts[b] + c, starts[b] - window + e
        assert blocks.tokens_BE[b, window + c] == tokens[center]
        assert blocks.tokens_BE[b, e] == tokens[context]
        pairs.append((int(center), int(context)))
    return pairs


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(0, 9), min_size=0, max_size=5),
    st.sampled_from([(1, 4), (3, 1), (3, 4), (5, 16)]),
    st.integers(0, 10**6),
)
def test_block_positives_are_the_windows(lengths, shape, seed):
    """Both sides, clipped at sentence and corpus ends; each pair exactly once."""
    window, block = shape
    rng = np.random.default_rng(seed)
    sentences = [rng.integers(0, 50, n).tolist() for n in lengths]
    half = rng.integers(1, window + 1, sum(lengths))
    got = block_pairs(sentences, half, window, block)
    assert sorted(got) == sorted(oracle.positives(sentences, half))
    assert len(got) == len(set(got))


def test_the_articles_window():
    """Window 2 in "the cat sat on the mat": cat has the contexts the, sat, on."""
    pairs = block_pairs([[0, 1, 2, 3, 0, 4]], [2] * 6, 2, 4)
    assert [context for center, context in pairs if center == 1] == [0, 2, 3]


def test_dynamic_windows_never_exceed_fixed_ones():
    sentences = [list(range(12))]
    fixed = set(block_pairs(sentences, [3] * 12, 3, 4))
    for seed in range(3):
        half = np.asarray(half_windows(jax.random.key(seed), (12,), 3, True))
        assert set(block_pairs(sentences, half, 3, 4)) <= fixed
    assert len(fixed) == len(list(itertools.permutations(range(12), 2))) - 2 * 36
