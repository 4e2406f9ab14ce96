"""What the factorization experiment shows: a table and a picture."""

import os
import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.drawing import COLORS, GREY, clean

_DASHES = ("-", "--", ":", "-.")
_FAILURES = {
    "observed": "a score is further than 1e-4 from its s*",
    "unseen": "a pair never seen still scores as if seen 1e-4 times or more",
    "falls": "the largest score of a pair never seen fell no more",
}


def summary(result: dict) -> str:
    """The result as a table between words, at most 80 columns wide."""
    about = (
        f"{result['words']} words, {result['pairs']} pairs of a centre and a context, "
        f"{result['distinct_pairs']} different ones, all trained on at once. The score "
        "s of each should reach s*, that of a pair never seen should fall for ever."
    )
    parts = [about, _table(result["rows"]), *_findings(result)]
    return "\n\n".join(x if "\n" in x else textwrap.fill(x, 80) for x in parts)


def _table(rows: list[dict]) -> str:
    lines = [
        "                 iterations   largest   pairs never seen:",
        "rule     α    K    to 1e-4*  |s − s*|   largest s   as a count**",
    ]
    for row in rows:
        reached, unseen = row["iterations_to_bound"], row["largest_unseen_score"]
        lines.append(
            f"{row['collisions']} {row['noise_exponent']:5.4g} {row['negatives']:4d} "
            f"{'never' if reached is None else reached:>10} "
            f"{row['largest_error']:10.1e} "
            f"{'none' if unseen is None else format(unseen, '.1f'):>11} "
            f"{row['largest_unseen_count']:12.0e}     "
            + ("pass" if row["passed"] else "FAIL")
        )
    lines.append(" * and stays there   ** m·exp(s): the number of pairs it looks like")
    return "\n".join(lines)


def _findings(result: dict) -> list[str]:
    """What the numbers say, in whole sentences."""
    rows, pmi = result["rows"], result["pmi"]
    failed = {name for row in rows for name in row["failed"]}
    if failed:
        told = [f"{name}: {_FAILURES[name]}." for name in sorted(failed)]
        parts = [" ".join(["FAILED.", *told, "More --iterations may help."])]
    else:
        parts = [
            "Every observed pair is where theory puts it: with D >= V the two tables "
            "of vectors factorise a matrix known beforehand. Under keep it holds "
            "log[p(c|w)/P_n(c)] − log K, pointwise mutual information (PMI) smoothed "
            "by α and shifted by log K; skip adds −log[1−p(c|w)] to it."
        ]
    infinite = max(row["pairs_with_infinite_optimum"] for row in rows)
    if infinite:
        parts.append(
            f"Under skip, s* is +∞ and so left out for {infinite} of the pairs."
        )
    parts.append(
        ("" if pmi["passed"] else "FAILED: ")
        + "With keep, α = 1 and noise by how often words are contexts, s* is PMI − "
        f"log K itself: the two differ by {pmi['difference']:.0e} (rounding allows "
        f"{pmi['bound']:.0e}). Noise by word counts, which word2vec and this table "
        f"take, moves s* by up to {pmi['difference_by_word_counts']:.2f}: words near "
        "the ends of lines have fewer contexts."
    )
    return parts


def picture(runs: list, bound: float, path: str | os.PathLike) -> None:
    """How each rule converges, where scores arrive, how those of unseen pairs fall.

    Args:
      runs: trainings, as ``factorization.train`` returns them.
      bound: the largest |s − s*| allowed.
      path: the PNG file to write.
    """
    figure = Figure(figsize=(11, 8.5), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.12, w_pad=0.12)
    (keep, skip), (arrival, unseen) = figure.subplots(2, 2)
    skip.sharey(keep)
    styles = _styles(runs)
    _convergence(keep, [r for r in runs if r.config.collisions == "keep"], styles)
    _convergence(skip, [r for r in runs if r.config.collisions == "skip"], styles)
    keep.set_title("keep: s* = log[ p(c|w) / (K·P_n(c)) ]", loc="left")
    skip.set_title("skip: s* = log[ p(c|w) / (K·P_n(c)·(1 − p(c|w))) ]", loc="left")
    for axes in (keep, skip):
        axes.axhline(bound, color=GREY, linewidth=1)
        axes.annotate(
            f"the bound, {bound:g}", (1, bound), color=GREY, va="bottom",
            xytext=(0, 3), textcoords="offset points",
        )  # fmt: skip
    _legend(keep, *styles)
    _arrival(arrival, runs, styles)
    _unseen(unseen, runs, styles)
    clean(keep, skip, arrival, unseen)
    figure.savefig(path, dpi=120)


def _styles(runs: list) -> tuple[dict, dict]:
    """A colour for each K, a dash for each α, in the order given."""
    Ks = dict.fromkeys(run.config.negatives for run in runs)
    alphas = dict.fromkeys(run.config.noise_exponent for run in runs)
    color = {K: COLORS[i % len(COLORS)] for i, K in enumerate(Ks)}
    return color, {a: _DASHES[i % len(_DASHES)] for i, a in enumerate(alphas)}


def _line(run, styles: tuple[dict, dict]) -> dict:
    color, dash = styles
    return {
        "color": color[run.config.negatives],
        "linestyle": dash[run.config.noise_exponent],
        "linewidth": 1,
    }


def _convergence(axes: Axes, runs: list, styles: tuple[dict, dict]) -> None:
    for run in runs:
        iterations = np.arange(1, len(run.error_I) + 1)
        axes.loglog(iterations, run.error_I, **_line(run, styles))
    axes.set_xlabel("iterations of L-BFGS on all pairs")
    axes.set_ylabel("largest |s − s*| of an observed pair")


def _legend(axes: Axes, color: dict, dash: dict) -> None:
    handles = [Line2D([], [], color=c, label=f"K = {K}") for K, c in color.items()]
    handles += [
        Line2D([], [], color=GREY, linestyle=d, label=f"α = {alpha:g}")
        for alpha, d in dash.items()
    ]
    axes.legend(handles=handles, ncols=2, loc="lower left", frameon=False)


def _arrival(axes: Axes, runs: list, styles: tuple[dict, dict]) -> None:
    """Reached scores against s*: on the diagonal if theory is right."""
    for run in runs:
        finite = np.isfinite(run.optimum_VV)
        axes.plot(
            run.optimum_VV[finite], run.s_VV[finite], "o", markersize=6, alpha=0.25,
            color=styles[0][run.config.negatives], markeredgewidth=0,
        )  # fmt: skip
    axes.axline((0, 0), slope=1, color=GREY, linewidth=0.7, zorder=0)
    axes.set_title("Observed pairs of all trainings, at the end", loc="left")
    axes.set_xlabel("s*, from counts")
    axes.set_ylabel("s, from training")
    axes.set_aspect("equal", "datalim")


def _unseen(axes: Axes, runs: list, styles: tuple[dict, dict]) -> None:
    for run in runs:
        iterations = np.arange(1, len(run.unseen_I) + 1)
        axes.semilogx(iterations, run.unseen_I, **_line(run, styles))
    axes.set_title("Pairs never seen: s* = −∞", loc="left")
    axes.set_xlabel("iterations of L-BFGS on all pairs")
    axes.set_ylabel("largest score s of a pair never seen")
