"""What checkpoints cost: trainings with one a second against trainings without."""

import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

from experiments.faulting.child import Training, read_metrics
from sgns_jax.types import InputError

TURNS = 3
DEFAULT_SECONDS = 60.0  #: between checkpoints, of experiments.train
#: What is between them; "never" has those of the begin and the end alone.
WAYS = {"often": 1.0, "never": 1e6}


def compare(flags: list[str], folder: Path, tell: Callable[[str], None]) -> list[dict]:
    """Trains to the end in turns; a record each.

    Args:
      flags: of experiments.train.
      folder: for the work folders; what they hold is deleted.
      tell: called a few times a second with what goes on.

    Raises:
      TrainingFailed: a training ended badly.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for turn in range(TURNS):
        for way, seconds in WAYS.items():
            workdir = folder / way
            for name in ("checkpoints", "metrics.jsonl", "result.json"):
                _delete(workdir / name)
            log = folder / f"{way}_{turn}.txt"
            every = f"--checkpoint_seconds={seconds}"
            with Training([*flags, every], workdir, log) as child:
                while child.watch():
                    tell(f"turn {turn + 1} of {TURNS}, checkpoints {way}")
                child.check()
            lines = read_metrics(workdir)
            records.append(
                {
                    "way": way,
                    "turn": turn,
                    "train_seconds": lines[-1]["seconds"],
                    "checkpoints": sum(line["checkpoint"] for line in lines),
                    "state_bytes": _size(workdir / "checkpoints"),
                }
            )
    return records


def summarise(records: list[dict]) -> dict:
    """Seconds that one checkpoint adds, and what that is of the default's interval.

    Raises:
      InputError: the trainings were too short for one more.
    """
    seconds, checkpoints = (
        {
            way: statistics.median(one[name] for one in records if one["way"] == way)
            for way in WAYS
        }
        for name in ("train_seconds", "checkpoints")
    )
    more = checkpoints["often"] - checkpoints["never"]
    if more <= 0:
        raise InputError(
            f"a training of {seconds['often']:.1f} s writes no checkpoint on its way, "
            "one a second; give a larger --corpus or more --epochs"
        )
    cost = (seconds["often"] - seconds["never"]) / more
    return {
        "median_seconds": seconds,
        "median_checkpoints": checkpoints,
        "seconds_a_checkpoint": cost,
        "share_by_default": cost / DEFAULT_SECONDS,
    }


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size(folder: Path) -> int:
    """Bytes of the newest checkpoint."""
    newest = max(folder.glob("[0-9]*"), key=lambda path: int(path.name))
    return sum(path.stat().st_size for path in newest.rglob("*") if path.is_file())
