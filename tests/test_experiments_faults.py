"""What a soak keeps count of, the texts it makes and the damage it does."""

import copy
import dataclasses
import gzip
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from experiments import faults
from experiments.faulting import (
    child,
    cost,
    damage,
    disturbing,
    large,
    losses,
    picture,
    reading,
    report,
    soak,
    texts,
    verdicts,
    zipf,
)
from experiments.workdir import Workdir
from sgns_jax.corpus import load_corpus
from sgns_jax.types import InputError


def test_a_zipf_text_is_as_large_as_asked_and_always_the_same(tmp_path):
    sizes = []
    for name, size, seed in (("a", 30_000, 1), ("b", 10_000, 1), ("c", 30_000, 2)):
        zipf.write(tmp_path / name, size, seed, sizes.append)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert sizes == [len(a), len(b), len(c)]
    assert a.startswith(b) and a[:10_000] != c[:10_000]
    assert 0 <= len(a) - 30_000 < 20 * 9 and a.endswith(b"\n")
    assert {len(line.split()) for line in a.splitlines()} == {zipf.LINE_WORDS}


def test_every_rank_has_its_own_word():
    said = {0: "ba", 99: "zu", 100: "beba", 9_999: "zuzu", 10_000: "bebaba"}
    said |= {10_100: "bebeba", 1_000_001: "bebababe", 99_999_999: "zuzuzuzu"}
    assert zipf.spell(np.array(list(said))).decode().split() == list(said.values())
    assert len(set(zipf.spell(np.arange(10**5) + 9 * 10**5).split())) == 10**5


def test_ranks_have_zipfs_law():
    """Each count is within five standard deviations: wrong by chance in 10^−5."""
    n, number = 400_000, 5_000
    ranks = zipf.draw(np.random.default_rng(0), n, number)
    tail = (np.arange(number + 1) + 3.2) ** -0.1
    probs = -np.diff(tail) / (tail[0] - tail[-1])
    counts = np.bincount(ranks, minlength=number)
    first, rest = slice(200), slice(200, None)
    expected = np.append(n * probs[first], n * probs[rest].sum())
    z = (np.append(counts[first], counts[rest].sum()) - expected) / np.sqrt(expected)
    assert np.abs(z).max() < 5 and ranks.min() == 0 and ranks.max() >= number - 100


def test_the_odd_corpus_is_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(zipf, "_PIECE_WORDS", 20 * 100)
    texts.write(tmp_path / "text", 0)
    corpus = load_corpus(str(tmp_path / "text"), tmp_path / "c", min_count=1)
    words = 6 * 2 * 2000
    assert words < corpus.raw_words < words + 50
    assert corpus.replaced_bytes > 4
    assert max(map(len, corpus.vocabulary.words)) >= 100_000
    names = {path.suffix for path in (tmp_path / "text").iterdir()}
    assert names >= {".txt", ".gz", ".xz"}


@pytest.fixture
def folder(tmp_path):
    """Two checkpoints, an encoded corpus and what is left of an encoding."""
    for name in (
        "checkpoints/2/default/d",
        "checkpoints/10/default/d",
        "checkpoints/10/empty",
        "checkpoints/11.tmp/d",
        "corpus/tokens.int32",
        "corpus/.encoding-x/raw.int32",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if "empty" in name else bytes(range(200)))
    return tmp_path


def contents(folder):
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "fault", [f for f in damage.FAULTS if f.how], ids=lambda fault: fault.name
)
def test_damage_is_done_to_one_file(folder, fault):
    before = contents(folder)
    path = damage.damage(folder, fault, 0, np.random.default_rng(0))
    after = contents(folder)
    where = {"checkpoints": "checkpoints/10/default/d", "corpus": "corpus/tokens.int32"}
    assert path == where[fault.damages]
    old, new = before.pop(str(folder / path)), after.pop(str(folder / path), None)
    assert before == after
    if fault.how is damage.delete:
        assert new is None
    elif fault.how is damage.truncate:
        assert len(new) < len(old) and old.startswith(new)
    else:
        bits = np.unpackbits(np.frombuffer(old, np.uint8) ^ np.frombuffer(new, "u1"))
        assert bits.sum() == 1


