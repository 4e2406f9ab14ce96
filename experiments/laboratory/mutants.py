"""Known wrong derivations, each swapped into the library to see the laboratory fail.

A mutant replaces the least there is: the slope of a term, an argument of a call, or
what a call returns. It restates no signature and no formula of the library, so that a
function there may take more, or be written anew. It goes wherever a module of the
library holds the function that it replaces.
"""

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
from jax.nn import sigmoid

from sgns_jax.block import block_gradient, independent_weights, shared_weights
from sgns_jax.gradient import (
    batch_gradient,
    expected_gradient,
    row_gradient,
    scatter_rows,
    slope,
)
from sgns_jax.noise import alias_table, draw
from sgns_jax.optimizers import merge_rows
from sgns_jax.step import rows_of_words
from sgns_jax.types import Params

_LEARNING_RATE = 0.025  # of the mutant that moves a row too early


class Mutant(NamedTuple):
    """A wrong derivation: what is wrong, where it shows, and what it puts for what."""

    about: str
    tiers: tuple[str, ...]  #: of ``examinations.screening``: those that must see it
    replaced: dict[Callable, Callable]  #: function of the library → wrong function


@contextlib.contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """The library with the mutant in it. Functions compiled before are not touched."""
    modules = [m for name, m in sys.modules.items() if name.startswith("sgns_jax")]
    with contextlib.ExitStack() as stack:
        for right, wrong in mutant.replaced.items():
            for module in modules:
                for name in [n for n, held in vars(module).items() if held is right]:
                    stack.enter_context(mock.patch.object(module, name, wrong))
        yield


def _given(right: Callable, **other: Callable[[dict[str, Any]], Any]) -> Callable:
    """``right`` given other arguments, each made of all that the call has."""
    signature = inspect.signature(right)

    def wrong(*args, **kwargs):
        call = signature.bind(*args, **kwargs)
        given = dict(call.arguments)
        if unknown := other.keys() - given.keys():
            raise TypeError(f"{right.__name__} was not given {', '.join(unknown)}")
        call.arguments |= {name: make(given) for name, make in other.items()}
        return right(*call.args, **call.kwargs)

    return wrong


def _returning(right: Callable, change: Callable[[Any], Any]) -> Callable:
    """``right`` with its result changed."""
    return lambda *args, **kwargs: change(right(*args, **kwargs))


_PAIRS = "pair", "batch"
_BLOCKS = "block shared", "block independent"
_TRAINER = "trainer shared", "trainer independent"


def _by_slope(about: str, wrong: Callable) -> Mutant:
    """Another slope of a term, a function of its label y and its score s."""
    return Mutant(about, (*_PAIRS, "expected", *_BLOCKS, *_TRAINER), {slope: wrong})


