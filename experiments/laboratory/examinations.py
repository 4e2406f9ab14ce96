"""What is examined: every quantity, dtype, case, transformation and order.

An examination takes nothing and returns comparisons; it sets the precision it needs.
"""

from collections.abc import Callable, Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.laboratory import (
    answers,
    block_problems,
    bounds,
    curves,
    problems,
    sampling,
    second_order,
    transformations,
)
from experiments.laboratory.answers import fifty_digit_loss
from experiments.laboratory.bounds import Bound, Comparison
from experiments.laboratory.problems import DTYPES, Problem, Quantity
from sgns_jax.loss import Collisions
from sgns_jax.types import InputError

WIDE = DTYPES[:2]
RULES = ("keep", "skip")
MODES = ("shared", "independent")

Examination = Callable[[], list[Comparison]]


def with_makers(
    rules: Iterable[Collisions] = RULES,
) -> list[tuple[Quantity, Callable[[Quantity, str], list[Problem]]]]:
    """Every quantity, fresh, and what makes its standard problems."""

    def twice(make):
        def problems(quantity, dtype):
            problem = make(quantity, dtype)
            return [problem, problem.with_large_scores()]

        return problems

    def pairs(quantity, dtype):
        made = problems.pairs(quantity, dtype)
        return [*made, made[0].with_large_scores()]

    block = {
        "shared": block_problems.block_shared,
        "independent": block_problems.block_independent,
    }
    found = []
    for rule in rules:
        found += [
            (problems.quantity("pair", rule), pairs),
            (problems.quantity("batch", rule), twice(problems.batch)),
            (problems.quantity("expected", rule), twice(problems.expected)),
        ]
        for mode in MODES:
            of_block = block_problems.block_quantity(mode, rule)
            of_trainer = block_problems.trainer_quantity(mode, rule)
            found.append((of_block, twice(block[mode])))
            found.append((of_trainer, twice(block_problems.trainer)))
    return found


def examine(problem: Problem, against: Iterable[str]) -> list[Comparison]:
    """A problem of one's own: its derived gradient against the named answers.

    Raises:
      InputError: if its loss is not what its terms add up to: the answers that know the
        terms alone would then call a right gradient wrong.
    """
    if not value(problem).holds:
        loss, stated = answers.value_and_grad(problem)[0], fifty_digit_loss(problem)
        raise InputError(
            f"{problem.quantity.name} ({problem.case}): the loss is {float(loss):.9g}, "
            f"its stated terms add up to {float(stated):.9g}; state it as terms "
            "-weight*log σ(label*score), where a scale is in the weights and a "
            "temperature in the labels, and leave out what is no such term, as an "
            "offset or a penalty"
        )
    return compared(problem, against)


def compared(problem: Problem, against: Iterable[str]) -> list[Comparison]:
    """A problem's derived gradient, zero rows and loss against the named answers.

    The terms are taken for true: a loss unlike them is one more comparison that fails.
    """
    at = answers.touched(problem)
    gradient = answers.compiled_gradient(problem.quantity)(
        problem.params, *problem.data
    )
    derived, result = answers.flat(gradient).astype(np.float64), gradient.w_in.dtype
    found = bounds.sizes(problem, at)
    compare = partial(bounds.compare, problem, at, found, derived[at])
    made = []
    for name in against:
        answer, bound = ANSWERS[name]
        most_ulps = _required_ulps(problem, name)
        limit = _required(problem, name, bound(problem, at, found, result.name))
        made.append(
            compare(answer(problem, at), name, limit, result.name, most_ulps)
        )  # fmt: skip
    return [*made, untouched(problem, derived), value(problem)]


def _exact(problem, at, found, result):
    return bounds.of_derived(problem, found, result)


def _autodiff(problem, at, found, result):
    return bounds.of_machine(problem, found, result, problem.dtype)


def _complex(problem, at, found, result):
    return bounds.of_machine(problem, found, result, "float64")


def _central(problem, at, found, result):
    return bounds.of_central(problem, at, found)


#: name → the answer, and the bound of the derived gradient against it.
ANSWERS = {
    "jax.grad": (answers.reverse_mode, _autodiff),
    "jax.jvp": (answers.forward_mode, _autodiff),
    "central differences": (answers.central_differences, _central),
    "complex step": (answers.complex_step, _complex),
    "50 digits": (answers.fifty_digits, _exact),
    "computer algebra": (answers.computer_algebra, _exact),
}
#: Dtypes in which an answer is asked for, where not in all.
ASKED = {
    "jax.jvp": ("float64",),
    "central differences": ("float64",),
    "computer algebra": WIDE,
}
LOSS, ZERO = "loss", "rows without a term"