def test_a_checkpoint_is_damaged_only_where_the_one_before_is_whole(folder):
    (fault,) = (f for f in damage.FAULTS if f.name == "SIGKILL, checkpoint cut off")
    rng, before = np.random.default_rng(0), contents(folder)
    assert damage.damage(folder, fault, time.time() + 1, rng) is None
    (folder / "checkpoints/2").rename(folder / "checkpoints/gone")
    assert damage.damage(folder, fault, 0, rng) is None
    assert before.keys() - contents(folder).keys() == {
        str(folder / "checkpoints/2/default/d")
    }


def test_what_is_not_encoded_whole_is_left(folder):
    (fault,) = (f for f in damage.FAULTS if f.name == "SIGKILL, corpus cut off")
    (folder / "corpus/tokens.int32").unlink()
    assert damage.damage(folder, fault, 0, np.random.default_rng(0)) is None


def test_faults_come_as_often_as_they_should():
    assert sum(fault.share for fault in damage.FAULTS) == pytest.approx(1)
    rng = np.random.default_rng(0)
    drawn = {damage.choose(rng).name for _ in range(500)}
    assert drawn == {fault.name for fault in damage.FAULTS}
    statuses = {f.name: f.expected_status() for f in damage.FAULTS[:3]}
    assert statuses == {"SIGKILL": 137, "SIGTERM": 143, "SIGINT": 130}


def test_work_lost():
    clock = losses.Clock({0: 0.0, 1: 2.0, 2: 4.0, 3: 9.0}, frozenset({1, 2, 3}))
    sitting = {"reached": 3, "unreported_seconds": 0.5}
    lost = [list(losses.loss(sitting, clock, n).values()) for n in range(5)]
    rounds, seconds, writing = map(list, zip(*lost, strict=True))
    assert rounds == [3, 2, 1, 0, 0]
    assert seconds == [9.5, 7.5, 5.5, 0.5, 0]
    assert writing == [7.5, 5.5, 0.5, 0, 0]  # the next checkpoint was under way
    assert clock.longest_round(0) == 5 and clock.longest_round(3) == 0
    only = losses.Clock(clock.seconds, frozenset({1}))
    assert losses.loss(sitting, only, 1)["writing_seconds"] == 0


def test_the_clock_is_read_from_the_metrics(tmp_path):
    assert disturbing.read_clock(tmp_path) == losses.Clock({0: 0.0}, frozenset())
    lines = ({"round": n, "seconds": 2.0 * n, "checkpoint": n == 2} for n in (1, 2, 3))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "metrics.jsonl").write_text(text)
    wanted = losses.Clock({0: 0.0, 1: 2.0, 2: 4.0, 3: 6.0}, frozenset({2}))
    assert disturbing.read_clock(tmp_path) == wanted


def test_growth_is_that_of_the_second_half():
    t = np.linspace(0, 100, 400)
    noise = np.random.default_rng(0).normal(0, 1, 400)
    warm_up = 50 * np.minimum(t, 40)
    slope, width = losses.growth(t, warm_up + 3 * t + noise)
    assert abs(slope - 3) < width < 0.1
    slope, width = losses.growth(t, warm_up + noise)
    assert abs(slope) < width < 0.1
    assert losses.growth(t, np.full(400, 5.0)) == (0, 0)


class Done:
    """A training that has done what a line of a made-up log says, and has ended."""

    def __init__(self, folder, first, reached, status):
        self.workdir, self._first, self._status = folder, first, status
        self.trained_at = None if first is None else 3.0
        self.started_at = time.time() - 4.0
        if first is not None:
            lines = [
                {"round": n, "seconds": 2.0 * n, "checkpoint": n == 4}
                for n in range(1, reached + 1)
            ]
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (folder / "metrics.jsonl").write_text(text)
        if not status:
            (folder / "result.json").write_text("{}")

    __enter__ = lambda self: self  # noqa: E731
    __exit__ = lambda self, *error: None  # noqa: E731
    went_on_from = lambda self: self._first  # noqa: E731
    end = lambda self, number, patience: self._status  # noqa: E731
    said = lambda self: "warning: checkpoint 7 is damaged (x)\n"  # noqa: E731
    seconds = peak_bytes = lambda self: 1  # noqa: E731
    kept_samples = lambda self, number: []  # noqa: E731


