"""README: its Python runs, its commands and its file tree are true."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import (
    ablating,
    benchmarking,
    estimation,
    laboratory,
    profiling,
    sweeping,
)
from sgns_jax.vectors import WordVectors

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_example_of_the_maths_runs_and_is_true(capsys):
    names: dict = {}
    exec(BLOCKS[0], names)
    arguments = names["params"], 0, 1, names["negatives"]
    by_hand = names["pair_gradient"](*arguments)
    by_autodiff = names["jax"].grad(names["pair_loss"])(*arguments)
    for got, want in zip(by_hand, by_autodiff, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)
    assert len(capsys.readouterr().out.splitlines()) >= 4
    assert jnp.isfinite(names["pair_loss"](*arguments))


def test_the_example_of_the_vectors_runs(tmp_path, monkeypatch, capsys):
    words = ("array", "list", "tuple", "int", "integer", "str", "string")
    folder = tmp_path / "runs" / "pydoc"
    folder.mkdir(parents=True)
    WordVectors(words, np.eye(7, dtype=np.float32)).save(folder / "vectors.txt")
    monkeypatch.chdir(tmp_path)
    exec(BLOCKS[1], {})
    assert "integer" in capsys.readouterr().out


def test_the_tree_names_every_file():
    for folder in ("sgns_jax", "experiments"):
        for path in (ROOT / folder).glob("*.py"):
            assert f" {path.name} " in README or path.name == "__init__.py", path
    named = set(re.findall(r"^ {6}(\w+\.py) ", README, re.MULTILINE))
    there = {
        p.name for f in ("sgns_jax", "experiments") for p in (ROOT / f).glob("*.py")
    }
    assert named <= there


@pytest.mark.parametrize(
    "package", [ablating, laboratory, estimation, benchmarking, profiling, sweeping]
)
def test_packages_of_experiments_name_their_files(package):
    folder = Path(package.__file__).parent
    named = set(re.findall(r"^ {4}(\w+\.py) ", package.__doc__, re.MULTILINE))
    assert named == {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    assert f" {folder.name}/ " in README


def test_ci_runs_the_test_command_that_is_printed_here():
    marked = README.split("<!-- test command -->\n```sh\n")[1].split("```")[0]
    assert "-m pytest" in marked and "pip install" in marked
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text()
