"""The rounds of a run as they are done: a line each, a bar, and what is no number."""

import functools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tqdm import tqdm

from experiments import processes
from experiments.workdir import MetricsLog
from sgns_jax.config import Config
from sgns_jax.corpus import Corpus
from sgns_jax.segment import SegmentMetrics, first_not_finite
from sgns_jax.train import Trainer, num_rounds
from sgns_jax.types import Params
from sgns_jax.vocabulary import Vocabulary


def rounds_of(config: Config, corpus: Corpus) -> int:
    """Rounds of all epochs."""
    per_epoch = num_rounds(config, len(corpus.tokens), len(corpus.vocabulary))
    return config.epochs * per_epoch


class Rounds:
    """Writes a line of the metrics and moves the bar, a round at a time.

    Args:
      config, corpus: what is trained.
      trainer: its state is that after the rounds that are done.
      done: their number.
      log: where the lines go.
    """

    def __init__(
        self,
        config: Config,
        corpus: Corpus,
        trainer: Trainer,
        done: int,
        log: MetricsLog,
    ):
        self._config, self._vocabulary = config, corpus.vocabulary
        self._schedule, self._log = trainer.schedule, log
        self._rounds = rounds_of(config, corpus)
        self._words = config.epochs * corpus.raw_words
        self._steps = int(trainer.state.step)  # of the rounds that were told of
        self._began = time.perf_counter() - log.seconds  # earlier sittings included
        self._bar = tqdm(
            total=self._words,
            initial=self._words * done // self._rounds,
            unit="word",
            unit_scale=True,
            desc="training",
            mininterval=0.5,
            disable=not processes.first(),
        )

    def tell(
        self,
        done: int,
        step: Array,
        metrics: SegmentMetrics,
        params: Params,
        checkpoint: bool = False,
    ) -> None:
        """Tells of a round.

        Args:
          done: rounds done, this one included.
          step: steps done, those of this round included.
          metrics: those of this round.
          params: after this round or a later one.
          checkpoint: is one written next? It must hold numbers only.

        Raises:
          NotFinite: a loss, or a row before a checkpoint, is no finite number.
        """
        rate = self._schedule(step - 1)
        processes.await_all((metrics, step, rate))
        seconds = time.perf_counter() - self._began
        line = metrics_line(
            done, self._rounds, self._config, rate, step, metrics, seconds
        )
        if (finite_steps := first_not_finite(metrics)) is not None:
            self._give_up(self._steps + 1 + finite_steps, params)
        if checkpoint and not _all_finite(params):
            self._give_up(line["step"], params)
        self._log.write(line | {"checkpoint": checkpoint})
        self._steps = line["step"]
        loss, rate = line["loss"], line["learning_rate"]
        self._bar.set_postfix_str(f"loss={loss:.3f} lr={rate:.2g}", refresh=False)
        self._bar.update(self._words * done // self._rounds - self._bar.n)

    def _give_up(self, step: int, params: Params) -> None:
        rate = float(self._schedule(step - 1))
        raise _not_finite(step, rate, params, self._vocabulary)

    def __enter__(self) -> "Rounds":
        return self

    def __exit__(self, *error) -> None:
        self._bar.close()


class NotFinite(FloatingPointError):
    """Training left the numbers: ``what`` happened, and what is to be done."""

    def __init__(self, what: str):
        self.what = what
        super().__init__(
            f"{what}; the last checkpoint is sound: go on from it at half the rate "
            "with --on_nonfinite=halve, or begin anew in another --workdir with a "
            "lower --learning_rate or fewer --blocks_per_step"
        )


def metrics_line(
    done: int,
    rounds: int,
    config: Config,
    rate: Array,
    step: Array,
    metrics: SegmentMetrics,
    seconds: float,
) -> dict:
    """A line of metrics.jsonl.

    Sums over replicas are in float64; losses are means over the positives that were
    measured; steps are those of one replica.
    """
    positive, negative, measured = map(_total, metrics.loss)
    return {
        "round": done,
        "epoch": config.epochs * done / rounds,
        "step": int(step),
        "seconds": seconds,
        "learning_rate": float(rate),
        "pairs": int(_total(metrics.pairs)),
        "loss": (positive + negative) / max(measured, 1),
        "positive_loss": positive / max(measured, 1),
        "negative_loss": negative / max(measured, 1),
    }


def _total(of_replicas: Array) -> float:
    return float(np.sum(np.asarray(of_replicas, np.float64)))


def _not_finite(
    step: int, rate: float, params: Params, vocabulary: Vocabulary
) -> NotFinite:
    """The error that names the step, the learning rate and the rows."""
    tables = zip("vu", map(_bad_rows, params), strict=True)
    rows = [
        f"{name} of {vocabulary.words[bad[0]]!r}"
        + (f" and {len(bad) - 1:,} more words" if len(bad) > 1 else "")
        for name, bad in tables
        if len(bad)
    ]
    return NotFinite(
        f"training diverged: no finite number any more at step {step:,}, learning rate "
        f"{rate:.3g}, in {', '.join(rows) or 'the loss'}"
    )


def _all_finite(params: Params) -> bool:
    return not any(len(_bad_rows(table)) for table in params)


def _bad_rows(table_VD: Array) -> np.ndarray:
    finite_V = _finite_rows(table_VD.sharding.mesh)(table_VD)
    processes.await_all(finite_V)
    return np.flatnonzero(~np.asarray(finite_V))


@functools.cache
def _finite_rows(mesh: Mesh) -> Callable[[Array], Array]:
    """Which rows are finite; every process is told of all, whoever has the columns."""
    every = NamedSharding(mesh, PartitionSpec())
    return jax.jit(
        lambda table_VD: jnp.all(jnp.isfinite(table_VD), axis=1), out_shardings=every
    )
