"""The programs compared: how each is started, and what it says of itself."""

import dataclasses
import importlib.metadata
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from experiments.benchmarking.texts import Text, expected_pairs
from sgns_jax.config import Config

OURS = "sgns_jax"


class Task(NamedTuple):
    """One training: of which program, on what, with which settings."""

    program: str
    repetition: int
    config: Config  #: its epochs, its seed, and the plain text for a corpus
    text: Text
    threads: int
    folder: Path  #: for this training alone; an absolute path


class Program(NamedTuple):
    """A program's command, and the numbers it leaves behind.

    The command is what stands behind ``python -m``. It leaves ``vectors.txt`` in the
    task's folder: word2vec's text format, most frequent word first.
    """

    command: Callable[[Task], list[str]]
    report: Callable[[Task], dict]


def our_command(task: Task) -> list[str]:
    """The command that users give, with the flags that differ from its defaults."""
    # What other defaults depend on: those are the command's own to choose.
    chosen = "backend", "optimizer", "block_size"
    given = {name: getattr(task.config, name) for name in chosen}
    default = dataclasses.asdict(Config(**given))
    default |= {name: getattr(Config(), name) for name in chosen}
    flags = {"workdir": task.folder, "checkpoint_seconds": 1e9}
    for name, value in dataclasses.asdict(task.config).items():
        if value != default[name]:
            flags[name] = str(value).lower() if isinstance(value, bool) else value
    return ["experiments.train", *(f"--{name}={v}" for name, v in flags.items())]


def our_report(task: Task) -> dict:
    result = _read(task.folder / "result.json")
    names = (
        "train_seconds reading_seconds compile_seconds pairs final_loss "
        "final_positive_loss final_negative_loss device"
    ).split()
    seen = result["raw_words"]
    return {name: result[name] for name in names} | {
        "pairs_are": "counted",
        "words_seen": seen,
        "words_missed": missed(seen, task.text.words, "words"),
    }


def peer_command(task: Task) -> list[str]:
    """The settings that peers have, too, go into a file beside the log."""
    path, config = task.folder / "settings.json", task.config
    names = (
        "dim window negatives noise_exponent subsample min_count epochs seed".split()
    )
    settings = {name: getattr(config, name) for name in names} | {
        "threads": task.threads,
        "text": str(task.text.path),
        "vectors": str(task.folder / "vectors.txt"),
        "report": str(task.folder / "report.json"),
    }
    path.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return ["experiments.benchmarking.peers", task.program, str(path)]


def _peer_report(task: Task) -> dict:
    pairs = task.config.epochs * expected_pairs(task.config, task.text)
    return _read(task.folder / "report.json") | {
        "pairs": pairs,
        "pairs_are": "expected",
    }


def gensim_report(task: Task) -> dict:
    """It counts every word; its threads may train on up to a hundredth less or more.

    They begin at equal shares of the file's bytes and stop after equal shares of its
    words, so where the last words of a text are short, some stay unread: 0.1 % of
    enwiki15. A text cut off at long lines loses far more.
    """
    said, words = _peer_report(task), task.text.words
    lost = missed(said["words_counted"], words, "words")
    total = words * task.config.epochs
    if said["words_trained"] < 0.99 * total:
        lost = missed(said["words_trained"], total, "words in all epochs")
    return said | {"words_seen": said["words_counted"], "words_missed": lost}


def fasttext_report(task: Task) -> dict:
    """It tells how often it saw the words it keeps; a line's end is one of them."""
    said, text = _peer_report(task), task.text
    line_ends = text.lines if text.lines >= task.config.min_count else 0
    kept, seen = int(text.counts.sum()), said["kept_words_counted"] - line_ends
    lost = missed(seen, kept, "words seen min_count times")
    return said | {"words_seen": seen, "words_missed": lost}


def missed(seen: int, there: int, what: str) -> str | None:
    """None if a program saw what is there, else a phrase that says what it saw."""
    return None if seen == there else f"{seen:,} of {there:,} {what}"


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


PROGRAMS = {
    OURS: Program(our_command, our_report),
    "gensim": Program(peer_command, gensim_report),
    "fasttext": Program(peer_command, fasttext_report),
}


def version(name: str) -> str | None:
    """The version of a program, as far as it is known; None if it is not installed."""
    if importlib.util.find_spec(name) is None:
        return None
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
