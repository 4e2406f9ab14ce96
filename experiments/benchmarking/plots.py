"""The pictures of a benchmark."""

import os
import statistics

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from experiments.benchmarking.summary import MEASURES
from experiments.benchmarking.tables import digits
from experiments.drawing import COLORS, GREY, clean

_SECONDS = {
    "train_seconds": "training, s",
    "end_to_end_seconds": "from the start of the process to its vectors, s",
}
_SPEEDS = [
    ("words_per_second", 1e6, "million words/s of training"),
    ("end_to_end_seconds", 1, "start to vectors, s"),
    ("peak_memory_bytes", 1e9, "peak memory, GB"),
]


def quality(summary: list[dict], seconds: str, path: str | os.PathLike) -> None:
    """Each measure of quality against time, a curve a program, a point a budget.

    Args:
      summary: rows of a program and a budget of epochs, as ``summarise`` makes them.
      seconds: "train_seconds" or "end_to_end_seconds".
      path: the PNG file to write.
    """
    figure = Figure(figsize=(11, 8.5), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.1)
    panels = figure.subplots(2, 2, sharex=True)
    for axes, (measure, name) in zip(panels.flat, MEASURES.items(), strict=True):
        _curves(axes, summary, seconds, measure)
        axes.set_title(name, loc="left")
    for axes in panels[:, 0]:
        axes.set_ylabel("Spearman's correlation")
    panels[1, 1].set_ylabel("share solved")
    for axes in panels[1]:
        axes.set_xlabel(_SECONDS[seconds])
    clean(*panels.flat)
    figure.suptitle(
        "Mean and range over the repetitions; at each point the epochs of its training",
        color=GREY, fontsize=10, ha="left", x=0.01,
    )  # fmt: skip
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(),
        loc="outside upper right", ncols=len(_colors(summary)), frameon=False,
    )  # fmt: skip
    figure.savefig(path, dpi=120)


def _curves(axes: Axes, summary: list[dict], seconds: str, measure: str) -> None:
    axes.set_xscale("log")
    axes.margins(y=0.1)
    every = [row[seconds]["median"] for row in summary]
    # 1.6² > 5/2: one of 1, 2, 5, 10 ... falls inside, also where all points are one.
    axes.set_xlim(min(every) / 1.6, max(every) * 1.6)
    for name, color in _colors(summary).items():
        rows = [row for row in summary if row["program"] == name]
        rows.sort(key=lambda row: row["epochs"])
        x = [row[seconds]["median"] for row in rows]
        y, low, high = (
            [row["scores"][measure][part] for row in rows]
            for part in ("mean", "min", "max")
        )
        axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
        axes.vlines(x, low, high, color=color, linewidth=1)
        axes.plot(x, y, color=color, marker="o", markersize=4, label=name)
        for row, *point in zip(rows, x, y, strict=True):
            axes.annotate(
                row["epochs"], point, color=color, fontsize=8, ha="right", va="bottom",
                xytext=(-3, 3), textcoords="offset points",
            )  # fmt: skip
    for which in (axes.xaxis.set_major_locator, axes.xaxis.set_minor_locator):
        which(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _colors(summary: list[dict]) -> dict[str, str]:
    programs = dict.fromkeys(row["program"] for row in summary)
    return dict(zip(programs, COLORS, strict=False))


def speed(runs: list[dict], path: str | os.PathLike) -> None:
    """Every run's words/s, time and memory: a dot a run, a bar to the median.

    Args:
      runs: those of the full budget of epochs.
      path: the PNG file to write.
    """
    figure = Figure(figsize=(11, 3.5), layout="constrained")
    colors = _colors(runs)
    for axes, (quantity, unit, label) in zip(
        figure.subplots(1, 3, sharey=True), _SPEEDS, strict=True
    ):
        for place, (name, color) in enumerate(colors.items()):
            values = [run[quantity] / unit for run in runs if run["program"] == name]
            median = statistics.median(values)
            axes.barh(place, median, color=color, alpha=0.25, height=0.6)
            axes.plot(values, [place] * len(values), "o", color=color, markersize=4)
            axes.annotate(
                digits(median), (max(values), place), color=color, va="center",
                xytext=(7, 0), textcoords="offset points",
            )  # fmt: skip
        axes.set_xlabel(label)
        axes.set_yticks(range(len(colors)), list(colors))
        axes.margins(x=0.15)
        axes.set_xlim(left=0)
        clean(axes)
    figure.suptitle(
        "Bars and numbers: medians; dots: the runs",
        color=GREY, fontsize=10, ha="left", x=0.01,
    )  # fmt: skip
    axes.invert_yaxis()  # the first program on top; the panels share the axis
    figure.savefig(path, dpi=120)
