"""Training: segments in rounds, jit and donation at one place, fit.

    segment of tokens → windows → loop of steps → TrainState, metrics of the segment
    round: each replica takes a segment, then they are merged

Everything random is drawn on the device from ``fold_in(run key, count)``: the count
of segments for subsampling and windows, and that of steps with it for noise. Training
is therefore a pure function of the configuration, the tokens and the rounds done.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sgns_jax import replicas, window
from sgns_jax.config import Config
from sgns_jax.feed import hand_over
from sgns_jax.jax_settings import pinned
from sgns_jax.optimizers import make_optimizer, make_schedule
from sgns_jax.segment import (
    SegmentMetrics,
    SegmentParts,
    first_not_finite,
    segment_parts,
)
from sgns_jax.sharding import (
    DATA,
    MODEL,
    REPLICA,
    UNSPLIT,
    Split,
    check_columns,
    make_mesh,
    one_to_a_replica,
    place,
    split_of,
    state_specs,
)
from sgns_jax.step import (
    Keys,
    Sampling,
    TrainState,
    init_params,
    make_sampling,
    make_step,
    reach,
    run_keys,
)
from sgns_jax.types import InputError

#: Replicas are merged no sooner: a merge reads every row of both tables.
TOKENS_PER_ROW = 8
#: Positives of a segment, segments and steps are counted in int32.
MOST = 2**31 - 1


def narrowed(config: Config, longest_sentence: int) -> Config:
    """The same training, in arrays no wider than the longest sentence of the text.

    Half-windows are drawn from 1..W as before, and end where the sentence does: what
    is left out held no pair.

    Args:
      config: the settings.
      longest_sentence: kept words of the longest one, ``Corpus.longest_sentence``.
    """
    if config.window < longest_sentence:
        return config
    return dataclasses.replace(config, sentence_length=longest_sentence)


def num_rounds(config: Config, num_tokens: int, vocabulary_size: int) -> int:
    """Rounds of one epoch; in each, every replica takes a segment.

    Raises:
      InputError: all epochs take more steps than are counted.
    """
    longest = config.segment_tokens
    if config.replicas > 1:
        longest = max(longest, TOKENS_PER_ROW * vocabulary_size)
    # Of n tokens, each is a centre with at most 2W contexts and at most n - 1.
    few = MOST // (2 * reach(config, longest))
    longest = min(longest, max(few, math.isqrt(MOST)))
    rounds = -(-num_tokens // (config.replicas * longest))
    steps = -(-_share(num_tokens, config, rounds) // _tokens_per_step(config))
    most = config.epochs * rounds * max(steps, config.replicas)
    if most > MOST:
        raise InputError(
            f"epochs = {config.epochs:,} take up to {most:,} steps or segments, and "
            f"{MOST:,} can be counted; give fewer epochs or replicas"
        )
    return rounds


def segment_size(config: Config, num_tokens: int, vocabulary_size: int) -> int:
    """Tokens of a segment: as many in each, so that the last one is no fragment."""
    return _share(num_tokens, config, num_rounds(config, num_tokens, vocabulary_size))


def _share(num_tokens: int, config: Config, rounds: int) -> int:
    return -(-num_tokens // (config.replicas * rounds))


def _tokens_per_step(config: Config) -> int:
    return config.blocks_per_step * config.block_size


def expected_kept(config: Config, counts: np.ndarray) -> float:
    """Σ_w keep(w)·count(w): words that subsampling is expected to leave of an epoch."""
    keep_V = window.keep_probability(counts, config.subsample, config.subsample_rule)
    return float(np.dot(np.asarray(keep_V, np.float64), counts))


def expected_steps(
    config: Config, counts: np.ndarray, num_tokens: int, rounds: int | None = None
) -> int:
    """How many steps a replica is expected to take; schedules are laid over it.

    The exact number depends on the draws of subsampling and is near this one: each
    segment ends with a step that is half full on average. Training ends after
    ``rounds``, by default those of all epochs.
    """
    per_epoch = num_rounds(config, num_tokens, len(counts))
    kept_of_segment = expected_kept(config, counts) / (config.replicas * per_epoch)
    rounds = config.epochs * per_epoch if rounds is None else rounds
    return round(rounds * (kept_of_segment / _tokens_per_step(config) + 0.5))


class Model(NamedTuple):
    """What tells a model from others that the same program trains, as arrays."""

    keys: Keys
    sampling: Sampling
    learning_rate: Array  #: scalar float32, at the start
    num_steps: Array  #: scalar float32, the schedule is laid over so many


@pinned()
def make_model(
    config: Config, counts: np.ndarray, num_tokens: int, rounds: int | None = None
) -> Model:
    """The model of a configuration; arguments as in :func:`expected_steps`."""
    return Model(
        run_keys(config.seed),
        make_sampling(config, counts),
        jnp.float32(config.learning_rate),
        jnp.float32(max(1, expected_steps(config, counts, num_tokens, rounds))),
    )


def model_parts(
    config: Config, model: Model, models_axis: str | None = None, split: Split = UNSPLIT
) -> SegmentParts:
    """A segment's training of any model that differs in ``Model`` alone.

    Nothing of the model is built in: it may be traced, and vmapped over
    ``models_axis``. ``split`` as for ``make_step``.
    """
    rate = make_schedule(config.schedule, model.learning_rate, model.num_steps)
    step = make_step(config, _optimizer(config, rate, split.model), split)
    return segment_parts(config, step, model.keys, model.sampling, models_axis, split)


def init_state(config: Config, vocabulary_size: int, key: Array) -> TrainState:
    """The state that training begins with."""
    params = init_params(key, vocabulary_size, config.dim)
    optimizer = _optimizer(config, optax.constant_schedule(0.0))  # rates leave no trace
    return TrainState(params, optimizer.init(params), jnp.int32(0))


def _optimizer(config: Config, schedule: optax.Schedule, columns: str | None = None):
    power, dense = config.adagrad_power, config.updates == "dense"
    return make_optimizer(config.optimizer, schedule, power, dense, columns)


class Trainer(NamedTuple):
    """A configuration made ready for a corpus."""

    state: TrainState  #: the state to begin with
    schedule: optax.Schedule  #: step → learning rate
    run: replicas.Round  #: compiled; it takes the state's memory for the next's
    model: Model
    segments: jax.ShapeDtypeStruct  #: of a round, and where they go
    rounds: int | None = None  #: training ends after so many; None: after all epochs


@pinned()
def make_trainer(
    config: Config, counts: np.ndarray, num_tokens: int, mesh: Mesh | None = None
) -> Trainer:
    """Initialises and compiles. The one place for jit, donation and sharding.

    Args:
      config: the settings.
      counts: (V,) how often each word stands in the corpus.
      num_tokens: T, length of the token stream, sentence ends included.
      mesh: from ``sharding.make_mesh``. Default: a device for each replica, or for as
        many as there are devices that each can take as many.

    Raises:
      InputError: the mesh cannot split the D columns evenly.
    """
    if mesh is None:
        shape = one_to_a_replica(config.replicas, len(jax.devices()))
        mesh = make_mesh(shape, config.replicas)
    check_columns(config.dim, mesh.shape[MODEL])
    model = make_model(config, counts, num_tokens)
    init = functools.partial(init_state, config, len(counts))
    specs = state_specs(jax.eval_shape(init, model.keys.init))
    everywhere = NamedSharding(mesh, PartitionSpec())
    state_places = place(mesh, specs)
    state = jax.jit(init, out_shardings=state_places)(model.keys.init)
    # Not device_put: it reaches this process's devices alone.
    model = jax.jit(lambda model: model, out_shardings=everywhere)(model)
    size = segment_size(config, num_tokens, len(counts))
    devices = mesh.shape[DATA]
    shape = config.replicas, -(-size // devices) * devices  # as many on each device
    split = NamedSharding(mesh, PartitionSpec(REPLICA, DATA))
    segments = jax.ShapeDtypeStruct(shape, jnp.int32, sharding=split)
    count = jax.ShapeDtypeStruct((), jnp.int32)
    parts = functools.partial(model_parts, config, split=split_of(mesh))
    jitted = jax.jit(
        replicas.make_round(parts, config, size, mesh, specs),
        donate_argnums=0,  # the old state is never read again
        out_shardings=(state_places, everywhere),
    )
    compiled = jitted.lower(state, model, segments, count).compile()
    schedule = make_schedule(config.schedule, config.learning_rate, model.num_steps)
    return Trainer(state, schedule, compiled, model, segments)


def at_rate(config: Config, trainer: Trainer, learning_rate: Array) -> Trainer:
    """The same at another learning rate; nothing is compiled."""
    place = trainer.model.learning_rate.sharding
    model = trainer.model._replace(learning_rate=jax.device_put(learning_rate, place))
    schedule = make_schedule(config.schedule, model.learning_rate, model.num_steps)
    return trainer._replace(model=model, schedule=schedule)


def fit(
    config: Config,
    trainer: Trainer,
    tokens: np.ndarray,
    rounds_done: int = 0,
) -> Iterator[tuple[int, TrainState, SegmentMetrics]]:
    """Trains, and yields ``(rounds done, state, the round's metrics)`` as it goes.

    The device is never idle: state and metrics are handed out before they are
    computed. Read a round's metrics after asking for the next one. The next one
    takes the state's memory: save it or read it before asking.

    Args:
      config, trainer: as given to and returned by :func:`make_trainer`, or by
        ``grid.load``.
      tokens: (T,) int32 word ids with ``SENTENCE_END`` between sentences; may be a
        memory map, of which one round is read at a time.
      rounds_done: where to go on, with the state of that moment in ``trainer``.

    Raises:
      InputError: a token is no word id of the vocabulary: on the device it would
        silently stand for another word. Or a sentence is longer than the
        ``sentence_length`` of the configuration, and windows reach farther than that.
      FloatingPointError: a loss is no finite number any more. It is raised when the
        round after the next is asked for, or at the end. Of many models (``grid``) one
        that diverges does not end the others: see their metrics.
    """
    state, segments = trainer.state, trainer.segments
    V = trainer.model.sampling.keep_V.shape[-1]
    size = segment_size(config, len(tokens), V)
    per_epoch = num_rounds(config, len(tokens), V)
    rounds = trainer.rounds or config.epochs * per_epoch
    is_grid, before = trainer.model.learning_rate.ndim > 0, None
    for done in range(rounds_done, rounds):
        start = done % per_epoch * config.replicas * size
        round_RT = hand_over(config, V, tokens, start, size, segments)
        number = np.int32(done * config.replicas)
        state, metrics = trainer.run(state, trainer.model, round_RT, number)
        yield done + 1, state, metrics
        # The device has this round to do while the metrics of the one before are read.
        if before and not is_grid:
            _check_finite(done, rounds, before)
        before = metrics
    if before and not is_grid:
        _check_finite(rounds, rounds, before)


def _check_finite(done: int, rounds: int, metrics: SegmentMetrics) -> None:
    steps = first_not_finite(metrics)
    if steps is not None:
        raise FloatingPointError(
            f"fit: training diverged: no finite loss any more in round {done} of "
            f"{rounds}, after {steps:,} of its steps; begin anew, or from a state kept "
            "before, with a lower learning_rate or fewer blocks_per_step"
        )
