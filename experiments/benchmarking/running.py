"""One training in a process of its own: its time, its memory, its numbers."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from experiments.benchmarking import launch, texts
from experiments.benchmarking.programs import PROGRAMS, Task
from experiments.provenance import available_cores

ROOT = Path(__file__).parents[2]  # commands start here, so that they find this package
WARM_UP_LINES = 200
LOG = "log.txt"
_KEPT = {LOG, "result.json", "metrics.jsonl", "settings.json", "report.json"}


class TrainingFailed(Exception):
    """A program ended without vectors. The message is one line."""


def task_for(base: Task, program: str, epochs: int, repetition: int) -> Task:
    """The training of one program, budget and repetition on the base's text.

    The text is plain already: it is read as it stands.
    """
    config = dataclasses.replace(
        base.config, corpus=str(base.text.path), encoding="utf-8",
        tokenizer="whitespace", lowercase=False, epochs=epochs, seed=repetition,
    )  # fmt: skip
    folder = base.folder / f"{program}_{epochs}_epochs_{repetition}"
    return base._replace(
        program=program, repetition=repetition, config=config, folder=folder
    )


def warm_up(base: Task, programs: Iterable[str]) -> None:
    """Each program once on the first 200,000 words, kept whole; shows that it works.

    Raises:
      TrainingFailed: it does not, or it leaves out a part of the text.
    """
    base.folder.mkdir(parents=True, exist_ok=True)
    path = base.folder / "warm_up.txt"
    text = texts.beginning(base.text, path, WARM_UP_LINES)
    config = dataclasses.replace(base.config, min_count=1)
    base = base._replace(config=config, text=text, folder=base.folder / "warm_up")
    for program in programs:
        task = task_for(base, program, 1, 0)
        missed = run(task)["words_missed"]
        if missed:
            raise TrainingFailed(f"{program} saw only {missed} of {path}")
        clear(task)


def run(task: Task) -> dict:
    """Trains in an empty folder; returns what a result file keeps of it.

    End to end is from the start of the process to the last byte of the vectors: with
    loading the program, reading the text, compiling, training and writing.

    Raises:
      TrainingFailed: says what the program said last, and where the rest is.
    """
    shutil.rmtree(task.folder, ignore_errors=True)
    task.folder.mkdir(parents=True)
    program, vectors = PROGRAMS[task.program], task.folder / "vectors.txt"
    outcome = _launched([sys.executable, "-m", *program.command(task)], task)
    if outcome["exit_status"] or not vectors.exists():
        raise TrainingFailed(_failure(task, outcome["exit_status"]))
    said, epochs = program.report(task), task.config.epochs
    seconds = said["train_seconds"]
    return {
        "program": task.program,
        "epochs": epochs,
        "repetition": task.repetition,
        "seed": task.config.seed,
        "words_per_second": task.text.words * epochs / seconds,
        "pairs_per_second": said["pairs"] / seconds,
        "end_to_end_seconds": vectors.stat().st_mtime - outcome["started"],
        "peak_memory_bytes": outcome["peak_memory_bytes"],
        **said,
    }


def clear(task: Task) -> None:
    """Deletes what is large in a training's folder: vectors, tokens, checkpoints."""
    for path in task.folder.iterdir():
        if path.name not in _KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _launched(command: list[str], task: Task) -> dict:
    """Runs a command on the first cores, its output in a log; see ``launch.main``."""
    cores = ",".join(map(str, available_cores()[: task.threads]))
    log = task.folder / LOG
    launcher = [sys.executable, "-I", "-S", launch.__file__, log, cores]
    # What an earlier run compiled would spare this one its compile time.
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(task.folder / "jit")}
    with subprocess.Popen(
        [*launcher, *command], cwd=ROOT, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            told, _ = process.communicate()
        finally:
            process.terminate()  # interrupted: the launcher ends the command, too
    if process.returncode:
        raise TrainingFailed(f"{task.program} was stopped from outside")
    return json.loads(told)


def _failure(task: Task, status: int) -> str:
    log = task.folder / LOG
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # JAX says more after an error; a program that is killed names none.
    errors = [line for line in lines if re.match(r"(error|[\w.]*Error): ", line)]
    last = (errors or lines or ["it said nothing"])[-1][-300:]
    how = f"ended with status {status}" if status > 0 else f"died of signal {-status}"
    if status == 0:
        how = "wrote no vectors"
    return f"{task.program} {how}: {last}; all it said: {log}"
