"""What a file is by its first bytes, and that packed bytes are read to their end."""

import bz2
import gzip
import io
import lzma
import pickle
import sqlite3
import struct
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from sgns_jax.formats import FORMATS, format_of
from sgns_jax.text import check_files, open_source
from sgns_jax.types import InputError

TEXT = b"a packed text\n" * 1000
PACK = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: pa.compress(data, codec="zstd", asbytes=True),
    "lz4": lambda data: pa.compress(data, codec="lz4", asbytes=True),
}
SKIPPED = struct.pack("<II", 0x184D2A53, 5) + b"hello"  # a frame for others to read


def read(path, data: bytes) -> bytes:
    path.write_bytes(data)
    return b"".join(open_source(str(path), 1 << 10))


@pytest.mark.parametrize("codec", PACK)
def test_packed_files(tmp_path, codec):
    """Streams that follow each other, and what a format allows between them."""
    one, two = PACK[codec](TEXT), PACK[codec](b"more")
    for number in 1, 3:
        assert read(tmp_path / "x", one * number) == TEXT * number + b"\n"
    assert read(tmp_path / "x", PACK[codec](b"")) == b"\n"
    legal = {
        "gzip": [b"\0", b"\0" * 70_000],  # as tapes fill a block
        "xz": [b"\0" * 4, b"\0" * 65_536, b"\0" * 70_000],
        "zstd": [SKIPPED, SKIPPED * 2],
        "lz4": [SKIPPED],
    }
    for between in legal.get(codec, []):
        want = TEXT + b"more\n"
        assert read(tmp_path / "x", one + between + two) == want
        assert read(tmp_path / "x", one + between + two + between) == want
    if codec == "zstd":
        assert read(tmp_path / "x", SKIPPED + one) == TEXT + b"\n"


@pytest.mark.parametrize("codec", PACK)
def test_what_follows_packed_data_is_never_passed_over(tmp_path, codec):
    one = PACK[codec](TEXT)
    after = {
        "not packed": b"garbage",
        "cut off": one[: len(one) // 2],
        "nearly nothing": one[:2],
        "damaged": b"x" + one[1:],
        "zeros, then damaged": b"\0\0\0\0x" + one[1:],
    }
    if codec != "gzip":
        after |= {"zeros that are no padding": b"\0" * 6}
    if codec not in ("gzip", "xz"):
        after |= {"zeros": b"\0" * 8}
    for what, behind in after.items():
        with pytest.raises(InputError, match="cannot read .*; give a readable, undam"):
            read(tmp_path / "x", one + behind)
            pytest.fail(what)
    for cut in len(one) // 2, len(one) - 1:
        with pytest.raises(InputError, match="cannot read .*; give a readable, undam"):
            read(tmp_path / "x", one[:cut])


def test_a_large_window_is_explained(tmp_path):
    """As by zstd --long=31: magic, descriptor, a window of 2 GiB, a raw block."""
    frame = b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([21 << 3]) + b"\x19\0\0" + b"a b"
    want = "too much memory.*; it was .*zstd -dc --long=31 .*x .*--corpus=- reads it$"
    with pytest.raises(InputError, match=want):
        read(tmp_path / "x", frame)
    with pytest.raises(InputError, match=want):
        check_files([tmp_path / "x"])
    smaller = frame[:5] + bytes([10 << 3]) + frame[6:]
    assert read(tmp_path / "x", smaller) == b"a b\n"


def archive(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as packed:
            packed.writestr("text", TEXT)
    else:
        with tarfile.open(fileobj=file, mode=f"w:{kind}") as packed:
            info = tarfile.TarInfo("text")
            info.size = len(TEXT)
            packed.addfile(info, io.BytesIO(TEXT))
    return file.getvalue()


def table(kind: str) -> bytes:
    file, rows = io.BytesIO(), pa.table({"text": ["a text", "another"]})
    if kind == "parquet":
        pa.parquet.write_table(rows, file)
    else:
        make = {"file": pa.ipc.new_file, "stream": pa.ipc.new_stream}[kind]
        with make(file, rows.schema) as writer:
            writer.write(rows)
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


# What other programs write, or the first bytes that they are known to write.
NO_TEXT = [
    ("zip archive", archive("zip")),
    ("zip archive", b"PK\x05\x06" + bytes(18)),  # an empty one
    ("tar archive", archive("")),
    ("gzip data that holds a tar archive", archive("gz")),
    ("xz data that holds a tar archive", archive("xz")),
    ("gzip data that holds gzip data", gzip.compress(gzip.compress(TEXT))),
    ("zstd data that holds bzip2 data", PACK["zstd"](bz2.compress(TEXT))),
    ("gzip data that holds a Parquet file", gzip.compress(table("parquet"))),
    ("7z archive", b"7z\xbc\xaf\x27\x1c\0\4"),
    ("rar archive", b"Rar!\x1a\x07\x01\x00"),
    ("old lzma", lzma.compress(TEXT, lzma.FORMAT_ALONE)),
    ("Unix compress", b"\x1f\x9d\x90"),
    ("old lz4", b"\x02\x21\x4c\x18"),
    ("lzip", b"LZIP\1"),
    ("lzop", b"\x89LZO\0\r\n\x1a\n"),
    ("snappy", b"\xff\6\0\0sNaPpY"),
    ("Parquet", table("parquet")),
    ("Arrow", table("file")),
    ("Arrow", table("stream")),
    ("Feather", b"FEA1\0\0\0\0"),
    ("Avro", b"Obj\1\4"),
    ("SQLite", None),
    ("HDF5", b"\x89HDF\r\n\x1a\n\0"),
    ("NumPy", npy()),
    *(("pickle", pickle.dumps(["text"], protocol)) for protocol in (2, 3, 4, 5)),
    ("PDF", b"%PDF-1.7\n"),
    ("RTF", rb"{\rtf1\ansi"),
    ("office document", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ("picture", b"\x89PNG\r\n\x1a\n"),
    ("picture", b"\xff\xd8\xff\xe0"),
    ("picture", b"GIF89a"),
    ("program", b"\x7fELF"),
    ("Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:1"),
]


def test_what_is_no_text_is_refused_by_name_before_it_is_read(tmp_path):
    seen = set()
    for number, (name, data) in enumerate(NO_TEXT):
        path = tmp_path / f"{number}.txt"
        if data is None:
            with sqlite3.connect(path) as made:
                made.execute("create table texts (text)")
            made.close()
            data = path.read_bytes()
        path.write_bytes(data)
        for refuse in (lambda p: list(open_source(str(p))), lambda p: check_files([p])):
            with pytest.raises(InputError, match=f"{path} is .*{name}.*; ") as error:
                refuse(path)
            assert "\n" not in str(error.value)
        seen.add(format_of(data))
    assert seen == set(FORMATS) - {
        format_of(PACK["lz4"](b"")),
        format_of(bz2.compress(b"")),
    }


def test_texts_are_none_of_these(tmp_path):
    for text in (
        b"", b"PAR1 is the first word", b"PK", b"BZh9 and more", b"ORCHIDS", b"7zip",
        b"ustar", b"Obj", b"%!PS", b"]", b"\x1f", b"caf\xe9", b"{\n", "𝔸".encode(),
        b"SQLite format 3", b"GIF", b"\xef\xbb\xbfPK",
    ):  # fmt: skip
        assert format_of(text) is None
        assert (
            read(tmp_path / "text", text) == text.removeprefix(b"\xef\xbb\xbf") + b"\n"
        )
