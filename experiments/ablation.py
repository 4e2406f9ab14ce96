"""Question: which K and which noise exponent are best, and is it more than chance?

    python -m experiments.ablation
    python -m experiments.ablation --corpus=wiki.txt --negatives=1,5,20 --seeds=5
    python -m experiments.ablation --dim=50,100,200 --negatives=5
    python -m experiments.ablation --domain=items --corpus=sessions.txt

Trains one model for each point of a grid and each seed. Every setting takes several
values, commas between. Models that differ in K, the exponent, the seed, the learning
rate, subsampling or the half-window rule run in one compiled program.

The loss cannot be compared across K and exponents: it counts K noise terms, drawn from
the noise that is in question. So all models are asked the same: to tell held-out
contexts from fixed candidates, to agree with people (--eval_dir) and with theory; or,
where a line is a session of items, for the next item. Budgets are equal epochs, and
equal floating-point operations of the formula, which for a large K are fewer epochs.
Differences to the reference, K = 5 and 0.75, are taken seed by seed; a point is better
only where their 95 % interval excludes 0.

Writes into the work folder:

    report.html     question, answer, evidence: one page
    ablation.json   settings, machine, every model
    ablation.csv    a row for each model and measure
    statistics.csv  a row for each point and measure: mean, difference, intervals
    *.png           maps of K and exponent, and curves, for each measure
    models.json     the models measured so far, where the same command goes on
"""

import dataclasses
import time
from pathlib import Path

from absl.flags import FlagValues

from experiments import cli
from experiments.ablating import (
    exam,
    page,
    pictures,
    records,
    statistics,
    summary,
    training,
)
from experiments.ablating import plan as planning
from experiments.ablating.store import Store
from experiments.foreseeing import learning
from experiments.provenance import provenance
from experiments.report import check_eval_dir
from experiments.runtime import start_jax
from experiments.workdir import Workdir, read_corpus
from sgns_jax.builtin_corpora import is_built_in
from sgns_jax.config import Config
from sgns_jax.types import InputError

NAME = "ablation.json"
#: What differs from the defaults of training: models that train in seconds each, and
#: short segments, for budgets to be cut finely.
DEFAULTS = {
    "negatives": "1,2,5,10,20",
    "noise_exponent": "-0.5,0,0.25,0.5,0.75,1",
    "dim": "32",
    "epochs": "2",
    "segment_tokens": str(2**18),
}
SCRIPT = cli.Script(__doc__, again="goes on with the models that are left")
SCRIPT.define_config(planning.READING)
for _name in planning.SWEPT:
    _field = Config.__dataclass_fields__[_name]
    _setting, _default = _field.metadata["setting"], DEFAULTS.get(_name, _field.default)
    SCRIPT.define(
        f"{_setting.group} (several values, commas between, are compared)",
        str, _name, planning.written(_default), _setting.meaning, _setting.needs,
    )  # fmt: skip
SCRIPT.define(
    "Run", str, "domain", "words",
    "What the text is made of: words; or items, a session a line, where the window is "
    "the whole session, every item counts (min_count 1) and nothing is subsampled, if "
    "their flags do not say otherwise, and the next item is what is asked for.",
    "words | items",
)  # fmt: skip
SCRIPT.define(
    "Run", int, "seeds", 3, "Models at each point of the grid: seeds 0, 1, …", ">= 1"
)
SCRIPT.define(
    "Run", str, "budgets", ",".join(planning.BUDGETS),
    "What is equal: the epochs, or the floating-point operations of the formula, 6 D "
    "(1 + K) a pair, to those of the reference. Both are reported.",
    "epochs | flops, commas between",
)  # fmt: skip
SCRIPT.define(
    "Run", Path, "eval_dir", "",
    "Folder with files of word pairs and of analogies to score the vectors with, as "
    "for experiments.train. Empty: none.",
    "a folder",
)  # fmt: skip
SCRIPT.define(
    "Run", int, "restrict_vocabulary", 30_000,
    "Answer analogies among so many of the most frequent words.", ">= 1",
)  # fmt: skip
SCRIPT.define(
    "Run", int, "models_at_once", 0,
    "Models that a device trains side by side; 0: as many as memory holds, one for "
    "each core of a CPU, where more are slower.", ">= 0",
)  # fmt: skip
SCRIPT.define(
    "Run", float, "memory_gb", 0.0,
    "Memory that models may take, of a device or a CPU's machine; 0: three quarters.",
    ">= 0",
)  # fmt: skip
SCRIPT.define_workdir("runs/ablation")


