"""What an ablation trains: the grid, the seeds, the budgets."""

import dataclasses
from itertools import product
from typing import NamedTuple

import numpy as np
from absl.flags import FlagValues

from experiments import cli
from sgns_jax.config import Config
from sgns_jax.corpus import SETTINGS
from sgns_jax.noise import alias_table
from sgns_jax.step import reach
from sgns_jax.train import expected_kept, narrowed, num_rounds
from sgns_jax.types import InputError

#: The text is one for all models, and replicas are what the models themselves are.
READING = ("corpus", *SETTINGS)
FIXED = (*READING, "seed", "replicas", "sync_every", "backend")
SWEPT = [f.name for f in dataclasses.fields(Config) if f.name not in FIXED]
ALWAYS = ("negatives", "noise_exponent")  #: in the grid even with one value
BUDGETS = ("epochs", "flops")
#: Where a line is a session, its items are all each other's contexts, and all count.
OF_ITEMS = {"min_count": 1, "subsample": 0.0, "dynamic_window": False}

Point = dict[str, object]


class Run(NamedTuple):
    """One model to train and measure."""

    point: Point  #: its value of each setting of the grid
    budget: str
    config: Config


class Job(NamedTuple):
    """One training; two budgets may ask for the same."""

    config: Config
    rounds: int  #: segments that it is trained on


class Plan(NamedTuple):
    """What is trained, and what it is compared with."""

    shared: dict[str, object]  #: settings that all models share
    grid: dict[str, list]  #: values of the settings that are varied
    reference: Point  #: the point that all others are compared with
    seeds: int
    budgets: list[str]

    @property
    def base(self) -> Config:
        """The reference's configuration."""
        return Config(**self.shared, **self.reference)

    def runs(self) -> list[Run]:
        """Every model. Seeds come one after another, so that each is a whole grid."""
        points = [
            dict(zip(self.grid, values, strict=True))
            for values in product(*self.grid.values())
        ]
        return [
            Run(point, budget, Config(**self.shared, **point, seed=seed))
            for budget in self.budgets
            for seed in range(self.seeds)
            for point in points
        ]


def make_plan(flags: FlagValues, backend: str) -> Plan:
    """The plan that the flags ask for.

    The reference has the default value of each setting of the grid where the grid has
    it, else the first that is given.

    Raises:
      InputError: a value is out of its range, missing, or stands twice.
    """
    if flags.seeds < 1:
        raise InputError(f"seeds must be >= 1, got {flags.seeds}")
    given = {name: values(name, flags[name].value) for name in SWEPT}
    reading = {name: flags[name].value for name in READING}
    if flags.domain == "items":
        for name, value in OF_ITEMS.items():
            if name in reading and not flags[name].present:
                reading[name] = value
            elif not flags[name].present:
                given[name] = [value]
    default = Config(backend=backend)
    grid = {n: v for n, v in given.items() if n in ALWAYS or len(v) > 1}
    single = {name: v[0] for name, v in given.items() if name not in grid}
    reference = {
        name: own if (own := getattr(default, name)) in v else v[0]
        for name, v in grid.items()
    }
    shared = {**reading, **single, "backend": backend, "replicas": 1}
    plan = Plan(shared, grid, reference, flags.seeds, _budgets(flags))
    plan.runs()  # every value meets the checks of Config
    return plan


def with_whole_sessions(plan: Plan, longest: int) -> Plan:
    """The plan with windows that span the longest session of the text."""
    return plan._replace(shared=plan.shared | {"window": max(1, longest - 1)})


def _budgets(flags: FlagValues) -> list[str]:
    names = flags.budgets.split(",")
    if not set(names) <= set(BUDGETS) or len(names) > len(set(names)):
        raise InputError(
            f"budgets must be some of {', '.join(BUDGETS)}, each once, got "
            f"{flags.budgets!r}"
        )
    return names


def values(name: str, text: str) -> list:
    """The values of a setting, commas between; None where it is left open.

    Raises:
      InputError: one is missing, is of another kind, or stands twice.
    """
    field = Config.__dataclass_fields__[name]
    if text == "" and field.default is None:
        return [None]
    read, needs = _READERS[cli.kind_of(field)]
    parts = [part.strip() for part in text.split(",")]
    try:
        found = [read(part) for part in parts]
    except (ValueError, KeyError):
        raise InputError(
            f"{name} must be {needs}, commas between, got {text!r}; give one value, or "
            "several to compare them"
        ) from None
    if len(set(found)) < len(found):
        raise InputError(f"{name} has a value twice: {text!r}; give each of them once")
    return found


_READERS = {
    int: (int, "whole numbers"),
    float: (float, "numbers"),
    bool: ({"true": True, "false": False}.__getitem__, "true or false"),
    str: (str, "names"),
}


def pairs_per_epoch(config: Config, counts: np.ndarray) -> float:
    """Positives to expect of an epoch, were no sentence too short for its windows."""
    W, R = config.window, reach(config, config.segment_tokens)
    # Of half-windows drawn from h = 1..W, min(h, R) is seen.
    half = R - R * (R - 1) / (2 * W) if config.dynamic_window else R
    return 2 * half * expected_kept(config, counts)


def flops_per_pair(config: Config) -> int:
    """6·D·(1 + K): a pair's scores, and the gradient by v and by the u of each.

    That is what the formula takes, and a program that draws K words for each pair.
    Noise words that pairs share are fewer, and their work is the same for every K.
    """
    return 6 * config.dim * (1 + config.negatives)


def job_of(
    budget: str, config: Config, base: Config, counts: np.ndarray, num_tokens: int
) -> Job:
    """The training of a model.

    Equal epochs: those of its configuration. Equal operations: as many rounds, at least
    one, as take the operations of the reference, ``base``.
    """
    per_epoch = num_rounds(config, num_tokens, len(counts))
    if budget == "epochs":
        return Job(config, config.epochs * per_epoch)
    cost, cost_of_base = (
        pairs_per_epoch(c, counts) * flops_per_pair(c) for c in (config, base)
    )
    epochs = base.epochs * cost_of_base / cost
    return Job(config, max(1, round(epochs * per_epoch)))


def jobs(
    plan: Plan, counts: np.ndarray, num_tokens: int, longest_sentence: int
) -> list[Job]:
    """The trainings of all models, in the order of ``plan.runs()``.

    Raises:
      InputError: there is no noise to draw for one of them.
    """
    for exponent in {run.config.noise_exponent for run in plan.runs()}:
        alias_table(counts, exponent)
    base, *configs = (
        narrowed(config, longest_sentence)
        for config in (plan.base, *(run.config for run in plan.runs()))
    )
    budgets = [run.budget for run in plan.runs()]
    return [
        job_of(budget, config, base, counts, num_tokens)
        for budget, config in zip(budgets, configs, strict=True)
    ]


def written(default: object) -> str:
    """A default as it stands on the command line."""
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default is None else str(default)
