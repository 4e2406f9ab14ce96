"""The ablation: what it trains, what it keeps, and what it refuses."""

import csv
import dataclasses
import json
import re
import sys

import numpy as np
import pytest

from experiments import ablation
from experiments.ablating import exam, items, plan, training, words
from experiments.ablating.store import Store
from experiments.ablating.training import Trained
from experiments.workdir import Workdir
from sgns_jax.config import Config
from sgns_jax.train import num_rounds
from sgns_jax.types import InputError, Params

SMALL = "--dim=4 --window=2 --min_count=1 --epochs=2 --segment_tokens=256".split()
GRID = ["--negatives=1,5", "--noise_exponent=0,0.75", "--seeds=2"]


@pytest.fixture
def text(tmp_path):
    """3,000 words of forty kinds, in sentences of ten on one of two topics."""
    rng = np.random.default_rng(0)
    rank = np.minimum(rng.zipf(1.3, (300, 10)) - 1, 19)
    words = 2 * rank + rng.integers(0, 2, (300, 1))
    path = tmp_path / "text.txt"
    path.write_text("\n".join(" ".join(f"w{i}" for i in line) for line in words))
    return path


@pytest.fixture
def run(capsys, monkeypatch, tmp_path, text, unoptimized):
    """Runs the command in this process: (exit status, standard output, error)."""
    monkeypatch.chdir(tmp_path)
    # The pictures of one measure take half a second, those of all ten.
    few = list(words.MEASURES)[:1]
    monkeypatch.setattr(
        words, "measures", lambda _: {name: words.MEASURES[name] for name in few}
    )

    def call(*flags):
        monkeypatch.setattr(
            sys, "argv", ["ablation", f"--corpus={text}", "--workdir=w", *flags]
        )
        with pytest.raises(SystemExit) as stop:
            ablation.SCRIPT.run(ablation.main)
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture
def turns(monkeypatch):
    """The jobs of every turn that is trained."""
    seen, train = [], training.train

    def recorded(grid, turn, *rest):
        seen.append(turn)
        return train(grid, turn, *rest)

    monkeypatch.setattr(training, "train", recorded)
    return seen


