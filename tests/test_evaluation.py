"""Evaluation: scores by hand and against gensim's, and every refusal."""

import json
import math

import numpy as np
import pytest
import scipy.stats
from gensim.models import KeyedVectors
from hypothesis import given, settings
from hypothesis import strategies as st

from sgns_jax import evaluation
from sgns_jax.evaluation import (
    analogies,
    evaluate_folder,
    format_table,
    spearman,
    to_json,
)
from sgns_jax.types import InputError
from sgns_jax.vectors import WordVectors


@pytest.fixture
def vectors() -> WordVectors:
    """Cosines with "east": north-east .71, north 0, west −1; "East" points west."""
    rows = {
        "east": [1, 0],
        "north": [0, 1],
        "northeast": [2, 2],
        "west": [-3, 0],
        "East": [-1, 0],
    }
    return WordVectors(tuple(rows), np.array(list(rows.values()), np.float32))


def write(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def random_vectors(seed: int, words: tuple[str, ...]) -> WordVectors:
    rng = np.random.default_rng(seed)
    return WordVectors(words, rng.standard_normal((len(words), 5), np.float32))


def in_gensim(vectors: WordVectors) -> KeyedVectors:
    theirs = KeyedVectors(vectors.matrix.shape[1])
    theirs.add_vectors(list(vectors.words), vectors.matrix)
    return theirs


# --- similarity


def test_spearman_counts_what_it_covers(vectors, tmp_path):
    path = write(
        tmp_path / "pairs.tsv",
        "\ufeff# a comment\n"
        "east\tnortheast\t9\r\n"
        "EAST\tnorth\t8\textra\n"
        "\n"
        "east\tunknown\t0\n"
        "East\twest\t8.5\n",
    )
    score = spearman(vectors, path)
    assert score == ("pairs", pytest.approx(0.5), 3, 4, None, "lower")
    kept = spearman(vectors, path, case="keep")  # "EAST" is unknown: two pairs
    assert kept.covered == 2 and math.isnan(kept.rho)
    assert spearman(vectors, path, restrict_vocabulary=3).covered == 2


def test_case_keep_tells_words_apart(vectors, tmp_path):
    lines = "east\tnortheast\t3\neast\tnorth\t2\nEast\twest\t1\n"
    path = write(tmp_path / "pairs.tsv", lines)
    assert spearman(vectors, path).rho == 1
    assert spearman(vectors, path, case="keep").rho == pytest.approx(-0.5)


@pytest.mark.parametrize(
    "lines",
    [
        "east\tnorth\t1\neast\twest\t2\n",
        "east\tnorth\t1\neast\twest\t1\neast\tnortheast\t1\n",
        "east\teast\t1\neast\teast\t2\neast\teast\t3\n",
        "no\tsuch\t1\n",
    ],
)
def test_spearman_is_missing_without_three_pairs_and_a_spread(vectors, tmp_path, lines):
    score = spearman(vectors, write(tmp_path / "p.tsv", lines))
    assert math.isnan(score.rho)
    assert to_json(score)["rho"] is None
    assert "-" in format_table([score]).splitlines()[1].split()


@pytest.mark.parametrize("line", ["a\tb", "a b 1", "a\tb\tx", "a\tb\tnan", "\tb\t1"])
def test_spearman_names_a_malformed_line(vectors, tmp_path, line):
    path = write(tmp_path / "p.tsv", f"east\tnorth\t1\n{line}\n")
    with pytest.raises(
        InputError, match="p.tsv, line 2: needs a word, a word and a number, tabs"
    ):
        spearman(vectors, path)


# --- analogies


QUESTIONS = """\
// a comment
: directions
north east west north

north east north west
: gram1-case
East north east northeast
east north unknown west
"""


def test_analogies_by_hand(tmp_path):
    # man → king is +z; woman + z is nearest to queen; king itself is left out.
    rows = {
        "man": [1, 0, 0],
        "king": [1, 0, 1],
        "woman": [0, 1, 0],
        "queen": [0, 1, 1],
        "Queen": [0, 1, 3],
        "apple": [-1, -1, 0],
    }
    vectors = WordVectors(tuple(rows), np.array(list(rows.values()), np.float32))
    path = write(
        tmp_path / "q.txt",
        "// a comment\n: grand\nMan King Woman Queen\n\n man king\twoman apple\r\n"
        ": gram-nothing\nman king woman unknown\n",
    )
    score = analogies(vectors, path)
    grand = ("grand", 0.5, 1, 2, 2)
    assert score.sections[0] == grand
    assert score.semantic == ("semantic", *grand[1:])
    assert score.total == ("total", 0.5, 1, 2, 3)
    assert math.isnan(score.syntactic.accuracy) and score.syntactic[2:] == (0, 0, 1)
    assert format_table([score]).splitlines()[3].split() == ["syntactic", "-", "0/1"]
    assert (score.name, score.restrict_vocabulary, score.case) == ("q", 30_000, "lower")
    assert analogies(vectors, path, restrict_vocabulary=3).total.covered == 0
    assert analogies(vectors, path, case="keep").total[2:] == (0, 1, 3)


def test_a_question_word_is_no_answer_in_any_case(tmp_path):
    # "King" lies nearest to b − a + c, and is king: left out, so queen is found.
    rows = {
        "man": [1, 0],
        "king": [1, 1],
        "x": [0, 1],
        "queen": [-1, 3],
        "King": [-0.3, 1.7],
    }
    vectors = WordVectors(tuple(rows), np.array(list(rows.values()), np.float32))
    path = write(tmp_path / "q.txt", ": s\nman king x queen\n")
    assert analogies(vectors, path).total.correct == 1
    assert analogies(vectors, path, case="keep").total.correct == 0


def test_no_word_left_to_answer_is_not_right(tmp_path):
    vectors = WordVectors(("a", "b", "c"), np.eye(3))
    path = write(tmp_path / "q.txt", ": s\na b c a\n")
    assert analogies(vectors, path).total == ("total", 0.0, 0, 1, 1)


@pytest.mark.parametrize(
    "text, message",
    [
        ("a b c d\n", "q.txt, line 1: needs four words, below a line ': section'"),
        (": s\na b c d\na b c\n", "q.txt, line 3: needs four words"),
        (": s\na b c d e\n", "line 2: needs four words"),
        (":\na b c d\n", "line 2: needs four words, below a line ': section'"),
        (": s\n", "q.txt: holds no analogy"),
    ],
)
def test_analogies_names_a_malformed_line(vectors, tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        analogies(vectors, write(tmp_path / "q.txt", text))


# --- against gensim


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    restrict=st.sampled_from([10, 25, 40]),
    case=st.sampled_from(["lower", "keep"]),
)
def test_agrees_with_gensim(seed, restrict, case, tmp_path_factory):
    """Words w0 … w29, ten of them again as W0, W3, … at random places."""
    rng = np.random.default_rng(seed)
    words = [f"w{i}" for i in range(30)] + [f"W{i}" for i in range(0, 30, 3)]
    rng.shuffle(words)
    vectors = random_vectors(seed, tuple(words))
    theirs = in_gensim(vectors)
    folder = tmp_path_factory.mktemp("gensim")
    asked = [*words, "unknown"]

    questions = [rng.choice(asked, 4, replace=False) for _ in range(300)]
    lines = [": one", *map(" ".join, questions[:150]), ": gram2"]
    text = "\n".join([*lines, *map(" ".join, questions[150:])])
    path = write(folder / "q.txt", text)
    lower = case == "lower"
    _, sections = theirs.evaluate_word_analogies(
        path, restrict_vocab=restrict, case_insensitive=lower, dummy4unknown=False
    )
    ours = analogies(vectors, path, restrict, case)
    assert [
        (s.correct, s.covered - s.correct) for s in [*ours.sections, ours.total]
    ] == [(len(s["correct"]), len(s["incorrect"])) for s in sections]

    # No word with itself: there rounding alone would decide between cosines of 1.
    pairs = [(*rng.choice(asked, 2), rng.integers(10)) for _ in range(200)]
    pairs = [(a, b, score) for a, b, score in pairs if a.lower() != b.lower()]
    path = write(folder / "p.tsv", "".join("{}\t{}\t{}\n".format(*p) for p in pairs))
    _, rho, missing = theirs.evaluate_word_pairs(
        path, restrict_vocab=restrict, case_insensitive=lower
    )
    score = spearman(vectors, path, restrict, case)
    assert score.rho == pytest.approx(rho.statistic, abs=1e-6)
    assert 100 * (1 - score.covered / score.pairs) == pytest.approx(missing)


def test_batches_do_not_change_the_score(tmp_path, monkeypatch):
    words = tuple(f"w{i}" for i in range(6))
    vectors = random_vectors(0, words)
    rng = np.random.default_rng(0)
    questions = [" ".join(rng.choice(words, 4, replace=False)) for _ in range(50)]
    path = write(tmp_path / "q.txt", "\n".join([": s", *questions]))
    whole = analogies(vectors, path)
    assert 0 < whole.total.correct < 50
    monkeypatch.setattr(evaluation, "_BATCH", 7)
    assert analogies(vectors, path).total == whole.total


def test_spearman_is_scipys(tmp_path):
    words = tuple(f"w{i}" for i in range(20))
    vectors = random_vectors(1, words)
    human = np.random.default_rng(1).integers(5, size=19)  # with ties
    lines = (f"w0\t{word}\t{x}\n" for word, x in zip(words[1:], human, strict=True))
    score = spearman(vectors, write(tmp_path / "p.tsv", "".join(lines)))
    cosines = [vectors.similarity("w0", word) for word in words[1:]]
    assert score.rho == pytest.approx(scipy.stats.spearmanr(cosines, human).statistic)


# --- folders and reports


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "b.tsv", "east\tnorth\t2\neast\twest\t1\neast\tnortheast\t3\n")
    write(tmp_path / "a.txt", QUESTIONS)
    write(tmp_path / "README.txt", "not an evaluation\n")
    write(tmp_path / "notes.md", ": neither\n")
    return tmp_path


