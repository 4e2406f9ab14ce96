"""Cases in turns, each in processes of its own; and a step's parts on one device."""

import json
import operator
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
from jax.sharding import PartitionSpec

from experiments.profiling.loops import interleaved
from experiments.profiling.training import device_runs
from experiments.spreading.cases import ONE, Case
from experiments.sweeping.measuring import draw_text
from experiments.sweeping.plan import Point
from sgns_jax.config import Config
from sgns_jax.replicas import merge
from sgns_jax.sharding import MeshShape, make_mesh
from sgns_jax.train import TOKENS_PER_ROW, init_state

ROOT = Path(__file__).parents[2]
_PATIENCE = 600  # seconds that a measurement may take


class MeasurementFailed(Exception):
    """A process of a measurement ended badly. One line."""


def measure(
    cases: list[Case],
    sizes: dict[str, int],
    repetitions: int,
    tell: Callable[[str], None],
) -> dict[Case, dict]:
    """Words/s of each case, once a repetition: what else the machine does meets all.

    ``sizes`` are the dim, vocabulary and tokens.

    Raises:
      MeasurementFailed: a process ended badly.
    """
    rates = {case: [] for case in cases}
    for _ in range(repetitions):
        for case in cases:
            tell(case.title)
            rates[case].append(_run(case, sizes))
    # A ratio of one repetition is of two measurements that follow each other.
    return {
        case: {"words_per_second": of_case, "median": statistics.median(of_case)}
        | {"ratio": statistics.median(map(operator.truediv, of_case, rates[ONE]))}
        for case, of_case in rates.items()
    }


def _run(case: Case, sizes: dict[str, int]) -> float:
    """Starts the processes of a case; the words/s of the text that they report."""
    task = {"way": case.way, "devices": case.devices} | sizes
    each = str(case.devices // case.processes)
    # With one device, XLA's products would take the other cores as well.
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": each, "PJRT_NPROC": "1"}
    jobs = [("", 0, -1)]
    if case.processes > 1:
        address = f"localhost:{_free_port()}"
        jobs = [(address, case.processes, i) for i in range(case.processes)]
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "experiments.spreading.child",
             json.dumps(task | {"job": job})],
            cwd=ROOT, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for job in jobs
    ]  # fmt: skip
    try:
        said = [child.communicate(timeout=_PATIENCE) for child in children]
    except subprocess.TimeoutExpired:
        raise MeasurementFailed(f"{case.title}: no end within {_PATIENCE} s") from None
    finally:
        for child in children:
            child.kill()
    for child, (_, errors) in zip(children, said, strict=True):
        if child.returncode:
            last = (errors.strip().splitlines() or ["it said nothing"])[-1]
            raise MeasurementFailed(f"{case.title}: {last}")
    return json.loads(said[0][0].splitlines()[-1])["raw_words_per_second"]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def parts(config: Config, vocabulary: int, repetitions: int) -> dict:
    """What one device takes: seconds of a step's parts, and of a merge.

    Each is the least of the repetitions.
    """
    T = max(config.segment_tokens, TOKENS_PER_ROW * vocabulary)
    counts, segment_T = draw_text(Point(vocabulary, vocabulary, T, config))
    runs, _, steps = device_runs(config, counts, segment_T)
    runs["merge"] = _merge_run(config, vocabulary)
    seconds = {name: min(of) for name, of in interleaved(runs, repetitions).items()}
    # The loss is measured in few steps only.
    seconds["loss"] /= config.loss_every
    return {
        "seconds": seconds,
        "blocks_per_step": config.blocks_per_step,
        "words_per_step": T / steps,
        "steps_per_segment": steps,
    }


def _merge_run(config: Config, vocabulary: int) -> Callable[[], float]:
    """A merge, with nobody to exchange with."""
    mesh, every = make_mesh(MeshShape(), 1, jax.devices()[:1]), PartitionSpec()
    run = jax.jit(
        jax.shard_map(
            merge, mesh=mesh, in_specs=(every, every), out_specs=every, check_vma=False
        )
    )
    before = init_state(config, vocabulary, jax.random.key(config.seed))
    after_1 = jax.tree.map(lambda x: x[None], before)

    def timed() -> float:
        began = time.perf_counter()
        jax.block_until_ready(run(before, after_1))
        return time.perf_counter() - began

    return timed
