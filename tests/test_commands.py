"""Every command that a page, a help page or a docstring shows is run, and made small.

A row is a command as it is written. It runs in this process, in a folder that has what
it names, with flags behind its own that make it small: of a flag given twice, the last
counts. What takes hours by nature is made small by patches, which say what they leave.
"""

import ast
import contextlib
import importlib
import inspect
import io
import json
import lzma
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from experiments import cli, tables
from sgns_jax.builtin_corpora import BUILT_IN
from tests.test_experiments_kills import start  # noqa: F401
from tests.test_experiments_processes import quick_sitting

ROOT = Path(__file__).parent.parent
SCRIPTS = {
    path.stem: importlib.import_module(f"experiments.{path.stem}")
    for path in sorted((ROOT / "experiments").glob("*.py"))
    if "SCRIPT.run(main)" in path.read_text()
}


class Row(NamedTuple):
    """How a command is run here, and what is there when it is done."""

    smaller: str = ""  #: flags behind its own
    leaves: str = "."  #: a file
    says: str = ""  #: words of its output
    statuses: tuple[int, ...] = (0,)
    needs: str = ""  #: a module that may not be there
    runs_in: str = ""  #: the test that runs it, with other sizes, where it is not here


SMALL = "--dim=8 --window=2 --epochs=1"
ABLATION = f"{SMALL} --seeds=2 --negatives=1 --noise_exponent=0.75"
BENCHMARK = f"{SMALL} --repetitions=1 --threads=1"
SWEEP = "--dim=4 --window=1 --tokens=40000 --repetitions=1"
EITHER = (0, 1)  # what holds in an hour need not in a second
ROWS = {
    "train": Row("", "runs/pydoc/vectors.txt", "Nearest neighbours"),
    "train --corpus=enwiki15-100mb.xz --eval_dir=eval --seed=0": Row(
        SMALL, "runs/enwiki15-100mb/map.png", "questions-words"
    ),
    "train --corpus=/shared/text --workdir=/shared/run": Row(
        f"{SMALL} --corpus=shared/text --workdir=shared/run", "shared/run/metrics.jsonl"
    ),
    "train --mesh=data:2,model:4": Row(
        f"{SMALL} --mesh=data:2,model:1", "runs/pydoc/loss.png", "Mesh data:2"
    ),
    "train --plan --mesh=data:2,model:4": Row("--mesh=data:2", says="It fits"),
    # With the others in tests/test_experiments_processes.py.
    "train --workdir=runs/two --epochs=1 --coordinator=localhost:1234 "
    "--num_processes=2 --process_id=$i": Row(
        f"{SMALL} --num_processes=1 --process_id=0", "runs/two/vectors.txt"
    ),
    "benchmark --corpus=enwiki15-100mb.xz --eval_dir=eval": Row(
        f"{BENCHMARK} --programs=sgns_jax", "runs/benchmark/quality_by_time.png"
    ),
    "benchmark --corpus=enwiki15-100mb.xz --eval_dir=eval --curve_epochs=1,2": Row(
        f"{BENCHMARK} --programs=gensim", "runs/benchmark/benchmark.json"
    ),
    "profile --dim=300 --vocabulary=500000": Row(
        runs_in="test_experiments_profile.test_the_whole_command"
    ),
    "sweep": Row(runs_in="test_experiments_sweep.test_everything_is_there_at_the_end"),
    "sweep --sweeps=vocabulary --vocabulary=70000,1000000": Row(
        f"{SWEEP} --vocabulary=40,100", "runs/sweep/sweep.png"
    ),
    "ablation --dim=50,100,200 --negatives=5": Row(
        f"{ABLATION} --dim=4,8", "runs/ablation/report.html"
    ),
    "ablation --corpus=enwiki15-100mb.xz --eval_dir=eval --dim=100 --epochs=2": Row(
        f"{ABLATION} --negatives=1,5", "runs/ablation/ablation.csv"
    ),
    "ablation --negatives=1,5,20 --noise_exponent=0.75 "
    "--negatives_mode=shared,independent --budgets=epochs": Row(
        ABLATION, "runs/ablation/statistics.csv"
    ),
    "ablation --domain=items --corpus=runs/sessions/sessions.txt --negatives=1,5,20 "
    "--noise_exponent=-1,-0.5,0,0.5,0.75,1 --epochs=10": Row(
        f"{ABLATION} --corpus=sessions.txt", "runs/ablation/report.html"
    ),
    "sessions --mixing=0.4 --workdir=runs/mixed": Row("", "runs/mixed/sessions.png"),
    "side_by_side --models=60 --corpus=wiki.txt --dim=100": Row(
        runs_in="test_experiments_side_by_side.test_the_ways_give_the_same_vectors"
    ),
    "scaling --tokens=2200000 --repetitions=2": Row(
        "--dim=8 --vocabulary=50 --tokens=1000000 --repetitions=1 --devices=1",
        "runs/scaling/scaling.png",
    ),
    "scaling --part=sync --corpus=enwiki15-100mb.xz --eval_dir=eval --epochs=1 "
    "--sync_every=4,16,64,256,0": Row(
        "--replicas=2 --sync_every=4 --seeds=1", "runs/scaling/scaling_sync.png"
    ),
    "fuzz": Row(
        "--reader=vocabulary --minutes=0.005", "runs/fuzz/fuzz.json", needs="atheris"
    ),
    "fuzz --minutes=1 --engine=hypothesis --reader=npz": Row(
        "--minutes=0.005", "runs/fuzz/fuzz.json"
    ),
    "gradient_check": Row(
        runs_in="test_experiments_gradient_check.test_the_command_reports_and_ends_with_0"
    ),
    "gradient_check --mutant=article_slip": Row(
        runs_in="test_experiments_gradient_check."
        "test_a_mutant_ends_with_1_and_names_who_saw_it"
    ),
    "gradient_check --mutant=all": Row(
        runs_in="test_experiments_gradient_check.test_all_mutants_are_listed"
    ),
    "walkthrough --counts=900,800,300,200,700": Row(
        "", "runs/walkthrough/walkthrough.png"
    ),
    "estimator --corpus=books/ --workdir=runs/books": Row(
        runs_in="test_experiments_estimator."
        "test_all_checks_hold_and_everything_is_there"
    ),
    "factorization --noise_exponents=-1,0.5 --negatives=2": Row(
        "--noise_exponents=-1", "runs/factorization/factorization.png"
    ),
    "factorization --corpus=poem.txt --window=3": Row(
        runs_in="test_experiments_factorization.test_every_training_reaches_its_optimum"
    ),
    "tables": Row(says="up to date"),
    "tables --check": Row(statuses=EITHER),
    "faults --part=soak --minutes=60": Row(
        "--minutes=1", "runs/faults/faults_soak.png", statuses=EITHER
    ),
    "faults --part=large --gigabytes=20": Row(
        "--gigabytes=0.1 --train_minutes=0.01",
        "runs/faults/faults_large.json",
        statuses=EITHER,
    ),
    "faults --part=cost --corpus=enwiki15-100mb.xz --epochs=2": Row(
        "--epochs=20", "runs/faults/faults_cost.json", statuses=EITHER
    ),
    "faults --part=texts --corpus=TEXTS": Row("", "runs/faults/faults_texts.json"),
}
HERE = {command: row for command, row in ROWS.items() if not row.runs_in}


