"""Settings that forbid accidents in every test, and one cache of compiled programs."""

import contextlib
import fcntl
import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# Many tests, and the processes they start, compile the same programs: keep them for
# the length of the run. Set before jax is imported; workers and subprocesses inherit.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _cache = tempfile.TemporaryDirectory()
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
# Short ones, too: to read a single primitive takes a fifth of compiling it.
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_NUM_CPU_DEVICES"] = "2"  # the default replicas take one each
os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # all workers share a GPU
os.environ["OMP_NUM_THREADS"] = "1"  # t-SNE's threads spin while the others work

import jax  # noqa: E402
import numpy as np  # noqa: E402

from sgns_jax.vectors import WordVectors  # noqa: E402
from tests import quick  # noqa: E402

# A (V,) that meets a (V, 1) is a bug here, never a wish.
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_collection_finish():
    """What is imported stays, and traces come by the thousand: look less for garbage.

    Looking after every 700 new objects, as Python does, takes a tenth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@pytest.fixture
def x64():
    """float64 in JAX for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def jax_set_otherwise():
    """A context in which every setting of JAX that changes numbers has another value.

    Those that a compiler alone reads are not among them.
    """

    @contextlib.contextmanager
    def otherwise():
        offset = "jax_random_seed_offset"
        jax.config.update(offset, 7)
        try:
            with (
                jax.default_prng_impl("rbg"),
                jax.threefry_partitionable(False),
                jax.enable_x64(True),
                jax.numpy_dtype_promotion("strict"),
                jax.default_matmul_precision("F64_F64_F64"),
            ):
                yield
        finally:
            jax.config.update(offset, 0)

    return otherwise


@pytest.fixture
def unoptimized(monkeypatch):
    """What is compiled is compiled in a fifth of the time, see ``quick``."""
    quick.from_here_on(monkeypatch)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def eight_devices(tmp_path_factory) -> Path:
    """What ``on_eight_devices`` wrote, once for all workers.

    It is compiled quickly: what devices exchange is settled before code is written,
    and the bound on their numbers holds for any code.
    """
    own = tmp_path_factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    out = common / "eight_devices"
    with open(common / "eight_devices.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the others wait
        if not out.exists():
            out.mkdir()
            subprocess.run(
                [sys.executable, "-m", "tests.on_eight_devices", out],
                env=os.environ
                | quick.ENVIRONMENT
                | {"JAX_NUM_CPU_DEVICES": "8", "PJRT_NPROC": "1"},
                cwd=Path(__file__).parent.parent,
                check=True,
            )
    return out


@pytest.fixture
def royal() -> WordVectors:
    """Six words whose neighbours and analogies one can work out by hand."""
    rows = {
        "the": [0, 0, 0],
        "man": [1, 0, 0],
        "woman": [1, 1, 0],
        "king": [1, 0, 1],
        "queen": [2, 2, 2],
        "apple": [-3, 0, 0],
    }
    return WordVectors(tuple(rows), np.array(list(rows.values()), np.float32))
