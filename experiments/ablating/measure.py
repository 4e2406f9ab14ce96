"""What a measure of a model is."""

from typing import NamedTuple


class Measure(NamedTuple):
    """What a reader should know of a number that is measured of each model."""

    title: str  #: a few words, for headings
    meaning: str  #: a sentence: what it is, its unit, its source
    better: int  #: +1 if more is better, −1 if less is, 0 if neither
