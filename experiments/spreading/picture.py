"""The pictures: words/s against devices, quality against steps between merges."""

import os

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from experiments.drawing import COLORS, GREY, clean
from experiments.spreading.cases import WAYS
from experiments.spreading.syncing import LOSS


def speed(result: dict, path: str | os.PathLike) -> None:
    """A row for each device, a panel for each link, a curve for each way."""
    devices, links = result["foreseen"], result["links"]
    size = 4.6 * len(links), 1 + 3.8 * len(devices)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(
        len(devices), len(links), sharex=True, sharey="row", squeeze=False
    )
    for row, device in zip(panels, devices, strict=True):
        for axes, link in zip(row, links, strict=True):
            curves = [c for c in device["curves"] if c["link"] == link["name"]]
            _panel(axes, curves)
            axes.set_title(f"{device['title']}\n{link['name']}", fontsize=10)
        row[0].set_ylabel("words/s")
    for axes in panels[-1]:
        axes.set_xlabel("devices")
    _own(panels[0, 0], result)
    clean(*panels.flat)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=120)


def _panel(axes, curves: list[dict]) -> None:
    one = curves[0]["points"][0]["words_per_second"]
    for curve, color in zip(curves, COLORS, strict=False):
        points = curve["points"]
        counts = [point["devices"] for point in points]
        rates = [point["words_per_second"] for point in points]
        axes.plot(counts, rates, color=color, label=WAYS[curve["way"]].title)
        if over := curve["dominated_from"]:
            rate = rates[counts.index(over)]
            axes.plot(over, rate, "x", color=color, markersize=9, markeredgewidth=2)
    axes.plot([], [], "x", color=GREY, label="exchanging takes over")
    axes.plot([1, 1024], [one, 1024 * one], ":", color=GREY, label="n times one device")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = [4**i for i in range(6)]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])


def _own(axes, result: dict) -> None:
    """What was measured on this machine, on the first panel."""
    colors = dict(zip(WAYS, COLORS, strict=False))
    for case in result["measured"][1:]:
        marker = "o" if case["processes"] == 1 else "s"
        axes.plot(
            case["devices"], case["median"], marker, color=colors[case["way"]],
            markersize=5, markerfacecolor="none" if marker == "s" else None,
        )  # fmt: skip
    for marker, face, label in (
        ("o", None, "measured: devices of one process"),
        ("s", "none", "measured: a process each, by loopback"),
    ):
        axes.plot([], [], marker, color=GREY, markerfacecolor=face, label=label)


def sync(result: dict, path: str | os.PathLike) -> None:
    """How far each measure is from one model's, and the words/s, against the steps."""
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    axes, speeds = figure.subplots(1, 2, sharex=True)
    rows = sorted(
        (row for row in result["rows"] if row["replicas"] > 1),
        key=lambda row: row["steps_between_merges"],
    )
    (one,) = (row for row in result["rows"] if row["replicas"] == 1)
    steps = [row["steps_between_merges"] for row in rows]
    names = [name for name in one["measures"] if name != LOSS] or [LOSS]
    for name, color in zip(names, COLORS, strict=False):
        cells = [row["measures"][name] for row in rows]
        axes.errorbar(
            steps,
            [cell["difference"] for cell in cells],
            [cell["standard_error"] or 0 for cell in cells],
            color=color, marker="o", markersize=4, capsize=2, label=name,
        )  # fmt: skip
    axes.axhline(0, color=GREY, linestyle=":", label="one model")
    axes.set_ylabel("difference from one model")
    handles = axes.get_legend_handles_labels()
    figure.legend(
        *handles, loc="outside lower center", ncols=len(names) + 1, frameon=False
    )
    rates = [row["words_per_second"] / 1e6 for row in rows]
    speeds.plot(steps, rates, color=COLORS[0], marker="o", markersize=4)
    speeds.axhline(one["words_per_second"] / 1e6, color=GREY, linestyle=":")
    speeds.set_ylabel("million words/s; dotted: one model")
    speeds.set_ylim(bottom=0)
    for each in (axes, speeds):
        each.set_xscale("log")
        each.set_xticks(steps, [f"{number:,.0f}" for number in steps])
        each.xaxis.set_minor_locator(NullLocator())
        each.set_xlabel("steps between two merges")
    clean(axes, speeds)
    figure.suptitle(
        f"Replicas: {result['replicas']}; epochs: {result['epochs']}; seeds: "
        f"{result['seeds']}; bars: standard errors",
        color=GREY, fontsize=10, ha="left", x=0.01,
    )  # fmt: skip
    figure.savefig(path, dpi=120)
