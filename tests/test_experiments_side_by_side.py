"""Three ways to train the same models: their times and their vectors."""

import json
import sys

import numpy as np
import pytest

from experiments import side_by_side


@pytest.fixture
def run(capsys, monkeypatch, tmp_path, unoptimized):
    """Runs the command in this process: (exit status, standard output, error)."""
    monkeypatch.chdir(tmp_path)
    words = np.random.default_rng(0).zipf(1.5, 3000) % 30
    (tmp_path / "text.txt").write_text(" ".join(f"w{word}" for word in words))

    def call(*flags):
        small = "--corpus=text.txt --dim=4 --window=2 --workdir=w".split()
        monkeypatch.setattr(sys, "argv", ["side_by_side", *small, *flags])
        with pytest.raises(SystemExit) as stop:
            side_by_side.SCRIPT.run(side_by_side.main)
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


def test_the_ways_give_the_same_vectors(run, tmp_path, monkeypatch):
    status, out, _ = run("--models=3", "--tokens=2000", "--repetitions=2")
    assert status == 0 and max(map(len, out.splitlines())) <= 80
    result = json.loads((tmp_path / "w/side_by_side.json").read_text())
    assert result["models"] == 3 and result["words"] == 2000
    ways = result["ways"]
    assert set(ways) == {"alone", "in turns", "at once"}
    assert all(
        len(way["seconds"]) == 2 and min(way["seconds"]) > 0 for way in ways.values()
    )
    for name in ("in turns", "at once"):
        assert ways[name]["largest_difference"] < 1e-5 < ways[name]["largest_value"]


def test_models_differ_and_repeat_with_other_seeds():
    base = side_by_side.Config()
    models = side_by_side.models_of(base, 43)
    assert len(set(models)) == 43
    assert [model.seed for model in models] == 20 * [0] + 20 * [1] + 3 * [2]


def test_other_vectors_are_told(monkeypatch):
    def way(vectors):
        while True:
            yield 2.0, vectors

    ones = [np.ones((2, 2)), np.zeros((2, 2))]
    others = [np.ones((2, 2)), np.full((2, 2), 0.5)]
    ways = {"alone": way(ones), "in turns": way(ones), "at once": way(others)}
    rows = side_by_side.compare(ways, 2)
    assert rows["in turns"]["equal_bits"] == 2 and rows["at once"]["equal_bits"] == 1
    assert rows["at once"]["largest_difference"] == 0.5
    result = {
        "models": 2, "words": 10, "devices": 1, "device": "CPU", "ways": rows,
        "configuration": {"dim": 2},
    }  # fmt: skip
    lines = side_by_side.table(result).splitlines()
    assert lines[-2].endswith("equal to the bit") and lines[-1].endswith(
        "to 5e-01 of 1"
    )


@pytest.mark.parametrize("flag", ["--models=1", "--tokens=999", "--repetitions=0"])
def test_bad_input_is_one_line(run, flag):
    status, _, err = run(flag)
    assert status == 2 and err.startswith(f"error: {flag[2:].split('=')[0]} must be >=")
