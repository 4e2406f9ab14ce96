"""A benchmark's result for the terminal: at most 80 columns."""

import textwrap
from collections.abc import Callable

from experiments.benchmarking.programs import OURS
from experiments.benchmarking.summary import MEASURES, PEER

Shown = Callable[[float], str]


def digits(number: float) -> str:
    """Short enough for a cell: 0.46, 62.4, 185."""
    decimals = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
    return f"{number:.{decimals}f}"


def _epochs(number: int) -> str:
    return f"{number} epoch{'s' if number > 1 else ''}"


def _scaled(unit: float) -> Shown:
    return lambda value: digits(value / unit)


def _score(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1)


def _ratio(value: float) -> str:
    return f"{value:.1f}"


_ROWS: list[tuple[str, str, Shown]] = [
    ("million words/s", "words_per_second", _scaled(1e6)),
    ("million pairs/s", "pairs_per_second", _scaled(1e6)),
    ("reading and counting, s", "reading_seconds", digits),
    ("compiling, s", "compile_seconds", digits),
    ("training, s", "train_seconds", digits),
    ("start to vectors, s", "end_to_end_seconds", digits),
    ("peak memory, GB", "peak_memory_bytes", _scaled(1e9)),
]


def one_run(run: dict) -> str:
    """A line as soon as a run is done."""
    return (
        f"{run['program']}, {_epochs(run['epochs'])}, seed {run['seed']}: "
        f"{digits(run['words_per_second'] / 1e6)} million words/s, training "
        f"{digits(run['train_seconds'])} s of {digits(run['end_to_end_seconds'])} s"
    )


def table(result: dict) -> str:
    """The whole report: numbers, ratios, targets, what they mean."""
    epochs = result["settings"]["epochs"]
    full = [row for row in result["summary"] if row["epochs"] == epochs]
    programs = [row["program"] for row in full]
    parts = [_about(result, full[0]["repetitions"]), _numbers(full)]
    if result["against"]:
        parts += [_against(result["against"], programs), _targets(result["targets"])]
    notes = [textwrap.fill(note, 80) for note in _notes(result, programs)]
    return "\n\n".join([*parts, "\n".join(notes)])


def _about(result: dict, repetitions: int) -> str:
    settings, text = result["settings"], result["text"]
    runs = f"median (min–max) of {repetitions} runs"
    return textwrap.fill(
        f"{text['words']:,} words x {_epochs(settings['epochs'])}, "
        f"{text['vocabulary']:,} different ones kept, {settings['threads']} threads, "
        f"{OURS} on {result['device']}; "
        f"{runs if repetitions > 1 else 'one run each'}.",
        80,
    )


def _line(name: str, cells: list[str]) -> str:
    return f"{name:<24}" + "".join(f"{cell:>18}" for cell in cells)


def _cell(spread: dict | None, shown: Shown) -> str:
    if spread is None:
        return "–"
    median, low, high = (shown(spread[name]) for name in ("median", "min", "max"))
    return median if low == high else f"{median} ({low}–{high})"


def _numbers(full: list[dict]) -> str:
    """A column a program."""
    lines = [_line("", [row["program"] for row in full])]
    for name, quantity, shown in _ROWS:
        lines.append(_line(name, [_cell(row[quantity], shown) for row in full]))
    for measure, name in MEASURES.items():
        cells = [_cell(row["scores"][measure], _score) for row in full]
        lines += [_line(name, cells)] if set(cells) != {"–"} else []
    return "\n".join(lines)


def _against(against: dict, programs: list[str]) -> str:
    """Ratios and differences, in the columns that the peers have above."""

    def line(name: str, cell: Callable[[dict], str]) -> str:
        cells = [cell(against[p]) if p in against else "" for p in programs]
        return _line(name, cells)

    lines = [_line(f"{OURS} against", [p if p in against else "" for p in programs])]
    for name, quantity in (
        ("words/s, ratio", "train_ratio"),
        ("start to vectors, ratio", "end_to_end_ratio"),
    ):
        lines.append(line(name, lambda one, q=quantity: _cell(one[q], _ratio)))
    if all(one["quality"] for one in against.values()):
        for measure, name in MEASURES.items():
            lines.append(line(f"{name}, means", lambda one, m=measure: _lead(one, m)))
        for name, quantity in (
            ("time to quality, ratio", "end_to_end_ratio"),
            ("training to it, ratio", "train_ratio"),
        ):
            lines.append(line(name, lambda one, q=quantity: _time_to_quality(one, q)))
    return "\n".join(lines)


