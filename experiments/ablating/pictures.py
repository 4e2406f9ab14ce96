"""Pictures of an ablation: for each measure a map of K × α, and curves with bands."""

import io
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from tqdm import tqdm

from experiments.ablating import records, statistics, summary
from experiments.ablating.records import ALPHA, BUDGETS, DIRECTIONS, K, value
from experiments.drawing import BLUE, GREY, clean

_INK = "#1a202c"
#: Blue is better wherever a measure has a direction; else neither colour is.
_MAPS = {1: "RdBu", -1: "RdBu_r", 0: "PuOr_r"}
_SIDES = {1: "blue: better", -1: "blue: better", 0: "no direction"}
_NOTE = (
    "Means over seeds, and 95 % t-intervals. Dashed: the reference. Intervals of two "
    "lines may overlap though their difference, seed by seed, is clear."
)


def draw(result: dict, place: Callable[[str], Path]) -> dict[str, list[Path]]:
    """Draws all measures: {measure: [heat map, curves]}.

    Args:
      place: the path of a file of that name, as ``Workdir.path``.
    """
    paths = {}
    for measure in tqdm(result["measures"], desc="drawing", leave=False):
        paths[measure] = []
        for kind, drawn in (("heatmap", heat_map), ("curves", curves)):
            path = place(f"{kind}_{measure}.png")
            _save(drawn(result, measure), path)
            paths[measure].append(path)
    return paths


def _save(figure: Figure, path: Path) -> None:
    """With a palette of 256 colours: a third of the bytes, and the page holds all."""
    whole = io.BytesIO()
    figure.savefig(whole, dpi=120)
    Image.open(whole).convert("RGB").quantize().save(path, optimize=True)


def heat_map(result: dict, measure: str) -> Figure:
    """K × α under each budget: means and half-widths, coloured by the difference.

    Settings other than K and α are at the reference.
    """
    grid, better = result["grid"], result["measures"][measure]["better"]
    groups = [statistics.group(result, measure, budget) for budget in result["budgets"]]
    groups = [records.plane(result, cells) for cells in groups]
    width = max(1.9 + len(groups) * (0.3 + 0.82 * len(grid[ALPHA])), 6.4)
    size = width, 2.1 + 0.52 * len(grid[K])
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    limit = _limit([cell for cells in groups for cell in cells], better)
    digits = statistics.decimals(result, measure)
    for axes, cells in zip(panels, groups, strict=True):
        rows = np.reshape([_difference(cell) for cell in cells], (len(grid[K]), -1))
        norm = Normalize(-limit, limit)
        image = axes.imshow(rows, cmap=_colors(better), norm=norm, aspect="auto")
        for place, cell in zip(np.ndindex(rows.shape), cells, strict=True):
            _write(axes, cell, place, digits)
        axes.set_title(BUDGETS[cells[0]["budget"]], loc="left", fontsize=10, color=GREY)
        axes.set_xticks(range(len(grid[ALPHA])), map(value, grid[ALPHA]))
        axes.set_yticks(range(len(grid[K])), map(value, grid[K]))
        axes.set_xlabel(records.label(ALPHA))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    panels[0].set_ylabel(records.label(K))
    bar = figure.colorbar(image, ax=list(panels), extend="both", pad=0.01)
    bar.outline.set_visible(False)
    bar.set_label(f"difference to the reference\n({_SIDES[better]})")
    _head(figure, result, measure, summary.legend(result, "Box: the"))
    return figure


def _colors(better: int) -> Colormap:
    """Without the darkest ends, which swallow what is written on them."""
    return ListedColormap(colormaps[_MAPS[better]](np.linspace(0.1, 0.9, 256)))


def _difference(cell: dict) -> float:
    """To the reference; not a number where there is no value to compare."""
    if cell["verdict"] == "reference" and cell["n"]:
        return 0.0
    return cell["difference"]["mean"] if cell["difference"] else np.nan


def _limit(cells: list[dict], better: int) -> float:
    """Where colours end: gains are told apart, but one great loss pales no others."""
    found = [d for cell in cells if np.isfinite(d := _difference(cell)) and d]
    most = np.quantile(np.abs(found), 0.8) if found else 1
    return max([most, *np.multiply(better, found)])


