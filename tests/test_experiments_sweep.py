"""Speed by sizes: the text it is measured on, what is timed, what is said of it."""

import json
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments import sweep
from experiments.sweeping import measuring, picture, plan, report
from sgns_jax.config import Config
from sgns_jax.noise import alias_table, implied_distribution
from sgns_jax.segment import SegmentMetrics
from sgns_jax.train import make_trainer

TINY = ["--dim=4", "--window=1", "--tokens=40000", "--workdir=w"]
SMALL = {"dim": 4, "window": 1, "replicas": 1}  # the same settings for a Config
VOCABULARY = ["--sweeps=vocabulary", "--vocabulary=40,100", *TINY]


@pytest.fixture
def run(capsys, monkeypatch, tmp_path, unoptimized):
    """Runs the command in this process: (exit status, standard output, error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan, "BASE_VOCABULARY", 40)
    monkeypatch.setattr(plan, "COMMON_WORDS", 40)
    monkeypatch.setattr(sweep, "training_memory", lambda: 10**12)  # of any machine

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["sweep", *arguments])
        with pytest.raises(SystemExit) as stop:
            sweep.SCRIPT.run(sweep.main)
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


def made_up(point):
    """A measurement of a machine whose speed depends on D alone."""
    speed = 2e6 / point.config.dim
    numbers = dict.fromkeys(report.QUANTITIES, 1.0)
    return numbers | {f"{kind}_words_per_second": speed for kind in ("raw", "kept")}


@pytest.fixture
def asked(monkeypatch):
    """Measurements are made up; this is the list of points they were made for."""
    points = []

    def measure(point):
        points.append(point)
        return made_up(point)

    monkeypatch.setattr(measuring, "measure", measure)
    return points


def a_point(vocabulary, text_words=None, tokens=40_000, **settings):
    segment = tokens // 4 // settings.get("replicas", 2)
    config = Config(epochs=1, segment_tokens=segment, **settings)
    return plan.Point(vocabulary, text_words or vocabulary, tokens, config)


def result():
    return json.loads(Path("w/sweep.json").read_text())


# The command


def test_everything_is_there_at_the_end(run, monkeypatch):
    sweeps = "--sweeps=negatives", "--negatives=5,20", "--replicas=1"
    status, out, _ = run(*sweeps, *TINY, "--repetitions=2")
    assert status == 0 and max(map(len, out.splitlines())) <= 80
    assert Path("w/sweep.png").stat().st_size > 10_000 and "w/sweep.png" in out
    found = result()
    assert found["command"] and "commit" in found and found["versions"]["jax"]
    assert found["base"]["vocabulary"] == 40 and found["base"]["dim"] == 4
    assert found["target"] is None and found["left_out"] == []
    runs = found["measurements"]
    turns = [(run["repetition"], run["negatives"]) for run in runs]
    assert turns == [(0, 5), (0, 20), (1, 5), (1, 20)]
    assert len({run["pairs"] for run in runs}) == 1  # one text, one seed
    rows = found["curves"]["negatives"]
    assert [row["value"] for row in rows] == [5, 20]
    assert [row["repetitions"] for row in rows] == [2, 2]
    assert set(rows[0]["kept_words_ratio"].values()) == {1}
    assert all(row[name]["min"] > 0 for row in rows for name in report.QUANTITIES)

    monkeypatch.setattr(measuring, "measure", None)
    assert run(*sweeps, *TINY, "--repetitions=2")[:2] == (0, out)


def test_points_of_all_sweeps_take_turns(run, asked):
    sweeps = ["--sweeps=dim,negatives", "--dim=50,100", "--negatives=1,2"]
    status, out, _ = run(*sweeps, "--window=3", "--workdir=w", "--repetitions=2")
    points = [(point.config.dim, point.config.negatives) for point in asked]
    assert status == 0 and points == 2 * [(50, 5), (100, 5), (100, 1), (100, 2)]
    assert {(p.vocabulary, p.text_words, p.config.window) for p in asked} == {
        (40, 40, 3)
    }
    assert plan.COMMON not in result()["curves"]
    ratios = {
        name: [row["kept_words_ratio"]["median"] for row in rows]
        for name, rows in result()["curves"].items()
    }
    assert ratios == {"dim": [2, 1], "negatives": [1, 1, 1]}


def test_the_base_suits_the_device(run, asked, monkeypatch):
    monkeypatch.setattr(sweep, "start_jax", lambda: "gpu")
    assert run("--sweeps=negatives", "--negatives=5", *TINY)[0] == 0
    want = Config(backend="gpu")
    for point in asked:
        assert point.config.blocks_per_step == want.blocks_per_step
        assert point.config.replicas == want.replicas == 1


def test_an_interrupted_sweep_goes_on(run, asked, monkeypatch):
    measure = measuring.measure

    def interrupted(point):
        if len(asked) == 3:
            raise KeyboardInterrupt
        return measure(point)

    monkeypatch.setattr(measuring, "measure", interrupted)
    status, _, err = run(*VOCABULARY, "--repetitions=2")
    assert status == 130 and "goes on with the measurements that are left" in err
    assert len(result()["measurements"]) == 3 and "curves" not in result()
    monkeypatch.setattr(measuring, "measure", measure)
    assert run(*VOCABULARY, "--repetitions=2")[0] == 0
    assert asked[:3] == asked[3:] and len(asked) == 6

    # Another setting is another point; another version is another folder.
    assert run(*VOCABULARY, "--window=2", "--repetitions=1")[0] == 0
    assert len(asked) == 9 and len(result()["measurements"]) == 9
    Path("w/sweep.json").write_text(json.dumps(result() | {"commit": "older"}))
    status, _, err = run(*VOCABULARY)
    assert (
        status == 2 and "w/sweep.json holds measurements with commit = 'older'" in err
    )
    assert len(asked) == 9


def test_points_that_do_not_fit_are_left_out(run, asked, monkeypatch):
    needed = measuring.needed_bytes(a_point(100, dim=4)) / 1e9
    status, out, _ = run(*VOCABULARY, f"--memory_gb={needed - 1e-9}")
    assert status == 0 and "Left out: vocabulary=100 needs 0.00 GB of memory" in out
    assert out.count("Left out") == 1  # for both texts
    assert {point.vocabulary for point in asked} == {40}
    assert [one["value"] for one in result()["left_out"]] == [100, 100]
    assert result()["left_out"][0]["needed_bytes"] == round(1e9 * needed)
    run(*VOCABULARY, f"--memory_gb={needed}")
    assert {point.vocabulary for point in asked} == {40, 100}
    monkeypatch.setattr(sweep, "training_memory", lambda: 1e9 * needed / 0.75 - 2)
    assert "Left out: vocabulary=100" in run(*VOCABULARY)[1]  # 3/4 of it are filled
    status, _, err = run(*VOCABULARY, "--memory_gb=1e-9")
    assert status == 2 and "error: the base, vocabulary=40 needs" in err


BAD_FLAGS = {
    "--sweeps=": "sweeps must be some of vocabulary, dim",
    "--sweeps=dim,speed": "got 'speed'",
    "--dim=": "dim must be whole numbers >= 1, commas between, got ''",
    "--dim=100,0": "dim must be whole numbers >= 1, commas between, got '100,0'",
    "--vocabulary=many": "vocabulary must be whole numbers",
    "--window=-2": "window must be whole numbers",
    "--negatives=5,,10": "negatives must be whole numbers",
    "--dim=99999999999": "dim must be a whole number from 1 to 2147483647, got 999",
    "--product_dtype=float8": "product_dtype must be bfloat16 | float32, got 'float8'",
    "--tokens=999": "tokens must be >= 1000, got 999",
    "--repetitions=0": "repetitions must be >= 1, got 0",
    "--repetitions=two": "flag --repetitions=two",
    "--memory_gb=-1": "memory_gb must be >= 0, got -1",
    "--memory_gb=nan": "memory_gb must be >= 0, got nan",
    "--workdir=file": "cannot write to the work folder file",
    "words": "got 'words', which is no flag",
}


@pytest.mark.parametrize("bad", BAD_FLAGS)
def test_bad_input_is_one_line_and_status_2(run, asked, bad):
    Path("file").touch()
    status, _, err = run(bad)
    assert status == 2 and asked == []
    assert err.startswith("error: ") and err.count("\n") == 1 and BAD_FLAGS[bad] in err


def test_help_fits_the_terminal(run):
    status, out, _ = run("--help")
    assert status == 0 and max(map(len, out.splitlines())) <= 80
    assert all(f"--{name}=" in out for name in plan.SETTINGS)


# The text


def test_a_text_has_the_counts_it_should():
    counts_V, text_T = measuring.draw_text(a_point(300))
    assert counts_V.sum() == pytest.approx(40_000) and text_T.dtype == np.int32
    seen_V = np.bincount(text_T, minlength=300)
    # A binomial number has at most its mean as variance; 5 of them: p < 1e-6 each.
    assert np.all(np.abs(seen_V - counts_V) < 5 * np.sqrt(counts_V))
    ratio = counts_V[9] / counts_V[0]
    assert ratio == pytest.approx((12.7 / 3.7) ** -1.1)
    assert np.array_equal(text_T, measuring.draw_text(a_point(300))[1])


def test_about_half_of_the_words_are_kept_at_the_base():
    f_V = measuring.word_probabilities(plan.BASE_VOCABULARY)
    t = Config().subsample
    keep_V = np.minimum(1, np.sqrt(t / f_V) + t / f_V)
    assert f_V @ keep_V == pytest.approx(0.557, abs=5e-4)


def test_a_text_of_common_words_has_no_others():
    """Nor has its noise; and the text and its counts are the same at every V."""
    counts_V, text_T = measuring.draw_text(a_point(300, 40))
    assert text_T.max() == 39 and np.all(counts_V[40:] == 0)
    noise_V = implied_distribution(alias_table(counts_V, 0.75))
    assert np.all(noise_V[40:] == 0) and np.all(noise_V[:40] > 0)
    small_V, small_T = measuring.draw_text(a_point(40))
    assert np.array_equal(text_T, small_T) and np.array_equal(counts_V[:40], small_V)


# The measurement


def test_words_and_pairs_of_a_measurement():
    """W = 1 gives each kept word two pairs, but at the ends of segments."""
    run = measuring.measure(a_point(40, **SMALL))
    assert run["raw_words"] == 30_000  # of four rounds the first is not timed
    # At V = 40 all words are frequent. The number kept is binomial: 5 deviations.
    assert (
        abs(run["pairs"] / 2 - run["kept_words"]) < 5 * np.sqrt(run["kept_words"]) + 6
    )
    assert 1000 < run["kept_words"] < 6000
    for name in ("raw_words", "kept_words", "pairs"):
        rate = run[name] / run["train_seconds"]
        assert run[f"{name}_per_second"] == pytest.approx(rate)
    nanoseconds = 1e9 / run["kept_words_per_second"]
    assert run["nanoseconds_per_kept_word"] == pytest.approx(nanoseconds)
    assert run["table_bytes"] == 2 * 40 * 4 * 4


def test_starting_and_the_first_round_are_not_timed(monkeypatch):
    """A clock that goes on by what each part is said to take."""
    now = 0

    def takes(seconds):
        nonlocal now
        now += seconds

    def rounds(config, trainer, tokens):
        for done, seconds in enumerate((100, 1, 2, 4), start=1):
            takes(seconds)
            yield done, None, SegmentMetrics(None, jax.numpy.int32(10), None)

    monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(measuring, "make_trainer", lambda *arguments: takes(1000))
    monkeypatch.setattr(measuring, "fit", rounds)
    run = measuring.measure(a_point(40))
    assert (run["start_seconds"], run["train_seconds"], run["pairs"]) == (1000, 7, 30)


@pytest.mark.parametrize("replicas, copies", [(1, 3), (2, 6), (4, 8)])
def test_memory_is_that_of_the_states(replicas, copies):
    """Two CPU devices: each holds its replicas and two states more."""
    point = a_point(40, dim=4, replicas=replicas)
    devices = min(replicas, 2)
    assert copies == replicas + 2 * devices
    assert measuring.needed_bytes(point) == copies * measuring.state_bytes(point)


def test_the_size_of_a_state_is_that_of_the_trainers():
    point = a_point(40, **SMALL)
    trainer = make_trainer(point.config, measuring.draw_text(point)[0], point.tokens)
    size = sum(x.nbytes for x in jax.tree.leaves(trainer.state))
    assert size == measuring.state_bytes(point) + 4  # and the count of steps


# The report


def by_vocabulary(speeds):
    """Raw and kept words/s of a point, from {(V, words of the text): both}.

    The machine is twice as fast at each repetition as at the one before.
    """
    faster = Counter()

    def measure(point):
        words = point.vocabulary, point.text_words
        raw, kept = (rate * 2 ** faster[words] for rate in speeds[words])
        faster[words] += 1
        rates = {"raw_words_per_second": raw, "kept_words_per_second": kept}
        return made_up(point) | rates

    return measure


@pytest.mark.parametrize("rate, reached", [(0.61e6, True), (0.59e6, False)])
def test_the_target_is_a_ratio_of_two_vocabularies(run, monkeypatch, rate, reached):
    monkeypatch.setattr(plan, "BASE_VOCABULARY", report.SMALL)
    small, large, common = report.SMALL, report.LARGE, plan.COMMON_WORDS
    speeds = {(small, small): (1e6, 0.5e6), (large, large): (rate, 0.4e6)}
    speeds |= {(small, common): (4e6, 2e6), (large, common): (3e6, 1.9e6)}
    monkeypatch.setattr(measuring, "measure", by_vocabulary(speeds))
    arguments = "--sweeps=vocabulary", "--workdir=w", "--memory_gb=99"
    status, out, _ = run(*arguments, f"--vocabulary={large},{small}")
    target = result()["target"]
    assert status == 0 and target["reached"] is reached
    assert target["raw_words_ratio"] == pytest.approx(rate / 1e6)
    assert target["kept_words_ratio"] == pytest.approx(0.8)
    assert target["kept_common_words_ratio"] == pytest.approx(0.95)
    out = " ".join(out.split())
    verdict = "Met: 0.61" if reached else "Not met: 0.59"
    assert f"{verdict} (kept words/s: 0.80)" in out
    assert "are 0.95 of those at 70,000" in out
    # Ratios are taken within a repetition: the machine's own changes are not in them.
    row = result()["curves"]["vocabulary"][1]
    assert row["kept_words_ratio"]["min"] == row["kept_words_ratio"]["max"]
    assert (
        row["kept_words_per_second"]["max"] == 4 * row["kept_words_per_second"]["min"]
    )


def test_without_both_vocabularies_there_is_no_verdict(run, asked):
    arguments = "--sweeps=vocabulary", "--workdir=w", "--memory_gb=99"
    _, out, _ = run(*arguments, f"--vocabulary=40,{report.LARGE}", "--repetitions=1")
    assert result()["target"] is None and "Target" not in out


def test_tables_fit_the_terminal_at_large_numbers():
    spread = {"median": 12345e6, "mean": 1, "min": 0.01, "max": 123.0}
    ratio = {"median": 0.123, "min": 0.045, "max": 9.876}
    row = dict.fromkeys(report.QUANTITIES, spread) | {"kept_words_ratio": ratio}
    rate = dict.fromkeys(("median", "min", "max"), 123.4e6)
    row |= {f"{what}_per_second": rate for what in ("raw_words", "kept_words", "pairs")}
    row["nanoseconds_per_kept_word"] = spread | {"median": 123_456}
    row["needed_bytes"] = spread | {"median": 99_999e6}
    lines = (
        report._line(row | {"value": 3_000_000}),
        report._line(row | {"value": "bfloat16"}),
    )
    assert [len(line) for line in lines] == [80, 80]
    assert lines[0].split()[:2] == ["3,000,000", "123"]


@pytest.mark.parametrize(
    "sweeps", ["product_dtype", "vocabulary", "dim,window,negatives"]
)
def test_every_number_of_sweeps_has_a_picture(run, asked, monkeypatch, sweeps):
    figures = []
    monkeypatch.setattr(picture.Figure, "savefig", lambda *a, **k: figures.append(a[0]))
    assert run(f"--sweeps={sweeps}", "--workdir=w", "--repetitions=1")[0] == 0
    axes = [one for one in figures[0].axes if one.get_visible()]
    names = sweeps.split(",")
    assert [one.get_xlabel() for one in axes] == [plan.SETTINGS[n][0] for n in names]
    values = plan.SETTINGS[names[0]][1].split(",")
    ticks = axes[0].get_xticks()
    if names[0] == "product_dtype":
        assert [label.get_text() for label in axes[0].get_xticklabels()] == values
    else:
        assert set(map(int, values)) <= set(ticks) and axes[0].get_xscale() == "log"
