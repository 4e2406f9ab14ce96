"""The table of each part."""

import statistics

from experiments.faulting import verdicts


def soak(result: dict) -> str:
    """What was done and what it cost, a line a fault; the verdicts."""
    sittings, runs = result["sittings"], result["runs"]
    kills = sum(one["fault"] != "none" for one in sittings)
    lines = [
        f"{result['disturbed_seconds'] / 60:.0f} minutes of training with {kills} "
        f"faults, {len(runs)} runs of {result['rounds']:,} rounds.",
        "",
        f"{'':<38}{'times':>6}{'rounds lost':>16}{'seconds lost':>16}",
        f"{'':<38}{'':>6}{'median':>9}{'most':>7}{'median':>9}{'most':>7}",
    ]
    for fault in sorted({one["fault"] for one in sittings} - {"none"}):
        those = [one for one in sittings if one["fault"] == fault]
        rounds, seconds = (
            (statistics.median(values), max(values))
            for values in (
                [one[f"{unit}_lost"] for one in those] for unit in ("rounds", "seconds")
            )
        )
        lines.append(
            f"{fault:<38}{len(those):>6}{rounds[0]:>9.0f}{rounds[1]:>7.0f}"
            f"{seconds[0]:>9.1f}{seconds[1]:>7.1f}"
        )
    paths = [one.get("damaged") or "" for one in sittings]
    damaged = sum(path.startswith("checkpoints") for path in paths)
    named = len({(one["run"], n) for one in sittings for n in one["named_damage"]})
    lines += ["", f"Checkpoints damaged: {damaged}; named as damaged: {named}."]
    return "\n".join([*lines, "", verdicts.table(verdicts.of_soak(result))])


def large(result: dict) -> str:
    """What reading both texts took, the speeds of training; the verdicts."""
    lines = [f"{'':<30}{'large':>12}{'small':>12}"]
    cases = result["cases"]

    def row(what, form, values):
        cells = "".join(f"{form.format(values[name]):>12}" for name in cases)
        lines.append(f"{what:<30}{cells}")

    row("text, GB", "{:.2f}", {n: b / 1e9 for n, b in result["texts"].items()})
    speeds = {n: one["reading_bytes_per_second"] / 1e6 for n, one in cases.items()}
    row("read and encoded, MB/s", "{:.2f}", speeds)
    for what, key in (("while reading", "reading_bytes"), ("in all", "most_bytes")):
        for kind in "anonymous", "data":
            sizes = {name: one[key][kind] / 1e9 for name, one in cases.items()}
            row(f"{kind} {what}, GB", "{:.2f}", sizes)
    parts = result["words_per_second_of_parts"]
    for number, speeds in enumerate(parts, 1):
        row(f"words/s, part {number} of {len(parts)}", "{:,.0f}", speeds)
    row("words/s in all", "{:,.0f}", result["words_per_second"])
    return "\n".join([*lines, "", verdicts.table(verdicts.of_large(result))])


def cost(result: dict) -> str:
    """Times with and without checkpoints; the verdict."""
    seconds, checkpoints = result["median_seconds"], result["median_checkpoints"]
    megabytes = result["sittings"][-1]["state_bytes"] / 1e6
    lines = [f"{'':<26}{'checkpoints':>12}{'s':>8}"]
    for way in seconds:
        lines.append(f"{way:<26}{checkpoints[way]:>12.0f}{seconds[way]:>8.1f}")
    lines.append(
        f"\nA checkpoint of {megabytes:.0f} MB costs "
        f"{result['seconds_a_checkpoint']:.2f} s."
    )
    return "\n".join([*lines, "", verdicts.table(verdicts.of_cost(result))])


def texts(result: dict) -> str:
    """What each file holds, and its texts that failed; the verdicts."""
    lines = [f"{'':<34}{'texts':>7}{'MB':>9}{'words':>13}{'not UTF-8':>11}"]
    for one in result["files"]:
        lines.append(
            f"{one['file']:<34}{one['texts']:>7}{one['bytes'] / 1e6:>9.1f}"
            f"{one['words']:>13,}{one['replaced']:>11,}"
        )
        lines += [f"  failed: {row}".rstrip(": ") for row in one["failed"]]
    return "\n".join([*lines, "", verdicts.table(verdicts.of_texts(result["files"]))])
