"""Checkpoints: what is restored is what was saved, bit for bit."""

import gc
import json
import logging
import os
import subprocess
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sgns_jax.checkpoint import Checkpoints
from sgns_jax.optimizers import make_optimizer
from sgns_jax.step import TrainState
from sgns_jax.types import InputError, Params


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
        done, restored = checkpoints.restore(state(optimizer, 0.0))
    assert done == 7
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
        _, restored = checkpoints.restore(state("adagrad", 0.0))
    jax.tree.map(np.testing.assert_array_equal, restored, state("adagrad", 5.0))


def test_a_save_leaves_little_in_memory(tmp_path, caplog):
    """12 kB: Orbax asks tensorstore what it wrote, which never frees its answers.

    A week of a save a minute comes to 120 MB.
    """
    caplog.set_level(logging.CRITICAL, "absl")  # what is logged is kept here
    number, saved = 50, state("adagrad", 1.0)
    with Checkpoints(tmp_path) as checkpoints:
        for rounds_done in range(2 * number):
            if rounds_done == number:
                checkpoints.wait()
                gc.collect()
                tracemalloc.start()
            checkpoints.save(rounds_done, saved)
        checkpoints.wait()
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert kept / number < 17_000


def truncate(path):
    path.write_bytes(path.read_bytes()[:-3])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)


def largest(folder):
    """The file with the arrays: Orbax itself takes a flipped bit in it for a number."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return max(files, key=lambda path: path.stat().st_size)


def saved_twice(folder):
    with Checkpoints(folder) as checkpoints:
        for rounds_done in (3, 7):
            checkpoints.save(rounds_done, state("adagrad", float(rounds_done)))


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, Path.unlink])
@pytest.mark.parametrize("where", ["arrays", "checksums"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    tmp_path, damage, where
):
    saved_twice(tmp_path)
    newest = tmp_path / "7"
    damage(largest(newest) if where == "arrays" else newest / "sha256.json")
    lines = []
    with Checkpoints(tmp_path) as checkpoints:
        done, restored = checkpoints.restore(state("adagrad", 0.0), lines.append)
        jax.tree.map(np.testing.assert_array_equal, restored, state("adagrad", 3.0))
        assert done == 3 and checkpoints.latest() == 3
        checkpoints.save(7, state("adagrad", 8.0))  # its name is free again
    (line,) = lines
    assert line.startswith("checkpoint 7 is damaged (") and "checkpoint 3" in line
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore(state("adagrad", 0.0), lines.append)[0] == 7
    assert len(lines) == 1


def test_without_a_sound_checkpoint_nothing_is_deleted(tmp_path):
    saved_twice(tmp_path)
    for number in "37":
        flip_a_bit(largest(tmp_path / number))
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(InputError, match=r"no sound checkpoint .*7: .*changed; 3:"):
            checkpoints.restore(state("adagrad", 0.0))
    assert {"3", "7"} <= {path.name for path in tmp_path.iterdir()}


def test_every_file_that_is_read_has_a_checksum(tmp_path):
    """Without any of the other files the same numbers come back."""
    saved_twice(tmp_path)
    newest = tmp_path / "7"
    named = json.loads((newest / "sha256.json").read_text())
    for path in newest.rglob("*"):
        name = path.relative_to(newest).as_posix()
        if path.is_file() and name not in {*named, "sha256.json"}:
            path.unlink()
    with Checkpoints(tmp_path) as checkpoints:
        done, restored = checkpoints.restore(state("adagrad", 0.0))
    assert done == 7
    jax.tree.map(np.testing.assert_array_equal, restored, state("adagrad", 7.0))


def test_what_a_cut_off_write_left_is_swept_away(tmp_path):
    saved_twice(tmp_path)
    (tmp_path / "9.orbax-checkpoint-tmp" / "default").mkdir(parents=True)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest() == 7
    assert {path.name for path in tmp_path.iterdir()} == {"3", "7"}


@contextmanager
def small_disk(folder):
    """A file system of one megabyte."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


# tensorstore may finish writing when the loop that Orbax asked it from is closed.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_disk_that_takes_no_checkpoint(tmp_path, fault):
    """One line, and the checkpoint before is whole."""
    with small_disk(tmp_path / "disk") as disk:
        if fault == "full":
            rows, reason = 10_000, "No space left on device"
        else:
            rows, reason = 5, "Read-only file system"
        large = {"a": jax.random.normal(jax.random.key(0), (rows, 100))}
        with pytest.raises(InputError, match=reason) as caught:
            with Checkpoints(disk) as checkpoints:
                checkpoints.save(1, state("sgd", 1.0))
                checkpoints.wait()
                if fault == "read-only":
                    remount = ["mount", "-o", "remount,ro", str(disk)]
                    subprocess.run(remount, check=True)
                checkpoints.save(2, large)
        assert str(disk) in str(caught.value) and "\n" not in str(caught.value)
        if fault == "read-only":
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        with Checkpoints(disk) as checkpoints:
            done, restored = checkpoints.restore(state("sgd", 0.0))
        assert done == 1
        jax.tree.map(np.testing.assert_array_equal, restored, state("sgd", 1.0))
