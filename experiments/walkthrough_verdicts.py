"""Is what the article prints right, and if not, by what slip did it come about?"""

import math
from decimal import Decimal

import jax
import numpy as np

from experiments.walkthrough_values import (
    ARTICLE,
    QUANTITIES,
    RATE,
    START,
    WORDS,
    Quantity,
    exact_values,
    library_context,
    library_loss,
    library_scores,
    library_values,
    mp,
)
from sgns_jax.noise import noise_distribution
from sgns_jax.types import InputError


def noise_rows(counts: list[int], exponent: float) -> list[dict]:
    """P_n by the library and to 50 digits, a row a word.

    The bound: logarithm, product and the softmax's shift leave α·log f off by 4 eps
    of its largest value A; exp passes that on as a relative error, to the numerator
    and to the sum, and with the sum and the division adds less than 8 eps of its own.
    """
    largest = max(abs(exponent) * math.log(n) for n in counts if n)
    if not largest < 1e6:
        raise InputError(
            f"noise_exponent {exponent:g} takes these counts to e^{largest:.0e}; "
            "give one nearer 0, so that no power is above e^1e6"
        )
    with jax.enable_x64(True):
        library = noise_distribution(np.array(counts, float), exponent).tolist()
    powers = [mp.mpf(n) ** exponent if n else mp.mpf(0) for n in counts]
    exact = [power / sum(powers) for power in powers]
    return [
        {
            "word": word,
            "count": n,
            "share": n / sum(counts),
            "power": mp.nstr(power, 5),
            "library": ours,
            "fifty_digits": mp.nstr(true, 50, strip_zeros=False),
            "error_eps": error_eps(ours, true),
            "bound_eps": (8 * largest + 8) * float(true),
        }
        for word, n, power, ours, true in zip(
            WORDS, counts, powers, library, exact, strict=True
        )
    ]


def error_eps(ours, true) -> float:
    """|ours − true| in units of 2^-52; for words, 0 if they agree and 1 if not."""
    if isinstance(true, str):
        return float(ours != true)
    return float(abs(mp.mpf(ours) - true) * 2**52)


def prints(printed: str, value) -> bool:
    """Is what is printed the value, rounded or cut off where the print ends?"""
    if isinstance(value, str):
        return printed == value
    decimals = -Decimal(printed).as_tuple().exponent
    units, shifted = Decimal(printed).scaleb(decimals), mp.mpf(value) * 10**decimals
    return int(units) in (int(mp.nint(shifted)), int(shifted))


def slips() -> dict[tuple[str, int], tuple[str, list]]:
    """Wrong ways to wrong numbers, and what each gives from the article's own."""
    v, dog, apple, run = map(np.array, START.values())
    printed = {k: np.array(v, float) for k, v in ARTICLE.items() if k[0] != "context"}
    sigma_dog, sigma_apple, sigma_run = printed["σ", 1]
    gradient = (sigma_dog - 1) * dog - sigma_apple * apple - sigma_run * run
    x_RD = np.stack([printed[name, 1] for name in START])
    with jax.enable_x64(True):
        scores, loss = library_scores(x_RD).tolist(), library_loss(x_RD)
        narrow = library_context(1)
    return {
        ("context", 0): ("a window of 1, not 2", [narrow]),
        ("∂L/∂w_in[cat]", 1): (
            "-σ(-s), a positive's factor, in place of a negative's σ(s)", gradient,
        ),
        ("w_in[cat]", 1): (
            "a step along that wrong gradient", v - RATE * printed["∂L/∂w_in[cat]", 1],
        ),
        ("w_out[apple]", 1): ("σ(-s) in place of σ(s)", apple - RATE * sigma_apple * v),
        ("w_out[run]", 1): ("σ(-s) in place of σ(s)", run - RATE * sigma_run * v),
        ("score", 2): ("the article's own wrong vectors", scores),
        ("loss", 2): (
            "log σ(s) in place of a negative's log σ(-s), at the article's own scores "
            f"(its vectors' true loss is {loss:.4f})",
            [np.logaddexp(0, -printed["score", 2]).sum()],
        ),
    }  # fmt: skip


def cause(printed: tuple[str, ...], claim: str, gives: list) -> str:
    """The slip in a line that says which of the printed numbers it gives."""
    found = ", ".join(x if isinstance(x, str) else f"{x:.5g}" for x in gives)
    pairs = zip(printed, gives, strict=True)
    missed = ", ".join(text for text, x in pairs if not prints(text, x))
    ending = f"not {missed}, which stays unexplained" if missed else "as printed"
    return f"{claim}: gives {found}, {ending}"


def compare(quantity: Quantity, library: list, exact: list, ways: dict) -> dict:
    """A row: the library against 50 digits, and the article against them.

    The bound: the roundings of an iteration that meet in one number (three scores,
    their σ or log σ, the sum of three terms, the update) come to fewer than 64
    half-eps of numbers of order 1. What went wrong before reaches them through σ and
    log σ, of slope at most 1, and a tenth of a gradient: errors add, 32 eps each time.
    """
    pairs = zip(quantity.article, exact, strict=False)
    verdicts = ["right" if prints(*pair) else "wrong" for pair in pairs]
    verdict, why = None, None
    if verdicts:
        verdict = "wrong" if "wrong" in verdicts else "right"
    if verdict == "wrong":
        way = ways.get(quantity.key)
        why = cause(quantity.article, *way) if way else "unknown"
    return {
        "quantity": quantity.symbol,
        "iteration": quantity.iteration,
        "parts": list(quantity.parts),
        "article": list(quantity.article),
        "library": library,
        "fifty_digits": [
            x if isinstance(x, str) else mp.nstr(x, 50, strip_zeros=False)
            for x in exact
        ],
        "verdicts": verdicts,
        "verdict": verdict,
        "cause": why,
        "error_eps": max(map(error_eps, library, exact)),
        "bound_eps": 32.0 * quantity.iteration,
    }  # fmt: skip


def study(counts: list[int], exponent: float) -> dict:
    """All numbers: what walkthrough.json holds, but for where it was made."""
    library, exact, ways = library_values(2), exact_values(2), slips()
    rows = [compare(q, library[q.key], exact[q.key], ways) for q in QUANTITIES]
    noise = noise_rows(counts, exponent)
    return {
        "learning_rate": RATE,
        "noise_exponent": exponent,
        "noise": noise,
        "rows": rows,
        "disagreements": [
            f"{one.get('quantity', 'P_n')} {one.get('iteration', one.get('word'))}: "
            f"{one['error_eps']:.3g} eps apart, bound {one['bound_eps']:.3g}"
            for one in rows + noise
            if not one["error_eps"] <= one["bound_eps"]  # NaN disagrees too
        ],
    }
