"""What every script shares: paths that are meant, terminals of any encoding."""

import ast
import functools
import importlib
import io
import os
import re
import sys
from pathlib import Path

import pytest

from experiments import cli
from experiments.workdir import Workdir
from sgns_jax.types import InputError

FOLDER = Path(cli.__file__).parent
SCRIPTS = sorted(
    path.stem
    for path in FOLDER.glob("*.py")
    if "SCRIPT = cli.Script(" in path.read_text(encoding="utf-8")
)


#: Whose messages one script alone can meet, though others import the module.
OF_ONE = {"experiments.report": "train", "experiments.benchmarking.texts": "benchmark"}


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs a script with a path flag: (exit status, values seen, standard error)."""
    script, seen = cli.Script("About"), []
    script.define_workdir("runs/x")
    script.define_config(["corpus", "dim"])

    def call(*arguments):
        seen.clear()
        monkeypatch.setattr(sys, "argv", ["script", *arguments])
        with pytest.raises(SystemExit) as stop:
            script.run(seen.append)
        return stop.value.code or 0, seen, capsys.readouterr().err

    return call


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_flag_that_takes_a_path_is_known_as_one(name):
    script = importlib.import_module(f"experiments.{name}").SCRIPT
    kinds = {flag.name: flag.kind for flag in script.flags}
    paths = {"workdir", "corpus", "eval_dir"} & set(kinds)
    assert "workdir" in paths or name == "tables"
    assert {kinds[name] for name in paths} <= {Path}
    others = [f for f in script.flags if f.kind is str and f.name not in paths]
    assert not [f for f in others if {"folder", "path"} & set(f.needs.split())]


@functools.cache
def parsed(path):
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def advised(path):
    """Flags that a module names in what it raises."""
    raised = [
        x for node in parsed(path) if type(node) is ast.Raise for x in ast.walk(node)
    ]
    texts = [x.value for x in raised if type(x) is ast.Constant]
    return {flag for text in texts for flag in re.findall(r"--([a-z_]+)", str(text))}


def imported(script):
    """Modules of experiments that a script imports, and they import, and so on."""
    seen, todo = set(), [f"experiments.{script}"]
    while todo:
        module = todo.pop()
        path = FOLDER.parent / (module.replace(".", "/") + ".py")
        if module in seen or not path.exists():
            continue
        seen.add(module)
        for node in parsed(path):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                todo += (x for x in [node.module, *names] if x[:11] == "experiments")
    return {name: FOLDER.parent / (name.replace(".", "/") + ".py") for name in seen}


@pytest.mark.parametrize("name", [s for s in SCRIPTS if s != "tables"])
def test_what_a_message_advises_the_script_has(name):
    script = importlib.import_module(f"experiments.{name}").SCRIPT
    known = {flag.name for flag in script.flags} | {"help", "name"}
    wrong = {
        module: advised(path) - known
        for module, path in imported(name).items()
        if OF_ONE.get(module, name) == name and advised(path) - known
    }
    assert not wrong


def test_the_library_names_settings_as_python_does():
    """Its users have no flags, and no script has all of them."""
    library = FOLDER.parent / "sgns_jax"
    assert {flag for path in library.glob("*.py") for flag in advised(path)} == {"help"}
    assert advised(FOLDER / "workdir.py") == {"workdir"}


def test_only_what_has_replicas_merges_them():
    for name in SCRIPTS:
        script = importlib.import_module(f"experiments.{name}").SCRIPT
        flags = {flag.name for flag in script.flags}
        assert "replicas" in flags or "sync_every" not in flags


def test_the_home_folder_is_meant_by_a_tilde(run, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    status, (values,), _ = run("--workdir=~/runs/a", "--corpus=~/texts/*.gz")
    assert status == 0
    assert (values.workdir, values.corpus) == ("/home/me/runs/a", "/home/me/texts/*.gz")
    _, (values,), _ = run("--workdir=./~", "--corpus=-")
    assert (values.workdir, values.corpus) == ("./~", "-")
    assert run()[1][0].workdir == "runs/x"


@pytest.mark.parametrize("flag", ["workdir", "corpus"])
@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("s3://bucket/run1", "this is an address"),
        ("file:///tmp/x", "this is an address"),
        ("~nobody-at-all/x", "~nobody-at-all is nobody's home folder"),
    ],
)
def test_what_is_no_path_of_this_machine_is_refused_at_once(run, flag, path, says):
    status, seen, err = run(f"--{flag}={path}")
    assert (status, seen) == (2, [])
    assert f"flag --{flag}={path}: {says}" in err and len(err.splitlines()) == 1


def test_a_folder_that_orbax_cannot_name_is_refused(tmp_path):
    name = bytes(tmp_path / "caf") + b"\xe9"
    with pytest.raises(InputError, match=r"caf\\udce9' has a name that is no UTF-8"):
        Workdir(name.decode(errors="surrogateescape"))
    assert not list(tmp_path.iterdir())


def test_a_terminal_that_cannot_show_a_word_is_shown_escapes(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "argv", ["script"])
    with pytest.raises(SystemExit) as stop:
        cli.Script("About").run(lambda flags: print("дом 中 …"))
    terminal.flush()
    assert not stop.value.code
    assert terminal.buffer.getvalue() == rb"\u0434\u043e\u043c \u4e2d \u2026" + b"\n"


def test_a_message_is_80_columns_wide_and_breaks_nothing_that_is_copied():
    flag, path = "--checkpoint-seconds", "/a-b/" * 40
    message = f"warning: {'word ' * 20}{'x' * 60} {flag} {path}; " + "give it " * 20
    lines = cli.wrapped(message).splitlines()
    assert [line for line in lines if len(line) > 80] == [f"  {path};"]
    assert any(flag in line for line in lines)
    assert " ".join(line.strip() for line in lines) == message.strip()


@pytest.fixture
def run_into(monkeypatch, tmp_path):
    """Runs a script that prints its flags with other streams: (exit status, error)."""

    def call(argument, **streams):
        error = open(tmp_path / "error", "w", buffering=1)  # as Python's own is
        streams.setdefault("stderr", error)
        with error, monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["script", argument])
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            with pytest.raises(SystemExit) as stop:
                cli.Script("About").run(print)
        for stream in streams.values():
            stream.close()  # which flushes it, as Python's end does
        return stop.value.code, (tmp_path / "error").read_text()

    return call


@pytest.fixture
def unread():
    """A pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return open(writer, "w")


@pytest.mark.parametrize("argument", ["--help", "--", "--wrong"])
def test_a_script_ends_quietly_where_nobody_reads_on(run_into, unread, argument):
    assert run_into(argument, stdout=unread, stderr=unread) == (141, "")


def test_an_error_is_said_where_the_output_is_not_read(run_into, unread):
    status, said = run_into("--wrong", stdout=unread)
    assert status == 2 and "flag 'wrong'" in said


def test_a_stream_that_is_closed_takes_what_is_written(monkeypatch):
    for name in ("stdout", "stderr"):  # monkeypatch puts them back
        monkeypatch.setattr(sys, name, None)
    monkeypatch.setattr(sys, "argv", ["script"])

    def main(flags):
        return sys.stdout.write("four") + sys.stderr.write("and five")

    with pytest.raises(SystemExit) as stop:
        cli.Script("About").run(main)
    sys.stdout.close()
    sys.stderr.close()
    assert stop.value.code == 12


def test_a_full_disk_under_the_output_is_said_in_a_line(run_into):
    status, said = run_into("--help", stdout=open("/dev/full", "w"))
    assert status == 2 and said.count("\n") == 1
    assert "cannot write the output: [Errno 28]" in said
