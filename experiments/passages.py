"""What the READMEs say of results: a function for each passage."""

import textwrap
from collections.abc import Callable

import numpy as np

from experiments import fuzz, sessions, side_by_side
from experiments.ablating import statistics
from experiments.ablating import summary as ablation_summary
from experiments.benchmarking import tables as benchmark_tables
from experiments.faulting import report as faults_report
from experiments.laboratory import text as laboratory_text
from experiments.profiling import tables as profile_tables
from experiments.report import neighbour_table
from experiments.spreading import report as spreading_report
from experiments.sweeping import report as sweep_report


def first_run(runs: list[dict]) -> str:
    """What the command without flags takes and shows."""
    (run,) = runs
    times = (
        f"On {run['machine']}: {run['reading_seconds']:.0f} s to read the "
        f"documentation ({run['raw_words'] / 1e6:.1f} million words) the first time, "
        f"{run['compile_seconds']:.0f} s to compile, {run['train_seconds']:.0f} s to "
        f"train ({run['words_per_second'] / 1e6:.1f} million words/s)."
    )
    neighbours = neighbour_table(run["neighbours"])
    return f"{textwrap.fill(times, 88)}\n\n```\n{neighbours}\n```"


def reading(runs: list[dict]) -> str:
    """How long 100 MB of plain text take to become ids on disk."""
    (run,) = runs
    return (
        f"{run['raw_words'] / 1e6:.1f} million words in {run['reading_seconds']:.1f} s "
        f"({run['machine']})."
    )


def sweep(runs: list[dict]) -> str:
    """Speed against the sizes of the model, as the commands print it."""
    return "\n\n".join(_printed(sweep_report.tables(run)) for run in runs)


def ablation(runs: list[dict]) -> str:
    """The answer on K and the noise exponent for words, as the command prints it."""
    (run,) = runs
    shown = "mrr_uniform_calibrated", "men3000", "simlex999", "questions-words"
    return _printed(ablation_summary.table(run, shown))


def ablation_by_default(runs: list[dict]) -> str:
    """What the command without flags takes."""
    (run,) = runs
    return textwrap.fill(
        f"On {run['machine']}: {len(run['models'])} models in "
        f"{run['total_seconds'] / 60:.0f} minutes.",
        88,
    )


def ablation_of_sharing(runs: list[dict]) -> str:
    """K where pairs share noise words and where each has its own, a row a point."""
    (run,) = runs
    names = statistics.headlines(run)
    titles = " | ".join(run["measures"][name]["title"] for name in names)
    rows = [f"| noise words | K | {titles} |", "| --- " * (2 + len(names)) + "|"]
    for cells in zip(*(statistics.group(run, n, "epochs") for n in names), strict=True):
        point = cells[0]["settings"]
        shown = (
            f"{cell['mean']:.4f} ± {statistics.half_width(cell):.4f} {cell['verdict']}"
            for cell in cells
        )
        mode, K = point["negatives_mode"], point["negatives"]
        rows.append(f"| {mode} | {K} | {' | '.join(map(str.strip, shown))} |")
    head, points = rows[:2], sorted(rows[2:], key=lambda row: "independent" in row)
    return "\n".join([*head, *points])


def ablation_of_items(runs: list[dict], laws: list[dict]) -> str:
    """The same for items of sessions, and the ceiling that their law sets."""
    (run,), (made,) = runs, laws
    shown = "hit10_cosine", "hit10_score", "hit10_score_tail"
    return _printed(f"{sessions.summary(made)}\n\n{ablation_summary.table(run, shown)}")


def _printed(text: str) -> str:
    return f"```\n{text}\n```"


_SCORES = "WordSim-353 | MEN | SimLex-999 | analogies |"
_FORMS = "{:.3f}", "{:.3f}", "{:.3f}", "{:.1f}"


def quality(runs: list[dict]) -> str:
    """Speed and scores of the recorded runs on enwiki15, a row a seed."""
    rows = [f"| seed | words/s | memory | {_SCORES}", "| --- " * 7 + "|"]
    for run in runs:
        scores = map(str.format, _FORMS, _scores(run))
        rows.append(
            f"| {run['seed']} | {run['words_per_second'] / 1e6:.2f} M "
            f"| {run['peak_memory_bytes'] / 1e9:.2f} GB | {' | '.join(scores)} % |"
        )
    return "\n".join(rows)


