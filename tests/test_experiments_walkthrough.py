"""The toy example: every number, every verdict, and what the command says of them."""

import json
import re
import sys
from pathlib import Path

import jax
import mpmath
import numpy as np
import pytest

from experiments import walkthrough, walkthrough_values, walkthrough_verdicts
from tests import oracle

RIGHT, WRONG, OURS = "right", "wrong", None
# (symbol, iteration): the article's print, the true value to 6 decimals, the verdict.
EXPECTED = {
    ("context", 0): (["[the, sat]"], ["[the, sat, on]"], WRONG),
    ("score", 1): (["2.0", "3.0", "0.5"], [2, 3, 0.5], RIGHT),
    ("σ", 1): (["0.88", "0.047", "0.38"], [0.880797, 0.047426, 0.377541], RIGHT),
    ("loss", 1): (["4.15"], [4.149592], RIGHT),
    ("∂L/∂w_in[cat]", 1): (["-0.357", "-0.107"], [1.144601, 0.892973], WRONG),
    ("w_in[cat]", 1): (["1.0357", "2.0107"], [0.885540, 1.910703], WRONG),
    ("w_out[dog]", 1): (["1.012", "0.524"], [1.011920, 0.523841], RIGHT),
    ("w_out[apple]", 1): (["0.9953", "0.9906"], [0.904743, 0.809485], WRONG),
    ("w_out[run]", 1): (["0.462", "-0.076"], [0.437754, -0.124492], WRONG),
    ("score", 2): (["2.10", "2.51", "0.325"], [1.896999, 2.347871, 0.149782], WRONG),
    ("loss", 2): (["0.74"], [3.349766], WRONG),
    ("w_in[cat]", 2): ([], [0.792635, 1.850339], OURS),
    ("w_out[dog]", 2): ([], [1.023472, 0.548765], OURS),
    ("w_out[apple]", 2): ([], [0.823914, 0.635083], OURS),
    ("w_out[run]", 2): ([], [0.390167, -0.227168], OURS),
    ("loss", 3): ([], [2.765600], OURS),
}
# What the slip gives, as the line on the cause says it.
CAUSES = {
    ("context", 0): "a window of 1, not 2: gives [the, sat], as printed",
    ("∂L/∂w_in[cat]", 1): "of a negative's σ(s): gives -0.357, -0.107, as printed",
    ("w_in[cat]", 1): "wrong gradient: gives 1.0357, 2.0107, as printed",
    ("w_out[apple]", 1): "in place of σ(s): gives 0.9953, 0.9906, as printed",
    ("w_out[run]", 1): "in place of σ(s): gives 0.462, -0.076, as printed",
    ("score", 2): "own wrong vectors: gives 2.1017, 3.0226, 0.32568, not 2.51, which",
    ("loss", 2): "(its vectors' true loss is 4.0547): gives 0.73745, as printed",
}
WORDS = ["cat", "dog", "apple", "banana", "run"]


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """Runs the command in this process: (exit status, standard output, error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["walkthrough", *arguments])
        with pytest.raises(SystemExit) as stop:
            walkthrough.SCRIPT.run(walkthrough.main)
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def result():
    return walkthrough_verdicts.study([9, 8, 0, 2, 7], 0.75)


@pytest.fixture(scope="module")
def rows(result):
    return {(row["quantity"], row["iteration"]): row for row in result["rows"]}


def test_there_is_a_row_for_everything(rows):
    assert list(rows) == list(EXPECTED)


@pytest.mark.parametrize("key", EXPECTED)
def test_every_number_and_verdict(rows, key):
    article, true, verdict = EXPECTED[key]
    row = rows[key]
    assert row["article"] == article and row["verdict"] == verdict
    assert row["verdicts"] == [verdict] * len(article)
    if key[0] == "context":
        assert row["library"] == row["fifty_digits"] == true
        return
    assert [round(x, 6) for x in row["library"]] == true
    assert [round(float(x), 6) for x in row["fifty_digits"]] == true
    assert len(row["parts"]) == len(row["library"]) == len(true)


@pytest.mark.parametrize("key", EXPECTED)
def test_every_cause_is_worked_out(rows, key):
    cause = rows[key]["cause"]
    assert CAUSES[key] in cause if key in CAUSES else cause is None


def numpy_walk():
    """The same walk by the oracle: the numbers of every row but the context."""
    w_in, w_out = np.zeros((5, 2)), np.zeros((5, 2))
    w_in[0], w_out[[1, 2, 4]] = [1, 2], [[1, 0.5], [1, 1], [0.5, 0]]
    for i in (1, 2, 3):
        s = w_out[[1, 2, 4]] @ w_in[0]
        yield ("score", i), s
        yield ("σ", i), [oracle.sigmoid(x) for x in s * [1, -1, -1]]
        yield ("loss", i), [oracle.pair_loss(w_in, w_out, 0, 1, [2, 4])]
        d_in, d_out = oracle.pair_gradient(w_in, w_out, 0, 1, [2, 4])
        yield ("∂L/∂w_in[cat]", i), d_in[0]
        w_in, w_out = w_in - 0.1 * d_in, w_out - 0.1 * d_out
        yield ("w_in[cat]", i), w_in[0]
        for word in (1, 2, 4):
            yield (f"w_out[{WORDS[word]}]", i), w_out[word]


def test_numpy_gives_the_same(rows):
    want = dict(numpy_walk())
    for key in list(EXPECTED)[1:]:
        np.testing.assert_allclose(rows[key]["library"], want[key], rtol=0, atol=2e-14)


def test_fifty_digits_are_right_to_the_last(rows):
    """Against the closed form of the gradient, which the script does not use here."""
    mp = mpmath.MPContext()
    mp.dps = 60
    v, dog, apple, run = (
        [mp.mpf(x) for x in pair] for pair in ("12", "15", "11", "50")
    )
    dog[1], run[0] = dog[1] / 10, run[0] / 10

    def sigma(a, b, sign):
        return 1 / (1 + mp.exp(-sign * sum(x * y for x, y in zip(a, b, strict=True))))

    for i in (1, 2):
        near, far, away = sigma(v, dog, -1), sigma(v, apple, 1), sigma(v, run, 1)
        gradient = [far * apple[d] + away * run[d] - near * dog[d] for d in (0, 1)]
        dog = [u + near * x / 10 for u, x in zip(dog, v, strict=True)]
        apple = [u - far * x / 10 for u, x in zip(apple, v, strict=True)]
        run = [u - away * x / 10 for u, x in zip(run, v, strict=True)]
        v = [x - g / 10 for x, g in zip(v, gradient, strict=True)]
        for name, want in zip(
            walkthrough_values.START, (v, dog, apple, run), strict=True
        ):
            got = rows[name, i]["fifty_digits"]
            assert got == [mp.nstr(x, 50, strip_zeros=False) for x in want]


def test_library_and_fifty_digits_agree_within_the_bound(result, rows):
    assert result["disagreements"] == []
    for (_, i), row in rows.items():
        assert row["error_eps"] <= row["bound_eps"] == 32 * i
    assert 0 < max(row["error_eps"] for row in rows.values()) < 8


NOISE = [
    ([81, 256, 16, 1, 625], 0.75),
    ([9, 8, 0, 2, 7], 0.75),
    ([5, 4, 3, 2, 10**15], -1.5),
    ([3, 0, 0, 0, 2], 0.0),
]


@pytest.mark.parametrize(("counts", "exponent"), NOISE)
def test_noise_is_numpys(counts, exponent):
    noise = walkthrough_verdicts.noise_rows(counts, exponent)
    assert [row["word"] for row in noise] == WORDS
    assert [row["count"] for row in noise] == counts
    want = oracle.noise_distribution(counts, exponent)
    for key in ("library", "fifty_digits"):
        got = [float(row[key]) for row in noise]
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=0)
    assert all(row["error_eps"] <= row["bound_eps"] for row in noise)
    share = [row["share"] for row in noise]
    np.testing.assert_allclose(share, np.array(counts) / sum(counts), rtol=1e-15)


def test_default_counts_have_whole_powers():
    powers = [row["power"] for row in walkthrough_verdicts.noise_rows(*NOISE[0])]
    assert powers == ["27.0", "64.0", "8.0", "1.0", "125.0"]


@pytest.mark.parametrize(
    ("printed", "value", "right"),
    [
        ("0.88", 0.880797, True),  # rounded down
        ("0.326", 0.3256802, True),  # rounded up
        ("0.325", 0.3256802, True),  # cut off
        ("0.327", 0.3256802, False),
        ("0.324", 0.3240001 - 1e-3, False),
        ("-0.12", -0.1259, True),
        ("-0.13", -0.1259, True),
        ("0.13", -0.1259, False),
        ("-0.14", -0.1259, False),
        ("2.0", 2, True),
        ("[the, sat]", "[the, sat, on]", False),
        ("[the, sat]", "[the, sat]", True),
    ],
)
def test_a_print_is_right_if_rounded_or_cut_off(printed, value, right):
    assert walkthrough_verdicts.prints(printed, value) is right


def test_one_wrong_number_makes_a_wrong_row():
    quantity = walkthrough_values.Quantity("score", 1, ("a", "b"), ("2.0", "3.1"))
    row = walkthrough_verdicts.compare(quantity, [2.0, 3.0], [2, 3], {})
    assert row["verdicts"] == ["right", "wrong"] and row["verdict"] == "wrong"
    other = row | {"fifty_digits": ["4", "5"]}
    lines = [line.split() for line in walkthrough.table([other]).splitlines()]
    assert lines[1] == ["a", "2.0", "2.0000000000", "4.0000000000", "right"]
    assert lines[2] == ["b", "3.1", "3.0000000000", "5.0000000000", "wrong"]
    assert lines[3] == [">", "unknown"]


def test_the_page_shows_every_number(run):
    status, out, err = run()
    assert status == 0 and not err
    assert max(map(len, out.splitlines())) <= 80
    result = json.loads(Path("runs/walkthrough/walkthrough.json").read_text())
    lines = iter(out.splitlines())
    for row in result["rows"]:
        for n, part in enumerate(row["parts"]):
            line = next(x for x in lines if x.startswith(f"  {part}  "))
            cells = re.split(r"\s{2,}", line.strip())
            article = [*row["article"], *["-"] * 3][n]
            numbers = [row["library"][n], row["fifty_digits"][n]]
            if row["quantity"] != "context":
                numbers = [f"{float(x):.10f}" for x in numbers]
            assert cells == [part, article, *numbers, *row["verdicts"][n : n + 1]]
    text = " ".join(out.split())
    for row in result["rows"]:
        assert not row["cause"] or f"> {row['cause']}" in text
    for row in result["noise"]:
        assert f"{row['word']} {row['count']} {row['share']:.6f} {row['power']}" in text
        assert f" {row['library']:.10f} {row['library'] / row['share']:.3f}" in text
    assert "Of the article's 11 quantities, 4 are right and 7 are wrong." in out
    assert "Library and 50 digits agree" in out
    for name in ("walkthrough.json", "walkthrough.png"):
        assert f"runs/walkthrough/{name}" in out
    png = Path("runs/walkthrough/walkthrough.png").read_bytes()
    assert png.startswith(b"\x89PNG") and len(png) > 20_000


def test_json_is_the_file_and_nothing_else(run):
    arguments = ["--counts=9, 8,0,2,7", "--noise_exponent=-1", "--workdir=w"]
    status, out, err = run("--json", *arguments)
    assert status == 0 and not err
    assert out == Path("w/walkthrough.json").read_text()
    result = json.loads(out)
    assert result["noise_exponent"] == -1 and result["learning_rate"] == 0.1
    assert [row["count"] for row in result["noise"]] == [9, 8, 0, 2, 7]
    assert result["command"].startswith("python -m experiments.walkthrough --json")
    assert Path("w/walkthrough.png").exists()


@pytest.mark.parametrize("off", [1e-12, np.nan])
def test_a_wrong_library_gives_status_1(run, monkeypatch, off):
    right = walkthrough_values.library_gradient
    monkeypatch.setattr(
        walkthrough_values, "library_gradient", lambda x_RD: right(x_RD) + off
    )
    status, out, err = run()
    assert status == 1 and "Library and 50 digits disagree" in out
    assert err.splitlines()[0].startswith(
        "library and 50 digits disagree: ∂L/∂w_in[cat] 1: "
    )
    assert "loss 1:" not in err and "loss 2:" in err


def test_a_wrong_noise_gives_status_1(run, monkeypatch):
    def wrong(counts, exponent):
        return jax.numpy.array(oracle.noise_distribution(counts, exponent + 1e-12))

    monkeypatch.setattr(walkthrough_verdicts, "noise_distribution", wrong)
    status, _, err = run("--json")
    assert status == 1 and "disagree: P_n banana: " in err


def test_a_wrong_window_gives_status_1(run, monkeypatch):
    monkeypatch.setattr(
        walkthrough_values, "library_context", lambda window: "[the, sat]"
    )
    status, _, err = run()
    assert status == 1 and "disagree: context 0: 1 eps apart, bound 0" in err


def test_a_cause_that_fails_is_not_claimed(rows):
    line = walkthrough_verdicts.cause(
        ("0.74",), "log σ(s) at its own vectors", [0.7064]
    )
    assert line.endswith("gives 0.7064, not 0.74, which stays unexplained")
    quantity = walkthrough_values.Quantity("loss", 3, ("loss",), ("9.9",))
    exact = walkthrough_values.exact_values(2)["loss", 3]
    row = walkthrough_verdicts.compare(
        quantity, [2.7656], exact, walkthrough_verdicts.slips()
    )
    assert row["verdict"] == "wrong" and row["cause"] == "unknown"


BAD_FLAGS = {
    "--counts=1,2,3,4": "got '1,2,3,4'; give one each for cat, dog, apple, banana, run",
    "--counts=1,2,3,4,5,6": "counts must be five whole numbers",
    "--counts=1,2,3,4,-5": "counts must be five whole numbers",
    "--counts=1,2,3,4,5.5": "counts must be five whole numbers",
    "--counts=1,2,3,4,nan": "counts must be five whole numbers",
    "--counts=0,0,0,0,0": "one above 0, got '0,0,0,0,0'",
    "--counts=1,2,3,4,1000000000000001": "from 0 to 10^15",
    "--counts=": "counts must be five whole numbers",
    "--noise_exponent=inf": "must be a number from -1e+300 to 1e+300, got inf",
    "--noise_exponent=1e300": "noise_exponent 1e+300 takes these counts to e^",
    "--noise_exponent=x": "--noise_exponent=x",
    "--workdir=file": "cannot write to the work folder file",
    "--iterations=3": "Unknown command line flag 'iterations'",
    "words": "got 'words', which is no flag",
}


@pytest.mark.parametrize("bad", BAD_FLAGS)
def test_bad_input_is_one_line_and_status_2(run, tmp_path, bad):
    (tmp_path / "file").touch()
    status, out, err = run(bad)
    assert status == 2 and not out
    (line,) = err.splitlines()
    assert line.startswith("error: ") and BAD_FLAGS[bad] in line


def test_help_is_a_page(run):
    status, out, err = run("--help")
    assert status == 0 and not err
    assert max(map(len, out.splitlines())) <= 80
    for name in ("counts", "noise_exponent", "workdir", "json"):
        assert f"--{name}=" in out