def test_everything_is_there_and_goes_on_where_it_stopped(
    run, turns, tmp_path, monkeypatch
):
    """A second command, with a wider grid, trains what the first one had not."""
    mark, marked = words.measure, []

    def interrupted(*arguments):
        marked.append(1)
        if len(marked) == 4:
            raise KeyboardInterrupt
        return mark(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(words, "measure", interrupted)
        status, _, err = run(*SMALL, "--negatives=1,5", "--noise_exponent=0")
    assert status == 130 and "goes on with the models that are left" in err
    kept = json.loads((tmp_path / "w/models.json").read_text())["models"]
    assert len(kept) == 3
    del turns[:]

    status, out, _ = run(*SMALL, *GRID)
    # K = 5 costs what the reference costs: one training is both budgets'.
    assert status == 0 and "12 models on" in out and "9 of them to train" in out
    assert sum(map(len, turns)) == 9
    result = json.loads((tmp_path / "w/ablation.json").read_text())
    assert len(result["models"]) == 2 * 2 * 2 * 2
    assert result["reference"] == {"negatives": 5, "noise_exponent": 0.75}
    for model in result["models"]:
        assert set(result["measures"]) <= set(model["measures"])
        of_k = model["settings"]["negatives"]
        assert model["flops"] == model["pairs"] * 6 * 4 * (1 + of_k)
    for name, rows in (("ablation", 16 * len(kept[0]["measures"])), ("statistics", 8)):
        with open(tmp_path / f"w/{name}.csv") as file:
            table = list(csv.DictReader(file))
        assert len(table) == rows
        assert {row["budget"] for row in table} == {"epochs", "flops"}
    page = (tmp_path / "w/report.html").read_text()
    assert "<html" in page and "data:image" in page
    assert "report.html" in out and max(map(len, out.splitlines())) <= 80


def test_models_of_another_text_or_version_are_refused(tmp_path):
    workdir, job = Workdir(tmp_path), plan.Job(Config(), 3)
    head = dict.fromkeys(("commit", "device", "machine", "python"), "same")
    head |= {"versions": {"jax": "1"}, "text": {"fingerprint": "one"}, "command": "x"}
    store = Store(workdir, head)
    store.add(job, {"seconds": 1.0})
    again = Store(workdir, head | {"command": "y"})
    assert again.find(job)["seconds"] == 1
    assert again.find(plan.Job(Config(), 4)) is None
    assert again.find(plan.Job(Config(seed=1), 3)) is None
    for name, other in (("commit", "next"), ("text", {"fingerprint": "two"})):
        with pytest.raises(InputError, match="holds models with .* = '(same|one)'"):
            Store(workdir, head | {name: other})


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--negatives="], "negatives must be whole numbers, commas between, got ''"),
        (["--negatives=1,,2"], "negatives must be whole numbers"),
        (["--negatives=5,x"], "negatives must be whole numbers, commas between"),
        (
            ["--negatives=0,5"],
            "negatives must be a whole number from 1 to 2147483647, got 0",
        ),
        (["--noise_exponent=1,1.0"], "noise_exponent has a value twice: '1,1.0'"),
        (
            ["--noise_exponent=nan"],
            "noise_exponent must be a number from -1e+300 to 1e+300, got nan",
        ),
        (
            ["--noise_exponent=1e308"],
            "noise_exponent must be a number from -1e+300 to 1e+300, got 1e+308",
        ),
        (["--optimizer=lion"], "optimizer must be adagrad | adam | sgd, got 'lion'"),
        (["--dynamic_window=yes"], "dynamic_window must be true or false"),
        (["--seeds=0"], "seeds must be >= 1, got 0"),
        (["--budgets=epochs,time"], "budgets must be some of epochs, flops"),
        (["--domain=music"], "domain must be words or items, got 'music'"),
        (["--domain=items", "--corpus=pydoc"], "domain items needs sessions"),
        (["--models_at_once=-1"], "models_at_once must be >= 0, got -1"),
        (["--memory_gb=1e-6"], "1 at once on each of 2 devices need 0.00 GB of memory"),
        (["--dim=4,99999", "--memory_gb=0.1"], "1 at once on each of 2 devices need"),
        (["--eval_dir=nowhere"], "eval_dir nowhere is no folder"),
        (["--eval_dir=.", "--corpus=none"], ".: needs lines of word, word and number"),
    ],
)
def test_bad_input_is_one_line(run, turns, tmp_path, flags, message):
    status, _, err = run(*SMALL, *flags)
    assert status == 2 and err.strip().splitlines()[-1].startswith(f"error: {message}")
    assert not turns and not (tmp_path / "w/models.json").exists()


def test_one_point_of_too_few_pairs_is_refused_before_any_is_trained(run, turns):
    status, _, err = run(*SMALL, "--subsample=0.1,1e-12")
    assert status == 2 and not turns
    assert "at most 1 pairs in 2 epochs for 40 words" in err
    assert "give subsample = 0 or above 1e-12, more text" in err


def planned(monkeypatch, *flags):
    seen = []
    monkeypatch.setattr(sys, "argv", ["ablation", *flags])
    with pytest.raises(SystemExit):
        ablation.SCRIPT.run(lambda values: seen.append(plan.make_plan(values, "cpu")))
    return seen[0]


def test_a_grid_of_any_settings(monkeypatch):
    made = planned(monkeypatch, "--dim=8,16", "--negatives=2,3", "--noise_exponent=1")
    assert made.grid == {
        "dim": [8, 16], "negatives": [2, 3], "noise_exponent": [1.0]
    }  # fmt: skip
    assert made.reference == {"dim": 8, "negatives": 2, "noise_exponent": 1.0}
    runs = made.runs()
    assert len({(run.config, run.budget) for run in runs}) == 2 * 2 * 3 * 2
    assert {run.config.replicas for run in runs} == {1}
    for run in runs:
        assert run.point.items() <= dataclasses.asdict(run.config).items()


