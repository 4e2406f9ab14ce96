"""Independent answers to one question: what is the gradient of this loss?

The first three differentiate the library's loss by machine and never see the derived
gradient. The last three never see the library: they take the loss as the paper states
it, a sum of −weight · log σ(label · v·u) over :class:`Terms`.

Every answer takes a problem and the places asked for, numbers of the flat vector
(w_in row by row, then w_out), and returns as many derivatives.
"""

from functools import cache

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import sympy
from jax.flatten_util import ravel_pytree

from experiments.laboratory.problems import Problem, Quantity
from sgns_jax.types import Params


def _context(digits: int) -> mpmath.MPContext:
    """mpmath with a precision of its own: the global one is whoever's set it last."""
    context = mpmath.MPContext()
    context.dps = digits
    return context


# A difference at step 1e-30 loses 30 digits, a second one 30 more; what they leave out
# is of the order 1e-60.
EXACT, _FIRST, _SECOND = _context(50), _context(90), _context(130)
_STEP = "1e-30"


#: References run a few times: compiling them quickly matters, running them does not.
#: What is under examination is compiled as users compile it.
REFERENCE = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}


def flat(params) -> np.ndarray:
    """Both tables as one vector, w_in first."""
    return np.concatenate([np.asarray(table).ravel() for table in params])


def tables(params: Params) -> Params:
    """Both tables in float64; every dtype examined is exact in it."""
    return Params(*(np.asarray(table).astype(np.float64) for table in params))


def by_hand(problem: Problem, at: np.ndarray) -> np.ndarray:
    """The gradient under examination, in float64."""
    gradient = compiled_gradient(problem.quantity)(problem.params, *problem.data)
    return flat(gradient).astype(np.float64)[at]


@cache
def compiled_gradient(quantity: Quantity):
    return jax.jit(quantity.gradient)


def reverse_mode(problem: Problem, at: np.ndarray) -> np.ndarray:
    """``jax.grad`` of the library's loss, in the dtype of the params."""
    _, gradient = value_and_grad(problem)
    return flat(gradient).astype(np.float64)[at]


def value_and_grad(problem: Problem) -> tuple[jax.Array, Params]:
    """The library's loss and its gradient by reverse-mode autodiff."""
    return _reverse(problem.quantity)(problem.params, *problem.data)


@cache
def _reverse(quantity: Quantity):
    return jax.jit(jax.value_and_grad(quantity.loss), compiler_options=REFERENCE)


def forward_mode(problem: Problem, at: np.ndarray) -> np.ndarray:
    """``jax.jvp`` of the library's loss along the basis vector of each place."""
    derivative = _forward(problem.quantity)
    found = [derivative(problem.params, int(i), *problem.data) for i in at]
    return np.array(found).astype(np.float64)


@cache
def _forward(quantity: Quantity):
    def derivative(params, place, *data):
        vector, unravel = ravel_pytree(params)
        basis = unravel(jnp.zeros_like(vector).at[place].set(1))
        return jax.jvp(lambda p: quantity.loss(p, *data), (params,), (basis,))[1]

    return jax.jit(derivative, compiler_options=REFERENCE)


def central_steps(problem: Problem, at: np.ndarray) -> np.ndarray:
    """h = ε^⅓ · max(1, |x|): where rounding ε·L/h and truncation h²·L‴/6 are alike."""
    x = flat(tables(problem.params))[at]
    return np.cbrt(np.finfo(np.float64).eps) * np.maximum(1, abs(x))


def central_differences(
    problem: Problem, at: np.ndarray, step: float | None = None
) -> np.ndarray:
    """(L(x + h) − L(x − h)) / 2h of the library's loss in float64."""
    steps = central_steps(problem, at) if step is None else np.full(len(at), step)
    loss, params = _loss(problem.quantity), tables(problem.params)
    found = []
    for (table, row, column), h in zip(places(problem, at), steps, strict=True):
        x, losses, moved = params[table][row, column], [], []
        for sign in (1, -1):
            params[table][row, column] = x + sign * h
            moved.append(params[table][row, column])
            losses.append(float(loss(params, *problem.data)))
        params[table][row, column] = x
        # Divided by what was really added, after rounding, not by what was meant.
        found.append((losses[0] - losses[1]) / (moved[0] - moved[1]))
    return np.array(found)


@cache
def _loss(quantity: Quantity):
    return jax.jit(quantity.loss, compiler_options=REFERENCE)


def complex_step(problem: Problem, at: np.ndarray, step: float = 1e-200) -> np.ndarray:
    """Im L(x + i·h) / h of the stated loss: no difference is taken, so h may be tiny.

    Source: Squire & Trapp 1998, "Using complex variables to estimate derivatives of
    real functions".
    """
    w_in, w_out = (table.astype(complex) for table in tables(problem.params))
    row_in, row_out, label, weight = problem.terms
    derivatives = []
    for table, row, column in places(problem, at):
        perturbed = w_in, w_out
        perturbed[table][row, column] += 1j * step
        s = np.sum(w_in[row_in] * w_out[row_out], axis=1)
        derivatives.append(np.sum(weight * _softplus(-label * s)).imag / step)
        perturbed[table][row, column] -= 1j * step
    return np.array(derivatives)


def _softplus(z: np.ndarray) -> np.ndarray:
    """−log σ(−z) = log(1 + eᶻ), for complex z without overflow."""
    tail = np.log1p(np.exp(np.where(z.real > 0, -z, z)))
    return np.where(z.real > 0, z, 0) + tail


