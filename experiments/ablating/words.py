"""Measures of word models that mean the same at every K and noise exponent α.

The loss does not: it counts K noise terms, drawn from P_n. What is asked here is fixed
before any model is trained, and the same for all.

Held-out ranking. A hundredth of the text is held out. For pairs (w, c) of it, c is
ranked by its score among candidates that are drawn from q: uniform, or the unigram
distribution. An SGNS score estimates log p(c|w) − log P_n(c) − log K (Levy & Goldberg
2014), while the best ranking is by p(c|w) / q(c), how much likelier a word is as a
context than as a candidate. So the raw score ranks best if P_n happens to be q: α = 0
for uniform candidates, α = 1 for unigram ones. That is a fact about how scores of such
a model may be used as they are, and no merit of its vectors. The calibrated score

    s + log P_n(c) − log q(c)

is the model's estimate of log p(c|w) / q(c), but for log K, at any α: it is free of
that advantage, and says which model knows more. Both are shown.

Beside it stand agreement with theory, the geometry of the vectors and, where files
are given, human judgements of similarity and analogies.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from experiments.ablating import geometry, theory
from experiments.ablating.held_out import ranks, split
from experiments.ablating.measure import Measure
from sgns_jax import noise
from sgns_jax.config import Config
from sgns_jax.evaluation import AnalogyScore, SimilarityScore, evaluate_folder
from sgns_jax.types import SENTENCE_END, InputError, Params
from sgns_jax.vectors import WordVectors
from sgns_jax.vocabulary import Vocabulary

PAIRS = 10_000
DRAWS = 1_000
CANDIDATES = {"uniform": 0.0, "unigram": 1.0}  #: q(c) ∝ count(c)^β, and its β


def _ranking_measures(kind: str, beta: float) -> dict[str, Measure]:
    among = f"of held-out contexts among {DRAWS:,} {kind} draws"
    raw = f"by the score as it is: favours alpha = {beta:g}."
    fair = "by score + log P_n - log q: favours no alpha."
    mrr, recall = f"Mean 1/rank {among}", f"Share {among} at rank 10 or better"
    title = f"MRR, {kind}"
    return {
        f"mrr_{kind}_calibrated": Measure(f"{title}, calibrated", f"{mrr}, {fair}", 1),
        f"mrr_{kind}": Measure(title, f"{mrr}, {raw}", 1),
        f"recall10_{kind}": Measure(f"Recall@10, {kind}", f"{recall}, {raw}", 1),
    }


MEASURES = _ranking_measures("uniform", 0) | _ranking_measures("unigram", 1)
MEASURES |= theory.MEASURES | geometry.MEASURES


class Questions(NamedTuple):
    """What every model is asked."""

    words: tuple[str, ...]  #: V
    counts_V: np.ndarray  #: (V,) of the training text; a held-out word may have 0
    centers_P: np.ndarray  #: (P,) w of held-out pairs
    contexts_P: np.ndarray  #: (P,) c
    candidates: dict[str, np.ndarray]  #: (C,) words drawn from each q
    seen_pairs: Callable[[theory.PairRule], theory.SeenPairs]  #: of the training text
    eval_dir: str
    restrict_vocabulary: int
    evaluations: dict[str, Measure]  #: of the files in ``eval_dir``


def prepare(
    tokens_T: np.ndarray,
    vocabulary: Vocabulary,
    eval_dir: str = "",
    restrict_vocabulary: int = 30_000,
) -> tuple[np.ndarray, Questions]:
    """The text to train on, and the questions, from a text and fixed keys alone.

    Held-out pairs are the library's positives at its default settings. A word that is
    held out wherever it stands is in no question: no model could know it.

    Args:
      tokens_T: (T,) int32 word ids, ``SENTENCE_END`` between sentences.
      vocabulary: its words.
      eval_dir: folder of evaluation files, see ``evaluation.evaluate_folder``; empty:
        none. Files of which the vocabulary covers too little are left out.
      restrict_vocabulary: for analogies, so many most frequent words.

    Raises:
      InputError: the text is too short, or ``eval_dir`` holds no evaluation.
    """
    train_T, held_T = split(tokens_T)
    counts_V = np.bincount(train_T[train_T != SENTENCE_END], minlength=len(vocabulary))
    draw, candidates = jax.jit(noise.draw, static_argnums=2), {}
    for number, (kind, beta) in enumerate(CANDIDATES.items()):
        table = noise.alias_table(counts_V, beta)  # a word of count 0 is never drawn
        candidates[kind] = np.asarray(draw(jax.random.key(number), table, (DRAWS,)))
    count_pairs = functools.partial(theory.count_pairs, train_T, counts_V)
    return train_T, Questions(
        vocabulary.words,
        counts_V,
        *_held_out_pairs(held_T, counts_V),
        candidates,
        functools.cache(count_pairs),  # a grid over K and α has one rule of pairs
        eval_dir,
        restrict_vocabulary,
        _evaluations(vocabulary.words, eval_dir, restrict_vocabulary),
    )


def _held_out_pairs(held_T: np.ndarray, counts_V: np.ndarray) -> np.ndarray:
    """Centres and contexts, (2, P), evenly spread over all there are.

    A short text is read as often as a segment holds it, each time with other draws.
    """
    rule, held_T = theory.pair_rule(Config()), np.append(held_T, SENTENCE_END)
    held_T = np.tile(held_T, max(1, theory.SEGMENT // len(held_T)))
    pairs = np.concatenate([*theory.positives(held_T, counts_V, rule)], axis=1)
    pairs = pairs[:, (counts_V[pairs] > 0).all(axis=0)]
    num_pairs = pairs.shape[1]
    if not num_pairs:
        raise InputError(
            f"of {len(held_T)} held-out words no two make a pair; give a longer text"
        )
    P = min(PAIRS, num_pairs)
    return pairs[:, np.linspace(0, num_pairs, P, endpoint=False, dtype=int)]


def _evaluations(words, eval_dir, restrict_vocabulary) -> dict[str, Measure]:
    """What the files ask; any vectors tell which have an answer at all."""
    if not eval_dir:
        return {}
    vectors = WordVectors(words, np.random.default_rng(0).normal(size=(len(words), 2)))
    measures = {}
    for result in evaluate_folder(vectors, eval_dir, restrict_vocabulary):
        score, what = _score(result)
        if not math.isnan(score):
            measures[result.name] = Measure(result.name, what, better=1)
    return measures


def _score(result: SimilarityScore | AnalogyScore) -> tuple[float, str]:
    """The number that counts, and what it is."""
    if isinstance(result, SimilarityScore):
        what = "Spearman's correlation of cosines and people's scores of word pairs"
        return result.rho, f"{what}; {result.covered:,} of {result.pairs:,} covered."
    total, what = result.total, "Share of analogies that 3CosAdd solves"
    return total.accuracy, f"{what}; {total.covered:,} of {total.questions:,} covered."


def measures(questions: Questions) -> dict[str, Measure]:
    """All that :func:`measure` measures: ``MEASURES``, and the files'."""
    return MEASURES | questions.evaluations


