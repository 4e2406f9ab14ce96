"""The walkthrough's picture: the words moving in the plane, and the loss."""

import os

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator

from experiments.drawing import BLUE, GREEN, GREY, ORANGE, RED, clean

#: For each vector its colour, and where its name stands beside its start, in points.
_STYLE = {
    "w_in[cat]": (BLUE, (0, 12), "center"),
    "w_out[dog]": (GREEN, (10, -9), "left"),
    "w_out[apple]": (ORANGE, (11, -4), "left"),
    "w_out[run]": (RED, (-10, 4), "right"),
}
_CROSS = {"marker": "x", "color": GREY, "linestyle": "none", "alpha": 0.8}
_FAINT = {"alpha": 0.4, "linewidth": 1, "marker": ".", "markersize": 4}


def picture(start: dict, values: dict, article: dict, path: str | os.PathLike) -> None:
    """Draws both panels: two iterations boldly, what would follow faintly.

    Args:
      start: vector → its place before the first iteration.
      values: (symbol, iteration) → the library's numbers, over several iterations.
      article: (symbol, iteration) → the numbers as the article prints them.
      path: where the picture goes.
    """
    figure = Figure(figsize=(12, 8), layout="constrained")
    plane, loss = figure.subplots(1, 2, width_ratios=(5, 6))
    iterations = max(i for symbol, i in values if symbol == "score")
    for name, place in start.items():
        places = [values[name, i] for i in range(1, iterations + 1)]
        _moves(plane, name, np.array([place, *places]))
        plane.plot(*np.array(article[name, 1], float), **_CROSS)
    plane.set(xlabel="x, first component", ylabel="y, second component")
    plane.set_title(f"The words over {iterations} iterations", loc="left")
    plane.set_aspect("equal", adjustable="datalim")
    _loss(loss, [values["loss", i][0] for i in range(1, iterations + 2)], article)
    clean(plane, loss)
    figure.savefig(path, dpi=120)


def _moves(axes: Axes, name: str, places: np.ndarray) -> None:
    """A vector's start, its two steps as arrows, and its further way."""
    color, offset, side = _STYLE[name]
    fill = color if name.startswith("w_in") else "white"
    axes.plot(*places[2:].T, color=color, **_FAINT)
    for begin, end in zip(places[:2], places[1:3], strict=True):
        arrow = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", end, begin, arrowprops=arrow | {"linewidth": 1.5})
    axes.plot(*places[0], "o", color=color, markerfacecolor=fill)
    axes.annotate(name, places[0], xytext=offset, textcoords="offset points",
                  color=color, ha=side)  # fmt: skip


def _loss(axes: Axes, losses: list[float], article: dict) -> None:
    """The loss before each iteration, and what the article prints of it."""
    axes.plot(range(2, len(losses)), losses[2:], color=BLUE, **_FAINT)
    axes.plot(range(3), losses[:3], color=BLUE, marker="o")
    prints = [article["loss", i][0] for i in (1, 2)]
    axes.plot(range(2), np.array(prints, float), **_CROSS)
    notes = [(i, y, f"{y:.4f}", BLUE) for i, y in enumerate(losses[:3])]
    notes += [(i, float(y), f"the article: {y}", GREY) for i, y in enumerate(prints)]
    for x, y, text, color in notes:
        beside = (60, 0) if x == 0 and color == GREY else (10, 0)
        axes.annotate(text, (x, y), xytext=beside, textcoords="offset points",
                      color=color, va="center")  # fmt: skip
    axes.set(xlabel="iterations done", ylabel="loss (nats)", ylim=(0, None))
    axes.xaxis.set_major_locator(MultipleLocator(2))
    axes.set_title("The loss", loc="left")
    axes.legend(handles=_legend(), loc="upper right", frameon=False)


def _legend() -> list[Line2D]:
    """What the marks of both panels mean."""
    plain = {"color": GREY, "linestyle": "none"}
    return [
        Line2D([], [], marker="o", **plain, label="start of a vector of w_in"),
        Line2D([], [], marker="o", markerfacecolor="white", **plain,
               label="start of a vector of w_out"),
        Line2D([], [], marker=">", color=GREY, label="the article's two iterations"),
        Line2D([], [], color=GREY, **_FAINT, label="iterations after them"),
        Line2D([], [], **_CROSS, label="as the article prints it"),
        Line2D([], [], linestyle="none", label="banana has no vector in the article"),
    ]  # fmt: skip
