"""Measures of word models against plain loops and models that are known to be right."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.ablating import geometry, theory, words
from experiments.ablating.held_out import ranks, split
from sgns_jax.config import Config
from sgns_jax.types import SENTENCE_END, InputError, Params
from sgns_jax.vocabulary import Vocabulary
from tests import oracle

# What is held out


def neighbours(tokens_T):
    """Pairs of words that stand side by side in a sentence, of a valid stream."""
    is_end_T = np.concatenate([[True], tokens_T == SENTENCE_END, [True]])
    assert not np.any(is_end_T[1:] & is_end_T[:-1])
    return {pair for pair in pairwise(tokens_T.tolist()) if min(pair) >= 0}


@given(
    st.lists(st.integers(1, 9), min_size=20, max_size=60),
    st.sampled_from([0.1, 0.3]),
    st.integers(3, 12),
)
def test_no_word_and_no_pair_is_both_held_out_and_trained_on(lengths, share, piece):
    """Every word is another, so that what is where can be told."""
    text_T = np.arange(sum(lengths), dtype=np.int32)
    text_T = np.insert(text_T, np.cumsum(lengths)[:-1], SENTENCE_END)
    train_T, held_T = split(text_T, share, piece)
    assert train_T.dtype == held_T.dtype == np.int32
    train, held = ({*part_T.tolist()} - {SENTENCE_END} for part_T in (train_T, held_T))
    assert not train & held and train | held == {*range(sum(lengths))}
    assert neighbours(train_T) | neighbours(held_T) <= neighbours(text_T)


@pytest.mark.parametrize("T, pieces", [(250_000, 3), (200_000, 2), (5_000, 1)])
def test_pieces_of_one_sentence_are_even_and_make_up_the_share(T, pieces):
    train_T, held_T = split(np.arange(T, dtype=np.int32))
    (ends,) = np.nonzero(held_T == SENTENCE_END)
    assert len(ends) == pieces - 1 and np.sum(train_T == SENTENCE_END) == pieces
    # Each has as many whole words, and lies in the middle of its part to one word.
    assert 0 <= 0.01 * T - (len(held_T) - len(ends)) < pieces
    middles = held_T[[0, *(ends + 1)]] + T / 200 / pieces
    assert np.all(np.abs(middles - (np.arange(pieces) + 0.5) / pieces * T) <= 2)


def test_a_text_too_short_to_hold_out_a_pair_is_refused():
    with pytest.raises(InputError, match="199 words is too short.*at least 200 words"):
        split(np.arange(199, dtype=np.int32))
    assert len(split(np.arange(200, dtype=np.int32))[1]) == 2


def test_ranks_are_counted_one_by_one():
    rng = np.random.default_rng(0)
    true_P, others_PC = rng.integers(0, 4, 30), rng.integers(0, 4, (30, 9))
    skip_PC = rng.random((30, 9)) < 0.3
    for p, got in enumerate(ranks(true_P, others_PC, skip_PC)):
        others = others_PC[p][~skip_PC[p]].tolist()
        above, equal = (sum(x > true_P[p] for x in others), others.count(true_P[p]))
        assert got == 1 + above + equal / 2


# Models that are the optimum of a small text

V, K = 12, 3
EXACT = {"subsample": 0.0, "dynamic_window": False, "negatives": K}


@pytest.fixture(scope="module")
def asked():
    """A text of 12 words, half of which repeat the word before, and its questions."""
    rng = np.random.default_rng(0)
    text_T = np.minimum(rng.geometric(0.35, 10_000), V).astype(np.int32) - 1
    text_T = np.where(rng.random(10_000) < 0.5, np.roll(text_T, 1), text_T)
    vocabulary = Vocabulary(tuple("abcdefghijkl"), np.bincount(text_T, minlength=V))
    return words.prepare(text_T, vocabulary)


@pytest.fixture(scope="module")
def counted_VV(asked):
    """n(w,c) of the training text, five words to either side, from the definition."""
    parts = np.split(asked[0], np.flatnonzero(asked[0] == SENTENCE_END))
    sentences = [part[part >= 0].tolist() for part in parts]
    flat, n_VV = sum(sentences, []), np.zeros((V, V))
    for i, j in oracle.positives(sentences, [5] * len(flat)):
        n_VV[flat[i], flat[j]] += 1
    return n_VV


def with_scores(s_VV):
    """A model whose u_c·v_w are these, (w, c)."""
    turn_VV = np.linalg.qr(np.random.default_rng(3).normal(size=s_VV.shape))[0]
    return Params(*(x.astype(np.float32) for x in (turn_VV, s_VV.T @ turn_VV)))


def test_the_optimum_agrees_with_theory_and_with_no_other(asked, counted_VV):
    questions, alpha, n_VV = asked[1], -0.5, counted_VV
    seen_VV = n_VV >= 20
    assert 0.3 < seen_VV.mean() < 0.9
    noise_V = oracle.noise_distribution(questions.counts_V, alpha)
    ratio_VV = n_VV / n_VV.sum(1, keepdims=True) / (K * noise_V)
    model = with_scores(np.log(np.where(seen_VV, ratio_VV, 0.05)))
    before = questions.seen_pairs.cache_info().misses

    def measured(**settings):
        config = Config(**EXACT | {"noise_exponent": alpha} | settings)
        return words.measure(questions, config, model)

    own, fewer = measured(), measured(negatives=1)
    assert own.keys() == words.MEASURES.keys()
    # Scores of size 10 at most are sums of 12 products in float32: 1e-5.
    assert own["pmi_alpha_correlation"] == pytest.approx(1, abs=1e-5)
    assert own["pmi_alpha_offset"] == pytest.approx(0, abs=1e-5)
    assert measured(noise_exponent=0.75)["pmi_alpha_correlation"] < 0.99
    assert fewer["pmi_alpha_correlation"] == pytest.approx(1, abs=1e-5)
    assert fewer["pmi_alpha_offset"] == pytest.approx(-np.log(K), abs=1e-5)
    # Pairs are counted once for all K and α, and anew for what makes other pairs.
    assert questions.seen_pairs.cache_info().misses == before + 1
    assert measured(subsample=0.1)["pmi_alpha_correlation"] < 1 - 1e-4


def test_pmi_is_of_frequent_words_among_all_contexts(asked, counted_VV, monkeypatch):
    """Pairs are those of 6 words; p(c|w) and p(c) know of the other 6.

    Sentences of the one word "l" add to its count and to no pair.
    """
    monkeypatch.setattr(theory, "WORDS", V // 2)
    text_T = np.append(asked[0], np.tile([SENTENCE_END, V - 1], 9_000))
    counts_V, config = np.bincount(text_T[text_T >= 0]), Config(**EXACT)
    pairs = theory.count_pairs(text_T, counts_V, theory.pair_rule(config))
    frequent = np.argsort(counts_V)[V // 2 :]
    wanted = np.argwhere(counted_VV[np.ix_(frequent, frequent)] >= 20)
    assert len(pairs.centers_P) == len(wanted) > 12
    n_VV = np.maximum(counted_VV, 1e-9)
    pmi_VV = np.log(n_VV * n_VV.sum() / np.outer(n_VV.sum(1), n_VV.sum(0)))
    got = theory.measure(pairs, counts_V, config, with_scores(pmi_VV))
    assert got["pmi_correlation"] == pytest.approx(1, abs=1e-5)


def test_calibrated_ranks_do_not_depend_on_alpha_and_raw_ones_do(asked):
    """Models that know the same, each with the noise of its own α in its scores."""
    drawn = {kind: drawn_C[:10] for kind, drawn_C in asked[1].candidates.items()}
    questions = asked[1]._replace(candidates=drawn)
    pairs = [*zip(questions.centers_P, questions.contexts_P, strict=True)]
    log_p_VV, found = np.random.default_rng(1).normal(size=(V, V)), {}
    for alpha in (0, 0.75, 1):
        noise_V = oracle.noise_distribution(questions.counts_V, alpha)
        s_VV = log_p_VV - np.log(noise_V)
        found[alpha] = words._ranking(questions, alpha, with_scores(s_VV))
        for kind, drawn_C in drawn.items():
            rank = [1 + np.sum(s_VV[w, drawn_C] > s_VV[w, c]) for w, c in pairs]
            mrr = np.mean(1 / np.array(rank))
            assert found[alpha][f"mrr_{kind}"] == pytest.approx(mrr)
            assert found[alpha][f"recall10_{kind}"] == np.mean(np.array(rank) <= 10)
    for kind, beta in words.CANDIDATES.items():
        raw, fair = f"mrr_{kind}", f"mrr_{kind}_calibrated"
        assert found[0][fair] == found[0.75][fair] == found[1][fair]
        assert len({found[alpha][raw] for alpha in found}) == 3
        assert found[beta][raw] == found[beta][fair]  # P_n is q


def test_what_no_model_can_know_is_not_asked(asked):
    """Half of the words stand in the held-out piece alone."""
    text_T = np.resize(np.arange(V // 2), 5_000).astype(np.int32)
    text_T[2_480:2_520:2] += V // 2
    vocabulary = Vocabulary(asked[1].words, np.bincount(text_T, minlength=V))
    _, questions = words.prepare(text_T, vocabulary)
    assert np.all(questions.counts_V[V // 2 :] == 0)
    pairs = np.stack([questions.centers_P, questions.contexts_P])
    assert pairs.shape[1] > 100 and len(np.unique(pairs, axis=1)[0]) > 5
    assert max(map(np.max, [pairs, *questions.candidates.values()])) < V // 2


def test_files_that_the_vocabulary_covers_are_measured(asked, tmp_path):
    (tmp_path / "alike.tsv").write_text("a\tb\t3\na\tc\t2\na\td\t1\nx\ty\t0\n")
    (tmp_path / "unknown.tsv").write_text("x\ty\t3\n")
    (tmp_path / "solved.txt").write_text(": letters\na b c d\ne f g h\nx y z a\n")
    names = words._evaluations(asked[1].words, str(tmp_path), V)
    assert "3 of 4 covered" in names["alike"].meaning
    assert "2 of 3 covered" in names["solved"].meaning
    questions = asked[1]._replace(eval_dir=str(tmp_path), evaluations=names)
    v_VD = np.eye(V, dtype=np.float32)
    v_VD[:4, :2] = [1, 0], [1, 0.1], [1, 0.2], [1, 0.3]  # d = c + b - a, nearly
    got = words.measure(questions, Config(**EXACT), Params(v_VD, v_VD))
    assert got.keys() == words.measures(questions).keys()
    assert got.keys() - words.MEASURES.keys() == {"alike", "solved"}
    assert (got["alike"], got["solved"]) == (1, 0.5)


# Geometry


def test_vectors_all_one_way_and_vectors_at_right_angles():
    D, counts = 16, np.arange(16) + 1
    same = geometry.measure(np.ones((D, 4), np.float32), counts)
    apart = geometry.measure(3 * np.eye(D, dtype=np.float32), counts)
    assert (same["mean_norm"], apart["mean_norm"]) == pytest.approx((2, 3))
    assert same["common_direction"] == pytest.approx(1)
    assert apart["common_direction"] == pytest.approx(1 / np.sqrt(D))
    # Singular values of rounding, 1e-7 of the first at most, add p·log p each.
    assert same["effective_rank"] == pytest.approx(1, abs=1e-4)
    assert apart["effective_rank"] == pytest.approx(D, rel=1e-4)
    assert geometry.effective_rank(np.diag([3, 1])) == pytest.approx(4 / 27**0.25)


def test_a_ring_has_no_hub_and_frequent_words_in_the_midst_of_rare_ones_are_hubs():
    angle_M = 2 * np.pi * np.arange(100) / 100
    ring_MD = np.stack([np.cos(angle_M), np.sin(angle_M)], axis=1).astype(np.float32)
    ring = geometry.measure(ring_MD, np.arange(101, 1, -1))
    assert ring["hubness"] == 0
    assert ring["neighbour_frequency"] == pytest.approx(0, abs=1e-12)
    # As frequent as the word itself, but for the 10 words where the ring closes.
    assert ring["frequency_correlation"] > 0.8
    # 11 words near one axis; 20 at 45 degrees to it, at 60 degrees to each other.
    v_MD = np.concatenate([np.ones((31, 1)), np.eye(31)], axis=1).astype(np.float32)
    v_MD[:11, 1:] *= 0.1
    star = geometry.measure(v_MD, np.repeat([1000, 10], [11, 20]))
    assert star["neighbour_frequency"] == pytest.approx(3 - (11 * 3 + 20 * 1) / 31)
    assert star["hubness"] > 0.5
    # A share p has 1, the rest 0: (1 - 2p) / √(p·(1 - p)).
    assert geometry.skewness(np.eye(10)[0]) == pytest.approx(8 / 3)
