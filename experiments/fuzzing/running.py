"""Processes that fuzz, started and judged."""

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from experiments.fuzzing.guard import HANG_SECONDS, PROBLEM, Target, read_tally

# For starting, and for hypothesis to make a finding small (it takes 5 minutes at most).
_GRACE_SECONDS = 600
_LIBFUZZER_FOUND = 77
_LOG = "log.txt"
# Each input is a file: in memory where that can be, since disks are too slow for it.
_SCRATCH = "/dev/shm" if Path("/dev/shm").is_dir() else None


def run(
    engine: str, readers: str, target: Target, seconds: float, workdir: Path
) -> dict:
    """One engine on one reader, in a process of its own, up to the first finding.

    Args:
      engine: "hypothesis" or "atheris".
      readers: the module that holds the table with the reader.
      target: the reader.
      seconds: how long inputs are given to it.
      workdir: gets the input of a finding.

    Returns:
      What it came to, for result files.
    """
    with tempfile.TemporaryDirectory(dir=_SCRATCH) as scratch:
        folder = Path(scratch)
        started = time.perf_counter()
        status = _wait(
            [sys.executable, "-m", "experiments.fuzzing.engine"]
            + [engine, readers, target.name, str(seconds), scratch],
            folder / _LOG,
            seconds,
            f"{target.name}, {engine}",
        )
        log = (folder / _LOG).read_text(encoding="utf-8", errors="replace")
        problem = _problem(status, folder, log)
        tally = read_tally(folder)
        return {
            "reader": target.name,
            "engine": engine,
            "executions": int(tally.executions),
            "seconds": time.perf_counter() - started,
            "longest_input_seconds": tally.longest_seconds,
            "memory_growth_bytes": int(tally.peak_bytes - tally.first_peak_bytes),
            "places_reached": _places_reached(log),
            "finding": problem and _keep(problem, engine, target, folder, workdir),
        }


def _wait(command: list[str], log: Path, seconds: float, title: str) -> int:
    """A process's exit status, with a bar while it runs."""
    bar = tqdm(total=round(seconds), unit="s", desc=title, leave=False)
    with bar, log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, start_new_session=True
        )
        try:
            for _ in range(round(seconds) + _GRACE_SECONDS):
                try:
                    return process.wait(timeout=1)
                except subprocess.TimeoutExpired:
                    bar.update(bar.n < bar.total)
            raise RuntimeError(
                f"{title}: no end; its log ends:\n{log.read_text()[-2000:]}"
            )
        finally:
            process.kill()
            process.wait()


def _problem(status: int, folder: Path, log: str) -> str | None:
    """What a process that ended so has found.

    Raises:
      RuntimeError: it ended for another reason.
    """
    if status == 0:
        return None
    if (folder / PROBLEM).exists():
        return (folder / PROBLEM).read_text(encoding="utf-8")
    if status == -signal.SIGALRM:
        return f"Hang: not read after {HANG_SECONDS:g} s"
    if status < 0 or status == _LIBFUZZER_FOUND:
        name = signal.Signals(-status).name if status < 0 else "a signal"
        return f"{log}\nCrash: the process was ended by {name}"
    raise RuntimeError(f"a fuzzing process failed:\n{log[-2000:]}")


def _places_reached(log: str) -> int | None:
    """Places of the code, as libFuzzer counts them; None for another engine."""
    found = re.findall(r" cov: (\d+) ", log)
    return int(found[-1]) if found else None


def _keep(problem: str, engine: str, target: Target, folder: Path, workdir: Path):
    """Copies a finding's input and traceback out of the folder of its process."""
    file = folder / target.file
    kept = workdir / f"finding-{engine}-{target.name}{file.suffix}"
    shutil.copyfile(file, kept)
    kept.with_suffix(f"{kept.suffix}.problem").write_text(problem, encoding="utf-8")
    data = file.read_bytes()
    return {
        "problem": problem.strip().rsplit("\n", 1)[-1][:300],
        "input_file": str(kept),
        "input_bytes": len(data),
        "input": repr(data[:60]) + ("…" if len(data) > 60 else ""),
    }
