"""Comparisons as tables for the terminal and as entries for the JSON files."""

import textwrap
from collections.abc import Iterable

from experiments.laboratory import examinations, second_order, transformations
from experiments.laboratory.bounds import Comparison
from experiments.laboratory.mutants import MUTANTS
from experiments.laboratory.running import Trial
from experiments.provenance import device


def summary(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Of each quantity, dtype and answer, the comparison nearest to its bound."""
    worst: dict[tuple, Comparison] = {}
    for one in comparisons:
        key = one.quantity, one.dtype, one.against
        if key not in worst or nearness(one) > nearness(worst[key]):
            worst[key] = one
    return list(worst.values())


def nearness(one: Comparison) -> float:
    """Error in units of its bound; a failure comes first whatever its size."""
    share = one.error / one.bound if one.bound else float(one.error > 0)
    return share if one.holds else share + 1e9


#: Columns of the tables: what is compared with, and its heading.
ANSWERS = dict(
    zip(
        [*examinations.ANSWERS, examinations.LOSS],
        "grad jvp diff. cplx 50dig. algeb. loss".split(),
        strict=True,
    )
)
TRANSFORMED = {name: name for name in transformations.TRANSFORMATIONS}
SECOND = dict(zip(second_order.ANSWERS, ("jvp", "50dig."), strict=True))


def tables(worst: list[Comparison]) -> str:
    """What is nearest to its bound, in one table a dtype and a few beside them."""
    parts = [
        "Largest relative errors of the derived gradient against six answers:\n"
        "reverse and forward autodiff, central differences, complex steps, 50 digits,\n"
        "computer algebra. The last column is the loss against 50 digits."
    ]
    for dtype in examinations.DTYPES:
        parts.append(grid(dtype, ANSWERS, [c for c in worst if c.dtype == dtype]))
    parts.append(grid("float32, transformed", TRANSFORMED, worst))
    parts.append(grid("Hessian times direction", SECOND, worst))
    parts.append(statements(worst))
    return "\n\n".join(parts)


def grid(title: str, columns: dict[str, str], worst: list[Comparison]) -> str:
    """A line a quantity, a column an answer."""
    chosen = {(c.quantity, c.against): c for c in worst if c.against in columns}
    width = max(7, 1 + max(map(len, columns.values())))
    lines = [f"{title:<26}" + "".join(f"{name:>{width}}" for name in columns.values())]
    for quantity in dict.fromkeys(quantity for quantity, _ in chosen):
        cells = (cell(chosen.get((quantity, against))) for against in columns)
        lines.append(f"  {quantity:<24}" + "".join(f"{c:>{width}}" for c in cells))
    nearest = max(chosen.values(), key=nearness)
    return "\n".join([*lines, f"  nearest to its bound: {described(nearest)}"])


def cell(one: Comparison | None) -> str:
    return "" if one is None else f"{one.error:.0e}{'' if one.holds else '!'}"


def statements(worst: list[Comparison]) -> str:
    """What fits no table."""
    lines = [f"{'besides':<58}{'is':>9}{'at most':>10}"]
    untouched = [c for c in worst if c.against == examinations.ZERO]
    several = {examinations.ZERO, *ANSWERS, *TRANSFORMED, *SECOND}
    for one in [*untouched[:1], *(c for c in worst if c.against not in several)]:
        name, mark = f"{one.quantity}: {one.against}", "" if one.holds else "!"
        if one.against == examinations.ZERO:
            one = max(untouched, key=nearness)
            name = f"all: gradient of {examinations.ZERO}"
        lines.append(f"  {name:<56}{one.error:>9.1e}{one.bound:>10.1e}{mark}")
    return "\n".join(lines)


def described(one: Comparison) -> str:
    """One comparison in two lines: what, where, how much, how much it may be."""
    return (
        f"{one.quantity}, {one.against}\n"
        f"    ({one.case}) at {one.position}\n"
        f"    {one.error:.1e} = {one.ulps:.2g} ulp; bound {one.bound:.1e}\n"
        f"    bound: {one.why}"
    )


def conclusion(
    comparisons: list[Comparison], failed: list[Comparison], seconds: float
) -> str:
    """Do all hold? If not, what does not."""
    what = f"{len(comparisons):,} comparisons on {device()} in {seconds:.0f} s"
    if not failed:
        return f"\n{what}: all hold."
    shown = "\n".join(f"  {described(c)}" for c in failed[:10])
    return f"\n{what}: {len(failed)} do not hold.\n{shown}"


def tried(trial: Trial) -> dict:
    """What came of a mutant, who gave it away, and the clearest sign of it.

    That is the error largest for its bound, at ordinary scores if there is one.
    """
    clearest = max(
        trial.failed,
        key=lambda c: ("large" not in c.case, c.error / max(c.bound, 1e-300)),
        default=None,
    )
    return {
        "mutant": trial.mutant,
        "about": MUTANTS[trial.mutant].about,
        "outcome": trial.outcome,
        "caught_by": list(dict.fromkeys(c.quantity for c in trial.failed)),
        "answers": sorted({c.against for c in trial.failed}),
        "crashes": trial.crashes,
        "clearest": clearest and clearest._asdict(),
    }


def mutant_line(found: dict) -> str:
    """A mutant, its error, and all who caught it, 80 columns wide; or its crashes."""
    name, indent = f"{found['mutant']:<24}", " " * 24
    if found["outcome"] == "missed":
        return f"{name}MISSED"
    if found["outcome"] == "crashed":
        return f"\n{indent}".join([f"{name}CRASHED", *found["crashes"]])
    one = Comparison(**found["clearest"])
    head = f"{name}{one.error:.1e} where {one.bound:.0e} is allowed: {one.quantity}"
    others = f"caught by {', '.join(found['caught_by'])}"
    margins = {"initial_indent": indent, "subsequent_indent": indent}
    return "\n".join([head, *textwrap.wrap(others, 80, **margins)])


def count(found: list[dict]) -> str:
    """How many mutants came to what."""
    outcomes = [one["outcome"] for one in found]
    missed, crashed = outcomes.count("missed"), outcomes.count("crashed")
    return (
        f"{outcomes.count('caught')} of {len(found)} mutants caught, {missed} missed, "
        f"{crashed} crashed."
    )
