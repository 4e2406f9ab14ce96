"""What meshes exchange by the formula, against what compiled programs hold."""

import dataclasses
import math
import re
from collections import defaultdict

import numpy as np
import pytest

from sgns_jax.config import Config
from sgns_jax.sharding import MeshShape, axis_sizes
from sgns_jax.traffic import (
    GATHER,
    MEASURED,
    MERGE,
    REDUCE,
    ROUND,
    STEP,
    Collective,
    collectives,
    per_step,
)
from tests.on_eight_devices import BASE, KINDS
from tests.test_train import V, corpus

pytestmark = pytest.mark.xdist_group("eight devices")

_OPERATION = re.compile(
    r"= (?P<shapes>.*?) (?P<kind>all-gather|all-reduce|all-to-all|ragged-all-to-all|"
    r"reduce-scatter|collective-[a-z]+|send|recv)(-start)?\("
)
_LISTED = re.compile(r"replica_groups=\{\{([\d,]+)\}")
_NAMED = re.compile(r"replica_groups=mesh\[(.*?)\] \{'(\w+)'\}")


def first_group(line):
    """How many devices a collective joins, and how far apart their numbers are."""
    if listed := _LISTED.search(line):
        members = [int(number) for number in listed[1].split(",")]
        return len(members), (members + [0])[1] - members[0]
    sizes, name = _NAMED.search(line).groups()
    sizes = [(axis, int(size)) for axis, size in re.findall(r"'(\w+)'=(\d+)", sizes)]
    at = [axis for axis, _ in sizes].index(name)
    return sizes[at][1], int(np.prod([size for _, size in sizes[at + 1 :]]))


def exchanged(program, data, model):
    """Of a compiled program: (kind, axis, how often) → the numbers of each result.

    On a small vocabulary only the loop of steps is left as a computation of its own:
    what is in the main one is done once a round.
    """
    axes, main = {1: "model", model: "data", data * model: "replica"}, False
    axes = axes if model > 1 else axes | {1: "data"} if data > 1 else {1: "replica"}
    found = defaultdict(list)
    for line in program.splitlines():
        main = line.startswith("ENTRY") if line[:1] not in " }" else main
        operation = _OPERATION.search(line)
        if operation is None:
            continue
        shapes = re.findall(r"([a-z]\w*)\[([\d,]*)\]", operation["shapes"])
        assert {dtype for dtype, _ in shapes} <= {"f32", "s32"}, line
        devices, stride = first_group(line)
        often = ROUND if main else MEASURED if "/cond/branch" in line else STEP
        if devices > 1:
            found[operation["kind"], axes[stride], often] += [
                math.prod(int(n) for n in sizes.split(",") if n) for _, sizes in shapes
            ]
    return found


def foretold(config, mesh):
    """The same by the formula; a round has one merge."""
    tokens, _ = corpus()
    found = defaultdict(list)
    for one in collectives(config, V, len(tokens), mesh):
        often = ROUND if one.often == MERGE else one.often
        found[one.kind, one.axis, often].append(one.numbers)
    return found


@pytest.mark.parametrize(
    "kind, mesh",
    [(kind, mesh) for kind, (_, meshes) in KINDS.items() for mesh in meshes],
)
def test_programs_exchange_what_the_formula_says_and_nothing_else(
    eight_devices, kind, mesh
):
    settings, _ = KINDS[kind]
    config = dataclasses.replace(BASE, **settings)
    shape = MeshShape(*mesh)
    _, data, model = axis_sizes(shape, config.replicas)
    path = eight_devices / f"{kind}-{mesh[0]}x{mesh[1]}.txt"
    found, want = exchanged(path.read_text(), data, model), foretold(config, shape)
    assert found.keys() == want.keys()
    for key, numbers in want.items():
        if key[2] == ROUND:  # XLA joins and splits these as it likes
            assert sum(found[key]) == sum(numbers), key
        else:
            assert sorted(found[key]) == sorted(numbers), key
    assert bool(found) == (shape.devices > 1)


def numbers(what, mesh, V=1000, **settings):
    """Of all collectives with a name."""
    config = dataclasses.replace(BASE, **settings)
    every = collectives(config, V, 10_000, mesh)
    return [one.numbers for one in every if one.what == what]


def test_scores_do_not_depend_on_the_dimension_nor_a_step_on_the_vocabulary():
    columns, both = MeshShape(1, 8), MeshShape(2, 4)
    B, C, E, N = 6, 8, 8 + 2 * 3, 8
    for dim in (8, 800):
        assert numbers("scores", columns, dim=dim) == [B * C * (E + N)]
        assert numbers("scores", both, dim=dim) == [B // 2 * C * (E + N)]
    assert numbers("gradient rows", both, dim=800) == [
        B * C * 800 // 4, B * (E + N) * 800 // 4
    ]  # fmt: skip
    small, large = (
        [one for one in collectives(BASE, V, 10_000, both) if one.often == STEP]
        for V in (1000, 10**6)
    )
    assert small == large


@pytest.mark.parametrize("replicas", [1, 8])
def test_one_device_exchanges_nothing(replicas):
    config = dataclasses.replace(BASE, replicas=replicas)
    assert collectives(config, 1000, 10_000, MeshShape()) == []


def test_bytes_sent_are_those_of_rings():
    gather = Collective("", GATHER, "data", 4, 100, STEP)
    assert gather.sent_bytes == 3 / 4 * 400
    assert gather._replace(kind=REDUCE).sent_bytes == 2 * 3 / 4 * 400


def test_what_is_rare_counts_for_little():
    config = Config(loss_every=16, replicas=2, sync_every=30)
    one = Collective("", GATHER, "data", 4, 100, STEP)
    often = [
        per_step(config, one._replace(often=x), 100.0)
        for x in (STEP, MEASURED, MERGE, ROUND)
    ]
    np.testing.assert_allclose(often, [1, 1 / 16, 4 / 100, 1 / 100])
    config = dataclasses.replace(config, sync_every=0)
    assert per_step(config, one._replace(often=MERGE), 100.0) == 1 / 100
