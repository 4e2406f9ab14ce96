"""An ablation's statistics, and what its table, page and pictures say of them."""

import csv
import itertools
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from experiments.ablating import page, pictures, records, statistics, summary

GRID = {"negatives": [2, 5], "noise_exponent": [-0.5, 0.75]}
REFERENCE = {"negatives": 5, "noise_exponent": 0.75}
OTHER = {"negatives": 2, "noise_exponent": -0.5}
CONFIG = {
    "dim": 100, "negatives_mode": "shared", "noise_words": 32, "block_size": 16
}  # fmt: skip


def a_result(value=None, grid=GRID, seeds=3, budgets=("epochs",), better=1, **more):
    """An ablation whose one measure is ``value(settings, seed, budget)``."""
    value = value or (lambda settings, seed, budget: 0.5 + 0.01 * seed)
    points = [
        dict(zip(grid, at, strict=True)) for at in itertools.product(*grid.values())
    ]
    models = [
        {
            "settings": at, "seed": seed, "budget": budget, "epochs": 5.0, "flops": 1e9,
            "measures": {"men3000": value(at, seed, budget)},
        }
        for budget in budgets for at in points for seed in range(seeds)
    ]  # fmt: skip
    reference = {
        name: REFERENCE.get(name) if REFERENCE.get(name) in values else values[0]
        for name, values in grid.items()
    }
    about = {"title": "MEN", "meaning": "Rank correlation.", "better": better}
    return {
        "domain": "words", "grid": grid, "seeds": seeds, "budgets": list(budgets),
        "reference": reference, "measures": {"men3000": about}, "models": models,
        "text": {"corpus": "text8", "raw_words": 17_005_207}, "seconds": 60.0,
        "configuration": CONFIG, "versions": {"jax": "0.10.2"}, "device": "CPU",
        "machine": "x86_64", "commit": "f203d92", "command": "python -m x",
    } | more  # fmt: skip


def differing(differences, at=OTHER, seed_effect=0.0):
    """Values that differ from the reference by so much at one point, seed by seed."""

    def value(settings, seed, budget):
        return 0.5 + seed_effect * seed + differences[seed] * (settings == at)

    return value


def a_cell(result, settings=OTHER, measure="men3000", budget="epochs"):
    cells = statistics.group(result, measure, budget)
    return next(cell for cell in cells if cell["settings"] == settings)


# Statistics


def test_interval_by_hand_and_by_scipy():
    """Of 1, 2, 3: s = 1, and 95 % of t with 2 degrees lie within ±4.3027."""
    low, high = statistics.t_interval([1.0, 2.0, 3.0])
    assert low + high == pytest.approx(4)
    assert (high - low) / 2 == pytest.approx(4.3027 / 3**0.5, rel=1.2e-5)
    values = [0.31, 0.33, 0.36, 0.29, 0.35]
    expected = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert statistics.t_interval(values) == pytest.approx(expected)
    assert statistics.t_interval([1.0]) is None