def test_evaluates_every_file_of_a_folder(vectors, folder):
    found = evaluate_folder(vectors, folder, restrict_vocabulary=4)
    assert found == [
        analogies(vectors, folder / "a.txt", 4),
        spearman(vectors, folder / "b.tsv"),
    ]
    kept = evaluate_folder(vectors, folder, case="keep")
    assert [result.case for result in kept] == ["keep", "keep"]
    assert format_table([found[0], kept[1]]).endswith("; case: keep and lower")


def test_reports_fit_json_and_80_columns(vectors, folder):
    write(folder / f"{'long' * 30}.tsv", "east\tnorth\t1\n")
    results = evaluate_folder(vectors, folder, restrict_vocabulary=1000)
    record = json.loads(json.dumps(to_json(results), allow_nan=False))
    assert record[0]["total"]["questions"] == 4
    assert record[0]["sections"][1]["name"] == "gram1-case"
    assert record[1]["rho"] == 1 and record[2]["rho"] is None
    table = format_table(results).splitlines()
    assert all(len(line) <= 80 for line in table)
    assert [line.split() for line in table[1:5]] == [
        ["a", *percent(results[0].total), "3/4"],
        ["semantic", *percent(results[0].semantic), "2/2"],
        ["syntactic", *percent(results[0].syntactic), "1/2"],
        ["b", "1.000", "3/3"],
    ]
    assert table[-1] == (
        "vocabulary: analogies first 1,000 words, similarity all words; case: lower"
    )


