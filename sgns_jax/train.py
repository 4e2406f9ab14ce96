"""Training: steps over a segment, jit and donation at one place, fit.

    segment of tokens → windows → loop of steps → TrainState, metrics of the segment
    round: each replica takes a segment, then they are merged

Everything random is drawn on the device from ``fold_in(run key, count)``: the count
of segments for subsampling and windows, and that of steps with it for noise. Training
is therefore a pure function of the configuration, the tokens and the rounds done.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec

from sgns_jax import block, replicas, window
from sgns_jax.config import Config
from sgns_jax.optimizers import make_optimizer, make_schedule
from sgns_jax.step import (
    Keys,
    Sampling,
    Step,
    TrainState,
    init_params,
    make_sampling,
    make_step,
    prepare_segment,
    run_keys,
)
from sgns_jax.types import SENTENCE_END, InputError

#: Replicas are merged no sooner: a merge reads every row of both tables.
TOKENS_PER_ROW = 8
#: A segment's positives are counted in int32.
MOST_PAIRS = 2**31 - 1


class SegmentMetrics(NamedTuple):
    """What a segment's training shows; of a round, with an axis for its replicas."""

    loss: block.LossParts  #: summed over the steps that were measured
    pairs: Array  #: int32, positives of all steps
    finite_steps: Array  #: int32, steps before the first loss that is not finite


SegmentRun = Callable[
    [TrainState, Keys, Sampling, Array, Array], tuple[TrainState, SegmentMetrics]
]


