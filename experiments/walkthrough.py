"""Question: does the article's toy example add up, and how does the method work?

    python -m experiments.walkthrough
    python -m experiments.walkthrough --counts=900,800,300,200,700

Works through "Understanding Word2Vec with Negative Sampling: A Step-by-Step
Research Walkthrough" (priyankresearchnotes.blogspot.com, 17 May 2025) and
explains the method on the way. Beside each number of the article stand this
library's, in float64, and the value to 50 digits, which uses no derivation: its
gradient is a difference of losses. Writes into the work folder:

    walkthrough.json   every number, with all 50 digits
    walkthrough.png    the words moving in the plane, and the loss

The exit status is 1 if the library and the 50 digits differ by more than
rounding. A wrong number in the article is no failure.
"""

import itertools
import sys
import textwrap
from decimal import Decimal

from absl.flags import FlagValues

from experiments import cli, walkthrough_plots
from experiments.provenance import provenance
from experiments.walkthrough_values import (
    ARTICLE,
    START,
    TABLES,
    WORDS,
    library_values,
)
from experiments.walkthrough_verdicts import study
from experiments.workdir import Workdir
from sgns_jax.types import InputError

SCRIPT = cli.Script(__doc__)
SCRIPT.define(
    "Model", str, "counts", "81,256,16,1,625",
    "How often cat, dog, apple, banana and run stand in an imagined text. The article "
    "gives no counts; these are fourth powers, whose 3/4 powers are whole.",
    "five whole numbers 0 to 10^15, one above 0",
)  # fmt: skip
SCRIPT.define_config(["noise_exponent"])
SCRIPT.define_workdir("runs/walkthrough")
SCRIPT.define(
    "Run", bool, "json", False, "Print walkthrough.json in place of the text.",
    "true | false",
)  # fmt: skip

PAGE = """\
Word vectors by skip-gram with negative sampling: a toy example
===============================================================
Words found in similar places should get similar vectors. So take two words:
does the second stand near the first in a text, or was it drawn by lot? To learn
to tell, each word gets two vectors: v, its row of w_in, for when it is the
first of the two, and u, its row of w_out, for the second. Their score s = u·v
is high where the words belong together; σ(s) = 1 / (1 + exp(-s)) makes it a
probability.

The tables show what the article prints, what this library computes in float64,
and the true value by another route (to 10 decimals; walkthrough.json has 50
digits). A print is right if it is the true value, rounded or cut off.

1. A positive is a word that stands near
----------------------------------------
Each word of a text is the centre once; the words up to W places before it and
after it are its positives. In "the cat sat on the mat", with W = 2:

{positives}

2. A negative is a word drawn by lot
------------------------------------
From positives alone one would learn that any two words belong together. So each
positive comes with K negatives, drawn from the vocabulary by P_n ~ count^a. Of
the exponents tried for word2vec, a = 3/4 did better than 1 (the text's own
shares) and 0 (all words alike): it lifts rare words above their share. The
article gives no counts; these are ours, or yours with --counts. Here a = {exponent:g}:

{noise}

The article's centre is cat, the positive dog, and K = 2 negatives were drawn:
apple and run. It gives banana no vector, and banana takes no part below.

3. The loss says how wrong the scores are
-----------------------------------------
  L = -log σ(s) of the positive - log σ(-s) of each negative, added up

is near 0 where the positive scores high and the negatives low. The article sets
out from these vectors, and so from these scores:

{start}

{loss_1}

4. A step moves each vector against its gradient
------------------------------------------------
  ∂L/∂w_in[cat]  = -σ(-s)·w_out[dog] + σ(s)·w_out[apple] + σ(s)·w_out[run]
  ∂L/∂w_out[dog] = -σ(-s)·w_in[cat]     so that the step draws it towards cat
  ∂L/∂w_out[apple] = σ(s)·w_in[cat]     so that it is pushed away; run likewise

each with the score s of the word it names. All are taken at the old vectors;
then every vector w becomes w - {rate:g}·∂L/∂w:

{step_1}

5. The second iteration does the same from there
------------------------------------------------
{loss_2}

And after its step, which the article does not show:

{step_2}

{conclusion}"""
_LINE = "  {:<18}{:>12}{:>17}{:>17}   {}"


