"""The files of a corpus."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from sgns_jax.types import InputError


def source_files(source: str) -> list[Path]:
    """The files that a path, folder or glob names, in the order they are read.

    A folder is read with its sub-folders, sorted by name, without hidden files. Links
    are followed; of the names that a folder has by links, one is taken.

    Raises:
        InputError: there is no such file, no file matches, a link leads nowhere, or a
            folder cannot be read.
    """
    path = Path(source).expanduser()
    if os.path.isdir(path):
        found = _visible_files(path)
    elif os.path.lexists(path):
        found = [path]
    else:
        found = _once(map(Path, glob.glob(str(path), recursive=True)))
    files = []
    for file in found:
        if not os.path.exists(file):
            raise InputError(
                f"{file} is a link to {os.readlink(file)}, which is not there; mend "
                "the link or remove it"
            )
        if file.is_file() or file == path:  # a pipe may be named, not found
            files.append(file)
    if not files:
        raise InputError(
            f"corpus {source!r} names no file; give a text file, a folder with "
            "files, a glob in quotes, '-' for standard input, 'pydoc' or 'text8'"
        )
    return sorted(files)


def _visible_files(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:  # or its text would be missing silently
        raise InputError(
            f"cannot read the folder {error.filename}: {error.strerror}; make it "
            "readable, or give a glob that leaves it out"
        ) from error

    seen = set()
    for root, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(root)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(root, name) for name in names if not name.startswith("."))


def _once(files: Iterable[Path]) -> list[Path]:
    """The files without those of a folder that has another, shorter name here."""
    names: dict[str, Path] = {}
    files = sorted(files, key=lambda file: (len(file.parts), file))
    return [
        file
        for file in files
        if names.setdefault(os.path.realpath(file.parent), file.parent) == file.parent
    ]
