"""The effective pair distribution: subsampling and dynamic windows against closed form.

Position i of a text is kept with probability k_i, and a centre's half-window is
uniform on 1..W. Position j of the same sentence is a context of i with probability

    E_ij = k_i·k_j·Σ_r P(r positions between i and j are kept)·(W − r)/W

In a text of independent words the pairs of centre a and context b at a distance of d
kept words number 2·E[max(n − d, 0)]·(W − d + 1)/W·q(a)·q(b) a sentence, n the number
of its words that are kept and q(w) ∝ p(w)·k(w) their distribution.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy import stats

from experiments.estimation.checks import P_BOUND, Z_BOUND, Check, largest_z
from sgns_jax import noise, window
from sgns_jax.config import Config
from sgns_jax.corpus import Corpus
from sgns_jax.types import SENTENCE_END, InputError

SECTION = "5. The pairs: subsampling and dynamic windows, against the closed form"
EXCERPT = 512  #: words of the corpus that are sampled again and again
SENTENCES, LENGTH = 8, 32  #: the text of independent words
BANDS = 6  #: of its vocabulary by frequency, with as many kept words in each
_C = 32  # centres a block; the pairs do not depend on it
_ENOUGH = 100  # occurrences in all for a count's mean to pass as normal


def keep_probabilities(counts: np.ndarray, config: Config) -> np.ndarray:
    """k by word in NumPy, apart from the library's."""
    if config.subsample == 0:
        return np.ones(len(counts))
    ratio_V = config.subsample * counts.sum() / counts
    more_V = ratio_V if config.subsample_rule == "word2vec" else 0
    return np.minimum(np.sqrt(ratio_V) + more_V, 1)


def expected_pairs(keep_T: np.ndarray, sentence_T: np.ndarray, W: int) -> np.ndarray:
    """The module's E, (T, T)."""
    T = len(keep_T)
    E_TT = np.zeros((T, T))
    between_WT = np.eye(W, 1) * np.ones(T)  # P(r kept strictly between i and i + gap)
    for gap in range(1, T):
        i, j = np.arange(T - gap), np.arange(gap, T)
        between_WT = between_WT[:, : T - gap]
        reached = (W - np.arange(W)) / W @ between_WT
        together = sentence_T[i] == sentence_T[j]
        E_TT[i, j] = np.where(together, keep_T[i] * keep_T[j] * reached, 0)
        one_more = np.concatenate([np.zeros((1, T - gap)), between_WT[:-1]])
        between_WT = (1 - keep_T[j]) * between_WT + keep_T[j] * one_more
    return E_TT + E_TT.T


def sample_pairs(key: Array, segment_T: Array, keep_V: Array, W: int):
    """The library's pairs of a segment: centres (B, C, 1), contexts (B, 1, E), how far
    apart they are in kept words (C, E), and which of them are pairs, a mask (B, C, E).
    """
    key_subsample, key_window = jax.random.split(key)
    kept = window.subsample(key_subsample, segment_T, keep_V)
    half_T = window.half_windows(key_window, segment_T.shape, W, dynamic=True)
    starts_B = jnp.arange(0, len(segment_T), _C)
    windows = window.lay_windows(kept, half_T)
    tokens_BE, mask_BCE = window.cut_blocks(windows, starts_B, _C, W)
    offset_CE = jnp.arange(_C + 2 * W)[None] - W - jnp.arange(_C)[:, None]
    centers_BC1 = tokens_BE[:, W : W + _C, None]
    return centers_BC1, tokens_BE[:, None, :], jnp.abs(offset_CE), mask_BCE


def library_keep(counts: np.ndarray, config: Config) -> Array:
    """The library's k by word."""
    return window.keep_probability(counts, config.subsample, config.subsample_rule)


class TextPairs(NamedTuple):
    """What M samplings of a text gave, beside what they should."""

    chance: np.ndarray  #: E of each pair of positions that is possible
    share: np.ndarray  #: in which part of the samplings it was there
    drawn: np.ndarray  #: mean number of pairs 1, 2, … words of the text apart
    expected: np.ndarray  #: the same by closed form
    unsubsampled: np.ndarray  #: by closed form, if every word were kept


