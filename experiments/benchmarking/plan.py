"""What a benchmark is asked for: its settings, its programs, the order of its runs."""

import dataclasses
import os

from absl.flags import FlagValues

from experiments import cli
from experiments.benchmarking.programs import PROGRAMS, version
from experiments.benchmarking.summary import MEASURES
from experiments.provenance import available_cores
from experiments.report import check_eval_dir
from sgns_jax.evaluation_files import read_folder
from sgns_jax.types import InputError

Key = tuple[str, int, int]  #: program, epochs, repetition
OF_THE_DEVICE = ("backend", "blocks_per_step", "replicas")


def settings(flags: FlagValues) -> dict:
    """The settings that all runs share; the seed is the repetition's.

    Raises:
      InputError: a flag is out of its range.
    """
    _check_threads(flags.threads)
    for name in ("repetitions", "restrict_vocabulary"):
        if flags[name].value < 1:
            raise InputError(f"{name} must be >= 1, got {flags[name].value}")
    if flags.eval_dir:
        _check_measures(flags.eval_dir)
    shared = dataclasses.asdict(cli.config(flags))
    del shared["seed"]
    # Left open, these are the training's to choose, on a device this process has not.
    shared |= {name: flags[name].value for name in OF_THE_DEVICE}
    return shared | {
        "threads": flags.threads or len(available_cores()),
        "eval_dir": flags.eval_dir,
        "restrict_vocabulary": flags.restrict_vocabulary,
    }


def _check_threads(threads: int) -> None:
    cores = len(available_cores())
    if not 0 <= threads <= cores:
        raise InputError(f"threads must be 0 (all) to {cores}, got {threads}")
    if threads not in (0, cores) and not hasattr(os, "sched_setaffinity"):
        raise InputError(
            f"threads must be 0 or {cores} on this system, got {threads}: it cannot "
            "keep a program on fewer cores"
        )


def _check_measures(folder: str) -> None:
    check_eval_dir(folder)
    there = {one.name for one in read_folder(folder).sets}
    for name in MEASURES:
        if name not in there:
            raise InputError(
                f"eval_dir {folder} lacks {name}; give a folder with all four measures "
                "(see --help), or leave the flag out"
            )


def order(flags: FlagValues) -> list[Key]:
    """Every run: by repetition, then budget; programs begin in turns.

    Raises:
      InputError: a program is unknown or none is installed; a budget is no number.
    """
    programs = _installed(flags.programs)
    budgets = _budgets(flags.curve_epochs, flags.epochs)
    keys = []
    for repetition in range(flags.repetitions):
        first = repetition % len(programs)
        turn = programs[first:] + programs[:first]
        keys += [(name, epochs, repetition) for epochs in budgets for name in turn]
    return keys


def _installed(asked: str) -> list[str]:
    names = list(dict.fromkeys(asked.split(",")))
    for name in names:
        if name not in PROGRAMS:
            raise InputError(
                f"programs must be some of {', '.join(PROGRAMS)}, got {name!r}"
            )
    missing = [name for name in names if version(name) is None]
    if missing == names:
        raise InputError(
            f'of the programs {asked} none is installed; pip install -e ".[bench]"'
        )
    for name in missing:
        print(f'{name} is not installed and left out: pip install -e ".[bench]"')
    return [name for name in names if name not in missing]


def _budgets(curve: str, epochs: int) -> list[int]:
    """All epochs first, then those of the curve that are fewer."""
    parts = [part.strip() for part in curve.split(",")] if curve else []
    if not all(part.isdecimal() and int(part) for part in parts):
        raise InputError(
            "curve_epochs must be whole numbers >= 1, commas between, or empty, got "
            f"{curve!r}"
        )
    return [epochs, *sorted({int(part) for part in parts if int(part) < epochs})]