def main(flags: FlagValues) -> None:
    started = time.perf_counter()
    plan = planning.make_plan(flags, start_jax())
    check(flags)
    workdir = Workdir(flags.workdir)
    corpus = read_corpus(plan.base, workdir)
    if flags.domain == "items" and not flags["window"].present:
        plan = planning.with_whole_sessions(plan, corpus.longest_sentence)
    for config in dict.fromkeys(run.config for run in plan.runs()):
        learning.refuse_too_few_pairs(config, corpus.tokens, corpus.vocabulary.counts)
    text, questions = exam.prepare(flags, corpus)
    sizes = text.counts_V, len(text.tokens_T), corpus.longest_sentence
    jobs = planning.jobs(plan, *sizes)
    head = provenance("ablation") | {"text": exam.about(flags, corpus, text)}
    store = Store(workdir, head)
    limits = training.Limits(flags.models_at_once, flags.memory_gb)
    training.train_all(list(dict.fromkeys(jobs)), text, questions, store, limits)
    result = head | outcome(plan, jobs, questions, store)
    conclude(result | {"total_seconds": time.perf_counter() - started}, workdir)


def check(flags: FlagValues) -> None:
    """Refuses values of the flags that are no settings of a model.

    Raises:
      InputError: one is out of its range.
    """
    if flags.domain not in ("words", "items"):
        raise InputError(f"domain must be words or items, got {flags.domain!r}")
    if flags.domain == "items" and is_built_in(flags.corpus):
        raise InputError(
            f"domain items needs sessions, the corpus {flags.corpus} is text; give a "
            "file with --corpus, or make one: python -m experiments.sessions"
        )
    lowest = {"seeds": 1, "restrict_vocabulary": 1, "models_at_once": 0, "memory_gb": 0}
    for name, low in lowest.items():
        if not flags[name].value >= low:
            raise InputError(f"{name} must be >= {low}, got {flags[name].value}")
    check_eval_dir(flags.eval_dir)


def outcome(
    plan: planning.Plan, jobs: list, questions: exam.Exam, store: Store
) -> dict:
    """What was asked, and what became of it; seconds are those of every sitting."""
    models = [
        {"settings": run.point, "seed": run.config.seed, "budget": run.budget}
        | {n: x for n, x in store.find(job).items() if n != "configuration"}
        for run, job in zip(plan.runs(), jobs, strict=True)
    ]
    return {
        "domain": questions.domain,
        "configuration": dataclasses.asdict(plan.base),
        "grid": plan.grid,
        "reference": plan.reference,
        "seeds": plan.seeds,
        "budgets": plan.budgets,
        "measures": {n: m._asdict() for n, m in questions.measures.items()},
        "models": models,
        "seconds": sum(store.find(job)["seconds"] for job in set(jobs)),
    }


def conclude(result: dict, workdir: Workdir) -> None:
    """Keeps the result with its statistics, draws it, says what it says."""
    workdir.write_json(NAME, result)
    records.write_csv(result, workdir.path("ablation.csv"))
    statistics.write_csv(result, workdir.path("statistics.csv"))
    drawn = pictures.draw(result, workdir.path)
    page.write(result, drawn, workdir.path("report.html"))
    print(summary.table(result))
    print(f"\nReport: {workdir.path('report.html')}")


if __name__ == "__main__":
    SCRIPT.run(main)
