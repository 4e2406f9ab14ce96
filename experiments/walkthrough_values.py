"""The toy example's numbers: by the library in float64, and to 50 digits."""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
from jax.nn import sigmoid

from sgns_jax.gradient import pair_gradient
from sgns_jax.loss import lookup, pair_loss
from sgns_jax.types import SENTENCE_END, Params
from sgns_jax.window import Blocks, cut_blocks, lay_windows, subsample

WORDS = ("cat", "dog", "apple", "banana", "run")
CAT, DOG, APPLE, BANANA, RUN = range(5)
NEGATIVES = np.array([APPLE, RUN])
SCORED = np.array([DOG, APPLE, RUN])  # the positive, then the negatives
SENTENCE = "the cat sat on the mat".split()
#: The R = 4 rows that take part, D = 2; the article gives no other.
START = {
    "w_in[cat]": (1.0, 2.0),
    "w_out[dog]": (1.0, 0.5),
    "w_out[apple]": (1.0, 1.0),
    "w_out[run]": (0.5, 0.0),
}
RATE = 0.1


class Quantity(NamedTuple):
    """One or more lines of a table, and what the article prints there."""

    symbol: str
    iteration: int  #: that it belongs to; a vector stands at the iteration's end
    parts: tuple[str, ...]  #: what its numbers are called
    article: tuple[str, ...] = ()  #: as printed; empty if the article has nothing

    @property
    def key(self) -> tuple[str, int]:
        return self.symbol, self.iteration


def _scores(iteration: int, *article: str) -> Quantity:
    parts = tuple(f"score of {WORDS[word]}" for word in SCORED)
    return Quantity("score", iteration, parts, article)


def _vector(symbol: str, iteration: int, *article: str) -> Quantity:
    return Quantity(symbol, iteration, (f"{symbol}, x", f"{symbol}, y"), article)


#: The tables of the page.
TABLES = {
    "positives": [Quantity("context", 0, ("context of cat",), ("[the, sat]",))],
    "loss_1": [
        _scores(1, "2.0", "3.0", "0.5"),
        Quantity("σ", 1, ("σ(2)", "σ(-3)", "σ(-0.5)"), ("0.88", "0.047", "0.38")),
        Quantity("loss", 1, ("loss",), ("4.15",)),
    ],
    "step_1": [
        _vector("∂L/∂w_in[cat]", 1, "-0.357", "-0.107"),
        _vector("w_in[cat]", 1, "1.0357", "2.0107"),
        _vector("w_out[dog]", 1, "1.012", "0.524"),
        _vector("w_out[apple]", 1, "0.9953", "0.9906"),
        _vector("w_out[run]", 1, "0.462", "-0.076"),
    ],
    "loss_2": [
        _scores(2, "2.10", "2.51", "0.325"),
        Quantity("loss", 2, ("loss",), ("0.74",)),
    ],
    "step_2": [*(_vector(name, 2) for name in START), Quantity("loss", 3, ("loss",))],
}
QUANTITIES = tuple(itertools.chain(*TABLES.values()))
ARTICLE = {q.key: q.article for q in QUANTITIES if q.article}


def walk(x_RD, rate, iterations, scores, loss, gradient, sigma) -> dict:
    """Gradient descent by the functions given: (symbol, iteration) → numbers.

    Every gradient of an iteration is taken at the old vectors.
    """
    values = {}
    for i in range(1, iterations + 1):
        s_R = scores(x_RD)
        values["score", i] = s_R
        values["σ", i] = [sigma(s_R[0]), sigma(-s_R[1]), sigma(-s_R[2])]
        values["loss", i] = [loss(x_RD)]
        g_RD = gradient(x_RD)
        values["∂L/∂w_in[cat]", i] = [g_RD[0, 0], g_RD[0, 1]]
        x_RD = x_RD - rate * g_RD
        for r, name in enumerate(START):
            values[name, i] = [x_RD[r, 0], x_RD[r, 1]]
    values["loss", iterations + 1] = [loss(x_RD)]
    return values


