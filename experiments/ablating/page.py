"""The page of an ablation: question, answer, evidence, in a file that loads nothing."""

import base64
import os
from html import escape
from pathlib import Path

from experiments.ablating import records, statistics, summary
from experiments.ablating.records import BUDGETS, DIRECTIONS, named, number, value

_STYLE = """
:root { color-scheme: light dark; --ink: #1a202c; --paper: #fff; --soft: #4a5568;
  --line: #d8dee8; --better: #1f5fa8; --worse: #b0281a }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --paper: #14181f;
  --soft: #a3adbd; --line: #323a47; --better: #7db4f0; --worse: #f09a8c } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 70em; padding: 1.5em 1.2em 4em; color: var(--ink);
  background: var(--paper); font: 1rem/1.55 system-ui, "Segoe UI", Roboto, sans-serif }
h1 { font-size: 1.9rem; line-height: 1.2; overflow-wrap: anywhere }
h2 { margin: 2.2em 0 0.5em; padding-top: 0.6em; border-top: 1px solid var(--line) }
h3 { margin: 2em 0 0.2em }
p, ul, dl { max-width: 46em; margin: 0.5em 0 }
li { margin: 0.35em 0 }
a, .better { color: var(--better) }
.better, .reference { font-weight: 600 }
.worse { color: var(--worse) }
dl { display: grid; grid-template-columns: fit-content(11em) 1fr; gap: 0.2em 1.2em }
dd { margin: 0; overflow-wrap: anywhere }
dt, caption { color: var(--soft) }
.wide { overflow-x: auto; margin: 0.8em 0 }
table { border-collapse: collapse; font-size: 0.86rem; font-feature-settings: "tnum" }
caption { text-align: left; padding: 0.3em 0 }
th, td { padding: 0.25em 0.6em; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line) }
thead th { white-space: normal }
th { font-weight: 500; vertical-align: bottom }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--paper) }
img { display: block; max-width: 100%; background: #fff }
@media (max-width: 45em) { img { max-width: none; height: 19em } }
"""
#: What was known.
_ANCHORS = """<ul>
<li>Mikolov et al. 2013, <a href="https://arxiv.org/abs/1310.4546">Distributed
Representations of Words and Phrases and their Compositionality</a>: K of 5 to 20 for
small texts, 2 to 5 for large ones; α = 0.75 is better than 0 and 1.</li>
<li>Levy, Goldberg &amp; Dagan 2015, <a href="https://aclanthology.org/Q15-1016">
Improving Distributional Similarity with Lessons Learned from Word Embeddings</a>:
settings such as K and α explain much of what seemed to set methods apart.</li>
<li>Caselles-Dupré et al. 2018, <a href="https://arxiv.org/abs/1804.04212">Word2vec
applied to Recommendation: Hyperparameters Matter</a>: for items, values of α and other
settings that suit words are far from the best.</li>
<li>Chamberlain et al. 2020, <a href="https://arxiv.org/abs/2009.12192">Tuning Word2vec
for Large Scale Recommendation Systems</a>: the same, also under a limit of time.</li>
</ul>"""
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1>
<p>Which K, the noise words of a pair, and which α, the exponent of the noise
P(w) ∝ count(w)<sup>α</sup>, are best, and is it more than chance? Others are compared
with the reference, {reference}.</p>
{body}
</body></html>
"""


def write(
    result: dict, pictures: dict[str, list[Path]], path: str | os.PathLike
) -> None:
    """Writes the page.

    Args:
      pictures: those of each measure, as ``pictures.draw`` returns them.
    """
    names = statistics.headlines(result)
    rest = [name for name in result["measures"] if name not in names]
    sections = {
        "Answer": _answer(result, names),
        "What was asked and trained": _asked(result),
        "How to read the numbers": _reading(result),
        "All points": "".join(_points(result, names, b) for b in result["budgets"]),
        "The headline measures": _evidence(result, pictures, names),
        "The other measures": _evidence(result, pictures, rest),
        "What was known": _ANCHORS,
    }
    body = "\n".join(f"<h2>{name}</h2>\n{x}" for name, x in sections.items() if x)
    title = escape(f"Ablation of K and α on {result['text']['corpus']}")
    head = {"title": title, "style": _STYLE, "reference": named(result["reference"])}
    Path(path).write_text(_PAGE.format(body=body, **head), encoding="utf-8")


def _answer(result: dict, names: list[str]) -> str:
    said = "".join(f"<li>{escape(one)}</li>" for one in summary.answers(result))
    said = said.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    rows = [
        _top(result, name, budget) for name in names for budget in result["budgets"]
    ]
    heads = ["measure", "budget", "best point", "mean [95 %]", "to the reference", ""]
    return f"<ul>{said}</ul>" + _table("The best point of each measure", heads, rows)


def _top(result: dict, name: str, budget: str) -> list:
    head = [result["measures"][name]["title"], BUDGETS[budget]]
    top = statistics.best(result, name, budget)
    digits = statistics.decimals(result, name)
    if top is None:
        return [*head, *"––––"]
    gain = summary.shown(top["difference"], digits, "+") if top["difference"] else "–"
    verdict = (top["verdict"] or "no evidence") + " *" * statistics.survives(top)
    shown = summary.shown(top, digits), gain, (top["verdict"], verdict)
    return [*head, named(top["settings"]), *shown]


def _asked(result: dict) -> str:
    """The grid, what a budget is, the text, and where the numbers come from."""
    grid, counts = result["grid"], f"{len(result['models'])}, {result['seeds']} seeds"
    facts = {records.label(name): ", ".join(map(value, grid[name])) for name in grid}
    facts |= {"reference": named(result["reference"]), "models": counts}
    facts |= {BUDGETS[b]: records.budget(result, b) for b in result["budgets"]}
    facts |= result["text"] | {"time": f"{result['seconds'] / 60:,.0f} minutes"}
    facts |= {name: result[name] for name in ("device", "machine", "commit", "command")}
    settings = _facts(result["configuration"] | result["versions"])
    return f"""{_facts(facts)}