@pytest.fixture(scope="session")
def things(tmp_path_factory):
    """A folder with all that the commands name: texts of forty words, and measures."""
    folder = tmp_path_factory.mktemp("things")
    rng = np.random.default_rng(0)
    rank = np.minimum(rng.zipf(1.3, (300, 10)) - 1, 19)
    words = 2 * rank + rng.integers(0, 2, (300, 1))
    text = "\n".join(" ".join(f"w{i}" for i in line) for line in words)
    files = "books/one.txt books/two.txt shared/text TEXTS/a.txt pydoc.txt wiki.txt"
    for name in f"{files} sessions.txt FILE FILE_OR_FOLDER".split():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "poem.txt").write_text("\n".join(text.split("\n")[:4]))
    (folder / "enwiki15-100mb.xz").write_bytes(lzma.compress(text.encode()))
    for name in ("eval", "FOLDER"):
        (folder / name).mkdir()
        for measure in ("wordsim353", "men3000", "simlex999"):
            pairs = "\n".join(f"w{i}\tw{i + 1}\t{i}" for i in range(10))
            (folder / name / f"{measure}.tsv").write_text(pairs)
        questions = ": family\n" + "\n".join(f"w{i} w{i + 1} w3 w4" for i in range(9))
        (folder / name / "questions-words.txt").write_text(questions)
    return folder


