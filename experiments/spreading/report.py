"""What the measurements say, in 80 columns."""

import textwrap

from experiments.spreading.cases import ONE, WAYS

_COLUMNS = 7  # of a table that has 80 characters


def speed(result: dict) -> str:
    """What was measured here, then where exchanging takes over on other links."""
    return f"{_measured(result)}\n\n{_foreseen(result)}"


def _measured(result: dict) -> str:
    rows = [f"{'measured':<52}{'words/s':>9} {'ratio':>6} {'model':>6}"]
    for case in result["measured"]:
        where = f"{case['devices']} devices"
        if case["processes"] > 1:
            where = f"{case['processes']} processes"
        title = f"{where}: {WAYS[case['way']].title}"
        if (case["devices"], case["processes"]) == (ONE.devices, ONE.processes):
            title = "one device"
        rate, foreseen = case["median"] / 1e6, case["computing_alone"]
        rows.append(f"{title:<52.52}{rate:7.2f} M {case['ratio']:6.2f} {foreseen:6.2f}")
    rest = (
        "Medians of {}; ratios to one device are of measurements that follow each "
        "other. Model: what the ratio would be if exchanging took no time, and cores "
        "shared no memory; {} words, D = {}, {} blocks a step."
    )
    sizes = f"{result['vocabulary']:,}", result["dim"], result["blocks_per_step"]
    rest = rest.format(result["repetitions"], *sizes)
    return "\n".join(rows) + "\n\n" + textwrap.fill(rest, 80)


def _foreseen(result: dict) -> str:
    rows = []
    for device in result["foreseen"]:
        rows += [f"foreseen for {device['title']}:", ""]
        heads = "".join(f"{name:>11}" for name in ("8", "64", "1,024", "takes over"))
        rows.append(f"{'million words/s on so many devices':<36}{heads}")
        for curve in device["curves"]:
            rate = {p["devices"]: p["words_per_second"] / 1e6 for p in curve["points"]}
            cells = (f"{rate[n]:,.1f}" if n in rate else "-" for n in (8, 64, 1024))
            over = curve["dominated_from"]
            over = f"{over:,}" if over else "never"
            title = f"{curve['link']}, {curve['way']}"
            rows.append(f"{title:<36}" + "".join(f"{c:>11}" for c in [*cells, over]))
        rows.append("")
    rest = (
        "Takes over: the fewest devices that exchange for longer than they compute. "
        "-: the work cannot be shared among so many. Links as their makers state "
        "them; nothing of these was measured but one device."
    )
    return "\n".join(rows) + "\n" + textwrap.fill(rest, 80)


def sync(result: dict) -> str:
    """Quality by the steps between two merges, some columns at a time."""
    rows = result["rows"]
    parts = [_sync_part(rows[i : i + _COLUMNS]) for i in range(0, len(rows), _COLUMNS)]
    rest = (
        f"{result['replicas']} replicas, merged after so many steps; one: one model. "
        f"Means of seeds: {result['seeds']}; epochs: {result['epochs']}."
    )
    for row in rows:
        if row["replicas"] > 1 and not row["sync_every"]:
            rest += f" A segment has {row['steps_between_merges']:.0f} steps."
    errors = [
        one["standard_error"]
        for row in rows
        for one in row["measures"].values()
        if one["standard_error"]
    ]
    if errors:
        rest += f" Standard errors of differences from one: at most {max(errors):.3f}."
    return "\n\n".join([*parts, textwrap.fill(rest, 80)])


def _sync_part(rows: list[dict]) -> str:
    titles = [
        "one" if row["replicas"] == 1 else str(row["sync_every"] or "segment")
        for row in rows
    ]
    table = {"million words/s": [row["words_per_second"] / 1e6 for row in rows]}
    for name in rows[0]["measures"]:
        table[name] = [row["measures"][name]["mean"] for row in rows]
    lines = [" " * 17 + "".join(f"{title:>9}" for title in titles)]
    for name, cells in table.items():
        lines.append(f"{name:<17.17}" + "".join(f"{cell:9.3f}" for cell in cells))
    return "\n".join(lines)
