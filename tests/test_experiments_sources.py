"""A result's sources: all that its numbers rest on, and changed by code alone."""

import ast

import pytest

from experiments import sources

FILES = {
    "experiments/study.py": """
        from experiments import cli, study_plots, workdir
        from experiments.foreseeing import text
        from experiments.measuring import plan
        def main():
            from sgns_jax import loss
            return plan.run(["-m", "experiments.child"])
        """,
    "experiments/measuring/__init__.py": '"""What is measured."""',
    "experiments/measuring/plan.py": "import numpy\nfrom sgns_jax.types import Params",
    "experiments/child.py": "import sgns_jax.step as step",
    "experiments/other.py": "from sgns_jax import noise",
    "experiments/cli.py": "from sgns_jax import config",
    "experiments/foreseeing/text.py": "from sgns_jax import config",
    "experiments/study_plots.py": "from sgns_jax import config",
    "experiments/workdir.py": "from sgns_jax import config",
    **{f"sgns_jax/{name}.py": name for name in "loss types step noise config".split()},
}
MAIN = "experiments/study.py"


@pytest.fixture
def project(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = text.strip("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        path.write_text("\n".join(line[indent:] for line in lines))
    return tmp_path


def test_sources_are_what_the_script_leads_to(project):
    assert list(sources.sources("study", project)) == [
        "experiments/child.py",  # started by name
        "experiments/measuring/plan.py",
        MAIN,
        "sgns_jax/loss.py",  # imported late
        "sgns_jax/step.py",
        "sgns_jax/types.py",
    ]


@pytest.mark.parametrize(
    "before, after, changes",
    [
        ("x = 1", "x = 2", True),
        ("x = 1", "x = 1.0", True),
        ("x = 'a'", "x = 'b'", True),
        ("f(None)", "f()", True),
        ("x + y", "x - y", True),
        ("x = y", "x == y", True),
        ("f(a=x)", "f(b=x)", True),
        ("x = 1", "x = (  # one\n    1\n)", False),
        ("def f():\n    return 1", 'def f():\n    """One."""\n    return 1', False),
        ("x: int  #: n", 'x: int\n"""n"""', False),
        ("import numpy as np", "import jax\nfrom os import path", False),
        ("f(1)", "f(\n    1,\n)", False),
    ],
)
def test_what_changes_a_hash(project, before, after, changes):
    path = project / "experiments" / "measuring" / "plan.py"
    path.write_text(before)
    run = {"command": "python -m experiments.study --dim=3"}
    run["sources"] = sources.sources("study", project)
    assert sources.changed(run, project) == []
    path.write_text(after)
    found = ["experiments/measuring/plan.py"] if changes else []
    assert sources.changed(run, project) == found


def test_files_that_came_or_went_have_changed(project):
    run = {"command": "python -m experiments.study"}
    run["sources"] = sources.sources("study", project)
    path = project / MAIN
    path.write_text(path.read_text().replace("import loss", "import noise"))
    # An import is no code: what is called by its name is, and its file.
    assert sources.changed(run, project) == ["sgns_jax/loss.py", "sgns_jax/noise.py"]


def test_versions_of_python_agree():
    """3.12.1 ends an f-string's format with an empty string where it has none."""
    trees = [ast.parse("f'{x:>{width}}'") for _ in range(2)]
    trees[1].body[0].value.values[0].format_spec.values.append(ast.Constant(""))
    assert sources._content(trees[0]) == sources._content(trees[1])


def test_scripts_rest_on_what_trains():
    training = {"experiments/sitting.py", "sgns_jax/step.py", "sgns_jax/text.py"}
    for script in ("train", "benchmark", "faults"):  # two start the first as a process
        assert training <= set(sources.sources(script)), script
    assert "sgns_jax/train.py" not in sources.sources("walkthrough")