def _required(problem: Problem, against: str, bound: Bound) -> Bound:
    """What the laboratory promises, where that is stricter than the argument."""
    promised = np.inf
    if problem.dtype == "float64" and against == "jax.grad":
        promised = 1e-12
    if problem.dtype == "float64" and against == "50 digits":
        promised = 1e-13 if problem.quantity.name.startswith("pair") else np.inf
    if np.all(bound.limit <= promised):
        return bound
    limit = np.minimum(bound.limit, promised)
    return bound._replace(limit=limit, why=f"promised; argued: {bound.why}")


def _required_ulps(problem: Problem, against: str) -> float:
    """8 ulp for the pair in float32, unless the score's own rounding may cost more.

    A score of 20 that is rounded moves σ by up to 20 half-ε a product, whatever the
    formula; where scores of that size are exact (``pairs_at_scores``), 8 ulp it is.
    """
    is_pair = problem.quantity.name.startswith("pair") and "large" not in problem.case
    exact = against in ("50 digits", "computer algebra")
    return 8.0 if is_pair and problem.dtype == "float32" and exact else np.inf


def untouched(problem: Problem, derived: np.ndarray) -> Comparison:
    """Rows without a term have a gradient of exactly zero."""
    everything = np.arange(len(derived))
    others = np.setdiff1d(everything, answers.touched(problem, len(derived)))
    largest = float(np.max(abs(derived[others]), initial=0))
    where = f"{len(others)} numbers"
    return _plain(problem, ZERO, largest, where, 0.0, "exactly zero")


def value(problem: Problem) -> Comparison:
    """The loss itself against 50 digits."""
    exact = fifty_digit_loss(problem)
    loss, _ = answers.value_and_grad(problem)
    size, units = bounds.loss_size(problem)
    error = float(abs(float(loss) - exact) / size)
    half = float(jnp.finfo(loss.dtype).eps) / 2
    why = f"{units:.0f} roundings of ε/2 = {half:.1e}"
    return _plain(problem, LOSS, error, "loss", half * units, why)


def _plain(problem, against, error, position, bound, why) -> Comparison:
    eps = float(jnp.finfo(problem.dtype).eps)
    name = problem.quantity.name
    return Comparison(
        name, problem.case, problem.dtype, against, error, error / eps, position,
        bound, why, bool(error <= bound),
    )  # fmt: skip


def everything() -> list[Examination]:
    """The whole laboratory."""
    return [
        *standard(),
        *transformations.examinations(),
        *second_order.examinations(),
        *sampling.examinations(),
        curves.examine_steps,
    ]


def screening() -> dict[str, Examination]:
    """tier → what every mutant faces there: one rule, float64, two answers."""
    of_tiers = {
        quantity.name.removesuffix(" keep"): partial(_screen, quantity, make)
        for quantity, make in with_makers(rules=("keep",))
    }
    return of_tiers | {"sampler": sampling.examine}


def _screen(quantity, make) -> list[Comparison]:
    with jax.enable_x64(True):
        chosen = make(quantity, "float64")
        return [c for p in chosen for c in compared(p, ("jax.grad", "complex step"))]


def standard() -> list[Examination]:
    """Every quantity in every dtype; the pair at every size and score besides.

    Rules and modes differ in weights alone, and weights are float32 where rows are of
    half precision: there each tier comes once.
    """
    made = []
    for quantity, make in with_makers():
        for dtype in DTYPES:
            if dtype in WIDE or not {"skip", "independent"} & set(
                quantity.name.split()
            ):
                made.append(partial(_standard, quantity, make, dtype))
            if quantity.name == "pair keep":
                made.append(partial(_scores, quantity, dtype))
                if dtype in WIDE:
                    made.append(partial(_sizes, quantity, dtype))
    return made


def _standard(quantity, make, dtype) -> list[Comparison]:
    against = [name for name in ANSWERS if dtype in ASKED.get(name, DTYPES)]
    with jax.enable_x64(dtype == "float64"):
        made = make(quantity, dtype)
        return [c for problem in made for c in compared(problem, against)]


def _scores(quantity, dtype) -> list[Comparison]:
    against = ("jax.grad", "complex step", "50 digits")
    with jax.enable_x64(dtype == "float64"):
        made = problems.pairs_at_scores(quantity, dtype)
        return [c for problem in made for c in compared(problem, against)]


def _sizes(quantity, dtype) -> list[Comparison]:
    against = ("jax.grad", "complex step", "50 digits")
    with jax.enable_x64(dtype == "float64"):
        made = problems.pairs_of_size(quantity, dtype)
        return [c for problem in made for c in compared(problem, against)]
