"""Several processes train one model, on loopback, with two simulated devices each."""

import multiprocessing
import os
import shutil
import signal
import socket
import sys
import time
from functools import partial

import jax
import numpy as np
import pytest

from experiments import joining, processes
from sgns_jax.types import InputError
from sgns_jax.vectors import WordVectors
from tests import quick
from tests.test_experiments_kills import sitting, start  # noqa: F401

#: Short rounds, and enough of them to be interrupted in.
SETTINGS = {
    "dim": 8, "window": 2, "min_count": 1, "block_size": 8, "noise_words": 8,
    "blocks_per_step": 8, "segment_tokens": 600, "epochs": 5, "replicas": 2,
}  # fmt: skip
#: What shall be interrupted.
OFTEN = {"checkpoint_seconds": 0.1, "keep_checkpoints": 100}


def in_fork(what, *arguments):
    """Runs a function in a process that has the modules, as ``start`` does."""
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=what, args=arguments)
    process.start()
    return process


def quick_sitting(arguments, log):
    """The command; each process of a job compiles all of it."""
    quick.from_here_on(pytest.MonkeyPatch())
    sitting(arguments, log)


def on_one_device(arguments, log):
    jax.config.update("jax_num_cpu_devices", 1)
    quick_sitting(arguments, log)


def soon_missed(arguments, log):
    """JAX ends the others the sooner where they do not know that one is gone."""
    joining._HEARTBEAT_SECONDS = 10
    quick_sitting(arguments, log)


class Job:
    """Processes that train together, and what they say."""

    def __init__(self, launcher, workdir, count, settings):
        with socket.socket() as found:
            found.bind(("localhost", 0))
            port = found.getsockname()[1]
        base = [f"--{name}={value}" for name, value in settings.items()]
        base.append(f"--workdir={workdir}")
        self.workdir, self._logs, self.members = workdir, [], []
        for i in range(count):
            log = workdir.parent / f"{workdir.name}-{port}-{i}.log"
            arguments = [
                f"--coordinator=localhost:{port}",
                f"--num_processes={count}",
                f"--process_id={i}",
            ]
            self._logs.append(log)
            self.members.append(launcher(base + arguments * (count > 1), log))

    def wait_for_training(self):
        """Returns when it trains again after a checkpoint, not the one of the start."""
        end, saved = time.monotonic() + 100, 0
        while time.monotonic() < end and all(p.is_alive() for p in self.members):
            files = self.workdir.glob("checkpoints/*/_CHECKPOINT_METADATA")
            names = (path.parent.name for path in files)
            saved = saved or max((int(n) for n in names if n.isdecimal()), default=0)
            if saved and self.rounds() > saved + 1:
                return
            time.sleep(0.01)
        pytest.fail(f"it never came so far: {self.said()}")

    def rounds(self):
        """How many are told of."""
        return (self.workdir / "metrics.jsonl").read_bytes().count(b"\n")

    def statuses(self, seconds):
        """How each process ended, within some seconds."""
        end = time.monotonic() + seconds
        for member in self.members:
            member.join(max(0, end - time.monotonic()))
        statuses = [member.exitcode for member in self.members]
        for member in self.members:
            member.kill()
        return statuses

    def said(self):
        return [log.read_text() for log in self._logs]

    def trains(self):
        """Runs to the end; its vectors."""
        assert self.statuses(100) == [0] * len(self.members), self.said()
        return WordVectors.load(self.workdir / "vectors.txt").matrix


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def launch(start, folder):  # noqa: F811
    """``launch(name, count, mesh)``: a job in a work folder of some name."""
    rank = np.random.default_rng(0).zipf(1.3, (250, 20)) % 60
    lines = [" ".join(f"w{i}" for i in line) for line in rank]
    text = folder / "text"
    text.mkdir()
    for name, some in ("a", lines[:20]), ("b", lines[20:30]), ("c", lines[30:]):
        (text / name).write_text("\n".join(some))
    settings = SETTINGS | {"corpus": text}
    quick = partial(in_fork, quick_sitting)
    return lambda name, count, mesh="", launcher=quick, **more: Job(
        launcher, folder / name, count, settings | {"mesh": mesh} | more
    )


@pytest.fixture(scope="module")
def uninterrupted(launch):
    """The vectors of one process that nothing happened to."""
    return launch("one", 1).trains()


