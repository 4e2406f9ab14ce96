"""Training as loops: of each part, of the whole step, and ``fit`` itself."""

import dataclasses
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from experiments.profiling.loops import Run, loop
from experiments.profiling.parts import (
    Values,
    call,
    in_turn,
    prepare,
    step_parts,
    whole_step,
)
from sgns_jax.config import Config
from sgns_jax.optimizers import make_optimizer, make_schedule
from sgns_jax.step import TrainState, init_params, make_sampling, run_keys
from sgns_jax.train import Trainer, fit, make_trainer
from sgns_jax.types import InputError

_SEGMENTS = 2  #: of one sample of ``fit``


def device_runs(
    config: Config, counts: np.ndarray, segment_T: np.ndarray
) -> tuple[dict[str, Run], int, int]:
    """Each part, "whole step" and "prepare"; how many tokens are kept; S, the steps."""
    schedule = make_schedule(config.schedule, config.learning_rate, 1000)
    optimizer = make_optimizer(config.optimizer, schedule, config.adagrad_power)
    values, varying = inputs(config, optimizer, counts, segment_T)
    parts = step_parts(config, optimizer) | {
        "whole step": whole_step(config, optimizer)
    }
    runs = {
        name: loop(part, values, varying)
        for name, part in tqdm(parts.items(), "compiling", leave=False)
    }
    runs["prepare"] = loop(partial(prepare, config), values, varying, rounds=2)
    return runs, int(values["kept"]), len(varying["step"])


def inputs(
    config: Config,
    optimizer: optax.GradientTransformationExtraArgs,
    counts: np.ndarray,
    segment_T: np.ndarray,
) -> tuple[Values, Values]:
    """All values of a segment's first step; those of each of the S steps, stacked.

    Raises:
      InputError: if subsampling leaves no word of the segment.
    """
    values = _segment(config, optimizer, counts, segment_T)
    parts = step_parts(config, optimizer)
    B, C = config.blocks_per_step, config.block_size
    S = -(-int(values["kept"]) // (B * C))
    if S == 0:
        raise InputError(
            f"subsample = {config.subsample:g} leaves no word of the segment; give a "
            "larger one, or 0 to keep all"
        )

    def of_step(values, i):
        now = {
            "step": i,
            "starts_B": (jnp.arange(B) * S + i) * C,  # as in train.py
            "measured": i % config.loss_every == 0,
        }
        drawn = call(parts["blocks"], call(parts["draw"], values | now))
        return now | {name: drawn[name] for name in ("noise_BN", "ids")}

    @jax.jit
    def of_steps(values):
        varying = jax.lax.map(partial(of_step, values), jnp.arange(S))
        first = jax.tree.map(lambda x: x[0], varying)
        return in_turn(parts, values | first), varying

    return of_steps(values)


def _segment(config, optimizer, counts, segment_T) -> Values:
    """What a segment's steps have in common, and the state that they begin with."""

    @jax.jit
    def begin(keys, sampling, segment_T):
        keys = keys._replace(noise=jax.random.fold_in(keys.noise, 0))  # as in train.py
        params = init_params(keys.init, len(counts), config.dim)
        state = TrainState(params, optimizer.init(params), jnp.int32(0))
        values = {
            "keys": keys, "sampling": sampling, "segment_T": segment_T, "state": state,
            "params": params, "opt_state": state.opt_state, "step": state.step,
        }  # fmt: skip
        return call(partial(prepare, config), values)

    return begin(run_keys(config.seed), make_sampling(config, counts), segment_T)


def fit_runs(
    config: Config, counts: np.ndarray, segment_T: np.ndarray
) -> dict[str, Run]:
    """Training by ``fit``, and the host's share: ``fit`` with a device that is idle.

    Of one replica, by segment. While the device works on one, the host goes on to the
    next.
    """
    config = dataclasses.replace(config, epochs=1, replicas=1)
    tokens = np.tile(segment_T, _SEGMENTS)
    trainer = make_trainer(config, counts, len(tokens))
    idle = trainer._replace(state=None, run=lambda state, *_: (state, None))

    def train(trainer: Trainer) -> tuple[float, TrainState]:
        start = time.perf_counter()
        *_, (_, state, _) = fit(config, trainer, tokens)
        jax.block_until_ready(state)
        return (time.perf_counter() - start) / _SEGMENTS, state

    def training() -> float:
        nonlocal trainer
        seconds, state = train(trainer)
        trainer = trainer._replace(state=state)
        return seconds

    return {"training": training, "host": lambda: train(idle)[0]}
