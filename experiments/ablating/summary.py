"""An ablation in words: the answer in sentences, and tables for the terminal."""

import re
import textwrap
from collections import Counter
from collections.abc import Sequence

import numpy as np

from experiments.ablating import records, statistics
from experiments.ablating.records import ALPHA, BUDGETS, DIRECTIONS, K, named, points
from experiments.ablating.statistics import best, group, headlines

_MARKS = {"better": "▲", "worse": "▼", "different": "◆", "reference": "●", "": ""}
_SIGNS = {"α < 0": -1, "α = 0": 0}
_WIDTH = 80


def table(result: dict, measures: Sequence[str] = ()) -> str:
    """The answer, then K × α for each headline measure; at most 80 columns wide.

    ``measures`` are those to show; empty: all headline measures.
    """
    asked = f"{len(result['models'])} models; reference: {named(result['reference'])}."
    said = "\n".join(_fill(f"- {one}", "  ") for one in answers(result))
    measures = measures or headlines(result)
    blocks = [_block(result, measure) for measure in measures]
    return "\n\n".join([_fill(asked), said, *blocks, _fill(legend(result))])


def answers(result: dict) -> list[str]:
    """What the headline measures say together."""
    budgets, said = result["budgets"], []
    if len(points(result)) == 1:
        return ["The grid has one point: there is nothing to compare."]
    if result["seeds"] > 1:
        said += [_safest(result, budget) for budget in budgets]
    said += [_leaders(result, budget) for budget in budgets]
    if result["seeds"] == 1:
        return [*said, "One seed gives no intervals: all of this may be chance."]
    said += [_of_sign(result, name, budget) for name in _SIGNS for budget in budgets]
    said += [_moved(result, *budgets)] if len(budgets) == 2 else []
    return [one for one in said if one]


def legend(result: dict, reference: str = "●") -> str:
    """What the numbers and marks in tables and pictures are."""
    if result["seeds"] == 1:
        return f"One seed: values without intervals. {reference} reference."
    others = len(points(result)) - 1
    return (
        f"Mean ± half of the 95 % t-interval over {result['seeds']} seeds. {reference} "
        "reference; ▲ better, ▼ worse, ◆ different: the 95 % t-interval of the "
        "difference to the reference, seed by seed, excludes 0; * also by Holm's "
        f"correction for {others} comparisons. By chance alone about "
        f"{0.05 * others:.1f} of {others} exclude 0."
    )


def mark(cell: dict) -> str:
    """▲ better, ▼ worse, ◆ different, ● the reference; * also by Holm."""
    return _MARKS[cell["verdict"]] + "*" * statistics.survives(cell)


def shown(one: dict, digits: int, sign: str = "") -> str:
    """0.312 [0.309, 0.315]; without an interval, the mean alone."""
    parts = one["mean"], *(one["interval"] or ())
    mean, *ends = (records.number(x, digits, sign) for x in parts)
    return f"{mean} [{', '.join(ends)}]" if ends else mean


def _title(budget: str) -> str:
    return BUDGETS[budget].capitalize()


def _leaders(result: dict, budget: str) -> str:
    """In how many headline measures something beats the reference, and where."""
    names = headlines(result)
    tops = [top for measure in names if (top := best(result, measure, budget))]
    verdicts = Counter(top["verdict"] for top in tops)
    places = []
    for name in [name for name, values in result["grid"].items() if len(values) > 1]:
        counts = Counter(records.value(top["settings"][name]) for top in tops)
        at = ", ".join(f"{x} ({n})" for x, n in counts.most_common())
        places.append(f"{records.symbol(name)} = {at}")
    return (
        f"{_title(budget)}: one by one, the {len(names)} headline measures are best at "
        f"{'; '.join(places)}. That is better than the reference in "
        f"{verdicts['better']}, and the reference itself in {verdicts['reference']}."
    )


def _safest(result: dict, budget: str) -> str:
    """The point that is better in the most headline measures and worse in none."""
    names = headlines(result)
    groups = [group(result, measure, budget) for measure in names]
    verdicts = [Counter(c["verdict"] for c in at) for at in zip(*groups, strict=True)]
    scores = [0 if one["worse"] else one["better"] for one in verdicts]
    most = max(scores)
    if not most:
        return f"{_title(budget)}: no point is better in one and worse in none."
    gains = [_gain(at, result) for at in zip(*groups, strict=True)]
    there = [i for i, n in enumerate(scores) if n == most]
    top = max(there, key=gains.__getitem__)
    less = len(there) - 1
    others = f"; so {'is' if less == 1 else 'are'} {less} other{'s' * (less > 1)}"
    others = f"{others}, by less" if less else ""
    return (
        f"{_title(budget)}: {named(points(result)[top])} is better than the reference "
        f"in {most} of {len(names)} headline measures, worse in none{others}; no point "
        "is in more."
    )


