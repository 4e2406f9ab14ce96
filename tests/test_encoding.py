"""Nothing is lost: any bytes, and more distinct words than memory should hold."""

from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sgns_jax import encoding, parts
from sgns_jax.corpus import load_corpus
from sgns_jax.text import open_source, tokenize
from sgns_jax.types import SENTENCE_END, InputError
from sgns_jax.vectors import WordVectors

SAMPLES = {
    "empty": b"",
    "NUL bytes": b"a\x00b \x00 a\x00b\x00\n\x00",
    "overlong": b"a\xc0\xafb \xe0\x80\xaf \xf0\x80\x80\xaf",
    "surrogate": b"\xed\xa0\x80 a\xed\xb0\x80b \xed\xa0\xbd\xed\xb8\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80 \xf8\x88\x80\x80\x80 \xfe \xff",
    "truncated": b"\xe2\x82 \xf0\x9f\x98 a\xc3\n\xe2\x82\n\xf0\x9f",
    "stray continuation": b"\x80 a\xbfb \x80\xbf\n\xbf",
    "a good U+FFFD beside bad bytes": b"\xef\xbf\xbd \xff\xef\xbf\xbd \xef\xbf",
    "CRLF": b"one two\r\nthree\r\n\r\nfour",
    "lone CR": b"one two\rthree\r\rfour",
    "byte-order mark inside": b"one \xef\xbb\xbftwo\n\xef\xbb\xbfthree",
    "no line end": b"one two",
    "only line ends": b"\n\n\r\n\n",
    "long token": b"x" * 100_000 + b" y " + b"\xed\x95\x9c" * 33_334,
    "no spaces": "가나다라마바사".encode() * 50,
    "emoji": "😀👩‍👩‍👧🏳️‍🌈 😀\n🇰🇷🇰🇷".encode(),
    "every second line empty": b"a b\n\nc\n\nd e f\n\n",
    "wide separators": "a\u2028b\u0085c\u00a0d\u3000e\u2029f\u1680g\x1ch".encode(),
    "no separators": "a\u200bb c\u2060d \ufeff e\u180ef \u00ad".encode(),
    "combining marks": "e\u0301 \u0301 \u0301\u0301\n\u0928\u092e\u0938\u094d".encode(),
    "right to left": "שלום עולם\u200f مرحبا\u202e abc\u202c".encode(),
}


def load(folder, content: bytes, piece_bytes: int = 1 << 20, **options):
    (folder / "text").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        small_pieces = partial(open_source, piece_bytes=piece_bytes)
        patch.setattr(parts, "open_source", small_pieces)
        return load_corpus(str(folder / "text"), folder / "cache", **options)


def plain_words(content: bytes) -> list[list[str]]:
    """The sentences that hold words."""
    lines = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").split("\n")
    return [words for line in lines if (words := line.split())]


@pytest.mark.parametrize("piece_bytes", [1, 7])
@pytest.mark.parametrize("sample", SAMPLES)
def test_any_bytes_are_read_whole_and_their_words_are_exported(
    tmp_path, sample, piece_bytes
):
    if len(SAMPLES[sample]) > 10_000:
        piece_bytes *= 1000
    content = b"\xef\xbb\xbfkr \xeb kr\n" + SAMPLES[sample] + b" word"
    loaded = load(tmp_path, content, piece_bytes, min_count=1)
    words = loaded.vocabulary.words
    sentences = [[]]
    for id in loaded.tokens.tolist():
        if id == SENTENCE_END:
            sentences.append([])
        else:
            sentences[-1].append(words[id])
    assert sentences == plain_words(content)

    # What was read is the file, without the byte-order mark and with a line end.
    assert loaded.bytes_read == len(content) - 3 + 1
    text = content[3:].decode("utf-8", "replace")
    in_words = sum(len(word.encode()) for words in sentences for word in words)
    in_spaces = sum(len(c.encode()) for c in text if c.isspace())
    grown = len(text.encode()) - len(content[3:])  # by U+FFFD for one to three bytes
    assert in_words + in_spaces - grown + 1 == loaded.bytes_read
    good = content.count("\ufffd".encode())
    assert loaded.replaced_bytes == text.count("\ufffd") - good

    matrix = np.arange(len(words), dtype=np.float32)[:, None]
    for ending in (".txt", ".bin", ".npz"):
        path = tmp_path / ("vectors" + ending)
        WordVectors(words, matrix).save(path)
        assert WordVectors.load(path).words == words


@settings(deadline=None, max_examples=30)
@given(
    ids=st.lists(st.integers(0, 6), min_size=8, max_size=60),
    max_words=st.integers(3, 6),
    min_count=st.integers(1, 3),
    max_vocabulary=st.integers(0, 4),
    piece_bytes=st.integers(1, 12),
)
@example([1, 2, 3, 0, 2, 1, 3, 4] * 3, 3, 2, 3, 1)  # no generation sees a word twice
def test_generations_change_nothing(
    tmp_path_factory, ids, max_words, min_count, max_vocabulary, piece_bytes
):
    """However few words memory may hold, what is encoded is the same."""
    folder = tmp_path_factory.mktemp("corpus")
    content = "".join("\n" if not id else f"{id:x}é " for id in ids).encode()
    options = {"min_count": min_count, "max_vocabulary": max_vocabulary}
    words = [id for id in ids if id]
    found, counts = np.unique(words, return_counts=True) if words else ((), ())
    frequent = sorted((count for count in counts if count >= min_count), reverse=True)
    kept = frequent[: max_vocabulary or None]
    if len(kept) < 2:
        with pytest.raises(InputError):
            load(folder, content, **options)
        return
    want = load(folder, content, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "MAX_WORDS", max_words)
        patch.setattr(encoding, "_PARTS", 3)
        patch.setattr(encoding, "_CHUNK_TOKENS", 4)
        (folder / "cache" / "corpus.json").unlink()
        loaded = load(folder, content, piece_bytes, **options)
    assert loaded.vocabulary.words == want.vocabulary.words
    assert loaded.vocabulary.counts.tolist() == kept
    np.testing.assert_array_equal(loaded.tokens, want.tokens)
    for name in (
        "sentences", "longest_sentence", "bytes_read", "replaced_bytes", "fingerprint",
    ):  # fmt: skip
        assert getattr(loaded, name) == getattr(want, name)
    # Every word read is kept or dropped, and counted once.
    assert loaded.raw_words == len(words)
    assert loaded.kept_words == sum(kept) == np.sum(loaded.tokens >= 0)
    assert loaded.dropped_by_min_count == len(words) - sum(frequent)
    assert loaded.dropped_by_max_vocabulary == sum(frequent) - sum(kept)


def test_words_go_to_disk_when_they_are_many_or_long(tmp_path, monkeypatch):
    def generations(*pieces: bytes) -> list[int]:
        """The number of words in each."""
        raw = encoding.write_raw_ids(pieces, tokenize, tmp_path, lambda done: None)
        return [generation.words for generation in raw.generations]

    assert generations(b"a b a ", b"c b ", b"d ") == [6]
    assert not list(tmp_path.glob("*.arrow"))
    monkeypatch.setattr(encoding, "MAX_WORDS", 4)  # a sentence end, nothing, two more
    assert generations(b"a b a ", b"c b ", b"d ") == [5, 1]
    assert generations(b"a b a ", b"b b ", b"a ") == [6]
    assert generations(b"a" * 5 * encoding._MEAN_LETTERS, b" b", b" c") == [1, 2]
    assert list(tmp_path.glob("*.arrow"))
