"""Reading and tokenizing, against a few lines of plain Python."""

import bz2
import gzip
import io
import lzma
import re
import sys
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgns_jax import text
from sgns_jax.text import open_source, text_bytes, tokenize
from sgns_jax.types import InputError

# Few characters, so that the awkward ones meet: white space of one, two and three
# bytes, NUL, apostrophes, marks, letters of one to four bytes, a lone U+FFFD.
ALPHABET = "abß'’İéΣ한𝔸7²_-.\x00\u0301\ufffd \t\r\x1c\x85\xa0\u2028\u3000\n"
TEXTS = st.text(ALPHABET, max_size=60)


def sentences(pieces, **options) -> list[list[str]]:
    """What ``tokenize`` makes of pieces, as lists of words, with empty lines."""
    found = [[]]
    for piece in pieces:
        tokens = tokenize(piece, **options)
        for id in tokens.ids:
            word = tokens.words[id]
            if word == text.LINE_END:
                found.append([])
            elif word:
                found[-1].append(word)
    return found


def plain_letters(line: str) -> list[str]:
    line = line.replace("’", "'")
    kinds = "".join("L" if unicodedata.category(c)[0] in "LMN" else c for c in line)
    return [line[slice(*m.span())] for m in re.finditer("L+('L+)*", kinds)]


def write(path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


@settings(deadline=None, max_examples=150)
@given(TEXTS)
def test_whitespace_is_str_split(content):
    want = [line.split() for line in content.split("\n")]
    assert sentences([content.encode()]) == want


@settings(deadline=None, max_examples=150)
@given(TEXTS)
def test_letters_are_runs_of_letters_marks_digits_and_inner_apostrophes(content):
    want = [plain_letters(line) for line in content.split("\n")]
    assert sentences([content.encode()], tokenizer="letters") == want


@settings(deadline=None, max_examples=50)
@given(TEXTS)
def test_lowercase_is_str_lower_of_each_word(content):
    want = [[word.lower() for word in line.split()] for line in content.split("\n")]
    assert sentences([content.encode()], lowercase=True) == want


def test_letters_keep_words_of_every_script_whole():
    line = "‘Don’t’ — naïve, été(2)… 한국어: नमस्ते! rock'n'roll ''x'' a''b"
    want = [
        "Don't",
        "naïve",
        "été",
        "2",
        "한국어",
        "नमस्ते",
        "rock'n'roll",
        "x",
        "a",
        "b",
    ]
    assert sentences([line.encode()], tokenizer="letters") == [want]


@settings(deadline=None, max_examples=150)
@given(st.data(), st.integers(1, 12))
def test_pieces_change_nothing(tmp_path_factory, data, piece_bytes):
    """Whatever the bytes, small pieces give what the whole file gives."""
    good = TEXTS.map(str.encode)
    bad = st.binary(max_size=4)
    content = b"".join(data.draw(st.lists(good | bad, max_size=8)))
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content = b"a" + content
    path = tmp_path_factory.mktemp("text") / "file"
    pieces = list(open_source(write(path, content), piece_bytes))
    content = content.removeprefix(b"\xef\xbb\xbf") + b"\n"
    assert b"".join(pieces) == content
    whole = content.decode("utf-8", "replace")
    assert sentences(pieces) == [line.split() for line in whole.split("\n")]
    replaced = whole.count("\ufffd") - content.count("\ufffd".encode())
    assert sum(tokenize(piece).replaced_bytes for piece in pieces) == replaced


def test_memory_behind_the_text_does_not_matter():
    """White space at the end of a piece ends a word, whatever Arrow finds behind it."""
    for length in range(1, 1000):
        used = pa.allocate_buffer(64 * (1 + length % 8))
        np.frombuffer(used, np.uint8)[:] = 0xFF  # no UTF-8, for the next one to find
        del used
        assert sentences([b"w" * length + b" "]) == [["w" * length]]


def test_bad_bytes_are_replaced_and_counted():
    tokens = tokenize("ok \ufffd ".encode() + b"\xff\xfe caf\xe9")
    assert tokens.words == ["\n", "ok", "\ufffd", "\ufffd\ufffd", "caf\ufffd"]
    assert tokens.replaced_bytes == 3
    assert tokens.bytes_read == 14


def test_long_tokens_and_lines_stay_whole(tmp_path):
    token = "ü" * 100_000
    source = write(tmp_path / "long", f"{token} {token} x".encode())
    pieces = list(open_source(source, piece_bytes=1000))
    assert sentences(pieces) == [[token, token, "x"], []]


def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path):
    source = write(tmp_path / "bom", "word\ufeff".encode("utf-8-sig"))
    assert sentences(open_source(source)) == [["word\ufeff"], []]


def write_zstd(path, data: bytes) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as stream:
        stream.write(data)


PACKERS = {
    ".gz": lambda path, data: path.write_bytes(gzip.compress(data)),
    ".bz2": lambda path, data: path.write_bytes(bz2.compress(data)),
    ".xz": lambda path, data: path.write_bytes(lzma.compress(data)),
    ".zst": write_zstd,
}


@pytest.mark.parametrize("ending", PACKERS)
def test_packed_files(tmp_path, ending):
    content = b"a packed text\n" * 1000
    path = tmp_path / f"text{ending}"
    PACKERS[ending](path, content)
    path.write_bytes(path.read_bytes() * 2)  # two streams in a file are legal
    assert b"".join(open_source(str(path), 1 << 10)) == content * 2 + b"\n"
    assert text_bytes([path]) is None


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("damage", ["cut off", "not packed"])
def test_damaged_packed_files(tmp_path, ending, damage):
    path = tmp_path / f"text{ending}"
    PACKERS[ending](path, bytes(range(256)) * 1000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if damage == "cut off" else b"text " * 99)
    with pytest.raises(InputError, match="cannot read .*undamaged"):
        list(open_source(str(path)))


def test_standard_input(monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(b"from a\npipe"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert list(open_source("-", piece_bytes=1 << 10)) == [b"from a\n", b"pipe\n"]


def test_errors(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="is UTF-16; convert it to UTF-8"):
        list(open_source(write(tmp_path / "utf16", "text".encode("utf-16"))))
    monkeypatch.setattr(text, "MAX_TOKEN_BYTES", 100)
    source = write(tmp_path / "binary", b"\x00" * 101)
    with pytest.raises(InputError, match="no white space for 100 bytes"):
        list(open_source(source, piece_bytes=10))
    with pytest.raises(InputError, match="unknown tokenizer 'words'"):
        tokenize(b"text", "words")
