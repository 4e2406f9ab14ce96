"""A profile for the terminal: at most 80 columns."""

import textwrap
from collections import Counter

from experiments.benchmarking.tables import digits

#: Ceiling → its name beside a fraction, what was measured.
CEILINGS = {
    "copy_memory": ("memory", "x + 1 on 256 MiB, read and written"),
    "copy_cache": ("cache", "x + 1 on as much as the rows of a step"),
    "random_rows": ("rows", "read anywhere in a table as large as the model's"),
    "sigmoid": ("sigmoid", "of as many values as a step has scores"),
    "product_float32": ("product", "of large square matrices, float32"),
    "product_bfloat16": ("product", "of large square matrices, bfloat16"),
}
_UNITS = {
    "bytes_per_second": ("GB/s", 1e9),
    "rows_per_second": ("million rows/s", 1e6),
    "values_per_second": ("million values/s", 1e6),
    "flops_per_second": ("Gflop/s", 1e9),
}


def table(result: dict) -> str:
    """The whole report: parts, ceilings, what limits the step."""
    about = (
        f"Training on {result['device']}: {result['vocabulary']:,} words, D = "
        f"{result['configuration']['dim']}, {result['kept_tokens_per_step']:,.0f} kept "
        "tokens a step. By kept token: the least time of "
        f"{result['repetitions']} measurements, its share of a step, the median "
        "as a multiple of it, the bytes and operations that the part needs at least, "
        "and how much it reaches of the ceiling that bounds it."
    )
    notes = "\n".join(textwrap.fill(note, 80) for note in what_limits(result))
    return "\n\n".join(
        [textwrap.fill(about, 80), _times(result), _ceilings(result["ceilings"]), notes]
    )


def _times(result: dict) -> str:
    lines = [
        f"{'':<16}{'ns':>7}{'share':>6}{'median':>7}{'bytes':>7}{'flops':>8}{'GB/s':>7}"
        f"{'Gflop/s':>8}{'of ceiling':>14}"
    ]
    whole = result["step"]["whole step"]["nanoseconds_per_token"]
    for group in ("parts", "step", "segment"):
        lines += [_line(name, row, whole) for name, row in result[group].items()]
    return "\n".join(lines)


def _line(name: str, row: dict, whole: float) -> str:
    ns = row["nanoseconds_per_token"]
    cells = f"{digits(ns):>7}{ns / whole:>6.0%}"
    median = row.get("median_nanoseconds_per_token")
    cells += f"{digits(median / ns) if median else '':>7}"
    if "bytes_per_token" in row:
        cells += f"{row['bytes_per_token']:>7,.0f}{row['flops_per_token']:>8,.0f}"
    if "ceiling" in row:
        gb, gflop = (digits(row[f"{x}_per_second"] / 1e9) for x in ("bytes", "flops"))
        cells += f"{gb:>7}{gflop:>8}{reached(row):>14}"
    return f"{name:<16}{cells}"


def reached(row: dict) -> str:
    """How much of which ceiling a part reaches: "62 % rows"."""
    if row["ceiling"] is None:
        return "–"
    percent = 100 * row["fraction_of_ceiling"]
    return f"{percent:.{0 if percent >= 1 else 1}f} % {CEILINGS[row['ceiling']][0]}"


def _ceilings(ceilings: dict[str, dict]) -> str:
    lines = ["The ceilings of this machine, measured between the parts:"]
    for ceiling, rates in ceilings.items():
        name, about = CEILINGS[ceiling]
        for quantity, rate in rates.items():
            unit, size = _UNITS[quantity]
            lines.append(f"{name:<8}{about:<48}{digits(rate / size):>7} {unit}")
    return "\n".join(lines)


def what_limits(result: dict) -> list[str]:
    """What bounds a step, what could be won, what the table leaves open."""
    parts, bound, won = result["parts"], Counter(), Counter()
    for name, row in parts.items():
        ns, least = row["nanoseconds_per_token"], row["least_nanoseconds_per_token"]
        bound[CEILINGS[row["ceiling"]][0] if least else "not measured"] += ns
        won[name] = ns - least if least else 0
    total, least = (
        result["step"]["sum of parts"][f"{which}nanoseconds_per_token"]
        for which in ("", "least_")
    )
    whole = result["step"]["whole step"]["nanoseconds_per_token"]
    shares = (f"{name} {ns / total:.0%}" for name, ns in bound.most_common())
    ((most, gain),) = won.most_common(1)
    notes = [
        f"What bounds the parts, by time: {', '.join(shares)}. Each at its ceiling, "
        f"they would take {digits(least)} ns, {least / whole:.0%} of a step; the most "
        f"is to be won in {most}, {digits(gain)} ns.",
        f"The parts sum to {total / whole:.0%} of the whole step: alone, a part finds "
        "its data in the cache, but is not fused with its neighbours. Prepare and host "
        "work once a segment, the host while the device does.",
    ]
    if max(row["fraction_of_ceiling"] or 0 for row in parts.values()) > 1:
        notes.append(
            "Above 100 %: the part finds more in the cache than what measures its "
            "ceiling, or other programs disturbed the latter."
        )
    return notes
