"""The laboratory's two curves as pictures."""

import os

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments.drawing import BLUE, COLORS, GREY, ORANGE, clean


def steps(found: dict[str, list], path: str | os.PathLike) -> None:
    """Error against step: the V of central differences, the flat complex step."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    eps = float(np.finfo(np.float64).eps)
    for kind, color in (("complex", ORANGE), ("central", BLUE)):
        h, error = (np.array(found[f"{kind}_{part}"]) for part in ("steps", "errors"))
        shown = h >= 1e-16
        axes.loglog(
            h[shown], np.maximum(error[shown], eps / 4), "o-", ms=3, color=color
        )
    axes.axhline(eps, color=GREY, lw=0.8, ls=":")
    label = dict(fontsize=10, ha="left", va="center")
    axes.text(4e-9, 5e-4, "central difference:\nrounding, ε·L / h", color=BLUE, **label)
    axes.text(3e-2, 1e-6, "truncation,\nh²·L‴ / 6", color=GREY, **label)
    axes.text(
        1e-15, 6e-15, "complex step: as good down to h = 1e-300", color=ORANGE, **label
    )
    axes.text(1.5, eps, "ε", color=GREY, **label)
    axes.set_xlim(3e-16, 3)
    axes.set_xlabel("step h")
    axes.set_ylabel("largest relative error of the gradient")
    axes.set_title("Differentiating a pair's loss by differences, float64", loc="left")
    clean(axes)
    figure.savefig(path, dpi=120)


def scores(found: dict[str, dict[str, list]], path: str | os.PathLike) -> None:
    """Error against score by dtype: derived by hand, and by autodiff."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    for axes, answer, title in zip(
        figure.subplots(1, 2, sharey=True),
        ("derived", "jax.grad"),
        ("derived by hand", "jax.grad of the loss"),
        strict=True,
    ):
        for (dtype, errors), color in zip(found.items(), COLORS, strict=False):
            eps = float(jnp.finfo(dtype).eps)
            error = np.maximum(errors[answer], eps / 20)
            axes.loglog(errors["scores"], error, color=color, label=dtype)
            axes.axhline(eps / 2, color=color, lw=0.8, ls=":")
        axes.axhline(1, color=GREY, lw=0.8)
        axes.set_xlabel("size of the score |s|")
        axes.set_title(title, loc="left")
        clean(axes)
    figure.axes[0].set_ylabel("relative error of ∂L/∂u at s and −s")
    figure.axes[0].legend(loc="center left", frameon=False, bbox_to_anchor=(0, 0.36))
    figure.axes[1].text(
        1e-3, 1e-11,
        "dotted: ε/2, one rounding\n\n"
        "error 1: the true value lies below\nthe smallest number of the dtype",
        fontsize=9, color=GREY, va="center",
    )  # fmt: skip
    figure.savefig(path, dpi=120)
