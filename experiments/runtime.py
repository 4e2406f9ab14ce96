"""How a training starts JAX: compiled programs are kept, one thread to a CPU."""

import logging
import os

import jax

from experiments.provenance import available_cores
from sgns_jax.builtin_corpora import cache_folder
from sgns_jax.config import backend_here
from sgns_jax.sharding import MeshShape
from sgns_jax.types import InputError

#: In XLA_FLAGS: how many devices a CPU is, where JAX's own setting does not say.
_XLA_COUNT = "xla_force_host_platform_device_count"
#: What says which devices JAX has.
_DEVICES = "JAX_PLATFORMS", "JAX_PLATFORM_NAME", "JAX_NUM_CPU_DEVICES"


def start_jax() -> str:
    """Starts JAX with settings that must be made before; the backend that it found.

    Each core is a CPU device, for replicas to take one each. What the user has set in
    the environment stands.
    """
    # Orbax logs tracebacks of what it raises as well, and that becomes one line.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    if not _counted_by_user():
        jax.config.update("jax_num_cpu_devices", len(available_cores()))
    # Steps are small: XLA splits their gathers over the cores at a loss, since one
    # core then waits for what the other has in its cache (experiments/README.md).
    os.environ.setdefault("PJRT_NPROC", "1")
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        folder = cache_folder() / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    return backend_here()


def _counted_by_user() -> str:
    """What in the environment says how many devices a CPU is; empty: nothing."""
    if int(os.environ.get("JAX_NUM_CPU_DEVICES", -1)) >= 0:
        return "JAX_NUM_CPU_DEVICES"
    return "XLA_FLAGS" if _XLA_COUNT in os.environ.get("XLA_FLAGS", "") else ""


def why_not_started() -> str | None:
    """A line on why JAX cannot start here; None where it can, or has.

    ``cli.Script.run`` asks after an error that nothing else explains.
    """
    try:
        jax.default_backend()
    except (RuntimeError, AssertionError) as error:
        said = [f"{name}={os.environ[name]}" for name in _DEVICES if name in os.environ]
        reason = " ".join(str(error).split()) or "no such device here"
        return (
            f"JAX cannot start with {', '.join(said) or 'the devices here'} "
            f"({reason:.200}); unset that, or set JAX_PLATFORMS=cpu"
        )
    return None


def check_devices(mesh: MeshShape) -> None:
    """Refuses a mesh for which there are not enough devices.

    Raises:
      InputError: it names what says how many there are.
    """
    devices = jax.devices()
    if mesh.devices <= len(devices):
        return
    count = f"there are {len(devices)}"
    if devices[0].platform == "cpu":
        by = _counted_by_user()
        count += f", as {by} says" if by else ", one for each core"
        count += f" (JAX_NUM_CPU_DEVICES={mesh.devices} makes as many of a CPU)"
    raise InputError(
        f"mesh {mesh} takes {mesh.devices} devices, {count}; give a smaller one, or "
        "none"
    )


def compiling() -> dict[str, object]:
    """What the user tells compilers, which round otherwise for it: for config.json.

    Without what changes no number: how many devices a CPU is, and where to dump.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    silent = _XLA_COUNT, "xla_dump_"
    numbers = [flag for flag in flags if not flag.lstrip("-").startswith(silent)]
    names = (
        "jax_disable_most_optimizations",
        "jax_exec_time_optimization_effort",
        "jax_optimization_level",
    )
    settings = {name: jax.config.values.get(name) for name in names}
    return {"XLA_FLAGS": " ".join(sorted(numbers))} | settings
