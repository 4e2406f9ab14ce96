"""What the gradient laboratory examines: losses of the library, on cases that hurt.

A :class:`Problem` is a loss, the gradient that the library derives by hand, a point,
and the same loss written out term by term in plain Python loops over the words. The
independent answers know the terms alone.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sgns_jax import gradient, loss
from sgns_jax.loss import Collisions
from sgns_jax.types import Params

DTYPES = ("float64", "float32", "bfloat16", "float16")
V = 9  #: words of the laboratory's vocabulary
COUNTS_V = np.array([310, 120, 61, 30, 18, 9, 7, 4, 2])
EXPONENT = 0.75


class Terms(NamedTuple):
    """L = −Σ weight · log σ(label · w_in[row_in]·w_out[row_out]), an entry a term."""

    row_in: np.ndarray  #: (T,) row of w_in
    row_out: np.ndarray  #: (T,) row of w_out
    label: np.ndarray  #: (T,) +1 for a positive, −1 for a noise word; any real number
    weight: np.ndarray  #: (T,) how often the term counts; any real number


class Quantity(NamedTuple):
    """A tier of the loss under one rule; both functions take ``(params, *data)``."""

    name: str
    loss: Callable[..., jax.Array]  #: the library's
    gradient: Callable[..., Params]  #: the library's, derived by hand


class Problem(NamedTuple):
    """A quantity at one point, said twice: by the library and term by term."""

    quantity: Quantity
    case: str  #: what is special about it
    params: Params  #: NumPy arrays in the dtype under examination
    data: tuple  #: the words: what the library's functions take besides params
    terms: Terms

    @property
    def dtype(self) -> str:
        return self.params.w_in.dtype.name

    def with_large_scores(self) -> "Problem":
        """The same words where the loss is nearly straight: σ is close to 0 or 1."""
        rows, D = tuple(map(len, self.params)), self.params.w_in.shape[1]
        params = random_params(7, rows, D, self.dtype, LARGE)
        return self._replace(case=f"{self.case}, large scores", params=params)


#: How far rows reach: scores of about 1, and of about 20.
ORDINARY, LARGE = 1.5, 6.0


def random_params(
    seed: int, rows: tuple[int, int], D: int, dtype: str, reach: float = ORDINARY
) -> Params:
    """Normal rows of length ``reach``, whatever the dimension."""
    rng = np.random.default_rng(seed)
    scale = reach / D**0.5
    tables = (scale * rng.standard_normal((n, D)) for n in rows)
    return Params(*(table.astype(jnp.dtype(dtype)) for table in tables))


def as_terms(terms: Iterable[tuple[int, int, int, float]]) -> Terms:
    """Columns out of (row_in, row_out, label, weight), a tuple a term."""
    return Terms(*map(np.array, zip(*terms, strict=True)))


def pair_terms(center: int, context: int, negatives: Sequence[int], rule: Collisions):
    """A pair's terms, from the paper's formula."""
    yield center, context, 1, 1.0
    for word in negatives:
        if rule == "keep" or word != context:
            yield center, word, -1, 1.0


def quantity(tier: str, rule: Collisions) -> Quantity:
    """``pair``, ``batch`` or ``expected``, as the library has them at this moment."""
    of_loss, of_gradient = {
        "pair": (loss.pair_loss, gradient.pair_gradient),
        "batch": (loss.batch_loss, gradient.batch_gradient),
        "expected": (loss.expected_loss, gradient.expected_gradient),
    }[tier]
    return Quantity(
        f"{tier} {rule}",
        partial(of_loss, collisions=rule),
        partial(of_gradient, collisions=rule),
    )


def pair(quantity: Quantity, case: str, params: Params, ids) -> Problem:
    """The pair tier at the given (centre, positive, noise words)."""
    rule = quantity.name.split()[1]
    data = tuple(np.asarray(part, np.int32) for part in ids)
    return Problem(quantity, case, params, data, as_terms(pair_terms(*ids, rule)))


#: name → centre, positive, noise words: every kind of coincidence among them.
PAIRS = {
    "repeated noise": (2, 5, (1, 1, 7, 1)),
    "noise = positive": (2, 5, (5, 1, 5, 8)),
    "centre = context": (3, 3, (3, 1, 3, 6)),
    "noise = centre": (2, 5, (2, 2, 8, 1)),
}


def pairs(quantity: Quantity, dtype: str) -> list[Problem]:
    """The pair tier with every kind of coincidence."""
    params = random_params(1, (V, V), 4, dtype)
    return [pair(quantity, case, params, ids) for case, ids in PAIRS.items()]


#: (K, D): each of the smallest and the largest, alone and together.
SIZES = ((1, 1), (64, 1), (1, 1024), (5, 100), (64, 1024))


def pairs_of_size(quantity: Quantity, dtype: str) -> list[Problem]:
    """Pairs of many sizes; more than V noise words repeat by necessity."""
    made = []
    for K, D in SIZES:
        ids = 2, 5, tuple(np.random.default_rng(K).integers(0, V, K).tolist())
        params = random_params(D, (V, V), D, dtype)
        made.append(pair(quantity, f"K={K} D={D}", params, ids))
    return made


SCORES = (0.0, 1e-8, 1.0, -1.0, 20.0, -20.0, 90.0, -90.0, 1e4, -1e4)


def pairs_at_scores(
    quantity: Quantity, dtype: str, scores: Iterable[float] = SCORES
) -> list[Problem]:
    """A positive and a noise word that both have the given score."""
    return [pair_at_score(quantity, dtype, score) for score in scores]


def pair_at_score(quantity: Quantity, dtype: str, score: float) -> Problem:
    """Every product and sum of the score is exact: what is measured is what follows.

    A score below the smallest normal number of float16 is split between v and u.
    """
    factor = 2.0**-13 if 0 < abs(score) < 1e-6 else 1.0
    w_in, w_out = np.full((V, 4), factor), np.zeros((V, 4))
    w_out[5] = w_out[1] = score / factor * np.array([0.5, 0.25, 0.125, 0.125])
    params = Params(*(table.astype(jnp.dtype(dtype)) for table in (w_in, w_out)))
    return pair(quantity, f"score {score:g}", params, (2, 5, (1, 1, 1, 1)))


def batch(quantity: Quantity, dtype: str) -> Problem:
    """All of ``PAIRS`` at once."""
    rule, ids = quantity.name.split()[1], PAIRS.values()
    data = tuple(np.array(column, np.int32) for column in zip(*ids, strict=True))
    terms = as_terms(term for one in ids for term in pair_terms(*one, rule))
    params = random_params(2, (V, V), 4, dtype)
    return Problem(quantity, "four pairs", params, data, terms)


def expected(quantity: Quantity, dtype: str) -> Problem:
    """K = 5 noise words, all V words weighted with K·P_n."""
    rule, K, center, context = quantity.name.split()[1], 5, 2, 3
    probs_V = COUNTS_V**EXPONENT / np.sum(COUNTS_V**EXPONENT)
    terms = [(center, context, 1, 1.0)] + [
        (center, word, -1, K * probs_V[word])
        for word in range(V)
        if rule == "keep" or word != context
    ]
    data = np.int32(center), np.int32(context), probs_V, K
    params = random_params(3, (V, V), 4, dtype)
    return Problem(quantity, "K=5", params, data, as_terms(terms))
