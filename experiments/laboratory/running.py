"""Running examinations: side by side in processes, since most of the time compiles.

Two threads are no faster than one: what is not compiling holds Python's lock.
"""

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import NamedTuple

import jax
from tqdm import tqdm

from experiments.laboratory.bounds import Comparison
from experiments.laboratory.mutants import MUTANTS, applied

PROCESSES = 2


class Job(NamedTuple):
    """One examination out of a list, said so that another process can find it."""

    make: Callable[[], list[Callable[[], list[Comparison]]]]  #: makes the list
    index: int
    mutant: str = ""  #: in the library meanwhile; empty: none


def jobs(make: Callable, mutant: str = "") -> list[Job]:
    """A job for each examination of a list."""
    return [Job(make, i, mutant) for i in range(len(make()))]


def run(jobs: list[Job], about: str) -> list[list[Comparison]]:
    """The comparisons of each job, in order; shows a bar."""
    with _mapper() as each:
        return list(tqdm(each(do, jobs), about, len(jobs), leave=False))


@contextlib.contextmanager
def _mapper() -> Iterator[Callable]:
    """``map``, over processes if the device can be shared: a CPU can, a TPU cannot."""
    if PROCESSES == 1 or jax.default_backend() != "cpu":
        yield map
        return
    spawn = multiprocessing.get_context("spawn")  # JAX does not survive a fork
    devices = len(jax.devices())
    pool = ProcessPoolExecutor(PROCESSES, spawn, _start, (devices,))
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _start(devices: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent alone reports it
    jax.config.update("jax_num_cpu_devices", devices)


def do(job: Job) -> list[Comparison]:
    """One job, with its mutant in the library."""
    with applied(MUTANTS[job.mutant]) if job.mutant else contextlib.nullcontext():
        return _examinations(job.make, job.mutant)[job.index]()


@cache  # the jobs of a list share what they compile
def _examinations(make, mutant):
    del mutant  # its part of the key: with another one in the library, all is new
    return make()
