"""Checkpoints of a run, by Orbax.

A checkpoint is named after the number of rounds done: order and randomness are
functions of it, so it is all that a resumed run needs beside the state.
"""

import os
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from sgns_jax.step import TrainState


class Checkpoints:
    """The checkpoints in one folder; a context manager that waits for writes.

    Orbax writes beside the training and renames a checkpoint when it is whole, so
    one that was cut off is never read. The newest ``keep`` stay, older ones go.
    """

    def __init__(self, folder: str | os.PathLike, keep: int = 2):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self._manager = ocp.CheckpointManager(Path(folder).absolute(), options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *error) -> None:
        self._manager.close()

    def latest(self) -> int | None:
        """Rounds done at the newest whole checkpoint; None if there is none."""
        return self._manager.latest_step()

    def save(self, rounds_done: int, state: TrainState) -> None:
        """Copies the state off the device, then writes it in the background.

        The state may be donated as soon as this returns.
        """
        self._manager.save(rounds_done, args=ocp.args.StandardSave(state))

    def restore(self, like: TrainState) -> TrainState:
        """The newest state, with the shapes, dtypes and places of ``like``."""
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        args = ocp.args.StandardRestore(target)
        return self._manager.restore(self.latest(), args=args)
