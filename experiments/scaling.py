"""Question: what do more devices bring, and what do they cost?

    python -m experiments.scaling
    python -m experiments.scaling --part=sync --corpus=FILE --eval_dir=FOLDER

speed: trains on a text of random words on one device, and on more of this machine's
(CPU: cores) in each way that a mesh has, in one process and in several that meet by
loopback, all in turns. Then it times the parts of a step and foresees the words/s on 1
to 1,024 devices from them, from the bytes that a mesh exchanges (sgns_jax.traffic) and
from the speeds of links as their makers state them. On two cores this shows what
sharing costs in arithmetic and in waiting; they share one memory, so that it shows
nothing of a network, and what more than two devices would do is foreseen, not seen.

sync: trains replicas that are merged after every so many steps, and one model, and
compares what their vectors know.

Writes into the work folder:

    scaling.json, scaling.png              of speed
    scaling_sync.json, scaling_sync.png    of sync

A measurement proves nothing: the exit status is 0. Close other programs first.
"""

import sys
from functools import partial
from pathlib import Path

from absl.flags import FlagValues
from tqdm import tqdm

from experiments import cli
from experiments.foreseeing import learning
from experiments.provenance import available_cores, provenance
from experiments.report import check_eval_dir
from experiments.runtime import start_jax
from experiments.spreading import cases, measuring, model, report, syncing
from experiments.workdir import Workdir, read_corpus
from sgns_jax.config import Config
from sgns_jax.types import InputError

SCRIPT = cli.Script(__doc__)
SCRIPT.define(
    "Run", str, "part", "speed", "What is done; each has a result of its own.",
    "speed | sync",
)  # fmt: skip
SCRIPT.define_workdir("runs/scaling")
SCRIPT.define(
    "Speed", int, "dim", 128, "D. More devices than one can share 128 columns than "
    "100.", ">= 1",
)  # fmt: skip
SCRIPT.define("Speed", int, "vocabulary", 70_000, "V, words of the text.", ">= 2")
SCRIPT.define("Speed", int, "tokens", 8_000_000, "Length of the text.", ">= 1000000")
SCRIPT.define("Speed", int, "repetitions", 3, "Measurements of each case.", ">= 1")
SCRIPT.define(
    "Speed", int, "devices", 0,
    "Measure on up to so many devices, 2, 4 and so on; 0: as many as there are cores. "
    "More than there are cores measure only how these take turns.",
    ">= 0",
)  # fmt: skip
SCRIPT.define(
    "Speed", bool, "processes", True,
    "Also measure two processes; on GPUs, which both would take, say no.",
    "true | false",
)  # fmt: skip
SCRIPT.define(
    "Speed", float, "speedup", 100.0,
    "Foresee also devices that are so many times as fast as the one measured, with the "
    "steps of a GPU; 1: none.",
    ">= 1",
)  # fmt: skip
SCRIPT.define(
    "Sync", Path, "corpus", "pydoc", "As that of experiments.train.", "a text"
)
SCRIPT.define(
    "Sync", Path, "eval_dir", "",
    "Word pairs and analogies to score the vectors with, as that of experiments.train. "
    "Empty: only the loss is compared.",
    "a folder",
)  # fmt: skip
SCRIPT.define("Sync", int, "replicas", 8, "Copies of the model.", ">= 2")
SCRIPT.define(
    "Sync", str, "sync_every", "1,4,16,64,256,0",
    "Steps between two merges; 0: a segment.",
    "whole numbers >= 0, commas between",
)  # fmt: skip
SCRIPT.define("Sync", int, "epochs", 2, "Of each training.", ">= 1")
SCRIPT.define("Sync", int, "seeds", 3, "Trainings with each setting.", ">= 1")


def main(flags: FlagValues) -> int | None:
    for name, low in (
        ("dim", 1), ("vocabulary", 2), ("tokens", 1_000_000), ("repetitions", 1),
        ("devices", 0), ("speedup", 1), ("replicas", 2), ("epochs", 1), ("seeds", 1),
    ):  # fmt: skip
        if not flags[name].value >= low:
            raise InputError(f"{name} must be >= {low}, got {flags[name].value}")
    if flags.part not in PARTS:
        raise InputError(f"part must be speed or sync, got {flags.part!r}")
    check_eval_dir(flags.eval_dir)
    try:
        PARTS[flags.part](flags, Workdir(flags.workdir))
    except measuring.MeasurementFailed as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return None


def measure_speed(flags: FlagValues, workdir: Workdir) -> None:
    """Measures, foresees, writes, shows."""
    sizes = {name: flags[name].value for name in ("dim", "vocabulary", "tokens")}
    asked = cases.cases(flags.devices or len(available_cores()), flags.processes)
    with tqdm(total=flags.repetitions * len(asked), leave=False) as bar:

        def tell(title: str) -> None:
            bar.set_description_str(title)
            bar.update()

        measured = measuring.measure(asked, sizes, flags.repetitions, tell)
    # JAX starts here, not before: it would share the device with the trainings.
    config = Config(backend=start_jax(), dim=flags.dim, replicas=1)
    parts = measuring.parts(config, flags.vocabulary, flags.repetitions)
    device = model.Device(config, flags.vocabulary, parts)
    result = provenance("scaling") | sizes | {"repetitions": flags.repetitions}
    result |= {"blocks_per_step": config.blocks_per_step, "parts": parts}
    result["measured"] = [
        case._asdict() | of | {"computing_alone": model.computing_alone(device, case)}
        for case, of in measured.items()
    ]
    result |= model.foresee(device, flags.speedup)
    workdir.write_json("scaling.json", result)
    print(report.speed(result))
    from experiments.spreading import picture  # not before: matplotlib takes a second

    picture.speed(result, workdir.path("scaling.png"))
    print(f"\nPicture: {workdir.path('scaling.png')}")


def measure_sync(flags: FlagValues, workdir: Workdir) -> None:
    """Trains, compares, writes, shows."""
    settings = [syncing.ONE, *settings_of(flags)]
    base = Config(backend=start_jax(), corpus=flags.corpus, epochs=flags.epochs)
    corpus = read_corpus(base, workdir)
    learning.refuse_too_few_pairs(base, corpus.tokens, corpus.vocabulary.counts)
    result = provenance("scaling") | {"epochs": flags.epochs, "seeds": flags.seeds}
    result |= {"replicas": flags.replicas, "runs": []}
    with tqdm(total=flags.seeds * len(settings), leave=False) as bar:
        compare = partial(syncing.compare, base, corpus, settings, flags.seeds)
        for run in compare(flags.eval_dir, bar.set_description_str):
            result["runs"].append(run)
            bar.update()
    result["rows"] = syncing.summarise(result["runs"])
    workdir.write_json("scaling_sync.json", result)
    print(report.sync(result))
    from experiments.spreading import picture  # as above

    picture.sync(result, workdir.path("scaling_sync.png"))
    print(f"\nPicture: {workdir.path('scaling_sync.png')}")


def settings_of(flags: FlagValues) -> list[syncing.Setting]:
    """The settings that ``--sync_every`` names.

    Raises:
      InputError: it names none.
    """
    words = flags.sync_every.split(",")
    if not all(word.isdecimal() for word in words):
        raise InputError(
            f"sync_every must be whole numbers with commas between, like 1,16,0; got "
            f"{flags.sync_every!r}"
        )
    steps = dict.fromkeys(map(int, words))
    return [syncing.Setting(flags.replicas, number) for number in steps]


PARTS = {"speed": measure_speed, "sync": measure_sync}

if __name__ == "__main__":
    SCRIPT.run(main)
