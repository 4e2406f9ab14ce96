"""Several processes train one model, on loopback, with two simulated devices each."""

import multiprocessing
import os
import shutil
import signal
import socket
import sys
import time
import warnings

import jax
import numpy as np
import pytest

from experiments import processes
from sgns_jax.types import InputError
from sgns_jax.vectors import WordVectors
from tests.test_experiments_kills import sitting, start  # noqa: F401

#: Short rounds, and enough of them to be interrupted in.
SETTINGS = {
    "dim": 8, "window": 2, "min_count": 1, "block_size": 8, "noise_words": 8,
    "blocks_per_step": 8, "segment_tokens": 600, "epochs": 16, "replicas": 2,
    "checkpoint_seconds": 0.3, "keep_checkpoints": 100,
}  # fmt: skip


class Job:
    """Processes that train together, and what they say."""

    def __init__(self, launcher, text, workdir, count, mesh):
        with socket.socket() as found:
            found.bind(("localhost", 0))
            port = found.getsockname()[1]
        settings = SETTINGS | {"corpus": text, "workdir": workdir, "mesh": mesh}
        base = [f"--{name}={value}" for name, value in settings.items()]
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

    def wait_for_checkpoint(self):
        """Returns when one is whole that was not made at the start."""
        end = time.monotonic() + 100
        while time.monotonic() < end and all(p.is_alive() for p in self.members):
            if any(self.workdir.glob("checkpoints/[1-9]*/_CHECKPOINT_METADATA")):
                if not any(self.workdir.glob("checkpoints/*-tmp")):
                    return
            time.sleep(0.01)
        pytest.fail(f"it never came so far: {self.said()}")

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
    """``launch(name, count, mesh, launcher)``: a job in a work folder of some name."""
    rank = np.random.default_rng(0).zipf(1.3, (250, 20)) % 60
    lines = [" ".join(f"w{i}" for i in line) for line in rank]
    text = folder / "text"
    text.mkdir()
    for name, some in ("a", lines[:20]), ("b", lines[20:30]), ("c", lines[30:]):
        (text / name).write_text("\n".join(some))
    return lambda name, count, mesh="", launcher=start: Job(
        launcher, text, folder / name, count, mesh
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
    job = launch(f"of {count}", count, mesh)
    job.wait_for_checkpoint()
    job.members[killed].kill()
    # What README states: at once, and the first waits three seconds for the others.
    statuses = job.statuses(10)
    assert statuses.pop(killed) == -signal.SIGKILL
    # Where the first one is gone, JAX may be the first to say so.
    assert set(statuses) <= ({75} if killed else {75, -signal.SIGABRT}), job.said()
    for i, said in enumerate(job.said()):
        if i != killed and statuses.pop(0) == 75:
            assert f"process {i} of {count} stopped, as another one is gone" in said
            assert "given to all of them, goes on from the last checkpoint" in said
            assert "Traceback" not in said
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
    job = launch("stopped", 2)
    job.wait_for_checkpoint()
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


def told(variables, seconds, arguments, log):
    """What the command does where a launcher has set variables."""
    os.environ.update(variables)
    processes._START_SECONDS = seconds
    sitting([*arguments, "--plan"], log)


def start_told(variables, arguments, log, seconds=100):
    context = multiprocessing.get_context("forkserver")  # the one of ``start``
    process = context.Process(target=told, args=(variables, seconds, arguments, log))
    process.start()
    return process


def by_slurm(arguments, log, seconds=100):
    """Starts as ``srun`` does: what the flags say of the job is said by variables."""
    *others, address, count, index = arguments
    coordinator, size, rank = (x.partition("=")[2] for x in (address, count, index))
    host, _, port = coordinator.partition(":")
    variables = {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": f"{host},elsewhere",
        "SLURM_STEP_NUM_TASKS": size,
        "SLURM_NTASKS": size,
        "SLURM_PROCID": rank,
        "SLURM_LOCALID": rank,
        "JAX_COORDINATOR_PORT": port,  # in place of one that goes by the job's id
    }
    return start_told(variables, others, log, seconds)


def test_a_job_is_told_by_slurm(launch):
    job = launch("by slurm", 2, launcher=by_slurm)
    assert job.statuses(60) == [0, 0], job.said()
    first, other = job.said()
    assert "\n         4 x CPU" in first and "It fits" not in other


def test_a_job_that_nobody_else_joins_ends_with_a_line(start, folder):  # noqa: F811
    log = folder / "alone.log"
    flags = ["--coordinator=localhost:1", "--num_processes=2", "--process_id=1"]
    process = by_slurm(flags, log, seconds=1)
    process.join(60)
    assert process.exitcode == 2
    assert log.read_text() == (
        "error: this process cannot join the job that SLURM_STEP_NUM_TASKS=2 tells of: "
        "not all of its processes came within 1 s; give --coordinator, --num_processes "
        "and --process_id, or --num_processes=1 to train alone\n"
    )


def test_an_indexed_job_that_jax_cannot_ask_for_ends_with_a_line(start, folder):  # noqa: F811
    """JAX would warn that a package is missing, and train on."""
    log = folder / "indexed.log"
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}
    process = start_told(pod, [], log)
    process.join(60)
    assert process.exitcode == 2
    said = log.read_text()
    assert said.startswith("error: ") and said.count("\n") == 1
    assert "JOB_COMPLETION_INDEX=0 tells of: " in said


