"""Encoding and its cache, against a few lines of plain Python."""

import io
import os
import resource
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgns_jax import corpus, corpus_cache, encoding, parts
from sgns_jax.config import Config
from sgns_jax.corpus import find_corpus, load_corpus
from sgns_jax.text import open_source
from sgns_jax.types import SENTENCE_END, InputError

LINES = "the cat sat\n\n  on the mat \r\nthe\tcat\nrare\nthe mat"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(LINES, newline="")
    return str(path)


def plain_corpus(content: str, min_count: int, sentence_length: int = 0):
    """Kept words as lists, by sentence, and how often each word occurs."""
    lines = [line.split() for line in content.split("\n")]
    counts = Counter(word for line in lines for word in line)
    sentences = []
    for line in lines:
        kept = [word for word in line if counts[word] >= min_count]
        step = sentence_length or len(kept) or 1
        sentences += [kept[at : at + step] for at in range(0, len(kept), step)]
    return sentences, counts


def sentences_of(loaded) -> list[list[str]]:
    found = [[]]
    for id in loaded.tokens.tolist():
        if id == SENTENCE_END:
            found.append([])
        else:
            found[-1].append(loaded.vocabulary.words[id])
    return found


def test_a_small_text(source, tmp_path):
    loaded = load_corpus(source, tmp_path / "cache", min_count=2)
    assert loaded.vocabulary.words == ("the", "cat", "mat")
    assert loaded.tokens.tolist() == [0, 1, -1, 0, 2, -1, 0, 1, -1, 0, 2]
    assert loaded.tokens.dtype == np.int32 and isinstance(loaded.tokens, np.memmap)
    assert (loaded.raw_words, loaded.kept_words, loaded.sentences) == (11, 8, 4)
    assert loaded.longest_sentence == 2
    assert (loaded.bytes_read, loaded.replaced_bytes) == (len(LINES) + 1, 0)
    assert load_corpus(source, tmp_path / "cache", min_count=1).longest_sentence == 3


PARTS = ["a ", "a ", "b ", "b ", "rare\u3000", "é\x00\t", "\n", "\n \n"]


@settings(deadline=None, max_examples=150)
@given(
    content=st.lists(st.sampled_from(PARTS), min_size=1, max_size=40).map("".join),
    min_count=st.integers(1, 4),
    sentence_length=st.integers(0, 4),
    piece_bytes=st.integers(1, 20),
    chunk_tokens=st.integers(1, 7),
)
def test_every_kept_word_is_written_once_in_order(
    tmp_path_factory, content, min_count, sentence_length, piece_bytes, chunk_tokens
):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "text").write_bytes(content.encode())
    want, counts = plain_corpus(content, min_count, sentence_length)

    def load():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(encoding, "_CHUNK_TOKENS", chunk_tokens)
            small_pieces = partial(open_source, piece_bytes=piece_bytes)
            patch.setattr(parts, "open_source", small_pieces)
            return load_corpus(
                str(folder / "text"),
                folder / "cache",
                min_count=min_count,
                sentence_length=sentence_length,
            )

    kept = {word: count for word, count in counts.items() if count >= min_count}
    if len(kept) < 2:
        with pytest.raises(InputError):
            load()
        return
    loaded = load()
    assert sentences_of(loaded) == want
    words, counted = loaded.vocabulary.words, loaded.vocabulary.counts.tolist()
    assert dict(zip(words, counted, strict=True)) == kept
    assert loaded.raw_words == counts.total()
    assert loaded.kept_words == sum(kept.values()) == np.sum(loaded.tokens >= 0)
    assert loaded.sentences == len(want)
    assert loaded.longest_sentence == max(map(len, want))


def test_settings_reach_the_tokenizer_and_the_vocabulary(source, tmp_path):
    options = {"tokenizer": "letters", "lowercase": True, "max_vocabulary": 2}
    (tmp_path / "text.txt").write_text("The cat, the CAT. 'the' dog! the cat")
    loaded = load_corpus(source, tmp_path / "cache", min_count=1, **options)
    assert loaded.vocabulary.words == ("the", "cat")
    assert loaded.kept_words == 7 and loaded.raw_words == 8


