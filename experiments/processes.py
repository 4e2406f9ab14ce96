"""Many processes as one job, by ``jax.distributed``.

Each process runs the same command and drives its own devices; together they train one
model. The first one alone speaks on the standard output and writes what is one for all;
of a checkpoint each writes its part.
"""

import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import multihost

from sgns_jax.parts import ALONE, Team
from sgns_jax.types import InputError

#: A process that is not heard of for so long counts as gone. One whose connections
#: break is known to be gone at once.
HEARTBEAT_SECONDS = 30
#: How long others are waited for: at the start, and at the end while the first one
#: writes vectors and pictures.
_START_SECONDS, _END_SECONDS = 300, 3600
_WORK_SECONDS = 7 * 24 * 3600  # and while they read their share of the text
#: The first process goes last, or JAX would end the others before their own line.
_GRACE_SECONDS = 3
_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h
#: What JAX says when a connection broke or nobody answered.
_SIGNS = "Gloo", "NCCL", "UNAVAILABLE", "ABORTED", "DEADLINE_EXCEEDED"
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
        "heartbeat_timeout_seconds": HEARTBEAT_SECONDS,
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
        yield
    except Exception as error:  # each kind of cluster has its own
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"{what}: {reason}; {todo}") from None
    finally:
        timer.cancel()


def one_voice() -> None:
    """Leaves the standard output to the first process; once JAX has started."""
    if not first():
        sys.stdout = open(os.devnull, "w")


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


def first() -> bool:
    """Is this the process that writes and speaks?"""
    return not many() or jax.process_index() == 0


def many() -> bool:
    """Is it one of several? Asking starts no device."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


@contextmanager
def together(again: str) -> Iterator[None]:
    """Ends this process if another one is gone, with a line and status 75.

    Nothing that surrounds the block is left in order, as that might wait for those that
    are gone.

    Args:
      again: what the same command does when it is given to all of them again.
    """
    try:
        yield
    except InputError:
        raise
    # The second is raised where a program is sent to devices after a connection broke.
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        text = str(error)
        if not (any(sign in text for sign in _SIGNS) and many()):
            raise
        print(
            f"\nprocess {jax.process_index()} of {jax.process_count()} stopped, as "
            f"another one is gone ({text.splitlines()[0]:.120}); the same command, "
            f"given to all of them, {again}",
            file=sys.stderr,
        )
        leave(_TRY_AGAIN)


def leave(status: int) -> None:
    """Ends this process after an error, and waits for no other: they may be gone."""
    if many():
        sys.stdout.flush()
        sys.stderr.flush()
        time.sleep(_GRACE_SECONDS * first())
        os._exit(status)
    sys.exit(status)


def team() -> Team:
    """The processes, for ``load_corpus``."""
    if not many():
        return ALONE
    # A barrier of JAX's coordination: its devices would not wait for hours.
    barrier = multihost.get_barrier_sync_fn()
    return Team(
        jax.process_index(),
        jax.process_count(),
        lambda name: barrier(key=f"corpus {name}", timeout_ms=1000 * _WORK_SECONDS),
        lambda number: first_says(number)[0],
    )


def first_says(*numbers: int) -> tuple[int, ...]:
    """Whole numbers of the first process, at all of them."""
    said = multihost_utils.broadcast_one_to_all(np.array(numbers, np.int32))
    return tuple(said.tolist())


def await_all(tree: object) -> None:
    """Returns when arrays are there, on all devices of this process.

    If another process is gone, some of them hear of it, and the rest would wait for
    ever for those: this raises at the first that does.

    Raises:
      JaxRuntimeError: a device will never have its part.
    """
    arrays = jax.tree.leaves(tree) if many() else []
    waiting = [shard.data for array in arrays for shard in array.addressable_shards]
    while waiting:
        for part in waiting:
            if part.is_ready():
                part.block_until_ready()
        waiting = [part for part in waiting if not part.is_ready()]
        time.sleep(0.001)


class Agreement:
    """Yes or no to some questions, the same at every process.

    One process is answered at once. Many are asked in each round and answered in the
    next, when the devices have brought the votes along: nobody waits for anybody.
    """

    def __init__(self):
        self._asked = None

    def __call__(self, *votes: bool) -> tuple[bool, ...]:
        """Does any process say yes? Every process calls this as often."""
        if not many():
            return votes
        before, self._asked = self._asked, _any_says(votes)
        return (False,) * len(votes) if before is None else _read(before)


def agree(*votes: bool) -> tuple[bool, ...]:
    """The same, answered at once."""
    return _read(_any_says(votes)) if many() else votes


def _read(votes: jax.Array) -> tuple[bool, ...]:
    await_all(votes)
    return tuple(np.asarray(votes).tolist())


def _any_says(votes: tuple[bool, ...]) -> jax.Array:
    ballot, count = _ballot()
    mine = np.array([votes])
    shape = jax.device_count(), len(votes)
    return count(jax.make_array_from_callback(shape, ballot, lambda _: mine))


@cache
def _ballot():
    """Where each device's votes are, and the function that counts them."""
    mesh = Mesh(np.array(jax.devices()), ("device",))
    each, every = (NamedSharding(mesh, PartitionSpec(*x)) for x in (["device"], []))
    return each, jax.jit(lambda votes: votes.any(axis=0), out_shardings=every)
