"""The records of an ablation: points of its grid, values, names, and a table of all."""

import csv
import itertools
import math
import os

K, ALPHA = "negatives", "noise_exponent"
LABELS = {
    K: "K, negatives a pair",
    ALPHA: "α, noise exponent",
    "dim": "D, dimension",
    "window": "W, half-window",
    "subsample": "t, subsampling threshold",
}
BUDGETS = {"epochs": "equal epochs", "flops": "equal operations"}
_BUDGET_MEANINGS = {
    "epochs": "each model reads the text equally often, so that a large K costs more.",
    "flops": "each model takes equally many floating-point operations by the formula "
    "(1 + K) · 6 · D a pair, so that a large K has fewer epochs.",
}
DIRECTIONS = {1: "more is better", -1: "less is better", 0: "no direction"}


def points(result: dict) -> list[dict]:
    """All points of the grid, the last setting moving fastest."""
    grid = result["grid"]
    return [
        dict(zip(grid, values, strict=True))
        for values in itertools.product(*grid.values())
    ]


def key(result: dict, settings: dict) -> tuple:
    return tuple(settings[name] for name in result["grid"])


def by_point(result: dict, measure: str, budget: str) -> dict[tuple, dict]:
    """{point: {seed: value}}, without values that are missing."""
    found = {}
    for model in result["models"]:
        value = model["measures"].get(measure)
        if model["budget"] == budget and not missing(value):
            at_point = found.setdefault(key(result, model["settings"]), {})
            at_point[model["seed"]] = value
    return found


def missing(value: float | None) -> bool:
    """Measures that a model has no value of are None, or no finite number."""
    return value is None or not math.isfinite(value)


def plane(result: dict, cells: list[dict]) -> list[dict]:
    """The cells that differ from the reference in K and α at most, by K, then by α."""
    fixed = {k: v for k, v in result["reference"].items() if k not in (K, ALPHA)}
    return [cell for cell in cells if fixed.items() <= cell["settings"].items()]


def named(settings: dict) -> str:
    """K = 5, α = 0.75"""
    return ", ".join(f"{symbol(name)} = {value(x)}" for name, x in settings.items())


def budget(result: dict, name: str) -> str:
    """What a budget is, and the epochs that models of each K had under it."""
    had = {}
    for model in result["models"]:
        if model["budget"] == name:
            had.setdefault(model["settings"][K], set()).add(f"{model['epochs']:.3g}")
    epochs = (f"{' or '.join(sorted(had[k]))} at K = {k}" for k in sorted(had))
    return f"{_BUDGET_MEANINGS[name]} Epochs: {', '.join(epochs)}."


def label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " "))


def symbol(name: str) -> str:
    return label(name).split(",")[0]


def value(setting) -> str:
    return f"{setting:g}".replace("-", "−") if type(setting) is float else str(setting)


def number(x: float, digits: int, sign: str = "") -> str:
    return f"{x:{sign}.{digits}f}".replace("-", "−")


def write_csv(result: dict, path: str | os.PathLike) -> None:
    """A row for each model and measure; a value that is missing leaves its field empty.

    Columns: budget, each setting of the grid, seed, epochs, flops, measure, value.
    """
    names = list(result["grid"])
    with open(path, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["budget", *names, "seed", "epochs", "flops", "measure", "value"])
        for model in result["models"]:
            point = [model["settings"][name] for name in names]
            run = [model[name] for name in ("seed", "epochs", "flops")]
            for measure, value in model["measures"].items():
                shown = None if missing(value) else value
                rows.writerow([model["budget"], *point, *run, measure, shown])
