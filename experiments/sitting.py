"""A sitting: training from the newest checkpoint to the end, or to what stops it."""

import math
import sys
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from experiments import processes
from experiments.rounds import NotFinite, Rounds, rounds_of
from experiments.stopping import Stopping, Terminated
from experiments.workdir import Workdir
from sgns_jax.checkpoint import Checkpoints
from sgns_jax.config import Config
from sgns_jax.corpus import Corpus
from sgns_jax.step import TrainState
from sgns_jax.train import Trainer, at_rate, fit

#: How often ``--on_nonfinite=halve`` halves the learning rate before it gives up.
MOST_HALVINGS = 3


class Run(NamedTuple):
    """What stays the same in all sittings of a run."""

    config: Config
    corpus: Corpus
    workdir: Workdir
    checkpoint_seconds: float
    keep_checkpoints: int
    halve: bool  #: the learning rate where training leaves the numbers, else stop

    @property
    def rounds(self) -> int:
        return rounds_of(self.config, self.corpus)


def train(run: Run, trainer: Trainer) -> tuple[TrainState, int]:
    """Trains to the end: the last state, and how often the learning rate was halved.

    A checkpoint holds the state and the learning rate. The first is written before
    the first round, so that a folder that cannot take one is known at once.

    Raises:
      NotFinite: training left the numbers; the last checkpoint is sound.
      KeyboardInterrupt: a signal came, and a checkpoint is written.
      InputError: a file cannot be written, no checkpoint can be read, or another
        process trains in the folder.
    """
    folder = run.workdir.path("checkpoints")
    keep = run.keep_checkpoints
    # A signal waits for the end of a round: what it broke off in Orbax's threads would
    # end in their tracebacks.
    with (
        Stopping() as stopping,
        run.workdir.alone(),
        Checkpoints(folder, keep) as saved,
        processes.together("goes on from the last checkpoint"),
    ):
        first, newest = 0, saved.latest()
        processes.check_same(-1 if newest is None else newest, "newest checkpoint")
        if newest is None:
            saved.save(0, _content(trainer))
        else:
            first, trainer = _go_on(run, trainer, saved)
        while True:
            rate = trainer.model.learning_rate
            try:
                state = _sit(run, trainer, saved, first, stopping)
                break
            except NotFinite as error:
                if not run.halve or _halvings(run, rate) == MOST_HALVINGS:
                    raise
                _tell(f"{error.what}; halving the learning rate")
            _wait(saved)
            first, trainer = _go_on(run, trainer, saved, rate / 2)
    (asked,) = processes.agree(bool(stopping.asked))
    if asked:  # when no round was left
        raise stopping.asked or Terminated
    return state, _halvings(run, rate)


def _wait(saved: Checkpoints) -> None:
    """Returns when all is written.

    Orbax waits for the other processes too, and finds out late that one is gone. Votes
    find out at once.
    """
    while processes.many() and any(processes.agree(saved.busy())):
        time.sleep(0.01)
    saved.wait()


def _go_on(
    run: Run, trainer: Trainer, saved: Checkpoints, rate: Array | None = None
) -> tuple[int, Trainer]:
    """Rounds done and the trainer at the newest checkpoint; its rate or another one."""
    for array in jax.tree.leaves(trainer.state):
        array.delete()  # one state in memory, not two; its shapes stay
    first, (state, own) = saved.restore(
        _content(trainer), lambda line: _tell(f"warning: {line}")
    )
    processes.check_same(first, "newest sound checkpoint")
    trainer = trainer._replace(state=state)
    print(f"Going on from round {first} of {run.rounds}.")
    return first, at_rate(run.config, trainer, own if rate is None else rate)


def _content(trainer: Trainer) -> tuple[TrainState, Array]:
    return trainer.state, trainer.model.learning_rate


def _halvings(run: Run, rate: Array) -> int:
    return round(math.log2(run.config.learning_rate / float(rate)))


def _tell(line: str) -> None:
    if processes.first():
        print(line, file=sys.stderr)


def _sit(
    run: Run, trainer: Trainer, saved: Checkpoints, first: int, stopping: Stopping
) -> TrainState:
    state, rate = _content(trainer)
    with (
        run.workdir.open_metrics(first) as log,
        Rounds(run.config, run.corpus, trainer, first, log) as rounds,
    ):
        untold, last_save = None, time.perf_counter()
        decide = processes.Agreement()
        for done, state, metrics in fit(run.config, trainer, run.corpus.tokens, first):
            # The device works on this round while the one before is told of.
            if untold:
                rounds.tell(*untold, state.params)
            untold = done, jnp.copy(state.step), metrics
            late = time.perf_counter() - last_save >= run.checkpoint_seconds
            due, asked = decide(late and processes.first(), bool(stopping.asked))
            if due or done == run.rounds or asked:
                # What a checkpoint has done is in the metrics before it is saved.
                rounds.tell(*untold, state.params, checkpoint=True)
                untold = None
                log.sync()
                _wait(saved)
                saved.save(done, (state, rate))
                last_save = time.perf_counter()
            if asked:
                _wait(saved)
                stop = stopping.asked or Terminated  # another process was asked
                raise stop(f"stopped after round {done} of {run.rounds}")
    _wait(saved)
    return state
