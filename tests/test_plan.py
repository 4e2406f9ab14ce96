"""The plan against what programs and files really take."""

import jax
import numpy as np
import pytest

from sgns_jax.checkpoint import Checkpoints
from sgns_jax.config import Config
from sgns_jax.plan import (
    choose_mesh,
    device_bytes,
    devices_needed,
    disk_bytes,
    host_bytes,
    state_bytes,
)
from sgns_jax.sharding import MeshShape, make_mesh, one_to_a_replica
from sgns_jax.train import fit, init_state, make_trainer
from sgns_jax.vectors import WordVectors

V, T = 20_000, 400_000


@pytest.mark.parametrize(
    "settings",
    [
        {"replicas": 2},  # a device each
        {"replicas": 4, "sync_every": 8},
        {"replicas": 1, "optimizer": "adam", "blocks_per_step": 512},
    ],
)
def test_a_device_takes_what_the_compiled_program_does(
    settings, unoptimized, monkeypatch
):
    monkeypatch.undo()  # but for LLVM the compiler of users: another takes other memory
    config = Config(dim=50, **settings)
    plan = device_bytes(config, V, T, one_to_a_replica(config.replicas, 2))
    trainer = make_trainer(config, np.ones(V), T)
    arrays = jax.tree.leaves((trainer.state.params, trainer.state.opt_state))
    assert sum(state_bytes(config, V)) == sum(x.nbytes for x in arrays)
    taken = trainer.run.memory_analysis()
    taken = taken.argument_size_in_bytes + taken.temp_size_in_bytes
    # The tables, their copies and the tokens are exact; fourteen arrays stand for
    # what XLA packs into 57 bytes a token. (Adam with two replicas, and words of each
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
    half = device_bytes(config, 10**6, T, MeshShape(1, 2))
    split = host_bytes(10**6, 0, half, 0, shares=2)  # Adagrad's sums are not
    np.testing.assert_allclose(split.training, on_gpus.training, rtol=0.01)


def test_tables_larger_than_a_device_train_where_they_are_split(unoptimized, T=20_000):
    """The limit is between what one device needs and what each of two does."""
    config, counts = Config(dim=50, replicas=1), np.arange(V, 0, -1)
    tokens = np.random.default_rng(0).integers(0, V, T).astype(np.int32)
    one, half = (device_bytes(config, V, T, MeshShape(1, m)).total for m in (1, 2))
    limit = (one + half) // 2
    init = jax.jit(lambda key: init_state(config, V, key))
    whole = init.lower(jax.random.key(0)).compile().memory_analysis()
    assert whole.output_size_in_bytes + whole.temp_size_in_bytes > limit
    assert choose_mesh(config, V, T, 2, one, cores=False)[0] == MeshShape(2, 1)
    shape, reason = choose_mesh(config, V, T, 2, limit, cores=False)
    assert shape == MeshShape(1, 2) and "do not fit" in reason
    trainer = make_trainer(config, counts, T, make_mesh(shape, 1))
    memory = trainer.run.memory_analysis()
    assert memory.argument_size_in_bytes + memory.temp_size_in_bytes <= limit
    _, state, metrics = next(fit(config, trainer, tokens))
    assert [part.data.shape for part in state.params.w_in.addressable_shards] == [
        (V, 25), (V, 25)
    ]  # fmt: skip
    assert int(metrics.pairs[0]) > T and np.isfinite(metrics.loss.positive[0])
    assert devices_needed(config, V, T, limit) == 2
    assert devices_needed(config, V, T, one) == 1
    assert devices_needed(config, V, T, 1000) is None


def test_devices_share_the_text_if_they_can_and_columns_if_they_must():
    config, sizes = Config(dim=96, replicas=2), (10**6, 10**8)

    def chosen(free, devices=8, cores=False):
        return choose_mesh(config, *sizes, devices, free, cores)[0]

    assert chosen(None) == chosen(10**12) == MeshShape(8, 1)
    assert chosen(None, cores=True) == MeshShape(2, 1)  # a core for each replica
    needs = [device_bytes(config, *sizes, MeshShape(8 // m, m)).total for m in (1, 2)]
    assert chosen(needs[0]) == MeshShape(8, 1)
    assert chosen(needs[0] - 1) == chosen(needs[1]) == MeshShape(4, 2)
    assert chosen(needs[1] - 1) == MeshShape(2, 4)
    assert chosen(1) == MeshShape(1, 8)  # it is refused, see planning
    assert chosen(1, devices=10) == MeshShape(5, 2)  # 5 and 10 do not divide 96


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
