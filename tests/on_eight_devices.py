"""Trains configurations on many meshes, in a process that has eight simulated devices;
``eight_devices`` runs it for ``test_sharding`` and ``test_traffic``.

    python -m tests.on_eight_devices OUT

writes OUT/<name>.npz for each training and OUT/<name>.txt, the compiled program; of
some settings the program alone.
"""

import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np

from sgns_jax import train
from sgns_jax.sharding import MeshShape, make_mesh
from tests.test_train import CONFIG, V, corpus

#: 6 blocks a step: four or eight devices cannot share them evenly. Sizes differ, so
#: that none can stand for another.
BASE = dataclasses.replace(
    CONFIG,
    dim=24,
    block_size=5,
    noise_words=7,
    blocks_per_step=6,
    loss_every=3,
    epochs=1,
)
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
#: What exchanges in yet other ways is compiled, not trained, for one mesh each.
PROGRAMS = {
    "in turns": ({"replicas": 4}, (6, 1)),
    "merged often, dense": (
        {"replicas": 2, "sync_every": 3, "updates": "dense"},
        (4, 2),
    ),
    "adam, dense": ({"optimizer": "adam", "updates": "dense", "dim": 64}, (1, 8)),
}
#: Its words: more than are merged at a time.
LARGE = 10_000


def main(out: Path) -> None:
    assert len(jax.devices()) == 8
    for kind, (settings, meshes) in KINDS.items():
        for shape in meshes:
            train_on(out, kind, settings, shape)
    for kind, (settings, shape) in PROGRAMS.items():
        trainer = trainer_on(settings, shape, LARGE)
        (out / f"{name_of(kind, shape)}.txt").write_text(trainer.run.as_text())


def name_of(kind: str, shape: tuple[int, int]) -> str:
    return "{}-{}x{}".format(kind, *shape)


def trainer_on(settings: dict, shape: tuple[int, int], words: int) -> train.Trainer:
    config = dataclasses.replace(BASE, **settings)
    tokens, counts = corpus()
    counts = np.pad(counts, (0, words - len(counts)), constant_values=1)
    mesh = make_mesh(MeshShape(*shape), config.replicas)
    return train.make_trainer(config, counts, len(tokens), mesh)


def train_on(out: Path, kind: str, settings: dict, shape: tuple[int, int]) -> None:
    tokens, _ = corpus()
    trainer = trainer_on(settings, shape, V)
    config = dataclasses.replace(BASE, **settings)
    for _, state, metrics in train.fit(config, trainer, tokens):  # noqa: B007
        pass
    placed = state.params.w_in.addressable_shards[0].data.shape
    name = name_of(kind, shape)
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
