"""The plan against what programs and files really take."""

import jax
import numpy as np
import pytest

from sgns_jax.checkpoint import Checkpoints
from sgns_jax.config import Config
from sgns_jax.plan import device_bytes, disk_bytes, host_bytes, state_bytes
from sgns_jax.sharding import MeshShape, one_to_a_replica
from sgns_jax.train import init_state, make_trainer
from sgns_jax.vectors import WordVectors

V, T = 20_000, 400_000


@pytest.mark.parametrize(
    "settings",
    [
        {"replicas": 2},  # a device each
        {"replicas": 1, "optimizer": "adam", "blocks_per_step": 512},
    ],
)
def test_a_device_takes_what_the_compiled_program_does(settings, unoptimized):
    config = Config(dim=50, **settings)
    plan = device_bytes(config, V, T, one_to_a_replica(config.replicas, 2))
    trainer = make_trainer(config, np.ones(V), T)
    arrays = jax.tree.leaves((trainer.state.params, trainer.state.opt_state))
    assert sum(state_bytes(config, V)) == sum(x.nbytes for x in arrays)
    taken = trainer.run.memory_analysis()
    taken = taken.argument_size_in_bytes + taken.temp_size_in_bytes
    # The tables, their copies and the segment's tokens are exact; ten arrays stand for
    # what XLA packs into 41 bytes a token. (Adam with two replicas, and words of each
    # pair's own, are a fifth more than planned.)
    planned = plan.tables + plan.optimizer + plan.training
    assert abs(planned / taken - 1) < 0.1
    assert plan.least < taken and plan.total >= planned


def test_drawing_the_first_vectors_takes_three_tables_beside_both():
    config = Config(dim=50)
    init = jax.jit(lambda key: init_state(config, V, key))
    taken = init.lower(jax.random.key(0)).compile().memory_analysis()
    planned = device_bytes(config, V, T, MeshShape(2)).start
    np.testing.assert_allclose(planned, taken.temp_size_in_bytes, rtol=0.01)


def test_bytes_of_a_device_depend_on_what_it_shares(T=10**8):
    config = Config(dim=300, replicas=8)
    alone, shared = (device_bytes(config, 10**6, T, MeshShape(n)) for n in (8, 2))
    assert alone.tables == shared.tables == 2 * 10**6 * 300 * 4
    assert shared.training > alone.training + 4 * alone.tables  # 4 replicas, not 1
    on_gpus, on_cores = (host_bytes(10**6, 0, alone, cores) for cores in (0, 8))
    assert on_gpus.start == 0 and on_gpus.training == alone.tables + alone.optimizer
    assert on_cores.total > 8 * alone.total


def test_disk_holds_the_vectors_as_text_and_what_is_kept(tmp_path):
    matrix = np.random.default_rng(0).normal(size=(200, 50)) / 5
    words = tuple(f"word{i}" for i in range(200))
    WordVectors(words, matrix).save(tmp_path / "vectors.txt")
    size = (tmp_path / "vectors.txt").stat().st_size
    plan = disk_bytes(Config(dim=50), 200, 1000, 0, 0, 2)
    np.testing.assert_allclose(plan.vectors, size, rtol=0.1)
    state = sum(state_bytes(Config(dim=50), 200))
    assert state < plan.least < state + size and plan.tokens == plan.scratch == 0
    assert plan.checkpoints == 3 * state
    encoding = disk_bytes(Config(dim=50), 200, 10**6, 2 * 10**6, 10**5, 2)
    scratch = 4 * 2 * 10**6 + 28 * 10**5
    assert encoding.total == 4 * 10**6 + scratch
    assert encoding.least == 4 * 10**6 + state + 8 * 200 * 50


def test_a_checkpoint_takes_as_much_disk_as_the_state(tmp_path):
    config = Config(dim=50)
    state = init_state(config, 2000, jax.random.key(0))
    state = jax.tree.map(lambda x: x + 1, state)  # zeros alone are not written
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    np.testing.assert_allclose(size, sum(state_bytes(config, 2000)), rtol=0.01)
