"""Checkpoints of a run, by Orbax, each with checksums of its files.

A checkpoint is named after the number of rounds done: order and randomness are
functions of it, so it is all that a resumed run needs beside the state.

Orbax writes beside the training and gives a checkpoint its name when it is whole, so
one that was cut off is never read. What happens to it later it does not see: a flipped
bit becomes another number. Hence the checksums, written before the checkpoint has its
name and compared before it is read.
"""

import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from sgns_jax.types import InputError

PyTree = Any

_CHECKSUMS = "sha256.json"
_ITEM = "default"  # what Orbax calls the arrays; the files beside are not read


class Checkpoints:
    """The checkpoints in one folder; a context manager that waits for writes.

    The newest ``keep`` stay, older ones go.

    Raises:
      InputError: on leaving, and in every method, if a checkpoint could not be
        written; those before it are untouched.
    """

    def __init__(self, folder: str | os.PathLike, keep: int = 2):
        self._folder = Path(folder).absolute()
        self._saving = None
        with self._written():
            if jax.process_index() == 0:
                for cut_off in self._folder.glob("*" + ocp.utils.TMP_DIR_SUFFIX):
                    shutil.rmtree(cut_off)
            self._manager = ocp.CheckpointManager(
                self._folder,
                # A few large arrays gain nothing from OCDBT, a store for many small
                # ones, and each save with it leaves 10 kB more in memory for good.
                # Packing takes twice the time of all the rest, and saves a tenth.
                item_handlers=ocp.PyTreeCheckpointHandler(
                    use_ocdbt=False, use_compression=False
                ),
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=keep,
                    create=True,
                    lightweight_initialize=True,  # reads nothing without checksum
                    async_options=ocp.options.AsyncOptions(
                        post_finalization_callback=self._seal,
                        # Else a folder that cannot be made is known in five minutes.
                        create_directories_asynchronously=False,
                    ),
                ),
            )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, *error) -> None:
        try:
            self.wait()
        except InputError:
            if kind is None:  # else it would hide what went wrong first
                raise
        finally:
            self._manager.close()

    def latest(self) -> int | None:
        """Rounds done at the newest checkpoint; None if there is none."""
        return self._manager.latest_step()

    def wait(self) -> None:
        """Returns when all is written."""
        with self._written():
            self._manager.wait_until_finished()

    def busy(self) -> bool:
        """Is a checkpoint still being written?"""
        with self._written():
            self._manager.check_for_errors()
            return self._manager.is_saving_in_progress()

    def save(self, rounds_done: int, tree: PyTree) -> None:
        """Copies arrays off the device, then writes them in the background.

        The arrays may be donated as soon as this returns.
        """
        self.wait()
        self._saving = rounds_done
        with self._written():
            self._manager.save(rounds_done, args=ocp.args.PyTreeSave(tree))

    def restore(
        self, like: PyTree, on_damage: Callable[[str], Any] = warnings.warn
    ) -> tuple[int, PyTree]:
        """The newest sound checkpoint: rounds done, and the arrays.

        Args:
          like: arrays of the same shapes, dtypes and places.
          on_damage: called with a line for each newer checkpoint that is damaged;
            those are deleted.

        Raises:
          InputError: there is none, or every one is damaged; nothing is deleted.
        """
        damaged = {}
        for rounds_done in sorted(self._manager.all_steps(), reverse=True):
            problem = self._problem(rounds_done)
            if problem is None:
                break
            damaged[rounds_done] = problem
        else:
            found = "; ".join(f"{n}: {problem}" for n, problem in damaged.items())
            raise InputError(
                f"no sound checkpoint in {self._folder} ({found or 'there is none'}); "
                "delete that folder to begin anew"
            )
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        places = ocp.checkpoint_utils.construct_restore_args(target)
        args = ocp.args.PyTreeRestore(target, restore_args=places)
        tree = self._manager.restore(rounds_done, args=args)
        for number, problem in damaged.items():
            on_damage(
                f"checkpoint {number} is damaged ({problem}); going on from "
                f"checkpoint {rounds_done}"
            )
            self._manager.delete(number)
        return rounds_done, tree

    def _seal(self) -> None:
        """Orbax calls this when all files are there, before the checkpoint's name."""
        folder = self._folder / f"{self._saving}{ocp.utils.TMP_DIR_SUFFIX}"
        checksums = json.dumps(_checksums(folder), indent=1)
        (folder / _CHECKSUMS).write_text(checksums + "\n", encoding="utf-8")

    def _problem(self, rounds_done: int) -> str | None:
        """What is wrong with a checkpoint's files."""
        folder = self._folder / str(rounds_done)
        try:
            wanted = json.loads((folder / _CHECKSUMS).read_text(encoding="utf-8"))
            found = _checksums(folder)
            wrong = sorted(n for n in wanted | found if wanted.get(n) != found.get(n))
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return f"{_CHECKSUMS} cannot be read"
        if not wrong:
            return None
        state = "changed" if wrong[0] in found else "missing"
        return f"{wrong[0]} is {state}"

    @contextmanager
    def _written(self) -> Iterator[None]:
        """Makes one line of what Orbax raises when it cannot write."""
        try:
            yield
        except (OSError, ValueError) as error:
            found = re.search(r"([^:]+) \[os_error_code", str(error))
            reason = found[1].strip() if found else str(error)
            raise InputError(
                f"cannot write a checkpoint into {self._folder} ({reason}); make room "
                "or give the right to write there: the checkpoints before it are whole "
                "and the same command goes on from them"
            ) from error


def _checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file that is read."""
    checksums = {}
    for path in sorted((folder / _ITEM).rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            checksums[path.relative_to(folder).as_posix()] = digest
    return checksums
