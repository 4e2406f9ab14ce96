"""A profile as a picture."""

import os

from matplotlib.figure import Figure

from experiments.benchmarking.tables import digits
from experiments.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, clean
from experiments.profiling.tables import reached

_COLORS = {
    "random_rows": BLUE, "copy_cache": PURPLE, "sigmoid": GREEN,
    "product_float32": ORANGE, "product_bfloat16": ORANGE, None: GREY,
}  # fmt: skip


def profile(result: dict, path: str | os.PathLike) -> None:
    """Time by part; the dark piece of a bar is the time that its ceiling allows."""
    rows = result["parts"] | {n: result["segment"][n] for n in ("prepare", "host")}
    figure = Figure(figsize=(10, 5.5), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows.values()):
        color, ns = _COLORS[row["ceiling"]], row["nanoseconds_per_token"]
        least = row["least_nanoseconds_per_token"]
        axes.barh(place, ns, color=color, alpha=0.3, height=0.7)
        axes.barh(place, min(least or 0, ns), color=color, height=0.7)
        label = f"{digits(ns)} ns" + (f", {reached(row)}" if least else "")
        axes.annotate(
            label, (ns, place), color=color, va="center",
            xytext=(6, 0), textcoords="offset points",
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.margins(x=0.2, y=0.02)
    axes.set_xlim(left=0)
    axes.set_xlabel("ns a kept token")
    step, training = (
        digits(row["nanoseconds_per_token"])
        for row in (result["step"]["whole step"], result["segment"]["training"])
    )
    figure.suptitle(
        f"A step takes {step} ns a kept token, training {training} ns "
        f"({result['device']}). Dark: the time that a part's ceiling allows",
        color=GREY, fontsize=10, ha="left", x=0.01,
    )  # fmt: skip
    clean(axes)
    axes.grid(visible=False, axis="y")
    axes.set_axisbelow(True)
    figure.savefig(path, dpi=120)
