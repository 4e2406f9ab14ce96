"""The picture of a sweep."""

import os

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullLocator

from experiments.drawing import BLUE, GREEN, GREY, ORANGE, clean
from experiments.sweeping.plan import COMMON, COMMON_WORDS, SETTINGS
from experiments.sweeping.report import LARGE


def draw(result: dict, path: str | os.PathLike) -> None:
    """A panel for each setting, words/s against its values; two panels a row."""
    curves = dict(result["curves"])
    common = curves.pop(COMMON, None)
    width = min(len(curves), 2)
    height = -(-len(curves) // width)
    figure = Figure(figsize=(11, 0.8 + 3.6 * height), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.1)
    panels = figure.subplots(height, width, sharey=True, squeeze=False)
    for axes, (name, rows) in zip(panels.flat, curves.items(), strict=False):
        _curve(axes, rows, "raw", BLUE, "words of the text")
        if name == "vocabulary":
            _curve(axes, rows, "kept", ORANGE, "kept by subsampling")
            few = f"kept, text of the {COMMON_WORDS:,} most frequent words"
            _curve(axes, common, "kept", GREEN, few)
            _target(axes, result["target"], rows)
        axes.set_xlabel(SETTINGS[name][0])
    for axes in panels.flat[len(curves) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel("million words/s")
    clean(*panels.flat)
    panels[0, 0].set_ylim(bottom=0)
    figure.suptitle(
        "Medians and ranges over the repetitions",
        color=GREY, fontsize=10, ha="left", x=0.01,
    )  # fmt: skip
    labelled = max(panels.flat, key=lambda axes: len(axes.get_lines()))
    figure.legend(
        *labelled.get_legend_handles_labels(),
        loc="outside upper right", ncols=3, frameon=False,
    )  # fmt: skip
    figure.savefig(path, dpi=120)


def _curve(axes: Axes, rows: list[dict], kind: str, color: str, label: str) -> None:
    values = [row["value"] for row in rows]
    named = isinstance(values[0], str)
    x = range(len(values)) if named else values
    low, median, high = (
        [row[f"{kind}_words_per_second"][part] / 1e6 for row in rows]
        for part in ("min", "median", "max")
    )
    axes.plot(x, median, color=color, marker="o", markersize=4, label=label)
    axes.vlines(x, low, high, color=color, linewidth=1)
    if named:
        axes.set_xticks(x, values)
        return
    axes.set_xscale("log")
    axes.set_xticks(x)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_locator(NullLocator())


def _target(axes: Axes, target: dict | None, rows: list[dict]) -> None:
    """Where the raw words/s at the large vocabulary should be at least."""
    if target:
        rate = {row["value"]: row["raw_words_per_second"]["median"] for row in rows}
        needed = target["needed_ratio"] * rate[target["against_vocabulary"]] / 1e6
        axes.plot(LARGE, needed, "_", color=BLUE, markersize=16)
        axes.annotate(
            "target", (LARGE, needed), color=BLUE, fontsize=8, va="center",
            xytext=(10, 0), textcoords="offset points",
        )  # fmt: skip
