"""Two curves: error of a difference against its step, error against the score.

Differences. A central difference errs by ε·|L|/h (rounding, slope −1 in a logarithmic
plot) and by h²·|L‴|/6 (truncation, slope 2): a V whose tip no step gets below. A
complex step takes no difference, so only truncation is left.
"""

from functools import cache

import jax
import numpy as np

from experiments.laboratory import answers, bounds, problems
from experiments.laboratory.bounds import Comparison

CENTRAL_STEPS = np.logspace(-15, 0, 46)
COMPLEX_STEPS = np.append(np.logspace(-300, -20, 15), CENTRAL_STEPS)


def _short(x: np.ndarray) -> np.ndarray:
    """Numbers of six binary digits: products and sums of a few are exact anywhere."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa * 64) / 64, exponent)


SCORES = _short(np.logspace(-3, 4, 85))


@cache
def step_errors() -> dict[str, list]:
    """Largest error of each kind of difference, at each step, for one pair."""
    with jax.enable_x64(True):
        problem = problems.pairs(problems.quantity("pair", "keep"), "float64")[0]
        at = answers.touched(problem)
        size = bounds.sizes(problem, at).size
        exact = answers.fifty_digits(problem, at).astype(np.float64)

        def errors(answer, steps):
            found = (answer(problem, at, h) for h in steps)
            return [float(np.max(abs(one - exact) / size)) for one in found]

        return {
            "central_steps": CENTRAL_STEPS.tolist(),
            "central_errors": errors(answers.central_differences, CENTRAL_STEPS),
            "complex_steps": COMPLEX_STEPS.tolist(),
            "complex_errors": errors(answers.complex_step, COMPLEX_STEPS),
        }


def examine_steps() -> list[Comparison]:
    """The V: both slopes, its tip, and a complex step that has no left side."""
    found = step_errors()
    h, error = (np.array(found[f"central_{part}"]) for part in ("steps", "errors"))
    rounding = _slope(h, error, 1e-12, 1e-7)
    truncation = _slope(h, error, 1e-3, 1e-1)
    tip = h[np.argmin(error)] / np.cbrt(np.finfo(np.float64).eps)
    tiny = max(
        e
        for s, e in zip(found["complex_steps"], found["complex_errors"], strict=True)
        if s < 1e-9
    )
    eps = float(np.finfo(np.float64).eps)
    return [
        _state("slope of rounding, from -1", abs(rounding + 1), 0.2, "scatter of ε"),
        _state("slope of truncation, from 2", abs(truncation - 2), 0.1, "next: h⁴"),
        _state("tip / ε^⅓, in decades", abs(np.log10(tip)), 1.5, "|L/L‴| ~ 1"),
        _state("complex step below 1e-9", tiny, 32 * eps, "no difference, 32 ε"),
    ]


def _slope(h, error, low, high) -> float:
    inside = (h >= low) & (h <= high)
    return float(np.polyfit(np.log(h[inside]), np.log(error[inside]), 1)[0])


def _state(against, error, bound, why) -> Comparison:
    return Comparison(
        "differences", "a pair", "float64", against, float(error), float("nan"),
        "all steps", float(bound), why, bool(error <= bound),
    )  # fmt: skip


def score_errors() -> dict[str, dict[str, list]]:
    """Relative error of ∂L/∂u of a pair at scores ±s, derived and by autodiff.

    The worse of the two signs and of the positive's and the noise word's row.
    """
    quantity = problems.quantity("pair", "keep")
    found = {}
    for dtype in problems.DTYPES:
        with jax.enable_x64(dtype == "float64"):
            rows = [_score_error(quantity, dtype, score) for score in SCORES]
        derived, autodiff = np.array(rows).T
        found[dtype] = {
            "scores": SCORES.tolist(),
            "derived": derived.tolist(),
            "jax.grad": autodiff.tolist(),
        }
    return found


def _score_error(quantity, dtype, score) -> tuple[float, float]:
    made = problems.pairs_at_scores(quantity, dtype, (score, -score))
    worst = np.zeros(2)
    for problem in made:
        V, D = problem.params.w_out.shape
        at = np.array([V * D + 5 * D, V * D + 1 * D])  # first numbers of both rows
        exact = answers.fifty_digits(problem, at)
        for i, answer in enumerate((answers.by_hand, answers.reverse_mode)):
            error = abs((answer(problem, at).astype(object) - exact) / exact)
            worst[i] = max(worst[i], *map(float, error))
    return tuple(worst)
