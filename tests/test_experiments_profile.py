"""The profile: its parts are the step, its counts are right, its report is whole."""

import json
import sys
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import profile
from experiments.profiling import loops, parts, summary, tables, training
from experiments.profiling.work import Shapes, Work, segment_work, shapes_of, step_work
from sgns_jax.config import Config
from sgns_jax.optimizers import make_optimizer, make_schedule
from sgns_jax.train import fit, make_trainer

SMALL = {
    "dim": 6, "window": 2, "block_size": 4, "noise_words": 3, "blocks_per_step": 2,
    "segment_tokens": 400, "epochs": 1, "loss_every": 2, "schedule": "constant",
    "replicas": 1,
}  # fmt: skip
FLAGS = [f"--{n}={SMALL[n]}" for n in SMALL.keys() & set(profile.SETTINGS)]
FLAGS += ["--vocabulary=50"]


pytestmark = pytest.mark.usefixtures("unoptimized")
CONFIGS = {
    "bfloat16": Config(**SMALL),
    "float32": Config(**SMALL, optimizer="sgd", product_dtype="float32"),
}
by_dtype = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


@cache
def first_step(config):
    """Optimiser, all values of the first step, those of each step."""
    rate = make_schedule(config.schedule, config.learning_rate, 1000)
    optimizer = make_optimizer(config.optimizer, rate, config.adagrad_power)
    text = profile.zipf_text(50, config.segment_tokens)
    return optimizer, *training.inputs(config, optimizer, *text)


@cache
def whole_step(config):
    optimizer, *_ = first_step(config)
    return jax.jit(partial(parts.call, parts.whole_step(config, optimizer)))


@by_dtype
def test_the_parts_are_the_step(config):
    """Bit by bit, over three steps; in the first, all u are zero."""
    optimizer, values, varying = first_step(config)
    state = values["state"]
    apart = values | {"params": state.params, "opt_state": state.opt_state}
    at_once = whole_step(config)
    all_parts = jax.jit(partial(parts.in_turn, parts.step_parts(config, optimizer)))
    for i in range(3):
        now = jax.tree.map(lambda x: x[i], varying)  # noqa: B023
        ids = now.pop("ids")
        values, apart = at_once(values | now), all_parts(apart | now)
        state = values["state"]
        equal = [
            (apart["params"], state.params), (apart["opt_state"], state.opt_state),
            (apart["ids"], ids),
        ] + [(apart["loss"], values["loss"])] * (i % 2 == 0)  # fmt: skip
        jax.tree.map(np.testing.assert_array_equal, *zip(*equal, strict=True))
    assert np.any(np.asarray(state.params.w_in) != values["params"].w_in)


def test_the_steps_are_those_of_training():
    """The S steps from the profile's inputs are what ``fit`` does with the segment."""
    config = CONFIGS["float32"]
    counts, segment_T = profile.zipf_text(50, config.segment_tokens)
    _, values, varying = first_step(config)
    S = len(varying["step"])
    for i in range(S):
        now = jax.tree.map(lambda x: x[i], varying)  # noqa: B023
        values = whole_step(config)(values | now)
    trainer = make_trainer(config, counts, len(segment_T))
    ((_, state, _),) = fit(config, trainer, segment_T)
    assert values["state"].step == state.step == S > 2
    # In another loop XLA may add the D and the R numbers of a sum in another order.
    roundings = S * (config.dim + shapes_of(config).R)
    for ours, theirs in zip(values["state"].params, state.params, strict=True):
        bound = np.finfo(np.float32).eps * roundings * np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=bound)


def test_a_loop_hands_on_what_a_part_makes():
    def part(total, x):
        return {"total": total + x, "last": x}

    varying = {"x": jnp.array([1.0, 10, 100]), "unread": jnp.zeros(3)}
    run, made, *rest = loops.compile_loop(part, {"total": 1000.0}, varying, 4)
    made = run(made, *rest, 2)  # rounds 2 to 5, which are 2, 0, 1, 2
    assert made == {"total": 1000 + 100 + 1 + 10 + 100, "last": 100}


