"""The positives: which kept token is a context of which.

Token segments come as word ids with ``SENTENCE_END`` between sentences. Frequent
words are dropped first and windows laid over what is kept, as word2vec.c does, so a
window reaches further in words of the text than in kept tokens.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sgns_jax.types import SENTENCE_END

SubsampleRule = Literal["word2vec", "paper"]


class KeptTokens(NamedTuple):
    """A segment after subsampling: kept tokens first, padding after ``size``."""

    tokens_T: Array  #: (T,) int32 word ids
    sentences_T: Array  #: (T,) int32, the sentence of a token; they count up from 0
    size: Array  #: scalar int32, how many tokens were kept


def keep_probability(counts: Array, threshold: float, rule: SubsampleRule) -> Array:
    """The probability that an occurrence of each word is kept.

        word2vec:  min(1, √(t/f) + t/f)      the published program
        paper:     min(1, √(t/f))            the published formula

    Args:
      counts: (V,) how often each vocabulary word stands in the corpus; f is its
        share among vocabulary words, all of them kept by min_count.
      threshold: t ≥ 0; 0 keeps every token.
      rule: which of the two.

    Returns:
      (V,) float32. Example: t = 1e-3, f = 0.003 → 0.911 (word2vec), 0.577 (paper).

    Raises:
      ValueError: for an unknown rule.

    Source: Mikolov et al. 2013, equation (5); word2vec.c, function TrainModelThread.
    """
    if rule not in ("word2vec", "paper"):
        raise ValueError(f"rule must be 'word2vec' or 'paper', got {rule!r}")
    # On the host, in float64: every device then keeps the same tokens.
    counts = np.asarray(counts, np.float64)
    ratio = min(threshold, 1) * counts.sum() / np.maximum(counts, 1)  # 1 keeps all
    keep = np.sqrt(ratio) + (ratio if rule == "word2vec" else 0)
    keep = np.minimum(keep, 1) if threshold > 0 else np.ones_like(keep)
    return jnp.asarray(keep, jnp.float32)


def subsample(key: Array, segment_T: Array, keep_V: Array) -> KeptTokens:
    """Keeps each token with its word's probability, and closes the gaps.

    Args:
      key: a random key of this segment and epoch alone.
      segment_T: (T,) int32 word ids, ``SENTENCE_END`` between sentences.
      keep_V: (V,) probabilities from :func:`keep_probability`.
    """
    T = segment_T.shape[0]
    is_word = segment_T != SENTENCE_END
    chance = keep_V[jnp.where(is_word, segment_T, 0)]
    kept = is_word & (jax.random.uniform(key, (T,), chance.dtype) < chance)
    target = jnp.where(kept, jnp.cumsum(kept) - 1, T)
    sentence = jnp.cumsum(~is_word)

    def close_gaps(values):
        empty = jnp.zeros((T,), jnp.int32)
        return empty.at[target].set(values.astype(jnp.int32), mode="drop")

    size = jnp.sum(kept, dtype=jnp.int32)
    return KeptTokens(close_gaps(segment_T), close_gaps(sentence), size)


def half_windows(
    key: Array, shape: tuple[int, ...], window: int, dynamic: bool | Array
) -> Array:
    """How far each centre looks to either side: uniform on 1..W, or W itself.

    ``dynamic`` says which, and may be traced.

    Source: Mikolov et al. 2013 (arXiv 1301.3781), section 3.2: "R" words.
    """
    drawn = jax.random.randint(key, shape, 1, window + 1)
    return jnp.where(dynamic, drawn, window)


class Windows(NamedTuple):
    """The kept tokens of a segment, and how far the window of each one reaches."""

    tokens_T: Array  #: (T,) int32 word ids
    left_T: Array  #: (T,) int32, contexts to the left of a token
    right_T: Array  #: (T,) int32, contexts to its right; both 0 in the padding


def lay_windows(kept: KeptTokens, half_T: Array) -> Windows:
    """Lays a window around each kept token; it ends where the sentence ends.

    The work is the same for every W: where each sentence begins and ends is looked up.

    Args:
      kept: a subsampled segment.
      half_T: (T,) half-windows; those of the padding are not read.
    """
    T = kept.tokens_T.shape[0]
    position_T = jnp.arange(T, dtype=jnp.int32)
    is_token = position_T < kept.size
    sentences_T = jnp.where(is_token, kept.sentences_T, T)  # T: of none, left out

    def of_sentences(empty):
        return jnp.full((T,), empty, jnp.int32).at[sentences_T]

    first_S = of_sentences(T).min(position_T, mode="drop", indices_are_sorted=True)
    last_S = of_sentences(0).max(position_T, mode="drop", indices_are_sorted=True)
    limits = position_T - first_S[sentences_T], last_S[sentences_T] - position_T
    reach = (jnp.where(is_token, jnp.minimum(half_T, n), 0) for n in limits)
    return Windows(kept.tokens_T, *reach)


class Blocks(NamedTuple):
    """B blocks of C centres and the E = C + 2W positions around each.

    W may be the farthest that a window of the segment sees, where that is less.
    """

    tokens_BE: Array  #: (B, E) int32 word ids; the centres are columns W..W+C−1
    mask_BCE: Array  #: (B, C, E) bool: is position e a context of centre c?


def cut_blocks(
    windows: Windows, starts_B: Array, block_size: int, window: int
) -> Blocks:
    """Cuts blocks out of a segment and says which pairs in them are positives.

    (c, e) is a pair if e is not c itself and lies in the window of c.

    Args:
      windows: a segment, see :func:`lay_windows`.
      starts_B: (B,) position of each block's first centre; one outside the segment
        is an empty block.
      block_size: C.
      window: W; no window of the segment sees farther.
    """
    T, C, E = windows.tokens_T.shape[0], block_size, block_size + 2 * window
    position_BE = starts_B[:, None] - window + jnp.arange(E)[None]
    inside_BE = (position_BE >= 0) & (position_BE < T)
    # Made safe by hand, not by JAX's clamping: what is outside is in no window.
    position_BE = jnp.where(inside_BE, position_BE, 0)
    centers_BC = position_BE[:, window : window + C]
    inside_BC = inside_BE[:, window : window + C]
    left_BC1, right_BC1 = (
        jnp.where(inside_BC, reach_T[centers_BC], 0)[:, :, None]
        for reach_T in (windows.left_T, windows.right_T)
    )
    offset_1CE = (jnp.arange(E)[None] - window - jnp.arange(C)[:, None])[None]
    near_BCE = (-left_BC1 <= offset_1CE) & (offset_1CE <= right_BC1)
    return Blocks(windows.tokens_T[position_BE], near_BCE & (offset_1CE != 0))
