"""The text of a benchmark, prepared once: plain lines that every program reads.

gensim leaves out what stands behind the 10,000th word of a line, word2vec.c cuts at
1,000. So the words are laid out anew, 1,000 a line, and no program has an advantage.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.workdir import Workdir, read_corpus
from sgns_jax.config import Config
from sgns_jax.corpus import Corpus
from sgns_jax.train import expected_kept
from sgns_jax.types import SENTENCE_END, InputError
from sgns_jax.vector_files import replacing

LINE_WORDS = 1000
_CHUNK_TOKENS = 1 << 20


class Text(NamedTuple):
    """A plain text: words between single spaces, 1,000 a line."""

    path: Path
    words: int  #: in it, rare ones included
    lines: int
    counts: np.ndarray  #: (V,) how often each word seen min_count times stands in it
    fingerprint: str  #: hash of the text it was made from


def prepare(config: Config, workdir: Workdir) -> Text:
    """Reads the corpus as the settings say and writes its words to ``text.txt``.

    Raises:
      InputError: fewer than two words are seen ``min_count`` times.
    """
    corpus = read_corpus(dataclasses.replace(config, min_count=1), workdir)
    counts = corpus.vocabulary.counts
    counts = counts[counts >= config.min_count]
    if len(counts) < 2:
        raise InputError(
            f"{len(counts)} words of {config.corpus} are seen min_count = "
            f"{config.min_count} times, two are needed; give a lower --min_count or "
            "more text"
        )
    path = workdir.path("text.txt").absolute()
    with replacing(path) as file:
        file.writelines(_lines(corpus))
    lines = -(-corpus.raw_words // LINE_WORDS)
    return Text(path, corpus.raw_words, lines, counts, corpus.fingerprint)


def beginning(text: Text, path: Path, lines: int) -> Text:
    """The first lines of a text as a text of its own; all its words are kept."""
    with open(text.path, "rb") as source, replacing(path) as file:
        first = list(itertools.islice(source, lines))
        file.writelines(first)
    words, counts = np.unique(b" ".join(first).split(), return_counts=True)
    return Text(path.absolute(), int(counts.sum()), len(first), counts, "")


def _lines(corpus: Corpus) -> Iterator[bytes]:
    names = np.array(corpus.vocabulary.words, object)
    held: list[str] = []
    for start in range(0, len(corpus.tokens), _CHUNK_TOKENS):
        ids = corpus.tokens[start : start + _CHUNK_TOKENS]
        held += names[ids[ids != SENTENCE_END]].tolist()
        whole = len(held) // LINE_WORDS * LINE_WORDS
        yield from _joined(held[:whole])
        held = held[whole:]
    yield from _joined(held)


def _joined(words: list[str]) -> Iterator[bytes]:
    for start in range(0, len(words), LINE_WORDS):
        yield (" ".join(words[start : start + LINE_WORDS]) + "\n").encode()


def expected_pairs(config: Config, text: Text) -> float:
    """How many (centre, context) pairs an epoch is expected to have.

        pairs = 2 Σ_{d=1..W} P(half-window ≥ d) · (kept − lines·d)
              = (W + 1)·(kept − lines·(W + 2)/3)

    with P(half-window ≥ d) = (W + 1 − d)/W, half-windows uniform on 1..W, and kept =
    Σ_w keep(w)·count(w) words left by subsampling. d words of a line lack a context
    at distance d on either side. Exact where each line keeps W words or more.

    It is the law of this library with its defaults and of gensim. fastText's differs
    by about a hundredth: it takes shares of all words, rare ones included, and counts
    a line's end as a word.
    """
    kept, W = expected_kept(config, text.counts), config.window
    return (W + 1) * (kept - text.lines * (W + 2) / 3)
