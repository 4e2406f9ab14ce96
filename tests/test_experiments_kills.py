"""A real process, killed at any moment and started again, ends with the same bits."""

import json
import multiprocessing
import os
import random
import re
import signal
import sys
import threading
import time

import numpy as np
import pytest
from tqdm import tqdm


def sitting(arguments, log):
    """What the command does; runs in a process of its own."""
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["train", *arguments]
    tqdm.set_lock(threading.RLock())  # its own are semaphores that outlive a kill
    from experiments import plots, train

    plots.word_map = lambda *arguments: None  # takes longer than all the rest
    train.SCRIPT.run(train.main)


def slow_sitting(arguments, log):
    """Its rounds take longer than to save one, so that it is killed between the two."""
    from experiments import sitting as module

    fit = module.fit

    def slowly(*given):
        for of_round in fit(*given):
            time.sleep(0.04)
            yield of_round

    module.fit = slowly
    sitting(arguments, log)


@pytest.fixture(scope="module")
def start():
    """Starts the command in a new process that has its modules, and no device, yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["experiments.train", "experiments.plots"])

    def call(arguments, log, what=sitting):
        process = context.Process(target=what, args=(arguments, str(log)))
        process.start()
        return process

    return call


def exists(pattern):
    return lambda work: next(work.glob(pattern), None) is not None


#: A moment → is it there?
MOMENTS = {
    "encoding the text": exists("corpus/.encoding-*"),
    "before the first checkpoint": exists("config.json"),
    "writing a checkpoint": exists("checkpoints/*-tmp"),
    "between two rounds": lambda work: (
        b"\n" in (work / "metrics.jsonl").read_bytes()
        if (work / "metrics.jsonl").exists()
        else False
    ),
    # Its name is a number once it is whole.
    "after a checkpoint": lambda work: any(
        path.parent.name.isdecimal()
        for path in work.glob("checkpoints/[1-9]*/sha256.json")
    ),
    **{f"random {n}": lambda work: False for n in range(3)},
    "writing the vectors": exists("vectors.txt.*"),
    "after the vectors": exists("vectors.txt"),
}


def kill_at(moment, process, work):
    """Whether the process was there to be killed."""
    seconds = random.uniform(0, 1.5) if moment.startswith("random") else 60
    limit = time.monotonic() + seconds
    while process.is_alive() and time.monotonic() < limit:
        if MOMENTS[moment](work):
            break
        time.sleep(0.0005)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """20,000 words in some twenty rounds; vectors that take a moment to write."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    rank = np.random.default_rng(0).zipf(1.2, (1000, 20)) % 300
    path.write_text("\n".join(" ".join(f"w{i}" for i in line) for line in rank))
    text = [f"--corpus={path}", "--min_count=1", "--dim=200"]
    return [*text, "--epochs=5", "--segment_tokens=2000"]


def test_twenty_kills_change_no_bit(start, settings, tmp_path):
    """Chains of sittings, each killed at another moment, until all have been."""
    log, whole = tmp_path / "log.txt", tmp_path / "whole"

    def end(work, *more):
        process = start([*settings, f"--workdir={work}", *more], log)
        process.join()
        assert process.exitcode == 0, log.read_text()
        return (work / "vectors.txt").read_bytes()

    want = end(whole)

    def enough():
        resumed = re.findall(r"Going on from round (\d+) of (\d+)", log.read_text())
        amid = sum(0 < int(done) < int(rounds) for done, rounds in resumed)
        return len(kills) >= 20 and set(kills) == set(MOMENTS) and amid >= 3

    random.seed(0)
    kills = []
    for chain in range(6):
        work = tmp_path / f"killed{chain}"
        often = f"--checkpoint_seconds={random.choice([0.01, 0.1, 0.3])}"
        for moment in MOMENTS:
            process = start([*settings, f"--workdir={work}", often], log, slow_sitting)
            if kill_at(moment, process, work):
                kills.append(moment)
        assert end(work, often) == want
        lines = (work / "metrics.jsonl").read_text().splitlines()
        rounds = [json.loads(line)["round"] for line in lines]
        assert rounds == list(range(1, len(rounds) + 1))
        if enough():
            break
    assert enough(), kills
    assert "Traceback" not in log.read_text()
