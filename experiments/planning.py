"""The plan of a run: bytes and time before anything is allocated, and what refuses it.

What cannot fit by a bound that no program can go below is refused; the plan itself
reckons with what our programs take.
"""

import math
from pathlib import Path
from typing import NamedTuple

import jax

from experiments import processes, room
from experiments.foreseeing import speed
from experiments.foreseeing.text import Size, size_of
from experiments.provenance import available_cores, device
from sgns_jax import traffic
from sgns_jax.config import Config
from sgns_jax.plan import (
    DeviceBytes,
    DiskBytes,
    HostBytes,
    choose_mesh,
    device_bytes,
    devices_needed,
    disk_bytes,
    host_bytes,
)
from sgns_jax.sharding import MeshShape, axis_sizes, check_columns
from sgns_jax.train import narrowed, segment_size
from sgns_jax.types import InputError


class Room(NamedTuple):
    """What is free, in bytes."""

    device: int | None  #: on each device; None: it does not say
    host: int
    disk: int


class Asked(NamedTuple):
    """What the user says of the devices."""

    mesh: MeshShape | None = None  #: None: it is chosen
    memory: int | None = None  #: of each in bytes; None: what they say themselves


_NOTHING = Asked()


class Plan(NamedTuple):
    """What a run takes, beside what is free."""

    shape: MeshShape
    reason: str  #: why this mesh
    needed: int | None  #: the fewest devices of this memory that hold the run
    cores: int  #: how many of them are cores of the host, and their memory its own
    device: DeviceBytes
    host: HostBytes
    disk: DiskBytes
    room: Room


def show(
    config: Config, workdir: Path, keep_checkpoints: int, asked: Asked = _NOTHING
) -> None:
    """Prints the plan of a run.

    Raises:
      InputError: it cannot fit.
    """
    size = size_of(config, workdir / "corpus")
    config = narrowed(config, size.longest_sentence)
    plan = make_plan(config, size, workdir, keep_checkpoints, asked)
    print(table(config, size, plan))
    _refuse(config, size.vocabulary, plan)
    print("\n" + _verdict(plan))


def refuse_what_cannot_fit(
    config: Config,
    num_tokens: int,
    vocabulary_size: int,
    workdir: Path,
    asked: Asked = _NOTHING,
) -> Plan:
    """The same check with the sizes of a text that is encoded; the plan if it fits.

    Raises:
      InputError: memory or disk cannot hold the run.
    """
    size = Size(num_tokens, vocabulary_size, 0, 0, "")
    plan = make_plan(config, size, workdir, 1, asked)
    _refuse(config, vocabulary_size, plan)
    return plan


def make_plan(
    config: Config,
    size: Size,
    workdir: Path,
    keep_checkpoints: int,
    asked: Asked = _NOTHING,
) -> Plan:
    """The plan for a text of some size on the devices that there are.

    Raises:
      InputError: the devices cannot split D evenly.
    """
    sizes = config, size.vocabulary, size.tokens
    devices = jax.devices()
    known = room.device_memory(jax.local_devices())
    memory = asked.memory or known
    free = Room(memory, room.host_memory(), room.free_disk(workdir))
    are_cores = known is None and devices[0].platform == "cpu"
    shape, reason = asked.mesh, "as asked for"
    if shape is None:
        shared = are_cores and memory is None and not processes.many()
        shape, reason = choose_mesh(*sizes, len(devices), memory, shared)
        # Processes may have different memory, and need one mesh.
        shape = MeshShape(*processes.first_says(*shape))
    check_columns(config.dim, shape.model)
    each = device_bytes(*sizes, shape)
    local = min(shape.devices, jax.local_device_count())
    cores = local if are_cores else 0
    return Plan(
        shape,
        reason,
        devices_needed(*sizes, memory) if memory else None,
        cores,
        each,
        host_bytes(
            size.vocabulary, size.distinct_words, each, cores, min(shape.model, local)
        ),
        disk_bytes(*sizes, size.tokens_to_read, size.spilled_words, keep_checkpoints),
        free,
    )


def _refuse(config: Config, vocabulary_size: int, plan: Plan) -> None:
    of = f"V = {vocabulary_size:,} words, D = {config.dim:,} and {config.optimizer}"
    fewer = ", fewer --replicas" if config.replicas > 1 else ""
    what, lower = of, "--dim or --max_vocabulary"
    if 2 * plan.device.read > plan.device.least:
        B, C, W = config.blocks_per_step, config.block_size, config.window
        noise = "noise_words" if config.negatives_mode == "shared" else "negatives"
        what = f"steps of {B:,} x {C:,} centres, W = {W:,} and "
        what += f"{noise} {getattr(config, noise):,}"
        lower = f"--dim, --blocks_per_step, --block_size, --window or --{noise}"

    def refuse_memory(least: int, where: str, free: int | None, more: str) -> None:
        if free is not None and least > free:
            raise InputError(
                f"{what} need at least {_bytes(least)} of memory {where}; "
                f"{_bytes(free)} are free: give a lower {lower}{fewer}, or {more}"
            )

    more = "devices with more"
    if plan.needed and plan.needed > plan.shape.model:
        more = f"{plan.needed} such devices with --mesh=model:{plan.needed}"
    where = f"on each device of the mesh {plan.shape}"
    refuse_memory(plan.device.least, where, plan.room.device, more)
    where = f"for {plan.cores} devices, which are cores of this machine"
    least = plan.cores * plan.device.least
    refuse_memory(least, where, plan.room.host, "a machine with more")
    if plan.disk.least > plan.room.disk:
        raise InputError(
            f"{of} need at least {_bytes(plan.disk.least)} of disk, "
            f"{_bytes(plan.room.disk)} are free: give a --workdir with more, or a "
            "lower --dim or --max_vocabulary"
        )