def measure(questions: Questions, config: Config, params: Params) -> dict[str, float]:
    """The numbers of a model whose tables are NumPy arrays of finite numbers."""
    counts_V = questions.counts_V
    pairs = questions.seen_pairs(theory.pair_rule(config))
    result = _ranking(questions, config.noise_exponent, params)
    result |= theory.measure(pairs, counts_V, config, params)
    result |= geometry.measure(params.w_in, counts_V)
    if questions.evaluations:
        vectors = WordVectors(questions.words, params.w_in)
        files = questions.eval_dir, questions.restrict_vocabulary
        scores = {one.name: _score(one)[0] for one in evaluate_folder(vectors, *files)}
        result |= {name: scores[name] for name in questions.evaluations}
    return result


def _ranking(questions: Questions, alpha: float, params: Params) -> dict[str, float]:
    contexts_P = questions.contexts_P
    log_f_V = np.log(np.maximum(questions.counts_V, 1))  # none of count 0 is asked
    v_PD = params.w_in[questions.centers_P]
    s_P = np.einsum("pd,pd->p", v_PD, params.w_out[contexts_P])
    result = {}
    for kind, beta in CANDIDATES.items():
        drawn_C = questions.candidates[kind]
        s_PC = v_PD @ params.w_out[drawn_C].T
        same_PC = contexts_P[:, None] == drawn_C
        # log P_n − log q, but for a constant, which moves no rank
        back_V = ((alpha - beta) * log_f_V).astype(np.float32)
        rank_P = ranks(s_P, s_PC, same_PC)
        calibrated_P = ranks(s_P + back_V[contexts_P], s_PC + back_V[drawn_C], same_PC)
        result[f"mrr_{kind}"] = float(np.mean(1 / rank_P))
        result[f"recall10_{kind}"] = float(np.mean(rank_P <= 10))
        result[f"mrr_{kind}_calibrated"] = float(np.mean(1 / calibrated_P))
    return result
