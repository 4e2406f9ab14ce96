"""The command that trains: from text to files, resuming, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors

from experiments import report, sitting, train, workdir
from sgns_jax.config import Config
from sgns_jax.parts import ALONE
from sgns_jax.vectors import WordVectors

ROOT = Path(__file__).parent.parent
SMALL = ["--dim=8", "--min_count=1", "--segment_tokens=250", "--epochs=2"]


@pytest.fixture
def text(tmp_path):
    """Three thousand words of forty kinds; each line is on one of two topics."""
    rng = np.random.default_rng(0)
    names = [f"{topic}{i}" for i in range(20) for topic in ("cat", "dog")]
    rank = np.minimum(rng.zipf(1.4, (150, 20)) - 1, 19)
    topic = rng.integers(0, 2, (150, 1))
    lines = [" ".join(names[i] for i in line) for line in 2 * rank + topic]
    path = tmp_path / "text.txt"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def run(capsys, monkeypatch, tmp_path, unoptimized):
    """Runs the command in this process: (exit status, standard output, error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["train", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            train.SCRIPT.run(train.main)
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


@pytest.mark.parametrize(
    ("flags", "want"),
    [
        ([], Config(backend="gpu")),
        (["--backend=tpu"], Config(backend="tpu")),
        (["--replicas=3"], Config(backend="gpu", replicas=3)),
    ],
)
def test_the_device_fills_what_the_flags_leave_open(run, monkeypatch, flags, want):
    seen = []

    def read_corpus(config, workdir):
        seen.append(config)
        raise SystemExit

    monkeypatch.setattr(train, "start_jax", lambda: "gpu")
    monkeypatch.setattr(train, "read_corpus", read_corpus)
    run("--workdir=work", *flags)
    assert seen == [want]


def test_everything_is_there_at_the_end(run, text, tmp_path):
    work = tmp_path / "work"
    status, out, err = run(f"--corpus={text}", f"--workdir={work}", *SMALL)
    assert status == 0
    assert "training: 100%" in err and "6.00k/6.00k" in err  # words of two epochs
    for name in ("vectors.txt", "result.json", "metrics.jsonl", "loss.png", "map.png"):
        assert (work / name).stat().st_size > 0
        assert name in out or name in ("result.json", "metrics.jsonl")
    assert max(map(len, out.splitlines())) <= 80 or "Vectors:" in out

    vectors = KeyedVectors.load_word2vec_format(work / "vectors.txt")
    ours = WordVectors.load(work / "vectors.txt")
    assert list(ours.words) == vectors.index_to_key
    np.testing.assert_array_equal(ours.matrix, vectors.vectors)
    assert ours.matrix.shape == (40, 8)

    result = json.loads((work / "result.json").read_text())
    assert result["raw_words"] == 3000 and result["vocabulary"] == 40
    speed = result["raw_words"] * 2 / result["train_seconds"]
    np.testing.assert_allclose(result["words_per_second"], speed)
    assert result["configuration"]["dim"] == 8
    assert result["compile_seconds"] > 0 and result["pairs_per_second"] > 0
    parts = [result[f"{part}_seconds"] for part in ("reading", "compile", "pictures")]
    assert min(parts) > 0 and sum(parts) < result["total_seconds"]
    assert f"\npictures            {result['pictures_seconds']:.1f} s\n" in out
    parts = result["final_positive_loss"] + result["final_negative_loss"]
    np.testing.assert_allclose(result["final_loss"], parts)
    assert {"jax", "numpy"} <= set(result["versions"]) and result["device"]

    left = 3000 - result["dropped_by_subsampling_expected"]
    said = f"Subsampling leaves {left / 30:.3g} % of the words, {left:,.0f} an epoch: "
    assert said in out and "may be too little to learn from" in out
    assert result["warnings"][0].startswith("the loss, 4.")
    assert [x for x in out.splitlines() if x.startswith("warning: the loss, 4.")]
    np.testing.assert_allclose(result["mean_cosine"], report.mean_cosine(ours))

    lines = [json.loads(x) for x in (work / "metrics.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[-1]["epoch"] == 2
    assert sum(line["pairs"] for line in lines) == result["pairs"]
    rates = [line["learning_rate"] for line in lines]
    start = Config().learning_rate
    assert rates == sorted(rates, reverse=True) and 0.7 < rates[0] / start < 1.001

    status, out, _ = run(f"--corpus={text}", f"--workdir={work}", *SMALL)
    assert status == 0 and out.startswith("This run is finished")
    assert "\nwarning: the loss, 4." in out


class Killed(BaseException):
    """Stands for a process that ends here and now."""


def test_the_same_command_goes_on_with_equal_bits(run, text, tmp_path, monkeypatch):
    settings = [f"--corpus={text}", *SMALL, "--checkpoint_seconds=1e-9"]
    run(*settings, f"--workdir={tmp_path / 'whole'}")
    fit = sitting.fit

    def killed_fit(*arguments):
        for done, *rest in fit(*arguments):
            if done == 8:
                raise Killed
            yield done, *rest

    work = tmp_path / "cut"
    monkeypatch.setattr(sitting, "fit", killed_fit)
    with pytest.raises(Killed):
        run(*settings, f"--workdir={work}")
    assert not (work / "vectors.txt").exists()
    monkeypatch.setattr(sitting, "fit", fit)
    status, out, _ = run(*settings, f"--workdir={work}")
    assert status == 0 and "Going on from round 7 of 10" in out
    whole = (tmp_path / "whole" / "vectors.txt").read_bytes()
    assert (work / "vectors.txt").read_bytes() == whole
    lines = (work / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == list(range(1, 11))


def test_bytes_that_are_no_utf8_are_reported(run, tmp_path):
    (tmp_path / "latin1.txt").write_bytes("café au lait café au lait".encode("latin-1"))
    arguments = ["--workdir=w", "--min_count=1", "--subsample=0"]
    status, out, _ = run("--corpus=latin1.txt", *arguments)
    assert status == 0
    assert "2 times the text was not utf-8" in out
    assert json.loads(Path("w/result.json").read_text())["replaced_bytes"] == 2


def test_interruption_says_how_to_go_on(run, text, tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(sitting, "fit", interrupted)
    status, _, err = run(f"--corpus={text}", f"--workdir={tmp_path / 'w'}", *SMALL)
    assert status == 130 and "the same command goes on" in err


def test_analytic_and_autodiff_give_the_same_vectors(run, text, tmp_path):
    """In float32: through bfloat16 rows, autodiff rounds the gradient as well."""
    matrices, same = [], "--product_dtype=float32"
    for gradient in ("analytic", "autodiff"):
        work = tmp_path / gradient
        run(
            f"--corpus={text}",
            f"--workdir={work}",
            f"--gradient={gradient}",
            same,
            *SMALL,
        )
        matrices.append(WordVectors.load(work / "vectors.txt").matrix)
    np.testing.assert_allclose(*matrices, rtol=1e-3, atol=1e-4)
    assert np.max(np.abs(matrices[0])) > 0.1


def test_scores_are_printed_and_kept(run, text, tmp_path):
    scores = tmp_path / "eval"
    scores.mkdir()
    pairs = ["cat0\tcat1\t9", "cat0\tdog1\t1", "dog0\tdog2\t8", "cat1\tnone\t1"]
    (scores / "pairs.tsv").write_text("\n".join(pairs))
    (scores / "notes.md").write_text("No scores.")
    arguments = [f"--corpus={text}", f"--workdir={tmp_path / 'w'}", *SMALL]
    status, out, _ = run(*arguments, f"--eval_dir={scores}", "--words=cat0,dog0")
    assert status == 0
    assert "pairs" in out and "3/4" in out
    named = [line for line in out.splitlines() if str(tmp_path) in line]
    assert {line.split(":")[0] for line in named} == {"Vectors", "Pictures"}
    assert max(len(x) for x in out.splitlines() if x not in named) <= 80
    assert "eval_dir: notes.md is passed over: needs lines of word, word" in out
    assert "  cat0 " in out and "  cat1 " not in out.replace("  cat1 0", "")
    result = json.loads((tmp_path / "w" / "result.json").read_text())
    assert result["evaluation"][0]["covered"] == 3


def test_settings_of_the_text_reach_the_reader(run, text, monkeypatch):
    seen = {}

    def read(config, folder, **settings):
        seen.update({name: getattr(config, name) for name in wanted if name != "team"})
        seen.update(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(workdir, "load_corpus", read)
    wanted = {
        "corpus": str(text),
        "encoding": "latin-1",
        "min_count": 3,
        "max_vocabulary": 7,
        "tokenizer": "letters",
        "lowercase": True,
        "sentence_length": 9,
        "team": ALONE,
    }
    run("--workdir=w", *(f"--{k}={v}" for k, v in wanted.items() if k != "team"))
    seen.pop("on_progress")
    seen.pop("on_warning")
    assert seen == wanted


def test_help_is_a_page(run):
    status, out, err = run("--help")
    assert status == 0 and not err
    for group in ("Text", "Model", "Training", "Batching", "Run"):
        assert f"\n{group}\n" in out
    assert max(map(len, out.splitlines())) <= 80
    for name in (*Config.__dataclass_fields__, "workdir", "eval_dir"):
        assert f"--{name}=" in out


GOOD = ["--dim=8", "--min_count=1"]
BAD_FLAGS = {
    "--dim=0": "dim must be a whole number from 1 to 2147483647, got 0",
    "--negatives=0": "negatives must be a whole number from 1 to 2147483647, got 0",
    "--window=-2": "window must be a whole number from 1 to 1073741824, got -2",
    "--learning_rate=nan": "learning_rate must be a number from 1e-37 to 1e+38",
    "--optimizer=lion": r"optimizer must be adagrad | adam | sgd, got 'lion'",
    "--dim=many": "flag --dim=many",
    "--dmi=8": "Unknown command line flag 'dmi'",
    "words": "got 'words', which is no flag",
    "--corpus=missing.txt": "missing.txt",
    "--corpus=empty.txt": "empty.txt",
    "--corpus=lines.txt": "gives no pairs: no sentence keeps two words",
    "--subsample=1e-12": "pairs in 5 epochs for 40 words",
    "--corpus=one.txt": "the single word 'word'",
    "--min_count=1000000": "min_count",
    "--workdir=text.txt": "cannot write to the work folder text.txt",
    "--workdir=text.txt/sub": "cannot write to the work folder text.txt/sub",
    "--eval_dir=nowhere": "eval_dir nowhere is no folder",
    "--eval_dir=eval": "eval/p.txt, line 2: needs a word, a word and a number, spaces",
    "--eval_dir=.": ".: needs lines of word, word and number, or of analogies",
    "--restrict_vocabulary=0": "restrict_vocabulary must be",
    "--keep_checkpoints=0": "keep_checkpoints must be",
    "--checkpoint_seconds=nan": "checkpoint_seconds must be",
    "--on_nonfinite=go": "on_nonfinite must be stop or halve, got 'go'",
    "--words=cat0,unicorn": "unicorn",
}


@pytest.mark.parametrize("bad", BAD_FLAGS)
def test_bad_input_is_one_line_and_status_2(run, text, tmp_path, bad):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval/p.txt").write_text("cat0 cat1 9\ncat0 dog0\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "one.txt").write_text("word word word")
    (tmp_path / "lines.txt").write_text("one\ntwo\none\ntwo")
    status, _, err = run(f"--corpus={text}", "--workdir=w", *GOOD, bad)
    assert status == 2
    line = err.strip().splitlines()[-1]
    assert line.startswith("error: ") and BAD_FLAGS[bad] in line
    assert "Traceback" not in err
    assert [x for x in err.splitlines() if "error" in x] == [line]
    assert "training:" not in err  # the bar


def test_what_vectors_are_scored_with_is_read_before_the_text(run):
    status, _, err = run("--corpus=missing.txt", "--eval_dir=.")
    assert status == 2 and ".: needs lines of word, word and number" in err


def test_another_runs_folder_is_refused_and_kept(run, text):
    arguments = [f"--corpus={text}", "--workdir=w", *SMALL]
    run(*arguments)
    before = Path("w/vectors.txt").read_bytes()
    status, _, err = run(*arguments, "--window=3")
    assert status == 2
    assert "w holds a run with window = 5, this one has 3" in err
    copy = text.with_name("copy.txt")
    copy.write_text(text.read_text())
    status, out, _ = run(f"--corpus={copy}", *arguments[1:])
    assert status == 0 and "Going on from round" in out  # it is the same text
    assert json.loads(Path("w/config.json").read_text())["corpus"] == str(copy)
    copy.write_text(text.read_text() + " changed")
    Path("w/result.json").unlink()
    status, _, err = run(f"--corpus={copy}", *arguments[1:])
    assert status == 2 and "w holds a run on another text, named" in err
    assert Path("w/vectors.txt").read_bytes() == before


def test_a_diverging_run_says_so(run, text):
    status, _, err = run(
        f"--corpus={text}", "--workdir=w", *SMALL, "--optimizer=sgd",
        "--learning_rate=1e30",
    )  # fmt: skip
    assert status == 2
    last = err.splitlines()[-1]
    assert "training diverged: no finite number any more at step" in last
    assert "e+29, in v of '" in last


def test_standard_input_from_a_shell(text, tmp_path, unoptimized):
    command = [sys.executable, "-m", "experiments.train", "--corpus=-", *SMALL]
    run = subprocess.run(
        [*command, f"--workdir={tmp_path / 'w'}"], cwd=ROOT, env=os.environ,
        input=text.read_text(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "3,000 words, 40 different ones" in run.stdout
    assert "word/s" in run.stderr  # the progress bar


def test_words_that_no_font_has_are_named_in_a_line():
    assert report.nameless_words(["中", "国"]).startswith("2 words of map.png are")
    assert "all letters of 中, 国; install" in report.nameless_words(["中", "国"])
    assert "all letters of a, b, c, …; " in report.nameless_words([*"abcd"])


def test_default_workdir_is_named_after_the_corpus():
    assert report.default_workdir("pydoc") == "runs/pydoc"
    assert report.default_workdir("books/My text.txt.gz") == "runs/My_text"
    assert report.default_workdir("-") == "runs/-"
    assert report.default_workdir("texts/*.txt") == "runs/corpus"
