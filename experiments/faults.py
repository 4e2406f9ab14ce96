"""Question: what does a training survive, and how large may its text be?

    python -m experiments.faults --part=soak --minutes=60
    python -m experiments.faults --part=large --gigabytes=20
    python -m experiments.faults --part=cost
    python -m experiments.faults --part=texts --corpus=FILE_OR_FOLDER

soak: trains on a text that has everything a reader must cope with, once left alone,
then again and again disturbed: killed, asked to stop or interrupted at random times,
checkpoints or the encoded text damaged when the process has gone. The same command
goes on each time, until the vectors are there; they must be those of the training
left alone, byte for byte.

large: makes a text with Zipf's law, counts, encodes and trains on it in a process
whose data may take no more than --limit_gigabytes, and compares the words/s with those
of the text's first part, which fits in memory; both train in turns, 10 seconds each.

cost: trains with a checkpoint a second and with none, in turns, and says what one
costs of the minute that is between two by default.

texts: reads each file, and each row of a .tsv file, and compares words, lines and bytes
with those that a few lines of Python find; then writes the words as vectors in each
format and reads them again.

Trainings are processes of experiments.train, as a user starts them. Writes into the
work folder:

    faults_PART.json            every sitting or text, and the verdicts
    faults_soak.png             rounds done and memory over time

The exit status is 0 if every verdict holds. Close other programs first.
"""

import shutil
import sys
import time
from pathlib import Path

from absl.flags import FlagValues
from tqdm import tqdm

from experiments import cli
from experiments.faulting import (
    cost,
    large,
    picture,
    reading,
    report,
    soak,
    verdicts,
    zipf,
)
from experiments.faulting.child import TrainingFailed
from experiments.provenance import provenance
from experiments.workdir import Workdir
from sgns_jax.builtin_corpora import BUILT_IN, is_built_in
from sgns_jax.types import InputError

SCRIPT = cli.Script(__doc__)
SCRIPT.define(
    "Run", str, "part", "soak", "What is done; each has a result of its own.",
    "soak | large | cost | texts",
)  # fmt: skip
SCRIPT.define(
    "Run", int, "seed", 0, "Of the texts, and of times and kinds of faults.", ">= 0"
)
SCRIPT.define_workdir("runs/faults")
SCRIPT.define(
    "Soak", float, "minutes", 60.0,
    "How long faults are done. A quarter of it before, and at most as much after, the "
    "training is left alone; 30 or more tell whether memory grows.",
    ">= 1",
)  # fmt: skip
SCRIPT.define(
    "Soak", float, "checkpoint_seconds", 5.0, "As that of experiments.train.", "> 0"
)
SCRIPT.define("Large", float, "gigabytes", 20.0, "Size of the text.", ">= 0.1")
SCRIPT.define(
    "Large", float, "limit_gigabytes", 3.0,
    "What the data of the process may take, as ulimit -d has it.",
    ">= 0.5",
)  # fmt: skip
SCRIPT.define(
    "Large", float, "train_minutes", 6.0,
    "How long each text is trained on, in all; then training is asked to stop.",
    "> 0",
)  # fmt: skip
SCRIPT.define(
    "Cost, texts", Path, "corpus", "pydoc", "As that of experiments.train.",
    "a text; several for texts",
)  # fmt: skip
SCRIPT.define("Cost, texts", int, "epochs", 10, "Of cost.", ">= 1")


def main(flags: FlagValues) -> int:
    for name, low in (
        ("minutes", 1), ("checkpoint_seconds", 0.01), ("gigabytes", 0.1),
        ("limit_gigabytes", 0.5), ("train_minutes", 0.01), ("seed", 0), ("epochs", 1),
    ):  # fmt: skip
        if not flags[name].value >= low:
            raise InputError(f"{name} must be >= {low}, got {flags[name].value}")
    if flags.part not in PARTS:
        raise InputError(f"part must be soak, large, cost or texts, got {flags.part!r}")
    try:
        holds = PARTS[flags.part](flags, Workdir(flags.workdir))
    except TrainingFailed as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0 if holds else 1


