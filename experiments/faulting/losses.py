"""What a fault cost, and whether memory grows."""

import numpy as np
from scipy import stats

BLOCKS = 10  #: of the second half of a run; memory is the median of each
#: A block's median is one of ten numbers; by chance alone a memory that does not grow
#: seems to, more than this t-interval allows, once in a thousand soaks.
CONFIDENCE = 0.999


def loss(sitting: dict, clock: dict[int, float], went_on_from: int) -> dict:
    """What a sitting did that the next one has to do again.

    Args:
      sitting: how it ended: rounds reached, and the seconds that it worked on beyond
        the last round reported.
      clock: seconds of training by rounds done, as they stood when the sitting ended.
      went_on_from: rounds done where the next sitting goes on.
    """
    reached = sitting["reached"]
    rounds = max(0, reached - went_on_from)
    seconds = clock[reached] - clock[reached - rounds] if rounds else 0.0
    if went_on_from <= reached:
        seconds += sitting["unreported_seconds"]
    return {"rounds_lost": rounds, "seconds_lost": seconds}


def longest_round(clock: dict[int, float], first: int) -> float:
    """The longest time from one round's report to the next, since round ``first``."""
    seconds = [clock[n] for n in sorted(clock) if n >= first]
    return float(np.diff(seconds).max(initial=0))


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
