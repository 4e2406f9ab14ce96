"""Checkpoints: what is restored is what was saved, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sgns_jax.checkpoint import Checkpoints
from sgns_jax.optimizers import make_optimizer
from sgns_jax.step import TrainState
from sgns_jax.types import Params


def state(optimizer, number):
    params = Params(jnp.full((5, 3), number), jnp.full((5, 3), -number))
    opt_state = make_optimizer(optimizer, optax.constant_schedule(0.1)).init(params)
    return TrainState(params, opt_state, jnp.int32(number))


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam"])
def test_newest_state_comes_back(tmp_path, optimizer):
    with Checkpoints(tmp_path / "new" / "folder") as checkpoints:
        assert checkpoints.latest() is None
        for rounds_done in (3, 7):
            checkpoints.save(rounds_done, state(optimizer, float(rounds_done)))
    with Checkpoints(tmp_path / "new" / "folder") as checkpoints:
        assert checkpoints.latest() == 7
        restored = checkpoints.restore(state(optimizer, 0.0))
    jax.tree.map(np.testing.assert_array_equal, restored, state(optimizer, 7.0))


@pytest.mark.parametrize("keep", [1, 3])
def test_only_the_newest_stay(tmp_path, keep):
    with Checkpoints(tmp_path, keep) as checkpoints:
        for rounds_done in (1, 2, 3, 4):
            checkpoints.save(rounds_done, state("sgd", 1.0))
    there = {p.name for p in tmp_path.iterdir() if p.name.isdigit()}
    assert there == set("1234"[4 - keep :])


def test_a_saved_state_may_be_donated_at_once(tmp_path):
    overwrite = jax.jit(lambda s: jax.tree.map(lambda x: x * 0, s), donate_argnums=0)
    with Checkpoints(tmp_path) as checkpoints:
        saved = state("adagrad", 5.0)
        checkpoints.save(1, saved)
        jax.block_until_ready(overwrite(saved))
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(state("adagrad", 0.0))
    jax.tree.map(np.testing.assert_array_equal, restored, state("adagrad", 5.0))
