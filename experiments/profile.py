"""Question: where does the time of a training step go, and what bounds it?

    python -m experiments.profile
    python -m experiments.profile --dim=300 --vocabulary=500000

Takes a step apart (draw, blocks, gather, products, elementwise, optimiser,
scatter, loss) and runs each part alone in a compiled loop on the device that
trains, beside the whole step, fit, and the machine's ceilings: copying, random
rows, sigmoid, matrix products. Bytes and floating-point operations are counted
from the shapes. The words of the text are drawn at random, the r-th most
frequent as often as 1/r says; one replica trains. Writes into the work folder:

    profile.json    every number of the table, and more
    profile.png     time by part, and what the ceilings allow

Close other programs first. A measurement proves nothing: the exit status is 0.
"""

import numpy as np
from absl.flags import FlagValues

from experiments import cli
from experiments.profiling.ceilings import ceilings
from experiments.profiling.loops import interleaved
from experiments.profiling.summary import of_part, timing, total
from experiments.profiling.tables import table
from experiments.profiling.training import device_runs, fit_runs
from experiments.profiling.work import Work, segment_work, shapes_of, step_work
from experiments.provenance import provenance
from experiments.runtime import start_jax
from experiments.workdir import Workdir
from sgns_jax.config import Config
from sgns_jax.types import InputError

SCRIPT = cli.Script(__doc__)
#: The settings that change what a step has to do.
SETTINGS = (
    "dim", "window", "subsample", "optimizer", "block_size", "noise_words",
    "blocks_per_step", "product_dtype", "loss_every", "segment_tokens",
)  # fmt: skip
SCRIPT.define_config(SETTINGS)
SCRIPT.define(
    "Run", int, "vocabulary", 70_000, "V, different words of the text.",
    "a whole number >= 2",
)  # fmt: skip
SCRIPT.define(
    "Run", int, "repetitions", 10,
    "Measurements of each part, in turns; the least counts.", "a whole number >= 1",
)  # fmt: skip
SCRIPT.define_workdir("runs/profile")


def main(flags: FlagValues) -> None:
    config = cli.config(flags, start_jax())
    for name, least in (("vocabulary", 2), ("repetitions", 1)):
        if flags[name].value < least:
            raise InputError(
                f"{name} must be a whole number >= {least}, got {flags[name].value}; "
                "--help says what it does"
            )
    workdir = Workdir(flags.workdir)
    result = profile(config, flags.vocabulary, flags.repetitions)
    result = provenance("profile") | result
    workdir.write_json("profile.json", result)
    print(table(result))
    from experiments.profiling import plots  # not before: matplotlib takes a second

    plots.profile(result, workdir.path("profile.png"))
    print(f"\nPicture: {workdir.path('profile.png')}")


def profile(config: Config, vocabulary_size: int, repetitions: int) -> dict:
    """Measures and counts everything that the table and the picture show."""
    counts, segment_T = zipf_text(vocabulary_size, config.segment_tokens)
    runs, kept, steps = device_runs(config, counts, segment_T)
    runs |= fit_runs(config, counts, segment_T)
    limits = ceilings(shapes_of(config), vocabulary_size)
    limit_runs = {name: one.run for name, one in limits.items()}
    seconds = interleaved(runs | limit_runs, repetitions)
    rates = {name: one.amount / min(seconds[name]) for name, one in limits.items()}

    def rows(work: dict[str, Work], tokens: float) -> dict[str, dict]:
        return {n: of_part(seconds[n], tokens, work[n], rates) for n in work}

    work = step_work(shapes_of(config), config.optimizer)
    loss = rows({"loss": work.pop("loss")}, kept / steps * config.loss_every)
    parts = rows(work, kept / steps) | loss
    whole = timing(seconds["whole step"], kept / steps)
    training = timing(seconds["training"], kept)
    return {
        "configuration": {name: getattr(config, name) for name in SETTINGS},
        "vocabulary": vocabulary_size,
        "repetitions": repetitions,
        "steps_per_segment": steps,
        "kept_tokens_per_step": kept / steps,
        "parts": parts,
        "step": {"sum of parts": total([*parts.values()]), "whole step": whole},
        "segment": rows(segment_work(len(segment_T)), kept) | {"training": training},
        "ceilings": {
            name: {f"{one.unit}_per_second": rates[name]}
            for name, one in limits.items()
        },
    }


def zipf_text(vocabulary_size: int, num_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts (V,) of words of which the rarest stands 5 times, and tokens (T,)."""
    counts = 5 * vocabulary_size // np.arange(1, vocabulary_size + 1)
    draws = np.random.default_rng(0)
    tokens = draws.choice(vocabulary_size, num_tokens, p=counts / counts.sum())
    return counts, tokens.astype(np.int32)


if __name__ == "__main__":
    SCRIPT.run(main)