def _lead(against: dict, measure: str) -> str:
    return f"{against['quality']['difference_of_means'][measure]:+.3f}"


def _time_to_quality(against: dict, ratio: str) -> str:
    time = against["time_to_quality"]
    if time is None:
        return "–"
    if time["epochs"] is None:
        return "never"
    return f"{_ratio(time[ratio])}, {_epochs(time['epochs'])}"


_VERDICTS = {True: "met", False: "not met", None: "not measured"}
_TARGETS: dict[str, tuple[str, str, Shown]] = {
    "train_ratio": (f"words/s, ratio to {PEER}", ">= 8", _ratio),
    "end_to_end_ratio": (f"start to vectors, ratio to {PEER}", ">= 6", _ratio),
    "quality_worst_difference": (
        f"measure furthest below {PEER}*", ">= -0.005", "{:+.3f}".format,
    ),
    "time_to_quality_ratio": (f"time to {PEER}'s quality, ratio", ">= 8", _ratio),
    "peak_memory_bytes": ("peak memory, GB", "<= 1.20", _scaled(1e9)),
}  # fmt: skip


def _targets(targets: list[dict]) -> str:
    lines = [f"{'target':<42}{'needed':>12}{'measured':>12}"]
    for row in targets:
        name, needed, shown = _TARGETS[row["target"]]
        missing = "–" if row["reached"] is None else "never"
        measured = missing if row["measured"] is None else shown(row["measured"])
        verdict = _VERDICTS[row["reached"]]
        lines.append(f"{name:<42}{needed:>12}{measured:>12}{verdict:>14}")
    return "\n".join(lines)


def _notes(result: dict, programs: list[str]) -> list[str]:
    """What the words above mean."""
    settings, against = result["settings"], result["against"]
    budgets = sorted({row["epochs"] for row in result["summary"]})
    notes = [
        "Words/s: words of the text x epochs / training time, without reading. Start "
        "to vectors: from the start of the process to the last byte of its vectors."
    ]
    if set(programs) - {OURS}:
        notes[0] += f" Pairs of programs other than {OURS}: expected, not counted."
    if settings["eval_dir"]:
        notes.append(
            "Scores: Spearman's correlation; of the analogies the share solved among "
            f"{settings['restrict_vocabulary']:,} words."
        )
    if "fasttext" in programs:
        notes.append(
            "fasttext: without subwords; its noise exponent is fixed at 0.5, here "
            f"{settings['noise_exponent']:g} for the others."
            + _unset(settings["threads"])
        )
    if any(one["quality"] for one in against.values()):
        notes.append(
            f"Time to quality: start to vectors, until the means of {OURS} are those "
            f"of the other after {_epochs(settings['epochs'])} or better on all four "
            f"measures (epochs tried: {', '.join(map(str, budgets))}). "
            + " ".join(_never(peer, one) for peer, one in against.items())
        )
    if quality := against.get(PEER, {}).get("quality"):
        notes.append(
            f"* of the means; at least two of the four must also be above {PEER}'s: "
            f"here {quality['measures_above']}."
        )
    return notes


def _unset(threads: int) -> str:
    """What fastText draws of its first vectors: a tenth of them for each thread."""
    if threads >= 10:
        return ""
    tenths = "a tenth" if threads == 1 else f"{threads} tenths"
    return (
        f" With {threads} thread{'s' if threads > 1 else ''} it draws {tenths} of its "
        f"first vectors, and leaves the other {10 - threads} as memory was: 0 in large "
        "tables (its issue 1061)."
    )


def _never(peer: str, against: dict) -> str:
    time = against["time_to_quality"]
    if not time or time["epochs"] is not None:
        return ""
    lags = [f"{MEASURES[name]} by {lag:.3f}" for name, lag in time["short_of"].items()]
    return f"Never that of {peer}: it is missed in {', '.join(lags)}."
