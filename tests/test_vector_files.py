"""Formats of word vectors: by round trip, by hand, damaged, and against gensim."""

import bz2
import gzip
import io
import lzma
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from gensim.models import KeyedVectors
from hypothesis import given
from hypothesis import strategies as st

from sgns_jax import vector_files, vector_readers
from sgns_jax.types import InputError
from sgns_jax.vectors import WordVectors
from tests.test_vectors import quick, word_vectors

endings = pytest.mark.parametrize("ending", [".txt", ".VEC", ".bin", ".npz"])


def assert_same(a: WordVectors, b: WordVectors) -> None:
    assert a.words == b.words
    # Bits, not values: −0 differs from 0.
    np.testing.assert_array_equal(a.matrix.view(np.int32), b.matrix.view(np.int32))


@endings
@quick
@given(vectors=word_vectors())
def test_round_trip_keeps_every_bit(ending, vectors, tmp_path_factory):
    path = tmp_path_factory.mktemp("vectors") / f"v{ending}"
    vectors.save(path)
    assert_same(WordVectors.load(path), vectors)


@endings
def test_round_trip_of_awkward_words_and_numbers(ending, tmp_path):
    words = (
        "no\u00a0break",
        "\u2028",
        "\u3000",
        "\t",
        "\r",
        "\x85",
        "王",
        "🦜",
        "1",
        "#",
    )
    # Its decimals give the neighbouring float32 when they are read through float64.
    twice_rounded = np.uint32(0x15AE43FD).view(np.float32)
    numbers = [
        twice_rounded,
        1e-45,
        3.4028235e38,
        -0.0,
        1e-5,
        16777216,
        0.1,
        1e10,
        1,
        -1,
    ]
    vectors = WordVectors(words, np.array(numbers, np.float32)[:, None])
    vectors.save(tmp_path / f"v{ending}")
    assert_same(WordVectors.load(tmp_path / f"v{ending}"), vectors)


def test_files_are_written_and_read_in_parts(royal, tmp_path, monkeypatch):
    for module in (vector_files, vector_readers):
        monkeypatch.setattr(module, "_CHUNK", 7)  # two rows of three at a time
    monkeypatch.setattr(vector_readers, "BLOCK", 16)
    for ending in (".txt", ".bin"):
        royal.save(tmp_path / f"v{ending}")
        assert_same(WordVectors.load(tmp_path / f"v{ending}"), royal)


def test_writes_the_text_format_with_the_shortest_numbers(tmp_path):
    vectors = WordVectors(("a", "b"), [[0.1, -2.0], [1 / 3, 1e20]])
    vectors.save(tmp_path / "v.txt")
    expected = b"2 2\na 0.1 -2\nb 0.33333334 1e+20\n"
    assert (tmp_path / "v.txt").read_bytes() == expected


def test_writes_the_binary_format_of_word2vec(tmp_path):
    WordVectors(("é",), [[1.5, -2.0]]).save(tmp_path / "v.bin")
    expected = b"1 2\n\xc3\xa9 " + struct.pack("<2f", 1.5, -2) + b"\n"
    assert (tmp_path / "v.bin").read_bytes() == expected


@pytest.mark.parametrize("binary", [False, True])
def test_gensim_reads_ours_and_we_read_gensims(binary, tmp_path):
    words = tuple(f"w{i}" for i in range(200)) + ("no\u00a0break", "größe")
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((202, 10)) * 10.0 ** rng.integers(-9, 9, (202, 1))
    ours = WordVectors(words, matrix)
    kind = "binary" if binary else "text"
    ours.save(tmp_path / "ours", format=kind)
    theirs = KeyedVectors.load_word2vec_format(tmp_path / "ours", binary=binary)
    assert_same(WordVectors(tuple(theirs.index_to_key), theirs.vectors), ours)

    theirs.save_word2vec_format(tmp_path / "theirs", binary=binary)
    assert_same(WordVectors.load(tmp_path / "theirs", format=kind), ours)


def test_reads_what_word2vec_c_writes(tmp_path):
    # A space before the line end; a word cut inside a character; Windows line ends.
    path = tmp_path / "v.txt"
    path.write_bytes(b"2 2\r\n</s> 0.5 1.000000 \r\ncaf\xc3 -0.25 2e-3 \n\n")
    vectors = WordVectors.load(path)
    assert vectors.words == ("</s>", "caf\\xc3")
    np.testing.assert_array_equal(vectors.matrix, np.float32([[0.5, 1], [-0.25, 2e-3]]))


