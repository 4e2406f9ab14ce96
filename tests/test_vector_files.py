"""Formats of word vectors: by round trip, by hand, damaged, and against gensim."""

import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import given
from hypothesis import strategies as st

from sgns_jax import vector_files
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


def test_text_is_written_and_read_in_parts(royal, tmp_path, monkeypatch):
    monkeypatch.setattr(vector_files, "_CHUNK", 7)  # two rows of three at a time
    royal.save(tmp_path / "v.txt")
    assert_same(WordVectors.load(tmp_path / "v.txt"), royal)


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


NUMBERS = struct.pack("<2f", 1, 2)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("v.txt", b"", "line 1 must be the number of words and of columns"),
        ("v.txt", b"a 1 2\n", r"line 1 must be .* got b'a 1 2"),
        ("v.txt", b"2\na 1\n", "line 1 must be"),
        ("v.txt", b"0 2\n", "both 1 or more"),
        ("v.bin", b"1 0\n", "both 1 or more"),
        ("v.txt", b"-1 2\na 1 2\n", "line 1 must be"),
        ("v.txt", b"1000000000 300\na 1 2\n", "1000000000 rows of 300 .* 6 are there"),
        ("v.bin", b"1000000000 300\na ", "need 1201999999999 bytes or more, 2 are"),
        ("v.txt", b"3 1\na 0.12345\nb 0.12345\n", "promises 3 rows, the file has 2"),
        ("v.txt", b"1 2\na 1 2\nb 1 2\n", "promises 1 rows, the file has more"),
        ("v.txt", b"2 2\na 1 2\nb 1 2 3\n", "line 3, word 'b': needs 2 .* got 3"),
        ("v.txt", b"2 2\na 1 2.000\nb 1\n", "line 3, word 'b': needs 2 numbers"),
        (
            "v.txt",
            b"2 2\na 1 2\nb x 2\n",
            "line 3, word 'b': .* Failed to parse string: 'x'",
        ),
        ("v.txt", b"1 2\na 1\t2 3\n", "line 2, word 'a': needs 2 numbers"),
        ("v.txt", b"1 2\na 1 \xff\n", "line 2, word 'a': needs 2 numbers"),
        ("v.txt", b"1 2\na  1 2\n", "line 2, word 'a': needs 2 numbers"),
        ("v.txt", b"2 1\na 1\na 2\n", "word 'a' appears twice"),
        ("v.txt", b"1 2\n 1 2\n", "word 1 is empty"),
        ("v.txt", b"1 2\na 1 nan\n", "the vector of 'a' is not finite"),
        ("v.txt", b"1 1\na 1e400\n", "the vector of 'a' is not finite"),
        ("v.bin", b"2 2\na " + NUMBERS + b"\nb" + NUMBERS, "the file ends in row 2"),
        ("v.bin", b"2 2\nabc " + NUMBERS + b"\nb 1234567", "the file ends in row 2"),
        ("v.bin", b"1 2\na " + NUMBERS + b"\nb ", "promises 1 rows, the file has more"),
        ("v.bin", b"2 2\n" + (b"a " + NUMBERS) * 2, "word 'a' appears twice"),
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


def refused_at_no_cost(path):
    tracemalloc.start()
    with pytest.raises(InputError, match="arrays words and matrix"):
        WordVectors.load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


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
    read, calls = vector_files._numbers, []

    def counted(*arguments):
        calls.append(arguments)
        return read(*arguments)

    monkeypatch.setattr(vector_files, "_numbers", counted)
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
