"""Reading and tokenizing, against a few lines of plain Python."""

import gzip
import io
import os
import re
import sys
import unicodedata
from encodings.aliases import aliases
from threading import Thread

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sgns_jax import text
from sgns_jax.config import Config
from sgns_jax.formats import format_of
from sgns_jax.text import check_files, expansion, is_plain, open_source, tokenize
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


@settings(deadline=None, max_examples=150)
@given(TEXTS)
def test_tabs_are_between_words_that_may_hold_spaces(content):
    want = [
        [word for part in line.split("\t") if (word := "_".join(part.split()))]
        for line in content.split("\n")
    ]
    assert sentences([content.encode()], tokenizer="tabs") == want


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
    if content.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        content = b"a" + content
    assume(format_of(content) is None)
    path = tmp_path_factory.mktemp("text") / "file"
    pieces = list(open_source(write(path, content), piece_bytes))
    content = content.removeprefix(b"\xef\xbb\xbf") + b"\n"
    assert b"".join(pieces) == content
    whole = content.decode("utf-8", "replace")
    assert sentences(pieces) == [line.split() for line in whole.split("\n")]
    replaced = whole.count("\ufffd") - content.count("\ufffd".encode())
    tokens = [tokenize(piece) for piece in pieces]
    assert sum(piece.replaced_bytes for piece in tokens) == replaced
    assert sum(piece.characters for piece in tokens) == len(whole)
    assert sum(piece.nuls for piece in tokens) == whole.count("\0")


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