class Forked:
    """A training as ``Popen`` would start it, by a server that has its modules."""

    def __init__(self, launch, command, stdout):
        flags = command[command.index("experiments.train") + 1 :]
        self._process = launch(flags, stdout.name)
        self.pid, self.returncode = self._process.pid, None

    def wait(self, timeout=None):
        self._process.join(timeout)
        self.returncode = self._process.exitcode
        if self.returncode is None:
            raise subprocess.TimeoutExpired("train", timeout)

    def send_signal(self, number):
        if self._process.is_alive():
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


@pytest.fixture
def shorter(monkeypatch, start, tmp_path):  # noqa: F811
    """Patches without which the smallest run of a script would take too long."""

    def faults():
        from experiments import faults
        from experiments.faulting import child, cost, large, soak, zipf

        def fork(command, stdout, **_):
            return Forked(partial(start, what=quick_sitting), command, stdout)

        disturbed = soak.disturbed
        forking = SimpleNamespace(**vars(subprocess) | {"Popen": fork})
        monkeypatch.setattr(child, "subprocess", forking)
        monkeypatch.setattr(cost, "TURNS", 1)
        monkeypatch.setitem(cost.WAYS, "often", 0.01)
        monkeypatch.setattr(large, "SLICE_SECONDS", 0.1)
        monkeypatch.setattr(zipf, "_PIECE_WORDS", 20 * 100)
        monkeypatch.setattr(
            faults, "write_text", lambda path, _, seed: zipf.write(path, 30_000, seed)
        )
        monkeypatch.setattr(soak, "UNDISTURBED", 0.001)
        monkeypatch.setattr(
            soak, "disturbed", lambda a, b, c, _, seed: disturbed(a, b, c, 0.5, seed)
        )

    def ablation():  # the pictures of one measure, not of all ten
        from experiments.ablating import items, words

        one = dict(list(words.MEASURES.items())[:1])
        monkeypatch.setattr(words, "measures", lambda _: one)
        monkeypatch.setattr(items, "MEASURES", dict(list(items.MEASURES.items())[:2]))

    def benchmark():  # in this process
        from experiments import train
        from experiments.benchmarking import running

        def launched(command, task):
            _, _, module, *arguments = command
            started = time.time()
            with monkeypatch.context() as patch:
                patch.setattr(sys, "argv", [module, *arguments])
                if module == "experiments.train":
                    with pytest.raises(SystemExit):
                        train.SCRIPT.run(train.main)
                else:  # as if new, whatever a test before has imported
                    patch.delitem(sys.modules, module, raising=False)
                    runpy.run_module(module, run_name="__main__")
            (task.folder / running.LOG).touch()
            return {"started": started, "exit_status": 0, "peak_memory_bytes": 1}

        monkeypatch.setattr(running, "_launched", launched)

    def scaling():  # in this process, and for few rounds
        from experiments.spreading import child, measuring

        def run(case, sizes):
            task = {"way": case.way, "devices": 1, "job": ("", 0, -1)}
            with contextlib.redirect_stdout(io.StringIO()) as said:
                child.main(task | sizes | {"tokens": 20_000})
            return json.loads(said.getvalue())["raw_words_per_second"]

        monkeypatch.setattr(measuring, "_run", run)

    def sweep():
        from experiments.sweeping import plan

        monkeypatch.setattr(plan, "BASE_VOCABULARY", 40)
        monkeypatch.setattr(plan, "COMMON_WORDS", 40)

    def pages():  # copies of them
        for folder in ("experiments", "sgns_jax"):
            leave = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / folder, tmp_path / folder, ignore=leave)
        shutil.copy(ROOT / "README.md", tmp_path)
        monkeypatch.setattr(tables, "ROOT", tmp_path)

    return locals() | {"tables": pages}


