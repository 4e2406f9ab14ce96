"""How far a gradient may be from the truth, and how far it is.

An entry of the gradient is a sum over terms, Σ_t g_t·x_t, with g = −y·weight·σ(−y·s)
and x a number of the other row. In arithmetic with unit roundoff ε/2,

- the score s, a sum of D products, is off by at most D·Σ_d|v_d·u_d| half-ε, and σ(−y·s)
  in proportion by |y|·σ(y·s) times that, since d log σ(−y·s)/ds = −y·σ(y·s);
- where y is not ±1, y and y·s are rounded, too: 2 half-ε in g, and 2·|y·s| half-ε more
  in what σ is taken of;
- σ itself, the weight and the products add ``TERM`` half-ε to a term;
- adding n terms in any order costs at most n half-ε of Σ|g_t·x_t|.

Errors are measured against Σ|g_t·x_t|, the *size* of an entry: where terms cancel, no
way of adding them can do better relative to what is left. A unit in the last place
(ulp) is that of the size.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.laboratory.answers import central_steps, places, tables
from experiments.laboratory.problems import Problem

#: exp 4 (vector exponentials are good to 2 ε), 1 + e and the division 2, the weight
#: m·K/N in float32 3, two products 2, a spare 1.
TERM = 12
_LARGEST_THIRD = 1 / (6 * 3**0.5)  # of d³ log σ(s)/ds³


class Comparison(NamedTuple):
    """One answer against another, where they differ most for what they may."""

    quantity: str
    case: str
    dtype: str  #: of the parameters
    against: str  #: the answer compared with
    error: float  #: |difference| / size
    ulps: float  #: the same in units in the last place
    position: str  #: where: table[row, column]
    bound: float  #: what the error must not exceed
    why: str  #: the argument for the bound
    holds: bool


class Sizes(NamedTuple):
    """For each place, what is added up there and what that may cost."""

    size: np.ndarray  #: Σ_t |g_t·x_t|
    roundings: np.ndarray  #: half-ε of rounding, relative to size
    push: np.ndarray  #: Σ_t |y·weight·x_t|: what an underflow of σ is multiplied by
    cube: np.ndarray  #: Σ_t |weight·(y·x_t)³|, in the bound of the third derivative


def sizes(problem: Problem, at: np.ndarray) -> Sizes:
    """Sizes of the entries at the given places, in float64, from the terms."""
    w_in, w_out = tables(problem.params)
    row_in, row_out, label, weight = problem.terms
    wrong_T, cost_T = _of_terms(problem)
    columns = []
    for table, row, column in places(problem, at):
        mine = np.flatnonzero(problem.terms[table] == row)
        other = w_out[row_out[mine]] if table == 0 else w_in[row_in[mine]]
        times, x = abs(weight[mine]), abs(label[mine] * other[:, column])
        added = times * wrong_T[mine] * x
        size = np.sum(added)
        cost = np.dot(added, cost_T[mine]) / size if size else 0.0
        push, cube = np.sum(times * x), np.sum(times * x**3)
        columns.append((size, cost + len(mine), push, cube))
    return Sizes(*map(np.array, zip(*columns, strict=True)))


def _of_terms(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """For each term: σ(−y·s), and the half-ε that g may be off by."""
    w_in, w_out = tables(problem.params)
    row_in, row_out, label, _ = problem.terms
    products_TD = w_in[row_in] * w_out[row_out]
    margin_T = label * np.sum(products_TD, axis=1)
    right_T, wrong_T = np.exp(-np.logaddexp(0, [-margin_T, margin_T]))
    return wrong_T, TERM + of_label(label) + of_scores(problem) * right_T


def of_label(label: np.ndarray) -> np.ndarray:
    """How often a label is rounded: itself and in a product, unless it is ±1."""
    return np.where(abs(label) == 1, 0, 2)


def of_scores(problem: Problem) -> np.ndarray:
    """For each term, the half-ε (not relative) that y·s may be off by."""
    w_in, w_out = tables(problem.params)
    row_in, row_out, label, _ = problem.terms
    products_TD = label[:, None] * w_in[row_in] * w_out[row_out]
    added_T = products_TD.shape[1] * np.sum(abs(products_TD), axis=1)
    return added_T + of_label(label) * abs(np.sum(products_TD, axis=1))


class Bound(NamedTuple):
    """What an error may be at each place, and why."""

    limit: np.ndarray | float  #: relative to the size
    why: str
    smallest: float  #: below this number of the arithmetic, σ may be 0


def of_derived(problem: Problem, found: Sizes, result_dtype: str) -> Bound:
    """The derived gradient against the exact one."""
    arithmetic = _compute_dtype(problem.dtype)
    compute, result = _eps(arithmetic), _eps(result_dtype)
    smallest = max(_smallest(arithmetic), _smallest(result_dtype))
    units, half = np.max(found.roundings), compute / 2
    limit, why = half * units, f"{units:.0f} roundings of ε/2 = {half:.1e}"
    rounded = _eps(problem.dtype)
    if problem.quantity.name.startswith(("block", "trainer")) and rounded > compute:
        # The products of a block take G = ∂L/∂S in the dtype of the rows.
        limit, why = limit + rounded / 2, f"{why}, one of {rounded / 2:.1e} in G"
        smallest = max(smallest, _smallest(problem.dtype))
    if result > compute:
        limit, why = limit + result / 2, f"{why}, one of {result / 2:.1e} at the end"
    return Bound(limit, why, smallest)


def of_machine(
    problem: Problem, found: Sizes, result_dtype: str, arithmetic: str
) -> Bound:
    """The derived gradient against one by machine, which rounds too.

    Autodiff adds up in the dtype of the params, complex steps in float64. Both reach
    σ(s) through log σ, where the rounding of a number near s is a relative error.
    """
    derived = of_derived(problem, found, result_dtype)
    w_in, w_out = tables(problem.params)
    row_in, row_out, label, _ = problem.terms
    largest = np.max(abs(label * np.sum(w_in[row_in] * w_out[row_out], axis=1)))
    units, half = np.max(found.roundings) + largest, _eps(arithmetic) / 2
    why = f"{derived.why}; the other answer: {units:.0f} of {half:.1e}"
    smallest = max(derived.smallest, _smallest(arithmetic))
    return Bound(derived.limit + half * units, why, smallest)


def of_central(problem: Problem, at: np.ndarray, found: Sizes) -> Bound:
    """A central difference: rounding of L divided by h, truncation h²·L‴/6."""
    h, half = central_steps(problem, at), np.finfo(np.float64).eps / 2
    value, units = loss_size(problem)
    third = _LARGEST_THIRD * found.cube
    error = half * units * value / h + h * h * third / 6
    derived = of_derived(problem, found, "float64")
    limit = error / np.where(found.size > 0, found.size, 1) + derived.limit
    return derived._replace(limit=limit, why="ε·L/h + h²·max|L‴|/6, both computed")


def loss_size(problem: Problem) -> tuple[float, float]:
    """Σ|term| of the loss, and the half-ε of it that adding them up may be off by."""
    w_in, w_out = tables(problem.params)
    row_in, row_out, label, weight = problem.terms
    products_TD = w_in[row_in] * w_out[row_out]
    terms = weight * np.logaddexp(0, -label * np.sum(products_TD, axis=1))
    wrong_T, _ = _of_terms(problem)
    size = np.sum(abs(terms))
    scores = np.sum(abs(weight) * wrong_T * of_scores(problem))
    return size, TERM + len(label) + scores / size


def compare(
    problem: Problem,
    at: np.ndarray,
    found: Sizes,
    ours: np.ndarray,
    answer: np.ndarray,
    against: str,
    bound: Bound,
    result_dtype: str,
    most_ulps: float = np.inf,
) -> Comparison:
    """Two answers at the given places; ``answer`` may hold mpmath numbers."""
    difference = abs((ours.astype(object) - answer).astype(np.float64))
    floor = bound.smallest * (1 + found.push)
    size = np.where(found.size > 0, found.size, 1)
    error = np.where(difference <= floor, 0, difference / size)
    ulps = np.where(difference <= floor, 0, difference / _ulp(size, result_dtype))
    limit = np.broadcast_to(bound.limit, error.shape)
    worst = int(np.argmax(np.maximum(error / limit, ulps / most_ulps)))
    why = bound.why if most_ulps == np.inf else f"{bound.why}; {most_ulps:g} ulp"
    table, row, column = places(problem, at[worst : worst + 1])[0]
    return Comparison(
        problem.quantity.name, problem.case, problem.dtype, against,
        float(error[worst]), float(ulps[worst]),
        f"{problem.params._fields[table]}[{row}, {column}]",
        float(limit[worst]), why,
        bool(np.all(error <= limit) and np.all(ulps <= most_ulps)),
    )  # fmt: skip


def _compute_dtype(dtype: str) -> str:
    """Half-precision parameters are computed with in float32."""
    return jnp.promote_types(dtype, jnp.float32).name


def _eps(dtype: str) -> float:
    return float(jnp.finfo(dtype).eps)


def _smallest(dtype: str) -> float:
    """Subnormal numbers may count as 0, but float16 ones come from float32 intact."""
    info = jnp.finfo(dtype)
    return float(info.smallest_subnormal if dtype == "float16" else info.tiny)


def _ulp(size: np.ndarray, dtype: str) -> np.ndarray:
    """The distance of neighbouring numbers of a dtype, at numbers of the given size."""
    size = np.maximum(size, float(jnp.finfo(dtype).tiny))
    return _eps(dtype) * 2.0 ** np.floor(np.log2(size))