def check_text(
    config: Config, corpus: Corpus, key: Array, texts: int
) -> tuple[list[Check], TextPairs]:
    """The corpus's first words, sampled again and again, position by position.

    A pair of positions is there or not, so in M samplings it is seen a binomial
    number of times, and no normal law is needed.
    """
    segment_T, W = np.array(corpus.tokens[:EXCERPT]), config.window
    counts, is_word = corpus.vocabulary.counts, segment_T != SENTENCE_END
    # Each position is a word of its own, so that pairs tell where they stand.
    places_T = np.where(is_word, np.arange(len(segment_T)), SENTENCE_END)
    keys = jax.random.split(key, texts)
    counted = _count_places(keys, places_T, library_keep(counts, config)[segment_T], W)
    seen_TT, apart_MT = map(np.asarray, counted)
    keep_T = keep_probabilities(counts, config)[segment_T] * is_word
    sentence_T = np.cumsum(~is_word)
    E_TT = expected_pairs(keep_T, sentence_T, W)
    below = stats.binom.cdf(seen_TT, texts, E_TT)
    above = stats.binom.sf(seen_TT - 1, texts, E_TT)
    possible = E_TT > 0
    cells = int(np.sum(possible))
    p = min(2 * float(np.min(np.minimum(below, above))) * cells, 1.0)
    pairs = TextPairs(
        E_TT[possible],
        seen_TT[possible] / texts,
        apart_MT.mean(axis=0),
        _by_distance(E_TT),
        _by_distance(expected_pairs(is_word * 1.0, sentence_T, W)),
    )
    what = f"{cells:,} pairs of positions: smallest p, times {cells:,}"
    return [
        Check(SECTION, what, p, ">=", P_BOUND),
        _check_counts("distances in words of the text", apart_MT, pairs.expected),
    ], pairs


def _by_distance(E_TT):
    """Σ of E by |i − j| = 1, 2, …"""
    return np.array([2 * np.trace(E_TT, gap) for gap in range(1, len(E_TT))])


def _check_counts(what, seen_MJ, expected_J):
    """Means of M independent counts of J kinds, as far as they pass for normal."""
    enough_J = len(seen_MJ) * expected_J >= _ENOUGH
    if not np.any(enough_J):
        raise InputError(
            f"the samplings hold too few pairs to count {what}; give more "
            "--texts, a higher --subsample or a text with longer lines"
        )
    z = largest_z(seen_MJ[:, enough_J], expected_J[enough_J])
    return Check(SECTION, f"{what} ({np.sum(enough_J)}): largest |z|", z, "<=", Z_BOUND)


@partial(jax.jit, static_argnums=3)
def _count_places(keys, places_T, keep_T, W):
    """(T, T) how often each pair was seen, and (M, T − 1) pairs by distance."""
    T = len(places_T)

    def one(seen_TT, key):
        centers, contexts, _, mask = sample_pairs(key, places_T, keep_T, W)
        seen_TT = seen_TT.at[centers, contexts].add(mask)
        distance = jnp.abs(centers - contexts)
        return seen_TT, jnp.zeros(T, jnp.int32).at[distance].add(mask)[1:]

    return jax.lax.scan(one, jnp.zeros((T, T), jnp.int32), keys)


def check_independent_words(
    config: Config, counts: np.ndarray, key: Array, texts: int
) -> list[Check]:
    """Texts of independent words: pairs by bands of frequency and by kept distance."""
    W, d_W, n_L = config.window, np.arange(1, config.window + 1), np.arange(LENGTH + 1)
    kept_V = counts / counts.sum() * keep_probabilities(counts, config)
    q_V = kept_V / kept_V.sum()
    chance_L = stats.binom.pmf(n_L, LENGTH, kept_V.sum())
    places_W = np.maximum(n_L[:, None] - d_W, 0).T @ chance_L
    E_W = SENTENCES * 2 * places_W * (W - d_W + 1) / W
    # A word belongs to the band that the middle of its share falls in.
    band_V = ((np.cumsum(q_V) - q_V / 2) * BANDS).astype(int)
    q_G = np.bincount(band_V, q_V, BANDS)
    E_GG = np.sum(E_W) * np.outer(q_G, q_G)
    keys, table = jax.random.split(key, texts), noise.alias_table(counts, 1.0)
    counted = _count_bands(keys, table, library_keep(counts, config), band_V, W)
    seen_MGG, seen_MW = map(np.asarray, counted)
    seen_MGG = seen_MGG.reshape(texts, -1)
    return [
        _check_counts("pairs of bands of frequency", seen_MGG, E_GG.ravel()),
        _check_counts("distances in kept words", seen_MW, E_W),
    ]


@partial(jax.jit, static_argnums=4)
def _count_bands(keys, table, keep_V, band_V, W):
    """For each text (G, G) pairs by band of centre and context, (W,) by distance."""

    def one(key):
        key_words, key_pairs = jax.random.split(key)
        words = noise.draw(key_words, table, (SENTENCES, LENGTH))
        ends = jnp.full((SENTENCES, 1), SENTENCE_END)
        text_T = jnp.concatenate([words, ends], axis=1).ravel()
        centers, contexts, distance_CE, mask = sample_pairs(
            key_pairs, text_T, keep_V, W
        )
        zero_GG = jnp.zeros((BANDS, BANDS), jnp.int32)
        by_band_GG = zero_GG.at[band_V[centers], band_V[contexts]].add(mask)
        far = jnp.zeros(W + 1, jnp.int32).at[distance_CE]  # drops what is above W
        return by_band_GG, far.add(jnp.sum(mask, axis=0), mode="drop")[1:]

    return jax.lax.map(one, keys)