@pytest.mark.parametrize(
    ("count", "mesh", "killed", "then"),
    [(2, "", 0, (1, "model:2")), (4, "data:2,model:4", 1, (2, "data:4"))],
)
def test_one_is_killed_and_all_go_on(
    launch, folder, uninterrupted, count, mesh, killed, then
):
    """As many as before, and on another number of processes and another mesh."""
    launcher = partial(in_fork, soon_missed)
    job = launch(f"of {count}", count, mesh, launcher, **OFTEN)
    job.wait_for_training()
    job.members[killed].kill()
    # What README states: mostly at once, else when JAX misses it.
    statuses = job.statuses(25)
    assert statuses.pop(killed) == -signal.SIGKILL
    for i, said in enumerate(job.said()):
        if i != killed and (status := statuses.pop(0)) == 75:
            assert f"process {i} of {count} stopped, as another one is gone" in said
            assert "given to all of them, goes on from the last checkpoint" in said
            assert "Traceback" not in said
        elif i != killed:
            assert status == -signal.SIGABRT
            assert "the JAX distributed service detected fatal errors" in said
    shutil.copytree(job.workdir, folder / f"left by {count}")
    vectors = launch(f"of {count}", count, mesh).trains()
    if mesh:  # sums over columns are added up in another order
        np.testing.assert_allclose(vectors, uninterrupted, rtol=0, atol=1e-3)
    else:
        np.testing.assert_array_equal(vectors, uninterrupted)
    other = launch(f"left by {count}", *then)
    np.testing.assert_allclose(other.trains(), uninterrupted, rtol=0, atol=1e-3)
    assert "Going on from round " in other.said()[0]


def test_a_signal_to_one_stops_all_after_the_same_round(launch):
    """A device a process, where no two devices of one process meet."""
    job = launch("stopped", 2, launcher=partial(in_fork, on_one_device), **OFTEN)
    job.wait_for_training()
    os.kill(job.members[1].pid, signal.SIGTERM)
    assert job.statuses(20) == [143, 143], job.said()
    first, second = (said.splitlines()[-1] for said in job.said())
    assert first == second and first.startswith("stopped after round ")
    newest = max(int(p.name) for p in (job.workdir / "checkpoints").iterdir())
    assert f"after round {newest} of" in first


def test_one_that_cannot_go_on_stops_the_others(launch, folder):
    """Both find another run's folder; whoever says so first ends the other."""
    work = folder / "other's"
    work.mkdir()
    (work / "config.json").write_text('{"dim": 7}')
    job = launch("other's", 2)
    assert set(job.statuses(30)) <= {2, 75}
    assert any("holds a run with" in said for said in job.said())


def test_what_is_another_number_at_the_first_process_is_refused(monkeypatch):
    processes.check_same(3, "newest checkpoint")  # alone there is nothing to compare
    monkeypatch.setattr(processes, "many", lambda: True)
    monkeypatch.setattr(processes, "first_says", lambda number: (7,))
    processes.check_same(7, "newest checkpoint")
    with pytest.raises(InputError, match="checkpoint: 3 at process 0, 7 at the first"):
        processes.check_same(3, "newest checkpoint")


def test_signals_end_a_process_that_waits_for_others_to_read(monkeypatch):
    seen = []

    def barrier(key, timeout_ms):
        seen.append((key, signal.getsignal(signal.SIGTERM)))

    monkeypatch.setattr(processes, "many", lambda: True)
    monkeypatch.setattr(processes.multihost, "get_barrier_sync_fn", lambda: barrier)
    before = signal.getsignal(signal.SIGTERM)
    with processes.stopping.Stopping():
        processes.team().wait("begun")
    assert seen == [("corpus begun", signal.SIG_DFL)]
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("kind", [jax.errors.JaxRuntimeError, ValueError])
def test_what_jax_says_of_a_broken_connection_becomes_a_line(kind, monkeypatch, capsys):
    monkeypatch.setattr(processes, "many", lambda: True)
    monkeypatch.setattr(processes, "leave", sys.exit)
    with pytest.raises(SystemExit, match="75"):
        with processes.together("begins anew"):
            raise kind("UNKNOWN: Gloo all-reduce failed: Connection reset by peer")
    assert "another one is gone" in capsys.readouterr().err
    for other in kind("no such file"), InputError("--corpus=Gloo is no text"):
        with pytest.raises(type(other), match=str(other)):
            with processes.together("begins anew"):
                raise other


def test_alone_it_is_the_first_and_is_answered_at_once():
    assert processes.first() and not processes.many()
    assert processes.agree(True, False) == (True, False)
    assert processes.Agreement()(False, True) == (False, True)
    assert processes.first_says(3, 4) == (3, 4)
    assert jax.process_count() == 1
