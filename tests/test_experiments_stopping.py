"""Signals: the first is kept, the second raised, and a script ends as shells expect."""

import functools
import json
import os
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import pytest
from tqdm import tqdm

from experiments import cli, rounds, sitting, train
from experiments.stopping import Stopping, Terminated, raise_signals
from sgns_jax.checkpoint import Checkpoints
from tests.test_experiments_train import ROOT, SMALL, run, text  # noqa: F401


def send(number):
    os.kill(os.getpid(), number)


def test_the_first_signal_is_kept_and_the_second_raised():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as caught, Stopping() as stopping:
        assert stopping.asked is None
        send(signal.SIGTERM)
        assert stopping.asked is Terminated
        send(signal.SIGINT)
    assert caught.type is KeyboardInterrupt
    after = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert after == before


class Garbage:
    """Drops what a signal raises, as Python does with all that finalizers raise."""

    def __del__(self):
        send(signal.SIGTERM)


def lose_a_signal():
    lost = Garbage()
    del lost


def test_a_signal_that_python_dropped_is_kept_a_moment_later(capsys):
    """Without the traceback that Python prints of what it drops."""
    hook, end_raising = sys.unraisablehook, raise_signals()
    try:
        lose_a_signal()
        with Stopping() as stopping:
            limit = time.monotonic() + 10
            while stopping.asked is None and time.monotonic() < limit:
                time.sleep(0.001)
        assert stopping.asked is Terminated
    finally:
        end_raising()
    assert capsys.readouterr().err == "" and sys.unraisablehook is hook


def test_a_signal_that_python_dropped_is_raised_a_moment_later(monkeypatch, capsys):
    def main(flags):
        lose_a_signal()
        time.sleep(10)

    monkeypatch.setattr("sys.argv", ["script"])
    hook = sys.unraisablehook
    with pytest.raises(SystemExit) as stop:
        cli.Script("About", again="begins anew").run(main)
    assert stop.value.code == 143 and sys.unraisablehook is hook
    assert capsys.readouterr().err == "interrupted; the same command begins anew\n"


def test_what_is_no_signal_is_printed_as_ever(monkeypatch, capsys):
    class Broken:
        def __del__(self):
            raise OSError("of a finalizer")

    def main(flags):
        broken = Broken()
        del broken

    monkeypatch.setattr("sys.argv", ["script"])
    with pytest.raises(SystemExit):
        cli.Script("About", again="begins anew").run(main)
    assert "OSError: of a finalizer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_script_that_is_stopped_says_so(monkeypatch, capsys, number, status):
    monkeypatch.setattr("sys.argv", ["script"])
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop:
        cli.Script("About", again="begins anew").run(lambda flags: send(number))
    assert stop.value.code == status
    assert capsys.readouterr().err == "interrupted; the same command begins anew\n"
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_training_that_is_stopped_loses_nothing(
    run, text, tmp_path, monkeypatch, number, status  # noqa: F811
):  # fmt: skip
    """A checkpoint is due in an hour; what was done by the signal is there.

    Nor does it matter whether a bar is shown: the sittings that are cut have none.
    """
    settings = [f"--corpus={text}", *SMALL, "--checkpoint_seconds=3600"]
    run(*settings, f"--workdir={tmp_path / 'whole'}")
    fit = sitting.fit
    monkeypatch.setattr(rounds, "tqdm", functools.partial(tqdm, disable=True))

    def interrupted(*arguments):
        for done, *rest in fit(*arguments):
            if done == 4:
                send(number)
            yield done, *rest

    work = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(sitting, "fit", interrupted)
        got, _, err = run(*settings, f"--workdir={work}")
    assert got == status
    last = err.splitlines()[-1]
    assert "stopped after round 4 of 10; the same command goes on from the" in last
    got, out, _ = run(*settings, f"--workdir={work}")
    assert got == 0 and "Going on from round 4 of 10" in out
    whole = (tmp_path / "whole" / "vectors.txt").read_bytes()
    assert (work / "vectors.txt").read_bytes() == whole


def diverging(above):
    """``fit`` that loses a row in round 6 of any run at a higher learning rate."""
    fit = sitting.fit

    def diverging_fit(config, trainer, *arguments):
        for done, state, metrics in fit(config, trainer, *arguments):
            if done == 6 and trainer.model.learning_rate > above:
                w_in = state.params.w_in.at[3, 2].set(jnp.inf)
                state = state.replace(params=state.params._replace(w_in=w_in))
            yield done, state, metrics

    return diverging_fit


