"""Pictures of a training run."""

import os

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from experiments.drawing import BLUE, GREY, ORANGE, clean, fonts_for
from sgns_jax.vectors import WordVectors


def loss(metrics: list[dict], path: str | os.PathLike) -> None:
    """Positive and negative parts of the loss, and the learning rate, by epoch."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    epoch = [line["epoch"] for line in metrics]
    for name, label, color in (
        ("loss", "sum", GREY),
        ("positive_loss", "positive part, −log σ(s)", BLUE),
        ("negative_loss", "negative part, −Σ log σ(−s)", ORANGE),
    ):
        values = [line[name] for line in metrics]
        upper.plot(epoch, values, color=color, marker=".", markersize=3)
        # A label is as wide as a quarter of the curve, and stands above all of it.
        top = max(v for e, v in zip(epoch, values, strict=True) if e > 0.7 * epoch[-1])
        upper.annotate(
            label, (epoch[-1], top), color=color, ha="right", va="bottom",
            xytext=(0, 4), textcoords="offset points",
        )  # fmt: skip
    upper.set_ylabel("loss per positive pair (nats)")
    upper.set_ylim(bottom=0)
    lower.plot(epoch, [line["learning_rate"] for line in metrics], color=GREY)
    lower.set_ylabel("learning rate")
    lower.set_ylim(bottom=0)
    lower.set_xlabel("epoch")
    clean(upper, lower)
    figure.savefig(path, dpi=120)


def word_map(
    vectors: WordVectors, path: str | os.PathLike, first: int = 50, number: int = 300
) -> list[str]:
    """The most frequent words on a plane, near each other if they are used alike.

    t-SNE (van der Maaten & Hinton 2008) on cosine distances. The very first words of
    a text are particles without a place of their own and are left out of the picture
    where the vocabulary allows. Returns the words that no font of this machine can
    show: they are points without a name.
    """
    first = min(first, max(len(vectors) - number, 0))
    words = vectors.words[first : first + number]
    unit = vectors.normalized[first : first + number]
    plane = _tsne(unit)
    fonts, missing = fonts_for(set().union(*words))
    shown = [not missing & set(word) for word in words]
    figure = Figure(figsize=(13, 10), layout="constrained")
    axes = figure.subplots()
    axes.scatter(*plane.T, s=6, color=BLUE, linewidths=0)
    axes.set_axis_off()
    nameless = [word for word, can in zip(words, shown, strict=True) if not can]
    axes.set_title(
        f"Words {first + 1} to {first + len(words)} by frequency: near each other if "
        "used alike (t-SNE)"
        + (f"; {len(nameless)} have letters that no font has" if nameless else ""),
        loc="left",
    )
    named = [word for word, can in zip(words, shown, strict=True) if can]
    _label(figure, axes, plane[shown], named, fonts)
    figure.savefig(path, dpi=110)
    return nameless


def _tsne(unit: np.ndarray) -> np.ndarray:
    perplexity = min(12.0, max((len(unit) - 1) / 3, 1.0))
    tsne = TSNE(
        metric="cosine", perplexity=perplexity, init="random", random_state=0
    )  # fmt: skip
    # It has a thousand short parts for each core, which wait for each other: 300 words
    # took 0.6 s of one core, and 15 s of two on a machine with other work.
    with threadpool_limits(1):
        return tsne.fit_transform(unit)


def _label(
    figure: Figure, axes, plane: np.ndarray, words: list[str], fonts: list[str]
) -> None:
    """Writes each word beside its point where it covers no other word.

    Frequent words choose first; a word with no free place keeps its point alone.
    """
    places = [(4, 0, "left", "center"), (-4, 0, "right", "center"),
              (0, 4, "center", "bottom"), (0, -4, "center", "top")]  # fmt: skip
    figure.draw_without_rendering()  # fixes the layout that the boxes are measured in
    renderer, taken = FigureCanvasAgg(figure).get_renderer(), []
    for word, point in zip(words, plane, strict=True):
        for dx, dy, ha, va in places:
            text = axes.annotate(
                word, point, xytext=(dx, dy), textcoords="offset points",
                ha=ha, va=va, fontsize=8, color="#1a202c",
                fontfamily=fonts, parse_math=False,
            )  # fmt: skip
            box = text.get_window_extent(renderer)
            if not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()
