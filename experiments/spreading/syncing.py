"""Quality against the steps that replicas take between two merges."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np

from sgns_jax.config import Config
from sgns_jax.corpus import Corpus
from sgns_jax.evaluation import AnalogyScore, evaluate_folder
from sgns_jax.train import fit, make_trainer
from sgns_jax.vectors import WordVectors

LOSS = "loss"


class Setting(NamedTuple):
    """What is compared: so many replicas, merged after so many steps; 0: a segment."""

    replicas: int
    sync_every: int


ONE = Setting(1, 0)  #: what all others are compared with


def compare(
    base: Config,
    corpus: Corpus,
    settings: list[Setting],
    seeds: int,
    eval_dir: str,
    tell: Callable[[str], None],
) -> Iterator[dict]:
    """Trains with each setting and seed; what each gives.

    Seeds in the outer loop: whatever else the machine does meets all settings.
    """
    for seed in range(seeds):
        for setting in settings:
            tell(f"seed {seed}, {describe(setting)}")
            config = dataclasses.replace(base, seed=seed, **setting._asdict())
            yield {"seed": seed} | setting._asdict() | _train(config, corpus, eval_dir)


def describe(setting: Setting) -> str:
    if setting.replicas == 1:
        return "one model"
    when = f"{setting.sync_every} steps" if setting.sync_every else "a segment"
    return f"{setting.replicas} replicas, merged after {when}"


def _train(config: Config, corpus: Corpus, eval_dir: str) -> dict:
    """Steps, speed, the last epoch's mean loss, scores."""
    trainer = make_trainer(config, corpus.vocabulary.counts, len(corpus.tokens))
    jax.block_until_ready(trainer.state)
    rounds, began = [], time.perf_counter()
    for _, state, metrics in fit(config, trainer, corpus.tokens):  # noqa: B007
        rounds.append(metrics)
    jax.block_until_ready(state)
    seconds = time.perf_counter() - began
    last = rounds[-(len(rounds) // config.epochs) :]
    total = sum(_total(one.loss.positive) + _total(one.loss.negative) for one in last)
    vectors = WordVectors(tuple(corpus.vocabulary.words), np.asarray(state.params.w_in))
    scores = evaluate_folder(vectors, eval_dir) if eval_dir else ()
    values = {score.name: _value(score) for score in scores}
    return {
        "steps_between_merges": config.sync_every or int(state.step) / len(rounds),
        "words_per_second": config.epochs * corpus.raw_words / seconds,
        # A file of which the text has too few words has no score.
        "measures": {LOSS: total / sum(_total(one.loss.pairs) for one in last)}
        | {name: value for name, value in values.items() if math.isfinite(value)},
    }


def _total(of_replicas: jax.Array) -> float:
    return float(np.sum(np.asarray(of_replicas, np.float64)))


def _value(score) -> float:
    if isinstance(score, AnalogyScore):
        return score.total.accuracy
    return score.rho


def summarise(runs: list[dict]) -> list[dict]:
    """A row for each setting: means over seeds, and how far they are from one model's.

    Differences are taken seed by seed; with them the standard error of their mean.
    """
    rows = []
    by_setting: dict[Setting, list[dict]] = {}
    for run in runs:
        setting = Setting(run["replicas"], run["sync_every"])
        by_setting.setdefault(setting, []).append(run)
    for setting, of_setting in by_setting.items():
        measures = {}
        for name in of_setting[0]["measures"]:
            mine, ones = (
                np.array([run["measures"][name] for run in some])
                for some in (of_setting, by_setting[ONE])
            )
            apart, n = mine - ones, len(mine)
            error = float(np.std(apart, ddof=1) / np.sqrt(n)) if n > 1 else None
            means = {"mean": float(mine.mean()), "difference": float(apart.mean())}
            measures[name] = means | {"standard_error": error}
        about = {
            name: float(np.mean([run[name] for run in of_setting]))
            for name in ("steps_between_merges", "words_per_second")
        }
        rows.append(setting._asdict() | about | {"measures": measures})
    return rows