@pytest.fixture
def environment(monkeypatch):
    """``environment(variables)`` sets them in place of those of any launcher."""
    starts = "SLURM", "OMPI", "JAX_COORDINATOR", "JOB_COMPLETION", "KUBERNETES", "TPU"
    for name in filter(lambda name: name.startswith(starts), list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")  # as JAX does without a TPU

    def set_all(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


@pytest.fixture
def asked(monkeypatch):
    """How JAX was asked to join a job, and what it is to raise or to warn of."""
    calls, answers = [], []

    def initialize(*given, cluster_detection_method=None, **seconds):
        calls.append((*given, cluster_detection_method))
        for answer in answers:
            if isinstance(answer, Warning):
                warnings.warn(answer, stacklevel=1)
            else:
                raise answer

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    return calls, answers


STEP = {
    "SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "node[1-4]", "SLURM_NTASKS": "4",
    "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
}  # fmt: skip
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
NONE = ValueError("coordinator_address should be defined.")
NO_PACKAGE = UserWarning("Kubernetes environment detected, but no\npackage")


@pytest.mark.parametrize(
    "variables",
    [
        {},
        # An interactive shell of salloc -n4, or a step of one task beside others.
        STEP | {"SLURM_STEP_NUM_TASKS": "1"},
        # The script of sbatch -n4, without srun.
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"},
        {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:9"},
        # mpirun -n1 on four nodes: SLURM counts its helpers.
        STEP | {"SLURM_STEP_NUM_TASKS": "4", "OMPI_COMM_WORLD_SIZE": "1"},
        POD,
        POD | {"TPU_WORKER_HOSTNAMES": "localhost"},
    ],
)
def test_one_process_in_a_cluster_asks_jax_nothing(variables, environment, asked):
    environment(variables)
    processes.join("", 0, -1)
    assert asked == ([], [])


@pytest.mark.parametrize(
    ("variables", "teller"),
    [
        (STEP | {"SLURM_STEP_NUM_TASKS": "4"}, "SLURM_STEP_NUM_TASKS=4"),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "OMPI_COMM_WORLD_SIZE=2"),
        ({"JAX_COORDINATOR_ADDRESS": "a:1"}, "JAX_COORDINATOR_ADDRESS=a:1"),
        (POD | {"JOB_COMPLETION_INDEX": "0"}, "JOB_COMPLETION_INDEX=0"),
        (POD | {"TPU_WORKER_HOSTNAMES": "a,b"}, "TPU_WORKER_HOSTNAMES"),
    ],
)
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (NONE, "coordinator_address should be defined"),
        (NO_PACKAGE, "Kubernetes environment detected, but no package"),
        (RuntimeError("Kubernetes API Error: 403\nIt"), "Kubernetes API Error: 403 It"),
        (KeyError("job-name"), "'job-name'"),
    ],
)
@pytest.mark.filterwarnings("default")  # as outside of tests
def test_one_of_several_joins_or_says_why_not(
    variables, teller, answer, reason, environment, asked
):
    environment(variables)
    calls, answers = asked
    processes.join("", 0, -1)
    assert calls == [(None,)]
    answers.append(answer)
    with pytest.raises(InputError) as error:
        processes.join("", 0, -1)
    assert str(error.value) == (
        f"this process cannot join the job that {teller} tells of: {reason}; give "
        "--coordinator, --num_processes and --process_id, or --num_processes=1 to "
        "train alone"
    )
    processes.join("", 1, -1)
    assert len(calls) == 2


@pytest.mark.parametrize("answer", [NONE, NO_PACKAGE])
@pytest.mark.filterwarnings("default")
def test_a_machine_with_a_tpu_may_be_of_no_pod(answer, environment, asked, monkeypatch):
    environment(POD)
    monkeypatch.delenv("TPU_SKIP_MDS_QUERY")
    calls, answers = asked
    answers.append(answer)
    processes.join("", 0, -1)
    assert calls == [(None,)]
    answers[0] = RuntimeError("no metadata")
    with pytest.raises(InputError, match="the machine of this TPU tells of: no meta"):
        processes.join("", 0, -1)


def test_flags_name_all_of_a_job(environment, asked):
    """In a cluster, too: what it tells does not get between."""
    environment(STEP | {"SLURM_STEP_NUM_TASKS": "4"})
    calls, answers = asked
    processes.join("localhost:1234", 2, 1)
    assert calls == [("localhost:1234", 2, 1, "deactivate")]
    processes.join("localhost:1234", 1, 0)
    assert len(calls) == 1
    answers.append(jax.errors.JaxRuntimeError("UNKNOWN: Failed to start RPC server"))
    with pytest.raises(InputError, match="1 cannot join .*: UNKNOWN: .* port that is"):
        processes.join("localhost:1234", 2, 1)


def test_who_has_joined_is_late_no_more(environment, asked, monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(processes, "_START_SECONDS", 0.1)
    processes.join("localhost:1234", 2, 1)
    time.sleep(0.3)
    assert not ended


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


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("localhost:1234", 2, -1), "needs all of --coordinator"),
        (("", 2, 0), "needs all of --coordinator"),
        (("localhost", 2, 0), "must be like node1:1234"),
        (("localhost:1234", 2, 2), "process_id must be from 0 to 1"),
    ],
)
def test_a_job_is_named_in_full(given, words):
    with pytest.raises(InputError, match=words):
        processes.join(*given)


def test_alone_it_is_the_first_and_is_answered_at_once(environment):
    processes.join("", 0, -1)
    assert processes.first() and not processes.many()
    assert processes.agree(True, False) == (True, False)
    assert processes.Agreement()(False, True) == (False, True)
    assert processes.first_says(3, 4) == (3, 4)
    assert jax.process_count() == 1
