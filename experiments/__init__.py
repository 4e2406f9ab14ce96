"""Scripts, one question each."""

import os
import signal
import sys

# Arrow's own allocator takes a gigabyte of addresses at once. None of it need be in
# memory, but under a limit on data (ulimit -d) what is left is too little for the rest:
# a thread that cannot start leaves JAX or Orbax waiting for ever. Arrow reads this when
# it is imported.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

# What a script computes is said by its flags, not by what a shell's profile holds for
# other programs: JAX's defaults for all that changes numbers, or keeps training from
# being compiled. JAX reads these when it is imported. (What compilers do is left to
# the user, see ``runtime.compiling``.)
for _name in (
    "JAX_DEFAULT_MATMUL_PRECISION",
    "JAX_DEFAULT_PRNG_IMPL",
    "JAX_DISABLE_JIT",
    "JAX_ENABLE_X64",
    "JAX_NUMPY_DTYPE_PROMOTION",
    "JAX_RANDOM_SEED_OFFSET",
    "JAX_THREEFRY_PARTITIONABLE",
):
    os.environ.pop(_name, None)

# Started by ``python -m``, and about to import for seconds: what is interrupted then
# ends in silence, not in a traceback. ``cli.Script.run`` has a line to say.
if sys.argv[0] == "-m":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if any(name.startswith("JAX_") for name in os.environ):
        try:
            import jax  # noqa: F401
        except ValueError as error:  # at the first setting that it cannot read
            print(
                f"error: JAX does not take a variable of the environment: {error}; "
                "correct or unset it",
                file=sys.stderr,
            )
            sys.exit(2)
