"""The word map: every label can be read, or is named as one that cannot."""

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from threadpoolctl import threadpool_info, threadpool_limits

from experiments import drawing, plots
from sgns_jax.vectors import WordVectors

WORDS = ("кот", "dog", "中", "naïve", "中国", "λόγος")  # DejaVu Sans lacks 中 and 国


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a font with one glyph where the system has its fonts."""
    fonts = font_manager.fontManager
    monkeypatch.setattr(fonts, "ttflist", list(fonts.ttflist))
    found = [str(tmp_path / "no.ttf")]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: found)
    (tmp_path / "no.ttf").write_bytes(b"no font")

    def install(family, character):
        pen = TTGlyphPen(None)
        pen.moveTo((0, 0))
        pen.lineTo((500, 900))
        pen.lineTo((1000, 0))
        pen.closePath()
        font = FontBuilder(1000)
        names = [".notdef", "one"]
        font.setupGlyphOrder(names)
        font.setupCharacterMap({ord(character): "one"})
        font.setupGlyf({name: pen.glyph(dropImpliedOnCurves=False) for name in names})
        font.setupHorizontalMetrics({name: (1000, 0) for name in names})
        font.setupHorizontalHeader(ascent=900, descent=-100)
        font.setupNameTable({"familyName": family, "styleName": "Regular"})
        font.setupOS2(usWeightClass=400)
        font.setupPost()
        font.save(tmp_path / f"{family}.ttf")
        found.append(str(tmp_path / f"{family}.ttf"))

    return install


def draw(monkeypatch, path):
    """The map's figure, and the words without a name; a warning is an error here."""
    figures, save = [], plots.Figure.savefig

    def savefig(figure, *args, **kwargs):
        figures.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(plots.Figure, "savefig", savefig)
    matrix = np.random.default_rng(0).normal(size=(len(WORDS), 8)).astype(np.float32)
    return plots.word_map(WordVectors(WORDS, matrix), path), *figures


def test_a_word_that_no_font_can_show_is_a_point_and_named(
    install, monkeypatch, tmp_path, caplog
):
    font_manager.fontManager._findfont_cached.cache_clear()
    left_out, figure = draw(monkeypatch, tmp_path / "map.png")
    assert not caplog.records
    axes = figure.axes[0]
    assert left_out == ["中", "中国"]
    shown = [text.get_text() for text in axes.texts]
    assert shown == ["кот", "dog", "naïve", "λόγος"]
    assert len(axes.collections[0].get_offsets()) == len(WORDS)
    assert "2 have letters that no font has" in axes.get_title("left")


def test_a_font_installed_since_shows_what_it_has(install, monkeypatch, tmp_path):
    install("Zhong", "中")
    left_out, figure = draw(monkeypatch, tmp_path / "map.png")
    assert left_out == ["中国"]
    shown = {text.get_text(): text for text in figure.axes[0].texts}
    assert "中" in shown and shown["中"].get_fontfamily()[-1] == "Zhong"


def test_fonts_are_added_by_what_they_add(install):
    install("Zhong", "中")
    install("Guo", "国")
    families, missing = drawing.fonts_for(set("a中国\U000e1234"))
    assert set(families[1:]) == {"Zhong", "Guo"} and missing == {"\U000e1234"}
    assert len(families) == 3
    usual, missing = drawing.fonts_for(set("aжé"))
    assert families[:1] == usual and not missing


def test_the_map_is_drawn_on_one_thread(monkeypatch):
    threads = []

    def fit(self, unit):
        threads.extend(pool["num_threads"] for pool in threadpool_info())

    monkeypatch.setattr(plots.TSNE, "fit_transform", fit)
    with threadpool_limits(2):
        plots._tsne(np.eye(4, dtype=np.float32))
    assert set(threads) == {1}
