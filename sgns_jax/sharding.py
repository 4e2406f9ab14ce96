"""The mesh: what is split over which devices, and what they tell each other.

    axis      splits                                    devices exchange, in every step
    replica   copies of the model, see ``replicas``     nothing (they are merged later)
    data      the blocks of a step                      gradients: rows, and their words
    model     the D columns of tables and optimiser     scores: partial sums, added up

On ``data`` every device holds the same rows, works off its share of the blocks, is
given the row gradients of all, and adds the same numbers in the same order. On
``model`` it holds D/m columns of every row, for all blocks; a score is a sum over
columns, so that only scores travel, whose number does not depend on D (and a sum or two
a row, which some optimisers ask for), and no row ever moves.

Any mesh gives the numbers of one device, to rounding: draws, words and weights are
equal bit for bit, and so are all sums that one device forms. In another order are added
up only the scores and the rows' squares (D numbers each, in m parts), the losses, and a
word's rows within a step where XLA's scatter takes them in another order. A sum of n
float32 numbers is off by at most n·2⁻²⁴ of the sum of their sizes, so that a step's
gradient differs by about D·2⁻²⁴ of its norm, and the tables after S steps by about
S·D·2⁻²⁴ of theirs, less where errors cancel. One enlargement is left: a number that
falls between two of bfloat16's may round to either; of the scores' factors one in 2¹⁵
does, by 2⁻⁹ of itself. Tests hold 1e-4 after fifty steps; README states 1 %. On CPUs a
mesh repeats itself to the bit: each device adds up in one order.

To the user there are two axes: ``data`` counts the devices that share the text, which
take replicas first, as many as both numbers allow, and then split blocks.

Source: Ordentlich et al. 2016 (arXiv 1606.08495) for columns; rows that are gathered
are what data-parallel training sends where gradients are sparse.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.multihost_utils import process_allgather
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sgns_jax.types import InputError

REPLICA, DATA, MODEL = "replica", "data", "model"

PyTree = object

_ROWS_AT_ONCE = 1 << 16


class MeshShape(NamedTuple):
    """How many devices share the text, and how many the columns of a table."""

    data: int = 1
    model: int = 1

    @property
    def devices(self) -> int:
        return self.data * self.model

    def __str__(self) -> str:
        return f"data:{self.data},model:{self.model}"


class Split(NamedTuple):
    """The mesh axes that a step is split over; None: it is not."""

    data: str | None = None
    model: str | None = None


UNSPLIT = Split()


def parse_mesh(text: str) -> MeshShape:
    """The shape that ``data:2,model:4`` says; an axis left out is 1.

    Raises:
      InputError: it says none.
    """
    axes = [part.partition(":") for part in text.split(",")]
    numbers = {name: int(n) for name, _, n in axes if n.isdecimal() and int(n)}
    if len(numbers) < len(axes) or not numbers.keys() <= {DATA, MODEL}:
        raise InputError(
            f"mesh must be whole numbers of devices like data:2,model:4, got {text!r}; "
            "--help says what they do"
        )
    return MeshShape(**numbers)


def one_to_a_replica(replicas: int, devices: int) -> MeshShape:
    """As many devices as there are that each can take as many replicas."""
    most = min(replicas, devices)
    return MeshShape(max(n for n in range(1, most + 1) if replicas % n == 0))


def axis_sizes(shape: MeshShape, replicas: int) -> tuple[int, int, int]:
    """Devices along replica, data and model: replicas are split before blocks are."""
    groups = math.gcd(replicas, shape.data)
    return groups, shape.data // groups, shape.model


def make_mesh(
    shape: MeshShape, replicas: int, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """The mesh of a shape, with the axes replica, data, model.

    Neighbours share columns, as they wait for each other in every step.

    Args:
      shape: how many devices for what.
      replicas: R.
      devices: to take them from; default: all that there are.

    Raises:
      InputError: there are fewer devices.
    """
    devices = jax.devices() if devices is None else devices
    if jax.process_count() > 1 and shape.devices != len(devices):
        raise InputError(
            f"mesh {shape} takes {shape.devices} of the {len(devices)} devices of "
            f"{jax.process_count()} processes; give one that takes all, or none"
        )
    if shape.devices > len(devices):
        raise InputError(
            f"mesh {shape} takes {shape.devices} devices, there are {len(devices)}; "
            "give a smaller one, or none"
        )
    placed = np.array(devices[: shape.devices]).reshape(axis_sizes(shape, replicas))
    return Mesh(placed, (REPLICA, DATA, MODEL))


def check_columns(dim: int, m: int) -> None:
    """Refuses to split D columns over m devices where one would hold more than others.

    Raises:
      InputError: it would.
    """
    if dim % m:
        near = f"{dim - dim % m} or {dim - dim % m + m}" if dim > m else m
        raise InputError(
            f"D = {dim} columns cannot be split evenly over model:{m}; give dim = "
            f"{near}, or a mesh whose model divides {dim}"
        )


def split_of(mesh: Mesh) -> Split:
    """The axes of a mesh that split a step."""
    return Split(*(axis if mesh.shape[axis] > 1 else None for axis in (DATA, MODEL)))


def state_specs(state: PyTree) -> PyTree:
    """Tables of V rows and D columns are split by columns, all else is everywhere."""
    columns, every = PartitionSpec(None, MODEL), PartitionSpec()
    return jax.tree.map(lambda leaf: columns if leaf.ndim == 2 else every, state)


def place(mesh: Mesh, specs: PyTree) -> PyTree:
    """The shardings of specs on a mesh."""
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)


def on_host(table: jax.Array) -> np.ndarray:
    """A table as an array of NumPy, at the first process; an empty one at the others.

    Processes may hold columns of it; then all of them must call this.
    """
    if table.is_fully_addressable:
        return np.asarray(table)
    whole = np.empty(table.shape if jax.process_index() == 0 else 0, table.dtype)
    for start in range(0, len(table), _ROWS_AT_ONCE):  # no device has room for all
        part = process_allgather(table[start : start + _ROWS_AT_ONCE], tiled=True)
        if jax.process_index() == 0:
            whole[start : start + _ROWS_AT_ONCE] = part
    whole.flags.writeable = False  # as JAX's own; WordVectors need not copy it
    return whole


def gather(tree: PyTree, axis: str | None) -> PyTree:
    """Arrays of all devices of an axis, joined along their first axis, in order."""
    if axis is None:
        return tree
    return jax.tree.map(lambda x: jax.lax.all_gather(x, axis, tiled=True), tree)


def zero_after(done: PyTree) -> jax.Array:
    """0, int32, that is known when all arrays of ``done`` are there.

    What adds it to its input comes after them. XLA for CPUs begins what does not depend
    on each other in any order, a loop of collectives and a collective beside it, too;
    processes that meet in different orders would wait for each other for ever.
    """
    first = [x.ravel()[0].astype(jnp.float32) for x in jax.tree.leaves(done)]
    total = sum(first)
    # False for every number and for what is none, which XLA does not know.
    return ((total != total) & (total == total)).astype(jnp.int32)
