"""The derived gradient under JAX's transformations: still the same numbers?

Every result is held to 50 digits by the same bound as the plain jitted call.
"""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from experiments.laboratory import answers, block_problems, bounds, problems
from experiments.laboratory.bounds import Comparison
from experiments.laboratory.problems import Problem
from sgns_jax.types import Params

_COPIES = 3


def not_jitted(problem: Problem) -> Params:
    """Primitive by primitive, nothing fused."""
    return problem.quantity.gradient(problem.params, *problem.data)


def under_vmap(problem: Problem) -> Params:
    """The last of several points side by side."""
    gradient = jax.vmap(lambda params: problem.quantity.gradient(params, *problem.data))
    return jax.tree.map(lambda g: g[-1], jax.jit(gradient)(_points(problem)))


def under_scan(problem: Problem) -> Params:
    """The last of several points one after the other."""

    def body(carry, params):
        return carry, problem.quantity.gradient(params, *problem.data)

    _, gradients = jax.jit(partial(jax.lax.scan, body, 0))(_points(problem))
    return jax.tree.map(lambda g: g[-1], gradients)


def _points(problem: Problem) -> Params:
    """Other points first, the problem's own last."""
    scale = np.arange(_COPIES)[::-1]
    return Params(
        *(
            np.stack([table + table.dtype.type(s) for s in scale])
            for table in problem.params
        )
    )


def sharded(problem: Problem) -> Params:
    """Pairs, blocks or noise words split over two devices, the tables on both."""
    mesh = Mesh(np.array(jax.devices()[:2]), ("part",))

    def place(array):
        splits = np.ndim(array) > 0 and array.shape[0] % 2 == 0
        spec = PartitionSpec("part") if splits else PartitionSpec()
        return jax.device_put(array, NamedSharding(mesh, spec))

    whole = NamedSharding(mesh, PartitionSpec())
    gradient = jax.jit(problem.quantity.gradient, out_shardings=whole)
    return gradient(
        jax.device_put(problem.params, whole), *jax.tree.map(place, problem.data)
    )


TRANSFORMATIONS: dict[str, Callable[[Problem], Params]] = {
    "no jit": not_jitted,
    "vmap": under_vmap,
    "scan": under_scan,
    "sharded": sharded,
}


def _runs_here(name: str, problem: Problem) -> bool:
    """Without jit every primitive is compiled by itself: for a pair that is quick."""
    if name == "no jit":
        return problem.quantity.name.startswith("pair")
    return name != "sharded" or len(jax.devices()) > 1


def examinations(dtype: str = "float32") -> list[Callable[[], list[Comparison]]]:
    """A pair, a batch, blocks and a training step under every transformation."""
    chosen = [
        (problems.quantity("pair", "keep"), lambda *a: problems.pairs(*a)[0]),
        (problems.quantity("batch", "keep"), problems.batch),
        (block_problems.block_quantity("shared", "keep"), block_problems.block_shared),
        (block_problems.trainer_quantity("shared", "keep"), block_problems.trainer),
    ]
    return [partial(_examine, dtype, *one) for one in chosen]


def _examine(dtype, quantity, make) -> list[Comparison]:
    with jax.enable_x64(dtype == "float64"):
        problem = make(quantity, dtype)
        at = answers.touched(problem)
        found, exact = bounds.sizes(problem, at), answers.fifty_digits(problem, at)
        bound = bounds.of_derived(problem, found, dtype)
        made = []
        for name, transformed in TRANSFORMATIONS.items():
            if not _runs_here(name, problem):
                continue
            ours = answers.flat(transformed(problem)).astype(np.float64)[at]
            made.append(
                bounds.compare(problem, at, found, ours, exact, name, bound, dtype)
            )
    return made
