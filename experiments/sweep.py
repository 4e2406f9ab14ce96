"""Question: how does the speed depend on the sizes of the model?

    python -m experiments.sweep
    python -m experiments.sweep --sweeps=blocks_per_step,product_dtype

Trains on words drawn at random as natural text has them, at a base point and
with one setting after another changed: all points in turn, then again. Words/s
are of the text (raw), and of the words that subsampling keeps: their share
depends on V, and a kept word is the same work at every V. Each V is measured a
second time with a text of the 10,000 most frequent words alone. Its steps read
the same rows of larger tables: it slows down only by what is not a step, the
merging of replicas, and what the first text loses beyond it are cache misses.
Writes into the work folder:

    sweep.json   every measurement, medians, ratios to the base point
    sweep.png    words/s against each setting

The same command on the same folder goes on after an interruption. A quarter of
an hour on two cores. Close other programs first.
"""

from absl.flags import FlagValues
from tqdm import tqdm

from experiments import cli
from experiments.provenance import provenance
from experiments.room import training_memory
from experiments.runtime import start_jax
from experiments.sweeping import measuring, picture, report
from experiments.sweeping.plan import BASE_VOCABULARY, SETTINGS, Plan, make_plan
from experiments.workdir import Workdir
from sgns_jax.types import InputError

NAME = "sweep.json"
SCRIPT = cli.Script(__doc__, again="goes on with the measurements that are left")
SCRIPT.define(
    "Run", str, "sweeps", "vocabulary,dim,negatives,window",
    "Settings to vary, each by itself. The others stay at the base: the value of a "
    "flag below that gives only one, else what training has by default, and "
    f"{BASE_VOCABULARY:,} words.",
    "names below, commas between",
)  # fmt: skip
for _name, (_meaning, _values) in SETTINGS.items():
    _group = "Values to try, commas between"
    SCRIPT.define(_group, str, _name, _values, f"{_meaning}.", "values")
SCRIPT.define(
    "Run", int, "tokens", 4_000_000,
    "Length of the text of a measurement, longer where a large vocabulary has longer "
    "rounds. It takes four rounds or more, of which the first warms up and is not "
    "timed. Short ones merge replicas too often.",
    ">= 1000",
)  # fmt: skip
SCRIPT.define("Run", int, "repetitions", 3, "Measurements at each point.", ">= 1")
SCRIPT.define(
    "Run", float, "memory_gb", 0.0,
    "Leave out points that need more memory; 0: more than three quarters of the "
    "device's.",
    ">= 0",
)  # fmt: skip
SCRIPT.define_workdir("runs/sweep")


def main(flags: FlagValues) -> None:
    plan = make_plan(flags, start_jax())
    large = take_out_large(plan, flags.memory_gb)
    workdir = Workdir(flags.workdir)
    result = begin(workdir, provenance("sweep") | {"left_out": large})
    runs = measure_all(plan, flags.repetitions, result, workdir)
    result |= report.summarise(plan, runs)
    workdir.write_json(NAME, result)
    picture.draw(result, workdir.path("sweep.png"))
    print(report.tables(result))
    print(f"\nPicture: {workdir.path('sweep.png')}")


def take_out_large(plan: Plan, memory_gb: float) -> list[dict]:
    """Takes points that do not fit the memory out of the plan, and says which.

    Raises:
      InputError: the base is one of them; all others are compared with it.
    """
    limit = 1e9 * memory_gb or 0.75 * training_memory()
    large = [
        {"setting": name, "value": value, "needed_bytes": needed}
        for name, curve in plan.curves.items()
        for value, point in curve.items()
        if (needed := measuring.needed_bytes(point)) > limit
    ]
    for one in large:
        name, value, needed = one.values()
        what = f"{name}={value} needs {needed / 1e9:.2f} GB of memory"
        if value == plan.base_of(name):
            raise InputError(
                f"the base, {what}, the limit is {limit / 1e9:.2f}; give a higher "
                "--memory_gb, or one lower --vocabulary or --dim"
            )
        if name in SETTINGS:  # the same size with the other text needs no line
            print(f"Left out: {what}, the limit is {limit / 1e9:.2f}")
        del plan.curves[name][value]
    return large


def begin(workdir: Workdir, head: dict) -> dict:
    """A result to add measurements to: the head, and those recorded in this folder.

    Raises:
      InputError: the folder has measurements of another version or machine.
    """
    path = workdir.path(NAME)
    old = workdir.read_json(NAME) if path.exists() else head
    for name in ("commit", "device", "machine", "python", "versions"):
        if old.get(name) != head[name]:
            raise InputError(
                f"{path} holds measurements with {name} = {old.get(name)!r}, these "
                f"would have {head[name]!r}; give another --workdir"
            )
    return head | {"measurements": old.get("measurements", [])}


def measure_all(
    plan: Plan, repetitions: int, result: dict, workdir: Workdir
) -> list[dict]:
    """Does the measurements that are left, and records each as soon as it is done.

    Each point comes once in a repetition, so that whatever else the machine does meets
    all of them. Tables are made anew each time: they would not fit side by side, and
    the compiled programs are kept.
    """
    points, runs, asked = plan.points(), result["measurements"], []
    with tqdm(total=repetitions * len(points), desc="measuring", leave=False) as bar:
        for repetition in range(repetitions):
            for point in points:
                key = {"repetition": repetition} | point.settings()
                run = next((run for run in runs if key.items() <= run.items()), None)
                if run is None:
                    run = key | measuring.measure(point)
                    runs.append(run)
                    workdir.write_json(NAME, result)
                asked.append(run)
                bar.update()
    return asked


if __name__ == "__main__":
    SCRIPT.run(main)
