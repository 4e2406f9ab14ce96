"""Running examinations: side by side in processes, since most of the time compiles.

Two threads are no faster than one: what is not compiling holds Python's lock.
"""

import contextlib
import itertools
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
from tqdm import tqdm

from experiments.laboratory import examinations
from experiments.laboratory.bounds import Comparison
from experiments.laboratory.mutants import MUTANTS, applied
from sgns_jax.types import InputError

PROCESSES = 2
_ROOT = Path(__file__).parents[2]


class Trial(NamedTuple):
    """What came of the screening with a mutant in the library."""

    mutant: str
    comparisons: list[Comparison]
    crashes: list[str]  #: a line for each tier where it ended in an exception

    @property
    def failed(self) -> list[Comparison]:
        return [c for c in self.comparisons if not c.holds]

    @property
    def outcome(self) -> str:
        """``crashed`` in any tier, else ``caught`` by any comparison, else missed."""
        if self.crashes:
            return "crashed"
        return "caught" if self.failed else "missed"


def everything() -> list[Comparison]:
    """All comparisons of the library as it is."""
    number = len(examinations.everything())
    return sum(_run(_examined, range(number), "examining"), [])


def trials(mutants: Iterable[str]) -> list[Trial]:
    """Each mutant in the library, in every tier of the screening."""
    jobs = list(itertools.product(mutants, examinations.screening()))
    found: dict[str, Trial] = {name: Trial(name, [], []) for name, _ in jobs}
    for (name, _), came in zip(jobs, _run(screened, jobs, "screening"), strict=True):
        if isinstance(came, str):
            found[name].crashes.append(came)
        else:
            found[name].comparisons.extend(came)
    return list(found.values())


def _run(do: Callable, jobs: Iterable, about: str) -> list:
    """What each job comes to, in order; shows a bar.

    Raises:
        InputError: a process was ended from outside, which says nothing of the library.
    """
    try:
        with _mapper() as each:
            return list(tqdm(each(do, jobs), about, len(jobs), leave=False))
    except BrokenProcessPool:
        raise InputError(
            f"a process was ended from outside while {about}, as happens where memory "
            "runs out; make room and give the same command again"
        ) from None


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


def _examined(index: int) -> list[Comparison]:
    return _everything()[index]()


@cache  # examinations share what they compile
def _everything():
    return examinations.everything()


def screened(job: tuple[str, str]) -> list[Comparison] | str:
    """The comparisons of a tier with a mutant in the library, or how that crashed."""
    mutant, tier = job
    try:
        with applied(MUTANTS[mutant]):
            return examinations.screening()[tier]()
    except Exception as error:  # whatever a wrong function does, the others go on
        return f"{tier}: {_in_a_line(error)}"


def _in_a_line(error: Exception) -> str:
    """Type, message and the innermost place in our code."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if _ROOT in Path(f.filename).parents]
    ours = [f for f in ours if "site-packages" not in f.filename] or frames
    message = (str(error).splitlines() or [""])[0]
    at = ours[-1]
    place = f"{Path(at.filename).name}:{at.lineno}, in {at.name}"
    return f"{type(error).__name__}: {message} ({place})"
