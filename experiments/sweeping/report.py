"""What a sweep found: medians, ratios to the base point, the target, tables."""

import textwrap

from experiments.benchmarking.summary import spread
from experiments.benchmarking.tables import digits
from experiments.sweeping.plan import COMMON, COMMON_WORDS, SETTINGS, Plan, Point

QUANTITIES = (
    "raw_words_per_second kept_words_per_second pairs_per_second "
    "nanoseconds_per_kept_word train_seconds start_seconds table_bytes state_bytes "
    "needed_bytes"
).split()
SMALL, LARGE, NEEDED = 70_000, 1_000_000, 0.6  #: V, V, ratio of raw words/s


def summarise(plan: Plan, runs: list[dict]) -> dict:
    """A row for each value of each curve, and the verdict on the target."""
    curves = {name: _rows(plan, name, runs) for name in plan.curves}
    return {"base": plan.base, "curves": curves, "target": _target(plan, curves)}


def _rows(plan: Plan, name: str, runs: list[dict]) -> list[dict]:
    """Ratios are taken within a repetition: both sides meet the same machine."""
    groups = {value: _of(point, runs) for value, point in plan.curves[name].items()}
    base = groups[plan.base_of(name)]

    def ratio(group: list[dict], rate: str) -> dict:
        pairs = zip(group, base, strict=True)
        return spread([run[rate] / at_base[rate] for run, at_base in pairs])

    return [
        {"value": value, "repetitions": len(group)}
        | {q: spread([run[q] for run in group]) for q in QUANTITIES}
        | {"raw_words_ratio": ratio(group, "raw_words_per_second")}
        | {"kept_words_ratio": ratio(group, "kept_words_per_second")}
        for value, group in groups.items()
    ]


def _of(point: Point, runs: list[dict]) -> list[dict]:
    settings = point.settings().items()
    return [run for run in runs if settings <= run.items()]


def _target(plan: Plan, curves: dict[str, list[dict]]) -> dict | None:
    """What V costs, with the text of all words and of common ones; None if unknown."""

    def ratio(kind: str, curve: str) -> float | None:
        rows = {row["value"]: row for row in curves.get(curve, [])}
        return LARGE in rows and rows[LARGE][f"{kind}_words_ratio"]["median"]

    raw = ratio("raw", "vocabulary")
    if not raw or plan.base["vocabulary"] != SMALL:
        return None
    return {
        "vocabulary": LARGE,
        "against_vocabulary": SMALL,
        "needed_ratio": NEEDED,
        "raw_words_ratio": raw,
        "kept_words_ratio": ratio("kept", "vocabulary"),
        "kept_common_words_ratio": ratio("kept", COMMON),
        "reached": raw >= NEEDED,
    }


_HEAD = """\
        million words/s     ns per  million     kept words/s,   memory, MB start
             raw   kept  kept word  pairs/s     ratio to base tables    all    s"""
_NOTES = (
    "Raw: all words of the text; kept: those that subsampling leaves, their share "
    "depends on V. All: what training needs at most, replicas and the optimiser's "
    "numbers with it. Start: sampling tables, first vectors, and compiling if the "
    "program was not kept from before."
)


def tables(result: dict) -> str:
    """The whole report, at most 80 columns wide."""
    base = ", ".join(f"{name} {value}" for name, value in result["base"].items())
    about = f"Medians (and ranges) on {result['device']}. Base: {base}."
    curves = [_table(name, rows) for name, rows in result["curves"].items()]
    verdict = [_verdict(result["target"])] if result["target"] else []
    first, *notes = (textwrap.fill(note, 80) for note in (about, _NOTES, *verdict))
    return "\n\n".join([first, *curves, *notes])


def _table(name: str, rows: list[dict]) -> str:
    about = SETTINGS["vocabulary" if name == COMMON else name][0]
    if name == COMMON:
        about += f"; text of the {COMMON_WORDS:,} most frequent alone"
    return "\n".join([about, _HEAD, *map(_line, rows)])


def _line(row: dict) -> str:
    value = row["value"] if isinstance(row["value"], str) else f"{row['value']:,}"
    median = {quantity: row[quantity]["median"] for quantity in QUANTITIES}
    ratio, low, high = (
        f"{row['kept_words_ratio'][part]:.2f}" for part in ("median", "min", "max")
    )
    ratio += f" ({low}–{high})" if low != high else ""
    raw, kept, pairs = (
        digits(median[f"{what}_per_second"] / 1e6)
        for what in ("raw_words", "kept_words", "pairs")
    )
    tables, all_ = (median[f"{what}_bytes"] / 1e6 for what in ("table", "needed"))
    return (
        f"{value:>9}{raw:>7}{kept:>7}{median['nanoseconds_per_kept_word']:>11,.0f}"
        f"{pairs:>9}{ratio:>18}"
        f"{tables:>7,.0f}{all_:>7,.0f}{digits(row['start_seconds']['max']):>5}"
    )


def _verdict(target: dict) -> str:
    return (
        f"Target: words/s at V = {LARGE:,} at least {NEEDED} of those at {SMALL:,}. "
        f"{'Met' if target['reached'] else 'Not met'}: {target['raw_words_ratio']:.2f} "
        f"(kept words/s: {target['kept_words_ratio']:.2f}). With the text of common "
        "words, whose steps do the same work on the same rows at every V, kept words/s "
        f"are {target['kept_common_words_ratio']:.2f} of those at {SMALL:,}. What that "
        "text loses is outside of steps, where replicas are merged; what the other one "
        "loses beyond it are cache misses."
    )
