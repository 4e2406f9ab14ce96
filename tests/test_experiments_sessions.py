"""Made-up sessions: the law against plain loops, the draws against the law, files."""

import itertools
import json
import sys
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from experiments import session_law, sessions

#: What is drawn by its law has a smaller p-value with probability 1e-6.
P_BOUND = 1e-6
#: float64 sums of at most 100 positive terms: 100 roundings of 1.1e-16.
EXACT = {"rtol": 1e-13, "atol": 1e-16}


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Runs the command in this process: (exit status, standard output, error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["sessions", *arguments])
        with pytest.raises(SystemExit) as stop:
            sessions.SCRIPT.run(sessions.main)
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


def make_law(groups, size, mixing=0.3, popularity=1.0, reach=1.5):
    rng = np.random.default_rng(0)
    return session_law.make_law(groups, size, popularity, reach, mixing, rng)


def test_steps_go_by_attraction_and_distance():
    law = make_law(3, 6, popularity=1.5, reach=2.0)
    np.testing.assert_allclose(law.group_G[0] / law.group_G, [1, 2**1.5, 3**1.5])
    for place_J, step_JJ in zip(law.place_GJ, law.step_GJJ, strict=True):
        joint = place_J[:, None] * step_JJ
        np.testing.assert_allclose(joint, joint.T, **EXACT)  # so π is stationary
        np.testing.assert_allclose([place_J.sum(), *step_JJ.sum(1)], 1)
        assert not step_JJ.diagonal().any()
        places = itertools.permutations(range(6), 2)
        product = {  # of two attractions, all but a common factor
            (i, j): joint[i, j] * np.exp(min(abs(i - j), 6 - abs(i - j)) / 2.0)
            for i, j in places
        }
        third = {i: ((i + 1) % 6, (i + 2) % 6) for i in range(6)}
        weights = [
            (product[i, j] * product[i, k] / product[j, k]) ** 0.5
            for i, (j, k) in third.items()
        ]
        for (i, j), value in product.items():
            np.testing.assert_allclose(value, weights[i] * weights[j])
        ranked = np.sort(weights)[::-1]
        np.testing.assert_allclose(ranked / ranked[0], np.arange(1, 7) ** -1.5)


def joint_of_neighbours(law):
    """P(item, next) by adding up all that can happen to a walk and two items."""
    G, J = law.place_GJ.shape
    m, p_V = law.mixing, law.item_V
    joint = np.zeros((G * J, G * J))
    for g, place, step in itertools.product(range(G), range(J), range(J)):
        # The walk's place when the items come, and the one it goes to next.
        begin = law.group_G[g] * law.place_GJ[g, place]
        move = begin * law.step_GJJ[g, place, step]
        here, there = g * J + place, g * J + step
        joint[here, there] += move * (1 - m) ** 2
        joint[:, there] += p_V * move * m * (1 - m)  # noise, then the walk's
        joint[here] += move * (1 - m) * m * p_V  # the walk's, then noise
        joint += move * m * m * np.outer(p_V, p_V)
    return joint


@pytest.mark.parametrize("mixing", [0.0, 0.3, 1.0])
def test_what_follows_an_item_is_as_stated(mixing):
    law = make_law(2, 3, mixing)
    joint = joint_of_neighbours(law)
    stated = np.concatenate([law.next_JV(0), law.next_JV(1)])
    np.testing.assert_allclose(law.item_V[:, None] * stated, joint, **EXACT)
    np.testing.assert_allclose(joint.sum(0), law.item_V, **EXACT)


def test_draws_follow_the_law():
    law = make_law(2, 4, mixing=0.3)
    length, S = 5, 40_000
    tokens_T, ends_S = session_law.draw(law, S, length, np.random.default_rng(1))
    length_S = np.diff(ends_S, prepend=0)
    assert length_S.min() == 3 and ends_S[-1] == len(tokens_T)
    want = stats.geom(1 / (length - 2), loc=2)
    assert abs(length_S.mean() - want.mean()) < 5 * want.std() / S**0.5
    joint = joint_of_neighbours(law)
    for first in (ends_S - length_S, ends_S - 2):  # one pair a session: independent
        drawn = np.zeros_like(joint)
        np.add.at(drawn, (tokens_T[first], tokens_T[first + 1]), 1)
        assert stats.chisquare(drawn.ravel(), S * joint.ravel()).pvalue > P_BOUND
    item_P, next_P = session_law.pairs(tokens_T, ends_S)
    assert len(item_P) == len(tokens_T) - S
    bounds = [0, *ends_S[:3]]
    by_hand = [
        pair
        for start, end in itertools.pairwise(bounds)
        for pair in itertools.pairwise(tokens_T[start:end])
    ]
    assert list(zip(item_P, next_P, strict=True))[: len(by_hand)] == by_hand


