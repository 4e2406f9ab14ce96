"""What a run has to learn from: words that subsampling leaves, steps, pairs."""

import math

import numpy as np

from sgns_jax.config import Config
from sgns_jax.corpus import Corpus
from sgns_jax.train import expected_kept, expected_steps
from sgns_jax.types import SENTENCE_END, InputError
from sgns_jax.window import keep_probability

#: Natural text keeps a fifth of its words at t = 1e-5, the least that is usual. A
#: closed vocabulary, of which every word is frequent, keeps far less.
LITTLE_KEPT = 0.1
#: On walks over a graph of 34 nodes the mean cosine of two vectors was 0.999 after 5
#: steps, 0.99 after 20 and 0.5 after 70.
FEW_STEPS = 50
_CHUNK_TOKENS = 1 << 18


def outlook(config: Config, corpus: Corpus) -> str:
    """How much subsampling leaves, and how many steps that makes."""
    kept, steps = _kept_and_steps(config, corpus)
    times = f"{config.replicas} x " if config.replicas > 1 else ""
    return (
        f"Subsampling leaves {_percent(kept / corpus.kept_words)} of the words, "
        f"{kept:,.0f} an epoch: {times}{steps:,} steps"
    )


def doubt(config: Config, corpus: Corpus) -> str | None:
    """What to change where that is hardly enough to learn from; else None."""
    kept, steps = _kept_and_steps(config, corpus)
    share = kept / corpus.kept_words
    if share >= LITTLE_KEPT and steps >= FEW_STEPS:
        return None
    changes = "more --epochs or fewer --blocks_per_step"
    if share < 0.5:  # else it hardly gives more steps
        changes = f"--subsample=0 or above {config.subsample:g}, {changes}"
    return (
        f"{steps:,} steps with {_percent(share)} of the words may be too little to "
        f"learn from; give {changes}"
    )


def refuse_too_few_pairs(
    config: Config, tokens_T: np.ndarray, counts_V: np.ndarray
) -> None:
    """Refuses a text whose pairs are fewer than its words, by an upper bound.

    A pair moves one v: most vectors would stay as they were drawn.

    Raises:
      InputError: it is one.
    """
    V = len(counts_V)
    pairs = config.epochs * most_pairs(config, tokens_T, counts_V, V / config.epochs)
    if pairs >= V:
        return
    if not pairs:
        raise InputError(
            f"corpus {config.corpus} gives no pairs: no sentence keeps two words; a "
            "sentence is a line: give longer ones, or a lower min_count"
        )
    more = "more text or longer lines"
    if config.subsample:
        more = f"subsample = 0 or above {config.subsample:g}, {more}"
    raise InputError(
        f"corpus {config.corpus} gives at most {math.ceil(pairs):,} pairs in "
        f"{config.epochs} epochs for {V:,} words, most of which would learn nothing; "
        f"give {more}"
    )


def most_pairs(
    config: Config, tokens_T: np.ndarray, counts_V: np.ndarray, enough: float = np.inf
) -> float:
    """An upper bound of the pairs that an epoch is expected to have.

        Σ_sentences min( (Σk)² − Σk², 2 W Σk )

    with k the probability that subsampling keeps a word: i and j of a sentence are both
    left with probability k_i·k_j, and a word has at most W contexts on either side.
    Counting ends where there are ``enough``.
    """
    keep_V = keep_probability(counts_V, config.subsample, config.subsample_rule)
    keep_V = np.append(np.asarray(keep_V, np.float64), 0.0)  # last: SENTENCE_END, −1
    pairs = 0.0
    for start in range(0, len(tokens_T), _CHUNK_TOKENS):
        ids = tokens_T[start : start + _CHUNK_TOKENS]
        starts = np.append(0, np.flatnonzero(ids == SENTENCE_END))
        k, squares = keep_V[ids], keep_V[ids] ** 2
        k, squares = (np.add.reduceat(x, starts) for x in (k, squares))
        pairs += np.minimum(k**2 - squares, 2 * config.window * k).sum()
        if pairs >= enough:
            break
    return float(pairs)


def _kept_and_steps(config: Config, corpus: Corpus) -> tuple[float, int]:
    counts_V = corpus.vocabulary.counts
    steps = expected_steps(config, counts_V, len(corpus.tokens))
    return expected_kept(config, counts_V), steps


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
