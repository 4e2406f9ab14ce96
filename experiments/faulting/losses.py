"""What a fault cost, and whether memory grows."""

from typing import NamedTuple

import numpy as np
from scipy import stats

BLOCKS = 10  #: of the second half of a run; memory is the median of each
#: A block's median is one of ten numbers; by chance alone a memory that does not grow
#: seems to, more than this t-interval allows, once in a thousand soaks.
CONFIDENCE = 0.999


class Clock(NamedTuple):
    """When the rounds of a run were done, as its metrics have it."""

    seconds: dict[int, float]  #: of training by rounds done, from no round on
    checkpoints: frozenset[int]  #: rounds after which a checkpoint was begun

    @property
    def reached(self) -> int:
        """Rounds done."""
        return max(self.seconds)

    def since(self, rounds: int) -> float:
        """Seconds from a round's report to that of the last one."""
        return self.seconds[self.reached] - self.seconds[rounds]

    def longest_round(self, first: int) -> float:
        """The most seconds from one round's report to the next, since ``first``."""
        seconds = [self.seconds[n] for n in sorted(self.seconds) if n >= first]
        return float(np.diff(seconds).max(initial=0))


def loss(sitting: dict, clock: Clock, went_on_from: int) -> dict:
    """What a sitting did that the next one has to do again.

    Args:
      sitting: how it ended: rounds reached, and the seconds that it worked on beyond
        the last round reported.
      clock: as it stood when the sitting ended.
      went_on_from: rounds done where the next sitting goes on.

    Returns:
      Rounds and seconds lost, and how many of the seconds a checkpoint that was begun
      and never finished had been on its way.
    """
    reached, unreported = sitting["reached"], sitting["unreported_seconds"]
    if went_on_from > reached:
        return {"rounds_lost": 0, "seconds_lost": 0.0, "writing_seconds": 0.0}
    begun = [n for n in clock.checkpoints if n > went_on_from]
    return {
        "rounds_lost": reached - went_on_from,
        "seconds_lost": clock.since(went_on_from) + unreported,
        "writing_seconds": clock.since(min(begun)) + unreported if begun else 0.0,
    }


def growth(seconds: np.ndarray, memory: np.ndarray) -> tuple[float, float]:
    """Slope of memory over time, and the half-width of its interval, both a second.

    A straight line through the medians of ten blocks of the second half. Neighbouring
    samples repeat each other; blocks, each longer than a checkpoint takes, do not.
    """
    half = len(seconds) // 2
    t, m = (
        np.array([np.median(block) for block in np.array_split(x[half:], BLOCKS)])
        for x in (np.asarray(seconds, float), np.asarray(memory, float))
    )
    t, m = t - t.mean(), m - m.mean()
    slope = np.dot(t, m) / np.dot(t, t)
    error = np.sqrt(np.sum((m - slope * t) ** 2) / (BLOCKS - 2) / np.dot(t, t))
    return float(slope), float(stats.t.ppf(CONFIDENCE, BLOCKS - 2) * error)
