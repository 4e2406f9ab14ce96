"""Question: what do sessions of items look like when their law is known?

    python -m experiments.sessions
    python -m experiments.sessions --mixing=0.4 --workdir=runs/mixed

Makes up what a shop or a music service records: sessions, each a list of items.
Items stand on rings, in groups (genres, departments); a session walks along the
ring of its group, from an item to a popular one that is near, and now and then
takes anything that is popular. The law is in experiments/session_law.py, and so
is how good guesses of the next item can be. Writes into the work folder:

    sessions.txt    a session a line, items as words; item1 is the most popular
    groups.tsv      item, its group, its popularity p; along the rings
    sessions.json   settings, what was drawn beside what is expected, ceilings
    sessions.png    popularity by rank, which item follows which

The defaults are a small catalogue with a long tail: the most popular item makes
some 4 % of all that is seen, the rarest is seen a few times. A few seconds.
"""

import numpy as np
from absl.flags import FlagValues
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from experiments import cli
from experiments.drawing import BLUE, ORANGE, clean
from experiments.provenance import provenance
from experiments.session_law import Law, ceilings, draw, make_law, pairs
from experiments.workdir import Workdir
from sgns_jax.types import InputError

SCRIPT = cli.Script(__doc__)
FLAGS = {  # kind, default, meaning, range
    "items": (int, 2000, "V, different items; a multiple of --groups.", 2, 10_000),
    "groups": (int, 50, "G, groups of equally many items, 2 to 1000.", 1, 5000),
    "sessions": (int, 50_000, "How many sessions to draw.", 1, 2_000_000),
    "length": (int, 10, "Mean items of a session; most have fewer.", 3, 100),
    "popularity": (float, 1.0, "s, how unequal items are; 0: alike, 1: Zipf.", 0, 3),
    "reach": (
        float, 5.0, "ℓ, how near the next item is, in places of the ring; where it is "
        "large, a group has no order.", 0.1, 1_000_000,
    ),
    "mixing": (float, 0.2, "m, the share of items that come from anywhere.", 0, 1),
    "seed": (int, 0, "Equal seeds, equal sessions.", 0, 2**31 - 1),
}  # fmt: skip
for _name, (_kind, _default, _meaning, _low, _high) in FLAGS.items():
    _needs = f"{_low:,} to {_high:,}"
    SCRIPT.define("Sessions", _kind, _name, _default, _meaning, _needs)
SCRIPT.define_workdir("runs/sessions")


def main(flags: FlagValues) -> None:
    check_flags(flags)
    workdir = Workdir(flags.workdir)
    rng = np.random.default_rng(flags.seed)
    sizes = flags.groups, flags.items // flags.groups
    law = make_law(*sizes, flags.popularity, flags.reach, flags.mixing, rng)
    tokens_T, ends_S = draw(law, flags.sessions, flags.length, rng)
    write(workdir, law, tokens_T, ends_S)
    found = describe(law, tokens_T, ends_S)
    settings = {name: flags[name].value for name in FLAGS}
    head = provenance("sessions") | {"settings": settings}
    workdir.write_json("sessions.json", head | found)
    picture(law, tokens_T, ends_S, workdir.path("sessions.png"))
    print(summary(found))
    print(f"\nSessions: {workdir.path('sessions.txt')}")
    print(f"Picture: {workdir.path('sessions.png')}")


def check_flags(flags: FlagValues) -> None:
    for name, (*_, low, high) in FLAGS.items():
        if not low <= flags[name].value <= high:  # NaN is in no range
            raise InputError(
                f"{name} must be {low:,} to {high:,}, got {flags[name].value}; --help "
                "says what it does"
            )
    size, rest = divmod(flags.items, flags.groups)
    if rest or not 2 <= size <= 1000:
        raise InputError(
            f"groups must divide items into 2 to 1000 each, got {flags.items} items "
            f"in {flags.groups} groups; change one of them"
        )


def write(workdir: Workdir, law: Law, tokens_T: np.ndarray, ends_S: np.ndarray) -> None:
    """Writes sessions.txt and groups.tsv; items are numbered by popularity."""
    rank_V = np.argsort(np.argsort(-law.item_V, kind="stable"))
    words = [f"item{rank + 1}" for rank in rank_V]
    text = [words[item] for item in tokens_T]
    sessions = zip([0, *ends_S[:-1]], ends_S, strict=True)
    lines = [" ".join(text[start:end]) for start, end in sessions]
    workdir.path("sessions.txt").write_text("\n".join(lines) + "\n")
    J = law.place_GJ.shape[1]
    rows = [
        f"{words[item]}\tgroup{item // J + 1}\t{p:.6g}"
        for item, p in enumerate(law.item_V)
    ]
    workdir.path("groups.tsv").write_text("\n".join(rows) + "\n")


