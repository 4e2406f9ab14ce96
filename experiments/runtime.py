"""How a training starts JAX: compiled programs are kept, one thread to a CPU."""

import logging
import os

import jax

from experiments.provenance import available_cores
from sgns_jax.builtin_corpora import cache_folder


def start_jax() -> str:
    """Starts JAX with settings that must be made before; the backend that it found.

    Each core is a CPU device, for replicas to take one each. What the user has set in
    the environment stands.
    """
    # Orbax logs tracebacks of what it raises as well, and that becomes one line.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", len(available_cores()))
    # Steps are small: XLA splits their gathers over the cores at a loss, since one
    # core then waits for what the other has in its cache (experiments/README.md).
    os.environ.setdefault("PJRT_NPROC", "1")
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        folder = cache_folder() / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    return jax.default_backend()
