"""Full-batch training against Levy & Goldberg's theory, and what its command says."""

import json
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from experiments import factorization, factorization_plots
from experiments import factorization_training as training
from sgns_jax.config import Config
from sgns_jax.types import SENTENCE_END, Params
from tests import oracle

#: By falling count, then by letters, as the vocabulary orders them.
WORDS = ["cat", "apple", "dog", "run", "banana"]
SENTENCES = [[0, 1, 3], [1, 0, 2, 0], [4, 2, 0, 1], [3, 0, 1], [2, 4, 3, 2]]
COUNTS_V = np.array([5, 4, 4, 3, 2])
SMALL = ["--corpus=text.txt", "--window=1", "--workdir=w", "--iterations=200"]
GRID = ["--noise_exponents=0,0.75,1", "--negatives=1,5"]


@pytest.fixture
def run(capsys, monkeypatch, tmp_path, unoptimized):
    """Runs the command in this process: (exit status, standard output, error)."""
    monkeypatch.chdir(tmp_path)
    lines = [" ".join(WORDS[i] for i in sentence) for sentence in SENTENCES]
    (tmp_path / "text.txt").write_text("\n".join(lines))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["factorization", *arguments])
        with pytest.raises(SystemExit) as stop:
            factorization.SCRIPT.run(factorization.main)
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


def result():
    with open("w/factorization.json") as file:
        return json.load(file)


def pairs(window=1):
    """All (centre, context) words of the sentences, one by one."""
    words = [word for sentence in SENTENCES for word in sentence]
    places = oracle.positives(SENTENCES, [window] * len(words))
    return [(words[i], words[j]) for i, j in places]


def n_VV(window=1):
    n = np.zeros((5, 5))
    for pair in pairs(window):
        n[pair] += 1
    return n


def cell_loss(s, w, c, rule, K, P):
    """All terms of the loss with the score of (w, c), pair after pair."""
    loss = 0.0
    for center, context in pairs():
        if center == w and context == c:
            loss += oracle.softplus(-s)
        if center == w and not (rule == "skip" and context == c):
            loss += K * P[c] * oracle.softplus(s)
    return loss


def optimum(rule, alpha, K):
    """s* as the paper and its smoothed and skipping forms have it."""
    P = oracle.noise_distribution(COUNTS_V, alpha)
    p = n_VV() / n_VV().sum(1, keepdims=True)
    with np.errstate(divide="ignore"):
        return np.log(p / (K * P * ((1 - p) if rule == "skip" else 1)))


def test_every_training_reaches_its_optimum(run, monkeypatch):
    runs, picture = [], factorization_plots.picture

    def keeping(trained, *rest):
        runs.extend(trained)
        picture(trained, *rest)

    monkeypatch.setattr(factorization_plots, "picture", keeping)
    status, out, _ = run(*SMALL, *GRID)
    assert status == 0 and "FAIL" not in out
    assert max(map(len, out.splitlines())) <= 80
    found = result()
    assert found["words"] == 5 and found["pairs"] == len(pairs())
    assert found["distinct_pairs"] == len(set(pairs())) < 25
    rows = found["rows"]
    assert [(r["collisions"], r["noise_exponent"], r["negatives"]) for r in rows] == [
        (rule, alpha, K)
        for rule in ("keep", "skip")
        for alpha in (0, 0.75, 1)
        for K in (1, 5)
    ]
    assert all(row["passed"] for row in rows)
    assert all(1 < row["iterations_to_bound"] <= 200 for row in rows)
    with open("w/factorization.png", "rb") as file:
        assert file.read(4) == b"\x89PNG"

    seen = n_VV() > 0
    for one in runs:
        want = optimum(
            one.config.collisions, one.config.noise_exponent, one.config.negatives
        )
        np.testing.assert_allclose(one.s_VV[seen], want[seen], rtol=0, atol=1e-4)
        assert np.max(one.s_VV[~seen]) < -8


def test_pairs_are_counted_by_the_definition():
    stream = np.concatenate([[*s, SENTENCE_END] for s in SENTENCES])[:-1]
    got = factorization.pair_counts(stream.astype(np.int32), 5, window=2)
    np.testing.assert_array_equal(got, n_VV(window=2))