def describe(law: Law, tokens_T: np.ndarray, ends_S: np.ndarray) -> dict:
    """The sessions in numbers, and what the law expects of some of these."""
    share_V = np.bincount(tokens_T, minlength=law.place_GJ.size) / len(tokens_T)
    item_P, next_P = pairs(tokens_T, ends_S)
    J = law.place_GJ.shape[1]
    walked = (1 - law.mixing) ** 2
    same_group, same_item = np.sum(law.group_G**2), np.sum(law.item_V**2)
    return {
        "interactions": len(tokens_T),
        "different_items": int(np.count_nonzero(share_V)),
        "longest_session": int(np.diff(ends_S, prepend=0).max()),
        "mean_session": len(tokens_T) / len(ends_S),
        "drawn": _shares(
            share_V, np.mean(item_P // J == next_P // J), np.mean(item_P == next_P)
        ),
        "expected": _shares(
            law.item_V, walked + (1 - walked) * same_group, (1 - walked) * same_item
        ),
        "next_item": ceilings(law),
    }


def _shares(p_V, same_group, same_item):
    seen = p_V[p_V > 0]
    return {
        "top10_share": float(np.sort(p_V)[-10:].sum()),
        "entropy_bits": float(-np.sum(seen * np.log2(seen))),
        "same_group_share": float(same_group),
        "same_item_share": float(same_item),
    }


def picture(law: Law, tokens_T: np.ndarray, ends_S: np.ndarray, path) -> None:
    figure = Figure(figsize=(13, 6.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    V = law.place_GJ.size
    order = np.argsort(-law.item_V, kind="stable")
    drawn_V = np.bincount(tokens_T, minlength=V)[order] / len(tokens_T)
    rank_V = np.arange(1, V + 1)
    left.plot(rank_V, drawn_V, ".", color=BLUE, markersize=3, label="drawn")
    left.plot(rank_V, law.item_V[order], color=ORANGE, label="law, p")
    left.set(xscale="log", yscale="log", xlabel="rank of the item by popularity p")
    left.set_ylabel("share of all that the sessions hold")
    left.set_title("How popular items are", loc="left")
    left.legend(frameon=False)
    clean(left)
    _draw_transitions(right, law, *pairs(tokens_T, ends_S))
    figure.savefig(path, dpi=120)


def _draw_transitions(axes, law, item_P, next_P):
    """What follows each item of the first groups, as many as 200 items make."""
    G, J = law.place_GJ.shape
    shown = J * max(1, min(G, 200 // J))
    kept_P = (item_P < shown) & (next_P < shown)
    counts = np.zeros((shown, shown))
    np.add.at(counts, (item_P[kept_P], next_P[kept_P]), 1)
    total = np.bincount(item_P, minlength=shown)[:shown, None]
    share = np.ma.masked_equal(counts, 0) / np.maximum(total, 1)
    image = axes.imshow(share, norm=LogNorm(1e-4, 1), cmap="YlGnBu")
    axes.figure.colorbar(image, ax=axes, label="share of what follows the item")
    middle = np.arange(J // 2, shown, J)
    step = -(-len(middle) // 10)
    names = [f"group {g + 1}" for g in range(len(middle))][::step]
    axes.set_xticks(middle[::step], names)
    axes.set_yticks(middle[::step], names, rotation=90, va="center")
    axes.set(xlabel="next item, along the rings", ylabel="item, along the rings")
    axes.set_title("Which item follows which, in the most popular groups", loc="left")


def summary(found: dict) -> str:
    """The terminal's table."""

    def line(title, *values):
        return f"{title:<50}" + "".join(f"{value:>10}" for value in values)

    lines = [
        f"{found['interactions']:,} items in sessions of {found['mean_session']:.1f}, "
        f"{found['different_items']:,} different ones\n",
        line("", "drawn", "expected"),
    ]
    for name, title in {
        "top10_share": "share of the ten most popular items",
        "entropy_bits": "entropy of the popularities, in bits",
        "same_group_share": "next item is of the same group",
        "same_item_share": "next item is the same again",
    }.items():
        lines.append(
            line(title, *(f"{found[x][name]:.4f}" for x in ("drawn", "expected")))
        )
    lines.append(
        "\n" + line("guesses of the next item, where it is another", "hit@10", "MRR")
    )
    for name, title in {
        "best": "by the law, from the item before: the ceiling",
        "most_popular": "the most popular items, whatever was before",
    }.items():
        lines.append(
            line(title, *(f"{x:.4f}" for x in found["next_item"][name].values()))
        )
    return "\n".join(lines)


if __name__ == "__main__":
    SCRIPT.run(main)