def test_half_the_learning_rate_where_training_diverges(
    run, text, tmp_path, monkeypatch  # noqa: F811
):  # fmt: skip
    work = tmp_path / "w"
    settings = [f"--corpus={text}", f"--workdir={work}", *SMALL, "--learning_rate=0.04"]
    settings += ["--checkpoint_seconds=1e-9", "--schedule=constant"]
    monkeypatch.setattr(sitting, "fit", diverging(above=0.011))
    status, _, err = run(*settings)
    last = err.splitlines()[-1]
    assert status == 2 and "training diverged" in last
    assert "v of 'dog" in last or "v of 'cat" in last
    assert "learning rate 0.04, in" in last and "--on_nonfinite=halve" in last
    assert sorted(p.name for p in (work / "checkpoints").iterdir()) == ["4", "5"]

    status, out, err = run(*settings, "--on_nonfinite=halve")
    assert status == 0
    assert err.count("halving the learning rate") == 2
    assert out.count("Going on from round 5 of 10") == 3
    result = json.loads((work / "result.json").read_text())
    assert result["learning_rate_halvings"] == 2
    lines = [json.loads(x) for x in (work / "metrics.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == list(range(1, 11))
    rates = [line["learning_rate"] for line in lines]
    assert rates == pytest.approx([0.04] * 5 + [0.01] * 5)


def test_after_three_halvings_it_stops(run, text, tmp_path, monkeypatch):  # noqa: F811
    settings = [f"--corpus={text}", f"--workdir={tmp_path / 'w'}", *SMALL]
    settings += ["--checkpoint_seconds=1e-9"]
    monkeypatch.setattr(sitting, "fit", diverging(above=0))
    status, _, err = run(*settings, "--on_nonfinite=halve")
    assert status == 2 and err.count("halving the learning rate") == 3
    assert "training diverged" in err.splitlines()[-1]
    checkpoints = tmp_path / "w" / "checkpoints"
    assert sorted(p.name for p in checkpoints.iterdir()) == ["4", "5"]


def test_an_import_that_a_signal_meets_is_finished(run, text, tmp_path, monkeypatch):  # noqa: F811
    """Extension modules make another error of what is raised in their import."""
    monkeypatch.setattr(train, "Stopping", AskedAtOnce)
    status, _, err = run(f"--corpus={text}", f"--workdir={tmp_path / 'w'}", *SMALL)
    assert status == 143 and err.splitlines()[-1].startswith("interrupted; the same")


class AskedAtOnce(Stopping):
    def __enter__(self):
        super().__enter__()
        send(signal.SIGTERM)
        return self


def test_a_script_that_is_interrupted_while_it_imports_has_no_traceback():
    command = [sys.executable, "-m", "experiments.train", "--help"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait() == -signal.SIGINT
        assert process.stderr.read() == b""


@pytest.mark.parametrize("moment", ["restore", "close"])
def test_a_signal_breaks_nothing_off_in_orbax(
    run, text, tmp_path, monkeypatch, moment  # noqa: F811
):  # fmt: skip
    """What waits for Orbax's threads must return before the script ends."""
    settings = [f"--corpus={text}", *SMALL, f"--workdir={tmp_path / 'work'}"]
    returned = []

    def interrupted(real, *arguments):
        send(signal.SIGTERM)
        result = real(*arguments)
        returned.append(True)
        return result

    if moment == "restore":  # of a run that is to be exported only
        run(*settings)
        (tmp_path / "work" / "result.json").unlink()
    method = {"restore": "restore", "close": "__exit__"}[moment]
    real = getattr(Checkpoints, method)
    with monkeypatch.context() as patch:
        patch.setattr(
            Checkpoints, method, lambda *arguments: interrupted(real, *arguments)
        )
        got, _, err = run(*settings)
    assert got == 143 and returned
    assert err.splitlines()[-1].startswith("interrupted; the same command goes on")
    assert not (tmp_path / "work" / "result.json").exists()
    got, out, _ = run(*settings)
    assert got == 0 and "Going on from round 10 of 10" in out