def test_npz_opens_with_numpy_alone(royal, tmp_path):
    royal.save(tmp_path / "v.npz")
    with np.load(tmp_path / "v.npz") as arrays:
        assert tuple(arrays["words"].tobytes().decode().split("\n")) == royal.words
        np.testing.assert_array_equal(arrays["matrix"], royal.matrix)


# Vectors as public collections have them: a name, the bytes, the words.
COLLECTIONS = {
    "glove.txt": (b"the .1 .2\nof -2e-1 2\n\n", ("the", "of")),
    "mark.txt": (b"\xef\xbb\xbf2 2\nthe .1 .2\nof -2e-1 2\n", ("the", "of")),
    "spaces.vec": (b"2 2\nNew York .1 .2\n. . -2e-1 2\n", ("New York", ". .")),
    "number.txt": (b"2 2\nApollo 11 .1 .2\n1 -2e-1 2\n", ("Apollo 11", "1")),
    "one_space.vec": (b"a .1 .2\nno\xc2\xa0break -.2 2\n", ("a", "no\u00a0break")),
}


@pytest.mark.parametrize("name", COLLECTIONS)
def test_reads_vectors_as_public_collections_have_them(name, tmp_path):
    content, words = COLLECTIONS[name]
    (tmp_path / name).write_bytes(content)
    expected = WordVectors(words, [[0.1, 0.2], [-0.2, 2]])
    assert_same(WordVectors.load(tmp_path / name), expected)


@pytest.mark.parametrize("ending", [".txt", ".bin"])
def test_of_a_word_that_is_there_twice_the_first_is_kept(ending, tmp_path):
    words, path = "a b a c a b".split(), tmp_path / f"v{ending}"
    vectors = WordVectors([f"w{i}" for i in range(6)], np.arange(12).reshape(6, 2))
    vectors.save(path)
    content = path.read_bytes()
    for i, word in enumerate(words):
        content = content.replace(f"w{i}".encode(), word.encode())
    path.write_bytes(content)
    told = "3 of 6 rows have the word of an earlier row, like 'a', and are left out"
    with pytest.warns(UserWarning, match=told) as warnings:
        loaded = WordVectors.load(path)
    assert_same(loaded, WordVectors(("a", "b", "c"), [[0, 1], [2, 3], [6, 7]]))
    assert warnings[0].filename == __file__


@endings
def test_limit_takes_the_first_rows(ending, royal, tmp_path):
    royal.save(tmp_path / f"v{ending}")
    for limit in (1, 4, 6, 100):
        part = WordVectors.load(tmp_path / f"v{ending}", limit=limit)
        assert_same(part, WordVectors(royal.words[:limit], royal.matrix[:limit]))
    with pytest.raises(InputError, match="limit must be 1 or more, or None for all"):
        WordVectors.load(tmp_path / f"v{ending}", limit=0)


@pytest.mark.parametrize("ending", [".txt", ".bin"])
def test_a_limit_saves_what_there_is_of_a_file_that_was_cut(ending, royal, tmp_path):
    path = tmp_path / f"v{ending}"
    royal.save(path)
    whole = path.read_bytes()
    for promise in (b"7 3\n", b"99 3\n"):
        path.write_bytes(whole.replace(b"6 3\n", promise) + b"\n" * 8)
        assert_same(WordVectors.load(path, limit=6), royal)
        for limit in (None, 7, 99):
            with pytest.raises(InputError, match="promises"):
                WordVectors.load(path, limit=limit)