def library_values(iterations: int) -> dict[tuple[str, int], list]:
    """Every quantity by this library, in float64."""
    with jax.enable_x64(True):
        values = walk(
            jnp.array(list(START.values())), RATE, iterations,
            library_scores, library_loss, library_gradient, sigmoid,
        )  # fmt: skip
        numbers = {key: [float(x) for x in some] for key, some in values.items()}
        return numbers | {("context", 0): [library_context(2)]}


def params_of(x_RD: jax.Array) -> Params:
    """The library's tables; NaN, which would spread, where the article has no row."""
    unknown_VD = jnp.full((len(WORDS), 2), jnp.nan)
    return Params(unknown_VD.at[CAT].set(x_RD[0]), unknown_VD.at[SCORED].set(x_RD[1:]))


@jax.jit
def library_scores(x_RD: jax.Array) -> jax.Array:
    params = params_of(x_RD)
    return lookup(params.w_out, SCORED) @ lookup(params.w_in, CAT)


@jax.jit
def library_loss(x_RD: jax.Array) -> jax.Array:
    return pair_loss(params_of(x_RD), CAT, DOG, NEGATIVES)


@jax.jit
def library_gradient(x_RD: jax.Array) -> jax.Array:
    gradient = pair_gradient(params_of(x_RD), CAT, DOG, NEGATIVES)
    return jnp.concatenate([gradient.w_in[CAT : CAT + 1], gradient.w_out[SCORED]])


def library_context(window: int) -> str:
    """The positives of "cat", cut as the trainer cuts them; no word is dropped."""
    words = list(dict.fromkeys(SENTENCE))
    segment_T = np.array([*map(words.index, SENTENCE), SENTENCE_END])
    start_B = np.array([SENTENCE.index("cat")])
    tokens_BE, mask_BCE = map(np.asarray, _cut(segment_T, start_B, window))
    return f"[{', '.join(words[i] for i in tokens_BE[0][mask_BCE[0, 0]])}]"


@functools.partial(jax.jit, static_argnames="window")
def _cut(segment_T: jax.Array, start_B: jax.Array, window: int) -> Blocks:
    kept = subsample(jax.random.key(0), segment_T, jnp.ones(len(set(SENTENCE))))
    windows = lay_windows(kept, jnp.full(segment_T.shape, window))
    return cut_blocks(windows, start_B, 1, window)


mp = mpmath.MPContext()
mp.dps = 120  # a difference quotient of step h = 2^-100 keeps 60 of them
STEP = mp.ldexp(1, -100)


def exact_values(iterations: int) -> dict[tuple[str, int], list]:
    """Every quantity to over 50 digits, from the definition of the loss alone."""
    x_RD = mp.matrix([list(row) for row in START.values()])
    values = walk(
        x_RD, mp.mpf(1) / 10, iterations,
        exact_scores, exact_loss, exact_gradient, exact_sigma,
    )  # fmt: skip
    at = SENTENCE.index("cat")
    near = SENTENCE[max(at - 2, 0) : at] + SENTENCE[at + 1 : at + 3]
    return values | {("context", 0): [f"[{', '.join(near)}]"]}


def exact_scores(x_RD) -> list:
    return [x_RD[0, 0] * x_RD[r, 0] + x_RD[0, 1] * x_RD[r, 1] for r in (1, 2, 3)]


def exact_sigma(s):
    return 1 / (1 + mp.exp(-s))


def exact_loss(x_RD):
    dog, apple, run = exact_scores(x_RD)
    sigmas = exact_sigma(dog), exact_sigma(-apple), exact_sigma(-run)
    return -sum(mp.log(sigma) for sigma in sigmas)


def exact_gradient(x_RD):
    """(L(x + h) − L(x − h)) / 2h, which is off by h²/6·L''' < 1e-59."""
    g_RD = mp.matrix(4, 2)
    for r, d in itertools.product(range(4), range(2)):
        ahead_RD, behind_RD = x_RD.copy(), x_RD.copy()
        ahead_RD[r, d] += STEP
        behind_RD[r, d] -= STEP
        g_RD[r, d] = (exact_loss(ahead_RD) - exact_loss(behind_RD)) / (2 * STEP)
    return g_RD
