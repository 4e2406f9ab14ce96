"""One reader, one input: what it may cost, and what it came to."""

import resource
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sgns_jax.types import InputError

HANG_SECONDS = 5.0
# A 64 kB file may honestly ask for the window of its compression, up to 128 MiB.
MEMORY_BYTES = 256 << 20
PROBLEM = "problem.txt"
_PAGE = resource.getpagesize()


class Target(NamedTuple):
    """A reader, and files to begin with."""

    name: str
    about: str
    file: str  #: the name that a file given to it has
    prepare: Callable[[Path], list[bytes]]  #: fills a folder; files that are accepted
    read: Callable[[Path], None]  #: InputError alone may come out


class Tally(NamedTuple):
    """What a reader's inputs came to."""

    executions: float = 0
    longest_seconds: float = 0
    first_peak_bytes: float = 0  #: peak memory of the process at the first input
    peak_bytes: float = 0  #: and at the last


class Guard:
    """Calls a reader; lets pass that it refuses an input, and nothing else.

    - An exception that is no InputError is written to ``problem.txt`` and raised.
    - One input may allocate ``MEMORY_BYTES``: what asks for more fails with a
      MemoryError, whether the memory would be touched or not (RLIMIT_DATA).
    - After ``hang_seconds`` comes SIGALRM, which ends the process wherever it is.

    The input stays in ``path``, and the tally in a file, whatever becomes of us.
    """

    def __init__(
        self, target: Target, folder: Path, hang_seconds: float = HANG_SECONDS
    ):
        self._hang_seconds = hang_seconds
        self._read, self._problem = target.read, folder / PROBLEM
        self.path = folder / target.file
        self._tally = np.memmap(folder / "tally", np.float64, "w+", shape=len(Tally()))

    def __call__(self, data: bytes) -> None:
        self.path.write_bytes(data)
        _limit_memory(_data_bytes() + MEMORY_BYTES)
        signal.setitimer(signal.ITIMER_REAL, self._hang_seconds)
        started = time.perf_counter()
        try:
            self._read(self.path)
        except InputError:
            pass
        except BaseException:
            self._problem.write_text(traceback.format_exc(), encoding="utf-8")
            raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            _limit_memory(resource.RLIM_INFINITY)
            self._count(time.perf_counter() - started)

    def _count(self, seconds: float) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        executions, longest, first, _ = self._tally
        self._tally[:] = executions + 1, max(longest, seconds), first or peak, peak


def read_tally(folder: Path) -> Tally:
    """The tally of a process that wrote into a folder, ended or not."""
    return Tally(*np.fromfile(folder / "tally").tolist())


def same(found: object, expected: object) -> None:
    """Raises what counts as a finding if the two differ."""
    if found != expected:
        raise AssertionError(f"read again, {found!s:.300} is not {expected!s:.300}")


def _data_bytes() -> int:
    """Private memory that the process may write to, as RLIMIT_DATA counts it."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        return int(file.read().split()[5]) * _PAGE


def _limit_memory(size: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        size = hard if size == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (size, hard))
