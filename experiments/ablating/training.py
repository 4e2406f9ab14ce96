"""Training of many models at once, in turns; what is measured is kept."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from experiments.ablating.exam import Exam, Text
from experiments.ablating.plan import Job, flops_per_pair
from experiments.ablating.store import Store
from experiments.provenance import device
from experiments.room import training_memory
from sgns_jax.config import Config
from sgns_jax.grid import Grid, load, make_grid, shape_of, shared_shape
from sgns_jax.train import fit, num_rounds
from sgns_jax.types import InputError, Params


class Trained(NamedTuple):
    """A model at the end of its training."""

    params: Params  #: NumPy arrays
    pairs: int  #: positives it was trained on
    steps: int


class Limits(NamedTuple):
    """How many models may be trained at once."""

    at_once: int  #: on each device; 0: as many as memory holds, one on a CPU's core
    memory_gb: float  #: of a device, or a machine whose cores they are; 0: 3 quarters


def train_all(
    jobs: Sequence[Job], text: Text, exam: Exam, store: Store, limits: Limits
) -> None:
    """Trains and measures what the store lacks; keeps each model as soon as it is done.

    Raises:
      InputError: memory does not hold one of the models.
    """
    left = [job for job in jobs if store.find(job) is None]
    print(f"{len(jobs)} models on {device()}, {len(left)} of them to train")
    groups: dict[Config, list[Job]] = {}
    for job in left:
        groups.setdefault(shape_of(job.config), []).append(job)
    # All programs first: what does not fit into memory is said before hours of work.
    grids = [fitting_grid(group, text, limits) for group in groups.values()]
    work = {job: _words(job, text) for job in jobs}
    total, ahead = (sum(work[job] for job in some) for some in (jobs, left))
    with tqdm(
        total=total, initial=total - ahead, unit="word", unit_scale=True,
        desc="training", mininterval=0.5, leave=False,
    ) as bar:  # fmt: skip
        for grid, group in zip(grids, groups.values(), strict=True):
            for turn in turns(group, grid.size):
                began = time.perf_counter()
                step = sum(work[job] for job in turn) / turn[0].rounds
                trained = train(grid, turn, text, lambda step=step: bar.update(step))
                seconds = (time.perf_counter() - began) / len(turn)  # of each
                for job, model in zip(turn, trained, strict=True):
                    store.add(job, record(job, model, text, exam, seconds))


def _words(job: Job, text: Text) -> float:
    """Words that a job reads."""
    config, T = job.config, len(text.tokens_T)
    epochs = job.rounds / num_rounds(config, T, len(text.counts_V))
    return epochs * float(text.counts_V.sum())


def record(job: Job, model: Trained, text: Text, exam: Exam, seconds: float) -> dict:
    """What is kept of a model. One that diverged has no value of any measure.

    ``seconds`` are those of its training; what measuring takes is added.
    """
    began = time.perf_counter()
    finite = all(np.isfinite(table).all() for table in model.params)
    values = exam.mark(job.config, model.params) if finite else {}
    values = {n: x if math.isfinite(x) else None for n, x in values.items()}
    return {
        "epochs": _words(job, text) / float(text.counts_V.sum()),
        "flops": float(model.pairs * flops_per_pair(job.config)),
        "pairs": model.pairs,
        "steps": model.steps,
        "seconds": seconds + time.perf_counter() - began,
        "diverged": not finite,
        "measures": values,
    }


def fitting_grid(jobs: Sequence[Job], text: Text, limits: Limits) -> Grid:
    """The program for as many models at once as were asked for, or as memory holds.

    On a CPU one for each core, which is a device: it works off models that stand side
    by side one by one, and keeps less of each in its cache (experiments/README.md has
    the measurement). Says what it plans.

    Raises:
      InputError: memory does not hold them, or not one.
    """
    shape = shared_shape([job.config for job in jobs])
    V, T = len(text.counts_V), len(text.tokens_T)
    devices, grid = jax.devices(), make_grid(shape, V, T, 1)
    on_cpu = devices[0].platform == "cpu"
    limit = 1e9 * limits.memory_gb or 0.75 * training_memory()
    limit /= len(devices) if on_cpu else 1
    room = int(limit // grid.model_bytes)
    wanted = limits.at_once or (1 if on_cpu else max(room, 1))
    wanted = min(wanted, -(-len(jobs) // len(devices)))
    if wanted > room:
        raise InputError(
            f"{wanted} at once on each of {len(devices)} devices need "
            f"{wanted * grid.model_bytes / 1e9:.2f} GB of memory there, the limit is "
            f"{limit / 1e9:.2f}; give a higher --memory_gb, or a lower "
            "--models_at_once, --dim, --max_vocabulary or --segment_tokens"
        )
    if wanted > 1:
        grid = make_grid(shape, V, T, wanted)
    print(
        f"One program, {grid.size} of {len(jobs)} models at once; each needs "
        f"{grid.model_bytes / 1e6:,.0f} MB of memory"
    )
    return grid


def turns(jobs: Iterable[Job], size: int) -> Iterator[list[Job]]:
    """Jobs of one program that are done together: at most ``size``, equally long."""
    for _, equal in groupby(sorted(jobs, key=_rounds), _rounds):
        equal = list(equal)
        yield from (equal[i : i + size] for i in range(0, len(equal), size))


def _rounds(job: Job) -> int:
    return job.rounds


def train(
    grid: Grid, turn: Sequence[Job], text: Text, on_round: Callable[[], None]
) -> list[Trained]:
    """Trains the models of a turn; ``on_round`` is called after each segment."""
    configs = [job.config for job in turn]
    tokens_T, counts_V = text
    trainer = load(grid, configs, counts_V, len(tokens_T), turn[0].rounds)
    pairs_M, pending = 0, None
    rounds = fit(configs[0], trainer, tokens_T)
    for _, state, metrics in rounds:  # noqa: B007, the last one is read
        # The device works on this round while the one before is read.
        if pending is not None:
            pairs_M = pairs_M + np.asarray(pending, np.int64)
            on_round()
        pending = metrics.pairs
    pairs_M = pairs_M + np.asarray(pending, np.int64)
    on_round()
    tables = [np.asarray(table) for table in state.params]
    return [
        Trained(Params(*(table[i] for table in tables)), int(pairs), int(steps))
        for i, (pairs, steps) in enumerate(
            zip(pairs_M[: len(turn)], state.step[: len(turn)], strict=True)
        )
    ]
