"""Words/s on any number of devices, from a step's parts on one and a link's speed.

    seconds of a step = Σ_parts t_part / (devices that share it)  +  Σ exchanges
    exchange = latency · ⌈log2 g⌉ · trips · pieces  +  bytes sent / bandwidth

A part is shared by the devices of ``data``, by those of ``model``, by both or by
neither, see ``_SHARED``. What is not shared bounds the speed whatever the link does:
on ``data`` each device applies the rows of all. An exchange is among g devices, in one
trip (all-gather) or two (all-reduce); bytes are those of the ring algorithms. What
happens once a segment, and merging replicas, is spread over a segment's steps. Nothing
is taken to overlap, no device to be late: real machines do a little better by the
first and worse by the second.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

from experiments.spreading.cases import WAYS, Case, Way
from sgns_jax import traffic
from sgns_jax.config import Config
from sgns_jax.sharding import MeshShape, axis_sizes

#: Which axes divide a part's work; see ``experiments.profiling.parts``.
_SHARED = {
    "draw": ("data",),
    "blocks": ("data",),
    "gather": ("data", "model"),
    "product scores": ("data", "model"),
    "elementwise": ("data",),
    "product centres": ("data", "model"),
    "product words": ("data", "model"),
    "loss": ("data",),
    "optimiser": ("model",),
    "scatter": ("model",),
}
MOST_DEVICES = 1024


class Link(NamedTuple):
    """What joins devices, as makers state it; none was measured."""

    name: str
    bytes_per_second: float  #: that a device can send
    latency_seconds: float  #: of a message


LINKS = (
    Link("10 Gb/s Ethernet", 1.25e9, 30e-6),
    Link("400 Gb/s InfiniBand", 50e9, 5e-6),
    Link("NVLink 4", 450e9, 3e-6),
)


class Point(NamedTuple):
    """What a number of devices reaches."""

    devices: int
    words_per_second: float
    compute_seconds: float  #: of a step
    exchange_seconds: float  #: of a step


class Device(NamedTuple):
    """How fast one device is, and what it trains."""

    config: Config
    vocabulary: int
    parts: dict  #: from ``measuring.parts``
    speedup: float = 1.0  #: over the device that was measured


def foresee(device: Device, speedup: float) -> dict:
    """Every way on every link: for the device, and for one that is faster.

    That one takes the steps of a GPU, since a fast device has no use for small ones.
    """
    config = Config(backend="gpu", dim=device.config.dim, replicas=1)
    fast = device._replace(config=config, speedup=speedup)
    devices = {"devices like the one measured": device}
    if speedup > 1:
        devices[f"devices {speedup:g} times as fast, steps of a GPU"] = fast
    return {
        "links": [link._asdict() for link in LINKS],
        "foreseen": [
            {"title": title, "curves": list(_curves(one))}
            for title, one in devices.items()
        ],
    }


def _curves(device: Device) -> Iterator[dict]:
    for link in LINKS:
        for name, way in WAYS.items():
            points = curve(device, way, link)
            yield {
                "way": name,
                "link": link.name,
                "dominated_from": dominated_from(points),
                "points": [one._asdict() for one in points],
            }


def computing_alone(device: Device, case: Case) -> float:
    """How many times as fast as one device a case would be with a link of no cost."""
    ideal = Link("ideal", math.inf, 0.0)
    ways = (point(device, WAYS[case.way], ideal, n) for n in (case.devices, 1))
    several, one = (point.words_per_second for point in ways)
    return several / one


def curve(device: Device, way: Way, link: Link) -> list[Point]:
    """Points of 1, 2, 4, … devices, as far as the way goes."""
    counts = [2**i for i in range(MOST_DEVICES.bit_length())]
    points = (point(device, way, link, count) for count in counts)
    return [one for one in points if one]


def dominated_from(points: list[Point]) -> int | None:
    """The fewest devices that exchange for longer than they compute."""
    over = (p.devices for p in points if p.exchange_seconds > p.compute_seconds)
    return next(over, None)


def point(device: Device, way: Way, link: Link, devices: int) -> Point | None:
    """What so many devices reach; None: they cannot share the work so."""
    shape = way.mesh(devices)
    if shape is None or device.config.dim % shape.model:
        return None
    config = dataclasses.replace(device.config, **way.config(device.config, devices))
    _, sharing, columns = axis_sizes(shape, config.replicas)
    if sharing > config.blocks_per_step:
        return None  # some would have no block at all
    measured = device.parts
    every = config.blocks_per_step / measured["blocks_per_step"]
    steps = measured["steps_per_segment"] / every
    seconds = {name: t / device.speedup for name, t in measured["seconds"].items()}
    compute = every * _step_seconds(seconds, sharing, columns)
    merge = seconds["merge"] / columns * (config.replicas > 1)
    compute += (seconds["prepare"] + merge) / steps
    exchange = _exchange_seconds(device, config, shape, link, steps)
    words = every * measured["words_per_step"] * config.replicas
    return Point(devices, words / (compute + exchange), compute, exchange)


def _step_seconds(seconds: dict[str, float], sharing: int, columns: int) -> float:
    """A step's blocks on one of the devices that share them and their columns."""
    share = {"data": 1 / sharing, "model": 1 / columns}
    parts = sum(
        seconds[name] * math.prod(share[axis] for axis in axes)
        for name, axes in _SHARED.items()
    )
    # In the whole step, parts find in the caches what those before them left.
    return parts * seconds["whole step"] / sum(seconds[name] for name in _SHARED)


def _exchange_seconds(
    device: Device, config: Config, shape: MeshShape, link: Link, steps: float
) -> float:
    """Of a step; of what is rare, its share. ``steps`` are those of a round."""
    tokens = config.replicas * config.segment_tokens
    every = traffic.collectives(config, device.vocabulary, tokens, shape)
    return sum(
        traffic.per_step(config, one, steps) * _seconds(one, link) for one in every
    )


def _seconds(one: traffic.Collective, link: Link) -> float:
    trips = 2 if one.kind == traffic.REDUCE else 1
    hops = one.pieces * trips * math.ceil(math.log2(one.devices))
    return hops * link.latency_seconds + one.sent_bytes / link.bytes_per_second
