"""A text larger than memory against one that fits."""

import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from experiments.faulting.child import PATIENCE, Sample, Training, read_metrics
from experiments.workdir import Workdir
from sgns_jax.types import InputError

SLICE_SECONDS = 10.0  #: one trains so long while the other is paused
PARTS = 4  #: of the slices, whose speeds show how much these vary
SMALL_BYTES = 5 * 10**8  #: the text that fits, or half the large one
#: 4 bytes for each token, which has 5 letters, twice while they are counted, and 28
#: for each word of a generation, of which there is one in ten tokens.
DISK = 3.3  #: times the text
#: of experiments.train
FLAGS = (
    "--max_vocabulary=100000",
    "--epochs=1000",  # never reached: training is stopped when its time is over
)


class Case(NamedTuple):
    """A text and the folder of its training."""

    name: str
    text: Path
    workdir: Workdir
    #: RLIMIT_DATA counts what a process may write to and no file backs: what must be
    #: in memory. RLIMIT_AS (ulimit -v) would count the mapped tokens, which the system
    #: drops and reads again as it likes, and addresses that XLA reserves and never
    #: touches, too.
    data_limit: int | None


def check_disk(folder: Path, num_bytes: int) -> None:
    """Refuses a text that the disk cannot hold.

    Raises:
      InputError: there is less room than the text and its training need.
    """
    free, needed = shutil.disk_usage(folder).free, DISK * num_bytes
    if free < needed:
        raise InputError(
            f"a text of {num_bytes / 1e9:g} GB and its encoding need "
            f"{needed / 1e9:.1f} GB in {folder}, {free / 1e9:.1f} GB are free; give "
            "fewer --gigabytes or another --workdir"
        )


def compare(
    cases: tuple[Case, Case], seconds: float, tell: Callable[[str], None]
) -> dict:
    """Trains with both texts in turns, a few seconds each.

    The machine is faster at one time than at another by more than what is to be seen.
    So both processes are there all the time, and one is paused while the other trains.

    Args:
      cases: the large text and the small one.
      seconds: of training with each text in all.
      tell: called a few times a second with what goes on.

    Returns:
      ``cases``: what was seen of the reading and the end of each; ``slices``: who
      trained for how many seconds, and the rounds it did.
    """
    with ExitStack() as stack:
        trainings, read = [], []
        for case in cases:
            flags = [f"--corpus={case.text.absolute()}", *FLAGS]
            log = case.workdir.path("log.txt")
            child = Training(flags, case.workdir.path(""), log, case.data_limit)
            trainings.append(stack.enter_context(child))
            read.append(_read(case, child, tell))
            child.pause()
        slices = []
        for number in range(2 * math.ceil(seconds / SLICE_SECONDS)):
            turn = (number + 1) // 2 % 2  # a b b a: a steady drift is the same for both
            slices.append(_slice(cases[turn], trainings[turn], tell))
        ends = [_end(*both) for both in zip(cases, trainings, strict=True)]
    names = [case.name for case in cases]
    records = (one | end for one, end in zip(read, ends, strict=True))
    return {"cases": dict(zip(names, records, strict=True)), "slices": slices}


def _read(case: Case, child: Training, tell: Callable[[str], None]) -> dict:
    """Watches a training until its first round is done; what its reading took."""
    encoded, began, done = case.workdir.path("corpus"), None, None
    while child.watch() and not child.reported():
        if not began and encoded.exists():
            began = child.seconds()
        if not done and (encoded / "corpus.json").exists():
            done = child.seconds()
        tell(f"{'first round' if done else 'reading'} of the {case.name} text")
    child.check()
    return {
        "reading_seconds": done - began,
        "reading_bytes_per_second": case.text.stat().st_size / (done - began),
        "reading_bytes": _most(x for x in child.samples if x.seconds < done),
    }


def _slice(case: Case, child: Training, tell: Callable[[str], None]) -> dict:
    """Lets a training go on for a while."""
    if case.data_limit:  # whatever the reading left in memory comes from the disk
        forget(case.workdir.path("corpus") / "tokens.int32")
    rounds, began = child.rounds(), time.perf_counter()
    child.go_on()
    while (left := began + SLICE_SECONDS - time.perf_counter()) > 0:
        child.watch(left)
        child.check()
        tell(f"training with the {case.name} text")
    child.pause()
    seconds = time.perf_counter() - began
    return {"case": case.name, "seconds": seconds, "rounds": child.rounds() - rounds}


def _end(case: Case, child: Training) -> dict:
    """Asks a training to stop as a user would."""
    child.go_on()
    status = child.end(signal.SIGTERM, PATIENCE)
    return {
        "exit_status": status,
        "words_per_round": words_per_round(case.workdir),
        "most_bytes": _most(child.samples),
    }


def words_per_round(workdir: Workdir) -> float:
    """Of the text."""
    raw_words = workdir.read_json("corpus/corpus.json")["corpus"]["raw_words"]
    last = read_metrics(workdir.path(""))[-1]
    return raw_words * last["epoch"] / last["round"]


def forget(path: Path) -> None:
    """Takes a file out of memory: the next to read it waits for the disk."""
    with path.open("rb") as file:
        os.fdatasync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _most(samples: Iterable[Sample]) -> dict[str, int]:
    """The most memory at once, and the most that the limit counts."""
    sizes = [(sample.anonymous_bytes, sample.data_bytes) for sample in samples]
    anonymous, data = map(max, zip(*sizes, strict=True)) if sizes else (0, 0)
    return {"anonymous": anonymous, "data": data}


def summarise(measured: dict) -> dict:
    """The speeds of both texts and their ratio, of all slices and of parts of them."""
    slices, cases = measured["slices"], measured["cases"]
    length = -(-len(slices) // PARTS)
    parts = [slices[at : at + length] for at in range(0, len(slices), length)]
    speeds = _speeds(slices, cases)
    return {
        "words_per_second": speeds,
        "words_per_second_of_parts": [_speeds(part, cases) for part in parts],
        "ratio": speeds["large"] / speeds["small"],
        "most_bytes": cases["large"]["most_bytes"],
    }


def _speeds(slices: list[dict], cases: dict[str, dict]) -> dict[str, float]:
    """Words of the text a second, with each text."""

    def total(name, key):
        return sum(one[key] for one in slices if one["case"] == name)

    return {
        name: total(name, "rounds") * one["words_per_round"] / total(name, "seconds")
        for name, one in cases.items()
    }
