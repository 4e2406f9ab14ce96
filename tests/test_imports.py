"""Imports run one way, and the maths opens no file and reads no flag."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each module may import those before it that its line names.
ALLOWED = {
    "types": set(),
    "loss": {"types"},
    "gradient": {"types", "loss"},
    "noise": {"types"},
    "window": {"types"},
    "block": {"types", "loss", "gradient"},
    "hessian": {"types", "loss", "gradient", "block"},
    "config": {"types"},
    "jax_settings": set(),
    "optimizers": {"types"},
    "sharding": {"types"},
    "step": {
        "types",
        "config",
        "jax_settings",
        "loss",
        "noise",
        "window",
        "block",
        "optimizers",
        "sharding",
    },  # fmt: skip
    "segment": {"types", "config", "window", "block", "sharding", "step"},
    "replicas": {"types", "config", "optimizers", "sharding", "step", "segment"},
    "feed": {"types", "config"},
    "train": {
        "types",
        "config",
        "feed",
        "jax_settings",
        "window",
        "optimizers",
        "step",
        "sharding",
        "segment",
        "replicas",
    },  # fmt: skip
    "plan": {"config", "sharding", "step", "train"},
    "traffic": {"config", "replicas", "sharding", "train", "plan"},
    "grid": {
        "types",
        "config",
        "jax_settings",
        "optimizers",
        "step",
        "replicas",
        "train",
    },  # fmt: skip
    "checkpoint": {"types"},
    "files": {"types"},
    "formats": {"types"},
    "text": {"types", "files", "formats"},
    "text_check": {"types", "text"},
    "builtin_corpora": {"types", "text"},
    "vocabulary": {"types", "text"},
    "encoding": {"types", "text", "vocabulary"},
    "corpus_cache": {"types"},
    "parts": {
        "types",
        "text",
        "text_check",
        "vocabulary",
        "encoding",
        "corpus_cache",
    },  # fmt: skip
    "corpus": {
        "types",
        "config",
        "files",
        "text",
        "vocabulary",
        "builtin_corpora",
        "corpus_cache",
        "parts",
    },  # fmt: skip
    "vector_readers": {"types"},
    "vector_files": {"types", "formats", "vector_readers"},
    "vectors": {"types", "vector_files"},
    "evaluation_files": {"types"},
    "evaluation": {"types", "vectors", "evaluation_files"},
}
MATHS = ("loss", "gradient", "noise", "window", "block", "hessian")


def imports(path):
    """Modules that a file imports, dotted names in full."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path):
    names = {
        name.split(".")[1] for name in imports(path) if name.startswith("sgns_jax.")
    }
    return names & {p.stem for p in (ROOT / "sgns_jax").glob("*.py")}


def test_every_module_has_its_line():
    modules = {path.stem for path in (ROOT / "sgns_jax").glob("*.py")}
    assert modules - {"__init__"} == set(ALLOWED)


@pytest.mark.parametrize("module", ALLOWED)
def test_imports_run_one_way(module):
    assert ours(ROOT / "sgns_jax" / f"{module}.py") <= ALLOWED[module]


def test_the_lines_themselves_have_no_cycle():
    done = set()
    for module, allowed in ALLOWED.items():
        assert allowed <= done, module
        done.add(module)


@pytest.mark.parametrize("module", MATHS)
def test_maths_imports_jax_alone(module):
    path = ROOT / "sgns_jax" / f"{module}.py"
    outside = {name.split(".")[0] for name in imports(path)}
    assert outside <= {"jax", "numpy", "sgns_jax", "typing"}
    calls = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    }
    assert not {name for name in calls if name == "open" or "np.random" in name}


def test_the_package_prints_nothing_and_reads_no_flag():
    for path in (ROOT / "sgns_jax").glob("*.py"):
        assert "absl" not in {name.split(".")[0] for name in imports(path)}, path
        names = {
            n.id for n in ast.walk(ast.parse(path.read_text())) if hasattr(n, "id")
        }
        assert "print" not in names, path


def test_the_oracle_imports_nothing_of_ours():
    outside = {name.split(".")[0] for name in imports(ROOT / "tests" / "oracle.py")}
    assert outside == {"numpy"} and "numpy" in sys.modules
