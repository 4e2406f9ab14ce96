"""What is done to a training from outside, and to its files."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Fault(NamedTuple):
    """A signal, and what is damaged when the process has gone."""

    name: str
    signal: signal.Signals
    share: float  #: of all faults
    damages: str = ""  #: "checkpoints" or "corpus", folders of a run
    how: Callable[[Path, np.random.Generator], None] | None = None

    def expected_status(self) -> int:
        """The exit status as shells show it."""
        return 128 + self.signal


def truncate(path: Path, rng: np.random.Generator) -> None:
    """Cuts a file off anywhere."""
    os.truncate(path, rng.integers(path.stat().st_size))


def flip(path: Path, rng: np.random.Generator) -> None:
    """Turns one bit of a file over."""
    with path.open("r+b") as file:
        place = int(rng.integers(path.stat().st_size))
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1 << int(rng.integers(8))]))


def delete(path: Path, rng: np.random.Generator) -> None:
    """Removes a file."""
    path.unlink()


KILL = Fault("SIGKILL", signal.SIGKILL, 0.4)
FAULTS = (
    KILL,
    Fault("SIGTERM", signal.SIGTERM, 0.15),
    Fault("SIGINT", signal.SIGINT, 0.15),
    *(
        Fault(f"SIGKILL, {what} {how}", signal.SIGKILL, share / 3, folder, function)
        for folder, what, share in (
            ("checkpoints", "checkpoint", 0.2),
            ("corpus", "corpus", 0.1),
        )
        for how, function in (
            ("cut off", truncate),
            ("with a bit flipped", flip),
            ("without a file", delete),
        )
    ),
)


def choose(rng: np.random.Generator) -> Fault:
    """A fault at random, each as often as its share says."""
    return FAULTS[rng.choice(len(FAULTS), p=[fault.share for fault in FAULTS])]


def damage(
    workdir: Path, fault: Fault, last_damage: float, rng: np.random.Generator
) -> str | None:
    """Damages a file of a run's newest checkpoint, or of its encoded corpus.

    A training promises to go on from the checkpoint before a damaged one. So there
    must be one before, and both must have been written since the last damage.

    Args:
      workdir: the run's folder.
      fault: what to do.
      last_damage: when a checkpoint was damaged last, in seconds of the epoch.
      rng: chooses the file and the place in it.

    Returns:
      The path of the damaged file in the folder; None if there is nothing to damage.
    """
    folder = workdir / fault.damages
    if fault.damages == "checkpoints":
        saved = checkpoints(workdir)
        if len(saved) < 2 or min(x.stat().st_mtime for x in saved) <= last_damage:
            return None
        folder = saved[-1]
    # Of an empty file nothing can be cut off; hidden folders are not finished.
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.stat().st_size
        and not path.relative_to(folder).parts[0].startswith(".")
    ]
    if not files:
        return None
    path = files[rng.integers(len(files))]
    fault.how(path, rng)
    return str(path.relative_to(workdir))


def checkpoints(workdir: Path) -> list[Path]:
    """A run's checkpoints, oldest first: they are named after the rounds done."""
    whole = [x for x in (workdir / "checkpoints").glob("*") if x.name.isdigit()]
    return sorted(whole, key=lambda path: int(path.name))