def test_standard_input(monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(b"from a\npipe"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert list(open_source("-", piece_bytes=1 << 10)) == [b"from a\n", b"pipe\n"]
    monkeypatch.setattr(sys, "stdin", None)  # as Python has it where it is closed
    with pytest.raises(InputError, match="standard input is closed"):
        next(open_source("-"))


def test_pieces_for_tabs_are_cut_between_names(tmp_path):
    names = [["a b", "c  d"], ["e\u3000f", "g"]] * 20
    content = "\r\n".join(map("\t".join, names))
    source = write(tmp_path / "names", content.encode())
    for piece_bytes in (1, 7, 50):
        pieces = open_source(source, piece_bytes, tokenizer="tabs")
        found = sentences(pieces, tokenizer="tabs")
        assert found == [["a_b", "c_d"], ["e_f", "g"]] * 20 + [[]]


# Text codecs of Python that hold these characters and no mark.
CODECS = {
    "gb18030": "中国\U0001f600é",
    "shift_jis": "表ソﾊﾝ",  # the second byte of a character may be a letter's, or \\
    "euc_kr": "한국",
    "big5": "許功蓋",
    "iso2022_jp": "日本",  # what bytes mean depends on those before
    "utf-7": "é+日",
    "latin-1": "é\x85\xa0",
    "koi8-r": "река",
    "utf-16-be": "\u0a0d \u200a",  # bytes that look like spaces and line ends
    "utf-32-le": "é\U0001f600",
}


@pytest.mark.parametrize("codec", CODECS)
def test_other_encodings_are_read_as_the_same_text(tmp_path, codec):
    content = f"{CODECS[codec]} a\r\n\t{CODECS[codec]}{CODECS[codec]}\n" * 3 + "b"
    source = write(tmp_path / "text", content.encode(codec))
    for piece_bytes in (1, 2, 5, 1 << 20):
        pieces = open_source(source, piece_bytes, encoding=codec)
        assert b"".join(pieces).decode() == content + "\n"


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-32"])
def test_marks(tmp_path, codec):
    """A mark is no part of the first word; it says the encoding, and is believed."""
    big_endian = codec + "-be"
    forms = [("\ufeffword\ufeff" if codec == "utf-8" else "word\ufeff").encode(codec)]
    if codec != "utf-8":
        forms.append("\ufeffword\ufeff".encode(big_endian))
    for form in forms:
        source = write(tmp_path / "text", form)
        found = sentences(open_source(source, 3, encoding=codec))
        assert found == [["word\ufeff"], []]
        for other in {"utf-8", "latin-1", "utf-16", "utf-32"} - {codec}:
            with pytest.raises(InputError, match=f"mark .*; give encoding={codec}$"):
                list(open_source(source, encoding=other))
            with pytest.raises(InputError, match=f"mark .*; give encoding={codec}$"):
                check_files([tmp_path / "text"], other)
    if codec != "utf-8":
        source = write(tmp_path / "text", "word".encode(big_endian))
        with pytest.raises(InputError, match=f"no mark.*encoding={codec}-le or"):
            list(open_source(source, encoding=codec))
        for order in "le", "be":
            source = write(tmp_path / "text", "\ufeffa".encode(f"{codec}-{order}"))
            found = list(open_source(source, encoding=f"{codec}-{order}"))
            assert b"".join(found) == b"a\n"
        with pytest.raises(InputError, match="mark of"):  # the other order of bytes
            list(open_source(source, encoding=f"{codec}-le"))


def test_what_another_encoding_cannot_decode_is_counted(tmp_path):
    bad = {
        "gb18030": b"\xd6\xd0\xff \x81",  # no first byte; cut off
        "shift_jis": b"\x95\x5c\x81\x20\xa0 ",  # no second byte; no first byte
        "utf-16-le": b"a\0\x00\xd8b\0\x00\xdc",  # lone surrogates
        "utf-7": b"+2AA- +3AA-",  # the decoder lets them pass
        "ascii": b"caf\xe9\xe8",
        "cp1252": b"\x81 \xe9 \x8d",
        "utf-32-le": b"a\0\0\0\0\0\x11\0b\0",  # beyond Unicode; cut off
    }
    for codec, content in bad.items():
        source = write(tmp_path / "text", content)
        for piece_bytes in (1, 3, 100):
            tokens = [
                tokenize(p) for p in open_source(source, piece_bytes, encoding=codec)
            ]
            assert sum(piece.replaced_bytes for piece in tokens) == 2, codec


NOT_OF_TEXT = {
    "base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec",
    "zlib_codec",
    "mbcs",  # Windows alone
}  # fmt: skip


def test_every_text_codec_takes_what_it_cannot_decode(tmp_path):
    source = write(tmp_path / "text", bytes(range(1, 256)) + b"\n")
    codecs = set(aliases.values()) - NOT_OF_TEXT - {"utf_16", "utf_32"}  # want a mark
    assert len(codecs) > 80
    for codec in sorted(codecs):
        encoding = Config(encoding=codec).encoding
        assert list(open_source(source, 10, encoding=encoding))
    for codec in NOT_OF_TEXT:
        with pytest.raises(InputError, match="encoding must be a text encoding"):
            Config(encoding=codec)


def test_packed_texts_are_known_by_their_first_bytes(tmp_path):
    content = "中国 word\n" * 1000
    plain = tmp_path / "plain.gz"
    for name in ("BOOKS.TXT.GZ", "books.txt", "books"):
        packed = tmp_path / name
        packed.write_bytes(gzip.compress(content.encode()))
        assert b"".join(open_source(str(packed), 1000)).decode() == content + "\n"
        assert not is_plain(packed) and check_files([plain.parent / name]) is None
    packed.write_bytes(gzip.compress(content.encode("gb18030")))
    pieces = open_source(str(packed), 1000, encoding="gb18030")
    assert b"".join(pieces).decode() == content + "\n"
    found = expansion(packed, "gb18030") * packed.stat().st_size
    assert found == len(content.encode())
    plain.write_bytes(content.encode())
    assert b"".join(open_source(str(plain))).decode() == content + "\n"
    assert is_plain(plain) and not is_plain(plain, "gb18030")
    assert check_files([plain, plain]) == 2 * len(content.encode()) + 2
    assert check_files([packed, plain]) is None
    assert check_files([plain], "gb18030") is None


def test_no_file_is_read_before_all_are_looked_at(tmp_path):
    good, bad, pipe = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    good.write_bytes(gzip.compress(b"text"))
    bad.write_bytes(b"%PDF-1.7")
    with pytest.raises(InputError, match="b is a PDF document"):
        check_files([good, bad])
    os.mkfifo(pipe)
    assert check_files([pipe, good]) is None  # and nothing is taken from it
    writer = Thread(target=pipe.write_bytes, args=[gzip.compress(b"from a pipe")])
    writer.start()
    assert list(open_source(str(pipe))) == [b"from a ", b"pipe\n"]
    writer.join()


def test_errors(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "MAX_TOKEN_BYTES", 100)
    source = write(tmp_path / "binary", b"\x00" * 101)
    with pytest.raises(InputError, match="no white space for 100 bytes"):
        list(open_source(source, piece_bytes=10))
    with pytest.raises(InputError, match="no TAB for 100 bytes"):
        list(open_source(source, piece_bytes=10, tokenizer="tabs"))
    with pytest.raises(InputError, match="unknown tokenizer 'words'"):
        tokenize(b"text", "words")
