"""How a process finds its job: by flags, or by what a launcher tells it."""

import os
import signal
import socket
import time
import warnings

import jax
import pytest

from experiments import joining
from sgns_jax.types import InputError
from tests.test_experiments_kills import start  # noqa: F401
from tests.test_experiments_processes import (  # noqa: F401
    folder,
    in_fork,
    launch,
    quick_sitting,
)


def told(variables, seconds, arguments, log):
    """What the command does where a launcher has set variables."""
    os.environ.update(variables)
    joining._START_SECONDS = seconds
    quick_sitting([*arguments, "--plan"], log)


def start_told(variables, arguments, log, seconds=100):
    return in_fork(told, variables, seconds, arguments, log)


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


def test_a_job_is_told_by_slurm(launch):  # noqa: F811
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


def test_a_signal_ends_the_wait_for_the_others(start, folder):  # noqa: F811
    """JAX waits where no handler of Python's would run."""
    with socket.create_server(("localhost", 0)) as silent:
        address = f"localhost:{silent.getsockname()[1]}"
        flags = [f"--coordinator={address}", "--num_processes=2", "--process_id=1"]
        process = start([*flags, "--plan"], folder / "waiting.log")
        silent.settimeout(60)
        with silent.accept()[0]:
            os.kill(process.pid, signal.SIGINT)
            process.join(10)
        process.kill()
    assert process.exitcode == -signal.SIGINT


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
    joining.join("", 0, -1)
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
    joining.join("", 0, -1)
    assert calls == [(None,)]
    answers.append(answer)
    with pytest.raises(InputError) as error:
        joining.join("", 0, -1)
    assert str(error.value) == (
        f"this process cannot join the job that {teller} tells of: {reason}; give "
        "--coordinator, --num_processes and --process_id, or --num_processes=1 to "
        "train alone"
    )
    joining.join("", 1, -1)
    assert len(calls) == 2


@pytest.mark.parametrize("answer", [NONE, NO_PACKAGE])
@pytest.mark.filterwarnings("default")
def test_a_machine_with_a_tpu_may_be_of_no_pod(answer, environment, asked, monkeypatch):
    environment(POD)
    monkeypatch.delenv("TPU_SKIP_MDS_QUERY")
    calls, answers = asked
    answers.append(answer)
    joining.join("", 0, -1)
    assert calls == [(None,)]
    answers[0] = RuntimeError("no metadata")
    with pytest.raises(InputError, match="the machine of this TPU tells of: no meta"):
        joining.join("", 0, -1)


def test_flags_name_all_of_a_job(environment, asked):
    """In a cluster, too: what it tells does not get between."""
    environment(STEP | {"SLURM_STEP_NUM_TASKS": "4"})
    calls, answers = asked
    joining.join("localhost:1234", 2, 1)
    assert calls == [("localhost:1234", 2, 1, "deactivate")]
    joining.join("localhost:1234", 1, 0)
    assert len(calls) == 1
    answers.append(jax.errors.JaxRuntimeError("UNKNOWN: Failed to start RPC server"))
    with pytest.raises(InputError, match="1 cannot join .*: UNKNOWN: .* port that is"):
        joining.join("localhost:1234", 2, 1)


def test_who_has_joined_is_late_no_more(environment, asked, monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(joining, "_START_SECONDS", 0.1)
    joining.join("localhost:1234", 2, 1)
    time.sleep(0.3)
    assert not ended


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
        joining.join(*given)