def test_losses_are_counted_to_the_sitting_that_did_the_work(tmp_path):
    """Killed at 4; killed before training; went on from 3; asked at 6; finished."""
    story = [(0, 4, 137), (None, 4, 137), (3, 6, 137), (6, 9, 0)]
    waits = []
    disturber = disturbing.Disturber(
        lambda folder, number: Done(folder, *story[number]),
        lambda child, *wait: waits.append(wait),
        {"start_seconds": 1, "checkpoint_seconds": 5, "rounds": 9},
        seed=0,
    )
    records = list(disturber.run(tmp_path, time.time() + 60))
    assert [one["rounds_lost"] for one in records] == [1, 0, 0, 0]
    assert [one["reached"] for one in records] == [4, 4, 6, 9]
    assert records[0]["seconds_lost"] == pytest.approx(2, abs=0.5)
    assert records[0]["writing_seconds"] == pytest.approx(0, abs=0.5)
    assert records[1]["seconds_lost"] == 0
    assert [one["fault"] == "none" for one in records] == [False, False, False, True]
    assert records[0]["named_damage"] == ["7"] and max(waits)[0] <= 20
    (tmp_path / "result.json").unlink()
    list(disturber.run(tmp_path, 0))
    assert waits[4:] == [(np.inf, False)] * 4  # the time is over


def test_a_sitting_has_done_nothing_of_what_another_reported(tmp_path):
    """Killed a second after it went on from 2, before it cut the metrics back."""
    first = Done(tmp_path, 0, 4, 137)
    long_ago = first.started_at - 60
    os.utime(tmp_path / "metrics.jsonl", (long_ago, long_ago))
    known = {"process_started": first.started_at, "went_on_from": 2}
    wanted = losses.Clock({0: 0.0, 1: 2.0, 2: 4.0}, frozenset())
    assert disturbing.clock_of(tmp_path, known) == wanted
    whole = disturbing.read_clock(tmp_path)
    assert disturbing.clock_of(tmp_path, known | {"went_on_from": None}) == whole
    assert disturbing.clock_of(tmp_path, known | {"process_started": 0.0}) == whole

    class Second(Done):
        def __init__(self, folder):
            super().__init__(folder, None, 4, 137)
            self._first, self.trained_at = 2, 3.0

    disturber = disturbing.Disturber(
        lambda folder, number: Second(folder),
        lambda child, *wait: None,
        {"start_seconds": 1, "checkpoint_seconds": 5, "rounds": 9},
        seed=0,
    )
    kill = damage.Fault("SIGKILL", signal.SIGKILL, 1.0)
    record = disturber._sit(tmp_path, 1, kill, (0.0, False))
    assert record["reached"] == record["went_on_from"] == 2
    np.testing.assert_allclose(record["unreported_seconds"], 1.0, atol=0.5)


@pytest.fixture
def python(tmp_path, monkeypatch):
    """Puts a shell script in the place of Python; returns where to write it."""
    script = tmp_path / "python"

    def write(text):
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
        monkeypatch.setattr(child.sys, "executable", str(script))
        return child.Training(["--x"], tmp_path, tmp_path / "log", 10**9)

    return write


