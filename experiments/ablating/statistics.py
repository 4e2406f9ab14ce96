"""Is a difference more than chance? Means over seeds, and differences seed by seed.

A point is one value for each setting of the grid; a cell is a measure of the models
at a point under a budget. Intervals are Student's: mean ± t_{n−1} · s / √n over the n
seeds. A cell is compared with the reference by the differences of the models of equal
seeds, which have their text, first vectors and order in common: what a seed adds to
both is not in them.
"""

import csv
import math
import os
import re
from functools import cache

import numpy as np
from scipy import stats

from experiments.ablating.records import by_point, key, points

CONFIDENCE = 0.95
#: The measures that answer the question: for words those that favour no α, and all of
#: the evaluation files; for items both rules of guessing, of all items and rare ones.
_HEADLINES = {
    "words": r"(?!mrr_(uniform|unigram)$|recall|pmi_).*",
    "items": r"(hit10|mrr)_(cosine|score)(_tail)?",
}


def headlines(result: dict) -> list[str]:
    """The measures that answer the question; where none of them is there, all."""
    pattern = _HEADLINES[result["domain"]]
    directed = [m for m, about in result["measures"].items() if about["better"]]
    return [m for m in directed if re.fullmatch(pattern, m)] or directed


def cells(result: dict) -> list[dict]:
    """The cells of all budgets and measures."""
    return [
        cell
        for budget in result["budgets"]
        for measure in result["measures"]
        for cell in group(result, measure, budget)
    ]


def group(result: dict, measure: str, budget: str) -> list[dict]:
    """The cells of one measure under one budget: one for each point.

    Each has ``n``, ``mean``, ``interval`` (None for n < 2), ``difference`` (from the
    reference: n, mean, interval, ``p_value`` of the paired t-test, and ``p_holm``, the
    same corrected for the number of points) and ``verdict``: "better", "worse" or, for
    a measure without a direction, "different" where the interval of the difference
    excludes 0; "reference" for the reference itself; else "".
    """
    better = result["measures"][measure]["better"]
    values = by_point(result, measure, budget)
    at_reference = values.get(key(result, result["reference"]), {})
    found = []
    for settings in points(result):
        by_seed = values.get(key(result, settings), {})
        cell = {"budget": budget, "measure": measure, "settings": settings}
        cell |= _estimate(list(by_seed.values())) | {"difference": None}
        if settings == result["reference"]:
            cell["verdict"] = "reference"
        else:
            cell["difference"] = _difference(by_seed, at_reference)
            cell["verdict"] = _verdict(cell["difference"], better)
        found.append(cell)
    _correct([cell["difference"] for cell in found if cell["difference"]])
    return found


def best(result: dict, measure: str, budget: str) -> dict | None:
    """The cell with the best mean, of those that no seed is missing from.

    None if the measure has no direction, or no value. The best of many means is above
    its own expectation: its lead over the reference is an optimistic estimate.
    """
    better = result["measures"][measure]["better"]
    found = group(result, measure, budget)
    most = max(cell["n"] for cell in found)
    if not better or not most:
        return None
    complete = [cell for cell in found if cell["n"] == most]
    return max(complete, key=lambda cell: better * cell["mean"])


def tied(result: dict, measure: str, budget: str) -> list[dict]:
    """Points whose paired difference from the best point may be 0, without the best."""
    leader = best(result, measure, budget)
    from_best = group(result | {"reference": leader["settings"]}, measure, budget)
    return [cell["settings"] for cell in from_best if cell["verdict"] == ""]


def survives(cell: dict) -> bool:
    """Does the difference stay, corrected for the number of points compared?"""
    p_holm = (cell["difference"] or {}).get("p_holm")
    return p_holm is not None and p_holm < 1 - CONFIDENCE


def half_width(cell: dict) -> float | None:
    return cell["interval"] and (cell["interval"][1] - cell["interval"][0]) / 2


def decimals(result: dict, measure: str) -> int:
    """So many that means and intervals span 100 to 1000 steps of the last one."""
    budgets = result["budgets"]
    cells = [cell for budget in budgets for cell in group(result, measure, budget)]
    shown = [cell["mean"] for cell in cells if cell["n"]]
    shown += [end for cell in cells for end in cell["interval"] or []]
    span = max(shown) - min(shown) if shown else 0
    return min(max(math.ceil(2 - math.log10(span)), 0), 6) if span else 3


def t_interval(values: list[float]) -> list[float] | None:
    """mean ± t_{n−1} · s / √n, Student's 95 % interval; None for n < 2."""
    if len(values) < 2:
        return None
    half = _quantile(len(values)) * _standard_error(values)
    return [float(np.mean(values)) - half, float(np.mean(values)) + half]


def holm(p_values: list[float]) -> list[float]:
    """Holm's correction: of m p-values the i-th smallest, i = 0, 1, …, times m − i.

    Rejecting what is below 0.05 then rejects anything falsely with probability 0.05 at
    most, however the tests depend on each other (Holm 1979).
    """
    order = np.argsort(p_values, kind="stable")
    times = len(p_values) - np.arange(len(p_values))
    steps = np.minimum(np.asarray(p_values)[order] * times, 1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(steps)
    return corrected.tolist()


def _estimate(values: list[float]) -> dict:
    mean = float(np.mean(values)) if values else None
    return {"n": len(values), "mean": mean, "interval": t_interval(values)}


def _difference(by_seed: dict, at_reference: dict) -> dict | None:
    """From the reference, seed by seed; None where no seed is on both sides."""
    values = [by_seed[s] - at_reference[s] for s in by_seed if s in at_reference]
    if not values:
        return None
    return _estimate(values) | {"p_value": _p_value(values), "p_holm": None}


def _p_value(values: list[float]) -> float | None:
    """Of Student's test that the mean is 0, both sides; None for n < 2."""
    if len(values) < 2:
        return None
    mean, error = abs(float(np.mean(values))), _standard_error(values)
    if not error:
        return float(mean == 0)
    return float(2 * stats.t.sf(mean / error, len(values) - 1))


def _correct(differences: list[dict]) -> None:
    tested = [one for one in differences if one["p_value"] is not None]
    corrected = holm([one["p_value"] for one in tested])
    for one, p_holm in zip(tested, corrected, strict=True):
        one["p_holm"] = p_holm


def _verdict(difference: dict | None, better: int) -> str:
    interval = difference and difference["interval"]
    if not interval or interval[0] <= 0 <= interval[1]:
        return ""
    if not better:
        return "different"
    return "better" if better * difference["mean"] > 0 else "worse"


@cache
def _quantile(n: int) -> float:
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))


def _standard_error(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))


def write_csv(result: dict, path: str | os.PathLike) -> None:
    """A row for each cell: its mean and its difference to the reference."""
    names = list(result["grid"])
    of_mean = ["n", "mean", "low", "high"]
    of_difference = ["difference", "difference_low", "difference_high"]
    tested = ["p_value", "p_holm", "verdict"]
    with open(path, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        head = ["budget", *names, "measure", *of_mean, *of_difference, *tested]
        rows.writerow(head)
        for cell in cells(result):
            point = [cell["settings"][name] for name in names]
            difference = cell["difference"] or {}
            rows.writerow(
                [cell["budget"], *point, cell["measure"], cell["n"], cell["mean"]]
                + (cell["interval"] or [None, None])
                + [difference.get("mean"), *(difference.get("interval") or [None] * 2)]
                + [difference.get("p_value"), difference.get("p_holm"), cell["verdict"]]
            )
