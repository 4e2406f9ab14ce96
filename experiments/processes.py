"""Many processes as one job, by ``jax.distributed``.

Each process runs the same command and drives its own devices; together they train one
model. The first one alone speaks on the standard output and writes what is one for all;
of a checkpoint each writes its part.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import multihost

from experiments import stopping
from sgns_jax.parts import ALONE, Team
from sgns_jax.types import InputError

#: How long others are waited for while they read their share of the text.
_WORK_SECONDS = 7 * 24 * 3600
#: The first process goes last, or JAX would end the others before their own line.
_GRACE_SECONDS = 3
_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h
#: What JAX says when a connection broke or nobody answered.
_SIGNS = "Gloo", "NCCL", "UNAVAILABLE", "ABORTED", "DEADLINE_EXCEEDED"


def one_voice() -> None:
    """Leaves the standard output to the first process; once JAX has started."""
    if not first():
        sys.stdout = open(os.devnull, "w")


def first() -> bool:
    """Is this the process that writes and speaks?"""
    return not many() or jax.process_index() == 0


def many() -> bool:
    """Is it one of several?"""
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

    def wait(name: str) -> None:
        with stopping.ended_by_signals():  # it would hear of none
            barrier(key=f"corpus {name}", timeout_ms=1000 * _WORK_SECONDS)

    return Team(
        jax.process_index(),
        jax.process_count(),
        wait,
        lambda number: first_says(number)[0],
    )


def first_says(*numbers: int) -> tuple[int, ...]:
    """Whole numbers of the first process, at all of them."""
    said = multihost_utils.broadcast_one_to_all(np.array(numbers, np.int32))
    return tuple(said.tolist())


def check_same(number: int, what: str) -> None:
    """Refuses to go on with a number that is another one at the first process.

    Raises:
      InputError: it is.
    """
    if many() and (said := first_says(number)[0]) != number:
        raise InputError(
            f"{what}: {number} at process {jax.process_index()}, {said} at the first; "
            "give all of them the same command, and folders that all see alike"
        )


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
