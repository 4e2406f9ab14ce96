"""A team encodes a text to the bytes that one process makes of it."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgns_jax import encoding, parts
from sgns_jax.builtin_corpora import BUILT_IN
from sgns_jax.corpus import load_corpus
from sgns_jax.types import InputError

CACHE = "tokens.int32", "vocabulary.tsv"


def as_team(count, work):
    """What ``work(team)`` returns at each of so many threads, which wait and tell."""
    barrier, said = Barrier(count, timeout=60), []

    def wait(name):
        barrier.wait()

    def first_says(index, number):
        if index == 0:
            said.append(number)
        barrier.wait()
        answer = said[-1]
        barrier.wait()
        return answer

    def member(index):
        try:
            return work(parts.Team(index, count, wait, partial(first_says, index)))
        except BaseException:
            barrier.abort()  # processes would be told that this one is gone
            raise

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(member, range(count)))


def write(folder, contents):
    folder.mkdir()
    for i, content in enumerate(contents):
        (folder / f"{i:02}").write_bytes(content)
    return str(folder)


WORDS = "a ", "b ", "é ", "rare ", "\n", "\n\n", "\t"


@settings(deadline=None, max_examples=40)
@given(
    contents=st.lists(
        st.lists(st.sampled_from(WORDS), max_size=12).map(lambda x: "".join(x)),
        min_size=1,
        max_size=6,
    ),
    large=st.integers(0, 30),  # sizes are uneven
    count=st.integers(2, 4),
    min_count=st.integers(1, 3),
    sentence_length=st.integers(0, 3),
    max_words=st.sampled_from([4, 1 << 20]),
)
def test_any_team_writes_the_bytes_of_one_process(
    tmp_path_factory, contents, large, count, min_count, sentence_length, max_words
):
    folder = tmp_path_factory.mktemp("team")
    contents = [content.encode() for content in contents]
    contents[0] = b"a b " + contents[0] * large + b"\xff a\na b b a"
    text = write(folder / "text", contents)
    options = {"min_count": min_count, "sentence_length": sentence_length}
    want = load_corpus(text, folder / "alone", **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "MAX_WORDS", max_words)
        found = as_team(
            count, lambda team: load_corpus(text, folder / "team", **options, team=team)
        )
    for name in CACHE:
        together, alone = (folder / of / name for of in ("team", "alone"))
        assert together.read_bytes() == alone.read_bytes()
    assert {path.name for path in (folder / "team").iterdir()} == {
        path.name for path in (folder / "alone").iterdir()
    }
    for corpus in found:
        np.testing.assert_array_equal(corpus.tokens, want.tokens)
        assert corpus.vocabulary.words == want.vocabulary.words
        for name in (
            "raw_words", "kept_words", "dropped_by_min_count", "sentences",
            "longest_sentence", "bytes_read", "replaced_bytes", "fingerprint",
        ):  # fmt: skip
            assert getattr(corpus, name) == getattr(want, name)


def test_files_are_shared_by_their_bytes(tmp_path):
    sizes = [5, 1, 1, 1, 0, 8, 4, 12, 0]
    write(tmp_path / "text", [b"x" * size for size in sizes])
    files = sorted((tmp_path / "text").iterdir())
    for count in (1, 2, 3, 20):
        shares = [parts.share(files, parts.Team(i, count)) for i in range(count)]
        assert [file for share in shares for file in share] == files
        most = max(sum(file.stat().st_size for file in share) for share in shares)
        assert most <= sum(sizes) / count + max(sizes)
    assert [len(parts.share(files, parts.Team(i, 2))) for i in range(2)] == [6, 3]
    assert parts.share(files[4:5], parts.Team(0, 1)) == files[4:5]  # no bytes at all


def test_the_first_makes_a_built_in_text(tmp_path, monkeypatch):
    text, made = tmp_path / "text", []

    def make(on_progress):
        if not text.exists():
            made.append(on_progress)
            time.sleep(0.1)
            text.write_bytes(b"a b a b")
        return text

    monkeypatch.setitem(BUILT_IN, "made", make)
    as_team(3, lambda team: load_corpus("made", tmp_path / "c", min_count=1, team=team))
    assert len(made) == 1


def test_devices_wait_for_nobody_who_reads(tmp_path):
    """They give up after half a minute; a barrier comes before what they are asked."""
    events = []

    def first_says(number):
        events.append("said")
        return number

    text = write(tmp_path / "text", [b"a b a b"])
    team = parts.Team(0, 1, events.append, first_says)
    load_corpus(text, tmp_path / "cache", min_count=1, team=team)
    assert events[:2] == ["looked up", "said"]


def test_what_a_team_encoded_is_opened_by_any(tmp_path, monkeypatch):
    text = write(tmp_path / "text", [b"a b a b", b"b a"])

    def load(team):
        return load_corpus(text, tmp_path / "cache", min_count=1, team=team)

    want, _ = as_team(2, load)
    monkeypatch.delattr(parts, "open_source")  # reading again would fail
    for again in as_team(3, load):
        np.testing.assert_array_equal(again.tokens, want.tokens)


def test_a_text_without_words_is_refused_and_leaves_nothing(tmp_path):
    text = write(tmp_path / "text", [b"\n", b" ", b""])
    with pytest.raises(InputError, match="holds no words"):
        as_team(2, lambda team: load_corpus(text, tmp_path / "cache", team=team))
    assert list((tmp_path / "cache").iterdir()) == []
