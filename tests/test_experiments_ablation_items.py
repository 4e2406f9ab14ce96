"""Guessing the next item: ranks against plain loops, what is held out and what not."""

import numpy as np
import pytest

from experiments.ablating import items
from sgns_jax.types import SENTENCE_END, InputError, Params

V = 40


@pytest.fixture
def stream():
    """Sessions of two to six items, some of which end in a repetition."""
    rng = np.random.default_rng(0)
    sessions = [
        (rng.zipf(1.3, length) % V).tolist() for length in rng.integers(2, 7, 400)
    ]
    sessions[7][-1] = V - 1  # so that the vocabulary has V items
    return sessions, joined(sessions)


def joined(sessions):
    parts = [[*session, SENTENCE_END] for session in sessions]
    return np.array(sum(parts, [])[:-1], np.int32)


def split(tokens_T):
    text = " ".join(map(str, tokens_T.tolist()))
    return [[*map(int, part.split())] for part in text.split(str(SENTENCE_END))]


@pytest.mark.parametrize("number", [1, 7, 10_000])
def test_exactly_some_last_items_are_held_out(stream, number):
    sessions, tokens_T = stream
    training_T, questions = items.prepare(tokens_T, number)
    again_T, _ = items.prepare(tokens_T, number)
    np.testing.assert_array_equal(training_T, again_T)
    assert training_T.dtype == np.int32
    kept, asked = split(training_T), []
    for place, (before, after) in enumerate(zip(sessions, kept, strict=True)):
        if before != after:
            assert after == before[:-1] and len(after) >= 2
            asked.append((place, before[-2], before[-1]))
    places, previous, following = zip(*asked, strict=True)
    assert len(asked) == min(number, 400 // 10)
    assert (previous, following) == (
        tuple(questions.previous_Q.tolist()),
        tuple(questions.next_Q.tolist()),
    )
    assert all(a != b for a, b in zip(previous, following, strict=True))
    if number >= 7:  # evenly spread: each half of the text is asked as much
        assert abs(np.median(places) - 200) < 40
    flat = [item for session in kept for item in session]
    np.testing.assert_array_equal(
        questions.counts_V, [flat.count(item) for item in range(V)]
    )


@pytest.mark.parametrize(
    "sessions",
    [
        [[0, 1]] * 20,  # too short
        [[0, 1, 1]] * 20,  # repetitions
        [[0, 1, 2]] * 9,  # a tenth of them is none
    ],
)
def test_where_nothing_can_be_asked_it_says_so(sessions):
    with pytest.raises(InputError, match=f"prepare: {len(sessions)} sessions") as error:
        items.prepare(joined(sessions))
    assert "\n" not in str(error.value)


def test_bands_are_thirds_of_the_interactions():
    counts_V = np.array([1, 9, 3, 1, 5, 4, 2, 2])  # 27 in all
    band_V = items.popularity_bands(counts_V)
    # By popularity 9 | 5 4 | 3 2 2 1 1: nine interactions in each.
    assert band_V.tolist() == [2, 0, 2, 2, 1, 1, 2, 2]
    # One item makes more than two thirds: no item begins in the middle.
    assert items.popularity_bands(np.array([1, 8, 1])).tolist() == [2, 0, 2]


def measured_by_loops(questions, params):
    """All measures, one question and one item after another."""
    w_in, w_out = np.float64(params.w_in), np.float64(params.w_out)

    def cosine(i, j):
        return w_in[i] @ w_in[j] / (w_in[i] @ w_in[i] * (w_in[j] @ w_in[j])) ** 0.5

    found, everything = {}, range(len(w_in))
    for rule, score in (("cosine", cosine), ("score", lambda i, j: w_in[i] @ w_out[j])):
        ranks, seen, bands = [], set(), []
        for i, j in zip(questions.previous_Q, questions.next_Q, strict=True):
            others = {k: score(i, k) for k in everything if k != i}
            greater = sum(value > others[j] for value in others.values())
            equal = sum(value == others[j] for value in others.values()) - 1
            ranks.append(1 + greater + equal / 2)
            seen |= set(sorted(others, key=others.get)[-10:])
            bands.append(items.BANDS[questions.band_V[j]])
        for band in ("", *items.BANDS):
            chosen = [r for r, b in zip(ranks, bands, strict=True) if band in ("", b)]
            name = f"{rule}_{band}".rstrip("_")
            hits = [rank <= 10 for rank in chosen]
            found[f"hit10_{name}"] = np.mean(hits) if chosen else np.nan
            reciprocal = [1 / rank for rank in chosen]
            found[f"mrr_{name}"] = np.mean(reciprocal) if chosen else np.nan
        found[f"coverage10_{rule}"] = len(seen) / len(w_in)
    return found


@pytest.mark.parametrize("scores_at_a_time", [1, 7 * V, items._SCORES_AT_A_TIME])
def test_measures_are_those_of_plain_loops(stream, monkeypatch, scores_at_a_time):
    monkeypatch.setattr(items, "_SCORES_AT_A_TIME", scores_at_a_time)
    _, questions = items.prepare(stream[1])
    tables = np.random.default_rng(1).normal(size=(2, V, 3)).astype(np.float32)
    found = items.measure(questions, Params(*tables))
    assert found.keys() == items.MEASURES.keys()
    want = measured_by_loops(questions, Params(*tables))
    for name, value in found.items():
        np.testing.assert_allclose(value, want[name], err_msg=name)


def test_equal_scores_share_their_ranks(stream):
    _, questions = items.prepare(stream[1])
    rng = np.random.default_rng(2)
    # Scaled axes: cosines are 0 and ±1 and scores whole numbers, without rounding.
    axes = np.eye(4, dtype=np.float32)[rng.integers(0, 4, V)]
    w_in = axes * rng.choice([-2, 1, 4], (V, 1)).astype(np.float32)
    params = Params(w_in, rng.integers(-1, 2, (V, 4)).astype(np.float32))
    found, want = items.measure(questions, params), measured_by_loops(questions, params)
    for name in items.MEASURES.keys() - {"coverage10_cosine", "coverage10_score"}:
        np.testing.assert_allclose(found[name], want[name], err_msg=name)

    # Vectors that know nothing: of 39 other items the answer is the twentieth.
    found = items.measure(questions, Params(*np.zeros((2, V, 4), np.float32)))
    for rule in items.RULES:
        assert found[f"hit10_{rule}"] == 0
        np.testing.assert_allclose(found[f"mrr_{rule}"], 1 / 20)


def test_a_band_without_questions_is_nan(stream):
    _, questions = items.prepare(stream[1])
    in_tail = questions.band_V[questions.next_Q] == 2
    questions = questions._replace(
        previous_Q=questions.previous_Q[~in_tail], next_Q=questions.next_Q[~in_tail]
    )
    found = items.measure(questions, Params(*np.eye(V)[[range(V)] * 2]))
    nan = {name for name, value in found.items() if np.isnan(value)}
    assert nan == {name for name in items.MEASURES if name.endswith("_tail")}


@pytest.mark.parametrize("table", [0, 1])
def test_vectors_that_are_not_finite_are_refused(stream, table):
    _, questions = items.prepare(stream[1])
    tables = np.ones((2, V, 3))
    tables[table, 5, 1] = np.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        items.measure(questions, Params(*tables))
