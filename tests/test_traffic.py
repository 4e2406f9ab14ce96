"""What meshes exchange by the formula, against what compiled programs hold."""

import dataclasses
import functools
import math
import re
from collections import defaultdict

import numpy as np
import pytest

from sgns_jax.config import Config
from sgns_jax.sharding import DATA, MODEL, REPLICA, MeshShape, axis_sizes
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
from tests.on_eight_devices import BASE, KINDS, LARGE, PROGRAMS, name_of
from tests.test_train import V, corpus

_OPERATION = re.compile(
    r"= (?P<shapes>.*?) (?P<kind>all-gather|all-reduce|all-to-all|ragged-all-to-all|"
    r"reduce-scatter|collective-[a-z]+|send|recv)(-start)?\("
)
_HEAD = re.compile(r"(?P<main>ENTRY )?%(?P<name>\S+) .*\{$")
_CALLED = re.compile(
    r"(calls|to_apply|body|\w+_computations?)=\{?(%[^\s,}]+(?:, %[^\s,}]+)*)"
)
_TIMES = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_LISTED = re.compile(r"replica_groups=\{\{(.*?)\}\}")
_NAMED = re.compile(r"replica_groups=mesh\[(.*?)\] \{'(\w+)'\}")

#: Each kind of program, its settings, its meshes and V.
CASES = [
    (kind, settings, mesh, V)
    for kind, (settings, meshes) in KINDS.items()
    for mesh in dict.fromkeys(meshes)
] + [(kind, *of, LARGE) for kind, of in PROGRAMS.items()]


def groups_along(sizes, axis):
    """Devices that differ in one axis of a mesh, numbered in order, are a group."""
    devices = np.arange(math.prod(sizes)).reshape(sizes)
    groups = np.moveaxis(devices, axis, -1).reshape(-1, sizes[axis])
    return {frozenset(group) for group in groups.tolist()}


def groups_of(line):
    """The groups of devices that a collective joins."""
    if listed := _LISTED.search(line):
        groups = listed[1].split("},{")
        return {frozenset(map(int, group.split(","))) for group in groups}
    sizes, name = _NAMED.search(line).groups()
    sizes = {axis: int(size) for axis, size in re.findall(r"'(\w+)'=(\d+)", sizes)}
    return groups_along(tuple(sizes.values()), list(sizes).index(name))


def computations(program):
    """Those of a compiled program: name → lines, None → name of the main one."""
    found, name = {}, None
    for line in program.splitlines():
        if line[:1] != " " and (head := _HEAD.match(line)):
            name = head["name"]
            found |= {name: []} | ({None: name} if head["main"] else {})
        elif name:
            found[name].append(line)
    return found


def walk(parts, name, loops=0, times=1, branch=False):
    """(line, loops around it, times in the innermost one, in a branch?) of all done.

    Loops are those whose length depends on the data, of steps and of merges; what is in
    one of known length is done so many times.
    """
    for line in parts[name]:
        yield line, loops, times, branch
        for how, names in _CALLED.findall(line):
            inside = loops, times, branch or "computation" in how
            if how == "body":
                known = _TIMES.search(line)
                inside = (loops, times * int(known[1])) if known else (loops + 1, 1)
            for called in re.findall(r"%([\w.-]+)", names):
                yield from walk(parts, called, *inside)


def exchanged(program, sizes, innermost):
    """Of a compiled program: (kind, axis, devices, how often) → numbers of each result.

    Args:
      program: its text.
      sizes: of the mesh axes.
      innermost: which loop is that of steps: 1, or 2 in one of merges.
    """
    axes = {
        frozenset(groups_along(sizes, i)): (axis, sizes[i])
        for i, axis in enumerate((REPLICA, DATA, MODEL))
    }
    found, parts, seen = defaultdict(list), computations(program), set()
    for line, loops, times, branch in walk(parts, parts[None]):
        operation = _OPERATION.search(line)
        if operation is None:
            continue
        seen.add(line)
        groups = groups_of(line)
        if {len(group) for group in groups} == {1}:
            continue
        often = {0: ROUND, innermost: MEASURED if branch else STEP}.get(loops, MERGE)
        key = operation["kind"], *axes[frozenset(groups)], often
        for dtype, shape in re.findall(r"([a-z]\w*)\[([\d,]*)\]", operation["shapes"]):
            assert dtype in ("f32", "s32"), line
            found[key] += [math.prod(int(n) for n in shape.split(",") if n)] * times
    assert len(seen) == len(_OPERATION.findall(program))
    return found