def test_holm_by_hand():
    """0.01 · 3, 0.02 · 2, and 0.03 · 1, which may not fall below the one before."""
    assert statistics.holm([0.02, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
    assert statistics.holm([0.9, 0.6]) == [1, 1] and statistics.holm([]) == []


def test_differences_are_taken_seed_by_seed():
    """Seeds spread both points by 0.1, which hides 0.01 unless pairs are formed."""
    gains = [0.010, 0.012, 0.011]
    result = a_result(differing(gains, seed_effect=0.1))
    result["models"].reverse()  # the order of models means nothing
    cell, reference = a_cell(result), a_cell(result, REFERENCE)
    low, high = cell["interval"]
    assert low < reference["mean"] < high and cell["verdict"] == "better"
    pair = [0.5 + 0.1 * s + gains[s] for s in range(3)], [0.5, 0.6, 0.7]
    assert stats.ttest_ind(*pair).pvalue > 0.8
    difference = cell["difference"]
    assert difference["p_value"] == pytest.approx(stats.ttest_rel(*pair).pvalue)
    assert difference["interval"] == pytest.approx(statistics.t_interval(gains))
    # Three comparisons, of which the two others have p = 1.
    assert difference["p_holm"] == pytest.approx(3 * difference["p_value"])
    assert statistics.survives(cell) == (3 * difference["p_value"] < 0.05)
    assert reference["verdict"] == "reference" and reference["difference"] is None


# Half of the interval is 0.04 · 4.3027 / √3 = 0.09937: on either side of it.
@pytest.mark.parametrize("mean, clear", [(0.0995, True), (0.0992, False)])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("better", [1, -1, 0])
def test_a_verdict_needs_an_interval_without_0(mean, clear, sign, better):
    differences = [sign * (mean + d) for d in (-0.04, 0, 0.04)]
    cell = a_cell(a_result(differing(differences), better=better))
    words = {1: "better", -1: "worse", 0: "different"}
    assert cell["verdict"] == (words[sign * better] if clear else "")


def test_missing_values_are_left_out():
    """The best of all is at one seed; a point of which one is missing is not it."""

    def value(settings, seed, budget):
        if settings == OTHER:
            return {0: None, 1: math.nan, 2: 9.0}[seed]
        return 0.5 + 0.01 * (seed + settings["negatives"])

    result = a_result(value)
    cell = a_cell(result)
    assert (cell["n"], cell["mean"], cell["interval"]) == (1, 9.0, None)
    assert cell["difference"]["n"] == 1 and cell["verdict"] == ""
    assert statistics.best(result, "men3000", "epochs")["settings"]["negatives"] == 5
    nothing = a_result(lambda *_: None)
    assert statistics.best(nothing, "men3000", "epochs") is None
    assert a_cell(nothing)["difference"] is None and a_cell(nothing)["mean"] is None
    json.dumps(statistics.cells(result) + statistics.cells(nothing), allow_nan=False)


def test_best_follows_the_direction_and_knows_its_equals():
    """0.2 is best; 0.19 may be as good, for it varies more; 0 is lowest, at OTHER."""
    values = {(2, -0.5): 0, (2, 0.75): 0.1, (5, -0.5): 0.2, (5, 0.75): 0.19}

    def value(settings, seed, budget):
        noise = 0.03 * (seed - 1) * (settings == REFERENCE)
        return values[tuple(settings.values())] + noise

    tops = [
        statistics.best(a_result(value, better=better), "men3000", "epochs")
        for better in (1, -1, 0)
    ]
    assert tops[0]["settings"] == {"negatives": 5, "noise_exponent": -0.5}
    assert tops[1]["settings"] == OTHER and tops[2] is None
    assert statistics.tied(a_result(value), "men3000", "epochs") == [REFERENCE]


@pytest.mark.parametrize("domain, chosen, others", [
    ("words", "mrr_uniform_calibrated men3000", "mrr_uniform recall10_unigram pmi_x"),
    ("items", "hit10_cosine mrr_score_tail", "hit10_cosine_head coverage10_score"),
    ("items", "hit10_score", ""),
])  # fmt: skip
def test_headlines_favour_no_exponent(domain, chosen, others):
    about = {name: {"better": 1} for name in f"{others} {chosen}".split()}
    about |= {"hubness": {"better": 0}}
    found = statistics.headlines({"domain": domain, "measures": about})
    assert found == chosen.split()


# What is written


def test_csv_has_a_row_for_each_model_and_measure(tmp_path):
    grid = GRID | {"dim": [10, 20]}

    def value(settings, seed, budget):
        return math.nan if (seed, settings["dim"]) == (0, 10) else 0.25

    result = a_result(value, grid, budgets=("epochs", "flops"))
    records.write_csv(result, tmp_path / "ablation.csv")
    text = (tmp_path / "ablation.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    head = "budget negatives noise_exponent dim seed epochs flops measure value".split()
    assert list(rows[0]) == head and len(rows) == 2 * 8 * 3
    assert len({tuple(row[name] for name in head[:5]) for row in rows}) == len(rows)
    shown = {(row["seed"], row["dim"]): row["value"] for row in rows}
    assert shown["0", "10"] == "" and shown["0", "20"] == "0.25"


def by_budget(settings, seed, budget):
    """More K is better by epochs, less by operations; α < 0 is worse.

    At K = 5 and α = 0.75: 0.502, 0.520, 0.541, so 0.521 ± 0.01951 · 4.3027 / √3.
    """
    gain = 0.01 * (settings["negatives"] - 5) * (1 if budget == "epochs" else -1)
    below = 0.05 * (settings["noise_exponent"] < 0)
    jitter = 0.001 * ((7 * seed + settings["negatives"]) % 3)
    return 0.5 + gain - below + jitter + 0.02 * seed


def both(**more):
    grid = {"negatives": [2, 5, 20], "noise_exponent": [-0.5, 0.0, 0.75]}
    return a_result(by_budget, grid, budgets=("epochs", "flops"), **more)


def test_the_answer_is_that_of_the_numbers():
    said = " ".join(summary.answers(both()))
    assert re.search("Equal epochs: K = 20, α = .* none; so are 2 others, by", said)
    assert (
        "α < 0, equal epochs: better than the reference in 1 of 3 comparisons" in said
    )
    assert "α < 0, equal operations: better than the reference in 0 of 3" in said
    assert (
        "α = 0, equal epochs: better than the reference in 1 of 3 comparisons" in said
    )
    assert "one by one, the 1 headline measures are best at K = 20 (1); α" in said
    assert "That is better than the reference in 1, and the reference itself" in said
    assert "best point moves in 1 of 1 headline measures; its K falls in 1" in said
    one = a_result(grid={"negatives": [5], "noise_exponent": [0.75]})
    assert summary.answers(one)[0].startswith("The grid has one point")
    assert "may be chance" in summary.answers(both(seeds=1))[-1]


@pytest.mark.parametrize("better", [1, -1])
def test_of_points_that_are_better_the_one_that_gains_most_is_named(better):
    gains = {(2, -0.5): 0.1, (2, 0.75): 0.3, (5, -0.5): 0.2, (5, 0.75): 0}

    def again():
        return a_result(
            lambda at, seed, _: 1 + better * gains[tuple(at.values())] + 0.01 * seed,
            better=better,
        )

    result = again()
    assert "Equal epochs: K = 2, α = 0.75 is better" in summary.answers(result)[0]
    assert "; so are 2 others, by less; no point" in summary.answers(result)[0]
    gains[2, -0.5] = -0.1
    assert "; so is 1 other, by less; no point" in summary.answers(again())[0]


def test_the_summary_fits_the_terminal():
    alphas = [a / 8 for a in range(-8, 9)]
    grid = {"negatives": [1, 20], "noise_exponent": alphas, "dim": [10, 200]}
    title = "A measure " * 12
    about = {"men3000": {"title": title, "meaning": "", "better": -1}}
    for scale, seeds in itertools.product((1e-3, 1.0, 1e4), (1, 3)):
        result = a_result(
            lambda at, seed, _, scale=scale: scale * (at["noise_exponent"] + seed),
            grid, seeds, ("epochs", "flops"), measures=about,
        )  # fmt: skip
        lines = summary.table(result).splitlines()
        assert max(map(len, lines)) <= 80 and "−0.875" in "".join(lines)
    lines = summary.table(both()).splitlines()
    row = next(line for line in lines if line.startswith("     5"))
    assert row.split()[1:] == [".471±.048▼*", ".521±.048", ".521±.048●"]


class Page(HTMLParser):
    """Tags that are open, what they load, and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)
        if tag != "a":
            self.loads += [x for name, x in attributes if name in ("src", "href")]
        attributes = dict(attributes)
        assert tag != "script" and (tag != "img" or attributes["alt"])
        assert tag != "th" or attributes["scope"] in ("row", "col")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_holds_all_and_loads_nothing(tmp_path):
    picture = tmp_path / "p.png"
    picture.write_bytes(b"a picture")
    nasty = '</title><a href="x">&\'{0}'
    result = both(text={"corpus": nasty}, command=f"python '{nasty}'")
    result["measures"]["men3000"] |= {"title": nasty, "meaning": nasty}
    page.write(result, {"men3000": [picture, picture]}, tmp_path / "report.html")
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    read = Page(source)
    assert read.open == [] and source.startswith("<!DOCTYPE html>\n<html lang=")
    assert read.loads == ["data:image/png;base64,YSBwaWN0dXJl"] * 2
    assert 'href="x"' not in source and "url(" not in source and "@import" not in source
    assert read.text.count(nasty) >= 5  # title, heading, text, command, measure
    text = read.text.replace("\N{NO-BREAK SPACE}", " ")
    for said in summary.answers(result):
        assert said in text
    assert "5 at K = 20" in text and "2009.12192" in source
    assert "16 centres draw 32 of them at any K" in text.replace("\n", " ")


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_a_map_marks_what_is_clear():
    figure = pictures.heat_map(both(), "men3000")
    shown = texts(figure)
    assert shown[6:12] == ["0.471▼*", "±0.048", "0.521", "±0.048", "0.521", "±0.048"]
    first, second, _ = figure.axes
    assert [axes.get_title("left") for axes in (first, second)] == [
        "equal epochs", "equal operations",
    ]  # fmt: skip
    assert len(first.patches) == 1 and first.patches[0].get_xy() == (1.52, 0.53)
    # Blue is better, and less is better here: at K = 20 the mean is higher.
    image = pictures.heat_map(both(better=-1), "men3000").axes[0].get_images()[0]
    red, _, blue, _ = image.cmap(image.norm(image.get_array()[2, 2]))
    assert red > blue


@pytest.mark.parametrize("grid, panels", [
    ({"negatives": [5], "noise_exponent": [0.75]}, ["K, negatives a pair"]),
    ({"negatives": [5], "noise_exponent": [0.75, 0.0]}, ["α, noise exponent"]),
    ({"negatives": [2, 5], "noise_exponent": [0.75]}, ["K, negatives a pair"]),
    ({"negatives": [5], "noise_exponent": [0.75], "dim": [9, 5]}, ["D, dimension"]),
    (GRID | {"optimizer": ["sgd", "adam"]}, ["α, noise exponent", "optimizer"]),
])  # fmt: skip
def test_every_grid_has_its_pictures(grid, panels):
    result = a_result(grid=grid)
    cells = 2 * len(grid["negatives"]) * len(grid["noise_exponent"])
    assert len(texts(pictures.heat_map(result, "men3000"))) == cells
    figure = pictures.curves(result, "men3000")
    assert [axes.get_xlabel() for axes in figure.axes] == panels
    lines = [line for line in figure.axes[0].get_lines() if line.get_marker() == "o"]
    two = len(grid["negatives"]) > 1 and len(grid["noise_exponent"]) > 1
    assert len(lines) == 1 + two
    assert all(np.all(np.diff(line.get_xdata()) > 0) for line in lines)


def test_pictures_are_files_without_values_too(tmp_path):
    result = a_result(lambda *_: None)
    drawn = pictures.draw(result, lambda name: tmp_path / name)
    names = ["heatmap_men3000.png", "curves_men3000.png"]
    assert drawn == {"men3000": [tmp_path / name for name in names]}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn["men3000"])
    page.write(result, drawn, tmp_path / "report.html")
    assert "no value" in summary.table(result)


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium to open the page")
def test_a_browser_shows_the_page(tmp_path):
    result = both()
    drawn = pictures.draw(result, lambda name: tmp_path / name)
    page.write(result, drawn, tmp_path / "report.html")
    options = "--headless --no-sandbox --disable-gpu --window-size=1000,1400".split()
    shot, address = tmp_path / "shot.png", (tmp_path / "report.html").as_uri()
    subprocess.run(
        [CHROMIUM, *options, f"--screenshot={shot}", address],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    with Image.open(shot) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(1400, 1000, 3)
    for part in np.split(pixels, 4):  # text all the way down, no error page, no blank
        assert len(np.unique(part.reshape(-1, 3), axis=0)) > 20