@pytest.mark.parametrize("rule", ["keep", "skip"])
def test_optimum_is_where_a_cells_loss_is_least(rule):
    K, P = 3, oracle.noise_distribution(COUNTS_V, 0.75)
    got = training.log_ratio(n_VV(), training.noise_terms(n_VV(), P, K, rule))
    # Quotients of a few roundings each, under a logarithm of size about 1.
    np.testing.assert_allclose(got, optimum(rule, 0.75, K), rtol=1e-14, atol=1e-14)
    for w, c in set(pairs()):
        least = minimize_scalar(
            cell_loss, (-3, 3), args=(w, c, rule, K, P), tol=1e-12
        )  # fmt: skip
        # Near its minimum a function of size 10 is flat to 1e-7 in float64.
        np.testing.assert_allclose(got[w, c], least.x, atol=1e-6)


@pytest.mark.parametrize("rule", ["keep", "skip"])
def test_loss_of_the_text_and_its_gradient(rule, x64, monkeypatch):
    rng = np.random.default_rng(0)
    params = Params(*(jnp.asarray(rng.normal(size=(5, 6))) for _ in range(2)))
    n, K, P = n_VV(), 2.5, oracle.noise_distribution(COUNTS_V, 0.75)
    at = np.nonzero(n)
    arguments = training.Pairs(*at, n[at] / n.sum()), P, K

    def loss(params):
        return training.mean_loss(rule, params, *arguments)

    s = np.asarray(params.w_in @ params.w_out.T)
    cells = [cell_loss(s[w, c], w, c, rule, K, P) for w in range(5) for c in range(5)]
    # Both are sums of a few hundred positive terms of size 1: 1e-14 of roundings.
    np.testing.assert_allclose(loss(params), sum(cells) / n.sum(), rtol=1e-13)

    want = np.zeros((2, 5, 6))
    for center, context in pairs():
        weights = [K * P[c] * (rule == "keep" or c != context) for c in range(5)]
        want += oracle.pair_gradient(*params, center, context, range(5), weights)
    # Sums of as many terms, of either sign.
    got = jax.jit(jax.grad(loss))(params)
    np.testing.assert_allclose(got, want / n.sum(), rtol=1e-12, atol=1e-14)

    def nothing(params, *_):
        return jax.tree.map(jnp.zeros_like, params)

    monkeypatch.setattr(training, "expected_gradient", nothing)
    assert not np.any(jax.jit(jax.grad(lambda params: loss(params)))(params))


def test_too_few_iterations_fail(run):
    status, out, _ = run(*SMALL, *GRID, "--iterations=20")
    assert status == 1
    assert re.search(r"keep +0 +1 +never ", out) and "FAILED. observed:" in out
    assert max(map(len, out.splitlines())) <= 80
    assert not result()["rows"][0]["passed"]


def with_the_other_rule(n_VV, noise_V, K, rule):
    return NOISE_TERMS(n_VV, noise_V, K, "skip" if rule == "keep" else "keep")


def without_K(n_VV, noise_V, K, rule):
    return NOISE_TERMS(n_VV, noise_V, 1, rule)


NOISE_TERMS = training.noise_terms


@pytest.mark.parametrize("wrong", [with_the_other_rule, without_K])
def test_a_wrong_optimum_is_noticed(run, monkeypatch, wrong):
    monkeypatch.setattr(training, "noise_terms", wrong)
    monkeypatch.setattr(factorization_plots, "picture", lambda *_: None)  # to save time
    status, _, _ = run(*SMALL, *GRID)
    assert status == 1
    rows = result()["rows"]
    noticed = [row for row in rows if row["failed"] == ["observed"]]
    if wrong is without_K:  # where K = 1 there is nothing to notice
        assert noticed == [row for row in rows if row["negatives"] > 1]
        assert not result()["pmi"]["passed"]
    else:
        assert noticed == rows


def a_run(error=1e-5, unseen=(-9.0, -10.0), s=-20.0):
    """One observed pair, (0, 0), and three never seen."""
    optimum_VV = np.array([[0.5, -np.inf], [-np.inf, -np.inf]])
    s_VV = np.array([[0.5 + error, s], [s, s]])
    errors, unseen = np.array([1.01e-4, error]), np.array(unseen)
    return training.Run(
        Config(), np.full((2, 2), 3.0), optimum_VV, s_VV, errors, unseen
    )


@pytest.mark.parametrize(
    ("changed", "failed"),
    [
        ({}, []),
        ({"error": 1.01e-4}, ["observed"]),
        ({"error": np.nan}, ["observed"]),
        ({"s": np.log(1.01e-4 / 3)}, ["unseen"]),
        ({"s": np.nan}, ["unseen"]),
        ({"unseen": (-10.0, -10.0)}, ["falls"]),
    ],
)
def test_every_promise_can_be_broken(changed, failed):
    row = factorization.row(a_run(**changed))
    assert row["failed"] == failed and row["passed"] == (not failed)
    assert row["iterations_to_bound"] == (None if failed == ["observed"] else 2)