def test_what_an_optimizer_needs_by_default_it_gets(monkeypatch):
    made = planned(monkeypatch, "--optimizer=adagrad,sgd")
    for run in made.runs():
        want = Config(optimizer=run.point["optimizer"])
        assert run.config.learning_rate == want.learning_rate
        assert run.config.blocks_per_step == want.blocks_per_step


def test_the_reference_is_the_default_where_the_grid_has_it(monkeypatch):
    made = planned(monkeypatch)
    assert made.reference == {"negatives": 5, "noise_exponent": 0.75}


def test_items_are_sessions(monkeypatch):
    made = planned(monkeypatch, "--domain=items", "--corpus=s", "--min_count=3")
    base = plan.with_whole_sessions(made, 12).base
    assert (base.min_count, base.subsample, base.dynamic_window) == (3, 0, False)
    assert base.window == 11


def test_equal_operations_are_equal(monkeypatch):
    flags = ["--dim=8,16", "--negatives=1,5,20", "--segment_tokens=1000", "--seeds=1"]
    made = planned(monkeypatch, *flags, "--window=2,5", "--budgets=flops")
    counts = np.arange(2000, 0, -1)
    T = int(counts.sum())
    for run, job in zip(made.runs(), plan.jobs(made, counts, T, 1000), strict=True):
        config = run.config
        rounds = num_rounds(config, T, len(counts))
        of_epoch = plan.pairs_per_epoch(config, counts) * 6 * config.dim
        spent = job.rounds / rounds * of_epoch * (1 + config.negatives)
        asked = (
            made.base.epochs * plan.pairs_per_epoch(made.base, counts) * 6 * 8 * (1 + 5)
        )
        assert abs(spent / asked - 1) <= 0.5001 / (job.rounds - 0.5)


def test_pairs_of_an_epoch():
    counts = np.full(100, 50)
    every = Config(subsample=0.0, window=3)
    assert plan.pairs_per_epoch(every, counts) == 5000 * 4  # half-windows 1, 2, 3
    fixed = dataclasses.replace(every, dynamic_window=False)
    assert plan.pairs_per_epoch(fixed, counts) == 5000 * 6
    # In sentences of 3 words there are 2 to either side at most: 1, 2 and 2 are seen.
    narrow = [
        dataclasses.replace(config, sentence_length=3) for config in (every, fixed)
    ]
    pairs = [plan.pairs_per_epoch(config, counts) for config in narrow]
    np.testing.assert_allclose(pairs, [5000 * 2 * 5 / 3, 5000 * 4])


def test_a_model_that_diverged_has_no_values():
    params = Params(np.full((3, 2), np.nan), np.zeros((3, 2)))
    job = plan.Job(Config(dim=2), 1)
    text = exam.Text(np.array([0, 1, 2]), np.ones(3))
    asked = exam.Exam("words", {}, lambda *_: {"one": 1.0, "none": np.nan})
    got = training.record(job, Trained(params, 7, 1), text, asked, 0.5)
    assert got["diverged"] and got["measures"] == {} and got["flops"] == 7 * 6 * 2 * 6
    params = Params(np.ones((3, 2)), np.zeros((3, 2)))
    got = training.record(job, Trained(params, 7, 1), text, asked, 0.5)
    assert not got["diverged"] and got["measures"] == {"one": 1.0, "none": None}


def test_help_names_every_setting(run):
    status, out, _ = run("--help")
    assert status == 0 and all(f"--{name}=" in out for name in plan.SWEPT)
    assert re.search(r"--seeds=3 ", out) and "--replicas" not in out
    assert items.MEASURES and "next item" in out
