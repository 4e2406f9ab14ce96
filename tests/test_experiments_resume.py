"""What a run records, how it goes on, and what a line of its files holds."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import processes, report, rounds, runtime, sitting, train
from experiments.workdir import MetricsLog, Workdir
from sgns_jax import fit, load_corpus, make_trainer
from sgns_jax.block import LossParts
from sgns_jax.config import Config
from sgns_jax.segment import SegmentMetrics
from sgns_jax.types import InputError
from sgns_jax.vectors import WordVectors
from tests.test_experiments_train import SMALL, Killed, run, text  # noqa: F401


def checkpoints(work):
    return {p.name for p in (work / "checkpoints").iterdir() if p.name.isdigit()}


def test_text_settings_reach_the_corpus(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("A a b b. b c c c\n" * 4 + "d e")

    def read(**settings):
        config = Config(corpus=str(path), **{"min_count": 1} | settings)
        return train.read_corpus(config, Workdir(str(tmp_path / "w")))

    assert set(read().vocabulary.words) == {"A", "a", "b", "b.", "c", "d", "e"}
    assert (read().raw_words, read().kept_words, read().sentences) == (34, 34, 5)
    assert (read(min_count=2).raw_words, read(min_count=2).kept_words) == (34, 32)
    assert len(read(max_vocabulary=3).vocabulary) == 3
    assert "b." not in read(tokenizer="letters").vocabulary.words
    assert "A" not in read(lowercase=True).vocabulary.words
    assert read(sentence_length=4).sentences == 9


def test_the_file_holds_what_fit_gives(run, text, tmp_path):  # noqa: F811
    """The centre vectors of the last state; checkpoints of the begin and the end."""
    work = tmp_path / "work"
    run(f"--corpus={text}", f"--workdir={work}", *SMALL, "--seed=3")
    result = json.loads((work / "result.json").read_text())
    config = Config(**result["configuration"])
    assert config.seed == result["seed"] == 3
    corpus = load_corpus(str(text), tmp_path / "corpus", min_count=1)
    trainer = make_trainer(config, corpus.vocabulary.counts, len(corpus.tokens))
    for done, state, _ in fit(config, trainer, corpus.tokens):  # noqa: B007
        pass
    vectors = WordVectors.load(work / "vectors.txt")
    np.testing.assert_array_equal(vectors.matrix, state.params.w_in)
    assert result["steps"] == state.step
    assert checkpoints(work) == {"0", str(done)}


def test_metrics_are_cut_back_and_time_adds_up(run, text, tmp_path, monkeypatch):  # noqa: F811
    settings = [f"--corpus={text}", f"--workdir={tmp_path / 'w'}", *SMALL]
    settings += ["--checkpoint_seconds=1e-9", "--keep_checkpoints=1"]
    whole_fit = sitting.fit

    def killed_fit(*arguments):
        for done, *rest in whole_fit(*arguments):
            if done == 4:
                raise Killed
            yield done, *rest

    monkeypatch.setattr(sitting, "fit", killed_fit)
    with pytest.raises(Killed):
        run(*settings)
    assert checkpoints(tmp_path / "w") == {"3"}
    # As if it had been slow, and had gone on for a segment and a half unsaved.
    path = tmp_path / "w" / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [line | {"seconds": line["seconds"] + 1000} for line in lines]
    lines.append(lines[-1] | {"round": 4, "loss": -1.0})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"segm')
    monkeypatch.setattr(sitting, "fit", whole_fit)
    run(*settings)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["round"] for line in lines] == list(range(1, 11))
    assert min(line["loss"] for line in lines) > 0
    result = json.loads((tmp_path / "w" / "result.json").read_text())
    assert 1000 < result["train_seconds"] == lines[-1]["seconds"] < 2000


def test_without_vectors_a_run_is_not_finished(run, text, tmp_path, monkeypatch):  # noqa: F811
    work = tmp_path / "w"
    arguments = [f"--corpus={text}", f"--workdir={work}", *SMALL]

    def full(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Workdir, "save_vectors", full)
        status, _, err = run(*arguments)
    assert status == 2 and "No space left" in err
    assert not (work / "result.json").exists()
    status, out, _ = run(*arguments)
    assert status == 0 and "Going on from round 10 of 10" in out
    assert (work / "result.json").exists() and (work / "vectors.txt").exists()


def test_what_processes_find_is_compared(run, text, tmp_path, monkeypatch):  # noqa: F811
    """Of several, one may see an older folder than the first."""
    found = []
    monkeypatch.setattr(processes, "check_same", lambda *what: found.append(what))
    settings = [f"--corpus={text}", f"--workdir={tmp_path / 'w'}", *SMALL]
    run(*settings)
    (tmp_path / "w" / "result.json").unlink()
    run(*settings)
    (anew, (fingerprint, _), none), (_, again, newest, sound) = found[:3], found[3:]
    assert anew[0] == 0 and fingerprint == again[0] > 0 and none[0] == -1
    assert newest == (10, "newest checkpoint")
    assert sound == (10, "newest sound checkpoint")


def test_what_is_told_of_a_round_is_awaited(run, text, tmp_path, monkeypatch):  # noqa: F811
    """Else a process would wait for ever if another one is gone."""
    awaited = []
    monkeypatch.setattr(
        processes, "await_all", lambda tree: awaited.extend(jax.tree.leaves(tree))
    )
    run(f"--corpus={text}", f"--workdir={tmp_path / 'w'}", *SMALL)
    numbers = {float(leaf) for leaf in awaited if leaf.ndim == 0}
    lines = (tmp_path / "w" / "metrics.jsonl").read_text().splitlines()
    for line in map(json.loads, lines):
        assert {line["learning_rate"], float(line["step"])} <= numbers


def test_a_finished_run_can_be_scored_later(run, text, tmp_path):  # noqa: F811
    scores = tmp_path / "eval"
    scores.mkdir()
    analogies = ": x\ncat0 cat1 dog0 dog1\ncat0 cat1 cat18 cat19\n"
    (scores / "a.txt").write_text(analogies)
    (scores / "p.tsv").write_text("cat0\tcat1\t9\ncat0\tdog1\t1\ndog0\tdog2\t8")
    arguments = [f"--corpus={text}", f"--workdir={tmp_path / 'w'}", *SMALL]
    run(*arguments)
    status, out, _ = run(
        *arguments, f"--eval_dir={scores}", "--restrict_vocabulary=12", "--words=dog3"
    )
    assert status == 0 and out.startswith("This run is finished")
    assert "words per second" in out and "  dog3 " in out
    result = json.loads((tmp_path / "w" / "result.json").read_text())
    (total,) = (s["total"] for s in result["evaluation"] if s["name"] == "a")
    assert (total["covered"], total["questions"]) == (1, 2)  # cat18 is too rare


@pytest.mark.parametrize("left", [b"", b"{\x00\n", None])
def test_lost_metrics_cost_the_log_alone(run, text, tmp_path, left):  # noqa: F811
    """The vectors are trained; of the log what is there is used, and that is said."""
    work = tmp_path / "w"
    arguments = [f"--corpus={text}", f"--workdir={work}", *SMALL]
    run(*arguments)
    (work / "result.json").unlink()
    vectors = (work / "vectors.txt").read_bytes()
    path = work / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.unlink() if left is None else path.write_bytes(left + b"".join(lines[4:]))
    status, out, _ = run(*arguments)
    assert status == 0 and (work / "vectors.txt").read_bytes() == vectors
    missing = 10 if left is None else 4
    assert f"metrics.jsonl lacks {missing} rounds, which are left out" in out
    assert ("not known" in out) == (left is None)
    result = json.loads((work / "result.json").read_text())
    assert (result["rounds"], result["rounds_in_metrics"]) == (10, 10 - missing)


def test_time_is_that_of_the_rounds_which_are_known():
    clock = {1: 2.0, 2: 3.0, 5: 11.0, 6: 12.5}
    lines = [{"round": n, "seconds": s} for n, s in clock.items()]
    assert report._seconds(lines) == 3.0 + 1.5
    assert report._seconds(lines[1:]) == 1.5


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    """/dev/full takes nothing, as a full disk."""
    work = Workdir(str(tmp_path))
    log = MetricsLog.__new__(MetricsLog)
    log._path = work.path("metrics.jsonl")
    log._file = open("/dev/full", "ab", buffering=0)
    with log, pytest.raises(InputError, match=r"write .*metrics.jsonl \(No space"):
        log.write({"round": 1})
    (tmp_path / "result.json.part").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"cannot write .*result.json \(No space left"):
        work.save_result({"x": 1})


def test_speed_counts_raw_words_and_losses_the_last_epoch():
    epochs, pairs, seconds = (0.5, 1.0, 1.5, 2.0), (10, 10, 30, 10), (1, 2, 3, 4)
    loss = (9.0, 9.0, 2.0, 1.0)
    metrics = [
        {"epoch": e, "pairs": p, "seconds": s, "step": 5 * s, "loss": x,
         "positive_loss": x / 4, "negative_loss": 3 * x / 4}
        for e, p, s, x in zip(epochs, pairs, seconds, loss, strict=True)
    ]  # fmt: skip
    corpus = SimpleNamespace(raw_words=100, kept_words=60)
    metrics = [line | {"round": n} for n, line in enumerate(metrics, 1)]
    got = report.speed(metrics, 4, Config(epochs=2), corpus)
    assert got == {
        "train_seconds": 4, "words_per_second": 50.0, "pairs_per_second": 15.0,
        "pairs": 60, "steps": 20, "final_loss": 1.75,
        "final_positive_loss": 1.75 / 4, "final_negative_loss": 1.75 * 3 / 4,
        "rounds": 4, "rounds_in_metrics": 4,
    }  # fmt: skip


def test_a_result_tells_what_each_rule_dropped(tmp_path):
    """12 words: a 5, b 3, c 2 and d, e once each."""
    source = tmp_path / "text.txt"
    source.write_text("a a a b b c d\na a b c e\n")
    corpus = load_corpus(source, tmp_path / "c", min_count=2, max_vocabulary=2)
    config = Config(subsample=0.1, subsample_rule="paper", seed=7)
    got = report.result(config, corpus)
    assert (got["raw_words"], got["kept_words"], got["seed"]) == (12, 8, 7)
    assert (got["dropped_by_min_count"], got["dropped_by_max_vocabulary"]) == (2, 2)
    want = sum(n * (1 - np.sqrt(0.1 * 8 / n)) for n in (5, 3))  # keeps √(t/f)
    assert got["dropped_by_subsampling_expected"] == pytest.approx(want, rel=1e-6)
    assert got["corpus_fingerprint"] == corpus.fingerprint
    assert "experiments.train" in got["command"] and got["device"]
    assert {"commit", "versions", "machine", "configuration"} <= got.keys()
    none = report.result(dataclasses.replace(config, subsample=0), corpus)
    assert none["dropped_by_subsampling_expected"] == 0


def metrics_line(positive, negative, pairs):
    loss = LossParts(jnp.float32(positive), jnp.float32(negative), jnp.int32(pairs))
    metrics = SegmentMetrics(loss, jnp.int32(20 * pairs), jnp.int32(8))
    rate = jnp.float32(0.7)
    return rounds.metrics_line(3, 8, Config(epochs=4), rate, jnp.int32(8), metrics, 2.5)


def test_a_line_of_metrics():
    got = metrics_line(6.0, 12.0, 3)
    assert got.pop("learning_rate") == pytest.approx(0.7)  # of step 8, counted from 1
    assert got == {
        "round": 3, "epoch": 1.5, "step": 8, "seconds": 2.5, "pairs": 60,
        "loss": 6.0, "positive_loss": 2.0, "negative_loss": 4.0,
    }  # fmt: skip
    assert metrics_line(0.0, 0.0, 0)["loss"] == 0  # no 0/0


def test_a_fault_of_ours_keeps_its_traceback(run, text, tmp_path, monkeypatch):  # noqa: F811
    def faulty(*_):
        raise ValueError("ours")

    monkeypatch.setattr(train, "make_trainer", faulty)
    with pytest.raises(ValueError, match="^ours$"):
        run(f"--corpus={text}", f"--workdir={tmp_path / 'w'}", *SMALL)


def test_a_folder_is_left_clean_and_its_run_is_known(tmp_path):
    config = Config(dim=8)
    work = Workdir(str(tmp_path))
    assert not list(tmp_path.iterdir())
    work.claim(config, "text 1")
    work.claim(config, "text 1")
    assert not work.finished(config)
    with pytest.raises(InputError, match="holds a run with dim = 8, this one has 9"):
        work.claim(dataclasses.replace(config, dim=9), "text 1")
    other_name = dataclasses.replace(config, corpus="other.txt")
    for other in config, other_name:
        with pytest.raises(InputError, match="on another text, named 'pydoc'; .* not"):
            work.claim(other, "text 2")
    (tmp_path / "result.json").write_text("{}")
    assert work.finished(config)
    assert not work.finished(other_name)  # it may be another text
    work.claim(other_name, "text 1")
    assert work.finished(other_name)
    (tmp_path / "config.json").write_text('{"dim": 8}')  # of a version with less
    with pytest.raises(InputError, match="holds a run with encoding = None"):
        work.finished(config)
    for damaged in ('{"dim"', "[]", "[" * 10_000):
        (tmp_path / "config.json").write_text(damaged)
        with pytest.raises(InputError, match="is not the JSON this program writes"):
            work.finished(config)


def test_a_run_that_was_compiled_otherwise_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    config, work, path = Config(dim=8), Workdir(str(tmp_path)), tmp_path / "config.json"
    work.claim(config, "text")
    monkeypatch.delenv("XLA_FLAGS")
    with pytest.raises(
        InputError, match="with XLA_FLAGS = .*math=true', this .*with '',"
    ):
        work.claim(config, "text")
    older = json.loads(path.read_text())
    del older["compiling"]  # a run of a version that did not say is taken
    path.write_text(json.dumps(older))
    work.claim(config, "text")
    assert json.loads(path.read_text())["compiling"] == runtime.compiling()


def test_two_runs_do_not_train_in_one_folder(run, text, tmp_path):  # noqa: F811
    work = Workdir(str(tmp_path / "w"))
    arguments = [f"--corpus={text}", f"--workdir={tmp_path / 'w'}", *SMALL]
    with work.alone():
        status, _, err = run(*arguments)
        assert status == 2 and "error: another run is at work in" in err
        assert not (tmp_path / "w" / "checkpoints").exists()
    assert run(*arguments)[0] == 0


def test_default_workdir_of_a_hidden_or_dotted_name():
    assert report.default_workdir("books/v1.2/text.en.txt") == "runs/text"


def test_neighbours_keep_their_digits():
    table = report.neighbour_table({"a": [("v10.2", 0.5), ("0.5", -0.25)]})
    assert table.splitlines()[1].split() == ["a", "v10.2", ".50", "0.5", "-.25"]
