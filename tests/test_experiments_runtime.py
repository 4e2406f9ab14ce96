"""How JAX is started, seen in fresh processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHOW = """
from experiments.runtime import start_jax
backend = start_jax()
import jax, os
assert backend == jax.default_backend()
jax.numpy.ones(3) + 1
nproc, folder = os.environ["PJRT_NPROC"], jax.config.jax_compilation_cache_dir
print(nproc, folder, len(jax.devices("cpu")))
"""


#: What conftest.py or the caller has set would hide what the library sets.
INHERITED = (
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
    "JAX_NUM_CPU_DEVICES",
    "PJRT_NPROC",
)


def start(tmp_path, **settings):
    environment = os.environ | {"SGNS_JAX_CACHE": str(tmp_path)} | settings
    for name in INHERITED:
        if name not in settings:
            environment.pop(name, None)
    run = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return run.stdout.split()


def test_a_device_a_core_and_programs_kept_in_the_users_cache(tmp_path):
    cores = len(os.sched_getaffinity(0))
    assert start(tmp_path) == ["1", str(tmp_path / "compiled"), str(cores)]
    assert list((tmp_path / "compiled").iterdir())  # short ones, too: they add up


def test_what_the_user_has_set_stands(tmp_path):
    settings = {
        "PJRT_NPROC": "3",
        "JAX_COMPILATION_CACHE_DIR": "own",
        "JAX_NUM_CPU_DEVICES": "5",
    }
    assert start(tmp_path, **settings) == ["3", "own", "5"]


def test_what_takes_seconds_to_import_waits_until_it_is_used():
    slow = {"sklearn", "matplotlib", "scipy.stats"}
    code = f"import experiments.train, sys; print({slow} & sys.modules.keys())"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout == "set()\n"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
def test_arrow_takes_no_more_addresses_than_it_uses():
    """Under a limit on data a gigabyte of them was what other threads had not."""
    show = "pa.array(['a']); print(open('/proc/self/statm').read().split()[5])"
    run = subprocess.run(
        [sys.executable, "-c", f"import experiments, pyarrow as pa; {show}"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(run.stdout) * os.sysconf("SC_PAGE_SIZE") < 500e6
