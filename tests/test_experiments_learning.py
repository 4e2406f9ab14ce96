"""What a run has to learn from, said before it begins; what it has not, at its end."""

import dataclasses
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import report
from experiments.foreseeing import learning
from sgns_jax.config import Config
from sgns_jax.types import SENTENCE_END, InputError
from sgns_jax.vectors import WordVectors
from sgns_jax.vocabulary import Vocabulary
from sgns_jax.window import keep_probability

END = SENTENCE_END


def corpus_of(tokens):
    tokens = np.array(tokens, np.int32)
    counts = np.bincount(tokens[tokens != END])
    words = tuple(f"w{i}" for i in range(len(counts)))
    return SimpleNamespace(
        tokens=tokens,
        vocabulary=Vocabulary(words, counts),
        kept_words=int(counts.sum()),
    )


def walks(V=34, lines=340, length=80):
    """A closed vocabulary, each word as frequent as the others."""
    line = [i % V for i in range(lines * length)]
    return corpus_of(np.insert(line, range(length, len(line), length), END))


def test_what_subsampling_leaves_is_said_with_the_steps():
    """f = 1/34, so that √(t/f) + t/f = 0.0617 at t = 1e-4: 1,678 of 27,200 words."""
    corpus, config = walks(), Config(backend="gpu", blocks_per_step=64)
    left = 27_200 * (math.sqrt(34e-4) + 34e-4)
    steps = round(5 * (left / 1024 + 0.5))
    assert learning.outlook(config, corpus) == (
        f"Subsampling leaves 6.17 % of the words, {left:,.0f} an epoch: {steps} steps"
    )
    two = dataclasses.replace(config, replicas=2, subsample=0.0)
    steps = round(5 * (13_600 / 1024 + 0.5))
    assert learning.outlook(two, corpus) == (
        f"Subsampling leaves 100 % of the words, 27,200 an epoch: 2 x {steps} steps"
    )


def test_few_steps_or_words_are_doubted_with_what_to_change():
    corpus, config = walks(), Config(backend="gpu", blocks_per_step=64)
    doubt = learning.doubt(config, corpus)
    assert "11 steps with 6.17 % of the words may be too little" in doubt
    assert "give --subsample=0 or above 0.0001, more --epochs or fewer" in doubt
    all_kept = dataclasses.replace(config, subsample=0.0)
    assert learning.doubt(all_kept, corpus) is None  # 135 steps
    few = learning.doubt(dataclasses.replace(all_kept, epochs=1), corpus)
    assert "27 steps with 100 % of the words" in few and "--subsample" not in few
    many_of_few = dataclasses.replace(config, epochs=100)
    assert "6.17 % of the words" in learning.doubt(many_of_few, corpus)


def expected_pairs(tokens, k, window):
    """Σ over all that subsampling may leave, of its probability times its pairs."""
    total = 0.0
    for left in itertools.product((0, 1), repeat=len(tokens)):
        probability, sentences = 1.0, [[]]
        for token, is_left in zip(tokens, left, strict=True):
            if token == END:
                sentences.append([])
                continue
            probability *= k[token] if is_left else 1 - k[token]
            sentences[-1] += [token] * is_left
        n = [len(sentence) for sentence in sentences]
        pairs = sum(min(abs(i - j) <= window, i != j) for m in n
                    for i in range(m) for j in range(m))  # fmt: skip
        total += probability * pairs / 2 ** list(tokens).count(END)
    return total


@pytest.mark.parametrize("window", [1, 2, 5])
@pytest.mark.parametrize("subsample", [0.0, 0.01])
def test_the_bound_of_pairs_is_one_and_exact_in_short_sentences(window, subsample):
    tokens = np.array([0, 1, 2, 0, END, 1, END, 0, 1, 1], np.int32)
    counts = np.bincount(tokens[tokens != END])
    config = Config(window=window, subsample=subsample)
    k = np.asarray(keep_probability(counts, subsample, "word2vec"), float)
    bound = learning.most_pairs(config, tokens, counts)
    expected = expected_pairs(tokens, k, window)
    assert bound >= expected - 1e-6
    if window == 5:
        np.testing.assert_allclose(bound, expected, rtol=1e-6)


