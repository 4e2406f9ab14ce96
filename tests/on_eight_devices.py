"""Trains configurations on many meshes, in a process that has eight simulated devices;
``eight_devices`` runs it for ``test_sharding`` and ``test_traffic``.

    python -m tests.on_eight_devices OUT

writes OUT/<name>.npz for each training and OUT/<name>.txt, the compiled program.
"""

import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np

from sgns_jax import train
from sgns_jax.sharding import MeshShape, make_mesh
from tests.test_train import CONFIG, corpus

#: 6 blocks a step: four or eight devices cannot share them evenly.
BASE = dataclasses.replace(CONFIG, blocks_per_step=6, loss_every=3, epochs=1)
EVERY = ((1, 1), (8, 1), (1, 8), (2, 4))
#: What is built into a step in another way each, and the meshes it is tried on.
KINDS = {
    "default": ({}, (*EVERY, (2, 4))),
    "adam, replicas": ({"optimizer": "adam", "replicas": 2}, ((1, 1), (4, 2))),
    "sgd, dense": ({"optimizer": "sgd", "updates": "dense"}, ((1, 1), (2, 4))),
    "autodiff, independent": (
        {
            "gradient": "autodiff",
            "negatives_mode": "independent",
            "product_dtype": "float32",
        },
        ((1, 1), (2, 4)),
    ),
}


def main(out: Path) -> None:
    assert len(jax.devices()) == 8
    tokens, counts = corpus()
    for kind, (settings, meshes) in KINDS.items():
        config = dataclasses.replace(BASE, **settings)
        for shape in meshes:
            mesh = make_mesh(MeshShape(*shape), config.replicas)
            trainer = train.make_trainer(config, counts, len(tokens), mesh)
            for _, state, metrics in train.fit(config, trainer, tokens):  # noqa: B007
                pass
            placed = state.params.w_in.addressable_shards[0].data.shape
            name = f"{kind}-{shape[0]}x{shape[1]}"
            if (out / f"{name}.npz").exists():
                name += "-again"
            (out / f"{name}.txt").write_text(trainer.run.as_text())
            np.savez(
                out / f"{name}.npz",
                w_in=state.params.w_in,
                w_out=state.params.w_out,
                step=state.step,
                pairs=metrics.pairs,
                loss=metrics.loss.positive + metrics.loss.negative,
                columns=placed[1],
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
