"""What more devices bring: the ways to share work, what is foreseen, what is said."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import scaling
from experiments.spreading import child, measuring, model, syncing
from experiments.spreading.cases import ONE, WAYS, Case, cases
from sgns_jax import train
from sgns_jax.config import Config
from sgns_jax.evaluation import spearman
from sgns_jax.sharding import MeshShape
from sgns_jax.vectors import WordVectors
from tests.test_train import CONFIG, corpus, fitted

FREE = model.Link("nothing takes time", np.inf, 0.0)
SLOW = model.Link("one byte a second", 1.0, 0.0)
#: A step of 64 blocks; what devices of ``data`` do not share takes a third.
PARTS = {
    "seconds": {
        "draw": 1.0, "blocks": 1.0, "gather": 2.0, "product scores": 2.0,
        "elementwise": 2.0, "product centres": 2.0, "product words": 2.0, "loss": 0.0,
        "optimiser": 3.0, "scatter": 3.0, "whole step": 18.0, "prepare": 0.0,
        "merge": 90.0,
    },
    "blocks_per_step": 64, "words_per_step": 1800.0, "steps_per_segment": 100.0,
}  # fmt: skip
DEVICE = model.Device(Config(dim=128, replicas=1), 70_000, PARTS)


@pytest.fixture
def run(capsys, monkeypatch, tmp_path, unoptimized):
    """Runs the command in this process: (exit status, standard output, error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["scaling", *arguments])
        with pytest.raises(SystemExit) as stop:
            scaling.SCRIPT.run(scaling.main)
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


def test_one_device_is_measured_first_and_each_way_once():
    found = cases(5, processes=True)
    assert found[0] == ONE and len(set(found)) == len(found)
    assert {case.devices for case in found} == {1, 2, 4}
    assert {case.way for case in found} == {*WAYS} - {"replicas of 8"}
    assert Case("columns", 4, 2) in found
    assert all(case.processes == 1 for case in cases(4, processes=False))
    assert cases(1, processes=True) == [ONE]


def test_ways_share_what_they_say():
    config = Config(blocks_per_step=10)
    replicas, blocks, larger, columns, eights = (WAYS[name] for name in WAYS)
    assert replicas.mesh(8) == blocks.mesh(8) == larger.mesh(8) == MeshShape(8, 1)
    assert columns.mesh(8) == MeshShape(1, 8)
    assert eights.mesh(16) == MeshShape(2, 8) and eights.mesh(4) is None
    said = [way.config(config, 16) for way in WAYS.values()]
    assert [one["replicas"] for one in said] == [16, 1, 1, 1, 2]
    assert [one["blocks_per_step"] for one in said] == [10, 10, 160, 10, 10]


def rates(way, link=FREE):
    points = model.curve(DEVICE, WAYS[way], link)
    return {point.devices: point.words_per_second for point in points}


def test_what_is_not_shared_bounds_the_speed():
    """Worked by hand from ``PARTS``; 100 words/s on one device."""
    replicas, blocks, larger, columns = map(rates, list(WAYS)[:4])
    for curve in (replicas, blocks, larger, columns):
        np.testing.assert_allclose(curve[1], 100)
    # A round is 100 steps of 18 s and, where there are others, a merge of 90 s.
    np.testing.assert_allclose(replicas[1024], 1024 * 100 / 1.05)
    # 12 of 18 s are shared; each device applies the rows of all.
    np.testing.assert_allclose(blocks[4], 1800 / (12 / 4 + 6))
    assert max(blocks) == 64  # a block each
    np.testing.assert_allclose(larger[4], 4 * 1800 / (12 + 4 * 6))
    # 14 of 18 s are columns.
    np.testing.assert_allclose(columns[4], 1800 / (14 / 4 + 4))
    assert max(columns) == 128


def test_links_take_their_time_and_faster_devices_wait_for_them():
    for way in WAYS.values():
        free, slow = (model.curve(DEVICE, way, link) for link in (FREE, SLOW))
        assert model.dominated_from(free) is None
        first = min(point.devices for point in slow if point.devices > 1)
        assert model.dominated_from(slow) == first
        late = model.curve(DEVICE, way, model.Link("late", np.inf, 1e3))
        for one, other, waiting in zip(free, slow, late, strict=True):
            assert one.compute_seconds == other.compute_seconds
            assert one.exchange_seconds == 0
            if one.devices > 1:
                assert other.exchange_seconds > 0 and waiting.exchange_seconds > 0
    fast = DEVICE._replace(speedup=10.0)
    one, ten = (model.point(d, WAYS["blocks"], SLOW, 8) for d in (DEVICE, fast))
    np.testing.assert_allclose(ten.compute_seconds, one.compute_seconds / 10)
    assert ten.exchange_seconds == one.exchange_seconds


SIZES = {"dim": 4, "vocabulary": 100, "tokens": 20_000}


def test_two_processes_are_measured(unoptimized):
    assert measuring._run(Case("columns", 2, 2), SIZES) > 0


def test_words_are_those_of_what_is_trained(monkeypatch, capsys):
    """One epoch of four rounds: else the words would be those of a part of the time."""
    seen = []

    def measure(point, mesh):
        seen.append(point.config)
        return {}

    monkeypatch.setattr(child, "start_jax", lambda: "cpu")
    monkeypatch.setattr("experiments.sweeping.measuring.measure", measure)
    job = {"job": ("", 1, -1), "way": "blocks", "devices": 1}
    child.main(job | SIZES)
    assert seen == [Config(epochs=1, dim=4, replicas=1, segment_tokens=5000)]


def test_a_process_that_ends_badly_is_named(unoptimized):
    case = Case("columns", 2, 1)
    with pytest.raises(measuring.MeasurementFailed, match="columns.*D = 3 columns"):
        measuring._run(case, SIZES | {"dim": 3})


