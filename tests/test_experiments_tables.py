"""The READMEs hold the numbers of the result files, and no others are kept."""

import json

import pytest

from experiments import tables


@pytest.mark.parametrize("page", tables.PAGES)
def test_readmes_are_up_to_date(page):
    text = (tables.ROOT / page).read_text(encoding="utf-8")
    assert tables.filled(text) == text, "run python -m experiments.tables"
    assert "<!-- from results: quality -->" in text


def test_a_changed_result_changes_the_page(tmp_path, monkeypatch):
    page = "<!-- from results: quality -->\nold\n<!-- end -->\nrest"
    results = tmp_path / "experiments" / "results"
    results.mkdir(parents=True)
    evaluation = [
        {"name": name, "rho": 0.5} for name in ("wordsim353", "men3000", "simlex999")
    ] + [{"name": "questions-words", "total": {"accuracy": 0.25}}]
    run = {
        "seed": 7,
        "words_per_second": 1.25e6,
        "peak_memory_bytes": 9e8,
        "evaluation": evaluation,
    }
    (results / "train_enwiki15_seed7.json").write_text(json.dumps(run))
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    filled = tables.filled(page)
    assert "| 7 | 1.25 M | 0.90 GB | 0.500 | 0.500 | 0.500 | 25.0 % |" in filled
    assert "old" not in filled and filled.endswith("<!-- end -->\nrest")


def test_recorded_results_say_where_they_come_from():
    for path in (tables.ROOT / "experiments" / "results").glob("*.json"):
        run = json.loads(path.read_text(encoding="utf-8"))
        assert {"command", "commit", "machine", "versions"} <= set(run), path
        assert run["commit"] and "dirty" not in run["commit"], path