PACK = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("packed", PACK)
def test_reads_packed_files_and_names_damage(packed, royal, tmp_path):
    for ending in (".txt", ".bin"):
        royal.save(tmp_path / f"v{ending}")
        data = PACK[packed]((tmp_path / f"v{ending}").read_bytes())
        name = f"p{ending}"
        for path in (tmp_path / f"{name}{packed.upper()}", tmp_path / name):
            path.write_bytes(data)  # which say what they are, whatever their name
            assert_same(WordVectors.load(path), royal)
        for damaged in (data[: len(data) // 2], data[:13] + b"\xff" * 8 + data[21:]):
            path.write_bytes(damaged)
            # What pyarrow packs by zstd has no checksum; the rows do not fit then.
            damage = "" if packed == ".zst" else "cannot be read"
            with pytest.raises(InputError, match=f"{name}: {damage}"):
                WordVectors.load(path)


def test_a_packed_file_that_promises_too_much_costs_nothing(tmp_path):
    for ending, promise in ((".bin", b"100000000 300"), (".txt", b"100000000 9")):
        path = tmp_path / f"v{ending}.gz"
        path.write_bytes(gzip.compress(promise + b"\na 1 2 3\n"))
        refused_at_no_cost(path, "the file ends in row 1|needs 9 numbers", 16 << 20)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("cc.xx.300.bin", b"\xba\x16\x4f\x2f\x0c" + bytes(99), "fastText's own format"),
        ("v.bin", b"PK\x03\x04" + bytes(99), "is a zip archive.* no word vectors"),
        ("v.txt", b"\x80\x04" + bytes(99), "is a Python pickle, and no word vectors"),
    ],
)
def test_says_what_a_file_is_instead(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: .*{message}"):
        WordVectors.load(tmp_path / name)


LETTERS = list("abcdefghijklmnopqrstuvwxyzé王ABC019.-")


def gensims(rng: np.random.Generator, spaces: int) -> tuple[KeyedVectors, int]:
    """A table of gensim's, and the row of the word in it that holds spaces."""

    def word() -> str:
        return "".join(rng.choice(LETTERS, rng.integers(1, 9)))

    rows, columns = rng.integers(2, 20), rng.integers(8, 40)
    words = list(dict.fromkeys(word() for _ in range(rows)))
    row = int(rng.integers(len(words)))
    words[row] = " ".join([words[row], *(word() for _ in range(spaces))])
    matrix = rng.standard_normal((len(words), columns)) * 10.0 ** rng.uniform(-3, 2)
    table = KeyedVectors(columns)
    table.add_vectors(words, matrix.astype(np.float32))
    return table, row


def test_a_space_in_a_word_of_gensims_binary_is_found(tmp_path):
    """It used to shift a vector in silence, in three of four tables or more."""
    named = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        table, row = gensims(rng, spaces=1 + seed % 3)
        table.save_word2vec_format(tmp_path / "v.bin", binary=True)
        with pytest.raises(InputError) as error:
            WordVectors.load(tmp_path / "v.bin", limit=row + 1 if seed % 2 else None)
        begin = table.index_to_key[row].split()[0].encode()
        told = f"row {row + 1}: the word that begins with {begin!r} holds a space"
        named.append(told in str(error.value))
    # If a vector holds a space by chance, a later row is named: of 500 rarely ten.
    assert np.mean(named) > 0.95


@pytest.mark.parametrize("number", [b"\xcd\xccL\xbe", b"A\x01\x01?"])
def test_a_space_is_found_by_bytes_that_no_word_holds(number, tmp_path):
    """The next word seems to begin with the last two of the number: L\\xbe, \\x01?"""
    table = KeyedVectors(1)  # whose numbers are of one size, wherever they are read
    table.add_vectors(["a b", "c"], np.frombuffer(number + bytes(4), "<f4")[:, None])
    table.save_word2vec_format(tmp_path / "v.bin", binary=True)
    with pytest.raises(InputError, match="row 1: the word that begins with b'a' holds"):
        WordVectors.load(tmp_path / "v.bin")


def test_no_space_is_found_where_there_is_none(tmp_path):
    for seed in range(150):
        table, _ = gensims(np.random.default_rng(seed), spaces=0)
        table.save_word2vec_format(tmp_path / "v.bin", binary=True)
        ours = WordVectors(table.index_to_key, table.vectors)
        assert_same(WordVectors.load(tmp_path / "v.bin"), ours)
    # A space in the numbers, and a control in the next word: the line ends tell.
    numbers = np.frombuffer(b" \0\x80?\0\0\x80?", "<f4")[:, None]
    ours = WordVectors(("a", "\x01b"), numbers)
    ours.save(tmp_path / "v.bin")
    assert_same(WordVectors.load(tmp_path / "v.bin"), ours)


NUMBERS = struct.pack("<2f", 1, 2)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("v.txt", b"", "line 1 must be the number of words and of columns"),
        ("v.txt", b"a 1\n", r"line 1 must be .* got b'a 1"),
        ("v.txt", b"a b 1\n", r"line 1 must be .*, or in a text a word and its numb"),
        ("v.txt", b"a 1 2\n\nb 1 2\n", "an empty line ends it, the file has more"),
        ("v.txt", b"a 1 2\nb 1\n", "line 2, word 'b': needs 2 numbers"),
        ("v.bin", b"1 9999999\na ", "9999999 columns; that is no word vector"),
        ("v.txt", b"2\na 1\n", "line 1 must be"),
        ("v.txt", b"0 2\n", "both 1 or more"),
        ("v.txt", b"9" * 5000 + b" 2\na 1 2\n", "line 1 must be"),
        ("v.txt", gzip.compress(b"9" * 19 + b" 2\na 1 2\n", mtime=0), "line 1 must be"),
        ("v.txt", gzip.compress(b"9" * 18 + b" 2\na 1 2\n", mtime=0), "the file has 1"),
        ("v.bin", b"1 0\n", "both 1 or more"),
        ("v.txt", b"-1 2\na 1 2\n", "line 1 must be"),
        ("v.txt", b"1000000000 300\na 1 2\n", "1000000000 rows of 300 .* 6 are there"),
        ("v.bin", b"1000000000 300\na ", "need 1201999999999 bytes or more, 2 are"),
        ("v.txt", b"3 1\na 0.12345\nb 0.12345\n", "promises 3 rows, the file has 2"),
        ("v.txt", b"1 2\na 1 2\nb 1 2\n", "promises 1 rows, the file has more"),
        ("v.txt", b"2 2\na 1 2\nb .1 2 3\n", "line 3, word 'b': needs 2 .* got 3"),
        ("v.txt", b"a 1 2\na 1.5 2 b 1 2\n", "line 2, word 'a': needs 2 .* got 5"),
        ("v.txt", b"2 2\na 1 2.000\nb 1\n", "line 3, word 'b': needs 2 numbers"),
        (
            "v.txt",
            b"2 2\na 1 2\nb x 2\n",
            "line 3, word 'b': .* Failed to parse string: 'x'",
        ),
        ("v.txt", b"1 2\na 1\t2 3\n", "line 2, word 'a': needs 2 numbers"),
        ("v.txt", b"1 2\na 1 \xff\n", "line 2, word 'a': needs 2 numbers"),
        ("v.txt", b"1 2\na  1 2\n", "line 2, word 'a': needs 2 numbers"),
        ("v.txt", b"1 2\n 1 2\n", "word 1 is empty"),
        ("v.txt", b"1 2\na 1 nan\n", "the vector of 'a' is not finite"),
        ("v.txt", b"1 1\na 1e400\n", "the vector of 'a' is not finite"),
        ("v.bin", b"2 2\na " + NUMBERS + b"\nb" + NUMBERS, "the file ends in row 2"),
        ("v.bin", b"2 2\nabc " + NUMBERS + b"\nb 1234567", "the file ends in row 2"),
        ("v.bin", b"1 2\na " + NUMBERS + b"\nb ", "promises 1 rows, the file has more"),
        ("v.bin", b"1 2\na\nb " + NUMBERS, r"row 1: word b'a.nb' holds a line end"),
        ("v.bin", b"1 2\na " + NUMBERS + b"\n\n", "promises 1 rows, the file has more"),
        ("v.npz", b"", "needs to be an .npz file"),
        ("v.npz", b"1 2\na 1 2\n", "needs to be an .npz file"),
    ],
)
def test_names_the_damage_in_a_file(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        WordVectors.load(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


def test_npz_never_unpickles(tmp_path):
    words = np.array(["a"], dtype=object)  # NumPy stores objects as a pickle
    np.savez(tmp_path / "v.npz", words=words, matrix=np.ones((1, 2)))
    with pytest.raises(InputError, match="arrays words and matrix"):
        WordVectors.load(tmp_path / "v.npz")
    np.savez(tmp_path / "v.npz", words=np.uint8([97]))
    with pytest.raises(InputError, match="arrays words and matrix"):
        WordVectors.load(tmp_path / "v.npz")


def write_npz(path, shape="(1, 2)", descr="<f4", method=zipfile.ZIP_STORED):
    """Vectors of one word whose matrix says of itself what it likes."""
    says = (
        f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    )
    words = io.BytesIO()
    np.save(words, np.uint8([97]))
    matrix = b"\x93NUMPY\1\0" + struct.pack("<H", len(says)) + says + NUMBERS
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("words.npy", words.getvalue())
        archive.writestr("matrix.npy", matrix)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_reads_npz_packed_or_not(method, tmp_path):
    write_npz(tmp_path / "v.npz", method=method)
    assert_same(WordVectors.load(tmp_path / "v.npz"), WordVectors(("a",), [[1.0, 2.0]]))


def refused_at_no_cost(path, message="arrays words and matrix", most=1 << 20):
    tracemalloc.start()
    with pytest.raises(InputError, match=message):
        WordVectors.load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < most


@pytest.mark.parametrize(
    "lie",
    [
        {"shape": "(10000000, 30)"},
        {"shape": "(-10000000, -30)"},
        {"shape": "(-1099511627776, 1073741824)"},  # 0 in 64 bits
        {"shape": "(100000000,)", "descr": "|S0"},
        {"shape": "-" * 9000 + "1"},
        {"descr": "|O"},
        {"method": zipfile.ZIP_LZMA},  # its own header asks for memory
    ],
)
def test_npz_that_promises_too_much_costs_nothing(lie, tmp_path):
    write_npz(tmp_path / "v.npz", **lie)
    refused_at_no_cost(tmp_path / "v.npz")


@pytest.mark.parametrize("place", [20, 24])  # compressed and unpacked size
def test_an_archive_that_lies_about_its_parts_costs_nothing(place, tmp_path):
    write_npz(tmp_path / "v.npz", "(10000000, 30)")
    data = bytearray((tmp_path / "v.npz").read_bytes())
    entry = data.rindex(b"PK\1\2")
    for at in {place, 20}:
        data[entry + at : entry + at + 4] = struct.pack("<I", 2_000_000_000)
    (tmp_path / "v.npz").write_bytes(data)
    refused_at_no_cost(tmp_path / "v.npz")


def test_finds_a_bad_line_in_few_steps(tmp_path, monkeypatch):
    lines = [b"w%d 1\n" % i for i in range(1023)] + [b"z x\n"]
    (tmp_path / "v.txt").write_bytes(b"1024 1\n" + b"".join(lines))
    read, calls = vector_readers._numbers, []

    def counted(*arguments):
        calls.append(arguments)
        return read(*arguments)

    monkeypatch.setattr(vector_readers, "_numbers", counted)
    with pytest.raises(InputError, match="line 1025, word 'z'"):
        WordVectors.load(tmp_path / "v.txt")
    assert len(calls) == 1 + 2 * 10


@endings
@quick
@given(data=st.data())
def test_damaged_files_give_vectors_or_an_input_error(ending, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("damage") / f"v{ending}"
    WordVectors(("one", "two"), [[0.1, 2.5], [3.0, -4.0]]).save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(
            st.integers(0, 255)
        )
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        WordVectors.load(path)
    except InputError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(
    "name, word, message",
    [
        ("v.txt", "New York", "word 'New York' holds a space or a line end"),
        ("v.bin", "New York", "word 'New York' holds a space or a line end"),
        ("v.txt", "a\nb", "holds a space or a line end"),
        ("v.npz", "a\nb", "holds a space or a line end"),
        ("v.txt", "\ud800", "not valid Unicode"),
        ("none/v.txt", "a", "no folder .*none; create it"),
        ("v.pkl", "a", "unknown format '.pkl'; end the name in .txt"),
    ],
)
def test_refuses_what_a_format_cannot_hold(name, word, message, tmp_path):
    with pytest.raises(InputError, match=message):
        WordVectors((word,), [[1.0]]).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_npz_holds_words_with_spaces(tmp_path):
    vectors = WordVectors(("New York", "a"), [[1.0], [2.0]])
    vectors.save(tmp_path / "v.npz")
    assert_same(WordVectors.load(tmp_path / "v.npz"), vectors)


def test_refuses_to_load_no_file_or_an_unknown_format(tmp_path):
    with pytest.raises(InputError, match="v.txt: no such file"):
        WordVectors.load(tmp_path / "v.txt")
    with pytest.raises(InputError, match="no such file"):
        WordVectors.load(tmp_path, format="text")
    with pytest.raises(InputError, match="unknown format 'glove'"):
        WordVectors.load(tmp_path / "v.txt", format="glove")


def test_a_save_that_fails_leaves_the_old_file(royal, tmp_path, monkeypatch):
    path = tmp_path / "v.bin"
    royal.save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        WordVectors(("a",), [[1.0]]).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