def percent(score: evaluation.SectionScore) -> list[str]:
    return [f"{100 * score.correct / score.covered:.1f}", "%"]


def test_refuses_a_folder_without_evaluation_files(vectors, tmp_path):
    with pytest.raises(InputError, match="none: no such folder"):
        evaluate_folder(vectors, tmp_path / "none")
    write(tmp_path / "README.txt", "hello\n")
    with pytest.raises(InputError, match="needs lines of word, word and number"):
        evaluate_folder(vectors, tmp_path)


def test_names_a_file_it_cannot_read(vectors, tmp_path):
    with pytest.raises(InputError, match="p.tsv: cannot be read: No such file"):
        spearman(vectors, tmp_path / "p.tsv")
    (tmp_path / "p.tsv").write_bytes(b"a\tb\xff\t1\n")
    with pytest.raises(InputError, match="p.tsv: is not UTF-8 text"):
        spearman(vectors, tmp_path / "p.tsv")
    with pytest.raises(InputError, match="p.tsv: holds no word pair"):
        spearman(vectors, write(tmp_path / "p.tsv", "# nothing\n"))


def test_refuses_bad_settings(vectors, folder):
    with pytest.raises(InputError, match="case must be 'lower' or 'keep', got 'upper'"):
        spearman(vectors, folder / "b.tsv", case="upper")
    with pytest.raises(InputError, match="restrict_vocabulary must be 1 or more"):
        analogies(vectors, folder / "a.txt", restrict_vocabulary=0)
