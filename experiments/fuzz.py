"""Question: what do damaged and lying files do to the readers?

    python -m experiments.fuzz
    python -m experiments.fuzz --minutes=1 --engine=hypothesis --reader=npz
    pip install 'sgns_jax[fuzz]'    # for the engine atheris

Two engines make inputs up to 64 kB from files that the readers accept:
hypothesis cuts, repeats and changes bytes and puts in lying numbers; atheris
(libFuzzer) keeps what reaches new places of the code and changes it further.
Every reader meets each engine in a process of its own, for so many minutes or
up to the first finding. A finding is

- anything raised but sgns_jax.types.InputError, our own refusal,
- an input that is not read within 5 s,
- one that asks for more than 256 MB of memory, touched or not,
- a process that dies,
- what is accepted, written, read again and then differs.

Needs Linux, for the limit on memory. Writes fuzz.json, and for a finding its
input and traceback. Exit status 0 if nothing was found, else 1.
"""

import importlib.util
import textwrap
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from absl.flags import FlagValues

from experiments import cli
from experiments.fuzzing.readers import READERS
from experiments.fuzzing.running import run
from experiments.provenance import available_cores, provenance
from experiments.workdir import Workdir
from sgns_jax.types import InputError

ENGINES = ("hypothesis", "atheris")
TABLE = "experiments.fuzzing.readers"
SCRIPT = cli.Script(__doc__)
SCRIPT.define_workdir("runs/fuzz")
SCRIPT.define("Run", float, "minutes", 10.0, "For each reader and each engine.", "> 0")
SCRIPT.define(
    "Run", str, "engine", "both", "What makes the inputs.",
    f"{' | '.join(ENGINES)} | both",
)  # fmt: skip
SCRIPT.define(
    "Run", str, "reader", "all", "What reads them.", f"all | {' | '.join(READERS)}"
)
SCRIPT.define(
    "Run", int, "at_once", 0, "So many processes side by side; 0: one a core.", ">= 0"
)


def main(flags: FlagValues) -> int:
    if not 0 < flags.minutes < float("inf"):
        raise InputError(f"minutes must be more than 0, got {flags.minutes}")
    if flags.at_once < 0:
        raise InputError(f"at_once must be 0 or more, got {flags.at_once}")
    engines = _chosen("engine", flags.engine, "both", ENGINES)
    names = _chosen("reader", flags.reader, "all", tuple(READERS))
    _refuse_without(engines)
    workdir = Workdir(flags.workdir)
    runs = []

    def one_run(task: tuple[str, str]) -> dict:
        name, engine = task
        seconds = flags.minutes * 60
        return run(engine, TABLE, READERS[name], seconds, workdir.path(""))

    with ThreadPoolExecutor(flags.at_once or len(available_cores())) as pool:
        for one in pool.map(one_run, product(names, engines)):
            runs.append(one)
            found = sum(one["finding"] is not None for one in runs)
            result = {"minutes": flags.minutes, "findings": found, "runs": runs}
            workdir.write_json("fuzz.json", provenance("fuzz") | result)
    print(report(runs))
    print(f"Everything: {workdir.path('fuzz.json')}")
    return 1 if found else 0


def _chosen(flag: str, value: str, every: str, names: tuple[str, ...]) -> tuple:
    if value != every and value not in names:
        known = ", ".join((every, *names))
        raise InputError(f"{flag} must be one of {known}, got {value!r}")
    return names if value == every else (value,)


def _refuse_without(engines: tuple[str, ...]) -> None:
    """Refuses a machine that lacks what fuzzing needs."""
    if not Path("/proc/self/statm").exists():
        raise InputError("fuzzing limits memory by what Linux alone has; use Linux")
    for engine in engines:
        if importlib.util.find_spec(engine) is None:
            extra = {"hypothesis": "test", "atheris": "fuzz"}[engine]
            raise InputError(
                f"the engine {engine} is not installed; pip install "
                f"'sgns_jax[{extra}]', or choose another --engine"
            )


def report(runs: list[dict]) -> str:
    """A line a run, and each finding; at most 80 columns."""
    lines = [
        f"{'reader':<16}{'engine':<11}{'inputs':>10}{'s':>6}{'slowest':>10}"
        f"{'memory':>9}{'places':>8}  found"
    ]
    for one in runs:
        lines.append(
            f"{one['reader']:<16}{one['engine']:<11}{one['executions']:>10,}"
            f"{one['seconds']:>6.0f}{1000 * one['longest_input_seconds']:>7.0f} ms"
            f"{one['memory_growth_bytes'] / 1e6:>6.0f} MB"
            f"{one['places_reached'] or '-':>8}  {'YES' if one['finding'] else 'none'}"
        )
    for one in runs:
        if finding := one["finding"]:
            title = f"{one['reader']}, {one['engine']}: "
            lines += ["", *textwrap.wrap(title + finding["problem"], 80)]
            lines += textwrap.wrap(f"on {finding['input']}", 80)
            lines.append(f"kept in {finding['input_file']}")
    lines.append(
        "\nslowest: of one input; memory: growth of the process's peak, with what\n"
        "the engine itself keeps; places: of the code that were reached"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    SCRIPT.run(main)
