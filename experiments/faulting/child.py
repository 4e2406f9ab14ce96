"""A training in a process of its own, watched from outside as any user could."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from sgns_jax.types import InputError

ROOT = Path(__file__).parents[2]  # commands start here, so that they find this package
POLL_SECONDS = 0.25
METRICS = "metrics.jsonl"
PATIENCE = 120.0  #: seconds that a training may take to stop when it is asked to
_TAIL_BYTES = 4096  # more than a line of metrics


class Sample(NamedTuple):
    """What is seen of a training at a moment."""

    seconds: float  #: since the process started
    rounds: int  #: done, by metrics.jsonl
    anonymous_bytes: int  #: memory that belongs to the process alone, no file's pages
    data_bytes: int  #: what ``ulimit -d`` counts: addresses for such memory
    peak_bytes: int  #: the largest resident size so far, pages of files included


class TrainingFailed(Exception):
    """A training ended badly though nothing was done to it. One line."""


class Training:
    """``python -m experiments.train`` with flags: a context manager that ends it.

    Args:
      flags: of experiments.train, without ``--workdir``.
      workdir: its work folder.
      log: file for all it says.
      data_limit: bytes that its data may take, see ``ulimit -d``; None: no limit.
      variables: of the environment, beside those of this process.
    """

    def __init__(
        self,
        flags: list[str],
        workdir: Path,
        log: Path,
        data_limit: int | None = None,
        variables: Mapping[str, str] = MappingProxyType({}),
    ):
        self.workdir, self.log, self.samples = workdir.absolute(), log, []
        self.trained_at: float | None = None  #: seconds old when training was seen
        command = [sys.executable, "-m", "experiments.train", *flags]
        command.append(f"--workdir={self.workdir}")
        if data_limit:
            limit = f'ulimit -d {data_limit // 1024} && exec "$@"'
            command = ["sh", "-c", limit, "sh", *command]
        # What was printed before a kill must be in the log.
        environment = os.environ | {"PYTHONUNBUFFERED": "1"} | dict(variables)
        self.started_at = time.time()
        self._started = time.perf_counter()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> "Training":
        return self

    def __exit__(self, *error) -> None:
        self._process.kill()
        self._process.wait()

    def seconds(self) -> float:
        """Since the process started."""
        return time.perf_counter() - self._started

    def watch(self, seconds: float = POLL_SECONDS) -> bool:
        """Waits a moment at most and takes a sample; is the process still there?"""
        try:
            self._process.wait(min(seconds, POLL_SECONDS))
        except subprocess.TimeoutExpired:
            if self.trained_at is None and self.went_on_from() is not None:
                self.trained_at = self.seconds()
            memory = memory_of(self._process.pid)
            if all(memory):  # not of one that ends this moment
                self.samples.append(Sample(self.seconds(), self.rounds(), *memory))
            return True
        return False

    def rounds(self) -> int:
        """Done, by its metrics."""
        return last_line(self.workdir / METRICS).get("round", 0)

    def check(self) -> None:
        """Raises ``TrainingFailed`` if the process has ended, and not well."""
        if not self._process.returncode:
            return
        lines = self.said().replace("\r", "\n").split("\n")
        last = next((x for x in reversed(lines) if x.strip()), "nothing").strip()
        raise TrainingFailed(
            f"a training ended with status {self._status()} though nothing was done to "
            f"it; it said last: {last[-300:]}; all it said: {self.log}"
        )

    def _status(self) -> int:
        code = self._process.returncode
        return code if code >= 0 else 128 - code

    def pause(self) -> None:
        """Takes the processor from it; ``go_on`` gives it back."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self, number: signal.Signals, patience: float) -> int:
        """Sends a signal, waits, and kills what is still there when patience is over.

        Nothing is sent to a process that has ended by itself.

        Returns:
          The exit status as shells show it.
        """
        self._process.send_signal(number)
        asked = self.seconds()
        while self.watch():
            if self.seconds() - asked > patience:
                self._process.kill()
        return self._status()

    def peak_bytes(self) -> int:
        """The largest resident size that was seen."""
        return max((sample.peak_bytes for sample in self.samples), default=0)

    def kept_samples(self, number: int) -> list[list]:
        """Some of the samples, the last too: seconds, rounds, anonymous MB."""
        step = max(1, len(self.samples) // number)
        kept = self.samples[::-1][::step][::-1]
        return [[round(t, 1), n, round(m / 1e6, 1)] for t, n, m, *_ in kept]

    def said(self) -> str:
        """All that it wrote on standard output and error, bars included."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def went_on_from(self) -> int | None:
        """The round that training began after; None: it did not get so far."""
        if found := re.search(r"^Going on from round ([\d,]+)", self.said(), re.M):
            return int(found[1].replace(",", ""))
        metrics = self.workdir / METRICS
        if metrics.exists() and metrics.stat().st_mtime > self.started_at:
            return 0
        return None

    def reported(self, rounds: int = 1) -> bool:
        """Have so many rounds been done since the process started?"""
        first = self.went_on_from()
        return first is not None and self.rounds() >= first + rounds


def memory_of(pid: int) -> tuple[int, int, int]:
    """Bytes of a process as ``Sample`` has them; zeros when it has gone.

    Raises:
      InputError: this system does not tell.
    """
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except ProcessLookupError:
        return 0, 0, 0
    except FileNotFoundError:
        if Path("/proc/self/status").exists():
            return 0, 0, 0
        raise InputError(
            "this system has no /proc, where the memory of a process is read; run "
            "experiments.faults on Linux"
        ) from None
    fields = dict(re.findall(r"^(\w+):\s+(\d+) kB", text, re.M))
    names = "RssAnon", "VmData", "VmHWM"
    return tuple(1024 * int(fields.get(name, 0)) for name in names)


def last_line(path: Path) -> dict:
    """The last whole line of a file of JSON lines; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            *_, line, _ = file.read().split(b"\n")
    except (OSError, ValueError):  # no file, no whole line
        return {}
    return json.loads(line) if line else {}


def read_metrics(workdir: Path) -> list[dict]:
    """The whole lines of metrics.jsonl."""
    path = workdir / METRICS
    if not path.exists():
        return []
    return [json.loads(x) for x in path.read_text().split("\n")[:-1]]
