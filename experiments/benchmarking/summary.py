"""Medians and spreads, ratios, time to quality, and the verdicts on the targets."""

import statistics
from collections import defaultdict
from typing import Any

from experiments.benchmarking.programs import OURS

#: The measures of quality, by the name of their file: what people call them.
MEASURES = {
    "wordsim353": "WordSim-353",
    "men3000": "MEN",
    "simlex999": "SimLex-999",
    "questions-words": "analogies",
}
QUANTITIES = (
    "words_per_second train_seconds end_to_end_seconds reading_seconds compile_seconds "
    "pairs_per_second peak_memory_bytes"
).split()
PEER = "gensim"  #: the program that most people use; targets are measured against it
MARGIN = 0.005  #: of a correlation, or of the share of analogies

Groups = dict[tuple[str, int], list[dict]]  # (program, epochs) → runs by repetition


def summarise(runs: list[dict], epochs: int) -> dict[str, Any]:
    """All that a result file says beyond the runs themselves.

    Args:
      runs: complete: each program as often as the others, at each budget of epochs.
      epochs: the full budget; the others are points of the curve of quality.
    """
    groups = _grouped(runs)
    peers = [name for name, e in groups if e == epochs and name != OURS]
    against = {}
    if (OURS, epochs) in groups:
        against = {peer: _against(groups, epochs, peer) for peer in peers}
    return {
        "summary": [
            {"program": program, "epochs": e, "repetitions": len(group)}
            | _spreads(group)
            for (program, e), group in groups.items()
        ],
        "device": next((run["device"] for run in runs if "device" in run), "CPU"),
        "against": against,
        "targets": _targets(groups, epochs, against.get(PEER)),
    }


def _grouped(runs: list[dict]) -> Groups:
    groups: Groups = defaultdict(list)
    for run in sorted(runs, key=lambda run: run["repetition"]):
        groups[run["program"], run["epochs"]].append(run)
    return dict(groups)


def spread(values: list[float | None]) -> dict[str, float] | None:
    """Median, mean and extremes; None if a value is missing, for 0 would be a lie."""
    if None in values:
        return None
    return {
        "median": statistics.median(values),
        "mean": statistics.fmean(values),
        "min": min(values),
        "max": max(values),
    }


def _spreads(group: list[dict]) -> dict:
    quantities = {q: spread([run.get(q) for run in group]) for q in QUANTITIES}
    return quantities | {"scores": {name: _score(group, name) for name in MEASURES}}


def _score(group: list[dict], measure: str) -> dict[str, float] | None:
    return spread([run["scores"].get(measure, {}).get("score") for run in group])


def _means(group: list[dict]) -> dict[str, float | None]:
    found = {name: _score(group, name) for name in MEASURES}
    return {name: one and one["mean"] for name, one in found.items()}


def _against(groups: Groups, epochs: int, peer: str) -> dict:
    """Ours against a peer: ratios above 1 say that ours is faster."""
    ours, theirs = groups[OURS, epochs], groups[peer, epochs]

    def ratio(quantity: str, ours_above: bool) -> dict | None:
        pairs = [(a[quantity], b[quantity]) for a, b in zip(ours, theirs, strict=True)]
        return spread([a / b if ours_above else b / a for a, b in pairs])

    return {
        "train_ratio": ratio("words_per_second", ours_above=True),
        "end_to_end_ratio": ratio("end_to_end_seconds", ours_above=False),
        "pairs_ratio": ratio("pairs_per_second", ours_above=True),
        "quality": _quality(_means(ours), _means(theirs)),
        "time_to_quality": _time_to_quality(groups, epochs, peer),
    }


def _quality(ours: dict, theirs: dict) -> dict | None:
    """Differences of the means, and the rule; None where a measure is missing.

    The rule: no measure more than 0.005 (0.5 points of the analogies) below the
    peer's, and at least two above it.
    """
    if None in (*ours.values(), *theirs.values()):
        return None
    differences = {name: ours[name] - theirs[name] for name in MEASURES}
    above = sum(difference > 0 for difference in differences.values())
    worst = min(differences.values())
    return {
        "difference_of_means": differences,
        "worst_difference": worst,
        "measures_above": above,
        "reached": worst >= -MARGIN and above >= 2,
    }


def _time_to_quality(groups: Groups, epochs: int, peer: str) -> dict | None:
    """When ours is as good as the peer after all its epochs, on every measure.

    Seconds are medians, scores means over the repetitions. Each budget of epochs is
    a training of its own with a whole learning-rate schedule. Both ratios are None,
    and ``short_of`` says by how much after all epochs, if ours never gets there.
    """
    goal = _means(groups[peer, epochs])
    curve = {e: group for (name, e), group in groups.items() if name == OURS}
    means = {e: _means(group) for e, group in curve.items()}
    if any(None in one.values() for one in (goal, *means.values())):
        return None
    good = [e for e in curve if all(means[e][m] >= goal[m] for m in MEASURES)]
    answer: dict = {"epochs": min(good, default=None)}
    for name in ("train_seconds", "end_to_end_seconds"):
        needed = min((_median(curve[e], name) for e in good), default=None)
        answer[name] = needed
        full = _median(groups[peer, epochs], name)
        answer[name.replace("seconds", "ratio")] = full / needed if good else None
    answer["short_of"] = {
        name: goal[name] - means[epochs][name]
        for name in MEASURES
        if not good and means[epochs][name] < goal[name]
    }
    return answer


def _median(group: list[dict], quantity: str) -> float:
    return statistics.median(run[quantity] for run in group)


def _targets(groups: Groups, epochs: int, against: dict | None) -> list[dict]:
    """What this library sets out to reach against gensim, and whether it does.

    ``reached`` is None where it was not measured; ``measured`` is None there, too, and
    where the quality of the peer is never reached.
    """
    train = against and against["train_ratio"]["median"]
    whole = against and against["end_to_end_ratio"]["median"]
    quality = against and against["quality"]
    time = against and against["time_to_quality"]
    time_ratio = time and time["end_to_end_ratio"]
    ours = [run["peak_memory_bytes"] for run in groups.get((OURS, epochs), [])]
    memory = max(ours, default=None)
    rows = [
        ("train_ratio", 8, train, train and train >= 8),
        ("end_to_end_ratio", 6, whole, whole and whole >= 6),
        (
            "quality_worst_difference",
            -MARGIN,
            quality and quality["worst_difference"],
            quality and quality["reached"],
        ),
        ("time_to_quality_ratio", 8, time_ratio, time and (time_ratio or 0) >= 8),
        ("peak_memory_bytes", 1.2e9, memory, memory and memory <= 1.2e9),
    ]
    names = ("target", "needed", "measured", "reached")
    return [dict(zip(names, row, strict=True)) for row in rows]
