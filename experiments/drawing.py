"""Colours, axes and fonts that the pictures share."""

import logging
from contextlib import suppress

from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, fontManager

# It tells of each font that has no usual weight; any that has the letters will do.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

BLUE, ORANGE, GREY = "#2b6cb0", "#c05621", "#4a5568"
GREEN, PURPLE, RED = "#2f855a", "#6b46c1", "#c53030"
COLORS = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)


def clean(*axes: Axes) -> None:
    """A light grid, no box."""
    for one in axes:
        one.grid(alpha=0.3)
        one.spines[["top", "right"]].set_visible(False)


def fonts_for(characters: set[str]) -> tuple[list[str], set[str]]:
    """Font families that have the characters, and those characters that none has.

    Matplotlib takes each glyph from the first of several families that has it. The
    usual one comes first; of the others, those that add most.
    """
    families = FontProperties().get_family()
    missing = characters - _held(families[0], characters)
    if missing:
        _know_new_fonts()
    names = {font.name for font in fontManager.ttflist} if missing else set()
    # The last resort has a square for every character there is.
    adds = {n: _held(n, missing) for n in names if not n.startswith("Last Resort")}
    while missing:
        best = max(adds, key=lambda n: (len(adds[n] & missing), "Sans" in n, n))
        if not adds[best] & missing:
            break
        families = [*families, best]
        missing = missing - adds[best]
    return families, missing


def _held(family: str, characters: set[str]) -> set[str]:
    """Those of the characters for which the family's usual font has a glyph."""
    path = fontManager.findfont(FontProperties(family=[family]))
    font = font_manager.get_font(path)
    return {c for c in characters if font.get_char_index(ord(c))}


def _know_new_fonts() -> None:
    """Adds fonts installed since Matplotlib wrote its list, which it keeps for good."""
    known = {font.fname for font in fontManager.ttflist}
    for path in set(font_manager.findSystemFonts()) - known:
        with suppress(OSError, RuntimeError):  # some are no fonts, or of one size alone
            fontManager.addfont(path)
