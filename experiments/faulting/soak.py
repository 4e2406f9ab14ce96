"""A training disturbed again and again, against the same one left alone."""

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.faulting import texts
from experiments.faulting.child import Training, read_metrics
from experiments.faulting.disturbing import Disturber
from experiments.provenance import available_cores

#: Of the minutes asked for, so much is the training when it is left alone: starts and
#: losses take two thirds of a disturbed one's time.
UNDISTURBED = 0.25
TRIAL_EPOCHS = 2
_SAMPLES = 200  # that are kept
#: glibc unmaps what is freed if it is as large; else it keeps some of it, or not, for
#: the next time, and that is no growth. For all trainings, or their peaks could not be
#: compared. Names no other system knows.
_GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
_SETTINGS = (
    "--lowercase", "--max_vocabulary=20000", "--sentence_length=1000",
    "--segment_tokens=131072",
)  # fmt: skip


class Soak(NamedTuple):
    """The same command, again and again."""

    folder: Path  #: for the text, and a work folder for each run
    flags: list[str]  #: of experiments.train
    checkpoint_seconds: float
    tick: Callable[[], None]  #: called a few times a second

    def start(self, run: Path, sitting: int) -> Training:
        """A sitting of the run in a folder."""
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        log = logs / f"{run.name}_{sitting:04}.txt"
        return Training(self.flags, run, log, variables=_GIVE_BACK)

    def wait(self, child: Training, seconds: float, trained: bool = False) -> None:
        """Watches a process until it ends, is so old, or has trained for so long.

        Raises:
          TrainingFailed: it ended by itself, and not well.
        """
        left = seconds
        while left > 0 and child.watch(left):
            self.tick()
            began = child.trained_at if trained else 0.0
            if began is not None:
                left = began + seconds - child.seconds()
        child.check()


def prepare(
    folder: Path, seed: int, checkpoint_seconds: float, tick: Callable[[], None]
) -> Soak:
    """Writes the corpus into an emptied folder."""
    shutil.rmtree(folder, ignore_errors=True)
    texts.write(folder / "text", seed)
    flags = [
        f"--corpus={(folder / 'text').absolute()}",
        f"--replicas={min(2, len(available_cores()))}",
        f"--checkpoint_seconds={checkpoint_seconds}",
        *_SETTINGS,
    ]
    return Soak(folder, flags, checkpoint_seconds, tick)


def measure(soak: Soak) -> dict:
    """A short training: seconds to its first round, and of an epoch."""
    trial = soak._replace(flags=[*soak.flags, f"--epochs={TRIAL_EPOCHS}"])
    run = undisturbed(trial, "trial")
    first, *_, last = run["metrics"]
    seconds = (last["seconds"] - first["seconds"]) / (last["epoch"] - first["epoch"])
    start = next(s for s, rounds, *_ in run["samples"] if rounds)
    return {"start_seconds": start, "epoch_seconds": seconds}


def undisturbed(soak: Soak, run: str) -> dict:
    """A training left alone: what it wrote, and its memory over time.

    Raises:
      TrainingFailed: it did not end well.
    """
    with soak.start(soak.folder / run, 0) as child:
        soak.wait(child, np.inf)
    return {
        "seconds": child.seconds(),
        "peak_memory_bytes": child.peak_bytes(),
        "samples": child.kept_samples(_SAMPLES),
        "metrics": read_metrics(child.workdir),
        "sha256": sha256(child.workdir / "vectors.txt"),
    }


def sha256(path: Path) -> str:
    """Of a file; empty if there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def disturbed(
    soak: Soak, reference: dict, pace: dict, seconds: float, seed: int
) -> dict:
    """Runs with faults, one after another, until the time is over and one is whole."""
    rounds, began = len(reference["metrics"]), time.time()
    pace |= {"checkpoint_seconds": soak.checkpoint_seconds, "rounds": rounds}
    disturber = Disturber(soak.start, soak.wait, pace, seed)
    runs, sittings = [], []
    while time.time() - began < seconds:
        folder = soak.folder / f"run_{len(runs)}"
        sittings += disturber.run(folder, began + seconds)
        runs.append(
            {
                "run": folder.name,
                "equal_vectors": sha256(folder / "vectors.txt") == reference["sha256"],
                "equal_metrics": _without_time(read_metrics(folder))
                == _without_time(reference["metrics"]),
            }
        )
    return pace | {
        "disturbed_seconds": time.time() - began,
        "runs": runs,
        "sittings": sittings,
    }


def _without_time(metrics: list[dict]) -> list[dict]:
    """Lines without what depends on the clock: when checkpoints are due does, too."""
    return [
        {k: v for k, v in line.items() if k not in ("seconds", "checkpoint")}
        for line in metrics
    ]
