"""A text larger than memory against one that fits."""

import os
import shutil
import signal
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from experiments.faulting.child import PATIENCE, Training, read_metrics
from experiments.workdir import Workdir
from sgns_jax.types import InputError

SITTINGS = 3  #: with each text, in turns
ROUNDS = 4  #: of a sitting at least; its speed is that from the first one on
SMALL_BYTES = 5 * 10**8  #: the text that fits, or half the large one
#: 4 bytes for each token, twice while they are counted, and a token has 5 letters.
DISK = 3.0  #: times the text
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
) -> list[dict]:
    """Trains with each text in turns; a record for each sitting.

    Args:
      cases: the large text and the small one.
      seconds: of training with each text in all.
      tell: called a few times a second with what goes on.
    """
    records = []
    for number in range(SITTINGS):
        for case in cases:
            record = _sit(case, number, seconds / SITTINGS, tell)
            records.append({"case": case.name, "sitting": number} | record)
    return records


def _sit(case: Case, number: int, seconds: float, tell: Callable[[str], None]) -> dict:
    """Trains so many seconds, then asks to stop as a user would."""
    encoded = case.workdir.path("corpus")
    log = case.workdir.path(f"log_{number}.txt")
    flags = [f"--corpus={case.text.absolute()}", *FLAGS]
    reading_from, read_at, trained_from = None, None, None
    with Training(flags, case.workdir.path(""), log, case.data_limit) as child:
        while child.watch():
            if not reading_from and encoded.exists():
                reading_from = time.time()
            if not read_at and (encoded / "corpus.json").exists():
                read_at, sample = time.time(), len(child.samples)
            if not trained_from and child.reported():
                trained_from = time.time()
                # Whatever the reading left in memory, training reads from the disk.
                if case.data_limit:
                    forget(encoded / "tokens.int32")
            if trained_from and time.time() - trained_from >= seconds:
                if child.reported(ROUNDS):
                    break
            phase = "training with" if trained_from else "reading"
            tell(f"{phase} the {case.name} text")
        child.check()
        status = child.end(signal.SIGTERM, PATIENCE)
    record = {
        "exit_status": status,
        "words_per_second": words_per_second(case.workdir, child.went_on_from()),
        "training_anonymous_bytes": _most(child.samples[sample:]),
    }
    if number == 0:
        num_bytes = case.text.stat().st_size
        record |= {
            "reading_seconds": read_at - reading_from,
            "reading_bytes_per_second": num_bytes / (read_at - reading_from),
            "reading_anonymous_bytes": _most(child.samples[:sample]),
        }
    return record


def words_per_second(workdir: Workdir, first: int) -> float:
    """Of the text, from the first round reported in this sitting to its last."""
    raw_words = workdir.read_json("corpus/corpus.json")["corpus"]["raw_words"]
    lines = read_metrics(workdir.path(""))[first:]
    epochs, seconds = (lines[-1][x] - lines[0][x] for x in ("epoch", "seconds"))
    return raw_words * epochs / seconds


def forget(path: Path) -> None:
    """Takes a file out of memory: the next to read it waits for the disk."""
    with path.open("rb") as file:
        os.fdatasync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _most(samples: list) -> int:
    return max((sample.anonymous_bytes for sample in samples), default=0)


def summarise(records: list[dict]) -> dict:
    """The speeds of both texts and their ratio, medians over the sittings."""
    speeds = {
        name: statistics.median(
            r["words_per_second"] for r in records if r["case"] == name
        )
        for name in ("large", "small")
    }
    return {
        "words_per_second": speeds,
        "ratio": speeds["large"] / speeds["small"],
        "peak_anonymous_bytes": max(
            r.get(f"{phase}_anonymous_bytes", 0)
            for r in records
            if r["case"] == "large"
            for phase in ("reading", "training")
        ),
    }