@pytest.mark.parametrize("command", HERE)
def test_the_command_runs(
    command, things, shorter, tmp_path, monkeypatch, capsys, unoptimized
):
    row, (name, *flags) = ROWS[command], command.replace("$i", "0").split()
    if row.needs:
        pytest.importorskip(row.needs)
    shutil.copytree(things, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for processes that it starts
    monkeypatch.setitem(BUILT_IN, "pydoc", lambda *_: tmp_path / "pydoc.txt")
    if name in shorter:
        shorter[name]()
    monkeypatch.setattr(sys, "argv", [name, *flags, *row.smaller.split()])
    with pytest.raises(SystemExit) as stop:
        SCRIPTS[name].SCRIPT.run(SCRIPTS[name].main)
    said = capsys.readouterr()
    assert (stop.value.code or 0) in row.statuses, said.err
    assert (tmp_path / row.leaves).stat().st_size > 0
    assert row.says in said.out


_COMMAND = re.compile(
    r"python3? -m\s+experiments\.(\w+)(?![\w.])((?: +--\w+(?:=[^\s\"`)]*)?)*)"
)
_FLAG = re.compile(r"(?<![\w-])--(\w+)(?![\w-])")
#: Of SLURM, gcloud and XLA; --help is every script's.
_OTHERS = {"nodes", "zone", "worker", "command", "help"}
_OTHERS |= {"xla_force_host_platform_device_count"}


def pages():
    """All that says how to give a command: READMEs, help pages, docstrings."""
    for name in tables.PAGES:
        yield (ROOT / name).read_text(encoding="utf-8")
    for module in SCRIPTS.values():
        yield module.SCRIPT.help_page()
    for path in (ROOT / "experiments").rglob("*.py"):
        yield ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def written():
    """Every command that is shown, without ``python -m experiments.``"""
    for page in pages():
        for name, flags in _COMMAND.findall(page.replace("\\\n", " ")):
            yield " ".join([name, *flags.split()])


COMMANDS = sorted(set(written()) - {"NAME --help"})


def flags_of(command):
    return set(_FLAG.findall(command))


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_written_is_in_a_row(command):
    """Its flags are among those of one row at least."""
    name = command.split()[0]
    assert name in SCRIPTS, f"there is no experiments.{name}"
    rows = {k: v for k, v in ROWS.items() if k.split()[0] == name}
    run = [flags_of(f"{command} {row.smaller}") for command, row in rows.items()]
    assert any(flags_of(command) <= flags for flags in run), "ROWS lacks this command"


def test_rows_are_what_is_written_and_tests_that_run_them_are_there():
    assert ROWS.keys() <= set(COMMANDS)
    for command, row in ROWS.items():
        if row.runs_in:
            module, test = row.runs_in.split(".")
            module = importlib.import_module(f"tests.{module}")
            name = command.split()[0]
            assert callable(getattr(module, test))
            assert f"{name}.SCRIPT.run({name}.main)" in inspect.getsource(module)
    assert {command.split()[0] for command in ROWS} == SCRIPTS.keys()


@pytest.fixture
def accepts(monkeypatch):
    """Does a script take these flags? Training also says whether their values are."""

    def ask(name, flags):
        main = cli.config if name == "train" else bool
        monkeypatch.setattr(sys, "argv", [name, *flags])
        with pytest.raises(SystemExit) as stop:
            SCRIPTS[name].SCRIPT.run(lambda flags: main(flags) and None)
        return not stop.value.code

    return ask


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_written_is_understood(command, accepts):
    name, *flags = command.replace("$i", "0").split()
    assert accepts(name, flags)


@pytest.mark.parametrize("page", tables.PAGES)
def test_flags_that_are_mentioned_are_there(page, accepts):
    text = (ROOT / page).read_text(encoding="utf-8")
    known = {name: flags_of(one.SCRIPT.help_page()) for name, one in SCRIPTS.items()}
    assert set(_FLAG.findall(text)) - _OTHERS <= set().union(*known.values())
    for flag, value in re.findall(r"`--(\w+)=([\w.:]+)`", text):
        takers = [name for name in SCRIPTS if flag in known[name]]
        if value.upper() != value or value.isdecimal():  # no FILE_OR_FOLDER
            assert any(accepts(name, [f"--{flag}={value}"]) for name in takers)
