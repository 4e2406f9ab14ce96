"""JAX's own settings that change numbers, at the values that training is done with.

A user may have set them for other work, in the environment or in the program. What a
``Config`` trains to does not depend on them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def pinned() -> Iterator[None]:
    """A context, or a decorator, in which training is traced and its arrays are made.

    Keys name their kind themselves, see ``step.run_keys``. How a compiler rounds is
    left to it: ``XLA_FLAGS``, JAX's optimisation levels.
    """
    with (
        jax.enable_x64(False),
        jax.threefry_partitionable(True),
        jax.numpy_dtype_promotion("standard"),
        # float32 products in float32, where a chip would take fewer bits for speed;
        # products of bfloat16 are exact at any precision.
        jax.default_matmul_precision("highest"),
    ):
        yield
