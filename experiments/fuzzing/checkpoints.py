"""A checkpoint, one of whose files is something else."""

import warnings
import zlib
from pathlib import Path

import jax.numpy as jnp

from experiments.fuzzing.guard import same
from sgns_jax.checkpoint import Checkpoints
from sgns_jax.types import InputError


def _state(number: int) -> dict:
    return {"table": jnp.full((3, 2), float(number)), "step": jnp.int32(number)}


def _lists(state: dict) -> dict:
    return {name: array.tolist() for name, array in state.items()}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "saved/1").rglob("*") if path.is_file())


def checkpoint_seeds(folder: Path) -> list[bytes]:
    with Checkpoints(folder / "saved") as saved:
        saved.save(1, _state(1))
    return [b"[]", b"[" * 10_000, *(path.read_bytes() for path in _files(folder))]


def read_checkpoint(path: Path) -> None:
    """In place of the checksums, or of a file that the input itself chooses."""
    data, files = path.read_bytes(), _files(path.parent)
    checksums = path.parent / "saved/1/sha256.json"
    for file in {checksums, files[zlib.crc32(data) % len(files)]}:
        content = file.read_bytes()
        file.write_bytes(data)
        try:
            with Checkpoints(path.parent / "saved") as saved, warnings.catch_warnings():
                warnings.simplefilter("error")
                rounds_done, state = saved.restore(_state(0))
            same((rounds_done, _lists(state)), (1, _lists(_state(1))))
        except InputError:
            pass
        finally:
            file.write_bytes(content)
