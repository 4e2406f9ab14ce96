"""One picture of the estimator: its variance, its sampler, its pairs."""

import os

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.drawing import BLUE, COLORS, GREY, ORANGE, clean
from experiments.estimation.curves import Curve
from experiments.estimation.gradient import Study
from experiments.estimation.pairs import TextPairs
from experiments.estimation.sampling import noise_probabilities


def save(
    path: str | os.PathLike,
    study: Study,
    curves: dict[str, Curve],
    drawn: dict[float, np.ndarray],
    pairs: TextPairs,
) -> None:
    """Three curves of the variance; the sampler, and the pairs of a text twice."""
    figure = Figure(figsize=(15, 9), layout="constrained")
    (left, middle, right), (sampler, distances, chances) = figure.subplots(2, 3)
    K, N = study.config.negatives, study.config.noise_words
    _negatives(left, curves["negatives"])
    _share(middle, curves["noise_exponent"])
    middle.set(ylim=(0, None), xlabel=f"noise exponent α (K = {K}, N = {N} shared)")
    middle.set_title("Shared noise: variance by its exponent", loc="left")
    _share(right, curves["noise_words"])
    _independent(right, curves, K)
    right.set(xscale="log", yscale="log")
    right.set_xlabel(f"N, noise words a block shares (K = {K})")
    right.set_title("Shared noise: variance falls as 1/N", loc="left")
    _sampler(sampler, study.counts, drawn)
    _distances(distances, pairs, study.config.window)
    _chances(chances, pairs)
    clean(left, middle, right, sampler, distances, chances)
    figure.savefig(path, dpi=120)


def _column(curve: Curve, name: str) -> np.ndarray:
    return np.array([getattr(point, name) for _, point in curve])


def _points(axes: Axes, x: np.ndarray, curve: Curve, scale: np.ndarray) -> None:
    """Drawn variances with two standard errors to either side."""
    drawn, error = _column(curve, "variance"), _column(curve, "standard_error")
    axes.errorbar(
        x, drawn / scale, 2 * error / scale, color=BLUE, fmt="o", markersize=4,
        capsize=3, label="drawn, ±2 standard errors", zorder=3,
    )  # fmt: skip


def _negatives(axes, curve):
    """Variance and |mean|² apart: the mean has a least K, and their ratio a peak."""
    K = np.array([value for value, _ in curve])
    fine = np.geomspace(K[0], K[-1], 200)
    # The mean is a + bK, so three points of its square give all others.
    square = np.polyval(np.polyfit(K, _column(curve, "square_mean"), 2), fine)
    line = fine * curve[0][1].exact_variance / K[0]
    axes.plot(fine, line, color=GREY, label="variance, closed form")
    axes.plot(fine, square, color=ORANGE, label="|mean gradient|²")
    _points(axes, K, curve, np.ones(len(K)))
    axes.set(xscale="log", yscale="log", xlabel="K, noise words a pair draws alone")
    axes.set_ylabel("squared length in the space of all parameters")
    axes.set_title("Independent noise: variance grows as K", loc="left")
    axes.legend(frameon=False)


def _share(axes, curve):
    """Variance in units of |mean|²."""
    x = np.array([value for value, _ in curve])
    scale = _column(curve, "square_mean")
    exact = _column(curve, "exact_variance") / scale
    axes.plot(x, exact, color=GREY, label="closed form")
    _points(axes, x, curve, scale)
    axes.set_ylabel("variance / |mean gradient|²")
    axes.legend(frameon=False)


def _independent(axes, curves, K):
    """The height that shared noise comes down to when N is large enough."""
    one, point = curves["negatives"][0]
    height = point.exact_variance * K / one / curves["noise_words"][0][1].square_mean
    axes.axhline(height, color=ORANGE)
    axes.annotate(
        f"independent noise, K = {K}", (0.02, height), color=ORANGE, va="bottom",
        xycoords=("axes fraction", "data"), xytext=(0, 3), textcoords="offset points",
    )  # fmt: skip


def _sampler(axes, counts, drawn):
    """P_n by rank; draws averaged over words of neighbouring rank."""
    V = len(counts)
    edges = np.unique(np.geomspace(1, V + 1, 25).astype(int)) - 1
    rank_V = np.arange(1, V + 1)
    rank = np.add.reduceat(rank_V, edges[:-1]) / np.diff(edges)
    for color, (exponent, seen_V) in zip(COLORS, drawn.items(), strict=False):
        P_V = noise_probabilities(counts, exponent)
        axes.plot(rank_V, P_V, color=color, linewidth=1)
        share = np.add.reduceat(seen_V, edges[:-1]) / np.diff(edges) / seen_V.sum()
        axes.plot(rank, share, "o", color=color, markersize=4)
        axes.annotate(
            f"α = {exponent:g}", (1, P_V[0]), color=color, ha="right", va="center",
            xytext=(-8, 0), textcoords="offset points",
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=(0.12, None))
    axes.set_xlabel("rank of the word by frequency")
    axes.set_ylabel("probability of a noise word")
    axes.set_title("The sampler: $P_n$ (lines), draws (dots)", loc="left")


def _distances(axes, pairs, window):
    """Where pairs lie in the text, with and without subsampling."""
    common = np.flatnonzero(pairs.expected > 0.005 * pairs.expected[0])
    far = max(int(common[-1]) + 1, window)
    x = np.arange(1, far + 1)
    kinds = (
        ("every word kept, closed form", pairs.unsubsampled, GREY, "-"),
        ("subsampled, closed form", pairs.expected, ORANGE, "-"),
        ("subsampled, drawn", pairs.drawn, BLUE, "o"),
    )
    for label, values, color, style in kinds:
        share = values[:far] / values.sum()
        axes.plot(x, share, style, color=color, label=label, markersize=4)
    axes.set(ylim=(0, None), xlabel="words of the text from centre to context")
    axes.set_ylabel("share of the pairs")
    axes.set_title(f"Subsampling widens the window (W = {window})", loc="left")
    axes.legend(frameon=False)


def _chances(axes, pairs):
    """Each pair of positions: its chance to be a pair, and how often it was."""
    top = pairs.chance.max()
    axes.plot(pairs.chance, pairs.share, ".", color=BLUE, markersize=2, alpha=0.6)
    axes.plot([0, top], [0, top], color=ORANGE, linewidth=1)
    axes.set_xlabel("chance, closed form")
    axes.set_ylabel("share of the samplings")
    axes.set_title("Two positions of the text are a pair", loc="left")
