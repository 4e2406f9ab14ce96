"""Many models in one program: what an ablation varies is data.

Models that differ in ``DATA`` alone (K, α, seed, learning rate, subsampling,
half-window rule, length of training) run the same compiled program on the same text.
They are stacked along a leading axis M, split over the devices and vmapped on each:

    states (M, …), models (M, …), segment (T,)  →  states (M, …), metrics (M, …)

A model's numbers do not depend on its companions: it is the one that ``make_trainer``
trains by itself, but for rounding where vmap makes other products of a step's.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sgns_jax.config import Config
from sgns_jax.jax_settings import pinned
from sgns_jax.optimizers import make_schedule
from sgns_jax.replicas import Round
from sgns_jax.step import TrainState
from sgns_jax.train import (
    Trainer,
    init_state,
    make_model,
    model_parts,
    num_rounds,
    segment_size,
)
from sgns_jax.types import InputError

#: Settings that are data. Epochs are so many rounds of the same program.
DATA = (
    "negatives",
    "noise_exponent",
    "seed",
    "learning_rate",
    "subsample",
    "subsample_rule",
    "dynamic_window",
    "epochs",
)
_DEVICES, _MODELS = "devices", "models"


def shape_of(config: Config) -> Config:
    """What is built into a model's program; equal ones share it.

    Where noise words are independent, K of them are drawn for each pair, and models of
    a smaller K leave some out; see :func:`shared_shape`.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    return dataclasses.replace(config, **{name: defaults[name] for name in DATA})


def shared_shape(configs: Sequence[Config]) -> Config:
    """The program that has room for all of the models: that of the largest K.

    Raises:
      InputError: they do not fit into one, or have replicas.
    """
    shapes = {shape_of(config) for config in configs}
    if len(shapes) != 1:
        raise InputError(
            f"models of one program may differ in {', '.join(DATA)}, these differ in "
            "more; train them apart"
        )
    (shape,) = shapes
    if shape.replicas != 1:
        raise InputError(
            f"models of a grid must have replicas 1, got {shape.replicas}: the models "
            "themselves fill the devices"
        )
    return dataclasses.replace(shape, negatives=max(c.negatives for c in configs))


class Grid(NamedTuple):
    """A compiled program, for any M models of its shape on a text of its size."""

    size: int  #: M
    init: Callable[[Array], TrainState]  #: (M,) keys → states
    run: Round  #: a round; it takes the states' memory for the next
    model_bytes: int  #: memory that one model needs, on its device
    sharding: NamedSharding  #: of all that has the axis M
    segments: jax.ShapeDtypeStruct  #: of a round, and where they go


@pinned()
def make_grid(
    shape: Config, vocabulary_size: int, num_tokens: int, at_once: int
) -> Grid:
    """Compiles. The one place for jit, donation and sharding of many models.

    Args:
      shape: from :func:`shared_shape`.
      vocabulary_size: V.
      num_tokens: T, length of the token stream, sentence ends included.
      at_once: how many models each device trains side by side.
    """
    devices = np.array(jax.devices())
    mesh, M = Mesh(devices, (_DEVICES,)), len(devices) * at_once
    split = NamedSharding(mesh, PartitionSpec(_DEVICES))
    everywhere = NamedSharding(mesh, PartitionSpec())

    def init(key):
        return init_state(shape, vocabulary_size, key)

    def train(state, model, segment_T, number):
        return model_parts(shape, model, _MODELS).run(state, segment_T, number)

    run = jax.vmap(train, (0, 0, None, None), axis_name=_MODELS)
    round = jax.shard_map(
        lambda state, model, segments_1T, segment: run(
            state, model, segments_1T[0], segment
        ),
        mesh=mesh,
        in_specs=(split.spec, split.spec, everywhere.spec, everywhere.spec),
        out_specs=split.spec,
        check_vma=False,  # as in replicas.py
    )
    init = jax.jit(jax.vmap(init), out_shardings=split)
    jitted = jax.jit(round, donate_argnums=0, out_shardings=split)

    def placed(x, sharding):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    # Any counts do: only their number shapes the arrays.
    like = make_model(shape, np.ones(vocabulary_size), num_tokens)
    model = jax.eval_shape(lambda: _stack([like] * M))
    state = jax.eval_shape(init, model.keys.init)
    state, model = jax.tree.map(lambda x: placed(x, split), (state, model))
    size = segment_size(shape, num_tokens, vocabulary_size)
    segment = jax.ShapeDtypeStruct((1, size), jnp.int32, sharding=everywhere)
    count = jax.ShapeDtypeStruct((), jnp.int32)
    compiled = jitted.lower(state, model, segment, count).compile()
    memory = compiled.memory_analysis()
    needed = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    return Grid(M, init, compiled, needed // at_once, split, segment)


@pinned()
def load(
    grid: Grid,
    configs: Sequence[Config],
    counts: np.ndarray,
    num_tokens: int,
    rounds: int | None = None,
) -> Trainer:
    """A trainer of up to M models, for ``fit``.

    Every array of its state and of its model has the axis M. Places that are left over
    train the last model once more.

    Args:
      grid: from :func:`make_grid`, with the shape of the configurations.
      configs: the models.
      counts: (V,) how often each word stands in the text.
      num_tokens: T.
      rounds: after so many training ends; default: those of a model's epochs.

    Raises:
      InputError: epochs differ, and ``rounds`` is left open.
    """
    rounds = rounds or _rounds(configs, num_tokens, len(counts))
    models = [make_model(config, counts, num_tokens, rounds) for config in configs]
    models += models[-1:] * (grid.size - len(models))
    model = jax.device_put(_stack(models), grid.sharding)
    state = grid.init(model.keys.init)
    rates = model.learning_rate, model.num_steps
    schedule = make_schedule(configs[0].schedule, *rates)
    return Trainer(state, schedule, grid.run, model, grid.segments, rounds)


def _rounds(configs: Sequence[Config], num_tokens: int, vocabulary_size: int) -> int:
    epochs = sorted({config.epochs for config in configs})
    if len(epochs) > 1:
        raise InputError(
            "models that train side by side take as many rounds, these have epochs "
            f"{', '.join(map(str, epochs))}; load those of equal epochs together (one "
            "program trains all), or give rounds"
        )
    return epochs[0] * num_rounds(configs[0], num_tokens, vocabulary_size)


def _stack(models: Sequence) -> object:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *models)
