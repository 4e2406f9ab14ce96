"""Many models in one program: each is the model that trains alone."""

import dataclasses

import jax
import numpy as np
import pytest

from sgns_jax import grid, step, train
from sgns_jax.config import Config
from sgns_jax.types import InputError
from tests.test_train import CONFIG, V, corpus

BASE = dataclasses.replace(CONFIG, epochs=1)
#: They keep a different number of tokens, and so take a different number of steps.
MODELS = [
    dataclasses.replace(BASE, **settings)
    for settings in (
        {},
        {"negatives": 2, "noise_exponent": -0.5, "seed": 1, "dynamic_window": False},
        {"learning_rate": 0.1, "subsample": 0.0},
        {"negatives": 1, "subsample": 1e-3, "subsample_rule": "paper"},
    )
]


def trained(configs, at_once):
    """The states of models that train together, and their last metrics."""
    tokens, counts = corpus()
    program = grid.make_grid(grid.shared_shape(configs), V, len(tokens), at_once)
    trainer = grid.load(program, configs, counts, len(tokens))
    *_, (_, state, metrics) = train.fit(BASE, trainer, tokens)
    return jax.tree.map(np.asarray, (state, metrics))


def alone(configs):
    """The same of each model by itself, on one device."""
    tokens, counts = corpus()
    shape = grid.shared_shape(configs)
    run = jax.jit(
        lambda s, model, *segment: train.model_parts(shape, model).run(s, *segment)
    )
    size = train.segment_size(BASE, len(tokens), V)
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    for config in configs:
        model = train.make_model(config, counts, len(tokens))
        trainer = train.Trainer(
            train.init_state(config, V, model.keys.init), None,
            lambda state, model, segments, n: run(state, model, segments[0], n), model,
            jax.ShapeDtypeStruct((1, size), np.int32, sharding=place),
        )  # fmt: skip
        *_, (_, state, metrics) = train.fit(BASE, trainer, tokens)
        yield jax.tree.map(np.asarray, (state, metrics))


def assert_same(configs):
    """Two at once on each of two devices, whatever their companions."""
    together = trained(configs, at_once=2)
    for i, want in enumerate(alone(configs)):
        got = jax.tree.map(lambda x, i=i: x[i], together)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
            got, want,
        )  # fmt: skip
    assert len(set(together[0].step.tolist())) == len(set(configs))


def test_every_model_is_as_if_it_were_alone(unoptimized):
    assert_same(MODELS)


def test_dense_updates_stand_still_when_a_model_is_done(unoptimized):
    """Dense Adam moves every row at every step, gradient or none."""
    dense = {"updates": "dense", "optimizer": "adam"}
    assert_same([dataclasses.replace(model, **dense) for model in MODELS])


def test_independent_noise_is_drawn_for_the_largest_k_and_left_out(unoptimized):
    """With draws for K = 3, a model of K = 1 counts the first of each pair's."""
    independent = {"negatives_mode": "independent", "subsample": 0.0}
    models = [dataclasses.replace(BASE, negatives=k, **independent) for k in (1, 3)]
    shape = grid.shared_shape(models)
    assert shape.negatives == 3
    tokens, counts = corpus(300)

    @jax.jit
    def sample(sampling):
        keys, starts = step.run_keys(0), jax.numpy.arange(0, 300, 8)
        windows, _ = step.prepare_segment(shape, keys, sampling, tokens, 0)
        return step.sample_batch(shape, 0, keys, sampling, windows, starts)

    one, three = (sample(step.make_sampling(model, counts)) for model in models)
    np.testing.assert_array_equal(one.words_BR, three.words_BR)
    E = 1 + 2 * shape.window

    def of_noise(batch):  # (B, contexts, draws)
        weights_BN = np.asarray(batch.weights.weight_BCR)[:, 0, E:]
        return weights_BN.reshape(len(weights_BN), E - 1, 3)

    assert np.all(of_noise(three) == of_noise(three)[..., :1])
    np.testing.assert_array_equal(of_noise(one)[..., 0], of_noise(three)[..., 0])
    assert not of_noise(one)[..., 1:].any() and of_noise(one).any()


def test_one_program_for_all_turns_and_budgets(unoptimized):
    """Fewer models than places, and fewer rounds than an epoch, need no other one."""
    tokens, counts = corpus()
    program = grid.make_grid(grid.shared_shape(MODELS), V, len(tokens), 1)
    assert program.size == 2 and program.model_bytes > 2 * V * BASE.dim * 4
    for models, rounds in ((MODELS[:2], None), (MODELS[2:3], 2)):
        trainer = grid.load(program, models, counts, len(tokens), rounds)
        assert trainer.run is program.run
        *_, (done, state, _) = train.fit(BASE, trainer, tokens)
        assert done == (rounds or train.num_rounds(BASE, len(tokens), V))
        assert state.params.w_in.shape == (2, V, BASE.dim)
        rates = np.asarray(trainer.schedule(state.step - 1))[: len(models)]
        starts = [model.learning_rate for model in models]
        assert np.all(rates < 0.15 * np.array(starts))  # near the end of the schedule


def test_models_train_for_their_own_epochs(unoptimized):
    """Not for those of the shape, which are the default's."""
    tokens, counts = corpus()
    per_epoch = train.num_rounds(BASE, len(tokens), V)
    program = grid.make_grid(grid.shared_shape([BASE]), V, len(tokens), 1)
    two = [dataclasses.replace(BASE, epochs=2, seed=seed) for seed in (0, 1)]
    trainer = grid.load(program, two, counts, len(tokens))
    assert trainer.rounds == 2 * per_epoch
    done = [done for done, *_ in train.fit(grid.shared_shape(two), trainer, tokens)]
    assert done == list(range(1, 2 * per_epoch + 1))
    with pytest.raises(InputError, match="these have epochs 1, 2; load those of equal"):
        grid.load(program, [BASE, two[0]], counts, len(tokens))
    assert grid.load(program, [BASE, two[0]], counts, len(tokens), 3).rounds == 3


def test_one_model_that_diverges_does_not_end_the_others(unoptimized):
    tokens, counts = corpus()
    program = grid.make_grid(grid.shared_shape([BASE]), V, len(tokens), 1)
    models = [BASE, dataclasses.replace(BASE, learning_rate=1e38)]
    trainer = grid.load(program, models, counts, len(tokens))
    *_, (_, state, metrics) = train.fit(BASE, trainer, tokens)
    finite = np.isfinite(np.asarray(state.params.w_in)).all(axis=(1, 2))
    assert finite.tolist() == [True, False]
    assert np.isfinite(metrics.loss.positive).tolist() == [True, False]


def test_jax_settings_do_not_change_a_model(jax_set_otherwise, unoptimized):
    want = trained(MODELS[:1], at_once=1)
    with jax_set_otherwise():
        got = trained(MODELS[:1], at_once=1)
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_what_does_not_fit_into_one_program_is_refused():
    assert grid.shape_of(MODELS[0]) == grid.shape_of(MODELS[3])
    other = dataclasses.replace(BASE, dim=9)
    with pytest.raises(InputError, match="may differ in negatives, noise_exponent"):
        grid.shared_shape([BASE, other])
    with pytest.raises(InputError, match="must have replicas 1, got 2"):
        grid.shared_shape([Config(replicas=2)])
