"""What is measured: ways to share the work, on how many devices and processes."""

from typing import NamedTuple

from sgns_jax.config import Config
from sgns_jax.sharding import MeshShape


class Way(NamedTuple):
    """A way to share the work of training over n devices."""

    title: str
    shares_replicas: bool = False  #: a copy of the model a device, merged after a round
    larger_steps: bool = False  #: n times as many blocks a step
    columns: int = 1  #: devices that share the columns of a copy; 0: all of them

    def mesh(self, devices: int) -> MeshShape | None:
        """The mesh on so many devices; None: they cannot be shared so."""
        columns = self.columns or devices
        rest, over = divmod(devices, columns)
        return None if over else MeshShape(rest, columns)

    def config(self, config: Config, devices: int) -> dict[str, int]:
        """The settings that are others than those of one device."""
        shape = self.mesh(devices)
        blocks = config.blocks_per_step * (shape.data if self.larger_steps else 1)
        return {
            "replicas": shape.data if self.shares_replicas else 1,
            "blocks_per_step": blocks,
        }


WAYS = {
    "replicas": Way("a replica each, merged after a round", shares_replicas=True),
    "blocks": Way("the blocks of a step"),
    "larger steps": Way("blocks, and n times as many a step", larger_steps=True),
    "columns": Way("the columns of the tables", columns=0),
    "replicas of 8": Way(
        "a replica for 8 devices each, which share its columns", True, columns=8
    ),
}


class Case(NamedTuple):
    """A measurement."""

    way: str  #: a key of ``WAYS``
    devices: int
    processes: int  #: that have as many devices each

    @property
    def title(self) -> str:
        of = f"in {self.processes} processes" if self.processes > 1 else "in one"
        return f"{self.devices} devices {of}, {WAYS[self.way].title}"


ONE = Case("blocks", 1, 1)


def cases(devices: int, processes: bool) -> list[Case]:
    """One device first, then each way on 2, 4, … devices, in one process and in two."""
    counts = [2**i for i in range(1, devices.bit_length()) if 2**i <= devices]
    several = [1, 2] if processes else [1]
    every = [Case(w, n, p) for n in counts for p in several for w in WAYS]
    return [ONE, *(case for case in every if WAYS[case.way].mesh(case.devices))]
