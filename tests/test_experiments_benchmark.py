"""The benchmark: one text, equal terms, honest numbers, and what it refuses."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import gensim
import gensim.models
import numpy as np
import pytest

from experiments import benchmark
from experiments.benchmarking import (
    launch,
    peers,
    plan,
    plots,
    programs,
    records,
    running,
    summary,
    tables,
    texts,
)
from experiments.benchmarking.programs import Program, Task
from experiments.provenance import available_cores
from experiments.workdir import Workdir
from sgns_jax.config import Config
from sgns_jax.corpus import load_corpus
from sgns_jax.types import InputError
from sgns_jax.vectors import WordVectors
from tests import oracle

ROOT = Path(__file__).parent.parent
MEASURES = dict.fromkeys(summary.MEASURES, 0.5)


def random_words(number, seed=0):
    """Words of forty kinds, the first ones often."""
    ranks = np.random.default_rng(seed).zipf(1.3, number) % 40
    return [f"w{rank}" for rank in ranks]


@pytest.fixture
def source(tmp_path):
    """2,500 words on lines of 7: a last line of the plain text is not full."""
    words = random_words(2500)
    path = tmp_path / "source.txt"
    path.write_text("\n".join(" ".join(words[i : i + 7]) for i in range(0, 2500, 7)))
    return path


def prepared(source, tmp_path, **settings):
    config = Config(corpus=str(source), **settings)
    return config, texts.prepare(config, Workdir(str(tmp_path / "work")))


# The text


def test_the_text_is_the_words_a_thousand_a_line(source, tmp_path):
    _, text = prepared(source, tmp_path, min_count=21)
    lines = text.path.read_text().splitlines()
    assert [len(line.split(" ")) for line in lines] == [1000, 1000, 500]
    words = source.read_text().split()
    assert " ".join(lines).split(" ") == words
    assert (text.words, text.lines) == (2500, 3)
    kept = [count for count in Counter(words).values() if count >= 21]
    assert sorted(text.counts.tolist()) == sorted(kept) and len(kept) < 40


def test_the_text_is_split_and_folded_once_for_all(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "_CHUNK_TOKENS", 3)  # words wait from piece to piece
    monkeypatch.setattr(texts, "LINE_WORDS", 4)
    path = tmp_path / "source.txt"
    path.write_text("Été, ÉTÉ été!\n\n don’t stop\u00a0now \n" * 2)
    settings = {"tokenizer": "letters", "lowercase": True, "min_count": 1}
    _, text = prepared(path, tmp_path, **settings)
    assert text.path.read_text() == (
        "été été été don't\nstop now été été\nété don't stop now\n"
    )


def test_too_few_frequent_words_are_refused(source, tmp_path):
    with pytest.raises(InputError, match="are seen min_count = 2500 times"):
        prepared(source, tmp_path, min_count=2500)


def test_the_warm_up_reads_the_beginning(source, tmp_path):
    _, text = prepared(source, tmp_path)
    start = texts.beginning(text, tmp_path / "start.txt", 2)
    words = source.read_text().split()[:2000]
    assert start.path.read_text().split() == words
    assert (start.words, start.lines) == (2000, 2)
    assert sorted(start.counts) == sorted(Counter(words).values())


def test_expected_pairs_without_subsampling_are_exact(source, tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "LINE_WORDS", 10)
    config, text = prepared(source, tmp_path, min_count=1, window=4, subsample=0.0)
    distances = [abs(i - j) for i in range(10) for j in range(10) if 0 < abs(i - j) < 5]
    a_line = sum((5 - distance) / 4 for distance in distances)  # P(half-window ≥ d)
    assert texts.expected_pairs(config, text) == pytest.approx(250 * a_line, rel=1e-12)


def test_expected_pairs_are_the_mean_over_subsamplings(source, tmp_path):
    config, text = prepared(source, tmp_path, min_count=1, window=4, subsample=0.01)
    lines = [line.split() for line in text.path.read_text().splitlines()]
    counts = Counter(word for line in lines for word in line)
    keep = oracle.keep_probability(list(counts.values()), 0.01, "word2vec")
    keep = dict(zip(counts, keep, strict=True))
    rng, found = np.random.default_rng(1), []
    for _ in range(40):
        kept = [[w for w in line if rng.random() < keep[w]] for line in lines]
        half = rng.integers(1, 5, sum(map(len, kept)))
        found.append(len(oracle.positives(kept, half)))
    # z-score: beyond 5 once in two million seeds
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - texts.expected_pairs(config, text)) < 5 * error
    assert error < 0.01 * np.mean(found)


# Launching


def launched(tmp_path, cores, *command):
    launcher = [sys.executable, "-I", "-S", launch.__file__, tmp_path / "log", cores]
    run = subprocess.run(
        [*launcher, sys.executable, *command], capture_output=True, check=True
    )
    return json.loads(run.stdout)


def test_memory_of_the_starting_process_is_not_counted(tmp_path):
    held = np.ones(40_000_000)  # 320 MB, here
    small = launched(tmp_path, "0", "-S", "-c", "pass")["peak_memory_bytes"]
    code = "x = bytearray(100_000_000)"
    large = launched(tmp_path, "0", "-S", "-c", code)["peak_memory_bytes"]
    assert small < 50e6 < 100e6 < large < 150e6 < held.nbytes


def test_a_launched_command_keeps_to_its_cores_and_is_timed(tmp_path):
    before = time.time()
    code = "import os, sys; print(os.sched_getaffinity(0)); sys.exit(3)"
    core = min(os.sched_getaffinity(0))
    outcome = launched(tmp_path, str(core), "-c", code)
    assert outcome["exit_status"] == 3
    assert before <= outcome["started"] <= time.time()
    assert (tmp_path / "log").read_text() == f"{{{core}}}\n"


def test_what_c_writes_to_the_standard_error_is_stamped(capfd):
    with peers._Stamped(b"of words") as stamp:
        os.write(2, b"Read 1M words\nNumber ")
        time.sleep(0.05)
        before = time.perf_counter()
        os.write(2, b"of words: 7\n")
        time.sleep(0.05)
    assert before < stamp.seconds < time.perf_counter() - 0.04
    assert capfd.readouterr().err == "Read 1M words\nNumber of words: 7\n"
    with pytest.raises(RuntimeError, match="never said 'of words'"):
        with peers._Stamped(b"of words"):
            os.write(2, b"nothing")


# Programs


def real_task(program, source, tmp_path, threads=1, **settings):
    settings = {"dim": 10, "min_count": 2, "subsample": 0.01} | settings
    config, text = prepared(source, tmp_path, **settings)
    base = Task("", 0, config, text, threads, tmp_path / "runs")
    return running.task_for(base, program, 2, 1)


def check_run(run, task):
    """What holds for each program's run; returns its vectors."""
    assert (run["program"], run["epochs"], run["seed"]) == (task.program, 2, 1)
    assert run["words_missed"] is None
    assert run["words_per_second"] == 2 * 2500 / run["train_seconds"]
    assert run["pairs_per_second"] == run["pairs"] / run["train_seconds"]
    expected = 2 * texts.expected_pairs(task.config, task.text)
    assert run["pairs"] == pytest.approx(expected, rel=0.1)
    parts = run["reading_seconds"] + run["train_seconds"]
    assert run["end_to_end_seconds"] > parts > run["train_seconds"] > 0
    assert 2e7 < run["peak_memory_bytes"] < 2e9
    vectors = WordVectors.load(task.folder / "vectors.txt")
    counts = Counter(task.text.path.read_text().split())
    assert vectors.matrix.shape == (len(task.text.counts), 10)
    falling = [counts[word] for word in vectors.words]
    assert falling == sorted(falling, reverse=True)
    assert sorted(falling) == sorted(task.text.counts)
    return vectors


