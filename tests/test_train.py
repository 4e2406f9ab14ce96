"""Rounds, fit, reproducibility, stability, and what a compiled round is."""

import dataclasses
import functools
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgns_jax import step as step_module
from sgns_jax import train
from sgns_jax.config import Config
from sgns_jax.corpus import SETTINGS
from sgns_jax.step import (
    Sampling,
    init_params,
    run_keys,
)
from sgns_jax.types import SENTENCE_END, InputError

ROOT = Path(__file__).parent.parent
V = 40
CONFIG = Config(
    dim=8,
    window=3,
    block_size=8,
    noise_words=8,
    blocks_per_step=4,
    segment_tokens=600,
    epochs=2,
    subsample=0.01,
    loss_every=1,
    replicas=1,
)


def corpus(size=2000, seed=0):
    """Zipf-distributed tokens in sentences of 30 on one of 4 topics, and counts."""
    rng = np.random.default_rng(seed)
    topic = rng.integers(0, 4, size)[np.arange(size) // 31]
    rank = np.minimum(rng.zipf(1.3, size) - 1, V // 4 - 1)
    tokens = (4 * rank + topic).astype(np.int32)
    tokens[30::31] = SENTENCE_END
    return tokens, np.bincount(tokens[tokens >= 0], minlength=V)


def fitted(config, tokens=None, counts=None):
    if tokens is None:
        tokens, counts = corpus()
    trainer = train.make_trainer(config, counts, len(tokens))
    for done, state, loss in train.fit(config, trainer, tokens):  # noqa: B007
        pass
    return done, state, loss


def test_segments_cover_the_corpus_evenly():
    for replicas, num_tokens in itertools.product((1, 2), (1, 599, 600, 601, 2000)):
        config = dataclasses.replace(CONFIG, replicas=replicas)
        n = train.num_rounds(config, num_tokens, V) * replicas
        size = train.segment_size(config, num_tokens, V)
        assert size <= 600 and n < num_tokens / 600 + replicas
        assert 0 <= n * size - num_tokens < n  # none is shorter by more than a token


def test_segments_grow_with_a_vocabulary_whose_rows_are_merged():
    one, two = (dataclasses.replace(CONFIG, replicas=n) for n in (1, 2))
    assert train.num_rounds(two, 48_000, 1000) == 3  # of 2 segments of 8 · 1000
    assert train.segment_size(two, 48_000, 1000) == 8000
    assert train.num_rounds(two, 48_000, 75) == 40
    assert train.num_rounds(one, 48_000, 1000) == 80


def mean_loss(metrics):
    positive, negative, pairs = (np.sum(np.asarray(part)) for part in metrics.loss)
    return float((positive + negative) / pairs)


def test_training_lowers_the_loss(unoptimized):
    tokens, counts = corpus()
    config = dataclasses.replace(CONFIG, epochs=8, subsample=0.0)
    trainer = train.make_trainer(config, counts, len(tokens))
    losses = [mean_loss(got) for *_, got in train.fit(config, trainer, tokens)]
    assert losses[-1] < 0.75 * losses[0]
    assert losses[0] < 6 * np.log(2) + 0.1  # every score begins at 0


def test_all_pairs_of_the_segments_are_seen(unoptimized):
    """Fixed windows, no subsampling: the number of positives is known exactly."""
    config = dataclasses.replace(CONFIG, dynamic_window=False, subsample=0.0, epochs=1)
    tokens, counts = corpus()
    trainer = train.make_trainer(config, counts, len(tokens))
    size = train.segment_size(config, len(tokens), V)
    metrics = [got for *_, got in train.fit(config, trainer, tokens)]
    seen = [int(got.pairs[0]) for got in metrics]
    want = []
    for start in range(0, len(tokens), size):
        segment = tokens[start : start + size]
        lengths = np.diff(np.flatnonzero(np.r_[-1, segment, -1] == SENTENCE_END)) - 1
        # n tokens with half-window 3: 2·(3n − 1 − 2 − 3) pairs for n ≥ 3
        want.append(sum(6 * n - 12 if n >= 3 else n * (n - 1) for n in lengths))
    assert seen == want == [int(got.loss.pairs[0]) for got in metrics]


@pytest.mark.parametrize("window", [5, 2000, 30_000, 2**30])
def test_the_pairs_of_a_segment_fit_their_counter(window):
    config = Config(window=window, replicas=2, segment_tokens=2**30)
    for vocabulary in (1000, 10**9):
        size = train.segment_size(config, 10**9, vocabulary)
        pairs = size * min(2 * window, size - 1)
        assert 0.7 * train.MOST < pairs <= train.MOST
    narrow = train.narrowed(config, 6)  # 5 to either side, whatever W
    size = train.segment_size(narrow, 10**9, 1000)
    assert size == train.segment_size(Config(window=5, segment_tokens=2**30), 10**9, 1)


def test_what_cannot_be_counted_is_refused():
    """Segments where replicas are many, steps where epochs are."""
    config = dataclasses.replace(CONFIG, epochs=2**31 - 1)
    assert train.num_rounds(config, 32, V) == 1  # a step an epoch
    for settings in {"blocks_per_step": 1}, {"replicas": 2}, {"epochs": 2**30}:
        more = dataclasses.replace(config, **settings)
        with pytest.raises(InputError, match="give fewer epochs or replicas"):
            train.num_rounds(more, 32 if "epochs" not in settings else 10**5, V)


@functools.partial(jax.jit, static_argnums=0)
def first_batch(config, sampling, segment_T, starts_B):
    keys = run_keys(0)
    windows, _ = step_module.prepare_segment(config, keys, sampling, segment_T, 0)
    return step_module.sample_batch(config, 0, keys, sampling, windows, starts_B)


@pytest.mark.parametrize("mode", ["shared", "independent"])
def test_no_block_is_wider_than_sentences(mode, unoptimized):
    """Nothing else changes: half-windows are drawn from 1..W, or all of them are W."""
    config = dataclasses.replace(CONFIG, negatives_mode=mode)
    segment_T, starts_B = corpus(200)[0], np.arange(0, 200, 8)  # sentences of 30

    def batch(window, dynamic):
        wide = dataclasses.replace(config, window=window, dynamic_window=dynamic)
        narrow = train.narrowed(wide, 30)
        assert step_module.reach(narrow, 200) == 29 and step_module.reach(wide, 9) == 8
        sampling = step_module.make_sampling(wide, corpus()[1])
        return [first_batch(c, sampling, segment_T, starts_B) for c in (wide, narrow)]

    def pairs(batch, W):
        centers_BC, words_BR, (_, weight_BCR) = jax.tree.map(np.asarray, batch)
        b, c, e = np.nonzero(weight_BCR[..., : centers_BC.shape[1] + 2 * W])
        return np.stack([b, c, e - W, centers_BC[b, c], words_BR[b, e]])

    wide, narrow = batch(50, dynamic=True)
    np.testing.assert_array_equal(pairs(wide, 50), pairs(narrow, 29))
    assert pairs(wide, 50).shape[1] > 500
    assert narrow.words_BR.size < 0.7 * wide.words_BR.size
    (_, large), (exact, same) = (batch(window, dynamic=False) for window in (50, 29))
    jax.tree.map(np.testing.assert_array_equal, (large, exact), (exact, same))


def test_the_number_of_steps_is_near_the_expected_one(unoptimized):
    tokens, counts = corpus()
    _, state, _ = fitted(CONFIG)
    expected = train.expected_steps(CONFIG, counts, len(tokens))
    assert abs(int(state.step) - expected) < 0.15 * expected


def test_schedule_and_start_are_those_of_the_config(unoptimized):
    tokens, counts = corpus()
    trainer = train.make_trainer(CONFIG, counts, len(tokens))
    steps = train.expected_steps(CONFIG, counts, len(tokens))
    rates = [float(trainer.schedule(step)) for step in (0, steps // 2, steps)]
    want = np.multiply(CONFIG.learning_rate, [1, 0.5, 1e-4])
    np.testing.assert_allclose(rates, want, rtol=0.02)
    params = init_params(run_keys(CONFIG.seed).init, V, CONFIG.dim)
    jax.tree.map(np.testing.assert_array_equal, trainer.state.params, params)


@pytest.mark.parametrize(("replicas", "segments"), [(1, 3), (2, 4), (4, 4)])
def test_fit_hands_over_all_tokens_in_every_epoch_and_counts_on(replicas, segments):
    tokens, _ = corpus(1300)
    handed = []

    def run(state, model, segments_LT, segment):
        assert len(segments_LT) == replicas and np.all(segments_LT[:, size:] == -1)
        handed.append((int(segment), segments_LT[:, :size].ravel()))
        return state, None

    config = dataclasses.replace(CONFIG, replicas=replicas)
    sampling = Sampling(np.ones(V), None, None, None)
    model = train.Model(None, sampling, np.float32(1), None)
    # Rows are longer than a segment where devices share them evenly.
    size = train.segment_size(config, len(tokens), V)
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    shape = jax.ShapeDtypeStruct((replicas, size + 3), np.int32, sharding=place)
    rounds = segments // replicas
    trainer = train.Trainer(None, None, run, model, shape)
    done = [done for done, *_ in train.fit(config, trainer, tokens)]
    assert done == list(range(1, 2 * rounds + 1))
    assert [number for number, _ in handed] == list(range(0, 2 * segments, replicas))
    for epoch in (handed[:rounds], handed[rounds:]):
        together = np.concatenate([segments_T for _, segments_T in epoch])
        np.testing.assert_array_equal(together[:1300], tokens)
        np.testing.assert_array_equal(together[1300:], SENTENCE_END)


def test_equal_seeds_give_equal_bits_and_others_differ():
    first, second = fitted(CONFIG)[1], fitted(CONFIG)[1]
    jax.tree.map(np.testing.assert_array_equal, first, second)
    other = fitted(dataclasses.replace(CONFIG, seed=1))[1]
    assert np.any(other.params.w_in != first.params.w_in)


@pytest.mark.parametrize("settings", [{}, {"optimizer": "adam", "replicas": 2}])
def test_jax_settings_do_not_change_a_bit(settings, jax_set_otherwise, unoptimized):
    """Keys of another kind, draws that are split otherwise, float64, wider products.

    Products of float32, as those of bfloat16 are exact.
    """
    config = dataclasses.replace(CONFIG, product_dtype="float32", **settings)
    want = fitted(config)
    with jax_set_otherwise():
        got = fitted(config)
    jax.tree.map(np.testing.assert_array_equal, got, want)
    assert got[1].params.w_in.dtype == np.float32


def test_the_keys_are_those_of_jax(jax_set_otherwise):
    want = jax.random.key_data(jax.random.split(jax.random.key(2**31 - 1), 4))
    with jax_set_otherwise():
        got = jax.numpy.stack([jax.random.key_data(k) for k in run_keys(2**31 - 1)])
    np.testing.assert_array_equal(got, want)


CHANGES = {
    "dim": 9,
    "window": 2,
    "dynamic_window": False,
    "negatives": 2,
    "noise_exponent": 0.0,
    "collisions": "skip",
    "negatives_mode": "independent",
    "subsample": 0.0,
    "subsample_rule": "paper",
    "epochs": 1,
    "seed": 1,
    "optimizer": "adam",
    "learning_rate": 0.2,
    "adagrad_power": 0.5,
    "schedule": "constant",
    "block_size": 4,
    "noise_words": 4,
    "blocks_per_step": 2,
    "product_dtype": "float32",
    "replicas": 2,
    "segment_tokens": 300,
}


@functools.cache
def unoptimized_vectors():
    return np.asarray(fitted(CONFIG)[1].params.w_in)


@pytest.mark.parametrize("name", CHANGES)
def test_no_setting_is_dead(name, unoptimized):
    """Each setting of the model, the training and the batching changes the vectors."""
    base = unoptimized_vectors()
    config = dataclasses.replace(CONFIG, **{name: CHANGES[name]})
    changed = np.asarray(fitted(config)[1].params.w_in)
    assert changed.shape != base.shape or np.any(changed != base)


@pytest.mark.parametrize(
    ("setting", "value", "unused"),
    [
        ("gradient", "autodiff", (step_module.block, "block_gradient")),
        ("gradient", "analytic", (step_module, "_autodiff_gradient")),
        ("updates", "dense", (step_module, "_row_update")),
        ("updates", "rows", (step_module, "_dense_update")),
    ],
)
def test_settings_that_change_only_the_way(
    monkeypatch, unoptimized, setting, value, unused
):
    """Both ways give equal numbers, so what is asked is that the other stays unused."""

    def fail(*arguments):
        raise AssertionError(f"{setting}={value} uses {unused[1]}")

    monkeypatch.setattr(*unused, fail)
    fitted(dataclasses.replace(CONFIG, epochs=1, **{setting: value}))


def test_every_setting_is_among_those_tests():
    text = {"corpus", *SETTINGS}  # see test_corpus
    fields = {field.name for field in dataclasses.fields(Config)}
    fills = {"backend"}  # what others leave open, see test_config
    merged = {"sync_every"}  # which one model is not, see test_replicas
    others = {"gradient", "updates", "loss_every"}
    assert fields == {*CHANGES, *text, *fills, *merged, *others}


@pytest.mark.parametrize("replicas", [1, 2])
def test_going_on_from_a_round_gives_equal_bits(replicas, unoptimized):
    tokens, counts = corpus()
    config = dataclasses.replace(CONFIG, replicas=replicas)
    trainer = train.make_trainer(config, counts, len(tokens))
    middle = None
    for done, state, _ in train.fit(config, trainer, tokens):
        if done == 3:
            middle = jax.tree.map(jnp.copy, state)  # the state itself is donated
    trainer = train.make_trainer(config, counts, len(tokens))._replace(state=middle)
    for _, resumed, _ in train.fit(config, trainer, tokens, 3):  # noqa: B007
        pass
    jax.tree.map(np.testing.assert_array_equal, resumed, state)


THREADS = """
import hashlib, numpy as np
from tests.test_train import CONFIG, corpus, fitted
import dataclasses
tokens, counts = corpus(20_000)
config = dataclasses.replace(
    CONFIG, dim=64, block_size=32, noise_words=32, blocks_per_step=32,
    segment_tokens=5_000, epochs=1, subsample=0.0, replicas=2)
state = fitted(config, tokens, counts)[1]
print(hashlib.sha256(np.asarray(state.params.w_in)).hexdigest())
"""


def test_bits_do_not_depend_on_the_number_of_threads():
    hashes = []
    for threads in ("1", "3"):
        environment = os.environ | {"PJRT_NPROC": threads, "NPROC": threads}
        run = subprocess.run(
            [sys.executable, "-c", THREADS],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        hashes.append(run.stdout.split()[-1])
    assert len(set(hashes)) == 1 and len(hashes[0]) == 64


def numbers(config):
    """Each epoch's loss, each round's pairs and both tables of a training."""
    tokens, counts = corpus(10_000)
    trainer = train.make_trainer(config, counts, len(tokens))
    losses, pairs = [], []
    for _, state, metrics in train.fit(config, trainer, tokens):  # noqa: B007
        losses.append(mean_loss(metrics))
        pairs.append(int(metrics.pairs[0]))
    epochs = np.reshape(losses, (config.epochs, -1)).mean(axis=1)
    return epochs, pairs, jax.tree.map(np.asarray, state.params)


def test_other_devices_and_programs_train_alike(monkeypatch):
    """README's tolerance. Another program stands for a device that is not there.

    It adds up in another order; what bfloat16 makes of that grows with the steps.
    """
    config = dataclasses.replace(CONFIG, epochs=3, dim=32)
    here, cpus = numbers(config), jax.devices("cpu")
    monkeypatch.setattr(jax, "devices", lambda: cpus)
    there = [numbers(config)]
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        there.append(numbers(config))
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
    for losses, pairs, params in there:
        assert pairs == here[1]  # the draws are equal, bit for bit
        np.testing.assert_allclose(losses, here[0], rtol=1e-4)
        for mine, theirs in zip(here[2], params, strict=True):
            assert np.linalg.norm(mine - theirs) <= 0.01 * np.linalg.norm(mine)
    assert np.any(there[0][2].w_in != there[1][2].w_in)  # or one program ran twice


@pytest.mark.parametrize("optimizer", ["adagrad", "adam"])
def test_no_step_copies_or_fills_what_has_a_row_for_each_word(optimizer):
    """Read out of the compiled program: V = 12,345 stands for a very large one."""
    counts = np.arange(12_345, 0, -1)
    config = dataclasses.replace(CONFIG, optimizer=optimizer, replicas=1)
    program = train.make_trainer(config, counts, 2000).run.as_text()
    made = re.findall(r"= \w+\[12345[,\]]\S* (\w+)\(", program)
    assert "scatter" in made or "fusion" in made
    assert not {"copy", "broadcast", "iota", "concatenate"} & set(made)
    fused = re.findall(r"= \w+\[12345[,\]]\S* fusion\(.*calls=(\S*)", program)
    assert all("scatter" in computation for computation in fused)


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("bad", [2, 4, 5])
def test_training_that_leaves_the_numbers_is_ended(replicas, bad, unoptimized):
    """By the round that follows; in the last round at the end."""
    tokens, counts = corpus(4000)
    config = dataclasses.replace(CONFIG, replicas=replicas, epochs=1)
    if replicas == 1:
        config = dataclasses.replace(config, segment_tokens=800)
    trainer = train.make_trainer(config, counts, len(tokens))
    run, rounds = trainer.run, train.num_rounds(config, len(tokens), V)
    bad = min(bad, rounds)
    handed = []

    def diverging(state, model, text, number):
        state, metrics = run(state, model, text, number)
        if len(handed) + 1 == bad:
            loss = metrics.loss._replace(
                positive=metrics.loss.positive.at[-1].set(np.nan)
            )
            finite_steps = metrics.finite_steps.at[-1].set(3)
            metrics = metrics._replace(loss=loss, finite_steps=finite_steps)
        handed.append(number)
        return state, metrics

    seen = []
    message = (
        f"diverged: no finite loss any more in round {bad} of {rounds}, after 3 of"
    )
    with pytest.raises(FloatingPointError, match=message):
        for done, *_ in train.fit(config, trainer._replace(run=diverging), tokens):
            seen.append(done)
    assert seen == list(range(1, min(bad + 1, rounds) + 1))


def test_the_old_state_is_donated(unoptimized):
    tokens, counts = corpus()
    trainer = train.make_trainer(CONFIG, counts, len(tokens))
    next(train.fit(CONFIG, trainer, tokens))
    assert trainer.state.params.w_in.is_deleted()


@pytest.mark.parametrize(
    "text",
    ["one word", "two words", "word and rare ones"],
)
def test_default_settings_are_stable_on_repeats(text, unoptimized):
    """A step may hold one word a thousand times; nothing may run away."""
    size = 30_000
    tokens = {
        "one word": np.where(np.arange(size) % 100, 0, 1),
        "two words": np.arange(size) % 2,
        "word and rare ones": np.where(np.arange(size) % 2, 0, np.arange(size) % 997),
    }[text].astype(np.int32)
    counts = np.bincount(tokens)
    config = Config(dim=32, epochs=2, subsample=0.0)
    _, state, metrics = fitted(config, tokens, counts)
    assert mean_loss(metrics) < 6 * np.log(2)  # better than all scores 0, and finite
    for table in state.params:
        assert np.all(np.isfinite(table))
        assert np.max(np.linalg.norm(table, axis=1)) < 50


def test_ids_outside_the_vocabulary_are_refused(unoptimized):
    tokens, counts = corpus()
    for bad in (V, -2):
        wrong = tokens.copy()
        wrong[1500] = bad
        trainer = train.make_trainer(CONFIG, counts, len(wrong))
        with pytest.raises(InputError, match="the vocabulary has ids 0 to 39"):
            for _ in train.fit(CONFIG, trainer, wrong):
                pass


@pytest.mark.parametrize("size", [1, 2, 40])
def test_tiny_corpora(size, unoptimized):
    tokens = (np.arange(size) % 2).astype(np.int32)
    done, state, got = fitted(Config(epochs=1, dim=4), tokens, np.array([20, 20]))
    assert done == 1 and np.all(np.isfinite(got.loss.positive))
    assert np.all(np.isfinite(state.params.w_in))
