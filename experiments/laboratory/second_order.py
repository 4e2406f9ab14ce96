"""Second derivatives: the derived Hessian times a direction, and its bound.

For terms −weight·log σ(y·s) the curvature along v alone is Σ weight·σ(s)·σ(−s)·(u·v̇)²,
between 0 and ¼ Σ weight·‖u‖²·‖v̇‖²: the step 1/(¼ Σ weight·‖u‖²) is safe in v.
"""

from collections.abc import Callable
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from experiments.laboratory import answers, block_problems, bounds, problems
from experiments.laboratory.bounds import Comparison, Sizes
from experiments.laboratory.problems import Problem, Quantity
from sgns_jax import hessian
from sgns_jax.types import Params

ANSWERS = ("H·d by jax.jvp of jax.grad", "H·d, 50 digits")


def examinations() -> list[Callable[[], list[Comparison]]]:
    """Hessian times direction for pairs and blocks; curvature of pairs."""
    made = []
    for rule in ("keep", "skip"):
        made.append(partial(_pairs, rule))
        made.append(partial(_blocks, rule))
    return [*made, curvature]


def _pairs(rule) -> list[Comparison]:
    @jax.jit
    def product(params, direction, *ids):
        return hessian.pair_hvp(params, *ids, direction, rule)

    with jax.enable_x64(True):
        made = problems.pairs(problems.quantity("pair", rule), "float64")
        return [c for problem in made for c in _examine(problem, product)]


def _blocks(rule) -> list[Comparison]:
    def product(params, direction, *words):
        rows, weights = block_problems.rows_and_weights("shared", rule, params, *words)
        along, _ = block_problems.rows_and_weights("shared", rule, direction, *words)
        by_row = hessian.block_hvp(rows, weights, along)
        return Params(*(part.reshape(-1, block_problems.D) for part in by_row))

    with jax.enable_x64(True):
        quantity = block_problems.block_quantity("shared", rule)
        problem = block_problems.block_shared(quantity, "float64")
        return _examine(problem, jax.jit(product))


def _examine(problem: Problem, product) -> list[Comparison]:
    rows = tuple(len(table) for table in problem.params)
    D = problem.params.w_in.shape[1]
    direction = problems.random_params(99, rows, D, "float64")
    at = answers.touched(problem)
    found = _sizes(problem, direction, at)
    ours = product(problem.params, direction, *problem.data)
    ours = answers.flat(ours).astype(np.float64)[at]
    exact = answers.fifty_digit_hvp(problem, direction, at)
    derived = bounds.of_derived(problem, found, "float64")
    machine = bounds.of_machine(problem, found, "float64", "float64")
    compare = partial(bounds.compare, problem, at, found, ours)
    by_jax = _by_jax(problem, direction)[at]
    return [
        compare(by_jax, ANSWERS[0], machine, "float64"),
        compare(exact, ANSWERS[1], derived, "float64"),
    ]


def _by_jax(problem: Problem, direction: Params) -> np.ndarray:
    product = _jvp_of_grad(problem.quantity)
    return answers.flat(product(problem.params, direction, *problem.data))


@cache
def _jvp_of_grad(quantity: Quantity):
    def product(params, direction, *data):
        gradient = jax.grad(lambda params: quantity.loss(params, *data))
        return jax.jvp(gradient, (params,), (direction,))[1]

    return jax.jit(product, compiler_options=answers.REFERENCE)


def _sizes(problem: Problem, direction: Params, at: np.ndarray) -> Sizes:
    """As ``bounds.sizes``: what Σ h·ṡ·x + g·ẋ adds up, and what it may cost.

    h = y²·σ(y·s)·σ(−y·s) is off by the score's error in proportion, as g is; ṡ is a sum
    of 2D products and measured by their absolute values.
    """
    sizes = bounds.sizes(problem, at)
    w_in, w_out = answers.tables(problem.params)
    dw_in, dw_out = direction
    row_in, row_out, label, weight = problem.terms
    s_T = np.sum(w_in[row_in] * w_out[row_out], axis=1)
    ds_T = np.sum(abs(dw_in[row_in] * w_out[row_out]), axis=1)
    ds_T = ds_T + np.sum(abs(w_in[row_in] * dw_out[row_out]), axis=1)
    g_T = abs(label * weight) * np.exp(-np.logaddexp(0, label * s_T))
    h_T = g_T * abs(label) * np.exp(-np.logaddexp(0, -label * s_T))
    total = []
    for table, row, column in answers.places(problem, at):
        mine = np.flatnonzero(problem.terms[table] == row)
        others = problem.terms[1 - table][mine]
        x = abs((w_out, w_in)[table][others, column])
        dx = abs((dw_out, dw_in)[table][others, column])
        total.append(np.sum(h_T[mine] * ds_T[mine] * x + g_T[mine] * dx))
    D = w_in.shape[1]
    of_h = np.max(bounds.of_scores(problem) + bounds.of_label(label))
    units = np.max(sizes.roundings) + bounds.TERM + 2 * D + of_h
    return sizes._replace(
        size=np.array(total), roundings=np.full(len(at), units), push=2 * sizes.push
    )


def curvature() -> list[Comparison]:
    """Eigenvalues of the Hessian in v against 0 and ¼ Σ ‖u‖²; at v = 0 their sum is it.

    One pair, all its noise words counted.
    """
    with jax.enable_x64(True):
        made = []
        for problem in problems.pairs(problems.quantity("pair", "keep"), "float64"):
            at_zero = problem.params.w_in.copy()
            at_zero[problem.data[0]] = 0
            zero = problem.params._replace(w_in=at_zero)
            made += _curvature(problem)
            made += _curvature(problem._replace(case="v = 0", params=zero))
    return made


@jax.jit
def _hessian_in_v(params, center, context, negatives):
    """(D, D) ∂²L/∂v_c², column by column."""

    def column(basis_D):
        w_in = jnp.zeros_like(params.w_in).at[center].set(basis_D)
        direction = Params(w_in, jnp.zeros_like(params.w_out))
        product = hessian.pair_hvp(params, center, context, negatives, direction)
        return product.w_in[center]

    return jax.vmap(column)(jnp.eye(params.w_in.shape[1]))


def _curvature(problem: Problem) -> list[Comparison]:
    H_DD = np.asarray(_hessian_in_v(problem.params, *problem.data))
    D = len(H_DD)
    limit = np.sum(problem.params.w_out[problem.terms.row_out] ** 2) / 4
    share = np.linalg.eigvalsh(H_DD) / limit
    slack = 16 * D * np.finfo(np.float64).eps
    state = partial(_statement, problem)
    made = [
        state("largest eigenvalue / bound", share[-1], 1 + slack),
        state("smallest eigenvalue, below 0", max(-share[0], 0), slack),
    ]
    if problem.case == "v = 0":
        made.append(
            state("sum of eigenvalues / bound, from 1", abs(sum(share) - 1), slack)
        )
    return made


def _statement(problem, against, error, bound) -> Comparison:
    eps = np.finfo(np.float64).eps
    return Comparison(
        "curvature in v", problem.case, "float64", against, float(error),
        float(error / eps), "w_in[centre]", float(bound),
        "σ(s)·σ(−s) ≤ ¼; 16·D·ε for the eigenvalues", bool(error <= bound),
    )  # fmt: skip
