"""Question: how fast and how good is this library beside what people use?

    python -m experiments.benchmark
    python -m experiments.benchmark --corpus=enwiki15-100mb.xz --eval_dir=eval

Trains word vectors with sgns_jax, gensim (Word2Vec, skip-gram, corpus_file) and
fastText (skip-gram without subwords): the same plain text, settings and cores,
each training in a process of its own. In every repetition each program trains
with all epochs and with each smaller budget, in turns, so that whatever else
the machine does meets all of them. The seed is the number of the repetition, a
learning rate each program's own default. Writes into the work folder:

    benchmark.json           every run, medians, ratios, targets
    speed.png                speed, time and memory of every run
    quality_by_training.png  the measures of quality against training time
    quality_by_time.png      and against the time from start to vectors
    text.txt                 the text, 1,000 words a line
    runs/                    what each run printed and said of itself

Exit status 1 if a program fails or leaves out a part of the text. A target that
is not met is a result and no failure. The same command on the same folder goes
on after an interruption. Close other programs first.
"""

import sys
from pathlib import Path

import jax
from absl.flags import FlagValues
from tqdm import tqdm

from experiments import cli
from experiments.benchmarking import plan, plots, records, running, tables, texts
from experiments.benchmarking.programs import PROGRAMS, Task, version
from experiments.benchmarking.summary import summarise
from experiments.provenance import provenance
from experiments.workdir import Workdir
from sgns_jax.config import Config
from sgns_jax.evaluation import SimilarityScore, evaluate_folder, to_json
from sgns_jax.vectors import WordVectors

SCRIPT = cli.Script(__doc__, again="goes on with the runs that are left")
# The seed is the number of the repetition; peers do not have the other two.
_LEFT_OUT = ("seed", "max_vocabulary", "sentence_length")
SCRIPT.define_config(Config.__dataclass_fields__.keys() - _LEFT_OUT)
SCRIPT.define(
    "Run", str, "programs", ",".join(PROGRAMS),
    "What to compare; a program that is not installed is left out.",
    "names, commas between",
)  # fmt: skip
SCRIPT.define(
    "Run", int, "threads", 0,
    "Cores that each program gets, and threads that peers are told to use.",
    "1 to the number of cores; 0: all",
)  # fmt: skip
SCRIPT.define("Run", int, "repetitions", 3, "Trainings of each kind.", ">= 1")
SCRIPT.define(
    "Run", str, "curve_epochs", "1,2,3",
    "Smaller budgets of epochs to train with, too: quality against time. Those not "
    "below --epochs are left out.",
    "whole numbers >= 1, commas between; or empty",
)  # fmt: skip
SCRIPT.define(
    "Run", Path, "eval_dir", "",
    "Folder with the measures of quality: wordsim353.tsv, men3000.tsv, simlex999.tsv "
    "(word, word, score) and questions-words.txt (analogies). Empty: none.",
    "a folder",
)  # fmt: skip
SCRIPT.define(
    "Run", int, "restrict_vocabulary", 30_000,
    "Answer analogies among so many of the most frequent words.", ">= 1",
)  # fmt: skip
SCRIPT.define_workdir("runs/benchmark")


def main(flags: FlagValues) -> int:
    jax.config.update("jax_platforms", "cpu")  # a GPU is for the programs alone
    settings, keys = plan.settings(flags), plan.order(flags)
    config, workdir = cli.config(flags), Workdir(flags.workdir)
    text = texts.prepare(config, workdir)
    result = records.begin(workdir, head(settings, text))
    folder = workdir.path("runs").absolute()
    base = Task("", 0, config, text, settings["threads"], folder)
    try:
        measure(base, keys, result, workdir)
    except running.TrainingFailed as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return conclude(result, keys, workdir)


def head(settings: dict, text: texts.Text) -> dict:
    """Where a result comes from, and what it is about."""
    return provenance("benchmark") | {
        "program_versions": {name: version(name) for name in PROGRAMS},
        "settings": settings,
        "text": {
            "words": text.words,
            "lines": text.lines,
            "vocabulary": len(text.counts),
            "kept_words": int(text.counts.sum()),
            "fingerprint": text.fingerprint,
        },
    }


def measure(base: Task, keys: list[plan.Key], result: dict, workdir: Workdir) -> None:
    """Does the runs that are left, and records each as soon as it is done."""
    done = set(map(records.key, result["runs"])) & set(keys)
    left = [key for key in keys if key not in done]

    def words(keys):
        return base.text.words * sum(epochs for _, epochs, _ in keys)

    with tqdm(
        total=words(keys), initial=words(done), unit="word", unit_scale=True,
        desc="warming up", leave=False,
    ) as bar:  # fmt: skip
        running.warm_up(base, dict.fromkeys(program for program, _, _ in left))
        for key in left:
            bar.set_description("{}, epochs: {}".format(*key))
            task = running.task_for(base, *key)
            run = running.run(task)
            run["scores"] = scores(task, result["settings"])
            running.clear(task)
            result["runs"].append(run)
            workdir.write_json(records.NAME, result)
            bar.write(tables.one_run(run), file=sys.stdout)
            bar.update(words([key]))


def scores(task: Task, settings: dict) -> dict[str, dict]:
    """Every measure of quality of a training's vectors, with how much it covers."""
    if not settings["eval_dir"]:
        return {}
    vectors, found = WordVectors.load(task.folder / "vectors.txt"), {}
    arguments = settings["eval_dir"], settings["restrict_vocabulary"]
    for one in evaluate_folder(vectors, *arguments):
        whole = one if isinstance(one, SimilarityScore) else one.total
        score = one.rho if whole is one else whole.accuracy
        found[one.name] = {"score": to_json(score), "covered": whole.covered}
    return found


def conclude(result: dict, keys: list[plan.Key], workdir: Workdir) -> int:
    """Sums up, prints and draws; the status is 1 if a program left words out."""
    runs = [run for run in result["runs"] if records.key(run) in keys]
    result |= summarise(runs, result["settings"]["epochs"])
    workdir.write_json(records.NAME, result)
    print(tables.table(result))
    draw(result, runs, workdir)
    missed = {r["program"]: r["words_missed"] for r in runs if r["words_missed"]}
    for program, words in missed.items():
        print(f"FAILED: {program} saw {words}")
    return 1 if missed else 0


def draw(result: dict, runs: list[dict], workdir: Workdir) -> None:
    """The pictures; those of quality only where all four measures were taken."""
    full = [run for run in runs if run["epochs"] == result["settings"]["epochs"]]
    plots.speed(full, workdir.path("speed.png"))
    names = ["speed.png"]
    if all(None not in row["scores"].values() for row in result["summary"]):
        for name, seconds in (
            ("quality_by_training.png", "train_seconds"),
            ("quality_by_time.png", "end_to_end_seconds"),
        ):
            plots.quality(result["summary"], seconds, workdir.path(name))
            names.append(name)
    print(f"\nPictures: {', '.join(names)} in {workdir.path('')}")


if __name__ == "__main__":
    SCRIPT.run(main)