def _verdict(plan: Plan) -> str:
    needed = [plan.host.total, plan.disk.total, plan.device.total]
    free = [plan.room.host, plan.room.disk, plan.room.device]
    pairs = zip(needed, free, strict=True)
    if all(least <= most for least, most in pairs if most is not None):
        return "It fits."
    return "It may not fit: more is needed than is free, by this reckoning."


def table(config: Config, size: Size, plan: Plan) -> str:
    """The plan in 80 columns."""
    each, host, disk, free = plan.device, plan.host, plan.disk, plan.room
    lines = [
        f"Text     {size.raw_words:,} words, {size.vocabulary:,} different ones kept",
        f"         ({size.known})",
        f"Model    D = {config.dim:,}, {config.optimizer}",
        f"Mesh     {plan.shape} ({plan.reason})",
        f"         {plan.shape.devices} x {device()}, copies of the model that train "
        f"apart: {config.replicas}",
    ]
    if plan.needed:
        lines.append(f"         devices of this memory needed at least: {plan.needed}")

    def part(title, rows, total, free=None, together="at most at once") -> None:
        lines.extend(["", title])
        lines.extend(f"  {name:<44}{_bytes(n):>10}" for name, n in rows.items() if n)
        there = "" if free is None else f", {_bytes(free)} free"
        lines.append(f"  {together:<44}{_bytes(total):>10}{there}")

    rows = {
        "tables v and u": each.tables,
        "optimiser": each.optimizer,
        "beside them, drawing the first vectors": each.start,
        "beside them, training: merge, segment, step": each.training,
    }
    part("Memory of a device", rows, each.total, free.device)
    if rows := sent_bytes(config, size, plan.shape):
        title = "Sent by each device, in a step on average"
        part(title, rows, sum(rows.values()), together="together")
    on = f" on {plan.cores} of its cores" if plan.cores else ""
    rows = {
        "Python, JAX, compiler": host.program,
        "words, reader": host.text,
        f"drawing the first vectors{on}": host.start,
        f"training{on}, and a checkpoint": host.training,
    }
    whose = "each process" if processes.many() else "the machine"
    title = f"Memory of {whose}; the encoded text is mapped and takes none"
    part(title, rows, host.total, free.host)
    rows = {
        "encoded text": disk.tokens,
        "beside it while encoding": disk.scratch,
        "checkpoints": disk.checkpoints,
        "vectors.txt": disk.vectors,
    }
    part("Disk", rows, disk.total, free.disk)
    return "\n".join([*lines, "", "Time", *_times(config, size)])


def sent_bytes(config: Config, size: Size, shape: MeshShape) -> dict[str, float]:
    """What each device of a mesh sends in a step, on average, by what it is."""
    sizes = config, size.vocabulary, size.tokens
    segment = segment_size(config, size.tokens, size.vocabulary)
    tokens_per_step = config.blocks_per_step * config.block_size
    kept = size.kept * size.raw_words / size.tokens  # of a segment's tokens
    steps = max(1, round(kept * segment / tokens_per_step))
    sent: dict[str, float] = {}
    in_turns = config.replicas // axis_sizes(shape, config.replicas)[0]
    for one in traffic.collectives(*sizes, shape):
        mean = traffic.per_step(config, one, steps, in_turns) * one.sent_bytes
        sent[one.what] = sent.get(one.what, 0.0) + mean
    return {what: mean for what, mean in sent.items() if mean >= 1}


def _times(config: Config, size: Size) -> list[str]:
    rows = {"reading, by what its beginning took": size.reading_seconds}
    try:
        known = speed.speed_of(config, size.vocabulary, len(available_cores()))
    except speed.Unknown as unknown:
        about = f"training: not known, {unknown}"
    else:
        words = config.epochs * size.raw_words
        training = words * size.kept / known.kept_words_per_second
        rows[f"training, {words / training / 1e6:,.2f} million words/s *"] = training
        rows["compiling, export, pictures *"] = known.rest_seconds
        about = f"* as recorded on {known.machine} with nothing else to do"
    lines = [f"  {name:<44}{_seconds(s):>10}" for name, s in rows.items() if s]
    return [*lines, f"  {about}"]


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 999.5:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:,.3g} TB" if n < 999.5 else f"{n:,.0f} TB"


def _seconds(s: float) -> str:
    if s < 120:
        return f"{math.ceil(s)} s"
    return f"{s / 60:.0f} min" if s < 7200 else f"{s / 3600:,.1f} h"