def run_soak(flags: FlagValues, workdir: Workdir) -> bool:
    """Trains left alone, then disturbed; do all verdicts hold?"""
    asked = 60 * flags.minutes
    total = round(asked * (1 + soak.UNDISTURBED))
    with tqdm(total=total, unit="s", leave=False, desc="measuring") as bar:

        def tick():
            bar.update(min(round(bar.format_dict["elapsed"]), total) - bar.n)

        command = soak.prepare(
            workdir.path("soak"), flags.seed, flags.checkpoint_seconds, bar.refresh
        )
        pace = soak.measure(command)
        epochs = max(2, round(soak.UNDISTURBED * asked / pace["epoch_seconds"]))
        command = command._replace(
            flags=[*command.flags, f"--epochs={epochs}"], tick=tick
        )
        bar.reset()
        bar.set_description("left alone")
        reference = soak.undisturbed(command, "undisturbed")
        bar.set_description("with faults")
        result = soak.disturbed(command, reference, pace, asked, flags.seed)
    # JAX starts here, not before: it would share the device with the trainings.
    result = provenance("faults") | result
    settings = [flag for flag in command.flags if not flag.startswith("--corpus=")]
    result |= {"seed": flags.seed, "train_flags": settings, "undisturbed": reference}
    result["verdicts"] = [one._asdict() for one in verdicts.of_soak(result)]
    del reference["metrics"]  # as long as the training
    workdir.write_json("faults_soak.json", result)
    picture.draw(result, workdir.path("faults_soak.png"))
    print(report.soak(result))
    print(f"\nPicture: {workdir.path('faults_soak.png')}")
    return all(one["holds"] for one in result["verdicts"])


def run_large(flags: FlagValues, workdir: Workdir) -> bool:
    """Trains on a large text and a small one in turns; do all verdicts hold?"""
    folder, limit = workdir.path("large"), round(1e9 * flags.limit_gigabytes)
    shutil.rmtree(folder, ignore_errors=True)
    sizes = {"large": round(1e9 * flags.gigabytes)}
    sizes["small"] = min(large.SMALL_BYTES, sizes["large"] // 2)
    cases = tuple(
        large.Case(
            name, Path(folder, f"{name}.txt"), Workdir(folder / name),
            limit if name == "large" else None,
        )
        for name in sizes
    )  # fmt: skip
    large.check_disk(folder, sum(sizes.values()))
    text_seconds = {
        case.name: write_text(case.text, sizes[case.name], flags.seed) for case in cases
    }
    with tqdm(bar_format="{desc}, {elapsed} in all", leave=False) as bar:
        measured = large.compare(
            cases, 60 * flags.train_minutes, bar.set_description_str
        )
    result = provenance("faults") | {"seed": flags.seed, "limit_bytes": limit}
    result |= {"texts": sizes, "text_seconds": text_seconds}
    result |= {"train_flags": large.FLAGS} | measured | large.summarise(measured)
    result["verdicts"] = [one._asdict() for one in verdicts.of_large(result)]
    workdir.write_json("faults_large.json", result)
    for case in cases:  # tens of gigabytes that nobody needs any more
        case.text.unlink()
        shutil.rmtree(case.workdir.path("corpus"))
    print(report.large(result))
    return all(one["holds"] for one in result["verdicts"])


def run_cost(flags: FlagValues, workdir: Workdir) -> bool:
    """Trains with many checkpoints and with none in turns; is one cheap enough?"""
    train_flags = [f"--corpus={flags.corpus}", f"--epochs={flags.epochs}"]
    with tqdm(bar_format="{desc}, {elapsed} in all", leave=False) as bar:
        sittings = cost.compare(
            train_flags, workdir.path("cost"), bar.set_description_str
        )
    result = provenance("faults") | {"train_flags": train_flags, "sittings": sittings}
    result |= cost.summarise(sittings)
    result["verdicts"] = [one._asdict() for one in verdicts.of_cost(result)]
    workdir.write_json("faults_cost.json", result)
    print(report.cost(result))
    return all(one["holds"] for one in result["verdicts"])


def run_texts(flags: FlagValues, workdir: Workdir) -> bool:
    """Reads every text; do all verdicts hold?"""
    folder = workdir.path("texts")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    built_in = is_built_in(flags.corpus)
    source = str(BUILT_IN[flags.corpus]()) if built_in else flags.corpus
    records = []
    with tqdm(unit=" texts", leave=False, desc="reading") as bar:
        for file, row, path in reading.texts(source, folder):
            bar.set_postfix_str(f"{file} {row}")
            names = {"file": file, "row": row}
            records.append(names | reading.check(path, folder / "read"))
            bar.update()
    shutil.rmtree(folder)
    result = provenance("faults") | {"files": reading.summarise(records)}
    result["verdicts"] = [one._asdict() for one in verdicts.of_texts(result["files"])]
    workdir.write_json("faults_texts.json", result)
    print(report.texts(result))
    return all(one["holds"] for one in result["verdicts"])


def write_text(path: Path, num_bytes: int, seed: int) -> float:
    """Makes a text, with a bar; the seconds it took."""
    began = time.perf_counter()
    with tqdm(
        total=num_bytes, unit="B", unit_scale=True, leave=False, desc="making a text"
    ) as bar:
        zipf.write(path, num_bytes, seed, lambda written: bar.update(written - bar.n))
    return time.perf_counter() - began


PARTS = {"soak": run_soak, "large": run_large, "cost": run_cost, "texts": run_texts}

if __name__ == "__main__":
    SCRIPT.run(main)
