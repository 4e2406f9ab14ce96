"""One process of a measurement: trains, and the first one prints what it took.

    python -m experiments.spreading.child JSON

Run by ``measuring``, which says what the argument holds.
"""

import dataclasses
import json
import sys

from experiments import processes
from experiments.runtime import start_jax
from experiments.spreading.cases import WAYS
from experiments.sweeping import measuring
from experiments.sweeping.plan import Point
from sgns_jax.config import Config
from sgns_jax.sharding import make_mesh


def main(task: dict) -> None:
    processes.join(*task["job"])
    config = Config(backend=start_jax(), dim=task["dim"])
    way, n = WAYS[task["way"]], task["devices"]
    # ``measure`` counts the words of one epoch.
    config = dataclasses.replace(config, epochs=1, **way.config(config, n))
    mesh = make_mesh(way.mesh(n), config.replicas)
    V, T = task["vocabulary"], task["tokens"]
    measured = measuring.measure(Point(V, V, T, config), mesh)
    if processes.first():
        print(json.dumps(measured))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