def make_segment_run(
    config: Config, step: Step, models_axis: str | None = None
) -> SegmentRun:
    """``run(state, keys, sampling, segment_T, segment)``: a segment's steps in a loop.

    ``segment`` counts from 0 over all epochs and seeds all random draws. Every
    ``loss_every``-th step is measured, the first one always, and the losses are added
    up with Kahan's compensation. The number of steps depends on how many tokens are
    kept; the compiled program does not.

    Args:
      config: its batching settings.
      step: see ``sgns_jax.step.make_step``.
      models_axis: the axis that ``run`` is vmapped over, if it is. The loop then goes
        on until each model has done its steps, and what is done stays as it is: to
        let every model leave the loop for itself, vmap would copy all tables at every
        step.
    """
    B, C = config.blocks_per_step, config.block_size

    def run(state, keys, sampling, segment_T, segment):
        windows, kept = prepare_segment(config, keys, sampling, segment_T, segment)
        # Replicas are at the same step at the same time, yet in different segments.
        keys = keys._replace(noise=jax.random.fold_in(keys.noise, segment))
        num_blocks = -(-kept // C)
        num_steps = -(-num_blocks // B)

        def body(i, carry):
            state, total, rest, finite_steps = carry
            # A step's blocks lie evenly over the segment: neighbours in the text
            # repeat each other's words, and repeats in a step act from stale rows.
            starts_B = (jnp.arange(B) * num_steps + i) * C
            measured = i % config.loss_every == 0
            if models_axis:
                starts_B = jnp.where(i < num_steps, starts_B, len(segment_T))
            after, loss = step(state, keys, sampling, windows, starts_B, measured)
            if models_axis:
                after = _unless(i >= num_steps, config, state, after)
            total, rest = _add(total, rest, loss)
            finite = jnp.isfinite(loss.positive + loss.negative)
            finite_steps = jnp.minimum(finite_steps, jnp.where(finite, num_steps, i))
            return after, total, rest, finite_steps

        zero = block.LossParts(jnp.float32(0), jnp.float32(0), jnp.int32(0))
        longest = jax.lax.pmax(num_steps, models_axis) if models_axis else num_steps
        carry = state, zero, zero, num_steps
        state, loss, _, finite_steps = jax.lax.fori_loop(0, longest, body, carry)
        pairs = jnp.sum(windows.left_T + windows.right_T)
        return state, SegmentMetrics(loss, pairs, finite_steps)

    return run


def _add(
    total: block.LossParts, rest: block.LossParts, term: block.LossParts
) -> tuple[block.LossParts, block.LossParts]:
    """Kahan's sum: the new total, and what rounding took from it, to be taken back.

    Its error does not grow with the number of terms (Higham 1993, equation 4.8).
    """
    term = jax.tree.map(jnp.subtract, term, rest)
    larger = jax.tree.map(jnp.add, total, term)
    rest = jax.tree.map(lambda new, old, x: (new - old) - x, larger, total, term)
    return larger, rest


def _unless(
    done: Array, config: Config, state: TrainState, after: TrainState
) -> TrainState:
    """The state after a step, or the one before it where a model was done already.

    A step of empty blocks changes no row, but it counts; and a dense optimiser may
    move rows without a gradient.
    """

    def choose(old, new):
        is_table = jnp.ndim(new) and config.updates == "rows"
        return new if is_table else jnp.where(done, old, new)

    return jax.tree.map(choose, state, after)


def num_rounds(config: Config, num_tokens: int, vocabulary_size: int) -> int:
    """Rounds of one epoch; in each, every replica takes a segment."""
    longest = config.segment_tokens
    if config.replicas > 1:
        longest = max(longest, TOKENS_PER_ROW * vocabulary_size)
    longest = min(longest, MOST_PAIRS // (2 * config.window))
    return -(-num_tokens // (config.replicas * longest))


def segment_size(config: Config, num_tokens: int, vocabulary_size: int) -> int:
    """Tokens of a segment: as many in each, so that the last one is no fragment."""
    rounds = num_rounds(config, num_tokens, vocabulary_size)
    return -(-num_tokens // (config.replicas * rounds))


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
    tokens_per_step = config.blocks_per_step * config.block_size
    rounds = config.epochs * per_epoch if rounds is None else rounds
    return round(rounds * (kept_of_segment / tokens_per_step + 0.5))


class Model(NamedTuple):
    """What tells a model from others that the same program trains, as arrays."""

    keys: Keys
    sampling: Sampling
    learning_rate: Array  #: scalar float32, at the start
    num_steps: Array  #: scalar float32, the schedule is laid over so many


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


#: ``(state, model, segment_T, number of the segment)`` → state, metrics
ModelRun = Callable[
    [TrainState, Model, Array, Array], tuple[TrainState, SegmentMetrics]
]


def make_model_run(config: Config, models_axis: str | None = None) -> ModelRun:
    """A segment's training of any model that differs in ``Model`` alone.

    Nothing of the model is built in: it may be traced, and vmapped over
    ``models_axis``.
    """

    def run(state, model, segment_T, segment):
        rate = make_schedule(config.schedule, model.learning_rate, model.num_steps)
        step = make_step(config, _optimizer(config, rate))
        train = make_segment_run(config, step, models_axis)
        return train(state, model.keys, model.sampling, segment_T, segment)

    return run


def init_state(config: Config, vocabulary_size: int, key: Array) -> TrainState:
    """The state that training begins with."""
    params = init_params(key, vocabulary_size, config.dim)
    optimizer = _optimizer(config, optax.constant_schedule(0.0))  # rates leave no trace
    return TrainState(params, optimizer.init(params), jnp.int32(0))


def _optimizer(config: Config, schedule: optax.Schedule):
    power, dense = config.adagrad_power, config.updates == "dense"
    return make_optimizer(config.optimizer, schedule, power, dense)


class Trainer(NamedTuple):
    """A configuration made ready for a corpus."""

    state: TrainState  #: the state to begin with
    schedule: optax.Schedule  #: step → learning rate
    run: ModelRun  #: a round, compiled; it takes the state's memory for the next's
    model: Model


def make_trainer(config: Config, counts: np.ndarray, num_tokens: int) -> Trainer:
    """Initialises and compiles. The one place for jit, donation and sharding.

    Args:
      config: the settings.
      counts: (V,) how often each word stands in the corpus.
      num_tokens: T, length of the token stream, sentence ends included.
    """
    model = make_model(config, counts, num_tokens)
    mesh = replicas.replica_mesh(config.replicas)
    everywhere = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec(replicas.AXIS))
    init = functools.partial(init_state, config, len(counts))
    state = jax.jit(init, out_shardings=everywhere)(model.keys.init)
    model = jax.device_put(model, everywhere)
    shape = config.replicas, segment_size(config, num_tokens, len(counts))
    segments = jax.ShapeDtypeStruct(shape, jnp.int32, sharding=split)
    count = jax.ShapeDtypeStruct((), jnp.int32)
    jitted = jax.jit(
        replicas.make_round(make_model_run(config), config.replicas, mesh),
        donate_argnums=0,  # the old state is never read again
        out_shardings=everywhere,
    )
    compiled = jitted.lower(state, model, segments, count).compile()
    schedule = make_schedule(config.schedule, config.learning_rate, model.num_steps)
    return Trainer(state, schedule, compiled, model)


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

    Nothing waits for the device: state and metrics are handed out before they are
    computed. Read a round's metrics after asking for the next one. The next one
    takes the state's memory: save it or read it before asking.

    Args:
      config, trainer: as given to and returned by :func:`make_trainer`.
      tokens: (T,) int32 word ids with ``SENTENCE_END`` between sentences; may be a
        memory map, of which one round is read at a time.
      rounds_done: where to go on, with the state of that moment in ``trainer``.

    Raises:
      InputError: if a token is no word id of the vocabulary: on the device it would
        silently stand for another word.
    """
    state = trainer.state
    V = trainer.model.sampling.keep_V.shape[-1]
    shape = config.replicas, segment_size(config, len(tokens), V)
    size, per_epoch = math.prod(shape), num_rounds(config, len(tokens), V)
    for done in range(rounds_done, config.epochs * per_epoch):
        start = done % per_epoch * size
        round_T = np.full(size, SENTENCE_END, np.int32)
        part = tokens[start : start + size]
        round_T[: len(part)] = part
        _check_ids(round_T, V)
        segments, number = round_T.reshape(shape), np.int32(done * config.replicas)
        state, metrics = trainer.run(state, trainer.model, segments, number)
        yield done + 1, state, metrics


def _check_ids(round_T: np.ndarray, vocabulary_size: int) -> None:
    low, high = round_T.min(), round_T.max()
    if low < SENTENCE_END or high >= vocabulary_size:
        raise InputError(
            f"fit: tokens hold ids from {low} to {high}, the vocabulary has ids 0 to "
            f"{vocabulary_size - 1}; encode the corpus again with this vocabulary"
        )
