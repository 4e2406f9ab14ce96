"""The wheel: what it holds, and that it works where there is no checkout."""

import email
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sgns_jax

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BUILD = "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])"

USER = """\
import jax.numpy as jnp
import numpy as np
from sgns_jax import Config, Params, WordVectors, fit, load_corpus, make_trainer
from sgns_jax import noise_distribution, pair_gradient, pair_loss

params = Params(jnp.ones((3, 2)), jnp.ones((3, 2)))
reveal_type(pair_loss(params, 0, 1, np.array([0, 1])))
reveal_type(pair_gradient(params, 0, 1, np.array([0, 1])).w_in)
reveal_type(noise_distribution(np.array([100, 10, 1]), 0.75))
vectors = WordVectors(["a", "b"], [[1.0, 0.0], [0.0, 1.0]])
reveal_type(vectors.nearest("a"))
corpus, config = load_corpus("text", "cache"), Config(dim=50)
counts = corpus.vocabulary.counts
trainer = make_trainer(config, counts, len(corpus.tokens))
for done, state, metrics in fit(config, trainer, corpus.tokens):
    reveal_type(state.params)
Config(dims=50)
vectors.nearest(3.0)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("sgns_jax", "experiments"):
        ignore = shutil.ignore_patterns("__pycache__", "results")
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    command = [sys.executable, "-c", BUILD, "dist"]
    subprocess.run(command, cwd=source, check=True)
    (path,) = (source / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """A Python with the wheel, and with what is installed here but this project."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "others.pth").write_text("\n".join(p for p in sys.path if "-packages" in p))
    return folder / "bin" / "python"


def test_holds_the_library_with_its_types_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (about,) = (name for name in names if name.endswith("METADATA"))
        metadata = email.message_from_bytes(archive.read(about))
    ours = {f"sgns_jax/{path.name}" for path in (ROOT / "sgns_jax").glob("*.py")}
    assert names - {n for n in names if "dist-info/" in n} == ours | {
        "sgns_jax/py.typed"
    }
    assert metadata["Name"] == "sgns_jax"
    assert metadata["Version"] == sgns_jax.__version__
    assert metadata["Requires-Python"] == ">=3.11"


def test_runs_readmes_python_in_an_empty_folder(python, tmp_path):
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    code = "import importlib.util, sgns_jax\nprint(sgns_jax.__version__)\n" + block
    code += "\nassert importlib.util.find_spec('experiments') is None"
    code += f"\nassert sgns_jax.__file__.startswith('{python.parent.parent}')"
    run = subprocess.run(
        [python, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(sgns_jax.__version__) and "Params(w_in=" in run.stdout
    assert not list(tmp_path.iterdir())


def test_a_users_mypy_sees_the_types(python, tmp_path):
    (tmp_path / "user.py").write_text(USER)
    command = [sys.executable, "-m", "mypy", f"--python-executable={python}", "user.py"]
    environment = {k: v for k, v in os.environ.items() if k != "MYPYPATH"}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    revealed = re.findall(r'Revealed type is "(.*)"', run.stdout)
    array = "jax._src.basearray.Array"
    pair = f"tuple[{array}, {array}, fallback=sgns_jax.types.Params]"
    assert revealed == [*[array] * 3, "list[tuple[str, float]]", pair]
    errors = re.findall(r"user.py:(\d+): error: .*\[(.*)\]", run.stdout)
    assert errors == [("17", "call-arg"), ("18", "arg-type")], run.stdout