def test_the_prepared_text_is_read_as_it_stands(tmp_path):
    """Neither decoded nor split by the settings that it was prepared by."""
    (tmp_path / "names").write_bytes("größe a\tÖl\n".encode("latin-1") * 9)
    settings = {"encoding": "latin-1", "tokenizer": "tabs", "lowercase": True}
    task = real_task("gensim", tmp_path / "names", tmp_path, **settings)
    corpus = load_corpus(task.config, tmp_path / "corpus")
    assert corpus.vocabulary.words == ("größe_a", "öl")
    assert corpus.raw_words == task.text.words == 18


def test_this_library_is_run_by_its_own_command(source, tmp_path, unoptimized):
    cores = len(available_cores())
    task = real_task("sgns_jax", source, tmp_path, threads=cores, window=3)
    run = running.run(task)
    check_run(run, task)
    assert run["compile_seconds"] > 0 and run["pairs_are"] == "counted"
    result = json.loads((task.folder / "result.json").read_text())
    assert result["configuration"] == dataclasses.asdict(task.config)
    assert result["pairs"] == run["pairs"]
    running.clear(task)
    left = {path.name for path in task.folder.iterdir()}
    assert left == {"log.txt", "result.json", "metrics.jsonl"}


def test_gensim_gets_the_same_settings(source, tmp_path):
    task = real_task("gensim", source, tmp_path, window=3)
    run = running.run(task)
    vectors = check_run(run, task)
    assert run["pairs_are"] == "expected" and "compile_seconds" not in run
    assert run["learning_rate"] == 0.025
    assert run["words_counted"] == 2500 and run["words_trained"] >= 5000
    assert np.ptp(vectors.matrix) > 0