def test_a_config_says_how_its_text_is_encoded(source, tmp_path):
    config = Config(corpus=source, min_count=1, tokenizer="letters", lowercase=True)
    loaded = load_corpus(config, tmp_path / "cache")
    given = {name: getattr(config, name) for name in corpus.SETTINGS}
    again = load_corpus(source, tmp_path / "other", **given)
    assert loaded.fingerprint == again.fingerprint
    assert loaded.vocabulary.words == again.vocabulary.words
    assert find_corpus(config, tmp_path / "cache").fingerprint == again.fingerprint
    for load in load_corpus, find_corpus:
        with pytest.raises(InputError, match="min_count given beside a Config"):
            load(config, tmp_path / "cache", min_count=1)
        with pytest.raises(TypeError, match="dim: not among encoding, min_count,"):
            load(source, tmp_path / "cache", dim=3)
        with pytest.raises(InputError, match="tokenizer must be .* got 'words'"):
            load(source, tmp_path / "cache", tokenizer="words")


def test_the_encoding_is_part_of_what_was_encoded(source, tmp_path):
    content = "größe Öl größe Öl"
    (tmp_path / "text.txt").write_bytes(content.encode("latin-1"))
    cache = tmp_path / "cache"
    calls = []
    loaded = load_corpus(
        source, cache, min_count=1, encoding="latin-1",
        on_progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert loaded.vocabulary.words == ("größe", "Öl") and loaded.replaced_bytes == 0
    assert loaded.bytes_read == len(content.encode()) + 1
    assert calls[0] == (len("größe Öl größe ".encode()), None)
    assert find_corpus(source, cache, min_count=1) is None
    assert find_corpus(source, cache, min_count=1, encoding="L1")  # by another name
    wrong = load_corpus(source, cache, min_count=1)
    assert wrong.replaced_bytes == 6 and wrong.fingerprint != loaded.fingerprint


def test_no_text_is_refused_before_any_is_read(tmp_path, monkeypatch):
    (tmp_path / "hf/data").mkdir(parents=True)
    (tmp_path / "hf/README.md").write_text("a card a card")
    (tmp_path / "hf/data/train.parquet").write_bytes(b"PAR1\x15\x04")
    monkeypatch.delattr(parts, "open_source")
    with pytest.raises(InputError, match="hf/data/train.parquet is a Parquet file"):
        load_corpus(str(tmp_path / "hf"), tmp_path / "cache", min_count=1)


def test_a_text_of_another_encoding_is_refused(source, tmp_path):
    (tmp_path / "text.txt").write_bytes("中国 北京\n".encode("gb18030") * 100)
    with pytest.raises(InputError, match="text.txt is no utf-8 text.*its encoding"):
        load_corpus(source, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    loaded = load_corpus(source, tmp_path / "cache", encoding="gb18030")
    assert loaded.vocabulary.words == ("中国", "北京")


def test_lines_of_json_are_told(source, tmp_path):
    (tmp_path / "text.txt").write_text('{"text": "a b"}\n' * 9)
    said = []
    load_corpus(source, tmp_path / "cache", on_warning=said.append)
    assert [line[:21] for line in said] == [f"most lines of {source}"[:21]]


def test_a_file_goes_before_the_built_in_text_of_its_name(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here/text8").write_text("a b a b")
    monkeypatch.chdir(tmp_path / "here")
    said = []
    loaded = load_corpus("text8", "../c", min_count=1, on_warning=said.append)
    assert loaded.vocabulary.words == ("a", "b")
    (line,) = said
    assert line.startswith("'text8' is a file or folder here, and that is read;")
    load_corpus("./text8", "../c", min_count=1, on_warning=pytest.fail)


def test_encoded_once(source, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = load_corpus(source, cache, min_count=1)
    assert {file.name for file in cache.iterdir()} == {
        "tokens.int32",
        "vocabulary.tsv",
        "corpus.json",
    }
    with monkeypatch.context() as patch:
        patch.delattr(parts, "open_source")  # reading again would fail
        again = load_corpus(source, cache, min_count=1)
    np.testing.assert_array_equal(again.tokens, first.tokens)
    assert again.vocabulary.words == first.vocabulary.words
    assert again.fingerprint == first.fingerprint


def test_a_text_is_the_same_by_any_name_and_of_any_age(source, tmp_path):
    cache = tmp_path / "cache"
    first = load_corpus(source, cache, min_count=1).fingerprint
    os.utime(source, (1, 1))
    assert find_corpus(source, cache, min_count=1) is None  # read again, to be sure
    assert load_corpus(source, cache, min_count=1).fingerprint == first
    (tmp_path / "copy").write_bytes(Path(source).read_bytes())
    assert load_corpus(tmp_path / "copy", cache, min_count=1).fingerprint == first


def test_what_is_encoded_is_found_without_reading(source, tmp_path, monkeypatch):
    cache, settings = tmp_path / "cache", vars(Config()) | {"min_count": 1}
    settings = {name: settings[name] for name in corpus.SETTINGS}
    assert find_corpus(source, cache, **settings) is None
    want = load_corpus(source, cache, **settings)
    monkeypatch.delattr(parts, "open_source")  # reading would fail
    found = find_corpus(source, cache, **settings)
    assert found.tokens.tolist() == want.tokens.tolist()
    assert found.fingerprint == want.fingerprint and found.raw_words == want.raw_words
    for name, other in (("min_count", 2), ("tokenizer", "letters")):
        assert find_corpus(source, cache, **settings | {name: other}) is None
    tokens = cache / "tokens.int32"
    tokens.write_bytes(flip(tokens.read_bytes()))
    assert find_corpus(source, cache, **settings) is None


def cut(data: bytes) -> bytes:
    return data[:-4]


def flip(data: bytes) -> bytes:
    """One bit, that of a digit where there is one: JSON and numbers stay legal."""
    at = next((i for i, byte in enumerate(data) if chr(byte) in "246"), 0)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("damage", [cut, flip, None])
@pytest.mark.parametrize("name", ["corpus.json", "tokens.int32", "vocabulary.tsv"])
def test_a_damaged_cache_is_made_again(source, tmp_path, name, damage):
    want = load_corpus(source, tmp_path / "cache", min_count=1).tokens.tolist()
    file = tmp_path / "cache" / name
    whole = file.read_bytes()
    file.write_bytes(damage(whole)) if damage else file.unlink()
    said = []
    again = load_corpus(source, tmp_path / "cache", min_count=1, on_warning=said.append)
    assert file.read_bytes() == whole
    assert again.tokens.tolist() == want
    if name == "corpus.json" and not damage:
        assert said == []  # no cache, then
    else:
        (line,) = said
        assert name in line and line.endswith("; encoding the text again")
        assert "\n" not in line


def test_other_text_or_settings_are_encoded_anew(source, tmp_path):
    cache = tmp_path / "cache"
    fingerprints = [load_corpus(source, cache, min_count=2).fingerprint]
    for option in (
        {"min_count": 1},
        {"min_count": 2, "max_vocabulary": 2},
        {"min_count": 2, "sentence_length": 2},
        {"min_count": 2, "tokenizer": "letters"},
        {"min_count": 1, "tokenizer": "tabs"},
        {"min_count": 2, "lowercase": True},
        {"min_count": 2, "encoding": "latin-1"},
    ):
        fingerprints.append(load_corpus(source, cache, **option).fingerprint)
    assert load_corpus(source, cache, min_count=2).fingerprint == fingerprints[0]
    (tmp_path / "text.txt").write_text("another text text another")
    changed = load_corpus(source, cache, min_count=2)
    assert changed.vocabulary.words == ("another", "text")
    fingerprints.append(changed.fingerprint)
    assert len(set(fingerprints)) == len(fingerprints)


def test_a_failed_encoding_leaves_the_old_cache(source, tmp_path):
    cache = tmp_path / "cache"
    load_corpus(source, cache, min_count=2)
    before = {path.name: path.read_bytes() for path in cache.iterdir()}
    with pytest.raises(InputError):
        load_corpus(source, cache, min_count=99)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == before


class Killed(BaseException):
    pass


def test_killed_at_any_moment_leaves_the_old_cache_the_new_one_or_none(
    source, tmp_path, monkeypatch
):
    """What a process does to the folder's files are four steps: it ends before each."""
    cache = tmp_path / "cache"
    want = {n: load_corpus(source, cache, min_count=n).tokens.tolist() for n in (1, 2)}
    whole = []
    for steps in range(5):
        load_corpus(source, cache, min_count=1)
        left = iter(range(steps))

        def counted(change, left=left):
            def step(*args, **options):
                if next(left, None) is None:
                    raise Killed
                return change(*args, **options)

            return step

        with monkeypatch.context() as patch:
            for name in ("unlink", "replace"):
                patch.setattr(Path, name, counted(getattr(Path, name)))
            with suppress(Killed):
                load_corpus(source, cache, min_count=2)
        with monkeypatch.context() as patch:
            patch.setattr(parts, "open_source", Mock(side_effect=Killed))
            for min_count in (1, 2):
                with suppress(Killed):
                    loaded = load_corpus(
                        source, cache, min_count=min_count, on_warning=pytest.fail
                    )
                    assert loaded.tokens.tolist() == want[min_count]
                    whole.append((steps, min_count))
    assert whole == [(0, 1), (4, 2)]


def test_what_a_killed_process_left_is_removed(source, tmp_path):
    cache = tmp_path / "cache"
    for name in ("abandoned", "in-use"):
        (cache / f".encoding-{name}").mkdir(parents=True)
        (cache / f".encoding-{name}" / "raw.int32").write_bytes(b"1234")
    with corpus_cache._locked(cache / ".encoding-in-use"):
        load_corpus(source, cache, min_count=1)
    assert [path.name for path in cache.glob(".*")] == [".encoding-in-use"]


def test_a_full_disk_leaves_the_old_cache(source, tmp_path):
    """The system refuses to let any file grow beyond a limit."""
    cache = tmp_path / "cache"
    load_corpus(source, cache, min_count=2)
    old = {path.name: path.read_bytes() for path in cache.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 60, 120):  # raw.int32 needs 72 bytes, corpus.json more than 120
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        try:
            with pytest.raises(
                InputError, match="cannot write to .*cache: .*make room"
            ):
                load_corpus(source, cache, min_count=1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert {path.name: path.read_bytes() for path in cache.iterdir()} == old


@pytest.mark.parametrize("change", ["grows", "is touched", "vanishes", "gets a file"])
def test_a_text_that_changes_while_it_is_read(tmp_path, change):
    folder, cache = tmp_path / "text", tmp_path / "cache"
    folder.mkdir()
    for name in ("1", "2"):
        (folder / name).write_text("a b\n" * 9)
    load_corpus(str(folder), cache, min_count=2)
    old = {path.name: path.read_bytes() for path in cache.iterdir()}

    def disturb(done: int, total: int) -> None:
        if change == "grows":
            (folder / "1").open("a").close()
            os.truncate(folder / "1", 50)
        elif change == "is touched":
            os.utime(folder / "2", (1, 1))
        elif change == "vanishes":
            (folder / "2").unlink(missing_ok=True)
        else:
            (folder / "3").write_text("c")

    with pytest.raises(InputError, match="changed while it was read; run this again"):
        load_corpus(str(folder), cache, min_count=1, on_progress=disturb)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == old


def test_a_pipe_is_read(tmp_path):
    """Its time changes as it is read, unlike that of a file."""
    os.mkfifo(tmp_path / "pipe")
    for words in ("a b a b", "b c c"):
        writer = Thread(target=(tmp_path / "pipe").write_text, args=[words])
        writer.start()
        loaded = load_corpus(str(tmp_path / "pipe"), tmp_path / "cache", min_count=1)
        writer.join()
        assert set(loaded.vocabulary.words) == set(words.split())


def test_standard_input_is_read_once(tmp_path, monkeypatch):
    def pipe(content: bytes):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    pipe(b"a b a b")
    calls = []
    first = load_corpus(
        "-",
        tmp_path / "cache",
        min_count=1,
        on_progress=lambda done, total: calls.append((done, total)),
    )
    *_, read, written = calls
    assert read == (8, None) and written[0] == written[1]
    pipe(b"")
    again = load_corpus("-", tmp_path / "cache", min_count=1)
    assert again.tokens.tolist() == first.tokens.tolist() == [0, 1, 0, 1]
    (tmp_path / "cache" / "tokens.int32").write_bytes(b"")
    with pytest.raises(InputError, match="tokens.int32 is damaged.* standard input is"):
        load_corpus("-", tmp_path / "cache", min_count=1)
    pipe(b"b a b a")
    other = load_corpus("-", tmp_path / "other", min_count=1)
    assert other.fingerprint != first.fingerprint


def test_folders_end_sentences_at_file_ends(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "1").write_text("a b")
    (tmp_path / "text" / "2").write_text("b c\n")
    loaded = load_corpus(str(tmp_path / "text"), tmp_path / "cache", min_count=1)
    assert sentences_of(loaded) == [["a", "b"], ["b", "c"]]


def test_progress(source, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "_CHUNK_TOKENS", 10)
    calls = []
    load_corpus(
        source,
        tmp_path / "cache",
        min_count=1,
        on_progress=lambda done, total: calls.append((done, total)),
    )
    begun = next(i for i, (done, _) in enumerate(calls) if done == 40)
    read, written = calls[:begun], calls[begun:]
    assert read == sorted(read) and read[-1] == (len(LINES) + 1, len(LINES) + 1)
    (total,) = {total for _, total in written}
    assert [done for done, _ in written] == [40, 80, total]  # 4 bytes an id
    assert 80 < total < 120


def test_bad_bytes_are_counted(source, tmp_path):
    (tmp_path / "text.txt").write_bytes(b"caf\xe9 caf\xe8 au lait")
    loaded = load_corpus(source, tmp_path / "cache", min_count=1)
    assert loaded.vocabulary.words == ("caf\ufffd", "au", "lait")
    assert loaded.replaced_bytes == 2


READ = """
import re, sys
import experiments, pyarrow as pa  # with the system's allocator, as in a training
from sgns_jax.corpus import load_corpus

def anonymous():
    status = open("/proc/self/status").read()
    return int(re.search(r"RssAnon:\\s+(\\d+)", status)[1]) / 1e3

corpus = load_corpus(*sys.argv[1:], max_vocabulary=1000)
before = anonymous()
pa.default_memory_pool().release_unused()
print(before - anonymous())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_what_reading_took_is_given_back(tmp_path):
    """Megabytes of words, of which the vocabulary keeps next to none."""
    ranks = np.random.default_rng(0).integers(10**6, size=10**6)
    (tmp_path / "text").write_text(" ".join(map(str, ranks)))
    arguments = [str(tmp_path / "text"), str(tmp_path / "corpus")]
    run = subprocess.run(
        [sys.executable, "-c", READ, *arguments],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert float(run.stdout) < 10


def test_errors(source, tmp_path):
    with pytest.raises(InputError, match="names no file"):
        load_corpus(str(tmp_path / "missing"), tmp_path / "cache")
    with pytest.raises(InputError, match="cannot write to the cache folder"):
        load_corpus(source, source + "/cache")
    with pytest.raises(InputError, match="lies inside the corpus"):
        load_corpus(str(tmp_path), tmp_path / "cache")
    with pytest.raises(InputError, match="lower min_count"):
        load_corpus(source, tmp_path / "cache", min_count=5)
    (tmp_path / "text.txt").write_text(" \n \n")
    with pytest.raises(InputError, match="holds no words"):
        load_corpus(source, tmp_path / "cache")