def variants(defaults: list[dict], others: list[dict]) -> str:
    """Mean scores over seeds ± their standard deviation, a row a configuration."""
    rows = [f"| changed | {_SCORES}", "| --- " * 5 + "|"]
    (usual,) = map(dict, _by_settings(defaults))
    for settings, runs in _by_settings(defaults + others).items():
        given = dict(settings)
        changed = [
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in given.items()
            if value != usual[name]
        ]
        scores = [_scores(run) for run in runs]
        mean, spread = np.mean(scores, axis=0), np.std(scores, axis=0, ddof=1)
        cells = (
            f"{form.format(m)} ± {form.format(s)}"
            for form, m, s in zip(_FORMS, mean, spread, strict=True)
        )
        rows.append(f"| {', '.join(changed) or 'nothing'} | {' | '.join(cells)} % |")
    return "\n".join(rows)


def _by_settings(runs: list[dict]) -> dict[tuple, list[dict]]:
    """Runs that differ in nothing but the seed, together."""
    groups = {}
    for run in runs:
        settings = {k: v for k, v in run["configuration"].items() if k != "seed"}
        groups.setdefault(tuple(settings.items()), []).append(run)
    return groups


def _scores(run: dict) -> tuple[float, ...]:
    """WordSim-353, MEN, SimLex-999, and analogies in percent."""
    score = {s["name"]: s for s in run["evaluation"]}
    similarity = (score[name]["rho"] for name in ("wordsim353", "men3000", "simlex999"))
    return *similarity, 100 * score["questions-words"]["total"]["accuracy"]


def gradient(runs: list[dict]) -> str:
    """The laboratory's largest errors, a row a quantity."""
    (run,) = runs
    worst = {(c["quantity"], c["dtype"], c["against"]): c for c in run["worst"]}
    verdict = "all hold" if run["all_hold"] else "NOT all hold"
    columns = [
        ("float64", "jax.grad", "error"),
        ("float64", "50 digits", "error"),
        ("float64", "50 digits", "bound"),
        ("float32", "50 digits", "ulps"),
        ("bfloat16", "50 digits", "ulps"),
        ("float16", "50 digits", "ulps"),
    ]
    rows = [
        "| gradient of | float64: jax.grad | 50 digits | its bound "
        "| float32, ulp | bfloat16, ulp | float16, ulp |",
        "| --- " * 7 + "|",
    ]
    for quantity in dict.fromkeys(
        q for q, _, against in worst if against == "jax.grad"
    ):
        cells = []
        for dtype, against, part in columns:
            one = worst.get((quantity, dtype, against))
            form = ".1f" if part == "ulps" else ".1e"
            cells.append(format(one[part], form) if one else "")
        rows.append(f"| {quantity} | {' | '.join(cells)} |")
    return (
        f"{run['comparisons']:,} comparisons in {run['total_seconds']:.0f} s "
        f"({run['machine']}): {verdict}.\n\n" + "\n".join(rows)
    )


def mutants(runs: list[dict]) -> str:
    """Which wrong derivation is caught by what, and how large its error is."""
    (run,) = runs
    heads = "mutant", "what is wrong", "outcome", "caught by", "error, bound"
    rows = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for one in run["mutants"]:
        by = ", ".join(name.removesuffix(" keep") for name in one["caught_by"])
        error = ""
        if clearest := one["clearest"]:
            error = (
                f"{clearest['error']:.1e}, {clearest['bound']:.0e} "
                f"({clearest['quantity'].removesuffix(' keep')})"
            )
        cells = one["mutant"], one["about"], one["outcome"], by, error
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + f"\n\n{laboratory_text.count(run['mutants'])}"


def walkthrough(runs: list[dict]) -> str:
    """The article's numbers, the right ones, and the verdict."""
    (run,) = runs
    rows = ["| quantity | the article | right | verdict | cause |", "| --- " * 5 + "|"]
    for one in run["rows"]:
        right = [
            x if x.startswith("[") else f"{float(x):.6f}" for x in one["fifty_digits"]
        ]
        name = f"{one['quantity']}, {one['iteration']}"
        rows.append(
            f"| {name if one['iteration'] else one['quantity']} "
            f"| {', '.join(one['article']) or 'nothing'} | {', '.join(right)} "
            f"| {one['verdict'] or ''} | {one['cause'] or ''} |"
        )
    return "\n".join(rows)


