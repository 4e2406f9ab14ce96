"""How fast a run will be: recorded speeds, scaled by what is recorded of settings."""

import json
import statistics
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sgns_jax.config import Config
from sgns_jax.step import reach
from sgns_jax.types import InputError

RESULTS = Path(__file__).parent.parent / "results"
#: Speeds of other values are not recorded; those of other steps and dtypes are, and
#: hardly differ.
_USUAL = "negatives_mode", "gradient", "updates", "noise_words", "block_size"


class Unknown(InputError):
    """Nothing recorded is like it; the message says what is missing."""


class Speed(NamedTuple):
    """What a run may expect."""

    kept_words_per_second: float
    rest_seconds: float  #: starting, compiling, export, pictures
    machine: str  #: where that was recorded


def speed_of(config: Config, vocabulary_size: int, cores: int) -> Speed:
    """Speed of the sweep's base, times ratios for D, V, W, optimiser and replicas.

    They are taken to act each for itself, and a replica to be as fast among others on
    as many cores as one of the two that are recorded.

    Raises:
      Unknown: the run has a device or a setting without a record.
    """
    sweep, run = _read("sweep.json"), _read("train_enwiki15_seed0.json")
    if config.backend != sweep["device"].split()[0].lower():
        raise Unknown(f"no recorded speed on a {config.backend}")
    usual = Config(backend=config.backend)
    for name in _USUAL:
        if getattr(config, name) != getattr(usual, name):
            raise Unknown(f"no recorded speed with {name}={getattr(config, name)}")
    curves, base = sweep["curves"], sweep["base"]
    (at_base,) = (row for row in curves["dim"] if row["value"] == base["dim"])
    rate = at_base["kept_words_per_second"]["median"]
    window = reach(config, config.segment_tokens)
    sizes = {"dim": config.dim, "vocabulary": vocabulary_size, "window": window}
    for name, value in sizes.items():
        rate *= _ratio(name, curves[name], value)
    rate *= min(cores, config.replicas) / base["replicas"]
    rate *= _optimizer_ratio(config.optimizer)
    return Speed(
        rate,
        run["total_seconds"] - run["train_seconds"] - run["reading_seconds"],
        sweep["machine"],
    )


def _ratio(name: str, rows: list[dict], value: int) -> float:
    """Speed at a value, to the base's; straight between records in log and log."""
    ratios = {row["value"]: row["kept_words_ratio"]["median"] for row in rows}
    known = sorted(ratios)
    if value > known[-1]:
        raise Unknown(f"no recorded speed with {name} above {known[-1]:,}")
    logs = np.log([ratios[x] for x in known])
    return float(np.exp(np.interp(np.log(value), np.log(known), logs)))


@cache
def _optimizer_ratio(optimizer: str) -> float:
    """Speed with an optimiser to that with Adagrad, on one machine.

    Its power is not what takes time, so runs that differ in it stand for Adagrad.
    """
    if optimizer == "adagrad":
        return 1.0
    rates = [
        statistics.median(run["words_per_second"] for run in _read_all(pattern))
        for pattern in (f"with_{optimizer}", "with_power_*")
    ]
    return rates[0] / rates[1]


def _read_all(pattern: str) -> list[dict]:
    paths = sorted(RESULTS.glob(f"train_enwiki15_{pattern}_seed*.json"))
    return [_read(path.name) for path in paths]


def _read(name: str) -> dict:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))