<details><summary>All settings and versions</summary>{settings}</details>"""


def _facts(facts: dict) -> str:
    lines = []
    for name, x in facts.items():
        text = f"{x:,}" if type(x) is int else str(x)
        lines.append(f"<dt>{escape(records.label(name))}</dt><dd>{escape(text)}</dd>")
    return f"<dl>{''.join(lines)}</dl>"


def _reading(result: dict) -> str:
    others = len(records.points(result)) - 1
    return f"""<ul>
<li>[a, b] and ± are 95 % intervals by Student's t over {result["seeds"]} seeds: how far
other seeds would move the mean. They say nothing of other texts.</li>
<li>▲ better and ▼ worse than the reference ●, ◆ different where no direction is better:
the 95 % interval of the difference excludes 0. Differences are taken seed by seed, so
that what a seed does to both models is not in them.</li>
<li>By chance alone about {0.05 * others:.1f} of {others} comparisons, of a measure
under a budget, exclude 0. * marks those that stay by Holm's correction for that number;
of few seeds only large differences do. A lone ▲ without * is a hint.</li>
<li>A best point is chosen by the numbers that then show its lead: the lead is an
optimistic estimate.</li>
<li>The loss is no measure here: at another K or α it is another function.</li>
{_sharing(result["configuration"])}</ul>"""


def _sharing(config: dict) -> str:
    """What shared noise words mean for K."""
    if config["negatives_mode"] != "shared":
        return ""
    return f"""<li>Noise words are shared: {config["block_size"]} centres draw
{config["noise_words"]} of them at any K, and K is their weight. The expectation is the
formula's; but where K is large a few words weigh much, and the gradient is noisier
than with K draws for each pair (--negatives_mode=independent, slow) or with more shared
words (--noise_words). So read what is said against a large K.</li>
"""


def _points(result: dict, names: list[str], budget: str) -> str:
    """Points × measures under one budget."""
    groups = [statistics.group(result, name, budget) for name in names]
    digits = [statistics.decimals(result, name) for name in names]
    rows = [
        [named(at[0]["settings"]), *map(_cell, at, digits)]
        for at in zip(*groups, strict=True)
    ]
    heads = ["", *(result["measures"][name]["title"] for name in names)]
    return _table(f"Means, {BUDGETS[budget]}", heads, rows)


def _cell(cell: dict, digits: int) -> tuple[str, str]:
    mean = number(cell["mean"], digits) if cell["n"] else "–"
    return cell["verdict"], f"{mean} {summary.mark(cell)}"


def _table(caption: str, heads: list[str], rows: list[list]) -> str:
    """The first cell of a row heads it; one that is a pair is (class, text)."""
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    body = []
    for first, *rest in rows:
        pairs = (one if isinstance(one, tuple) else ("", one) for one in rest)
        cells = "".join(f'<td class="{kind}">{escape(x)}</td>' for kind, x in pairs)
        body.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    return f"""<div class="wide"><table><caption>{escape(caption)}</caption>
<thead><tr>{top}</tr></thead>
<tbody>{"".join(body)}</tbody></table></div>"""


def _evidence(result: dict, pictures: dict, names: list[str]) -> str:
    """The pictures of each measure, under its meaning."""
    parts = []
    for name in names:
        about = result["measures"][name]
        title, direction = escape(about["title"]), DIRECTIONS[about["better"]]
        parts.append(f"<h3>{title} ({direction})</h3><p>{escape(about['meaning'])}</p>")
        for kind, picture in zip(("K and α", "curves"), pictures[name], strict=True):
            data = base64.b64encode(Path(picture).read_bytes()).decode()
            image = f'alt="{title}: {kind}" src="data:image/png;base64,{data}"'
            parts.append(f'<div class="wide"><img {image}></div>')
    return "\n".join(parts)
