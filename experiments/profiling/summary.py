"""Times, work and ceilings brought together, all by kept token."""

import statistics

from experiments.profiling.work import Work


def timing(seconds: list[float], tokens: float) -> dict:
    """The least of the repetitions counts: what else the machine does only adds."""
    return {
        "nanoseconds_per_token": 1e9 * min(seconds) / tokens,
        "median_nanoseconds_per_token": 1e9 * statistics.median(seconds) / tokens,
    }


def of_part(
    seconds: list[float], tokens: float, work: Work, rates: dict[str, float]
) -> dict:
    """One part: time, work, and the roofline above it.

    The least time is the longest that any ceiling asks for, as if all else were done
    meanwhile (Williams, Waterman & Patterson 2009).

    Args:
      seconds: of each repetition.
      tokens: how many kept tokens the seconds and the work are for.
      work: what is done in that time.
      rates: ceiling → bytes, operations, rows or values a second.
    """
    row, best = timing(seconds, tokens), min(seconds)
    least = {name: amount / rates[name] for name, amount in work.asked.items()}
    ceiling = max(least, key=least.get, default=None)
    return row | {
        "bytes_per_token": work.bytes / tokens,
        "flops_per_token": work.flops / tokens,
        "bytes_per_second": work.bytes / best,
        "flops_per_second": work.flops / best,
        "ceiling": ceiling,
        "least_nanoseconds_per_token": ceiling and 1e9 * least[ceiling] / tokens,
        "fraction_of_ceiling": ceiling and least[ceiling] / best,
    }


def total(parts: list[dict]) -> dict:
    """The sum of parts; one without a ceiling needs the time that it takes."""
    names = ("nanoseconds_per_token", "bytes_per_token", "flops_per_token")
    sums = {name: sum(part[name] for part in parts) for name in names}
    least = [
        part["least_nanoseconds_per_token"] or part["nanoseconds_per_token"]
        for part in parts
    ]
    return sums | {"least_nanoseconds_per_token": sum(least)}
