"""What must hold, what was measured, and does it?"""

from collections.abc import Iterator
from typing import NamedTuple

from experiments.faulting import losses, reading
from experiments.faulting.damage import KILL

#: Peaks of processes that do the same differ by some percent with what the allocator
#: could use again; one that goes on also reads a checkpoint.
PEAK_RATIO = 1.15
#: Anonymous memory may grow so much an hour, as a share of itself,
GROWTH_AN_HOUR = 0.01
#: and so many MB with each checkpoint: Orbax's store never frees 12 kB of each.
GROWTH_A_CHECKPOINT = 0.015
#: Of training, before its memory can be judged: at first buffers grow until each has
#: been as large as it will be.
SETTLING_SECONDS = 300.0
#: A checkpoint of the soak is written in a tenth of a second on a machine at rest.
WRITING_SECONDS = 10.0
CHECKPOINT_SHARE = 0.02  #: of the time, by default
SPEED_RATIO = 0.9  #: with a text larger than memory, of that with one that fits


class Verdict(NamedTuple):
    """A line of the last table."""

    what: str
    measured: str
    bound: str
    holds: bool


def of_soak(result: dict) -> list[Verdict]:
    """The verdicts on a soak's records."""
    return [
        *_on_bits(result["runs"]),
        *_on_losses(result["sittings"], result["checkpoint_seconds"]),
        *_on_ends(result["sittings"]),
        *_on_memory(result),
    ]


def _on_bits(runs: list[dict]) -> list[Verdict]:
    verdicts = []
    for name, what in (
        ("equal_vectors", "runs whose vectors.txt has the same bytes"),
        ("equal_metrics", "runs whose losses are the same"),
    ):
        equal = sum(run[name] for run in runs)
        holds = equal == len(runs) > 0
        verdicts.append(Verdict(what, f"{equal} of {len(runs)}", "all", holds))
    return verdicts


def _on_losses(sittings: list[dict], checkpoint_seconds: float) -> list[Verdict]:
    whole = [one for one in sittings if not one["checkpoint_damaged"]]
    killed = [one for one in whole if one["fault"].startswith(KILL.name)]
    asked = [one for one in whole if one["fault"] in ("SIGTERM", "SIGINT")]
    # A checkpoint is due when a round is done, so a round may be lost beyond it; until
    # it is written whole, what it holds is lost, too.
    under_way = "longest_round_seconds", "writing_seconds"
    beyond = max(
        (one["seconds_lost"] - sum(one[key] for key in under_way) for one in killed),
        default=0.0,
    )
    writing = max((one["writing_seconds"] for one in killed), default=0.0)
    rounds = max((one["rounds_lost"] for one in asked), default=0)
    return [
        Verdict(
            f"seconds {len(killed)} kills lost beyond a round, a write",
            f"{max(beyond, 0):.1f}",
            f"<= {checkpoint_seconds:g}",
            beyond <= checkpoint_seconds,
        ),
        Verdict(
            "seconds of a write that a kill broke off",
            f"{writing:.1f}",
            f"<= {WRITING_SECONDS:g}",
            writing <= WRITING_SECONDS,
        ),
        Verdict(
            f"rounds that {len(asked)} SIGTERM, SIGINT lost, at most",
            f"{rounds}",
            "0",
            rounds == 0,
        ),
    ]


def _on_ends(sittings: list[dict]) -> list[Verdict]:
    good = sum(one["exit_status"] == one["expected_status"] for one in sittings)
    tracebacks = sum(one["traceback"] for one in sittings)
    number = len(sittings)
    return [
        Verdict(
            "exit statuses as promised", f"{good} of {number}", "all", good == number
        ),
        Verdict("tracebacks", f"{tracebacks}", "0", not tracebacks),
    ]


def _on_memory(result: dict) -> Iterator[Verdict]:
    undisturbed = result["undisturbed"]
    training = [x for x in undisturbed["samples"] if 0 < x[1] < result["rounds"]]
    seconds, _, memory = zip(*training, strict=True)
    if seconds[-1] - seconds[0] >= SETTLING_SECONDS:
        slope, width = (3600 * x for x in losses.growth(seconds, memory))
        checkpoints = 3600 / result["checkpoint_seconds"]
        bound = GROWTH_AN_HOUR * memory[-1] + GROWTH_A_CHECKPOINT * checkpoints
        yield Verdict(
            "memory's growth, MB an hour, left alone",
            f"{slope:.1f} ± {width:.1f}",
            f"<= {bound:.1f}",
            slope - width <= bound and width <= bound,  # too wide says nothing
        )
    peak = max(one["peak_memory_bytes"] for one in result["sittings"])
    ratio = peak / undisturbed["peak_memory_bytes"]
    yield Verdict(
        "largest peak of memory over that left alone",
        f"{ratio:.2f}",
        f"<= {PEAK_RATIO}",
        ratio <= PEAK_RATIO,
    )


def of_large(result: dict) -> list[Verdict]:
    """The verdicts on a text larger than memory."""
    ratio = result["ratio"]
    peak, limit = result["most_bytes"]["data"], result["limit_bytes"]
    statuses = {one["exit_status"] for one in result["cases"].values()}
    return [
        Verdict(
            "words/s, of those with a text that fits",
            f"{ratio:.3f}",
            f">= {SPEED_RATIO}",
            ratio >= SPEED_RATIO,
        ),
        Verdict(
            "most data at once, as ulimit -d counts it, GB",
            f"{peak / 1e9:.2f}",
            f"<= {limit / 1e9:g}",
            0 < peak <= limit,
        ),
        Verdict(
            "exit statuses when asked to stop",
            ", ".join(map(str, sorted(statuses))),
            "143",
            statuses == {143},
        ),
    ]


def of_cost(result: dict) -> list[Verdict]:
    """The verdict on what checkpoints cost."""
    share = result["share_by_default"]
    return [
        Verdict(
            "of the time, one a minute",
            f"{100 * share:.2f} %",
            f"<= {100 * CHECKPOINT_SHARE:g} %",
            share <= CHECKPOINT_SHARE,
        )
    ]


def of_texts(files: list[dict]) -> list[Verdict]:
    """The verdicts on texts that were read, file by file."""
    number = sum(one["texts"] for one in files)
    verdicts = []
    for key, what in reading.CHECKS.items():
        good = sum(one["held"][key] for one in files)
        holds = good == number > 0
        verdicts.append(Verdict(what, f"{good} of {number}", "all", holds))
    return verdicts


def table(verdicts: list[Verdict]) -> str:
    """A line a verdict."""
    lines = [f"{'':<47}{'measured':>13}{'bound':>10}  holds"]
    for what, measured, bound, holds in verdicts:
        lines.append(f"{what:<47}{measured:>13}{bound:>10}  {'yes' if holds else 'NO'}")
    return "\n".join(lines)
