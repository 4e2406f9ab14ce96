"""Question: do the READMEs say what the result files say?

    python -m experiments.tables

Rewrites each passage between ``<!-- from results: NAME -->`` and ``<!-- end -->`` in
README.md and experiments/README.md from the files in experiments/results, so that no
number is typed by hand. A test fails while a README differs from its results.
"""

import json
import re
import textwrap
from pathlib import Path

from absl.flags import FlagValues

from experiments import cli
from experiments.report import neighbour_table

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "experiments/README.md")
_PASSAGE = re.compile(r"(<!-- from results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(flags: FlagValues) -> None:
    for name in PAGES:
        page = ROOT / name
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"{name}: up to date")


def filled(page: str) -> str:
    """The page with every passage made anew."""
    return _PASSAGE.sub(lambda m: f"{m[1]}{PASSAGES[m[2]]()}\n{m[3]}", page)


def _results(pattern: str) -> list[dict]:
    paths = sorted((ROOT / "experiments" / "results").glob(pattern))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def first_run() -> str:
    """What the command without flags takes and shows."""
    (run,) = _results("train_pydoc.json")
    times = (
        f"On {run['machine']}: {run['reading_seconds']:.0f} s to read the "
        f"documentation ({run['raw_words'] / 1e6:.1f} million words) the first time, "
        f"{run['compile_seconds']:.0f} s to compile, {run['train_seconds']:.0f} s to "
        f"train ({run['words_per_second'] / 1e6:.1f} million words/s)."
    )
    neighbours = neighbour_table(run["neighbours"])
    return f"{textwrap.fill(times, 88)}\n\n```\n{neighbours}\n```"


def reading() -> str:
    """How long 100 MB of plain text take to become ids on disk."""
    (run,) = _results("read_enwiki15_plain.json")
    return (
        f"{run['raw_words'] / 1e6:.1f} million words in {run['reading_seconds']:.1f} s "
        f"({run['machine']})."
    )


_SCORES = "WordSim-353 | MEN | SimLex-999 | analogies |"


def quality() -> str:
    """Speed and scores of the recorded runs on enwiki15, a row a seed."""
    rows = [f"| seed | words/s | memory | {_SCORES}", "| --- " * 7 + "|"]
    for run in _results("train_enwiki15_seed*.json"):
        rows.append(
            f"| {run['seed']} | {run['words_per_second'] / 1e6:.2f} M "
            f"| {run['peak_memory_bytes'] / 1e9:.2f} GB | {_scores(run)}"
        )
    return "\n".join(rows)


def variants() -> str:
    """Scores of runs that differ from the one with seed 0, and in what."""
    (default,) = _results("train_enwiki15_seed0.json")
    rows = [f"| changed | {_SCORES}", "| --- " * 5 + "|"]
    rows.append(f"| nothing | {_scores(default)}")
    for run in _results("train_enwiki15_with_*.json"):
        changed = [
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in run["configuration"].items()
            if value != default["configuration"][name]
        ]
        rows.append(f"| {', '.join(changed)} | {_scores(run)}")
    return "\n".join(rows)


def _scores(run: dict) -> str:
    score = {s["name"]: s for s in run["evaluation"]}
    return (
        f"{score['wordsim353']['rho']:.3f} | {score['men3000']['rho']:.3f} "
        f"| {score['simlex999']['rho']:.3f} "
        f"| {100 * score['questions-words']['total']['accuracy']:.1f} % |"
    )


PASSAGES = {
    "first_run": first_run,
    "reading": reading,
    "quality": quality,
    "variants": variants,
}

if __name__ == "__main__":
    cli.Script(__doc__).run(main)
