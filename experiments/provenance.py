"""Where a result comes from: command, commit, source files, machine, versions."""

import importlib.metadata
import os
import platform
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import jax

from experiments.sources import sources

_PACKAGES = (
    "jax jaxlib optax flax orbax-checkpoint numpy scipy pyarrow mpmath sympy".split()
)


def provenance(script: str) -> dict:
    """What ran, on what, with which versions; for result files."""
    return {
        "command": shlex.join(["python", "-m", f"experiments.{script}", *sys.argv[1:]]),
        "commit": _commit(),
        "sources": sources(script),
        "device": device(),
        "machine": _machine(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "peak_memory_bytes": _peak_memory_bytes(),
    }


def device() -> str:
    """The device that trains, as JAX names it."""
    first = jax.devices()[0]
    platform, kind = first.platform.upper(), first.device_kind
    return platform if kind.upper() == platform else f"{platform} ({kind})"


def _machine() -> str:
    cores = len(available_cores())
    return f"{platform.machine()}, {cores} cores, {platform.system()}"


def available_cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _peak_memory_bytes() -> int:
    """The process's largest resident size; Linux counts kilobytes, macOS bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _commit() -> str | None:
    """The commit of the source, marked if files differ from it; None outside git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        run = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True
        )
    except OSError:
        return None
    return run.stdout.strip() or None