def _gain(cells: tuple[dict, ...], result: dict) -> float:
    """The mean over measures of what a point gains, as a share of the reference's."""
    gains = []
    for cell in cells:
        if cell["difference"]:
            gain = cell["difference"]["mean"]
            gain *= result["measures"][cell["measure"]]["better"]
            gains.append(gain / abs(cell["mean"] - cell["difference"]["mean"] or 1))
    return float(np.mean(gains)) if gains else 0.0


def _of_sign(result: dict, name: str, budget: str) -> str:
    """Whether noise whose exponent has this sign beats the reference anywhere."""
    beaten, verdicts = [], Counter()
    for measure in headlines(result):
        cells = records.plane(result, group(result, measure, budget))
        tried = [c for c in cells if np.sign(c["settings"][ALPHA]) == _SIGNS[name]]
        verdicts.update(cell["verdict"] for cell in tried)
        at = {
            records.value(c["settings"][K]): 0
            for c in tried
            if c["verdict"] == "better"
        }
        title = result["measures"][measure]["title"]
        beaten += [f"{title} (K = {', '.join(at)})"] * bool(at)
    if not verdicts:
        return ""
    return (
        f"{name}, {BUDGETS[budget]}: better than the reference in {verdicts['better']} "
        f"of {verdicts.total()} comparisons, worse in {verdicts['worse']}"
        + (f". Better in {'; '.join(beaten)}." if beaten else ".")
    )


def _moved(result: dict, first: str, second: str) -> str:
    """How the best point changes from one budget to the other."""
    tops = [[best(result, m, b) for b in (first, second)] for m in headlines(result)]
    pairs = [(a["settings"], b["settings"]) for a, b in tops if a and b]
    return (
        f"From {BUDGETS[first]} to {BUDGETS[second]} the best point moves in "
        f"{sum(a != b for a, b in pairs)} of {len(pairs)} headline measures; its K "
        f"falls in {sum(a[K] > b[K] for a, b in pairs)} and rises in "
        f"{sum(a[K] < b[K] for a, b in pairs)}."
    )


def _lead(result: dict, measure: str, budget: str) -> str:
    """Where a measure is best, and whether that is more than chance."""
    top, digits = best(result, measure, budget), statistics.decimals(result, measure)
    if top is None:
        return f"{_title(budget)}: no value."
    said = f"{_title(budget)}: best at {named(top['settings'])}, {shown(top, digits)}"
    said += ", the reference itself" * (top["verdict"] == "reference")
    if top["difference"]:
        gain = shown(top["difference"], digits, "+")
        said += f"; {gain} to the reference, {_conclusion(top)}"
    if top["interval"] and (others := len(points(result)) - 1):
        same = len(statistics.tied(result, measure, budget))
        said += f". {same} of the {others} other points cannot be told from it"
    return said + "."


def _conclusion(cell: dict) -> str:
    """The verdict in words."""
    if cell["verdict"] in ("", "reference"):
        return cell["verdict"] or "no evidence of a difference"
    return cell["verdict"] + ", also by Holm" * statistics.survives(cell)


def _block(result: dict, measure: str) -> str:
    """A measure: K × α under the first budget, and the best points under each."""
    about, budgets = result["measures"][measure], result["budgets"]
    head = f"{about['title']} ({DIRECTIONS[about['better']]}), {BUDGETS[budgets[0]]}"
    leads = [_fill(_lead(result, measure, budget)) for budget in budgets]
    return "\n".join([_fill(head), *_grid(result, measure, budgets[0]), *leads])


def _grid(result: dict, measure: str, budget: str) -> list[str]:
    """Lines of a table, a row for each K; columns that do not fit come below."""
    grid, cells = result["grid"], records.plane(result, group(result, measure, budget))
    most = statistics.decimals(result, measure)
    for digits in (most, max(most - 1, 0)):
        text = [_cell(cell, digits) for cell in cells]
        width = max(map(len, text)) + 1
        if width * len(grid[ALPHA]) <= _WIDTH - 6:
            break
    rows = np.reshape(text, (len(grid[K]), -1))
    at_once, lines = max((_WIDTH - 6) // width, 1), []
    for first in range(0, len(grid[ALPHA]), at_once):
        there = slice(first, first + at_once)
        head = [records.value(alpha) for alpha in grid[ALPHA][there]]
        for name, row in (("K  α", head), *zip(grid[K], rows[:, there], strict=True)):
            lines.append(f"{name:>6}" + "".join(f"{one:>{width}}" for one in row))
    return lines


def _cell(cell: dict, digits: int) -> str:
    """.312±.003▲*"""
    if cell["mean"] is None:
        return "–"
    parts = [cell["mean"]] + [statistics.half_width(cell)] * bool(cell["interval"])
    short = (re.sub(r"^(−?)0\.", r"\1.", records.number(x, digits)) for x in parts)
    return "±".join(short) + mark(cell)


def _fill(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent)
