"""The READMEs hold the numbers of the result files, and no others are kept."""

import json
from types import SimpleNamespace

import pytest

from experiments import passages, tables
from experiments.sources import sources


@pytest.mark.parametrize("page", tables.PAGES)
def test_readmes_are_up_to_date(page):
    text = (tables.ROOT / page).read_text(encoding="utf-8")
    assert tables.filled(text) == text, (
        "run python -m experiments.tables: a passage, its result or the code that the "
        "result rests on has changed"
    )
    assert "<!-- from results: quality -->" in text


@pytest.fixture
def record(tmp_path, monkeypatch):
    """``record(name, seed, score, **settings)`` writes the result of a run."""
    results = tmp_path / "experiments" / "results"
    results.mkdir(parents=True)
    (tmp_path / "experiments" / "train.py").write_text("rate = 0.1\n")
    monkeypatch.setattr(tables, "ROOT", tmp_path)

    def write(name, seed, score, **settings):
        evaluation = [
            {"name": name, "rho": score}
            for name in ("wordsim353", "men3000", "simlex999")
        ] + [{"name": "questions-words", "total": {"accuracy": score / 2}}]
        run = {
            "command": f"python -m experiments.train --seed={seed}",
            "commit": f"{seed}0123456789",
            "sources": sources("train", tmp_path),
            "seed": seed,
            "words_per_second": 1.25e6,
            "peak_memory_bytes": 9e8,
            "configuration": {"seed": seed, **settings},
            "evaluation": evaluation,
        }
        (results / f"train_enwiki15_{name}.json").write_text(json.dumps(run))

    return write


def test_a_changed_result_changes_the_page(record):
    page = "<!-- from results: quality -->\nold\n<!-- end -->\nrest"
    record("seed7", 7, 0.5)
    filled = tables.filled(page)
    assert "| 7 | 1.25 M | 0.90 GB | 0.500 | 0.500 | 0.500 | 25.0 % |" in filled
    assert "old" not in filled and filled.endswith("<!-- end -->\nrest")


def test_variants_are_means_over_seeds(record):
    for seed, score in enumerate((0.5, 0.6)):
        record(f"seed{seed}", seed, score, rate=0.1, kind="a")
        record(f"with_x_seed{seed}", seed, score / 2, rate=0.25, kind="b")
    _, *patterns = passages.PASSAGES["variants"]
    rows = passages.variants(*map(tables.results, patterns)).splitlines()[2:]
    like = "{0} ± {1} | {0} ± {1} | {0} ± {1} | {2} ± {3} % |"
    assert rows == [
        "| nothing | " + like.format("0.550", "0.071", "27.5", "3.5"),
        "| rate=0.25, kind=b | " + like.format("0.275", "0.035", "13.8", "1.8"),
    ]


def test_the_mutants_table_tells_caught_missed_and_crashed_apart():
    clearest = {"error": 0.5, "bound": 1e-14, "quantity": "pair keep"}
    caught = {"outcome": "caught", "caught_by": ["pair keep"], "clearest": clearest}
    missed = {"outcome": "missed", "caught_by": [], "clearest": None}
    crashed = missed | {"outcome": "crashed", "crashes": ["pair: KeyError: 'x'"]}
    found = [
        {"mutant": name, "about": "why"} | one
        for name, one in {"a": caught, "b": missed, "c": crashed}.items()
    ]
    assert passages.mutants([{"mutants": found}]).splitlines()[2:] == [
        "| a | why | caught | pair | 5.0e-01, 1e-14 (pair) |",
        "| b | why | missed |  |  |",
        "| c | why | crashed |  |  |",
        "",
        "1 of 3 mutants caught, 1 missed, 1 crashed.",
    ]


def test_the_page_and_the_check_say_when_code_has_changed(record, tmp_path, capsys):
    page = "<!-- from results: quality -->\n<!-- end -->"
    check = SimpleNamespace(check=True)
    record("seed1", 1, 0.5)
    assert "\n\nRecorded at 1012345.\n<!-- end -->" in tables.filled(page)
    assert not tables.main(check)
    (tmp_path / "experiments" / "train.py").write_text("rate = 0.2\n")
    record("seed2", 2, 0.5)  # by the new code: the other is old all the same
    line = "\n\nRecorded at 1012345, 2012345; code changed since.\n<!-- end -->"
    assert line in tables.filled(page)
    capsys.readouterr()
    assert tables.main(check) == 1
    assert capsys.readouterr().out == (
        "train_enwiki15_seed1.json: python -m experiments.train --seed=1 (changed: "
        "experiments/train.py)\n"
    )


def test_recorded_results_say_where_they_come_from():
    for path in (tables.ROOT / "experiments" / "results").glob("*.json"):
        run = json.loads(path.read_text(encoding="utf-8"))
        assert {"command", "commit", "sources", "machine", "versions"} <= set(run), path
        assert run["commit"] and "dirty" not in run["commit"], path
