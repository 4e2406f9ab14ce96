"""Settings: every one is checked, documented, and its error says what to do."""

import dataclasses
import math

import jax
import pytest

from sgns_jax.config import BACKENDS, OPTIMIZERS, Config
from sgns_jax.types import InputError

BAD = {
    "corpus": ["", 3],
    "encoding": ["", "utf-99", "hex", 3, "utf-8\0"],
    "min_count": [0, -1, 1.5],
    "max_vocabulary": [-1],
    "tokenizer": ["bpe"],
    "lowercase": ["yes", 1],
    "sentence_length": [-1],
    "dim": [0, -3, 2.0, True],
    "window": [0, -5],
    "dynamic_window": [None],
    "negatives": [0, -1],
    "noise_exponent": [math.nan, math.inf, "0.75"],
    "collisions": ["redraw"],
    "negatives_mode": ["batch"],
    "subsample": [-1e-4, math.nan],
    "subsample_rule": ["gensim"],
    "epochs": [0],
    "seed": [-1, 2**31],
    "optimizer": ["lion"],
    "learning_rate": [0.0, -0.1, math.nan, math.inf],
    "schedule": ["step"],
    "gradient": ["numeric"],
    "updates": ["columns"],
    "block_size": [0],
    "noise_words": [0],
    "blocks_per_step": [0],
    "backend": ["cuda", ""],
    "replicas": [0, 1.0],
    "sync_every": [-1],
    "segment_tokens": [15],
    "adagrad_power": [-0.1, 1.5, math.nan],
    "product_dtype": ["float16"],
    "loss_every": [0],
}


def test_every_setting_has_bad_values_here():
    assert set(BAD) == {field.name for field in dataclasses.fields(Config)}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n in BAD for v in BAD[n]])
def test_bad_values_are_named(name, value):
    with pytest.raises(InputError, match=rf"^{name} must be .*, got "):
        Config(**{name: value})


def test_defaults_are_word2vecs():
    config = Config()
    assert (config.dim, config.window, config.negatives) == (100, 5, 5)
    assert (config.noise_exponent, config.subsample) == (0.75, 1e-4)
    assert (config.min_count, config.epochs) == (5, 5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_bring_their_own_defaults(optimizer):
    config = Config(optimizer=optimizer)
    assert config.learning_rate == OPTIMIZERS[optimizer].learning_rate
    assert Config(optimizer=optimizer, learning_rate=0.5).learning_rate == 0.5


@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_bring_their_own_defaults(backend):
    config = Config(backend=backend)
    assert config.replicas == BACKENDS[backend].replicas
    tokens = BACKENDS[backend].tokens_per_step
    assert config.blocks_per_step * config.block_size == tokens
    assert Config(backend=backend, block_size=tokens).blocks_per_step == 1
    assert Config(backend=backend, block_size=10 * tokens).blocks_per_step == 1
    given = Config(backend=backend, blocks_per_step=7, replicas=3)
    assert (given.blocks_per_step, given.replicas) == (7, 3)
    # SGD diverges on large steps, on any device.
    small = Config(backend=backend, optimizer="sgd", block_size=32)
    assert small.blocks_per_step == 4


@pytest.mark.parametrize(
    ("found", "backend"), [("gpu", "gpu"), ("tpu", "tpu"), ("METAL", "gpu")]
)
def test_what_is_left_open_suits_the_device_that_jax_finds(found, backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: found)
    assert Config() == Config(backend=backend)
    assert Config(optimizer="sgd", replicas=1).backend == backend
    assert Config(backend="cpu").replicas == BACKENDS["cpu"].replicas


def test_jax_is_not_started_for_what_is_given(monkeypatch):
    """What must come before (other processes, for one) still can."""

    def started():
        raise AssertionError("asked JAX for its device")

    monkeypatch.setattr(jax, "default_backend", started)
    assert Config(blocks_per_step=4, replicas=1).replicas == 1
    assert Config(backend="gpu").replicas == 1
    with pytest.raises(AssertionError, match="asked JAX"):
        Config(replicas=1)


def test_settings_are_explained():
    for field in dataclasses.fields(Config):
        setting = field.metadata["setting"]
        assert setting.meaning.endswith(".") and setting.needs and setting.group


def test_one_model_is_merged_with_none():
    assert Config(replicas=2, sync_every=3).sync_every == 3
    with pytest.raises(InputError, match="there is one model; give replicas"):
        Config(replicas=1, sync_every=3)