def estimator(runs: list[dict]) -> str:
    """Every check of the estimator's statistics, and what its variance says."""
    (run,) = runs
    rows = ["| check | measured | bound | holds |", "| --- " * 4 + "|"]
    for one in run["checks"]:
        section = one["section"].split(":")[0].split(",")[0]
        holds = "yes" if one["holds"] else "NO"
        rows.append(
            f"| {section}: {one['what'].strip()} | {one['measured']:.2g} "
            f"| {one['relation']} {one['bound']:.2g} | {holds} |".replace("|z|", "z")
        )
    settings = run["configuration"]
    K, C = settings["negatives"], settings["block_size"]
    return "\n".join(rows) + (
        f"\n\nAt vectors of one epoch of {settings['corpus']}, "
        f"{run['equal_noise_words']:.0f} noise words shared by a block of {C} centres "
        f"have the variance of K = {K} words for each of its "
        f"{run['pairs_of_the_block']} pairs."
    )


def factorization(runs: list[dict]) -> str:
    """How near training comes to s*, a row a setting."""
    (run,) = runs
    rows = [
        "| rule | α | K | iterations to 1e-4 | largest error of s "
        "| largest score of an unseen pair |",
        "| --- " * 6 + "|",
    ]
    for one in run["rows"]:
        rows.append(
            f"| {one['collisions']} | {one['noise_exponent']:g} | {one['negatives']} "
            f"| {one['iterations_to_bound'] or 'never'} | {one['largest_error']:.1e} "
            f"| {one['largest_unseen_score']:.1f} |"
        )
    pmi = run["pmi"]
    return "\n".join(rows) + (
        "\n\nWhere context counts make the noise and α = 1, s\\* is PMI − log K: "
        f"they differ by {pmi['difference']:.0e} (rounding allows {pmi['bound']:.0e})."
    )


def as_printed(table: Callable[[dict], str]) -> Callable[[list[dict]], str]:
    """A passage that is what a command prints of its one result."""

    def passage(runs: list[dict]) -> str:
        (run,) = runs
        return _printed(table(run))

    return passage


#: What makes a passage, and the results that it takes.
PASSAGES = {
    "any_text": (as_printed(faults_report.texts), "faults_texts.json"),
    "benchmark": (as_printed(benchmark_tables.table), "benchmark.json"),
    "checkpoint_cost": (as_printed(faults_report.cost), "faults_cost.json"),
    "large_text": (as_printed(faults_report.large), "faults_large.json"),
    "fuzzing": (as_printed(lambda run: fuzz.report(run["runs"])), "fuzz.json"),
    "many_models": (as_printed(side_by_side.table), "side_by_side.json"),
    "soak": (as_printed(faults_report.soak), "faults_soak.json"),
    "scaling": (as_printed(spreading_report.speed), "scaling.json"),
    "scaling_sync": (as_printed(spreading_report.sync), "scaling_sync.json"),
    "profile": (as_printed(profile_tables.table), "profile.json"),
    "ablation": (ablation, "ablation_enwiki15.json"),
    "ablation_by_default": (ablation_by_default, "ablation_pydoc.json"),
    "ablation_of_items": (ablation_of_items, "ablation_sessions.json", "sessions.json"),
    "ablation_of_sharing": (ablation_of_sharing, "ablation_sharing.json"),
    "estimator": (estimator, "estimator.json"),
    "factorization": (factorization, "factorization.json"),
    "gradient": (gradient, "gradient_check.json"),
    "mutants": (mutants, "mutants.json"),
    "walkthrough": (walkthrough, "walkthrough.json"),
    "first_run": (first_run, "train_pydoc.json"),
    "reading": (reading, "read_enwiki15_plain.json"),
    "sweep": (sweep, "sweep*.json"),
    "quality": (quality, "train_enwiki15_seed*.json"),
    "variants": (variants, "train_enwiki15_seed*.json", "train_enwiki15_with_*.json"),
}