PEER_SETTINGS = (
    "dim window negatives noise_exponent subsample min_count epochs seed threads"
).split()


def peer_settings(tmp_path):
    """Settings that stand for themselves, by their names."""
    files = {"text": "text", "vectors": str(tmp_path / "vectors.txt")}
    return {name: name for name in PEER_SETTINGS} | files


@pytest.fixture
def clock(monkeypatch):
    """The clock of peers: it stands still until a test puts it on."""
    now = SimpleNamespace(seconds=100.0)
    stopped = SimpleNamespace(perf_counter=lambda: now.seconds)
    monkeypatch.setattr(peers, "time", stopped)
    return now


def test_gensim_is_told_every_setting_and_timed(tmp_path, monkeypatch, clock):
    class Word2Vec:
        corpus_total_words, epochs, alpha = 7, 2, 0.025

        def __init__(self, **settings):
            self.told, self.wv = settings, self

        def build_vocab(self, corpus_file):
            clock.seconds += 4

        def train(self, corpus_file, total_words, epochs):
            clock.seconds += 10
            self.told["trained"] = corpus_file, total_words, epochs
            return 6, 14

        def save_word2vec_format(self, path):
            clock.seconds += 1
            told.update(self.told, path=path)

    told = {}
    monkeypatch.setattr(gensim.models, "Word2Vec", Word2Vec)
    settings = peer_settings(tmp_path)
    report = peers.gensim(settings)
    assert told == {
        "sg": 1, "hs": 0, "vector_size": "dim", "window": "window",
        "negative": "negatives", "ns_exponent": "noise_exponent",
        "sample": "subsample", "min_count": "min_count", "epochs": "epochs",
        "seed": "seed", "workers": "threads", "trained": ("text", 7, 2),
        "path": settings["vectors"],
    }  # fmt: skip
    assert (report["reading_seconds"], report["train_seconds"]) == (4, 10)
    assert (report["words_counted"], report["words_trained"]) == (7, 14)


def test_fasttext_is_told_every_setting_and_timed(tmp_path, monkeypatch, clock):
    told = {}
    model = SimpleNamespace(
        lr=0.05,
        get_words=lambda include_freq: (["a", "</s>", "b"], np.array([5, 4, 3])),
        get_input_matrix=lambda: np.array([[1, 2], [3, 4], [0.123456789, 6]]),
    )

    def train_unsupervised(text, **settings):
        told.update(settings, text=text)
        clock.seconds += 4
        os.write(2, b"Number of words: 3")
        time.sleep(0.2)  # for the thread that reads it
        clock.seconds += 10
        return model

    module = SimpleNamespace(
        unsupervised_default=told, train_unsupervised=train_unsupervised, EOS="</s>"
    )
    monkeypatch.setitem(sys.modules, "fasttext", SimpleNamespace(FastText=module))
    report = peers.fasttext(peer_settings(tmp_path))
    assert told == {
        "model": "skipgram", "loss": "ns", "minn": 0, "maxn": 0, "verbose": 1,
        "dim": "dim", "ws": "window", "neg": "negatives", "t": "subsample",
        "minCount": "min_count", "epoch": "epochs", "seed": "seed",
        "thread": "threads", "text": "text",
    }  # fmt: skip
    assert (report["reading_seconds"], report["train_seconds"]) == (4, 10)
    assert report["kept_words_counted"] == 12
    written = (tmp_path / "vectors.txt").read_text()
    assert written == "2 2\na 1 2\nb 0.12346 6\n"
    peers.fasttext(peer_settings(tmp_path) | {"subsample": 0.0})
    assert told["t"] == 1.0


@pytest.mark.skipif(programs.version("fasttext") is None, reason="needs fasttext")
@pytest.mark.parametrize("subsample", [0.01, 0.0])
def test_fasttext_gets_the_same_settings(source, tmp_path, subsample):
    # Ten threads: with fewer it leaves vectors as the memory was, see peers.py.
    task = real_task("fasttext", source, tmp_path, threads=10, subsample=subsample)
    run = running.run(task)
    vectors = check_run(run, task)
    assert run["learning_rate"] == 0.05 and run["pairs_are"] == "expected"
    assert np.ptp(vectors.matrix) > 0.21  # it learnt: vectors begin within ±1/10


class Said(NamedTuple):
    """A task whose program has said something, without having run."""

    task: Task

    def words_missed(self, report, **said):
        (self.task.folder / "report.json").write_text(json.dumps(said))
        return report(self.task)["words_missed"]


