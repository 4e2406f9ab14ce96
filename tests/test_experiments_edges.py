"""Every number that the command takes, at the ends of its stated range and beyond."""

import dataclasses
import importlib
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from experiments import cli, room, train
from sgns_jax.config import Config
from sgns_jax.train import make_model
from tests.test_experiments_cli import SCRIPTS

NUMBERS = {
    field.name: field.metadata["setting"].ends
    for field in dataclasses.fields(Config)
    if cli.kind_of(field) in (int, float)
}
NOT_FINITE = ("nan", "inf", "-inf")
#: What one value needs beside it to be looked at.
BESIDE = {"negatives": ["--negatives_mode=independent"], "sync_every": ["--replicas=2"]}
#: Ends that a text of 400 words and a machine of 4 GB cannot be trained with.
REFUSED = {
    "min_count": "give a lower min_count",
    "dim": "give a lower --dim",
    "negatives": "--block_size, --window or --negatives",
    "epochs": "give fewer epochs",
    "block_size": "--block_size, --window or --noise_words",
    "noise_words": "--block_size, --window or --noise_words",
    "blocks_per_step": "give a lower blocks_per_step",
    "replicas": "fewer --replicas",
}


REACHED = 77  #: status where training would begin


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Runs a script: (exit status, standard error). Training reads 50 short lines."""
    words = np.random.default_rng(0).integers(0, 10, (50, 8)).astype(str)
    (tmp_path / "text.txt").write_text("\n".join(map(" ".join, words)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(room, "host_memory", lambda *_: 4 * 10**9)
    monkeypatch.setattr(room, "free_disk", lambda *_: 10**10)

    def run(script, *flags):
        monkeypatch.setattr(sys, "argv", ["script", *flags])
        with pytest.raises(SystemExit) as stop:
            script()
        return stop.value.code or 0, capsys.readouterr().err

    return run


def train_with(call, *flags):
    small = ["--dim=4", "--min_count=1", "--subsample=0", "--epochs=1"]
    work = f"--workdir={tempfile.mkdtemp(dir='.')}"  # another run's is refused
    given = ["--corpus=text.txt", work, *small, *flags]
    return call(lambda: train.SCRIPT.run(train.main), *given)


def refused(status, err, line):
    return status == 2 and err.count("\n") == 1 and line in err


@pytest.mark.parametrize("name", NUMBERS)
def test_a_setting_at_its_ends_trains_or_is_refused_in_a_line(name, call, monkeypatch):
    models = []

    def reached(config, counts, num_tokens, mesh=None):
        models.append(make_model(config, counts, num_tokens))
        raise SystemExit(REACHED)

    monkeypatch.setattr(train, "make_trainer", reached)
    ends, beside = NUMBERS[name], BESIDE.get(name, [])
    for value in ends:
        flags = [f"--{name}={value!r}", *beside]
        hard = name in REFUSED and value == ends[1]
        if hard:
            held = list(Path().glob("*/config.json"))
            assert refused(*train_with(call, *flags), REFUSED[name])
            assert list(Path().glob("*/config.json")) == held  # for the next try
        else:
            assert train_with(call, *flags)[0] == REACHED
            assert 0 < models[-1].learning_rate < np.inf and models[-1].num_steps >= 1
        # What is refused by its size, the plan refuses, too.
        status, err = train_with(call, "--plan", "--device_memory=1", *flags)
        assert status == 0 or hard and refused(status, err, "error: ")
    beyond = (ends[0] - 1, ends[1] + 1) if type(ends[1]) is int else ()
    for value in (*beyond, *NOT_FINITE):
        assert refused(*train_with(call, f"--{name}={value}", *beside), name)


def test_the_ends_that_training_takes_train(call):
    """All at once: the highest and the lowest."""
    high = {"learning_rate": 1e-37, "subsample": 1e300}
    for values in (
        {n: ends[1] for n, ends in NUMBERS.items() if n not in REFUSED} | high,
        {n: ends[0] for n, ends in NUMBERS.items()}
        | {"learning_rate": 1e-37, "subsample": 0},
    ):
        values |= {"replicas": 2} if values["sync_every"] else {}
        flags = [f"--{name}={value!r}" for name, value in values.items()]
        status, err = train_with(call, *flags)
        assert status == 0, err


@pytest.mark.parametrize("name", [s for s in SCRIPTS if s != "tables"])
def test_no_script_takes_a_number_that_is_none(name, call):
    script = importlib.import_module(f"experiments.{name}").SCRIPT
    for flag in script.flags:
        if flag.kind is float and flag.name not in NUMBERS:
            for value in (*NOT_FINITE, "1e300"):
                status, err = call(lambda: script.run(len), f"--{flag.name}={value}")
                most = ", at most" if value == "1e300" else ", got"
                assert refused(status, err, f"{flag.name} must be {flag.needs}{most}")
        if flag.kind is int and flag.name not in NUMBERS:
            status, err = call(lambda: script.run(len), f"--{flag.name}={10**19}")
            assert refused(status, err, f"{flag.name} must be {flag.needs}, at most")


@pytest.mark.parametrize(
    "flag",
    ["device_memory=-1", "checkpoint_seconds=0", "checkpoint_seconds=-1e18",
     "keep_checkpoints=0", "restrict_vocabulary=0"],
)  # fmt: skip
def test_flags_of_training_below_their_range(flag, call):
    assert refused(*train_with(call, f"--{flag}"), flag.split("=")[0])


def test_flags_of_training_at_the_ends_of_their_range(call, monkeypatch):
    def reached(config, counts, num_tokens, mesh=None):
        raise SystemExit(REACHED)

    monkeypatch.setattr(train, "make_trainer", reached)
    for name in "device_memory checkpoint_seconds keep_checkpoints".split():
        for flags in ([], ["--plan"]):
            status, err = train_with(call, f"--{name}={10**18}", *flags)
            assert status == (0 if flags else REACHED), err