def test_a_session_keeps_to_its_group():
    law = make_law(4, 5, mixing=0.0)
    tokens_T, ends_S = session_law.draw(law, 500, 8, np.random.default_rng(0))
    parts = np.split(tokens_T // 5, ends_S[:-1])
    assert all(len(set(part.tolist())) == 1 for part in parts)
    first = [part[0] for part in parts]
    drawn = np.bincount(first, minlength=4)
    assert stats.chisquare(drawn, 500 * law.group_G).pvalue > P_BOUND


def test_ceilings_are_those_of_a_plain_loop():
    law = make_law(3, 5, mixing=0.3)
    joint, V = joint_of_neighbours(law), 15
    popular = sorted(range(V), key=lambda item: -law.item_V[item])
    want, asked = Counter(), 0.0
    for item in range(V):
        best = sorted(range(V), key=lambda other: -joint[item, other])
        for name, order in (("best", best), ("most_popular", popular)):
            guesses = [other for other in order if other != item]
            for rank, guess in enumerate(guesses, 1):
                want[name, "hit10"] += joint[item, guess] * (rank <= 10)
                want[name, "mrr"] += joint[item, guess] / rank
        asked += joint[item].sum() - joint[item, item]
    for name, found in session_law.ceilings(law).items():
        for measure, value in found.items():
            np.testing.assert_allclose(value, want[name, measure] / asked)


SMALL = ["--items=30", "--groups=5", "--sessions=400"]


def test_the_files_agree_with_each_other(run, tmp_path):
    status, out, err = run(*SMALL, "--workdir=w")
    assert status == 0 and not err
    shown = [*out.splitlines(), *sessions.SCRIPT.help_page().splitlines()]
    assert max(map(len, shown)) <= 80
    assert (tmp_path / "w" / "sessions.png").stat().st_size > 0
    result = json.loads((tmp_path / "w" / "sessions.json").read_text())
    assert result["settings"]["items"] == 30 and result["settings"]["mixing"] == 0.2
    lines = (tmp_path / "w" / "sessions.txt").read_text().splitlines()
    parts = [line.split() for line in lines]
    counts = Counter(item for part in parts for item in part)
    assert len(lines) == 400 and counts.total() == result["interactions"]
    assert len(counts) == result["different_items"]
    assert max(map(len, parts)) == result["longest_session"]
    shares = [n / counts.total() for _, n in counts.most_common(10)]
    np.testing.assert_allclose(result["drawn"]["top10_share"], sum(shares))

    rows = (tmp_path / "w" / "groups.tsv").read_text().splitlines()
    items, groups, popularity = zip(*(row.split("\t") for row in rows), strict=True)
    assert set(items) == {f"item{n}" for n in range(1, 31)} >= set(counts)
    assert set(Counter(groups).values()) == {6} and groups[0] == "group1"
    p = dict(zip(items, map(float, popularity), strict=True))
    # Written with six digits.
    np.testing.assert_allclose(sum(p.values()), 1, rtol=1e-5)
    assert sorted(p, key=p.get, reverse=True)[:2] == ["item1", "item2"]
    ends = [part[-1] for part in parts]  # one item a session: independent
    drawn = [ends.count(item) for item in p]
    want = 400 * np.array(list(p.values())) / sum(p.values())
    assert stats.chisquare(drawn, want).pvalue > P_BOUND
    group = dict(zip(items, groups, strict=True))
    same = [group[a] == group[b] for s in parts for a, b in itertools.pairwise(s)]
    np.testing.assert_allclose(result["drawn"]["same_group_share"], np.mean(same))


def test_the_seed_and_every_setting_matter(run, monkeypatch, tmp_path):
    monkeypatch.setattr(sessions, "picture", lambda *arguments: None)  # slow to draw

    def text(*flags):
        run(*SMALL, *flags, "--workdir=w")
        return (tmp_path / "w" / "sessions.txt").read_text()

    assert text() == text() != text("--seed=1")
    changed = ["--popularity=2", "--reach=2", "--mixing=0.5", "--length=6"]
    assert len({text(), *map(text, changed)}) == 5


BAD_FLAGS = {
    "--items=20000": "items must be 2 to 10,000, got 20000",
    "--items=31": "groups must divide items into 2 to 1000 each, got 31 items in 5",
    "--items=5": "groups must divide items into 2 to 1000 each, got 5 items in 5",
    "--items=5005": "groups must divide items into 2 to 1000 each, got 5005 items",
    "--groups=0": "groups must be 1 to 5,000, got 0",
    "--sessions=0": "sessions must be 1 to 2,000,000, got 0",
    "--length=2": "length must be 3 to 100, got 2",
    "--popularity=-1": "popularity must be 0 to 3, got -1.0",
    "--reach=0": "reach must be 0.1 to 1,000,000, got 0.0",
    "--mixing=nan": "mixing must be 0 to 1, got nan",
    "--seed=-1": "seed must be 0 to 2,147,483,647, got -1",
    "--workdir=file": "cannot write to the work folder file",
}


@pytest.mark.parametrize("bad", BAD_FLAGS)
def test_bad_input_is_one_line_and_status_2(run, tmp_path, bad):
    (tmp_path / "file").touch()
    status, out, err = run(*SMALL, "--workdir=w", bad)
    assert status == 2 and not out
    assert err.startswith("error: ") and BAD_FLAGS[bad] in err
    assert len(err.splitlines()) == 1
