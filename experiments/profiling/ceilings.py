"""What the machine does at its best, on the device and with the threads that train."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from experiments.profiling.loops import ROUNDS, Run, loop
from experiments.profiling.work import Shapes


class Ceiling(NamedTuple):
    """A loop, and how much of what it does in a round."""

    run: Run
    amount: int
    unit: str


def ceilings(shapes: Shapes, vocabulary_size: int) -> dict[str, Ceiling]:
    """The ceilings that a part is held against, see ``Work.asked``.

    - ``copy_memory``: x ← x + 1 on 256 MiB; bytes read and written.
    - ``copy_cache``: the same on as many bytes as the rows of a step in float32.
    - ``random_rows``: see :func:`random_rows`, as many as a step reads.
    - ``sigmoid``: x ← σ(x) on as many values as a step has scores.
    - ``product_float32``, ``product_bfloat16``: see :func:`product`.
    """
    row_values, scores = shapes.rows * shapes.D, shapes.scores
    return {
        "copy_memory": Ceiling(in_place(add_one, 2**26, 1), 2**29, "bytes"),
        "copy_cache": Ceiling(in_place(add_one, row_values), 8 * row_values, "bytes"),
        "random_rows": random_rows(vocabulary_size, shapes.D, shapes.rows),
        "sigmoid": Ceiling(in_place(sigmoid, scores), scores, "values"),
        "product_float32": product(jnp.float32),
        "product_bfloat16": product(jnp.bfloat16),
    }


def add_one(x: Array) -> Array:
    return x + 1


def in_place(function: Callable, size: int, rounds: int = ROUNDS) -> Run:
    """x ← f(x) on a float32 array."""
    return loop(lambda x: {"x": function(x)}, {"x": jnp.ones(size)}, {}, rounds)


def random_rows(vocabulary_size: int, dim: int, number: int) -> Ceiling:
    """``table[ids]`` in float32, ids uniform on 0..V−1 and others in each round."""
    shape = ROUNDS, number
    ids = jax.random.randint(jax.random.key(0), shape, 0, vocabulary_size)
    table = {"table_VD": jnp.ones((vocabulary_size, dim))}
    run = loop(lambda table_VD, ids: {"rows": table_VD[ids]}, table, {"ids": ids})
    return Ceiling(run, number, "rows")


def product(dtype: jnp.dtype) -> Ceiling:
    """A·B, n×n, added up in float32: 2n³ operations; n large enough to be at its best.

    n = 512 on CPUs, 8192 elsewhere.
    """
    n = 512 if jax.default_backend() == "cpu" else 8192
    ones = jnp.ones((n, n), dtype)

    def multiply(a, b):
        return {"c": jnp.matmul(a, b, preferred_element_type=jnp.float32)}

    return Ceiling(loop(multiply, {"a": ones, "b": ones}, {}, 2), 2 * n**3, "flops")
