"""One process of a measurement: trains, and the first one prints what it took.

    python -m experiments.spreading.child JSON

Run by ``measuring``, which says what the argument holds.
"""

import dataclasses
import json
import sys

from experiments import joining, processes
from experiments.runtime import start_jax
from experiments.spreading.cases import WAYS
from experiments.sweeping import measuring
from experiments.sweeping.plan import ROUNDS, Point
from sgns_jax.config import Config
from sgns_jax.sharding import make_mesh
from sgns_jax.train import TOKENS_PER_ROW


def main(task: dict) -> None:
    joining.join(*task["job"])
    config = Config(backend=start_jax(), dim=task["dim"])
    way, n = WAYS[task["way"]], task["devices"]
    settings = way.config(config, n)
    V, R = task["vocabulary"], settings["replicas"]
    T = max(task["tokens"], ROUNDS * R * TOKENS_PER_ROW * V)
    segment = max(16, min(config.segment_tokens, T // (ROUNDS * R)))
    # ``measure`` counts the words of one epoch, and does not time its first round.
    settings |= {"epochs": 1, "segment_tokens": segment}
    config = dataclasses.replace(config, **settings)
    mesh = make_mesh(way.mesh(n), config.replicas)
    measured = measuring.measure(Point(V, V, T, config), mesh)
    if processes.first():
        print(json.dumps(measured))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