def foretold(config, shape, words):
    """The same by the formula; what is done in every round may be one merge, too."""
    tokens, _ = corpus()
    found = defaultdict(list)
    for one in collectives(config, words, len(tokens), shape):
        once = one.often == MERGE and not config.sync_every
        key = one.kind, one.axis, one.devices, ROUND if once else one.often
        found[key].append(one.numbers)
    return found


@pytest.mark.parametrize("kind, settings, mesh, words", CASES)
def test_programs_exchange_what_the_formula_says_and_nothing_else(
    eight_devices, kind, settings, mesh, words
):
    config = dataclasses.replace(BASE, **settings)
    shape = MeshShape(*mesh)
    program = (eight_devices / f"{name_of(kind, mesh)}.txt").read_text()
    sizes = axis_sizes(shape, config.replicas)
    found = exchanged(program, sizes, 2 if config.sync_every else 1)
    want = foretold(config, shape, words)
    assert found.keys() == want.keys()
    for key, numbers in want.items():
        if key[-1] in (STEP, MEASURED):
            assert sorted(found[key]) == sorted(numbers), key
        else:  # XLA joins and splits these as it likes
            assert sum(found[key]) == sum(numbers), key
    assert bool(found) == (shape.devices > 1)


_NAMED_VALUE = re.compile(r"^\s*(?:ROOT )?%(\S+) = ")


def meets(parts, name):
    """Do devices of a group meet in this computation, or in what it calls?"""
    return any(
        _OPERATION.search(line) and {len(group) for group in groups_of(line)} != {1}
        for line, *_ in walk(parts, name)
    )


def inputs_of(line):
    """The values that an instruction reads."""
    read = _CALLED.sub("", line.partition(" = ")[2])
    return re.findall(r"%([\w.-]+)", read.partition(", metadata=")[0])


def unordered(parts, name):
    """Pairs of instructions in which devices meet, one of them a loop or a branch,
    though none waits for the other."""
    reads, meeting, loops = {}, [], set()
    for line in parts[name]:
        if not (value := _NAMED_VALUE.match(line)):
            continue
        reads[value[1]] = inputs_of(line)
        called = [n for _, names in _CALLED.findall(line) for n in names.split(", ")]
        nested = any(meets(parts, one.strip().lstrip("%")) for one in called)
        loops |= {value[1]} if nested else set()
        if nested or meets({name: [line]} | {c.lstrip("%"): [] for c in called}, name):
            meeting.append(value[1])

    @functools.cache
    def before(value):
        inputs = reads.get(value, ())
        return frozenset(inputs).union(*map(before, inputs))

    return [
        (first, second)
        for i, first in enumerate(meeting)
        for second in meeting[i + 1 :]
        if loops & {first, second}
        and first not in before(second)
        and second not in before(first)
    ]


@pytest.mark.parametrize("kind, settings, mesh, words", CASES)
def test_devices_meet_in_one_order(eight_devices, kind, settings, mesh, words):
    """XLA for CPUs begins what does not wait for anything; it keeps collectives of one
    computation in order, not those of a loop or a branch and others beside it."""
    program = (eight_devices / f"{name_of(kind, mesh)}.txt").read_text()
    parts = computations(program)
    found = {name: unordered(parts, name) for name in parts if name}
    assert not {name: pairs for name, pairs in found.items() if pairs}


def numbers(what, mesh, V=1000, **settings):
    """Of all collectives with a name."""
    config = dataclasses.replace(BASE, **settings)
    every = collectives(config, V, 10_000, mesh)
    return [one.numbers for one in every if one.what == what]


def test_scores_do_not_depend_on_the_dimension_nor_a_step_on_the_vocabulary():
    columns, both = MeshShape(1, 8), MeshShape(2, 4)
    B, C, E, N = 6, 5, 5 + 2 * 3, 7
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


def test_a_merge_is_cut_as_replicas_are():
    """Both tables, 4096 rows at a time: 3 pieces of 10,000 words."""
    config = dataclasses.replace(BASE, replicas=2)
    every = collectives(config, 10_000, 10_000, MeshShape(4, 2))
    pieces = {one.pieces for one in every if one.often == MERGE}
    assert pieces == {6} and {x.pieces for x in every if x.often != MERGE} == {1}


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
    assert per_step(config, one._replace(often=MERGE), 100.0, 2) == 1 / 200