def page(result: dict) -> str:
    """What the command prints."""
    rows = iter(result["rows"])
    parts = {name: table([next(rows) for _ in some]) for name, some in TABLES.items()}
    return PAGE.format(
        **parts,
        noise=noise_table(result["noise"]),
        exponent=result["noise_exponent"],
        start="\n".join(f"  {k} = [{x:g}, {y:g}]" for k, (x, y) in START.items()),
        rate=result["learning_rate"],
        conclusion=conclusion(result),
    )


def table(rows: list[dict]) -> str:
    """A line a number, and the cause under a wrong quantity."""
    lines = [_LINE.format("", "article", "library", "50 digits", "verdict")]
    columns = "parts", "article", "library", "fifty_digits", "verdicts"
    for one in rows:
        for part, article, library, digits, right in itertools.zip_longest(
            *(one[column] for column in columns), fillvalue=""
        ):
            shown = _ten_decimals(library), _ten_decimals(digits)
            lines.append(_LINE.format(part, article or "-", *shown, right).rstrip())
        if one["cause"]:
            indents = {"initial_indent": "    > ", "subsequent_indent": "      "}
            lines += textwrap.wrap(one["cause"], 79, **indents)
    return "\n".join(lines)


def _ten_decimals(value: float | str) -> str:
    """A number rounded for the table; a list of words stays as it is."""
    return value if str(value).startswith("[") else f"{Decimal(value):.10f}"


def noise_table(noise: list[dict]) -> str:
    line = "  {:<8}{:>17}{:>10}{:>14}{:>14}{:>13}"
    lines = [line.format("", "count", "share", "count^a", "P_n", "P_n / share")]
    for one in noise:
        share, p = one["share"], one["library"]
        gain = f"{p / share:.3f}" if share else "-"
        numbers = one["count"], f"{share:.6f}", one["power"], f"{p:.10f}", gain
        lines.append(line.format(one["word"], *numbers))
    return "\n".join(lines)


def conclusion(result: dict) -> str:
    """The page's last lines: how often the article is right, and whether we are."""
    verdicts = [one["verdict"] for one in result["rows"]]
    both = result["rows"] + result["noise"]
    worst = max(one["error_eps"] for one in both)
    agree = "disagree, see below" if result["disagreements"] else "agree"
    return (
        f"Of the article's {len(ARTICLE)} quantities, {verdicts.count('right')} are "
        f"right and {verdicts.count('wrong')} are wrong.\n"
        f"Library and 50 digits {agree}: they are at most {worst:.2g} eps apart "
        "(eps = 2^-52);\nrounding may bring 32 eps an iteration."
    )


def main(flags: FlagValues) -> int:
    exponent = cli.config(flags).noise_exponent
    result = study(parse_counts(flags.counts), exponent)
    workdir = Workdir(flags.workdir)
    numbers, picture = (workdir.path(f"walkthrough.{kind}") for kind in ("json", "png"))
    workdir.write_json(numbers.name, provenance("walkthrough") | result)
    walkthrough_plots.picture(START, library_values(12), ARTICLE, picture)
    if flags.json:
        print(numbers.read_text(encoding="utf-8"), end="")
    else:
        print(f"{page(result)}\n\nNumbers: {numbers}\nPicture: {picture}")
    for line in result["disagreements"]:
        print(f"library and 50 digits disagree: {line}", file=sys.stderr)
    return 1 if result["disagreements"] else 0


def parse_counts(text: str) -> list[int]:
    """The five counts that --counts gives."""
    counts = [int(n) if n.strip().isdecimal() else -1 for n in text.split(",")]
    if len(counts) == len(WORDS) and 0 <= min(counts) and 0 < max(counts) <= 10**15:
        return counts
    raise InputError(
        f"counts must be five whole numbers from 0 to 10^15, one above 0, got "
        f"{text!r}; give one each for {', '.join(WORDS)}, as in --counts=9,8,3,2,7"
    )


if __name__ == "__main__":
    SCRIPT.run(main)
