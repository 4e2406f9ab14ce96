"""Corpora that need no file: made from what is installed, or downloaded once."""

import hashlib
import http.client
import importlib.metadata
import importlib.util
import json
import logging
import os
import re
import shutil
import sys
import sysconfig
import urllib.request
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import BinaryIO

from sgns_jax.text import LINE_END, tokenize
from sgns_jax.types import InputError

TEXT8_URL = "http://mattmahoney.net/dc/text8.zip"
TEXT8_SHA256 = "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232"

# Import name: distribution. Those that are not installed are left out.
PACKAGES = {
    "absl": "absl-py",
    "flax": "flax",
    "jax": "jax",
    "jaxlib": "jaxlib",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "optax": "optax",
    "orbax": "orbax-checkpoint",
    "pyarrow": "pyarrow",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "tqdm": "tqdm",
}

_LOG = logging.getLogger(__name__)
_PYDOC_FORMAT = 1  # counts up when the rules below change
_SKIPPED_FOLDERS = {"site-packages", "dist-packages", "test", "tests"}
_PROMPTS = (">>>", "...", "In [", "$ ")
_MIN_WORDS = 5  # shorter paragraphs are headings, names, signatures
_MIN_LETTERS = 0.7  # share of letters and spaces; formulas, tables and code have less


def cache_folder() -> Path:
    """``$SGNS_JAX_CACHE``, else ``$XDG_CACHE_HOME/sgns_jax``, else in ``~/.cache``."""
    folder = os.environ.get("SGNS_JAX_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "sgns_jax"
    )
    return Path(os.path.expanduser(folder))


def pydoc_file(on_progress: Callable[[int, int], None] | None = None) -> Path:
    """The documentation on this machine: one paragraph a line, in lower case.

    Docstrings, and other strings with a blank line, of the standard library (the
    language reference in ``pydoc_data`` is one of its files) and of the installed
    ``PACKAGES``. Source files are parsed, never imported. The text depends on the
    versions only, and is kept for them.

    Args:
        on_progress: called with the bytes of source read and the bytes in all.

    Returns:
        The text file, in ``cache_folder()``.
    """
    roots = [Path(sysconfig.get_path("stdlib"))]
    versions = [list(sys.version_info)]
    for name, distribution in PACKAGES.items():
        try:
            versions.append([name, importlib.metadata.version(distribution)])
        except importlib.metadata.PackageNotFoundError:
            continue
        spec = importlib.util.find_spec(name)  # the place; nothing is imported
        roots += sorted(map(Path, spec.submodule_search_locations))
    identity = hashlib.sha256(json.dumps([_PYDOC_FORMAT, versions]).encode())
    path = cache_folder() / f"pydoc-{identity.hexdigest()[:12]}.txt"
    if not path.exists():
        text = LINE_END.join(read_prose(roots, on_progress)).encode()
        words, ids, *_ = tokenize(text, "letters", lowercase=True)
        text = " ".join(words[id] for id in ids.tolist() if words[id])
        with _new_file(path) as file:
            file.write(text.replace(f" {LINE_END} ", LINE_END).encode() + b"\n")
    return path


def read_prose(
    folders: Iterable[Path], on_progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """The paragraphs of prose in the Python files of some folders, each but once.

    Folders of tests and of installed packages inside are left out, and so are files
    that do not parse: the log says how many.
    """
    files = [
        file
        for folder in folders
        for file in sorted(folder.rglob("*.py"))
        if not _SKIPPED_FOLDERS & set(file.relative_to(folder).parts[:-1])
    ]
    total = sum(file.stat().st_size for file in files)
    paragraphs = {}
    done = unparsed = 0
    for file in files:
        source = file.read_bytes()
        try:
            for text in _strings(_compiled(source)):
                paragraphs.update(dict.fromkeys(_prose(text)))
        except (SyntaxError, ValueError, RecursionError):
            unparsed += 1
        done += len(source)
        if on_progress:
            on_progress(done, total)
    _LOG.info("%d of %d Python files do not parse", unparsed, len(files))
    return list(paragraphs)


def _compiled(source: bytes) -> CodeType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in other people's strings
        return compile(source, "", "exec", dont_inherit=True, optimize=0)


def _strings(code: CodeType) -> Iterator[str]:
    """The strings of a module, class or function and of all inside it."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _strings(constant)
        elif isinstance(constant, str):
            yield constant


def _prose(text: str) -> Iterator[str]:
    """The paragraphs that read as sentences, each as one line."""
    for paragraph in re.split(r"\n\s*\n", text):
        lines = []
        for line in map(str.strip, paragraph.splitlines()):
            if line.startswith(_PROMPTS):
                break  # what follows is output
            if any(char.isalnum() for char in line):
                lines.append(line)
            elif line and lines:
                lines.pop()  # a ruler: the line above is a heading
        prose = " ".join(lines)
        letters = sum(char.isalpha() or char == " " for char in prose)
        if prose.count(" ") >= _MIN_WORDS - 1 and letters >= _MIN_LETTERS * len(prose):
            yield prose


def text8_file(
    on_progress: Callable[[int, int | None], None] | None = None,
    url: str = TEXT8_URL,
    sha256: str = TEXT8_SHA256,
) -> Path:
    """Matt Mahoney's text8: 100 MB of English Wikipedia, ``a-z`` and spaces.

    Downloaded once. Source: http://mattmahoney.net/dc/textdata.html.

    Args:
        on_progress: called with the bytes downloaded and the bytes in all.
        url: where ``text8.zip`` is.
        sha256: its checksum.

    Returns:
        The text file, in ``cache_folder()``.

    Raises:
        InputError: the download fails, or is not the file it should be.
    """
    path = cache_folder() / "text8"
    archive = path.with_name("text8.zip")
    if path.exists():
        return path
    if not archive.exists():
        _download(url, archive, on_progress)
    with open(archive, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        archive.unlink()
        raise InputError(
            f"text8.zip from {url} has sha256 {found}, not {sha256}, and was removed; "
            "try again, or give a file of your own"
        )
    with zipfile.ZipFile(archive) as packed, _new_file(path) as file:
        shutil.copyfileobj(packed.open("text8"), file)
    archive.unlink()
    return path


def _download(
    url: str, path: Path, on_progress: Callable[[int, int | None], None] | None
) -> None:
    with _new_file(path) as file:
        try:
            with urllib.request.urlopen(url, timeout=60) as response:
                total = response.length
                while block := response.read(1 << 20):
                    file.write(block)
                    if on_progress:
                        on_progress(file.tell(), total)
        except (OSError, http.client.HTTPException) as error:
            raise InputError(
                f"cannot download {url}: {error}; on a machine without network, "
                f"put that file at {path}"
            ) from error


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is complete."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(part, "wb")
    except OSError as error:
        raise InputError(
            f"cannot write to {path.parent}: {error}; name another folder in the "
            "environment variable SGNS_JAX_CACHE"
        ) from error
    try:
        with file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


BUILT_IN = {"pydoc": pydoc_file, "text8": text8_file}


def is_built_in(source: str) -> bool:
    """Does it name a built-in corpus? A file or folder that it names goes before."""
    return source in BUILT_IN and not os.path.exists(source)
