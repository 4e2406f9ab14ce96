"""Evaluation files as public collections have them; what is passed over; refusals."""

import pytest

from sgns_jax.evaluation_files import Pairs, read_folder, read_pairs
from sgns_jax.types import InputError

PAIRS = [("tiger", "cat"), ("ice", "snow")]

# The form, by the collection that has it: a name, and its lines.
FORMS = {
    "EN-MC-30.txt": "tiger\tcat\t7.35\nice\tsnow\t8\n",
    "wordsim353.csv": "Word 1,Word 2,Human (mean)\ntiger,cat,7.35\nice,snow,8\n",
    "quoted.csv": '"word1","word2","score"\n"tiger","cat","7.35"\n"ice","snow","8"\n',
    "combined.tsv": "Word 1\tWord 2\tHuman (mean)\r\ntiger\tcat\t7.35\r\nice\tsnow\t8",
    "EN-RG-65.csv": "tiger;cat;7.35\nice;snow;8\n",
    "MEN.txt": "tiger cat 7.35\nice snow 8\n",
    "spaces.txt": "tiger  cat\t 7.35\n ice snow 8 \n",
    "rw.txt": "\ufefftiger\tcat\t7.35\t7\t8\t10\n\n# a comment\nice\tsnow\t8\t9\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_reads_word_pairs_in_any_form(name, tmp_path):
    (tmp_path / name).write_text(FORMS[name], encoding="utf-8", newline="")
    found, remarks = read_folder(tmp_path)
    assert found == [read_pairs(tmp_path / name)]
    assert found[0][:3] == (name[:-4], PAIRS, [7.35, 8.0])
    assert (found[0].header is None) == (not remarks)
    assert bool(remarks) == FORMS[name].lstrip('"').lower().startswith("word")


def test_words_may_hold_what_separates_no_columns(tmp_path):
    path = tmp_path / "p.tsv"
    path.write_text("ice cream\twhat; a, day\t1\nApollo\t11\t2\nindex\tn/a\t3\n")
    words = [("ice cream", "what; a, day"), ("Apollo", "11"), ("index", "n/a")]
    assert read_pairs(path).words == words


@pytest.mark.parametrize(
    "text, number, between",
    [
        ("a\tb\n", 1, "tabs, semicolons, commas or spaces"),
        ("a\tb\t6,77\nc\td\t1\n", 1, "tabs"),  # a slip is no header
        ("a\tb\tnan\nc\td\t1\n", 1, "tabs"),
        ("a b 1\nc d\n", 2, "spaces"),
        ("one,two,score\na,b,1\nc,d,x\n", 3, "commas"),
        ("a;b;1\n;d;2\n", 2, "semicolons"),
    ],
)
def test_names_a_malformed_line(text, number, between, tmp_path):
    (tmp_path / "p.tsv").write_text(text)
    needs = f"line {number}: needs a word, a word and a number, {between} between, got"
    with pytest.raises(InputError, match=needs):
        read_folder(tmp_path)


def test_says_what_is_passed_over_and_taken_for_a_header(tmp_path):
    files = {
        "a.csv": "one,two,score\na,b,1\n",
        "b.txt": "// Google's\n: family\na b c d\n",
        "glove.txt": "the 0.1 0.2\nof 0.3 0.4\n",  # no word pairs: word vectors
        "notes.md": "a b 1\n",
        "prose.txt": "Read this first.\n",
        ".hidden.txt": "a b 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "sub").mkdir()
    found, remarks = read_folder(tmp_path)
    assert [one.name for one in found] == ["a", "b"]
    assert found[1].sections == ["family"] and found[1].words == [tuple("abcd")]
    assert remarks[0] == "a.csv: 'one,two,score' is taken for a header"
    passed = [
        remark.split(" is passed over: needs lines of word")[0] for remark in remarks
    ]
    assert passed[1:] == ["glove.txt", "notes.md", "prose.txt", "sub"]


def test_two_files_of_one_name_would_hide_each_other(tmp_path):
    for ending in ("csv", "tsv"):
        (tmp_path / f"p.{ending}").write_text("a,b,1\n")
    with pytest.raises(InputError, match=r"two files are named p, .* remove p.tsv"):
        read_folder(tmp_path)


def test_a_text_that_is_no_utf_8_is_named(tmp_path):
    (tmp_path / "p.txt").write_bytes(b"caf\xe9 bar 1\n")
    with pytest.raises(InputError, match="p.txt: is not UTF-8 text; convert it"):
        read_folder(tmp_path)


def test_no_header_is_made_of_a_pair(tmp_path):
    (tmp_path / "p.tsv").write_text("# one two score\na\tb\t1\n")
    assert read_pairs(tmp_path / "p.tsv") == Pairs("p", [("a", "b")], [1.0], None)
