"""The gradient laboratory's problems on blocks, and on the step that trains.

Windows, masks and weights are counted here from the sentences, by the definition, and
compared with what ``window`` and ``block`` make of the same words.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.laboratory.answers import REFERENCE
from experiments.laboratory.problems import (
    COUNTS_V,
    EXPONENT,
    Problem,
    Quantity,
    V,
    as_terms,
    random_params,
)
from sgns_jax import block, step
from sgns_jax.config import Config
from sgns_jax.loss import Collisions
from sgns_jax.optimizers import on_touched_rows
from sgns_jax.types import SENTENCE_END, Params

D = 4

# Two windows cut out of a text: sentences end inside the first, the second runs over
# the text's end (−1). W = 2, so the centres are positions 2, 3 and 4.
_TOKENS_BE = np.array([[4, 1, 1, 3, 1, 0, 1], [0, 0, 2, 0, 5, 0, 0]])
_SENTENCES_BE = np.array([[0, 0, 0, 0, 1, 1, 1], [2, 2, 2, 2, 2, -1, -1]])
_HALF_BC = np.array([[2, 1, 2], [1, 2, 2]])


def _contexts(b: int, c: int) -> list[int]:
    """Positions of the contexts of centre c of block b, by the definition."""
    sentence, here = _SENTENCES_BE[b], c + 2
    return [
        e
        for e in range(len(sentence))
        if e != here
        and abs(e - here) <= _HALF_BC[b, c]
        and sentence[e] == sentence[here] >= 0
    ]


def _mask_BCE() -> np.ndarray:
    mask_BCE = np.zeros((2, 3, 7), bool)
    for b, c in np.ndindex(2, 3):
        mask_BCE[b, c, _contexts(b, c)] = True
    return mask_BCE


K_SHARED = 5


def rows_and_weights(mode: str, rule: Collisions, params: Params, *words):
    """What ``block_loss`` takes, from the tables and (tokens, mask, noise words)."""
    tokens_BE, mask_BCE, noise_BN = words
    (B, E), C, N = tokens_BE.shape, mask_BCE.shape[1], noise_BN.shape[1]
    rows = block.BlockRows(
        params.w_in.reshape(B, C, D), params.w_out.reshape(B, E + N, D)
    )
    if mode == "shared":
        K = jnp.float32(K_SHARED)
        return rows, block.shared_weights(*words, K, rule)
    return rows, block.independent_weights(*words, N // (E - 1), rule)


def block_quantity(mode: str, rule: Collisions) -> Quantity:
    """Blocks of words; each place of a block is a row of its own.

    Data: words (B, E), mask (B, C, E), noise words (B, N). The rows stand as two
    tables, B·C centres and B·R words.
    """

    def block_loss(params, *words):
        parts = block.block_loss(*rows_and_weights(mode, rule, params, *words))
        return parts.positive + parts.negative

    def block_gradient(params, *words):
        _, by_row = block.block_gradient(*rows_and_weights(mode, rule, params, *words))
        return Params(by_row.v_BCD.reshape(-1, D), by_row.u_BRD.reshape(-1, D))

    return Quantity(f"block {mode} {rule}", block_loss, block_gradient)


_CASE = "a sentence end, the text's end"


def block_shared(quantity: Quantity, dtype: str) -> Problem:
    """Two blocks of three centres; N = 4 noise words a block stand for K = 5."""
    rule, N, E = quantity.name.split()[2], 4, 7
    noise_BN = np.array([[1, 0, 1, 6], [0, 2, 8, 5]])
    R, terms = E + N, []
    for b, c in np.ndindex(2, 3):
        for e in _contexts(b, c):
            terms.append((b * 3 + c, b * R + e, 1, 1.0))
            for n, word in enumerate(noise_BN[b]):
                if rule == "keep" or word != _TOKENS_BE[b, e]:
                    terms.append((b * 3 + c, b * R + E + n, -1, K_SHARED / N))
    params = random_params(4, (2 * 3, 2 * R), D, dtype)
    data = _TOKENS_BE, _mask_BCE(), noise_BN
    return Problem(quantity, _CASE, params, data, as_terms(terms))


def block_independent(quantity: Quantity, dtype: str) -> Problem:
    """The same centres as six blocks of one; each possible pair draws K = 2 words."""
    rule, K, W, E = quantity.name.split()[2], 2, 2, 5
    tokens_BE = np.array([_TOKENS_BE[b, c : c + E] for b, c in np.ndindex(2, 3)])
    mask_BE = np.array([_mask_BCE()[b, c, c : c + E] for b, c in np.ndindex(2, 3)])
    noise_BN = np.random.default_rng(0).integers(0, 3, (6, 2 * W * K))
    R, terms = E + 2 * W * K, []
    places = [e for e in range(E) if e != W]  # from the leftmost context on
    for b in range(6):
        for p, e in enumerate(places):
            if not mask_BE[b, e]:
                continue
            terms.append((b, b * R + e, 1, 1.0))
            for k in range(K):
                n = p * K + k
                if rule == "keep" or noise_BN[b, n] != tokens_BE[b, e]:
                    terms.append((b, b * R + E + n, -1, 1.0))
    params = random_params(5, (6, 6 * R), D, dtype)
    data = tokens_BE, mask_BE[:, None], noise_BN
    return Problem(quantity, _CASE, params, data, as_terms(terms))


SENTENCES = ((4, 1, 1, 3, 1, 0), (2,), (1, 0, 0, 5, 1, 2, 0))


def trainer_config(mode: str, rule: Collisions) -> Config:
    """A step of four blocks, every token kept, windows of fixed width."""
    return Config(
        dim=D, window=2, negatives=3, noise_words=4, block_size=4, blocks_per_step=4,
        subsample=0.0, dynamic_window=False, negatives_mode=mode, collisions=rule,
        noise_exponent=EXPONENT, product_dtype="float32",
    )  # fmt: skip


def _recorder() -> optax.GradientTransformation:
    """A row optimiser whose state is the gradient it was last given, repeats merged."""

    def init(params):
        def zeros(table):
            return jnp.zeros(table.shape, jnp.promote_types(table.dtype, jnp.float32))

        return jax.tree.map(zeros, params)

    keeper = optax.GradientTransformation(init, lambda updates, *_: (updates, updates))
    return on_touched_rows(keeper)


def trainer_quantity(mode: str, rule: Collisions) -> Quantity:
    """The gradient that a training step hands to its optimiser, repeats merged.

    Data: what a step takes besides the state, and the batch that it samples.
    """
    optimizer = _recorder()
    one_step = step.make_step(trainer_config(mode, rule), optimizer)

    def step_gradient(params, inputs, sampled):
        del sampled  # the step samples anew, from the same key
        state = step.TrainState(params, optimizer.init(params), jnp.int32(0))
        return one_step(state, *inputs)[0].opt_state.inner

    def step_loss(params, inputs, sampled):
        del inputs
        rows = params.w_in[sampled.centers_BC], params.w_out[sampled.words_BR]
        parts = block.block_loss(block.BlockRows(*rows), sampled.weights)
        return parts.positive + parts.negative

    return Quantity(f"trainer {mode} {rule}", step_loss, step_gradient)


def trainer(quantity: Quantity, dtype: str) -> Problem:
    """A step over ``SENTENCES``.

    Blocks, weights, noise words and the merging of rows are the step's own; the terms
    are counted from the sentences and from the words that the step says it drew.
    """
    config = trainer_config(*quantity.name.split()[1:])
    # Any words will do here, and steps with this kind of key compile a fifth faster.
    keys = step.Keys(*jax.random.split(jax.random.key(0, impl="unsafe_rbg"), 4))
    sampling = step.make_sampling(config, COUNTS_V)
    stream = [word for s in SENTENCES for word in (*s, SENTENCE_END)]
    starts_B = np.arange(config.blocks_per_step) * config.block_size
    windows, sampled = _sampler(quantity)(
        keys, sampling, np.array(stream, np.int32), starts_B
    )
    shared = config.negatives_mode == "shared"
    E = (config.block_size if shared else 1) + 2 * config.window
    noise_BN = np.asarray(sampled.words_BR)[:, E:]
    terms = as_terms(_trainer_terms(config, noise_BN))
    params = random_params(6, (V, V), D, dtype)
    data = (keys, sampling, windows, starts_B), sampled
    return Problem(quantity, "three sentences", params, data, terms)


@cache
def _sampler(quantity: Quantity):
    """The step's own sampling; compiled once for all dtypes."""
    config = trainer_config(*quantity.name.split()[1:])

    def sample(keys, sampling, segment_T, starts_B):
        windows, _ = step.prepare_segment(config, keys, sampling, segment_T, 0)
        batch = step.sample_batch(config, 0, keys, sampling, windows, starts_B)
        return windows, batch

    return jax.jit(sample, compiler_options=REFERENCE)


def _trainer_terms(config: Config, noise_BN: np.ndarray):
    """Positives from the sentences; to each, the noise words that stand beside it."""
    W, K, N = config.window, config.negatives, config.noise_words
    start = 0
    for sentence in SENTENCES:
        for i, center in enumerate(sentence):
            for distance in (*range(-W, 0), *range(1, W + 1)):
                if not 0 <= i + distance < len(sentence):
                    continue
                context = sentence[i + distance]
                if config.negatives_mode == "shared":
                    words, weight = noise_BN[(start + i) // config.block_size], K / N
                else:
                    place = distance + W - (distance > 0)
                    words = noise_BN[start + i, place * K : (place + 1) * K]
                    weight = 1.0
                yield center, context, 1, 1.0
                for word in words:
                    if config.collisions == "keep" or word != context:
                        yield center, int(word), -1, weight
        start += len(sentence)
