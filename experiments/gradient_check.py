"""Question: is the hand-derived gradient right, and how right?

    python -m experiments.gradient_check
    python -m experiments.gradient_check --mutant=article_slip
    python -m experiments.gradient_check --mutant=all

Compares the derived gradient of every tier of the loss, up to the one that
training applies, with six independent answers: jax.grad, jax.jvp, central
differences, complex steps, 50 digits and computer algebra. Dtypes, sizes,
scores from 0 to 10,000, words that coincide, transformations, second
derivatives and the sampler are covered. Every error has a bound that is argued
in experiments/laboratory/bounds.py. It takes about a minute on two cores.

Writes gradient_check.json, steps.png (error against step) and scores.png (error
against score) into the work folder. Exit status 0 if everything holds, 1 if
not.

With a mutant, a known wrong derivation is swapped in. Exit status 1 says that
it was caught, as one wants to see, 0 that it was missed, 3 that it crashed: it
ended in an exception, told in a line, and proves nothing. --mutant=all tries
each of them, prints who caught it and writes mutants.json. Exit status 0 if all
were caught, 1 if some were missed, 3 if some crashed.
"""

import textwrap
import time

import jax
from absl.flags import FlagValues

from experiments import cli
from experiments.laboratory import (
    curves,
    pictures,
    running,
    text,
)
from experiments.laboratory.mutants import MUTANTS
from experiments.provenance import provenance
from experiments.workdir import Workdir
from sgns_jax.types import InputError

SCRIPT = cli.Script(__doc__)
SCRIPT.define_workdir("runs/gradient_check")
SCRIPT.define(
    "Run", str, "mutant", "",
    f"A wrong derivation to swap in: {', '.join(MUTANTS)}. Empty: none.",
    "a name | all",
)  # fmt: skip


#: Exit statuses of a single mutant.
MISSED, CAUGHT, CRASHED = 0, 1, 3


def main(flags: FlagValues) -> int:
    workdir = Workdir(flags.workdir)
    if flags.mutant == "all":
        return try_all_mutants(workdir)
    if flags.mutant:
        return try_mutant(flags.mutant)
    return check(workdir)


def check(workdir: Workdir) -> int:
    """The whole laboratory on the library as it is; 1 if anything does not hold."""
    started = time.perf_counter()
    comparisons = running.everything()
    steps, scores = curves.step_errors(), curves.score_errors()
    seconds = time.perf_counter() - started
    worst = text.summary(comparisons)
    failed = [c for c in comparisons if not c.holds]
    result = {
        "all_hold": not failed,
        "comparisons": len(comparisons),
        "total_seconds": seconds,
        "worst": [c._asdict() for c in worst],
        "failed": [c._asdict() for c in failed],
        "error_against_step": steps,
        "error_against_score": scores,
    }
    workdir.write_json("gradient_check.json", provenance("gradient_check") | result)
    pictures.steps(steps, workdir.path("steps.png"))
    pictures.scores(scores, workdir.path("scores.png"))
    print(text.tables(worst))
    print(text.conclusion(comparisons, failed, seconds))
    print(f"Everything: {workdir.path('gradient_check.json')}")
    print(f"Pictures: {workdir.path('steps.png')}, {workdir.path('scores.png')}")
    return 1 if failed else 0


def try_mutant(name: str) -> int:
    """Screens the library with one mutant in it; the status of what comes of it."""
    if name not in MUTANTS:
        raise InputError(
            f"mutant must be all or one of {', '.join(MUTANTS)}, got {name!r}"
        )
    (trial,) = running.trials([name])
    print(textwrap.fill(f"Mutant {name}: {MUTANTS[name].about}.", 80))
    failed, number = trial.failed, len(trial.comparisons)
    if trial.outcome == "missed":
        print(f"MISSED: all of {number} comparisons hold.")
        return MISSED
    for crash in trial.crashes:
        print(f"CRASHED in {crash}")
    if failed:
        print(f"Caught: {len(failed)} of {number} comparisons fail, among them")
    for one in text.summary(failed):
        print(f"  {text.described(one)}")
    return CRASHED if trial.crashes else CAUGHT


def try_all_mutants(workdir: Workdir) -> int:
    """mutant → caught by → size of the error; 0 if every mutant is caught."""
    found = [text.tried(trial) for trial in running.trials(MUTANTS)]
    print("\n".join(map(text.mutant_line, found)))
    result = provenance("gradient_check") | {"mutants": found}
    workdir.write_json("mutants.json", result)
    print(f"\n{text.count(found)}")
    print(f"Table: {workdir.path('mutants.json')}")
    outcomes = {one["outcome"] for one in found}
    return CRASHED if "crashed" in outcomes else int("missed" in outcomes)


if __name__ == "__main__":
    # Sharding is examined where there are two devices; a CPU can be two.
    jax.config.update("jax_num_cpu_devices", 2)
    SCRIPT.run(main)
