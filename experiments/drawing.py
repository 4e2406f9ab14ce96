"""Colours and axes that the pictures share."""

from matplotlib.axes import Axes

BLUE, ORANGE, GREY = "#2b6cb0", "#c05621", "#4a5568"
GREEN, PURPLE, RED = "#2f855a", "#6b46c1", "#c53030"
COLORS = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)


def clean(*axes: Axes) -> None:
    """A light grid, no box."""
    for one in axes:
        one.grid(alpha=0.3)
        one.spines[["top", "right"]].set_visible(False)
