"""How a training starts JAX: compiled programs are kept, one thread to a CPU."""

import os

import jax

from experiments.provenance import available_cores
from sgns_jax.builtin_corpora import cache_folder


def start_jax(replicas: int = 1) -> None:
    """Settings that must be made before JAX looks for devices.

    Replicas get a CPU device each, up to one a core. What the user has set in the
    environment stands.
    """
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        devices = min(replicas, len(available_cores()))
        jax.config.update("jax_num_cpu_devices", devices)
    # Steps are small: XLA splits their gathers over the cores at a loss, since one
    # core then waits for what the other has in its cache (experiments/README.md).
    os.environ.setdefault("PJRT_NPROC", "1")
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        folder = cache_folder() / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
