"""The statistics of the estimator hold, and a wrong estimator is caught."""

import contextlib
import dataclasses
import io
import json
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import estimator
from experiments.estimation import curves, exact, gradient, pairs, sampling
from experiments.estimation.checks import Check, largest_z, table
from sgns_jax import block, noise, window
from sgns_jax.config import Config
from sgns_jax.corpus import load_corpus
from sgns_jax.types import Params
from tests import oracle

SETTINGS = {
    "min_count": 1,
    "dim": 8,
    "window": 2,
    "negatives": 2,
    "block_size": 8,
    "noise_words": 4,
    "subsample": 0.01,
}
KINDS = (("shared", "skip"), ("independent", "keep"))
CURVES = {
    "negatives": ((1, 2, 4), "independent", 1),
    "noise_exponent": ((0.0, 0.75), "shared", None),
    "noise_words": ((4, 8), "shared", -1),
}


pytestmark = pytest.mark.usefixtures("unoptimized")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A text of forty words of unequal frequency, twenty to a line."""
    folder = tmp_path_factory.mktemp("estimator")
    words = np.minimum(np.random.default_rng(0).zipf(1.4, (150, 20)), 40)
    (folder / "text.txt").write_text("\n".join(" ".join(map(str, w)) for w in words))
    return folder


@pytest.fixture(scope="module")
def corpus(folder):
    return load_corpus(str(folder / "text.txt"), folder / "corpus", min_count=1)


@pytest.fixture(scope="module")
def config(folder):
    return Config(corpus=str(folder / "text.txt"), **SETTINGS)


def random_vectors(config, corpus):
    shape = 2, len(corpus.vocabulary), config.dim
    return Params(*jnp.asarray(np.random.default_rng(1).normal(size=shape), np.float32))


def run(folder, *arguments, train=random_vectors):
    """The command in this process: (exit status, standard output, error).

    Few settings, and vectors that are not trained: each would be compiled for.
    """
    flags = {"corpus": folder / "text.txt", "workdir": folder / "w", **SETTINGS}
    flags |= {"draws": 200, "texts": 200}
    command = ["estimator", *(f"--{k}={v}" for k, v in flags.items()), *arguments]
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as stop,
    ):
        patch.setattr(sys, "argv", command)
        patch.setattr(curves, "CURVES", CURVES)
        patch.setattr(curves, "KINDS", KINDS)
        patch.setattr(estimator, "train", train)
        estimator.SCRIPT.run(estimator.main)
    return stop.value.code or 0, out.getvalue(), err.getvalue()


def failing(checks):
    return {check.what.split(":")[0] for check in checks if not check.holds}


@pytest.fixture
def broken(monkeypatch):
    """Puts a fault into the library and forgets what was compiled without it."""

    def put(module, name, fault):
        monkeypatch.setattr(module, name, fault)
        jax.clear_caches()

    yield put
    monkeypatch.undo()
    jax.clear_caches()


def test_all_checks_hold_and_everything_is_there(folder):
    status, out, _ = run(folder, train=estimator.train)
    assert status == 0 and "All checks hold" in out
    assert "FAILS" not in out
    lines = [line for line in out.splitlines() if not line.startswith("Picture")]
    assert max(map(len, lines)) <= 80
    assert [line[:2] for line in lines if line[1:2] == "."] == [
        "1.", "2.", "3.", "4.", "5.",
    ]  # fmt: skip
    assert (folder / "w" / "estimator.png").stat().st_size > 10_000
    result = json.loads((folder / "w" / "estimator.json").read_text())
    assert len(result["checks"]) == 6 + 4 + 8 + 8 + 5
    assert all(check["holds"] for check in result["checks"])
    assert result["configuration"]["negatives"] == 2 and result["versions"]
    shared = result["variance"]["noise_words"]
    assert [point["value"] for point in shared] == [4, 8]
    np.testing.assert_allclose(
        shared[0]["exact_variance"], 2 * shared[1]["exact_variance"]
    )
    independent = result["variance"]["negatives"][1]["exact_variance"]  # K = 2
    at_equal = shared[0]["exact_variance"] * 4 / result["equal_noise_words"]
    np.testing.assert_allclose(independent, at_equal)


def test_a_wrong_sampler_ends_with_status_1(folder, monkeypatch):
    """Tables of another exponent are seen by all that samples, and by nothing else."""
    right = noise.alias_table
    monkeypatch.setattr(noise, "alias_table", lambda f, a: right(f, a + 0.25))
    only = {"pairs": exact.CASES["pairs"]}
    monkeypatch.setattr(exact, "CASES", only)
    status, out, _ = run(folder)
    assert status == 1 and "checks fail" in out.splitlines()[-1]
    result = json.loads((folder / "w" / "estimator.json").read_text())
    failed = {c["what"].split(":")[0]: c for c in result["checks"] if not c["holds"]}
    assert {c["section"][0] for c in failed.values()} == {"2", "3", "4", "5"}
    assert {"shared, skip", "independent, keep", "shared, N 4 to 8"} <= set(failed)
    assert {f"exponent {a:g}" for a in sampling.EXPONENTS} <= set(failed)
    assert "pairs of bands of frequency (36)" in failed
    assert not [what for what in failed if "form" in what]  # those draw nothing


def test_another_rule_of_subsampling_is_caught(config, corpus, monkeypatch):
    right = window.keep_probability
    monkeypatch.setattr(
        window, "keep_probability", lambda f, t, rule: right(f, t, "paper")
    )
    counts, key = corpus.vocabulary.counts, jax.random.key(0)
    checks = pairs.check_text(config, corpus, key, 200)[0]
    checks += pairs.check_independent_words(config, counts, key, 200)
    assert len(checks) == 4 and not any(check.holds for check in checks)


def without_division(right):
    def weights(tokens_BE, mask_BCE, noise_BN, num_negatives, collisions):
        N = noise_BN.shape[1]
        return right(tokens_BE, mask_BCE, noise_BN, N * num_negatives, collisions)

    return weights


def without_mask(right):
    def weights(tokens_BE, mask_BCE, noise_BN, *rest, **named):
        masked = right(tokens_BE, mask_BCE, noise_BN, *rest, **named)
        E = mask_BCE.shape[2]
        full = right(tokens_BE, jnp.ones_like(mask_BCE), noise_BN, *rest, **named)
        weight = jnp.concatenate(
            [masked.weight_BCR[..., :E], full.weight_BCR[..., E:]], axis=2
        )
        return masked._replace(weight_BCR=weight)

    return weights


def without_sentences(right):
    def lay(kept, half_T):
        sentences_T = jnp.zeros_like(kept.sentences_T)
        return right(kept._replace(sentences_T=sentences_T), half_T)

    return lay


def counting_all(right):
    return lambda noise_ids, context, rule: right(noise_ids, context, "keep")


SHARED, ALONE = "shared noise", "independent noise"
FAULTS = {
    "K/N forgotten": (block, "shared_weights", without_division, SHARED, "keep"),
    "mask ignored": (block, "shared_weights", without_mask, SHARED, "keep"),
    "no pair, yet noise": (block, "independent_weights", without_mask, ALONE, "keep"),
    "sentence ends ignored": (window, "lay_windows", without_sentences, SHARED, "skip"),
    "skip ignored": (block, "counted", counting_all, ALONE, "skip"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_enumeration_catches(fault, broken, monkeypatch):
    module, name, wrong, case, rule = FAULTS[fault]
    monkeypatch.setattr(exact, "CASES", {case: exact.CASES[case]})
    monkeypatch.setattr(exact, "RULES", (rule,))
    broken(module, name, wrong(getattr(module, name)))
    assert failing(exact.check_gradients(0)) == {f"{case}, {rule}"}


@pytest.fixture(scope="module")
def study(config, corpus):
    config = dataclasses.replace(config, block_size=16)  # pairs that stand twice
    params = random_vectors(config, corpus)
    study = gradient.make_study(config, corpus, params)
    assert len(np.unique(study.pairs_P2, axis=0)) < len(study.pairs_P2)
    return study


def test_draws_that_repeat_have_the_right_mean_and_the_wrong_variance(study, broken):
    """Half of the noise words are copies of the others: unbiased, variance doubled."""
    right = noise.draw

    def copies(key, table, shape):
        half = right(key, table, (*shape[:-1], shape[-1] // 2))
        return jnp.concatenate([half, half], axis=-1)

    broken(noise, "draw", copies)
    point = gradient.measure(study, study.config, jax.random.key(0), 400)
    assert point.z_mean < 5 < point.z_variance
    np.testing.assert_allclose(point.variance, 2 * point.exact_variance, rtol=0.3)


@pytest.mark.parametrize("rule", ["keep", "skip"])
def test_closed_forms_equal_the_oracle_word_by_word(study, rule):
    """Moments of one draw, from the gradient with each word as the only noise."""
    V, P_V = len(study.counts), oracle.noise_distribution(study.counts, 0.75)
    tables = [np.asarray(table, np.float64) for table in study.params]
    fixed, by_pair = np.zeros((2, V, 8)), []
    for c, o in study.pairs_P2:
        positive = np.stack(oracle.pair_gradient(*tables, c, o, []))
        each = [np.stack(oracle.pair_gradient(*tables, c, o, [w])) for w in range(V)]
        f_V = np.stack(each) - positive
        if rule == "skip":
            f_V[o] = 0
        fixed += positive
        by_pair.append(f_V.reshape(V, -1))
    by_pair, block_V = np.stack(by_pair), np.sum(by_pair, axis=0)

    def variance(f_V):
        return P_V @ np.sum(f_V**2, axis=1) - np.sum((P_V @ f_V) ** 2)

    mean = gradient.mean_gradient(study, P_V, 3, rule)
    want = fixed.ravel() + 3 * P_V @ block_V
    np.testing.assert_allclose(np.ravel(mean), want, rtol=1e-11, atol=1e-11)
    shared = gradient.shared_variance(study, P_V, rule)
    np.testing.assert_allclose(shared, variance(block_V), rtol=1e-11)
    alone = gradient.independent_variance(study, P_V, rule)
    np.testing.assert_allclose(alone, sum(map(variance, by_pair)), rtol=1e-11)


def test_vectors_are_those_at_the_end_of_training(config, corpus, monkeypatch):
    states = [(i, SimpleNamespace(params=f"after {i}"), None) for i in (1, 2, 3)]
    seen = []
    monkeypatch.setattr(estimator, "make_trainer", lambda *given: seen.append(given))
    monkeypatch.setattr(estimator, "fit", lambda *given: iter(states))
    assert estimator.train(config, corpus) == "after 3"
    assert seen[0][0] == config and seen[0][2] == len(corpus.tokens)


def test_fixed_windows_are_caught(config, corpus, broken):
    broken(window, "half_windows", lambda key, shape, W, dynamic: jnp.full(shape, W))
    checks, _ = pairs.check_text(config, corpus, jax.random.key(0), 200)
    assert not any(check.holds for check in checks)


def test_expected_pairs_by_hand():
    # The outer two words meet at a half-window of 2 (chance 1/2) if the word between
    # is kept, at any if not: 0.5·0.8·(0.6 + 0.4/2). The fourth is another sentence.
    E = pairs.expected_pairs(np.array([0.5, 0.4, 0.8, 1]), np.array([0, 0, 0, 1]), 2)
    want = [[0, 0.2, 0.32, 0], [0.2, 0, 0.32, 0], [0.32, 0.32, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(E, want, rtol=1e-14)


def test_a_table_off_by_two_shares_is_caught():
    counts = np.array([1000, 100, 50, 10, 1])
    P_V = sampling.noise_probabilities(counts, 0.75)
    implied_V = noise.implied_distribution(noise.alias_table(counts, 0.75))
    assert sampling.table_error(P_V, implied_V) <= 1
    implied_V[2] += 2 / (5 * 2**32)
    assert sampling.table_error(P_V, implied_V) > 1


def test_draws_that_agree_too_well_are_caught(broken):
    """Every word as often as it should be: no independent draws do that."""

    def regular(key, table, shape):
        return jnp.arange(shape[0]) % len(table.alias)

    broken(noise, "draw", regular)
    checks, _ = sampling.check_sampler(np.full(10, 7), jax.random.key(0))
    assert [check.holds for check in checks] == [True, False] * 4


def test_cells_are_pooled_until_they_expect_five():
    assert list(sampling.pooled([9, 5, 3, 3, 4])) == [0, 1, 2, 2, 2]


def test_a_check_of_nan_fails_and_says_so():
    nan = float("nan")
    for relation in ("<=", ">="):
        check = Check("1. Section", "what", nan, relation, 1.0)
        assert not check.holds and "FAILS" in table([check])
    assert np.isnan(largest_z(np.array([[1.0], [nan]]), np.array([1.0])))
    assert largest_z(np.array([[1.0], [3.0]]), np.array([4.0])) == 2.0
    assert largest_z(np.full((3, 1), 2.0), np.array([2.1])) > 1e6


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--draws=99", "draws must be a whole number >= 100, got 99"),
        ("--texts=0", "texts must be a whole number >= 100, got 0"),
        (
            "--negatives=0",
            "negatives must be a whole number from 1 to 2147483647, got 0",
        ),
        ("--corpus=missing.txt", "missing.txt"),
    ],
)
def test_bad_flags_are_one_line_and_status_2(folder, flag, message):
    status, _, err = run(folder, flag)
    line = err.strip().splitlines()[-1]
    assert status == 2 and line.startswith("error: ") and message in line


def test_a_text_without_pairs_is_refused(tmp_path, config):
    path = tmp_path / "lines.txt"
    path.write_text("one\ntwo\none\ntwo")
    corpus = load_corpus(str(path), tmp_path / "corpus", min_count=1)
    with pytest.raises(ValueError, match="no pairs among its first words"):
        gradient.make_study(config, corpus, None)
    with pytest.raises(ValueError, match="too few pairs to count distances"):
        pairs._check_counts("distances", np.zeros((9, 2)), np.zeros(2))