def test_no_part_leaves_its_loop(monkeypatch):
    """XLA would compute what never changes once, before the loop."""
    monkeypatch.undo()  # as users have it
    jax.config.update("jax_disable_most_optimizations", False)
    config = CONFIGS["bfloat16"]
    optimizer, values, varying = first_step(config)
    part = parts.step_parts(config, optimizer)["product scores"]
    run, *_ = loops.compile_loop(part, values, varying, 8)
    body, entry = run.as_text().split("\nENTRY ")
    assert "dot" in body and "dot" not in entry


def test_interleaved_runs_take_turns():
    order = []
    runs = {name: partial(lambda n: order.append(n) or 1.0, name) for name in "ab"}
    assert loops.interleaved(runs, 2) == {"a": [1, 1], "b": [1, 1]}
    assert order == [*"abab", *"ab"]  # the first time is not counted


def test_the_host_alone_asks_nothing_of_the_device(monkeypatch):
    config, asked = CONFIGS["bfloat16"], []

    def counting(*arguments):
        trainer = make_trainer(*arguments)

        def run(*given):
            asked.append(1)
            return trainer.run(*given)

        return trainer._replace(run=run)

    monkeypatch.setattr(training, "make_trainer", counting)
    runs = training.fit_runs(config, *profile.zipf_text(50, config.segment_tokens))
    assert runs["host"]() > 0 and not asked
    assert runs["training"]() > 0 and runs["training"]() > 0 and len(asked) == 4


def test_work_by_hand():
    """B = 2, C = 3, W = 1, N = 2, D = 4, bfloat16: E = 5, R = 7, 20 rows, 42 scores."""
    found = step_work(Shapes(2, 3, 1, 2, 4, 2), "adagrad")
    assert {name: (w.bytes, w.flops) for name, w in found.items()} == {
        "draw": (48, 0),  # 4 draws: threshold, alias, id
        "blocks": (4 * 26 + 4 * 62, 36),  # 2·(5 + 6 + 2) read, 2·(3 + 7 + 21) written
        "gather": (20 * 4 + 20 * 16 + 20 * 8, 0),
        "product scores": (20 * 8 + 42 * 4, 42 * 8),
        "elementwise": (42 * 8 + 42 * 4, 42 * 7),
        "product centres": (42 * 2 + 14 * 8 + 6 * 16, 42 * 8),
        "product words": (42 * 2 + 6 * 8 + 14 * 16, 42 * 8),
        "optimiser": (20 * (4 + 32 + 16), 20 * 16),
        "scatter": (20 * (4 + 48), 80),
        "loss": (20 * 8 + 42 * 4, 42 * 8 + 42 * 6),
    }
    assert found["gather"].asked == found["scatter"].asked == {"random_rows": 20}
    asked = {"product_bfloat16": 336, "copy_cache": 328}
    assert found["product scores"].asked == asked
    assert step_work(Shapes(2, 3, 1, 2, 4, 4), "sgd")["optimiser"].bytes == 20 * 36
    adam = step_work(Shapes(2, 3, 1, 2, 4, 4), "adam")["optimiser"]
    assert (adam.bytes, adam.flops) == (20 * (4 + 32 + 64), 80 * 13)
    assert segment_work(10)["prepare"].bytes == 200


@by_dtype
def test_bytes_are_those_of_the_arrays(config):
    """What a part moves, from the arrays it reads and makes."""
    _, values, _ = first_step(config)
    found = step_work(shapes_of(config), config.optimizer)

    def size(*names):
        return sum(x.nbytes for n in names for x in jax.tree.leaves(values[n]))

    label = values["weights"].label_R.nbytes
    rows_float32 = size("rows") * 4 // shapes_of(config).p
    v, u = (x.nbytes for x in values["rows"])
    assert found["gather"].bytes == size("ids", "rows") + rows_float32
    assert found["product scores"].bytes == size("rows", "s_BCR")
    moved = size("s_BCR", "weights", "g_BCR", "g_BRC") - label
    assert found["elementwise"].bytes == moved
    assert found["product centres"].bytes == size("g_BCR", "d_v_BCD") + u
    assert found["product words"].bytes == size("g_BRC", "d_u_BRD") + v
    assert found["scatter"].bytes == 3 * rows_float32 + size("ids")
    assert found["loss"].bytes == size("rows", "weights") - label


