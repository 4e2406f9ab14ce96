"""Fuzzing: readers bear damage, and what would be a finding is found."""

import importlib.util
import json
import pickle
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from experiments import fuzz
from experiments.fuzzing import guard, inputs, readers, running
from experiments.fuzzing.guard import Guard, Target
from sgns_jax.types import InputError
from sgns_jax.vectors import WordVectors

BROKEN = """
from experiments.fuzzing.guard import Target

def read(path):
    data = path.read_bytes()
    if len(data) > 3 and data[0] == ord("x"):
        raise KeyError("broken")

READERS = {"broken": Target("broken", "", "b.txt", lambda folder: [b"xyz"], read)}
"""


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(dir=running._SCRATCH) as scratch:
        yield Path(scratch)


def guarded(read, folder, **limits) -> Guard:
    return Guard(Target("", "", "input", lambda _: [], read), folder, **limits)


@pytest.mark.parametrize("target", readers.READERS.values(), ids=readers.READERS)
def test_readers_bear_seeds_and_damage(target, folder):
    seeds = target.prepare(folder)
    guards = Guard(target, folder, hang_seconds=60)
    for seed in seeds:
        (folder / target.file).write_bytes(seed)
        target.read(folder / target.file)

    # The same inputs each time: to look for new ones is what the command is for.
    @settings(
        max_examples=30, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(inputs.near(seeds))
    def bear(data):
        guards(data)

    bear()
    assert running.read_tally(folder).executions >= 30


LYING_NPY = (
    b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 300)}".ljust(117)
    + b"\n"
)


@pytest.mark.parametrize(
    "name, data",
    [
        ("word2vec_text", b"1000000000 300\na 1 2\n"),
        ("word2vec_binary", b"1000000000 300\na \0\0\0\0"),
        ("npz", LYING_NPY),
    ],
)
def test_a_lying_header_costs_nothing(name, data, folder):
    target = readers.READERS[name]
    Guard(target, folder)(data + bytes(900))
    with pytest.raises(InputError):
        target.read(folder / target.file)


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path):
        self._file = file

    def __reduce__(self):
        return Path.touch, (self._file,)


def test_a_pickle_is_never_loaded(folder):
    trap = Trap(folder / "sprung")
    numbers = np.ones((1, 2), np.float32)
    np.savez(folder / "words.npz", words=np.array([trap]), matrix=numbers)
    np.savez(folder / "matrix.npz", words=np.uint8([97]), matrix=np.array([[trap]]))
    np.save(folder / "alone.npy", np.array([trap]))
    (folder / "alone.npy").rename(folder / "alone.npz")
    for ending in ("npz", "txt", "bin"):
        (folder / f"pickle.{ending}").write_bytes(pickle.dumps(trap))
    for file in [*folder.iterdir()]:
        with pytest.raises(InputError):
            WordVectors.load(file)
    assert not (folder / "sprung").exists()
    np.load(folder / "words.npz", allow_pickle=True)["words"]
    assert (folder / "sprung").exists()  # the trap works


def test_what_is_no_refusal_is_raised_and_told(folder):
    def read(path):
        raise {b"a": InputError, b"b": KeyError}[path.read_bytes()]("why")

    guarded(read, folder)(b"a")
    assert not (folder / guard.PROBLEM).exists()
    with pytest.raises(KeyError):
        guarded(read, folder)(b"b")
    assert (folder / guard.PROBLEM).read_text().endswith("KeyError: 'why'\n")


def test_memory_for_one_input_is_limited(folder):
    half = guarded(lambda _: np.empty(guard.MEMORY_BYTES // 2, np.uint8), folder)
    half(b"")
    with pytest.raises(MemoryError):
        guarded(lambda _: np.empty(2 * guard.MEMORY_BYTES, np.uint8), folder)(b"")
    np.empty(2 * guard.MEMORY_BYTES, np.uint8)  # and only while it is read
    assert running.read_tally(folder).executions == 1


def test_a_hang_ends(folder):
    def alarm(*_):
        raise TimeoutError("in a process of its own, this would end it")

    before = signal.signal(signal.SIGALRM, alarm)
    try:
        with pytest.raises(TimeoutError):
            guarded(lambda _: time.sleep(10), folder, hang_seconds=0.01)(b"")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_how_a_process_ended(folder):
    assert running._problem(0, folder, "") is None
    assert running._problem(-signal.SIGALRM, folder, "").startswith("Hang")
    assert "SIGSEGV" in running._problem(-signal.SIGSEGV, folder, "")
    assert "Crash" in running._problem(77, folder, "libFuzzer: deadly signal")
    with pytest.raises(RuntimeError, match="no such module"):
        running._problem(1, folder, "no such module")


def fuzzed(tmp_path, **given) -> SimpleNamespace:
    # It ends at the first finding, which takes a moment.
    usual = {"minutes": 1.0, "engine": "hypothesis", "reader": "all", "at_once": 1}
    return SimpleNamespace(**usual | given, workdir=str(tmp_path / "run"))


@pytest.mark.parametrize("engine", fuzz.ENGINES)
def test_a_finding_is_found_and_reported(engine, tmp_path, monkeypatch, capsys):
    pytest.importorskip(engine)
    (tmp_path / "broken.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(fuzz, "TABLE", "broken")
    monkeypatch.setattr(fuzz, "READERS", importlib.import_module("broken").READERS)
    del sys.modules["broken"]

    assert fuzz.main(fuzzed(tmp_path, engine=engine)) == 1
    result = json.loads((tmp_path / "run/fuzz.json").read_text())
    (one,) = result["runs"]
    assert result["findings"] == 1 and one["executions"] > 1
    assert one["finding"]["problem"] == "KeyError: 'broken'"
    kept = Path(one["finding"]["input_file"]).read_bytes()
    assert kept[:1] == b"x" and len(kept) > 3
    assert repr(kept[:60]) in one["finding"]["input"]
    printed = capsys.readouterr().out
    assert f"broken, {engine}: KeyError: 'broken'" in printed
    table = printed.partition("broken, ")[0]
    assert "YES" in table and max(map(len, table.splitlines())) <= 80


def test_refuses_flags_and_says_what_is_missing(tmp_path, monkeypatch):
    for given_, message in (
        ({"minutes": 0}, "minutes must be more than 0"),
        ({"at_once": -1}, "at_once must be 0 or more, got -1"),
        ({"engine": "afl"}, "engine must be one of both, hypothesis, atheris"),
        ({"reader": "pdf"}, "reader must be one of all, text, .* got 'pdf'"),
    ):
        with pytest.raises(InputError, match=message):
            fuzz.main(fuzzed(tmp_path, **given_))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"atheris is not installed; pip install"):
        fuzz.main(fuzzed(tmp_path, engine="atheris"))
