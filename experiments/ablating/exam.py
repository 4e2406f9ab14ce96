"""What every model of an ablation is asked, by the domain of its text."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from absl.flags import FlagValues

from experiments.ablating import items, words
from experiments.ablating.measure import Measure
from sgns_jax.config import Config
from sgns_jax.corpus import Corpus
from sgns_jax.types import SENTENCE_END, Params


class Text(NamedTuple):
    """What models are trained on."""

    tokens_T: np.ndarray  #: (T,) int32
    counts_V: np.ndarray  #: (V,) how often each word stands in it


class Exam(NamedTuple):
    """The questions, fixed before any training."""

    domain: str
    measures: dict[str, Measure]
    mark: Callable[[Config, Params], dict[str, float]]  #: a model's values


def prepare(flags: FlagValues, corpus: Corpus) -> tuple[Text, Exam]:
    """The text to train on, and what models are asked about the rest.

    Raises:
      InputError: the text is too short to hold anything out.
    """
    if flags.domain == "items":
        tokens_T, questions = items.prepare(corpus.tokens)
        measures = items.MEASURES

        def mark(config, params):
            return items.measure(questions, params)
    else:
        tokens_T, questions = words.prepare(
            corpus.tokens, corpus.vocabulary, flags.eval_dir, flags.restrict_vocabulary
        )
        measures = words.measures(questions)

        def mark(config, params):
            return words.measure(questions, config, params)

    is_word = tokens_T != SENTENCE_END
    counts_V = np.bincount(tokens_T[is_word], minlength=len(corpus.vocabulary))
    return Text(tokens_T, counts_V), Exam(flags.domain, measures, mark)


def about(flags: FlagValues, corpus: Corpus, text: Text) -> dict:
    """What models are trained on and asked about, for result files."""
    trained = int(text.counts_V.sum())
    return {
        "corpus": flags.corpus,
        "domain": flags.domain,
        "raw_words": corpus.raw_words,
        "kept_words": corpus.kept_words,
        "held_out": corpus.kept_words - trained,
        "vocabulary": len(text.counts_V),
        "fingerprint": corpus.fingerprint,
        "eval_dir": flags.eval_dir,
        "restrict_vocabulary": flags.restrict_vocabulary,
    }