def test_products_are_counted_as_xla_counts_them():
    """In float32: for bfloat16 XLA adds the casts."""
    config = CONFIGS["float32"]
    optimizer, values, _ = first_step(config)
    found = step_work(shapes_of(config), config.optimizer)
    for name, part in parts.step_parts(config, optimizer).items():
        if name.startswith("product"):
            given = {n: values[n] for n in parts.reads(part)}
            compiled = jax.jit(part).lower(**given).compile()
            assert compiled.cost_analysis()["flops"] == found[name].flops


def test_the_longest_ceiling_bounds_a_part():
    work = Work(600, 40, {"cache": 600, "product": 40})
    row = summary.of_part([4.0, 2.0, 8.0], 10, work, {"cache": 600.0, "product": 80.0})
    assert row == {
        "nanoseconds_per_token": 2e8, "median_nanoseconds_per_token": 4e8,
        "bytes_per_token": 60, "flops_per_token": 4,
        "bytes_per_second": 300, "flops_per_second": 20,
        "ceiling": "cache", "least_nanoseconds_per_token": 1e8,
        "fraction_of_ceiling": 0.5,
    }  # fmt: skip
    free = summary.of_part([2.0], 10, Work(6, 4, {}), {})
    assert free["ceiling"] is free["fraction_of_ceiling"] is None
    assert tables.reached(row | {"ceiling": "copy_cache"}) == "50 % cache"
    total = summary.total([row, free])
    assert total["nanoseconds_per_token"] == 4e8
    assert total["least_nanoseconds_per_token"] == 3e8


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Runs the command in this process: (exit status, standard output, error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["profile", *arguments])
        with pytest.raises(SystemExit) as stop:
            profile.SCRIPT.run(profile.main)
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


def test_the_whole_command(run):
    status, out, _ = run(*FLAGS, "--optimizer=sgd", "--repetitions=2", "--workdir=w")
    assert status == 0 and max(map(len, out.splitlines())) <= 80
    assert Path("w/profile.png").stat().st_size > 10_000
    result = json.loads(Path("w/profile.json").read_text())
    assert result["configuration"]["dim"] == 6 and result["vocabulary"] == 50
    assert {"command", "commit", "device", "versions"} <= result.keys()

    found = {name: row for g in ("parts", "segment") for name, row in result[g].items()}
    names = [*step_work(Shapes(1, 1, 1, 1, 1, 2), "sgd"), "prepare", "host", "training"]
    assert [*found] == names
    for name in (*names, "sum of parts", "whole step"):
        assert f"\n{name} " in out
    for row in found.values():
        median = row["median_nanoseconds_per_token"]
        assert median >= row["nanoseconds_per_token"] > 0
    tokens = result["kept_tokens_per_step"]
    loss = step_work(shapes_of(Config(**SMALL)), "adagrad")["loss"]
    np.testing.assert_allclose(
        found["loss"]["flops_per_token"], loss.flops / (2 * tokens)
    )
    held = {row["ceiling"] for row in result["parts"].values()} - {None}
    rates = {name: [*unit.values()] for name, unit in result["ceilings"].items()}
    assert held < rates.keys() == tables.CEILINGS.keys()
    assert all(rate > 0 for (rate,) in rates.values())


BAD_FLAGS = {
    "--vocabulary=1": "vocabulary must be a whole number >= 2, got 1",
    "--repetitions=0": "repetitions must be a whole number >= 1, got 0",
    "--dim=0": "dim must be a whole number from 1 to 2147483647, got 0",
    "--subsample=1e-30": "subsample = 1e-30 leaves no word of the segment",
    "--corpus=text8": "Unknown command line flag 'corpus'",
    "--workdir=file": "cannot write to the work folder file",
}


@pytest.mark.parametrize("bad", BAD_FLAGS)
def test_bad_input_is_one_line_and_status_2(run, bad):
    Path("file").touch()
    status, _, err = run(*FLAGS, bad)
    (line,) = err.strip().splitlines()
    assert status == 2 and line.startswith("error: ") and BAD_FLAGS[bad] in line


def test_help_is_a_page(run):
    status, out, _ = run("--help")
    assert status == 0 and max(map(len, out.splitlines())) <= 80
    for name in (*profile.SETTINGS, "vocabulary", "repetitions", "workdir"):
        assert f"--{name}=" in out