def _table_sigmoid(s):
    """word2vec.c: 1000 slots over ±6, found with the integer 1000 / 6 / 2 = 83."""
    slot = jnp.floor((jnp.clip(s, -6, 6) + 6) * (1000 // 6 // 2))
    return sigmoid((slot / 1000 * 2 - 1) * 6)


def _clip_to_certain(s):
    """word2vec.c: beyond ±6 the word counts as known, σ is 0 or 1."""
    return jnp.where(s > 6, 1.0, jnp.where(s < -6, 0.0, sigmoid(s)))


def _mean_rows(gradient):
    return jax.tree.map(lambda g: g / (len(gradient.u_KD) + 1), gradient)


def _mean_blocks(found):
    loss, gradient = found
    return loss, jax.tree.map(lambda g: g / loss.pairs, gradient)


def _stale_rows(*args, **kwargs):
    first = row_gradient(*args, **kwargs)
    moved = _given(
        row_gradient, v_D=lambda given: given["v_D"] - _LEARNING_RATE * first.v_D
    )
    return moved(*args, **kwargs)._replace(v_D=first.v_D)


def _stale_blocks(*args, **kwargs):
    loss, first = block_gradient(*args, **kwargs)

    def moved(given):
        v_BCD = given["rows"].v_BCD - _LEARNING_RATE * first.v_BCD
        return given["rows"]._replace(v_BCD=v_BCD)

    _, late = _given(block_gradient, rows=moved)(*args, **kwargs)
    return loss, late._replace(v_BCD=first.v_BCD)


def _last_of_each(ids, rows):
    """Rows as they are where no later one has the same id, else 0."""
    ids_R = ids.ravel()
    is_earlier_R = jnp.any(jnp.triu(ids_R[:, None] == ids_R[None], 1), axis=1)
    return jnp.where(is_earlier_R[:, None], 0, rows.reshape(len(ids_R), -1))


def _unmasked(right):
    """The noise words' weights as if every context of a full window were there."""

    def all_contexts(given):
        C, E = given["mask_BCE"].shape[1:]
        W = (E - C) // 2
        distance_CE = jnp.arange(E)[None] - W - jnp.arange(C)[:, None]
        is_context_CE = (distance_CE != 0) & (abs(distance_CE) <= W)
        return jnp.broadcast_to(is_context_CE, given["mask_BCE"].shape)

    def wrong(*args, **kwargs):
        masked = right(*args, **kwargs)
        full = _given(right, mask_BCE=all_contexts)(*args, **kwargs)
        is_token_11R = masked.label_R[None, None] > 0
        weight_BCR = jnp.where(is_token_11R, masked.weight_BCR, full.weight_BCR)
        return masked._replace(weight_BCR=weight_BCR)

    return wrong


def _one_table(given):
    return Params(given["params"].w_in, given["params"].w_in)


def _added_to_the_first(gradient):
    return Params(gradient.w_in + gradient.w_out, jnp.zeros_like(gradient.w_out))


def _rows_of_the_first(found):
    both = map(jnp.concatenate, found)
    return tuple(Params(x, 0 * x) for x in both)


MUTANTS = {
    "article_slip": _by_slope(
        "-σ(-s) where the gradient of a noise word is σ(s), as the article computes",
        lambda y, s: -sigmoid(-s),
    ),
    "flipped_sign": _by_slope(
        "the sum over noise words subtracted instead of added",
        lambda y, s: -sigmoid(-y * s),
    ),
    "missing_positive": _by_slope(
        "the positive's term left out",
        lambda y, s: jnp.where(y > 0, 0, slope(y, s)),
    ),
    "k_forgotten": Mutant(
        "noise counted once instead of K times",
        ("expected", "block shared", "trainer shared"),
        {
            right: _given(right, num_negatives=lambda given: 1.0)
            for right in (expected_gradient, shared_weights)
        },
    ),
    "mean_for_sum": Mutant(
        "the mean over a pair's K + 1 terms, or a step's pairs, instead of the sum",
        (*_PAIRS, *_BLOCKS, *_TRAINER),
        {
            row_gradient: _returning(row_gradient, _mean_rows),
            block_gradient: _returning(block_gradient, _mean_blocks),
        },
    ),
    "stale_row": Mutant(
        "the input row moved (by 0.025 of its gradient) before the output rows' turn",
        (*_PAIRS, *_BLOCKS, *_TRAINER),
        {row_gradient: _stale_rows, block_gradient: _stale_blocks},
    ),
    "sigma_table": _by_slope(
        "word2vec.c's σ table, whose integer division makes σ(0) = 0.494",
        lambda y, s: _table_sigmoid(s) - (y > 0),
    ),
    "clip_word2vec": _by_slope(
        "σ taken as 0 or 1 beyond ±6, as word2vec.c does",
        lambda y, s: _clip_to_certain(s) - (y > 0),
    ),
    "clip_gensim": _by_slope(
        "no gradient beyond ±6, as gensim does",
        lambda y, s: jnp.where(abs(s) > 6, 0, slope(y, s)),
    ),
    "overwritten_duplicates": Mutant(
        "of equal rows the last one kept instead of their sum",
        (*_PAIRS, *_TRAINER),
        {
            scatter_rows: _given(
                scatter_rows,
                updates=lambda given: [
                    (ids, _last_of_each(ids, rows)) for ids, rows in given["updates"]
                ],
            ),
            merge_rows: _given(
                merge_rows,
                rows=lambda given: _last_of_each(given["ids"], given["rows"]),
            ),
        },
    ),
    "unmasked_noise": Mutant(
        "noise words of contexts beyond the sentence's end counted",
        (*_BLOCKS, *_TRAINER),
        {right: _unmasked(right) for right in (shared_weights, independent_weights)},
    ),
    "one_table": Mutant(
        "one table of vectors for both roles",
        (*_PAIRS, *_TRAINER),
        {
            batch_gradient: _returning(
                _given(batch_gradient, params=_one_table), _added_to_the_first
            ),
            rows_of_words: _returning(rows_of_words, _rows_of_the_first),
        },
    ),
    "frozen_noise": Mutant(
        "noise words drawn once and used at every step",
        ("sampler",),
        {draw: _given(draw, key=lambda given: jax.random.key(0))},
    ),
    "other_exponent": Mutant(
        "P_n with exponent 0.5 where 0.75 is meant",
        ("sampler",),
        {
            alias_table: _given(
                alias_table, exponent=lambda given: given["exponent"] - 0.25
            )
        },
    ),
}
