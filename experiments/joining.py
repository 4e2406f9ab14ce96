"""How a process joins a job of many: by flags, or by what a cluster tells JAX."""

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import jax

from experiments.stopping import ended_by_signals
from sgns_jax.types import InputError

#: A process that is not heard of for so long counts as gone. Most often its broken
#: connections tell sooner.
_HEARTBEAT_SECONDS = 30
#: How long others are waited for: at the start, and at the end while the first one
#: writes vectors and pictures.
_START_SECONDS, _END_SECONDS = 300, 3600
#: How many processes a launcher says it started. Open MPI's is asked first: it may run
#: within SLURM. A step of SLURM's may have fewer than its job (SLURM_NTASKS).
_SIZES = "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"
#: What a process has that is one of several. The second is of Indexed Jobs alone.
_MARKS = "JAX_COORDINATOR_ADDRESS", "JOB_COMPLETION_INDEX"
_TPU = "the machine of this TPU"


def join(coordinator: str, num_processes: int, process_id: int) -> None:
    """Joins the job that the flags name, or the one that a cluster tells of.

    To be called before JAX is used. A process on its own starts nothing.

    Raises:
      InputError: the job is not described in full, or cannot be joined.
    """
    seconds = {
        "initialization_timeout": 2 * _START_SECONDS,  # _joining is to end it
        "heartbeat_timeout_seconds": _HEARTBEAT_SECONDS,
        "shutdown_timeout_seconds": _END_SECONDS,
    }
    # Signals are heard by Stopping, and votes tell the others (Agreement).
    jax.config.update("jax_enable_preemption_service", False)
    if num_processes == 1 and process_id <= 0:
        return
    given = coordinator, num_processes or None, None if process_id < 0 else process_id
    if given == ("", None, None):
        if teller := _teller():
            _join_told(teller, seconds)
        return
    _check(*given)
    with _joining(
        f"process {process_id} cannot join the job at {coordinator}",
        f"start all {num_processes} processes, with the address of the first one and "
        "a port that is free there",
    ):
        # Who names a job has named all of it: JAX asks no cluster for the rest.
        jax.distributed.initialize(
            *given, cluster_detection_method="deactivate", **seconds
        )


def _teller() -> str:
    """What says that this process is one of several; empty where it is on its own.

    JAX is not asked then: it starts a service for one process, too, and two of them at
    one port, as in two steps of a job of SLURM, end each other.
    """
    said = os.environ
    for name in _SIZES:
        if name in said:
            return "" if said[name] == "1" else f"{name}={said[name]}"
    for name in _MARKS:
        if name in said:
            return f"{name}={said[name]}"
    if "," in said.get("TPU_WORKER_HOSTNAMES", ""):
        return "TPU_WORKER_HOSTNAMES"
    # JAX sets this where there is no TPU. Where there is one, its machine has to be
    # asked whether it is one of a pod.
    return "" if "TPU_SKIP_MDS_QUERY" in said else _TPU


def _join_told(teller: str, seconds: dict[str, int]) -> None:
    with (
        _joining(
            f"this process cannot join the job that {teller} tells of",
            "give --coordinator, --num_processes and --process_id, or "
            "--num_processes=1 to train alone",
        ),
        warnings.catch_warnings(),
    ):
        # A package is missing that asks Kubernetes, and JAX would go on without a job.
        warnings.filterwarnings("error", "Kubernetes environment detected")
        try:
            jax.distributed.initialize(**seconds)
        except (ValueError, UserWarning):  # JAX knows of no job
            if teller != _TPU:
                raise


@contextmanager
def _joining(what: str, todo: str) -> Iterator[None]:
    """Makes one line of all that goes wrong in JAX meanwhile: "what: …; todo".

    Raises:
      InputError: something did.
    """

    def end() -> None:  # or JAX would, with a trace of C++ that nothing can catch
        late = f"not all of its processes came within {_START_SECONDS} s"
        print(f"error: {what}: {late}; {todo}", file=sys.stderr)
        os._exit(2)

    timer = threading.Timer(_START_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        with ended_by_signals():
            yield
    except Exception as error:  # each kind of cluster has its own
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"{what}: {reason}; {todo}") from None
    finally:
        timer.cancel()


def _check(coordinator: str, num_processes: int | None, process_id: int | None) -> None:
    if not coordinator or num_processes is None or process_id is None:
        raise InputError(
            "a job needs all of --coordinator, --num_processes and --process_id, got "
            f"{coordinator!r}, {num_processes} and {process_id}; or none where a "
            "cluster tells JAX"
        )
    host, _, port = coordinator.rpartition(":")
    if not (host and port.isdecimal()):
        raise InputError(f"coordinator must be like node1:1234, got {coordinator!r}")
    if not 0 <= process_id < num_processes:
        raise InputError(
            f"process_id must be from 0 to {num_processes - 1} for --num_processes="
            f"{num_processes}, got {process_id}"
        )