def _write(axes: Axes, cell: dict, place: tuple[int, int], digits: int) -> None:
    """A cell's mean with its mark, and its half-width below."""
    (row, column), image, difference = place, axes.get_images()[0], _difference(cell)
    *rgb, _ = image.cmap(image.norm(difference)) if np.isfinite(difference) else [1] * 4
    dark = np.dot(rgb, (0.299, 0.587, 0.114)) < 0.5
    style = {"color": "white" if dark else _INK, "ha": "center", "va": "center"}
    mean = records.number(cell["mean"], digits) if cell["n"] else "–"
    clear = cell["verdict"] in ("better", "worse", "different")
    text, above = mean + summary.mark(cell) * clear, 0.14 * bool(cell["interval"])
    weight = "bold" if clear else None
    axes.text(column, row - above, text, weight=weight, fontsize=9, **style)
    if cell["interval"]:
        half = records.number(statistics.half_width(cell), digits)
        axes.text(column, row + 0.24, f"±{half}", fontsize=7, **style)
    if cell["verdict"] == "reference":
        corner = column - 0.48, row - 0.47
        axes.add_patch(Rectangle(corner, 0.96, 0.94, fill=False, ec=_INK, lw=2))


def _head(figure: Figure, result: dict, measure: str, note: str) -> None:
    """The measure above, what the numbers are below."""
    about = result["measures"][measure]
    title = f"{about['title']} ({DIRECTIONS[about['better']]})"
    style = {"fontsize": 12, "color": _INK, "parse_math": False}
    figure.suptitle(title, x=0.01, ha="left", **style)
    note = textwrap.fill(note, int(16.5 * figure.get_figwidth()))
    figure.supxlabel(note, x=0.01, ha="left", fontsize=7.5, color=GREY)


def curves(result: dict, measure: str) -> Figure:
    """The measure against α, a line for each K, and against each other setting.

    Columns are budgets. All that a panel does not vary is at the reference.
    """
    panels = _panels(result["grid"])
    n, budgets = len(panels), result["budgets"]
    size = max(5.2 * len(budgets), 6.4), 0.9 + 2.9 * n
    figure = Figure(figsize=size, layout="constrained")
    rows = figure.subplots(n, len(budgets), sharex="row", sharey="row", squeeze=False)
    for axes_of_row, (x, lines) in zip(rows, panels, strict=True):
        for axes, budget in zip(axes_of_row, budgets, strict=True):
            cells = statistics.group(result, measure, budget)
            _panel(axes, result, cells, x, lines)
            axes.set_title(BUDGETS[budget], loc="left", fontsize=10, color=GREY)
            axes.set_xlabel(records.label(x))
        title = result["measures"][measure]["title"]
        axes_of_row[0].set_ylabel(
            textwrap.fill(title, 32), fontsize=9, parse_math=False
        )
        if lines:
            right = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
            axes.legend(title=records.symbol(lines), frameon=False, **right)
    clean(*rows.flat)
    _head(figure, result, measure, _NOTE)
    return figure


def _panels(grid: dict) -> list[tuple[str, str | None]]:
    """What is on the x axis, and what the lines are, of each row of panels."""
    several = [name for name, values in grid.items() if len(values) > 1]
    others = [(name, None) for name in several if name not in (K, ALPHA)]
    if ALPHA in several:
        return [(ALPHA, K), *others]
    return [(K, None), *others] if K in several or not others else others


def _panel(
    axes: Axes, result: dict, cells: list[dict], x: str, lines: str | None
) -> None:
    """One measure under one budget against one setting, with bands."""
    at, values = result["reference"], sorted(result["grid"][x])
    names = result["grid"][lines] if lines else [at[x]]
    # α is a number on a line; other settings are as good as names: 1, 2, 5, 10, 20.
    positions = values if x == ALPHA else range(len(values))
    shades = colormaps["viridis"](np.linspace(0, 0.85, len(names)))
    for name, color in zip(names, shades if lines else [BLUE], strict=True):
        places = [at | {lines or x: name} | {x: one} for one in values]
        line = [cell for one in places for cell in cells if cell["settings"] == one]
        low, mean, high = np.transpose([_band(cell) for cell in line])
        heavy = 2.4 if name == at[lines or x] else 1.2
        style = {"color": color, "label": value(name), "lw": heavy}
        axes.plot(positions, mean, marker="o", ms=4, **style)
        axes.fill_between(positions, low, high, color=color, alpha=0.15, lw=0)
        axes.vlines(positions, low, high, color=color, alpha=0.5, lw=0.8)
    for cell in cells:
        if cell["verdict"] == "reference" and cell["n"]:
            axes.axhline(cell["mean"], color=GREY, lw=0.8, ls="--", zorder=0)
    axes.set_xticks(positions, map(value, values))


def _band(cell: dict) -> tuple[float, float, float]:
    """Low, mean, high; not a number where there is none."""
    low, high = cell["interval"] or (np.nan, np.nan)
    return low, cell["mean"] if cell["n"] else np.nan, high
