"""Which files a result rests on, and which of them have changed since.

A result keeps a hash of each source file that its script leads to by imports, those
inside functions and modules started by name in a process of their own included. The
hash is of what the file does, not of how it is worded: docstrings, comments and layout
are left out, and imports, since the files that they name are hashed themselves.
"""

import ast
import functools
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
_PROJECT = re.compile(r"(experiments|sgns_jax)(\.\w+)*")

# Modules and packages of experiments on which no number rests, by the last word of
# their names: flags and help, the work folder, processes and signals, what refuses a
# run before it starts (any mesh that it chooses gives the numbers of one device), and
# pictures and tables, which are made from results.
_SHELL = set(
    "cli drawing foreseeing joining page picture pictures planning plots processes "
    "provenance sources stopping tables workdir".split()
)


def sources(script: str, root: Path = ROOT) -> dict[str, str]:
    """The hash of each file that numbers of ``experiments.script`` rest on, by path."""
    found: dict[str, str] = {}
    to_read = {f"experiments.{script}"}
    while to_read:
        path = _file(to_read.pop(), root)
        if path and (name := path.relative_to(root).as_posix()) not in found:
            found[name], modules = _read(path.read_text(encoding="utf-8"))
            to_read |= modules
    return dict(sorted(found.items()))


def changed(run: dict, root: Path = ROOT) -> list[str]:
    """The files that a result rests on, and that are not as they were when it was made.

    Files that came or went since are among them.
    """
    script = re.search(r"experiments\.(\w+)", run["command"])[1]
    differing = run["sources"].items() ^ sources(script, root).items()
    return sorted({path for path, _ in differing})


def _file(module: str, root: Path) -> Path | None:
    """The file of a module; None for the shell, and for packages, which only import."""
    path = root / (module.replace(".", "/") + ".py")
    package, *names = module.split(".")
    last_words = {name.split("_")[-1] for name in names}
    is_shell = package == "experiments" and last_words & _SHELL
    return path if path.is_file() and not is_shell else None


@functools.cache
def _read(text: str) -> tuple[str, set[str]]:
    """The hash of a file, and the modules of the project that it names."""
    tree = ast.parse(text)
    digest = hashlib.sha256(repr(_content(tree)).encode()).hexdigest()
    return digest[:12], set(filter(_PROJECT.fullmatch, _names(tree)))


def _names(tree: ast.AST) -> Iterator[str]:
    """What a file imports, and its strings: ``-m`` may come before one of them."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (one.name for one in names)
            case ast.ImportFrom(module=module, names=names):
                yield module or ""
                yield from (f"{module}.{one.name}" for one in names)
            case ast.Constant(value=str(text)):
                yield text


def _content(node):
    """The tree as tuples, the same for all versions of Python.

    They differ in fields that are empty, and some end an f-string with nothing.
    """
    match node:
        case ast.JoinedStr(values=values):
            parts = [part for part in values if getattr(part, "value", None) != ""]
            return "JoinedStr", [_content(part) for part in parts]
        case ast.AST():
            fields = [(n, v) for n, v in ast.iter_fields(node) if v not in (None, [])]
            return type(node).__name__, [(n, _content(v)) for n, v in fields]
        case list():
            return [_content(item) for item in node if not _is_silent(item)]
    return node


def _is_silent(node) -> bool:
    """Is this an import, or a string that stands alone, as docstrings do?"""
    match node:
        case ast.Import() | ast.ImportFrom():
            return True
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False
