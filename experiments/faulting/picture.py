"""The picture of a soak: rounds done and memory over time."""

import os

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, clean

ZOOM = 4.0  #: minutes that the second panel shows
_KINDS = {  # how a fault's name begins: colour, marker, label
    "SIGKILL, checkpoint": (RED, "X", "killed, a checkpoint damaged"),
    "SIGKILL, corpus": (ORANGE, "D", "killed, the encoded corpus damaged"),
    "SIGKILL": (GREY, "o", "killed"),
    "SIGTERM": (GREEN, "v", "asked to stop, SIGTERM"),
    "SIGINT": (PURPLE, "^", "interrupted, SIGINT"),
}


def draw(result: dict, path: str | os.PathLike) -> None:
    """Rounds over time with a mark for each fault; some minutes of it; memory."""
    figure = Figure(figsize=(11, 9.5), layout="constrained")
    whole, part, lower = figure.subplots(3, 1, height_ratios=(3, 3, 1.5))
    sittings, began = result["sittings"], result["sittings"][0]["started"]
    lines = _lines(sittings, began)
    for axes, size in ((whole, 14), (part, 40)):
        for minutes, rounds, width in lines:
            axes.plot(minutes, rounds, color=BLUE, linewidth=width)
        _marks(axes, sittings, began, size)
    samples = result["undisturbed"]["samples"]
    minutes, rounds, memory = zip(*((t / 60, n, m) for t, n, m in samples), strict=True)
    left_alone = {"color": GREY, "linestyle": "--", "linewidth": 1}
    whole.plot(minutes, rounds, **left_alone, label="left alone")
    lower.plot(minutes, memory, **left_alone)
    for one in sittings:
        most = max((m for *_, m in one["samples"]), default=0)
        lower.plot(_end(one, began), most, ".", color=BLUE, markersize=4)
    _show_part(whole, part, lines)
    whole.set_ylabel("rounds done")
    part.set_ylabel(f"rounds done, {ZOOM:g} minutes of it")
    lower.set_ylabel("anonymous MB,\nmost of a sitting")
    lower.set_xlabel("minutes")
    for axes in (whole, lower):
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, _end(sittings[-1], began) * 1.01)
    clean(whole, part, lower)
    legend = whole.get_legend_handles_labels()
    figure.legend(*legend, loc="outside upper left", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, dpi=120)


def _end(sitting: dict, began: float) -> float:
    return (sitting["started"] - began + sitting["seconds"]) / 60


def _lines(sittings: list[dict], began: float) -> list[tuple]:
    """Minutes, rounds, width: thick while a sitting trains, thin to the next one."""
    lines, before = [], (0.0, 0)
    for one in sittings:
        first, end = one["went_on_from"], (_end(one, began), one["reached"])
        if first is None:
            continue
        start, trained = one["started"] - began, one["trained_at"] or one["seconds"]
        # Until training begins, samples show the rounds of the sitting before.
        seen = [((start + t) / 60, n) for t, n, _ in one["samples"] if t > trained]
        begin, points = ((start + trained) / 60, first), [*seen, end]
        lines.append((*zip(before, begin, strict=True), 0.5))
        lines.append((*zip(begin, *points, strict=True), 1.3))
        before = end if one["exit_status"] else (end[0], 0)
    return lines


def _marks(axes: Axes, sittings: list[dict], began: float, size: float) -> None:
    """A mark where a fault ended a sitting."""
    of_kind = {kind: [] for kind in _KINDS}
    for one in sittings:
        kind = next((kind for kind in _KINDS if one["fault"].startswith(kind)), None)
        if kind:
            of_kind[kind].append((_end(one, began), one["reached"]))
    for kind, points in of_kind.items():
        color, marker, label = _KINDS[kind]
        if points:
            axes.scatter(
                *zip(*points, strict=True), s=size, color=color, marker=marker,
                linewidths=0, zorder=3, label=f"{label}: {len(points)}",
            )  # fmt: skip


def _show_part(whole: Axes, part: Axes, lines: list[tuple]) -> None:
    """Some minutes from the first quarter on; the whole is shaded there."""
    low = max(0.0, lines[-1][0][-1] / 4 - ZOOM / 2)
    whole.axvspan(low, low + ZOOM, color=GREY, alpha=0.08, linewidth=0)
    shown = [
        n
        for minutes, rounds, _ in lines
        for t, n in zip(minutes, rounds, strict=True)
        if low <= t <= low + ZOOM
    ]
    margin = 0.05 * (max(shown) - min(shown)) + 1
    part.set_xlim(low, low + ZOOM)
    part.set_ylim(min(shown) - margin, max(shown) + margin)