def test_what_is_measured_and_foreseen_is_shown(run, monkeypatch, tmp_path):
    turns = []

    def measured(case, sizes):
        turns.append(case)
        return 1e6 * case.devices / case.processes * (1 + len(turns) / 1000)

    monkeypatch.setattr(measuring, "_run", measured)
    monkeypatch.setattr(measuring, "parts", lambda *_: PARTS)
    monkeypatch.setattr(scaling, "start_jax", lambda: "cpu")
    arguments = "--dim=128", "--devices=2", "--repetitions=3", "--workdir=w"
    status, out, _ = run(*arguments)
    assert status == 0 and max(map(len, out.splitlines())) <= 80
    assert turns == 3 * cases(2, processes=True)
    result = json.loads((tmp_path / "w/scaling.json").read_text())
    ratios = {(x["way"], x["processes"]): x["ratio"] for x in result["measured"][1:]}
    assert 2 < ratios["replicas", 1] < 2.01 and 1 < ratios["columns", 2] < 1.01
    (alone,) = {
        x["computing_alone"] for x in result["measured"] if x["way"] == "columns"
    }
    np.testing.assert_allclose(alone, 18 / (14 / 2 + 4))
    assert [len(device["curves"]) for device in result["foreseen"]] == [15, 15]
    assert out.count("NVLink 4, replicas of 8") == 2
    assert (tmp_path / "w/scaling.png").stat().st_size > 50_000


def made_up(seed, setting):
    """What a training with a setting and a seed gives; merging costs more each seed."""
    value = 0.5 + 0.1 * seed - 0.1 * (1 + seed) * (setting.replicas > 1)
    measures = {"loss": 2.0, "men": value}
    return {"steps_between_merges": 4.0, "words_per_second": 1e6, "measures": measures}


def runs(seeds):
    for seed in range(seeds):
        for setting in (syncing.ONE, syncing.Setting(8, 4)):
            yield {"seed": seed} | setting._asdict() | made_up(seed, setting)


def test_settings_are_compared_seed_by_seed():
    one, other = syncing.summarise(list(runs(3)))
    assert (one["replicas"], other["replicas"]) == (1, 8)
    men = other["measures"]["men"]
    np.testing.assert_allclose(one["measures"]["men"]["mean"], 0.6)
    np.testing.assert_allclose(men["difference"], -0.2)
    np.testing.assert_allclose(men["standard_error"], 0.1 / np.sqrt(3))
    assert one["measures"]["men"]["standard_error"] == 0
    (alone, _) = syncing.summarise(list(runs(1)))
    assert alone["measures"]["men"]["standard_error"] is None


def test_quality_is_that_of_the_vectors_and_of_the_last_epoch(tmp_path, unoptimized):
    tokens, counts = corpus()
    words = tuple(f"w{i}" for i in range(len(counts)))
    text = SimpleNamespace(
        tokens=tokens, vocabulary=SimpleNamespace(words=words, counts=counts),
        raw_words=2000,
    )  # fmt: skip
    lines = [f"w{i}\tw{i + 1}\t{i}" for i in range(10)]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines))
    (tmp_path / "unknown.tsv").write_text("x\ty\t1\nx\tz\t2\ny\tz\t3\n")
    asked = syncing.compare(CONFIG, text, [syncing.ONE], 1, str(tmp_path), print)
    (run,) = asked
    _, state, _ = fitted(CONFIG)
    vectors = WordVectors(words, np.asarray(state.params.w_in))
    want = spearman(vectors, tmp_path / "pairs.tsv").rho
    losses, size = [], CONFIG.epochs
    trainer = train.make_trainer(CONFIG, counts, len(tokens))
    for _, _, metrics in train.fit(CONFIG, trainer, tokens):
        losses.append(np.array([*map(np.sum, metrics.loss)]))
    positive, negative, pairs = np.sum(losses[len(losses) // size :], axis=0)
    assert run["measures"].keys() == {"loss", "pairs"}  # none of unknown words
    np.testing.assert_allclose(run["measures"]["pairs"], want)
    np.testing.assert_allclose(run["measures"]["loss"], (positive + negative) / pairs)
    assert run["steps_between_merges"] == int(state.step) / len(losses)


def test_what_is_compared_is_shown(run, monkeypatch, tmp_path):
    def train(config, corpus, eval_dir):
        return made_up(config.seed, syncing.Setting(config.replicas, config.sync_every))

    monkeypatch.setattr(syncing, "_train", train)
    (tmp_path / "text").write_text("a b a b " * 50)
    steps = "1,2,4,8,16,32,64,128,0"
    status, out, _ = run(
        "--part=sync", "--corpus=text", f"--sync_every={steps}", "--workdir=w"
    )
    assert status == 0 and max(map(len, out.splitlines())) <= 80
    result = json.loads((tmp_path / "w/scaling_sync.json").read_text())
    assert [row["sync_every"] for row in result["rows"]] == [
        0,
        *map(int, steps.split(",")),
    ]
    assert len(result["runs"]) == 30 and out.count("men ") == 2  # in two parts
    assert (tmp_path / "w/scaling_sync.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--part=all"], "part must be speed or sync"),
        (["--part=sync", "--sync_every=1,x"], "whole numbers with commas"),
        (["--seeds=0"], "seeds must be >= 1, got 0"),
        (["--part=sync", "--eval_dir=nowhere"], "eval_dir nowhere is no folder"),
        (["--eval_dir=.", "--corpus=none"], ".: needs lines of word, word and number"),
    ],
)
def test_bad_input_is_one_line(run, arguments, words):
    status, _, err = run(*arguments)
    assert status == 2 and words in err and len(err.splitlines()) == 1