def test_a_process_is_watched_limited_and_stopped(python, tmp_path):
    script = "echo Going on from round 1,203 of 9.; ulimit -d; exec sleep 60"
    with python(script) as process:
        while process.trained_at is None:
            assert process.watch(0.01)
        (tmp_path / "metrics.jsonl").write_text('{"round": 1203}\n{"round": 1204}')
        assert process.watch(0.05) and not process.reported()
        (tmp_path / "metrics.jsonl").write_text('{"round": 1203}\n{"round": 1204}\n')
        assert process.reported() and not process.reported(2)
        process.check()
        assert process.end(signal.SIGTERM, 10) == 143
    assert process.said().split()[-1] == str(10**9 // 1024)
    assert process.samples[-1].rounds in (1203, 1204) and process.peak_bytes() > 10**5
    assert process.kept_samples(1)[0][1] == process.samples[-1].rounds


def test_a_process_that_fails_by_itself_is_told(python):
    with python("echo; echo bad luck; exit 3") as process:
        while process.watch(0.05):
            pass
        with pytest.raises(child.TrainingFailed, match="status 3 .* last: bad luck;"):
            process.check()
    assert process.went_on_from() is None


def test_a_process_that_does_not_stop_is_killed(python):
    with python("trap '' TERM; echo ready; while :; do sleep 0.05; done") as process:
        while "ready" not in process.said():
            process.watch(0.01)
        assert process.end(signal.SIGTERM, 0.1) == 137


@pytest.fixture
def soaked():
    """A made-up result in which all holds."""
    sitting = {
        "run": "run_0", "started": 0.0, "fault": "SIGKILL", "exit_status": 137,
        "expected_status": 137, "traceback": False, "named_damage": [],
        "seconds": 90.0, "went_on_from": 0, "trained_at": 20.0, "reached": 50,
        "rounds_lost": 5, "seconds_lost": 8.5, "longest_round_seconds": 1.0,
        "writing_seconds": 3.0,
        "checkpoint_damaged": False, "peak_memory_bytes": 10**9,
        "samples": [[30.0, 10, 400.0], [90.0, 50, 500.0]],
    }  # fmt: skip
    asked = {"fault": "SIGTERM", "exit_status": 143, "expected_status": 143}
    asked |= {"rounds_lost": 0, "seconds_lost": 0.0, "went_on_from": 45, "started": 99}
    cut = {"fault": "SIGKILL, checkpoint cut off", "checkpoint_damaged": True}
    cut |= {"seconds_lost": 99.0, "damaged": "checkpoints/4/x", "started": 200}
    last = {"fault": "none", "exit_status": 0, "expected_status": 0, "reached": 100}
    samples = [[10.0 * n, n, 500.0] for n in range(101)]
    return {
        "runs": [{"equal_vectors": True, "equal_metrics": True}],
        "sittings": [sitting, sitting | asked, sitting | cut, sitting | last],
        "undisturbed": {"samples": samples, "peak_memory_bytes": 10**9},
        "rounds": 100, "checkpoint_seconds": 5.0, "disturbed_seconds": 3600.0,
    }  # fmt: skip


BROKEN = {
    "vectors.txt": lambda r: r["runs"][0].update(equal_vectors=False),
    "losses are": lambda r: r["runs"][0].update(equal_metrics=False),
    "kills lost": lambda r: r["sittings"][0].update(seconds_lost=9.1),
    "of a write": lambda r: r["sittings"][0].update(writing_seconds=11.0),
    "SIGTERM, SIGINT lost": lambda r: r["sittings"][1].update(rounds_lost=1),
    "exit statuses": lambda r: r["sittings"][1].update(exit_status=1),
    "tracebacks": lambda r: r["sittings"][3].update(traceback=True),
    "growth": lambda r: [s.__setitem__(2, 500 + s[0] / 100)
                         for s in r["undisturbed"]["samples"]],
    "memory's growth": lambda r: [s.__setitem__(2, 500 + 20 * (s[1] // 10 % 2))
                                  for s in r["undisturbed"]["samples"]],
    "largest peak": lambda r: r["sittings"][2].update(peak_memory_bytes=1.2e9),
}  # fmt: skip


def test_a_sound_soak_passes_and_its_report_fits(soaked, tmp_path):
    assert all(one.holds for one in verdicts.of_soak(soaked))
    lines = report.soak(soaked).splitlines()
    assert max(map(len, lines)) <= 80
    assert "60 minutes of training with 3 faults, 1 runs of 100 rounds." in lines
    picture.draw(soaked, tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 10_000


@pytest.mark.parametrize("what", BROKEN)
def test_each_verdict_can_fail(soaked, what):
    soaked = copy.deepcopy(soaked)
    BROKEN[what](soaked)
    (failed,) = (one for one in verdicts.of_soak(soaked) if not one.holds)
    assert what in failed.what


def test_memory_is_judged_when_it_has_settled(soaked):
    judged = [one.what for one in verdicts.of_soak(soaked)]
    del soaked["undisturbed"]["samples"][25:]
    left = [one.what for one in verdicts.of_soak(soaked)]
    assert set(judged) - set(left) == {"memory's growth, MB an hour, left alone"}


def test_without_a_finished_run_nothing_is_proven(soaked):
    soaked["runs"] = []
    assert not verdicts.of_soak(soaked)[0].holds


def compared(large_rounds):
    """What ``large.compare`` gives: 16 slices, the machine ever faster."""
    case = {"reading_bytes_per_second": 5e7, "exit_status": 143,
            "reading_bytes": {"anonymous": 1e9, "data": 15e8},
            "most_bytes": {"anonymous": 2e9, "data": 25e8}}  # fmt: skip
    cases = {
        "large": case | {"words_per_round": 9e5},
        "small": case | {"words_per_round": 1e6},
    }
    turns = (
        ("large", large_rounds),
        ("small", 10),
        ("small", 10),
        ("large", large_rounds),
    )
    slices = [
        {"case": name, "seconds": 10.0, "rounds": rounds + n}
        for n in range(4)
        for name, rounds in turns
    ]
    measured = {"cases": cases, "slices": slices}
    result = {"texts": {"large": 2e10, "small": 5e8}, "limit_bytes": 3 * 10**9}
    return result | measured | large.summarise(measured)


def test_the_large_text_is_judged():
    good, slow, fat, failed = compared(11), compared(9), compared(11), compared(11)
    fat["most_bytes"] = {"anonymous": 2e9, "data": 4e9}
    failed["cases"]["small"]["exit_status"] = 1
    assert good["words_per_second"] == pytest.approx(
        {"large": 1.125e6, "small": 1.15e6}
    )
    assert good["ratio"] == pytest.approx(1.125 / 1.15)
    first, *_, last = good["words_per_second_of_parts"]
    assert first == pytest.approx({"large": 0.99e6, "small": 1e6})
    assert last == pytest.approx({"large": 1.26e6, "small": 1.3e6})
    holds = [[v.holds for v in verdicts.of_large(x)] for x in (good, slow, fat, failed)]
    yes, no = True, False
    assert holds == [[yes] * 3, [no, yes, yes], [yes, no, yes], [yes, yes, no]]
    assert max(map(len, report.large(good).splitlines())) <= 80


TRAINING = """
for last; do :; done; work=${last#--workdir=}; mkdir -p $work/corpus; sleep 0.6
echo '{"corpus": {"raw_words": 1000}}' > $work/corpus/corpus.json
echo tokens > $work/corpus/tokens.int32
trap 'exit 143' TERM; sleep 0.6; n=0
while :; do
  n=$((n + 1)); echo '{"round": '$n', "epoch": '$n.0'}' >> $work/metrics.jsonl
  sleep 0.01
done"""


def test_two_trainings_take_turns(python, tmp_path, monkeypatch):
    python(TRAINING).__exit__()
    monkeypatch.setattr(large, "SLICE_SECONDS", 0.2)
    cases = []
    for name, limit in (("large", 10**9), ("small", None)):
        (tmp_path / f"{name}.txt").write_text("text")
        (tmp_path / name).mkdir()
        cases.append(
            large.Case(
                name, tmp_path / f"{name}.txt", Workdir(str(tmp_path / name)), limit
            )
        )
    told = set()
    measured = large.compare(tuple(cases), 0.4, told.add)
    assert [one["case"] for one in measured["slices"]] == [
        "large", "small", "small", "large"
    ]  # fmt: skip
    assert all(one["rounds"] > 1 for one in measured["slices"])
    for name, record in measured["cases"].items():
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        done = sum(x["rounds"] for x in measured["slices"] if x["case"] == name)
        assert len(lines) - done < 10  # next to nothing while the other had its turn
        assert record["exit_status"] == 143 and record["words_per_round"] == 1000
        assert 0.4 < record["reading_seconds"] < 2
        assert 0 < record["most_bytes"]["anonymous"] < record["most_bytes"]["data"]
    assert (
        "reading of the small text" in told and "training with the large text" in told
    )


def test_a_text_too_large_for_the_disk_is_refused(tmp_path):
    large.check_disk(tmp_path, 1000)
    with pytest.raises(InputError, match="need 3300000.0 GB .* GB are free; give few"):
        large.check_disk(tmp_path, 10**15)


@pytest.mark.parametrize("flag", ["--part=all", "--minutes=0", "--gigabytes=nan"])
def test_bad_flags_end_in_a_line(flag, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["faults", flag])
    with pytest.raises(SystemExit) as stop:
        faults.SCRIPT.run(faults.main)
    err = capsys.readouterr().err
    assert stop.value.code == 2 and flag[2:].split("=")[0] in err
    assert not list(Path(tmp_path).iterdir())


def test_equal_metrics_are_equal_but_for_time(tmp_path):
    a, b, c = (
        {"round": 1, "loss": x, "seconds": s, "checkpoint": s > 2}
        for x, s in ((1, 2), (1, 3), (2, 2))
    )
    assert soak._without_time([a]) == soak._without_time([b])
    assert soak._without_time([a]) != soak._without_time([c])


def test_a_checkpoint_costs_what_it_adds():
    records = [
        {"way": way, "train_seconds": seconds, "checkpoints": n, "state_bytes": 5e6}
        for way, n, times in (("often", 21, (14, 12, 99)), ("never", 1, (10, 9, 11)))
        for seconds in times
    ]
    result = cost.summarise(records) | {"sittings": records}
    assert result["seconds_a_checkpoint"] == (14 - 10) / 20
    assert result["share_by_default"] == 0.2 / 60
    (verdict,) = verdicts.of_cost(result)
    assert verdict.holds and verdict.measured == "0.33 %"
    (verdict,) = verdicts.of_cost(result | {"share_by_default": 0.021})
    assert not verdict.holds
    assert "A checkpoint of 5 MB costs 0.20 s." in report.cost(result)
    with pytest.raises(InputError, match="of 14.0 s writes no checkpoint on its way"):
        cost.summarise([one | {"checkpoints": 1} for one in records])


LANGUAGES = (
    b"eng\tAll human beings\xc2\xa0are born\n"
    b"dzo\t\xe0\xbd\xa0\xe0\xbd\x82\xe0\xbe\xb2\xe0\xbd\xbc\n"  # no spaces at all
    b"bad\tcut \xe2\x82 and \xef\xbf\xbd kept"
)


def texts_part(source, workdir, monkeypatch, capsys):
    arguments = ["faults", "--part=texts", f"--corpus={source}", f"--workdir={workdir}"]
    monkeypatch.setattr(sys, "argv", arguments)
    with suppress(SystemExit):
        faults.SCRIPT.run(faults.main)
    result = json.loads((workdir / "faults_texts.json").read_text())
    return result, capsys.readouterr().out


def test_every_text_and_row_is_read_whole(tmp_path, monkeypatch, capsys):
    source = tmp_path / "texts"
    source.mkdir()
    (source / "languages.tsv").write_bytes(LANGUAGES)
    (source / "a b.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfone two\n\n\rone"))
    result, out = texts_part(source, tmp_path / "w", monkeypatch, capsys)
    assert all(one["holds"] for one in result["verdicts"])
    held = dict.fromkeys(reading.CHECKS, 3)
    assert result["files"] == [
        {"file": "a b.gz", "texts": 1, "bytes": 13, "words": 3, "replaced": 0,
         "held": dict.fromkeys(reading.CHECKS, 1), "failed": []},
        {"file": "languages.tsv", "texts": 3, "bytes": len(LANGUAGES), "words": 14,
         "replaced": 1, "held": held, "failed": []},
    ]  # fmt: skip
    assert max(map(len, out.splitlines())) <= 80 and "4 of 4" in out
    assert [p.name for p in (tmp_path / "w").iterdir()] == ["faults_texts.json"]


@pytest.mark.parametrize("fault", reading.CHECKS)
def test_each_fault_of_reading_is_found(fault, tmp_path, monkeypatch, capsys):
    """A reader that adds a word, counts wrong, or forgets; an export that changes."""

    def faulty(*arguments, **settings):
        read = load_corpus(*arguments, **settings)
        if fault == "words":
            read = dataclasses.replace(read, tokens=np.append(read.tokens, [-1, 0]))
        if fault == "bytes":
            read = dataclasses.replace(read, bytes_read=read.bytes_read - 1)
        if fault == "replaced":
            read = dataclasses.replace(read, replaced_bytes=read.replaced_bytes + 1)
        return read

    if fault == "export":
        monkeypatch.setattr(reading.WordVectors, "load", lambda path: Mock(words=()))
    monkeypatch.setattr(reading, "load_corpus", faulty)
    source = tmp_path / "languages.tsv"
    source.write_bytes(LANGUAGES)
    result, out = texts_part(source, tmp_path / "w", monkeypatch, capsys)
    failed = {key for key, n in result["files"][0]["held"].items() if n != 3}
    assert failed == {fault} and result["files"][0]["failed"] == ["eng", "dzo", "bad"]
    assert "failed: dzo" in out and "NO" in out


def test_peaks_are_of_processes_with_one_allocator(tmp_path, monkeypatch):
    """All trainings of a soak give back what they free, disturbed or not."""
    seen = []

    def training(flags, run, log, variables):
        seen.append(variables)

    monkeypatch.setattr(soak, "Training", training)
    command = soak.Soak(tmp_path, [], 1.0, print)
    for number in range(2):
        command.start(tmp_path / "run_0", number)
    assert seen == [soak._GIVE_BACK] * 2