def test_pairs_are_counted_through_all_of_a_text(monkeypatch):
    tokens = np.array([0, 1, END] * 50 + [0, 1], np.int32)
    config, counts = Config(subsample=0.0), np.array([51, 51])
    assert learning.most_pairs(config, tokens, counts) == 102
    monkeypatch.setattr(learning, "_CHUNK_TOKENS", 3)
    assert learning.most_pairs(config, tokens, counts) == 102
    assert learning.most_pairs(config, tokens, counts, enough=10) == 10


@pytest.mark.parametrize(
    ("tokens", "settings", "says"),
    [
        ([0, END, 1] * 9, {"subsample": 0.0}, None),
        ([0, END, 1, END] * 9, {"subsample": 0.0}, "no pairs: no sentence keeps two"),
        ([0, END, 1, END] * 9, {}, "no pairs: no sentence keeps two"),
        ([0, 1, END] * 9, {"subsample": 1e-9}, "1 pairs in 5 epochs for 2 words"),
        ([0, 1, END, 2, END, 3, END, 4], {"subsample": 0.0, "epochs": 2}, "4 pairs in"),
        ([0, 1, END, 2, END, 3, END, 4], {"subsample": 0.0, "epochs": 3}, None),
    ],
)
def test_a_text_of_fewer_pairs_than_words_is_refused(tokens, settings, says):
    corpus, config = corpus_of(tokens), Config(**settings)
    arguments = config, corpus.tokens, corpus.vocabulary.counts
    if says is None:
        learning.refuse_too_few_pairs(*arguments)
        return
    with pytest.raises(InputError, match=says) as error:
        learning.refuse_too_few_pairs(*arguments)
    assert ("subsample = 0 or above" in str(error.value)) == ("1 pairs" in says)


def test_the_mean_cosine_is_that_of_all_pairs():
    matrix = np.random.default_rng(0).normal(0.5, 1, (7, 3)).astype(np.float32)
    words = tuple("abcdefg")
    vectors = WordVectors(words, matrix)
    pairs = [vectors.similarity(a, b) for a, b in itertools.combinations(words, 2)]
    np.testing.assert_allclose(report.mean_cosine(vectors), np.mean(pairs), atol=1e-6)
    one_way = WordVectors(("a", "b"), np.array([[1, 2], [2, 4]], np.float32))
    np.testing.assert_allclose(report.mean_cosine(one_way), 1, atol=1e-6)


def ended(K, loss, cosine, subsample=1e-4):
    return {
        "configuration": {"negatives": K, "subsample": subsample},
        "final_loss": loss,
        "mean_cosine": cosine,
    }


def test_vectors_that_learnt_nothing_are_warned_of():
    """What frequencies alone give, log(1 + K) + K·log(1 + 1/K), has left the start."""
    assert report.warnings(ended(5, 6 * math.log(2), 0.2))[0].startswith(
        "the loss, 4.159 a pair, has not left (K + 1) ln 2 = 4.159"
    )
    for K in (2, 5, 20):
        frequencies = math.log(1 + K) + K * math.log(1 + 1 / K)
        assert report.warnings(ended(K, frequencies, 0.2)) == []
    assert len(report.warnings(ended(5, 9.0, 0.2))) == 1  # above where it began
    assert report.warnings(ended(5, None, 0.5)) == []  # metrics.jsonl was damaged
    (line,) = report.warnings(ended(5, 2.0, 0.999))
    assert line.startswith("the vectors hold one direction, the mean cosine of two is")
    assert "give --subsample=0 or above 0.0001, more --epochs" in line
    (line,) = report.warnings(ended(5, 2.0, 0.999, subsample=0.0))
    assert "give more --epochs" in line
    assert len(report.warnings(ended(1, 2 * math.log(2), 0.999))) == 2