@pytest.fixture
def said(source, tmp_path):
    config, text = prepared(source, tmp_path, epochs=2)
    (tmp_path / "said").mkdir()
    return Said(Task("any", 0, config, text, 1, tmp_path / "said"))


def test_words_that_gensim_leaves_out_are_found(said):
    def missed(counted, trained):
        numbers = {"words_counted": counted, "words_trained": trained}
        return said.words_missed(programs.gensim_report, **numbers)

    assert missed(2500, 5000) is None and missed(2500, 4950) is None
    assert missed(2499, 5000) == "2,499 of 2,500 words"
    assert missed(2500, 4949) == "4,949 of 5,000 words in all epochs"


def test_words_that_fasttext_leaves_out_are_found(said):
    kept = int(said.task.text.counts.sum())

    def missed(counted):
        return said.words_missed(programs.fasttext_report, kept_words_counted=counted)

    assert missed(kept) is None  # 3 line ends are too few to be kept as a word
    assert missed(kept - 1) == f"{kept - 1:,} of {kept:,} words seen min_count times"
    config = dataclasses.replace(said.task.config, min_count=3)
    said = said._replace(task=said.task._replace(config=config))
    report = programs.fasttext_report
    assert said.words_missed(report, kept_words_counted=kept + 3) is None


def test_words_that_this_library_leaves_out_are_found(said):
    names = "train_seconds reading_seconds compile_seconds pairs device".split()
    names += ["final_loss", "final_positive_loss", "final_negative_loss"]
    result = dict.fromkeys(names, 1) | {"raw_words": 2499}
    (said.task.folder / "result.json").write_text(json.dumps(result))
    assert programs.our_report(said.task)["words_missed"] == "2,499 of 2,500 words"


def test_versions_are_told_as_far_as_they_are_known():
    assert programs.version("gensim") == gensim.__version__
    assert programs.version("experiments") == "unknown"  # a package, not installed
    assert programs.version("no_such_program") is None


def test_flags_differ_from_the_defaults_only_where_asked(said):
    # Adam's own learning rate and as many blocks as the device likes are defaults.
    given = {"optimizer": "adam", "dynamic_window": False, "block_size": 32}
    config = dataclasses.replace(
        Config(**given), corpus="text.txt", epochs=3, seed=2, subsample=0.0
    )
    command = programs.our_command(said.task._replace(config=config))
    assert command[0] == "experiments.train"
    assert set(command[1:]) == {
        f"--workdir={said.task.folder}", "--checkpoint_seconds=1000000000.0",
        "--corpus=text.txt", "--optimizer=adam", "--dynamic_window=false",
        "--block_size=32", "--epochs=3", "--seed=2", "--subsample=0.0",
    }  # fmt: skip


# The whole command, with programs that only pretend

