"""The sittings of a disturbed run: when, what, and what it cost."""

import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from experiments.faulting import damage, losses
from experiments.faulting.child import METRICS, PATIENCE, Training, read_metrics
from experiments.faulting.damage import KILL, Fault
from experiments.faulting.losses import Clock

LONGEST_WAIT = 4  # checkpoints from the start of training to a fault
AT_THE_START = 0.25  # of faults come before training begins
_SAMPLES = 8  # of a sitting are kept


class Disturber:
    """Draws faults, does them, and keeps count of what they cost.

    Args:
      start: starts a sitting of a run, given the run's folder and the sitting's number.
      wait: watches a sitting until it ends, is so many seconds old, or has trained
        for so long; see ``soak.Soak.wait``.
      pace: seconds from the start of a process to its first round, and from a
        checkpoint to the next; rounds of the whole training.
      seed: of times and faults.
    """

    def __init__(
        self,
        start: Callable[[Path, int], Training],
        wait: Callable[[Training, float, bool], None],
        pace: dict,
        seed: int,
    ):
        self._start, self._wait, self._pace = start, wait, pace
        self._rng = np.random.default_rng(seed)
        self._start_seconds = pace["start_seconds"]

    def run(self, folder: Path, until: float) -> Iterator[dict]:
        """The sittings of a run in a folder; none is disturbed when the time is over.

        A record is yielded when its losses are known: when the next sitting has gone
        on, or the run is finished.
        """
        held, clock, last_damage, complete = [], read_clock(folder), 0.0, 0
        for number in itertools.count():
            # A training that is done is disturbed once more, then left to write.
            spared = time.time() > until or complete > 1
            fault = damage.choose(self._rng)
            record = {"run": folder.name, "started": time.time()}
            wait = (np.inf, False) if spared else self._draw_wait()
            record |= self._sit(folder, number, fault, wait)
            if record["went_on_from"] is not None:
                yield from _settled(held, clock, record["went_on_from"])
                held, clock = [], clock_of(folder, record)
            held.append(record)
            complete += record["reached"] == self._pace["rounds"]
            if (folder / "result.json").exists():
                yield from _settled(held, clock, record["reached"])
                return
            if fault.how:
                path = damage.damage(folder, fault, last_damage, self._rng)
                record["damaged"] = path
                record["fault"] = fault.name if path else KILL.name
                if path and fault.damages == "checkpoints":
                    last_damage = time.time()

    def _draw_wait(self) -> tuple[float, bool]:
        """Seconds to a fault, and whether they are counted from when training began."""
        if self._rng.random() < AT_THE_START:
            return self._rng.uniform(0, self._start_seconds), False
        longest = LONGEST_WAIT * self._pace["checkpoint_seconds"]
        return self._rng.uniform(0, longest), True

    def _sit(self, folder: Path, number: int, fault: Fault, wait: tuple) -> dict:
        """One sitting of a run and its end."""
        with self._start(folder, number) as child:
            self._wait(child, *wait)  # raises if it ends, and not well
            asked_at = time.time()
            status = child.end(fault.signal, PATIENCE)
        # The first sittings also read the text and compile; later ones start sooner.
        self._start_seconds = child.trained_at or self._start_seconds
        first, said = child.went_on_from(), child.said()
        ended = {"process_started": child.started_at, "went_on_from": first}
        clock, unreported = clock_of(folder, ended), 0.0
        reached = clock.reached
        trains = child.trained_at is not None and reached < self._pace["rounds"]
        if trains and fault.signal == KILL.signal:
            reported = (folder / METRICS).stat().st_mtime
            since = max(reported, child.started_at + child.trained_at)
            unreported = max(0.0, asked_at - since)
        return ended | {
            "fault": fault.name if status else "none",
            "expected_status": fault.expected_status() if status else 0,
            "exit_status": status,
            "traceback": "Traceback (most recent call last)" in said,
            "named_damage": re.findall(r"checkpoint (\d+) is damaged", said),
            "seconds": child.seconds(),
            "stopping_seconds": time.time() - asked_at,
            "trained_at": child.trained_at,
            "reached": reached,
            "longest_round_seconds": clock.longest_round(first or 0),
            "unreported_seconds": unreported,
            "peak_memory_bytes": child.peak_bytes(),
            "samples": child.kept_samples(_SAMPLES),
        }


def _settled(held: list[dict], clock: Clock, went_on_from: int) -> Iterator[dict]:
    """Records with what each lost: the first did work, the others were never so far."""
    cut = any((one.get("damaged") or "").startswith("checkpoints") for one in held)
    for i, one in enumerate(held):
        lost = losses.loss(one, clock, went_on_from if i == 0 else one["reached"])
        yield one | lost | {"checkpoint_damaged": cut}


def clock_of(workdir: Path, sitting: dict) -> Clock:
    """The clock as a sitting left it.

    One that was killed before it cut the metrics back to its checkpoint has done
    nothing of what stands there beyond.
    """
    clock, first = read_clock(workdir), sitting["went_on_from"]
    metrics = workdir / METRICS
    if first is None or metrics.stat().st_mtime >= sitting["process_started"]:
        return clock
    seconds = {n: second for n, second in clock.seconds.items() if n <= first}
    return Clock(seconds, frozenset(n for n in clock.checkpoints if n <= first))


def read_clock(workdir: Path) -> Clock:
    """When the rounds were done, as metrics.jsonl has it."""
    lines = read_metrics(workdir)
    return Clock(
        {0: 0.0} | {line["round"]: line["seconds"] for line in lines},
        frozenset(line["round"] for line in lines if line["checkpoint"]),
    )