def fifty_digits(problem: Problem, at: np.ndarray) -> np.ndarray:
    """A central difference of the stated loss, carried out with 90 digits.

    Its error is below 1e-50 of the derivative, and no derivative was derived for it.
    Returns an array of mpmath numbers.
    """
    return _differences(problem, _exact(problem, _FIRST), at, _FIRST)


def fifty_digit_hvp(problem: Problem, direction: Params, at: np.ndarray) -> np.ndarray:
    """The Hessian times a direction, as a central difference of central differences."""
    step, numbers = _SECOND.mpf(_STEP), _exact(problem, _SECOND)
    along = _exact(problem._replace(params=direction), _SECOND)

    def moved(sign):
        return [
            {
                i: [x + sign * step * dx for x, dx in zip(row, way[i], strict=True)]
                for i, row in table.items()
            }
            for table, way in zip(numbers, along, strict=True)
        ]

    ahead, behind = (
        _differences(problem, moved(sign), at, _SECOND) for sign in (1, -1)
    )
    return (ahead - behind) / (2 * step)


def _differences(problem: Problem, numbers, at: np.ndarray, context) -> np.ndarray:
    """(L(x + h) − L(x − h)) / 2h with the digits of a context."""
    step = context.mpf(_STEP)
    pairs = zip(*problem.terms[:2], strict=True)
    scores = [_score(numbers, i, j, context) for i, j in pairs]
    derivatives = []
    for table, row, column in places(problem, at):
        total = context.mpf(0)
        for t in np.flatnonzero(problem.terms[table] == row):
            # A score is linear in each of its numbers: this is s(x ± h), exactly.
            other = problem.terms[1 - table][t]
            change = step * numbers[1 - table][other][column]
            above = _term(problem, t, scores[t] + change, context)
            total += above - _term(problem, t, scores[t] - change, context)
        derivatives.append(total / (2 * step))
    return np.array(derivatives, object)


def fifty_digit_loss(problem: Problem) -> mpmath.mpf:
    """The stated loss itself."""
    numbers, pairs = _exact(problem, EXACT), zip(*problem.terms[:2], strict=True)
    return EXACT.fsum(
        _term(problem, t, _score(numbers, i, j, EXACT), EXACT)
        for t, (i, j) in enumerate(pairs)
    )


def computer_algebra(problem: Problem, at: np.ndarray) -> np.ndarray:
    """sympy differentiates one stated term; 50 digits are put in, terms added up."""
    numbers, D = _exact(problem, EXACT), problem.params.w_in.shape[1]
    derivative = _derived_term(D)
    total = [{}, {}]
    for i, j, label, weight in zip(*problem.terms, strict=True):
        v_D, u_D = numbers[0][i], numbers[1][j]
        y, times = EXACT.mpf(float(label)), EXACT.mpf(float(weight))
        by_v, by_u = derivative(*v_D, *u_D, y, times)
        for sums, row, by_row in zip(total, (i, j), (by_v, by_u), strict=True):
            old = sums.get(row, [EXACT.mpf(0)] * D)
            sums[row] = [a + b for a, b in zip(old, by_row, strict=True)]
    return np.array([total[t][row][d] for t, row, d in places(problem, at)], object)


@cache
def _derived_term(D: int):
    v, u = sympy.symbols(f"v:{D}"), sympy.symbols(f"u:{D}")
    y, weight = sympy.symbols("y weight")
    score = sum(a * b for a, b in zip(v, u, strict=True))
    term = -weight * sympy.log(1 / (1 + sympy.exp(-y * score)))
    by_v, by_u = ([sympy.diff(term, x) for x in row] for row in (v, u))
    fifty = {"exp": EXACT.exp, "log": EXACT.log}
    return sympy.lambdify((*v, *u, y, weight), (by_v, by_u), fifty, cse=True)


def places(problem: Problem, at: np.ndarray) -> list[tuple[int, int, int]]:
    """(table, row, column) of places in the flat vector; table 0 is w_in."""
    size, D = problem.params.w_in.size, problem.params.w_in.shape[1]
    return [(int(i >= size), (i - size * (i >= size)) // D, i % D) for i in at]


def touched(problem: Problem, most: int = 48) -> np.ndarray:
    """The places of rows that have a term; a fixed sample where they are many."""
    D, size = problem.params.w_in.shape[1], problem.params.w_in.size
    rows = [np.unique(problem.terms.row_in), np.unique(problem.terms.row_out)]
    starts = np.concatenate([rows[0] * D, size + rows[1] * D])
    all_places = (starts[:, None] + np.arange(D)).ravel()
    if len(all_places) <= most:
        return all_places
    return np.sort(np.random.default_rng(0).choice(all_places, most, replace=False))


def _exact(problem: Problem, context) -> list[dict[int, list[mpmath.mpf]]]:
    """The numbers of the rows that have a term, without rounding."""
    pairs = zip(tables(problem.params), problem.terms[:2], strict=True)
    return [
        {int(i): [context.mpf(float(x)) for x in table[i]] for i in np.unique(rows)}
        for table, rows in pairs
    ]


def _score(numbers, i, j, context) -> mpmath.mpf:
    return context.fdot(numbers[0][i], numbers[1][j])


def _term(problem: Problem, t: int, score: mpmath.mpf, context) -> mpmath.mpf:
    """−weight · log σ(label·s) = weight · log(1 + exp(−label·s))."""
    label, weight = (
        context.mpf(float(x[t])) for x in (problem.terms.label, problem.terms.weight)
    )
    return weight * context.log1p(context.exp(-label * score))
