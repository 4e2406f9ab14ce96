"""Question: do the READMEs say what the result files say, and is it still so?

    python -m experiments.tables
    python -m experiments.tables --check

Rewrites each passage between ``<!-- from results: NAME -->`` and ``<!-- end -->`` in
README.md and experiments/README.md from the files in experiments/results, so that no
number is typed by hand. Below each stands the commit that its results were recorded at,
and whether the code that they rest on has changed since. A test fails while a README
differs from what this command would write.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from absl.flags import FlagValues

from experiments import cli, sources
from experiments.passages import PASSAGES

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "experiments/README.md")
_PASSAGE = re.compile(r"(<!-- from results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

SCRIPT = cli.Script(__doc__)
SCRIPT.define(
    "Run", bool, "check", False,
    "Write nothing; name each result whose code has changed since it was recorded, the "
    "command that records it again, and the files that changed. The status is 1 if "
    "there is one.",
    "true | false",
)  # fmt: skip


def main(flags: FlagValues) -> int | None:
    if flags.check:
        lines = list(stale())
        print("\n".join(lines) or "every result was made by the code as it is")
        return 1 if lines else 0
    for name in PAGES:
        page = ROOT / name
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"{name}: up to date")


def stale() -> Iterator[str]:
    """A line for each result whose code has changed since."""
    for path in sorted((ROOT / "experiments" / "results").glob("*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        if files := sources.changed(run, ROOT):
            yield f"{path.name}: {run['command']} (changed: {', '.join(files)})"


def filled(page: str) -> str:
    """The page with every passage made anew."""
    return _PASSAGE.sub(lambda m: f"{m[1]}{_passage(m[2])}\n{m[3]}", page)


def _passage(name: str) -> str:
    """What results say, and which code said it."""
    text, *patterns = PASSAGES[name]
    groups = [results(pattern) for pattern in patterns]
    return f"{text(*groups)}\n\n{_recorded(sum(groups, []))}"


def results(pattern: str) -> list[dict]:
    """The result files whose names match, in their order."""
    paths = sorted((ROOT / "experiments" / "results").glob(pattern))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _recorded(runs: list[dict]) -> str:
    commits = dict.fromkeys(run["commit"][:7] for run in runs)
    is_old = any(sources.changed(run, ROOT) for run in runs)
    since = "; code changed since" if is_old else ""
    return f"Recorded at {', '.join(commits)}{since}."


if __name__ == "__main__":
    SCRIPT.run(main)
