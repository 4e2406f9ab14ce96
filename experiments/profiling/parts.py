"""A training step taken apart: functions from named values to named values.

    draw → blocks → gather → scores → elementwise → G·U, Gᵀ·V → optimiser → scatter

and, on some steps, the loss. A part reads the values that its arguments name and
returns those it makes; one after the other they are the step, bit by bit. Noise is
shared, the gradient derived by hand, updates go by rows: what training does unless
told otherwise.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from sgns_jax import block, window
from sgns_jax.config import Config
from sgns_jax.gradient import slope
from sgns_jax.optimizers import add_rows
from sgns_jax.step import (
    Batch,
    draw_noise,
    make_step,
    prepare_segment,
    reach,
    read_rows,
    rows_of_words,
)
from sgns_jax.types import Params

Values = dict[str, Any]
Part = Callable[..., Values]


def step_parts(
    config: Config, optimizer: optax.GradientTransformationExtraArgs
) -> dict[str, Part]:
    """The parts of a step in their order."""
    return {
        "draw": partial(draw, config),
        "blocks": partial(cut, config),
        "gather": partial(gather, config),
        "product scores": scores,
        "elementwise": partial(elementwise, config),
        "product centres": center_gradient,
        "product words": word_gradient,
        "optimiser": partial(scale, optimizer),
        "scatter": scatter,
        "loss": loss,
    }


def reads(part: Part) -> list[str]:
    """The names of the values that a part takes."""
    return list(inspect.signature(part).parameters)


def call(part: Part, values: Values) -> Values:
    """The values, with those that the part makes of them."""
    return values | part(**{name: values[name] for name in reads(part)})


def in_turn(parts: dict[str, Part], values: Values) -> Values:
    """The values after all parts."""
    for part in parts.values():
        values = call(part, values)
    return values


def draw(config: Config, keys, sampling, step, starts_B) -> Values:
    key = jax.random.fold_in(keys.noise, step)
    return {"noise_BN": draw_noise(key, sampling, starts_B, config.noise_words)}


def cut(config: Config, sampling, windows, starts_B, noise_BN) -> Values:
    C, W = config.block_size, reach(config, len(windows.tokens_T))
    tokens_BE, mask_BCE = window.cut_blocks(windows, starts_B, C, W)
    words = tokens_BE, mask_BCE, noise_BN
    weights = block.shared_weights(*words, sampling.num_negatives, config.collisions)
    words_BR = jnp.concatenate([tokens_BE, noise_BN], axis=1)
    return {"ids": (tokens_BE[:, W : W + C], words_BR), "weights": weights}


def gather(config: Config, params, ids) -> Values:
    return {"rows": read_rows(config, params, Batch(*ids, None))}


def scores(rows) -> Values:
    return {"s_BCR": block.scores(*rows)}


def elementwise(config: Config, s_BCR, weights) -> Values:
    """G = −y ∘ weight ∘ σ(−y ∘ S) in the dtype of the products, and Gᵀ."""
    y_11R = weights.label_R[None, None, :]
    g_BCR = weights.weight_BCR * slope(y_11R, s_BCR)
    g_BRC = jax.lax.optimization_barrier(jnp.swapaxes(g_BCR, 1, 2))
    dtype = jnp.dtype(config.product_dtype)
    return {"g_BCR": block.cast(g_BCR, dtype), "g_BRC": block.cast(g_BRC, dtype)}


def center_gradient(g_BCR, rows) -> Values:
    """∂L/∂V = G·U."""
    return {"d_v_BCD": _product("bcr,brd->bcd", g_BCR, rows.u_BRD)}


def word_gradient(g_BRC, rows) -> Values:
    """∂L/∂U = Gᵀ·V."""
    return {"d_u_BRD": _product("brc,bcd->brd", g_BRC, rows.v_BCD)}


def _product(axes, x, y):
    return jnp.einsum(axes, x, y, preferred_element_type=jnp.float32)


def scale(optimizer, params, opt_state, ids, d_v_BCD, d_u_BRD) -> Values:
    gradient = block.BlockRows(d_v_BCD, d_u_BRD)
    ids, rows = rows_of_words(gradient, Batch(*ids, None))
    updates, opt_state = optimizer.update(rows, opt_state, params, ids=ids)
    return {"updates": updates, "opt_state": opt_state}


def scatter(params, ids, updates) -> Values:
    flat = (words.ravel() for words in ids)
    return {"params": Params(*map(add_rows, params, flat, updates))}


def loss(rows, weights) -> Values:
    return {"loss": block.block_loss(rows, weights)}


def prepare(config: Config, keys, sampling, segment_T, step) -> Values:
    """Once a segment: subsampling and windows."""
    windows, kept = prepare_segment(config, keys, sampling, segment_T, step)
    return {"windows": windows, "kept": kept}


def whole_step(config: Config, optimizer: optax.GradientTransformation) -> Part:
    """The step as training has it."""
    step = make_step(config, optimizer)

    def whole(state, keys, sampling, windows, starts_B, measured) -> Values:
        state, loss = step(state, keys, sampling, windows, starts_B, measured)
        return {"state": state, "loss": loss}

    return whole