FAKE = """
import json, os, sys, time
does = json.loads(sys.argv[1])
print(os.environ["JAX_COMPILATION_CACHE_DIR"])
print("this is", does["name"], flush=True)
if does.get("crashes"):
    print("MemoryError: memory is full", file=sys.stderr)
    sys.exit("further advice")
if does.get("sleeps"):
    open(does["sleeps"], "w").write(str(os.getpid()))
    time.sleep(60)
if not does.get("silent"):
    time.sleep(0.01 * does["epochs"])
    rows = ["40 3"]
    for i in range(40):
        rows.append(f"w{i} {i % 7 + does['epochs']} {i % 5} {i * does['tilt']}")
    open(does["vectors"], "w").write("\\n".join(rows))
sys.exit(does.get("status", 0))
"""


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """What each program does wrong, to be changed; ``calls`` lists what was run."""
    (tmp_path / "fake_trainer.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    names = list(programs.PROGRAMS)
    does = {name: {} for name in names} | {"calls": []}

    def tilt(program):
        return 1 + names.index(program)

    def command(task):
        program, epochs = task.program, task.config.epochs
        if task.folder.parent.name != "warm_up":
            does["calls"].append((program, epochs, task.repetition))
        settings = {
            "name": program, "epochs": epochs, "tilt": tilt(program),
            "vectors": str(task.folder / "vectors.txt"),
        }  # fmt: skip
        return ["fake_trainer", json.dumps(settings | does[program])]

    def report(task):
        epochs = task.config.epochs
        return {
            "train_seconds": 0.01 * epochs * tilt(task.program),
            "reading_seconds": 0.001,
            "pairs": 1000.0 * epochs,
            "words_missed": does[task.program].get("missed"),
        }

    for name in names:
        monkeypatch.setitem(programs.PROGRAMS, name, Program(command, report))
    monkeypatch.setattr(plan, "version", lambda name: does[name].get("version", "1"))
    return does


@pytest.fixture
def measures(tmp_path):
    """A folder with all four measures, about the words w0 to w39."""
    folder = tmp_path / "eval"
    folder.mkdir()
    for name in summary.MEASURES:
        pairs = "\n".join(f"w{i}\tw{i * i % 37}\t{i}" for i in range(2, 30))
        (folder / f"{name}.tsv").write_text(pairs)
    (folder / "questions-words.tsv").unlink()
    questions = "\n".join(f"w{i} w{i + 1} w{i + 7} w{i + 8}" for i in range(30))
    (folder / "questions-words.txt").write_text(": gram\n" + questions)
    return folder


@pytest.fixture
def run(capsys, monkeypatch, source, tmp_path):
    """Runs the command in this process: (exit status, standard output, error)."""

    def call(*arguments):
        given = [f"--corpus={source}", f"--workdir={tmp_path / 'w'}", "--min_count=1"]
        monkeypatch.setattr(sys, "argv", ["benchmark", *given, *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            benchmark.SCRIPT.run(benchmark.main)
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


def recorded(tmp_path):
    return json.loads((tmp_path / "w" / "benchmark.json").read_text())


def test_every_program_runs_in_turn_and_is_told(run, fakes, measures, tmp_path):
    flags = f"--eval_dir={measures} --epochs=3 --curve_epochs=5,1 --repetitions=2"
    status, out, _ = run(*flags.split())
    assert status == 0
    turns = ["sgns_jax", "gensim", "fasttext"], ["gensim", "fasttext", "sgns_jax"]
    assert fakes["calls"] == [
        (program, epochs, repetition)
        for repetition, turn in enumerate(turns)
        for epochs in (3, 1)
        for program in turn
    ]
    result = recorded(tmp_path)
    assert [records.key(one) for one in result["runs"]] == fakes["calls"]
    for one in result["runs"]:
        assert one["seed"] == one["repetition"]
        assert one["words_per_second"] == 2500 * one["epochs"] / one["train_seconds"]
        assert 0.01 * one["epochs"] < one["end_to_end_seconds"] < 20
        assert set(one["scores"]) == set(summary.MEASURES)
        assert {score["covered"] for score in one["scores"].values()} <= {28, 30}
    assert {"command", "commit", "machine", "versions"} <= set(result)
    assert set(result["program_versions"]) == set(programs.PROGRAMS)
    assert result["text"]["words"] == 2500 and result["settings"]["dim"] == 100
    chosen_there = {name: result["settings"][name] for name in plan.OF_THE_DEVICE}
    assert set(chosen_there.values()) == {None}
    assert result["against"]["gensim"]["train_ratio"]["median"] == pytest.approx(2)
    assert len(result["targets"]) == 5
    for name in ("speed", "quality_by_training", "quality_by_time"):
        assert (tmp_path / "w" / f"{name}.png").stat().st_size > 10_000
        assert f"{name}.png" in out
    folder = tmp_path / "w" / "runs" / "gensim_3_epochs_1"
    # Nothing compiled earlier helps: the folder was empty, and is named to JAX.
    assert (folder / "log.txt").read_text() == f"{folder / 'jit'}\nthis is gensim\n"
    assert not (folder / "vectors.txt").exists()
    lines = [line for line in out.splitlines() if not line.startswith("Pictures")]
    assert max(map(len, lines)) <= 80
    assert sum(" epochs, seed 1: " in line for line in lines) == 3


def test_the_same_command_does_what_is_left(run, fakes, tmp_path):
    fakes["gensim"]["crashes"] = True
    flags = ["--epochs=1", "--repetitions=2", "--programs=fasttext,gensim"]
    status, _, _ = run(*flags)
    assert status == 1 and fakes["calls"] == []  # the warm-up found it
    fakes["gensim"]["crashes"] = False
    fit = running.run

    def breaks_later(task):
        fakes["gensim"]["crashes"] = task.repetition == 1
        return fit(task)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "run", breaks_later)
        status, _, err = run(*flags)
    log = tmp_path / "w" / "runs" / "gensim_1_epochs_1" / "log.txt"
    assert status == 1 and log.read_text().endswith("full\nfurther advice\n")
    assert err.splitlines()[-1] == (
        "error: gensim ended with status 1: MemoryError: memory is full; all it "
        f"said: {log}"
    )
    keys = [("fasttext", 1, 0), ("gensim", 1, 0)]
    assert [records.key(one) for one in recorded(tmp_path)["runs"]] == keys
    fakes["calls"].clear()
    fakes["gensim"]["crashes"] = False
    status, out, _ = run(*flags)
    assert status == 0 and "median (min–max) of 2 runs" in out
    assert fakes["calls"] == [("gensim", 1, 1), ("fasttext", 1, 1)]
    fakes["calls"].clear()
    status, again, _ = run(*flags)
    assert status == 0 and not fakes["calls"] and again in out
    status, _, err = run(*flags, "--window=3")
    said = "holds runs with window = 5, these would have 3; give another --workdir"
    assert status == 2 and said in err.splitlines()[-1]


def test_another_text_or_file_is_refused(run, fakes, source, tmp_path):
    flags = ["--epochs=1", "--repetitions=1", "--programs=gensim"]
    assert run(*flags)[0] == 0
    source.write_text(source.read_text().replace("w1", "w2"))
    status, _, err = run(*flags)
    assert status == 2 and "give another --workdir" in err.splitlines()[-1]
    (tmp_path / "w" / "benchmark.json").write_text("{")
    status, _, err = run(*flags)
    assert status == 2 and "is not the JSON this program writes" in err.splitlines()[-1]


def test_a_program_that_leaves_words_out_fails_by_name(run, fakes, tmp_path):
    flags = ["--epochs=2", "--curve_epochs=", "--repetitions=1", "--programs=fasttext"]
    fakes["fasttext"]["missed"] = "7 of 9 words"
    status, _, err = run(*flags)
    assert status == 1 and "error: fasttext saw only 7 of 9 words of " in err
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "warm_up", lambda base, names: None)
        status, out, _ = run(*flags)
    assert status == 1 and "FAILED: fasttext saw 7 of 9 words" in out
    assert recorded(tmp_path)["runs"][0]["words_missed"] == "7 of 9 words"


def test_a_program_without_vectors_fails(run, fakes):
    fakes["gensim"]["silent"] = True
    status, _, err = run("--epochs=1", "--programs=gensim")
    assert status == 1 and "gensim wrote no vectors: this is gensim; all" in err
    fakes["gensim"] |= {"silent": False, "status": 7}  # fails with vectors written
    status, _, err = run("--epochs=1", "--programs=gensim")
    assert status == 1 and "gensim ended with status 7: this is gensim; all" in err


def test_an_interruption_ends_the_program_too(run, fakes, tmp_path):
    at = tmp_path / "pid"
    fakes["gensim"]["sleeps"] = str(at)

    def interrupt():
        while not (at.exists() and at.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    status, _, err = run("--epochs=1", "--programs=gensim")
    thread.join()
    assert status == 130 and "goes on with the runs that are left" in err
    with pytest.raises(ProcessLookupError):
        for _ in range(100):  # the system may take a moment to bury it
            os.kill(int(at.read_text()), 0)
            time.sleep(0.02)


def test_programs_that_are_not_installed_are_left_out(run, fakes):
    fakes["fasttext"]["version"] = None
    flags = ["--epochs=1", "--repetitions=1", "--curve_epochs="]
    status, out, _ = run(*flags, "--programs=fasttext,gensim")
    assert status == 0 and [call[0] for call in fakes["calls"]] == ["gensim"]
    line = 'fasttext is not installed and left out: pip install -e ".[bench]"'
    assert out.startswith(line + "\n")
    status, _, err = run(*flags, "--programs=fasttext")
    assert status == 2 and "of the programs fasttext none is installed" in err


BAD_FLAGS = {
    "--programs=gensim,word2vec": "programs must be some of sgns_jax, gensim, fasttext",
    "--programs=": "got ''",
    "--threads=-1": "threads must be 0 (all) to",
    "--threads=10000": "threads must be 0 (all) to",
    "--repetitions=0": "repetitions must be >= 1, got 0",
    "--restrict_vocabulary=0": "restrict_vocabulary must be >= 1, got 0",
    "--curve_epochs=1,x": "curve_epochs must be whole numbers >= 1",
    "--curve_epochs=0": "curve_epochs must be whole numbers >= 1",
    "--curve_epochs=-1": "curve_epochs must be whole numbers >= 1",
    "--eval_dir=.": ".: needs lines of word, word and number",
    "--eval_dir=eval": "eval_dir eval lacks men3000",
    "--dim=0": "dim must be a whole number from 1 to 2147483647, got 0",
    "--seed=1": "Unknown command line flag 'seed'",
    "--workdir=source.txt": "cannot write to the work folder",
    "--corpus=missing.txt": "missing.txt",
    "--min_count=9999": "give a lower --min_count",
}


@pytest.mark.parametrize("bad", BAD_FLAGS)
def test_bad_input_is_one_line_and_status_2(run, fakes, tmp_path, monkeypatch, bad):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval/wordsim353.csv").write_text("w1,w2,3\n")
    status, _, err = run(bad)
    lines = [line for line in re.split(r"[\r\n]", err) if "error" in line]
    assert status == 2 and len(lines) == 1 and BAD_FLAGS[bad] in lines[0]
    assert not fakes["calls"]


def test_help_is_a_page(run):
    status, out, _ = run("--help")
    assert status == 0 and max(map(len, out.splitlines())) <= 80
    for name in ("programs", "threads", "curve_epochs", "eval_dir", "dim", "window"):
        assert f"--{name}=" in out


# The summary


def made_up(program, repetition, epochs=5, scores=MEASURES, **numbers):
    numbers = {"words_per_second": 1.0, "train_seconds": 10.0} | numbers
    whole = dict.fromkeys(summary.QUANTITIES, 1.0) | {"compile_seconds": None}
    scores = {name: {"score": score} for name, score in scores.items()}
    place = {"program": program, "epochs": epochs, "repetition": repetition}
    return whole | numbers | place | {"scores": scores}


def changed(**scores):
    """The scores, all 0.5 but those named by their first letter."""
    names = {name[0]: name for name in MEASURES}
    return MEASURES | {names[letter]: score for letter, score in scores.items()}


def test_ratios_are_taken_within_repetitions():
    speeds = {"sgns_jax": (8.0, 20.0, 30.0), "gensim": (1.0, 4.0, 3.0)}
    seconds = {"sgns_jax": (2.0, 2.0, 4.0), "gensim": (8.0, 10.0, 12.0)}
    runs = [
        made_up(
            program, repetition, words_per_second=speeds[program][repetition],
            end_to_end_seconds=seconds[program][repetition],
        )
        for program, repetitions in (("sgns_jax", (2, 0, 1)), ("gensim", (0, 1, 2)))
        for repetition in repetitions
    ]  # fmt: skip
    result = summary.summarise(runs, 5)
    ours, theirs = result["summary"]
    assert ours["words_per_second"] == {
        "median": 20, "mean": 58 / 3, "min": 8, "max": 30,
    }  # fmt: skip
    assert ours["compile_seconds"] is None and theirs["repetitions"] == 3
    against = result["against"]["gensim"]
    assert [against["train_ratio"][x] for x in ("median", "min", "max")] == [8, 5, 10]
    assert against["end_to_end_ratio"]["median"] == 4
    verdicts = {row["target"]: row["reached"] for row in result["targets"]}
    assert verdicts["train_ratio"] is True and verdicts["end_to_end_ratio"] is False


def quality(ours, theirs):
    runs = [made_up("sgns_jax", 0, scores=ours), made_up("gensim", 0, scores=theirs)]
    return summary.summarise(runs, 5)["against"]["gensim"]["quality"]


def test_the_rule_of_quality():
    theirs = MEASURES
    assert quality(changed(w=0.51, m=0.51, s=0.496), theirs)["reached"]
    assert not quality(changed(w=0.51, m=0.51, s=0.494), theirs)["reached"]
    assert not quality(changed(w=0.51), theirs)["reached"]
    assert not quality(changed(w=0.9, m=0.9, s=0.9, q=0.494), theirs)["reached"]
    assert quality(changed(w=None), theirs) is None
    found = quality(changed(w=0.51, m=0.52, s=0.498), theirs)
    assert found["measures_above"] == 2
    assert found["worst_difference"] == pytest.approx(-0.002)


def test_quality_is_that_of_means_over_repetitions():
    runs = [
        made_up("sgns_jax", 0, scores=changed(w=0.4)),
        made_up("sgns_jax", 1, scores=changed(w=0.7)),
        made_up("gensim", 0), made_up("gensim", 1),
    ]  # fmt: skip
    found = summary.summarise(runs, 5)["against"]["gensim"]["quality"]
    assert found["difference_of_means"]["wordsim353"] == pytest.approx(0.05)


def curve(*ours):
    """Ours at (epochs, scores, training seconds) against 100 s of gensim's."""
    runs = [
        made_up("sgns_jax", 0, e, scores, train_seconds=s, end_to_end_seconds=s + 5)
        for e, scores, s in ours
    ]
    full = {"train_seconds": 100.0, "end_to_end_seconds": 120.0}
    runs += [made_up("gensim", 0, **full), made_up("gensim", 0, 1, changed(w=0.1))]
    return summary.summarise(runs, 5)


def test_time_to_quality_needs_all_four_measures():
    result = curve(
        (5, changed(s=0.49), 50.0), (2, changed(m=0.6), 20.0), (1, changed(w=0.2), 10.0)
    )
    time = result["against"]["gensim"]["time_to_quality"]
    assert time["epochs"] == 2 and time["short_of"] == {}
    assert time["train_seconds"] == 20 and time["train_ratio"] == 5
    assert time["end_to_end_seconds"] == 25
    assert time["end_to_end_ratio"] == pytest.approx(4.8)
    table = " ".join(shown(result).split())
    assert "ratio 4.8, 2 epochs training to it, ratio 5.0, 2 epochs" in table
    verdict = {row["target"]: row for row in result["targets"]}["time_to_quality_ratio"]
    assert verdict["measured"] == pytest.approx(4.8) and verdict["reached"] is False


def test_a_missing_score_of_a_small_budget_is_no_zero():
    result = curve((5, changed(w=0.6), 50.0), (1, changed(s=None), 10.0))
    assert result["against"]["gensim"]["time_to_quality"] is None
    assert result["against"]["gensim"]["quality"]["reached"] is False
    verdict = {row["target"]: row for row in result["targets"]}["time_to_quality_ratio"]
    assert verdict["measured"] is verdict["reached"] is None
    assert "time to quality, ratio –" in " ".join(shown(result).split())


def shown(result, threads=2):
    settings = {"epochs": 5, "threads": threads, "restrict_vocabulary": 30000}
    settings |= {"noise_exponent": 0.75, "eval_dir": "eval"}
    text = {"words": 17_024_630, "vocabulary": 70_441}
    return tables.table(result | {"settings": settings, "text": text})


def test_quality_that_is_never_reached_is_said():
    result = curve((5, changed(s=0.47, m=0.9), 50.0), (1, changed(s=0.6, m=0.4), 10.0))
    time = result["against"]["gensim"]["time_to_quality"]
    assert time["epochs"] is time["train_ratio"] is time["end_to_end_ratio"] is None
    assert time["short_of"] == {"simlex999": pytest.approx(0.03)}
    table = " ".join(shown(result).split())
    assert "time to quality, ratio never training to it, ratio never" in table
    assert "Never that of gensim: it is missed in SimLex-999 by 0.030." in table
    assert "time to gensim's quality, ratio >= 8 never not met" in table


def test_memory_is_that_of_the_largest_run():
    sizes = (1.1e9, 1.3e9)
    runs = [made_up("sgns_jax", i, peak_memory_bytes=x) for i, x in enumerate(sizes)]
    result = summary.summarise(runs, 5)
    memory = result["targets"][-1]
    assert memory["measured"] == 1.3e9 and memory["reached"] is False
    others = [row["reached"] for row in result["targets"][:-1]]
    assert others == [None] * 4 and result["against"] == {}
    assert "one run each" not in shown(result)


def test_tables_fit_the_terminal():
    runs = [
        made_up(program, repetition, train_seconds=1234.5 + repetition,
                words_per_second=123456.0 * (repetition + 1), compile_seconds=3.0)
        for program in programs.PROGRAMS
        for repetition in (0, 1)
    ]  # fmt: skip
    table = shown(summary.summarise(runs, 5))
    assert max(map(len, table.splitlines())) <= 80
    assert "1235 (1234–1236)" in table and ".500" in table
    assert "its noise exponent is fixed at 0.5" in table


@pytest.mark.parametrize(
    ("threads", "says"),
    [
        (1, "1 thread it draws a tenth of its first vectors, and leaves the other 9"),
        (2, "2 threads it draws 2 tenths of its first vectors, and leaves the other 8"),
        (9, "9 threads it draws 9 tenths of its first vectors, and leaves the other 1"),
        (10, None),
    ],
)
def test_what_fasttext_begins_with_is_said(threads, says):
    """By its source, and by experiment: zeros in 90 %, 80 %, 50 %, 0 % of the rows."""
    result = summary.summarise([made_up(p, 0) for p in ("sgns_jax", "fasttext")], 5)
    said = " ".join(shown(result, threads).split())
    assert f"With {says} as" in said if says else "first vectors" not in said
    others = summary.summarise([made_up("gensim", 0)], 5)
    assert "first vectors" not in shown(others, threads)


def test_a_picture_of_one_point_has_a_scale(tmp_path, monkeypatch):
    rows = summary.summarise([made_up("gensim", 0, train_seconds=7.0)], 5)["summary"]
    figures = []
    monkeypatch.setattr(plots.Figure, "savefig", lambda *a, **k: figures.append(a[0]))
    plots.quality(rows, "train_seconds", tmp_path / "q.png")
    for axes in figures[0].axes:
        low, high = axes.get_xlim()
        shown = [tick for tick in axes.xaxis.get_majorticklocs() if low < tick < high]
        assert shown and set(shown) <= {5, 10}