@pytest.mark.parametrize("broken", ["nothing", "a row", "PMI"])
def test_status_is_0_only_if_every_check_holds(run, monkeypatch, broken):
    def train(configs, *_):
        late = broken == "a row" and configs[0].collisions == "skip"
        return [a_run(error=1.0 if late else 0.0)]

    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(factorization_plots, "picture", lambda *_: None)
    if broken == "PMI":
        monkeypatch.setattr(training, "noise_terms", without_K)
    status, out, _ = run(*SMALL)
    assert status == (broken != "nothing")
    assert ("FAILED" in out) == (broken != "nothing")


def test_pairs_without_a_finite_optimum_are_set_apart():
    # 0 has the context 1 alone, 2 has none, 1 has all.
    n = np.array([[0, 3, 0], [1, 2, 1], [0, 0, 0]])
    for rule, sure in (("keep", np.log(3 / 2)), ("skip", np.inf)):
        m = training.noise_terms(n, np.array([0.25, 0.5, 0.25]), 4 / 3, rule)
        s = training.log_ratio(n, m)
        np.testing.assert_allclose(s[0], [-np.inf, sure, -np.inf])
        assert np.all(np.isfinite(s[1])) and np.all(np.isnan(s[2]))
        scores = np.array([[-5.0, 1, -6], [0, 0, 0], [9, 9, 9]])
        error, unseen = training.distances(scores, s)
        finite = np.isfinite(s)
        np.testing.assert_allclose(error, np.max(np.abs(scores - s)[finite]), rtol=1e-6)
        assert unseen == -5
        run = training.Run(Config(), m, s, scores, *np.ones((2, 2)))
        infinite = factorization.row(run)["pairs_with_infinite_optimum"]
        assert infinite == (rule == "skip")


def test_shifted_pmi_to_rounding(x64, monkeypatch):
    n = n_VV()
    found = training.pmi_check(COUNTS_V, n)
    assert found["passed"] and found["difference"] <= found["bound"] < 1e-14
    assert found["difference_by_word_counts"] > 0.1  # counts at the lines' ends differ

    def off_by_two_bounds(n, noise, K, rule):
        return NOISE_TERMS(n, noise, K * (1 + 2 * found["bound"]), rule)

    monkeypatch.setattr(training, "noise_terms", off_by_two_bounds)
    assert not training.pmi_check(COUNTS_V, n)["passed"]


def test_built_in_text_suits_the_question(tmp_path):
    class Flags:
        corpus, window = "", 2

    counts, n = factorization.read(Flags, factorization.Workdir(str(tmp_path)))
    assert 12 <= len(counts) <= 25
    assert counts.sum() == len(factorization.TEXT.split())
    assert np.any(n == 0)  # pairs never seen
    assert np.max(n / n.sum(1, keepdims=True)) < 1  # skip has a finite optimum


def test_help_is_a_page(run):
    status, out, err = run("--help")
    assert status == 0 and not err
    assert max(map(len, out.splitlines())) <= 80
    for name in "corpus window noise_exponents negatives dim iterations seed".split():
        assert f"--{name}=" in out


BAD_FLAGS = {
    "--dim=4": "dim must be at least the vocabulary size 5, got 4",
    "--dim=-1": "dim must be at least the vocabulary size 5, got -1",
    "--window=0": "window must be a whole number from 1 to 1073741824, got 0",
    "--seed=-1": "seed must be a whole number from 0 to 2147483647, got -1",
    "--iterations=1": "iterations must be >= 2, got 1",
    "--negatives=1,0": "negatives must be a whole number from 1 to 2147483647, got 0",
    "--negatives=1;5": "noise_exponents and negatives must be numbers, commas between",
    "--noise_exponents=1,x": "could not convert string to float: 'x'",
    "--noise_exponents=nan": "must be a number from -1e+300 to 1e+300, got nan",
    "--corpus=missing.txt": "corpus 'missing.txt' names no file",
    "--corpus=lines.txt": "lines.txt has no line of two words",
    "--workdir=text.txt": "cannot write to the work folder text.txt",
}


@pytest.mark.parametrize("bad", BAD_FLAGS)
def test_bad_input_is_one_line_and_status_2(run, tmp_path, bad):
    (tmp_path / "lines.txt").write_text("one\ntwo\none\ntwo")
    status, _, err = run(*SMALL, bad)
    assert status == 2
    assert err.count("\n") == 1 and "Traceback" not in err
    assert err.startswith("error: ") and BAD_FLAGS[bad] in err
