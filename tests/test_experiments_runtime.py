"""How JAX is started, seen in fresh processes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from experiments import runtime
from sgns_jax.sharding import MeshShape
from sgns_jax.types import InputError

XLA_COUNT = "xla_force_host_platform_device_count"
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
    "XLA_FLAGS",
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


def test_devices_that_xla_was_told_of_are_counted(tmp_path):
    """They were overridden by one for each core."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=7"}
    assert start(tmp_path, **flags)[2] == "7"
    assert start(tmp_path, JAX_NUM_CPU_DEVICES="3", **flags)[2] == "3"  # as in JAX


@pytest.mark.parametrize(
    ("variables", "count"),
    [
        ({}, "there are 2, one for each core (JAX_NUM_CPU_DEVICES=8 makes as many"),
        ({"JAX_NUM_CPU_DEVICES": "2"}, "there are 2, as JAX_NUM_CPU_DEVICES says"),
        ({"XLA_FLAGS": f"--{XLA_COUNT}=2"}, "there are 2, as XLA_FLAGS says (JAX"),
        ({"XLA_FLAGS": f"--{XLA_COUNT}=2", "JAX_NUM_CPU_DEVICES": "5"}, "as JAX_NUM"),
    ],
)
def test_a_mesh_that_is_too_large_says_what_counts(variables, count, monkeypatch):
    for name in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    cpus = jax.devices("cpu")[:1] * 2
    monkeypatch.setattr(jax, "devices", lambda: cpus)
    with pytest.raises(InputError, match=re.escape(count)):
        runtime.check_devices(MeshShape(2, 4))
    runtime.check_devices(MeshShape(1, 2))


def end(module, **variables):
    """Status and last lines of a script under some environment."""
    run = subprocess.run(
        [sys.executable, "-m", f"experiments.{module}", "--workdir=/dev/null/none"],
        cwd=ROOT, env=os.environ | variables, capture_output=True, text=True,
    )  # fmt: skip
    return run.returncode, run.stderr


@pytest.mark.parametrize(
    ("module", "variables", "line"),
    [
        (
            "train",
            {"JAX_PLATFORMS": "cuda"},
            "JAX cannot start with JAX_PLATFORMS=cuda",
        ),
        ("walkthrough", {"JAX_PLATFORMS": "foo"}, "'foo' is not in the list of known"),
        ("train", {"JAX_NUM_CPU_DEVICES": "0"}, "start with JAX_NUM_CPU_DEVICES=0"),
        ("train", {"JAX_NUM_CPU_DEVICES": "x"}, '"x" for JAX flag jax_num_cpu_devices'),
        ("ablation", {"JAX_LOG_COMPILES": "maybe"}, "'maybe' for environment 'JAX_LOG"),
    ],
)
def test_what_jax_cannot_start_with_ends_in_a_line(module, variables, line):
    status, err = end(module, **variables)
    assert status == 2, err
    (only,) = err.splitlines()
    assert only.startswith("error: JAX ") and line in only, only


def test_jax_settings_of_the_environment_are_left_out():
    """Those that change numbers; another that is set stays."""
    show = (
        "import experiments, jax; c = jax.config; print(c.jax_enable_x64, "
        "c.jax_default_prng_impl, c.jax_threefry_partitionable, "
        "c.jax_default_matmul_precision, c.jax_random_seed_offset, "
        "c.jax_numpy_dtype_promotion.value, c.jax_disable_jit, c.jax_debug_nans)"
    )
    variables = {
        "JAX_ENABLE_X64": "1",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "JAX_THREEFRY_PARTITIONABLE": "0",
        "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
        "JAX_RANDOM_SEED_OFFSET": "5",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_DISABLE_JIT": "1",
        "JAX_DEBUG_NANS": "1",
    }
    run = subprocess.run(
        [sys.executable, "-c", show],
        cwd=ROOT, env=os.environ | variables, capture_output=True, text=True,
    )  # fmt: skip
    assert run.stdout.split() == (
        "False threefry2x32 True None 0 standard False True".split()
    )


def test_what_compilers_are_told_without_what_changes_no_number(monkeypatch):
    flags = f"--xla_dump_to=/tmp/x --xla_b=2 --{XLA_COUNT}=8  --xla_a=1"
    monkeypatch.setenv("XLA_FLAGS", flags)
    told = runtime.compiling()
    assert told["XLA_FLAGS"] == "--xla_a=1 --xla_b=2"
    assert told["jax_disable_most_optimizations"] is False
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        assert runtime.compiling()["jax_disable_most_optimizations"] is True
    finally:
        jax.config.update("jax_disable_most_optimizations", False)


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
