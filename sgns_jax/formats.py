"""What a file is, by its first bytes, and the text that is packed in it.

Names decide nothing: ``BOOKS.TXT.GZ``, a packed file without an ending and a plain one
that is called ``.gz`` are read as what they are.
"""

import bz2
import gzip
import io
import lzma
import re
from collections.abc import Callable
from functools import partial
from typing import BinaryIO, NamedTuple

import pyarrow as pa

from sgns_jax.types import InputError

HEAD_BYTES = 512  # a tar archive is known by its bytes 257 to 261
_BLOCK = 1 << 16

# What to do with a file that is not read.
_UNPACK = "unpack it, or give what its own program unpacks to --corpus=-"
_ARCHIVE = "unpack it and give the folder with its texts"
_TABLE = "write its column of text to a file, a row a line"
_SAVE = "save its text as a plain file"


class Format(NamedTuple):
    """A kind of file that is no plain text."""

    name: str
    starts: bytes  #: a regular expression of its first bytes
    advice: str = _UNPACK
    #: Packed bytes to the bytes in them; None: files of this kind are refused.
    unpack: Callable[[BinaryIO], BinaryIO] | None = None


class _Streams(io.RawIOBase):
    """The bytes of all packed streams in a file, one behind the other.

    Python's own readers of .bz2 and .xz (3.11) end in silence before whatever is no
    stream: padding with more streams behind it, or a damaged one.

    Args:
        file: the packed bytes.
        decompressor: makes one, for one stream.
        padding: zeros may stand behind a stream, a multiple of so many; 0: none may.
    """

    def __init__(self, file: BinaryIO, decompressor: Callable, padding: int = 0):
        self._file, self._decompressor, self._padding = file, decompressor, padding
        self._stream = decompressor()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        while self._stream:
            packed = b""
            if self._stream.eof:
                packed = self._behind(self._stream.unused_data)
                self._stream = self._decompressor() if packed else None
            elif self._stream.needs_input and not (packed := self._file.read(_BLOCK)):
                raise EOFError("its packed data is cut off")
            data = self._stream.decompress(packed, len(buffer)) if self._stream else b""
            if data:
                buffer[: len(data)] = data
                return len(data)
        return 0

    def _behind(self, packed: bytes) -> bytes:
        """The beginning of what follows a stream and its padding."""
        zeros = 0
        while packed := packed or self._file.read(_BLOCK):
            left = packed.lstrip(b"\0") if self._padding else packed
            zeros += len(packed) - len(left)
            packed = left
            if left:
                break
        if self._padding and zeros % self._padding:
            raise EOFError(f"{zeros} zeros follow its packed data")
        return packed


def _streams(decompressor: Callable, padding: int = 0) -> Callable:
    def unpack(file: BinaryIO) -> BinaryIO:
        return io.BufferedReader(_Streams(file, decompressor, padding), _BLOCK)

    return unpack


def _arrow(codec: str) -> Callable:
    return lambda file: pa.CompressedInputStream(file, codec)


FORMATS = (
    Format("gzip data", rb"\x1f\x8b\x08", unpack=gzip.open),
    Format(
        "bzip2 data",
        rb"BZh[1-9](1AY&SY|\x17rE8P\x90)",
        unpack=_streams(bz2.BZ2Decompressor),
    ),
    Format(
        "xz data",
        rb"\xfd7zXZ\x00",
        unpack=_streams(partial(lzma.LZMADecompressor, lzma.FORMAT_XZ), padding=4),
    ),
    Format(
        "zstd data", rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", unpack=_arrow("zstd")
    ),
    Format("lz4 data", rb"\x04\x22\x4d\x18", unpack=_arrow("lz4")),
    Format(
        "a zip archive, or an office document",
        rb"PK(\x03\x04|\x05\x06|\x07\x08)",
        _ARCHIVE,
    ),
    Format("a tar archive", rb"(?s).{257}ustar[\x00 ]", _ARCHIVE),
    Format("a 7z archive", rb"7z\xbc\xaf\x27\x1c", _ARCHIVE),
    Format("a rar archive", rb"Rar!\x1a\x07", _ARCHIVE),
    Format("data of the old lzma format", rb"\]\x00\x00"),
    Format("data of Unix compress", rb"\x1f[\x9d\xa0]"),
    Format("data of the old lz4 format", rb"\x02\x21\x4c\x18"),
    Format("lzip data", rb"LZIP\x01"),
    Format("lzop data", rb"\x89LZO\x00"),
    Format("snappy data", rb"\xff\x06\x00\x00sNaPpY"),
    Format("a Parquet file", rb"PAR1\x15", _TABLE),
    Format(
        "an Arrow or Feather file",
        rb"(?s)ARROW1\x00|FEA1\x00|\xff{4}..\x00\x00",
        _TABLE,
    ),
    Format("an Avro file", rb"Obj\x01", _TABLE),
    Format("an SQLite database", rb"SQLite format 3\x00", _TABLE),
    Format("an HDF5 file", rb"\x89HDF\r\n\x1a\n", _TABLE),
    Format("a NumPy array", rb"\x93NUMPY", _SAVE),
    Format("a Python pickle", rb"\x80[\x02-\x05]", _SAVE),
    Format("a PDF document", rb"%PDF-", _SAVE),
    Format("an RTF document", rb"\{\\rtf", _SAVE),
    Format("an office document", rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _SAVE),
    Format("a picture", rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a", _SAVE),
    Format("a program", rb"\x7fELF", _SAVE),
    Format(
        "a Git LFS pointer, not the file it stands for",
        rb"version https://git-lfs\.github\.com/spec/",
        "fetch that by git lfs pull",
    ),
)


class _Rejoined(io.RawIOBase):
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: BinaryIO):
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return self._head + self._rest.read()
        head, self._head = self._head[:size], self._head[size:]
        return head + self._rest.read(size - len(head))


def format_of(head: bytes) -> Format | None:
    """The format of a file that begins so; None: no known one, so perhaps text."""
    return next((known for known in FORMATS if re.match(known.starts, head)), None)


class Unpacked(NamedTuple):
    """The bytes of a file, or those that are packed in it."""

    head: bytes  #: the first ``HEAD_BYTES``
    stream: BinaryIO  #: all of them
    was_packed: bool


def unpacked(file: BinaryIO, name: str) -> Unpacked:
    """Unpacks a file if its first bytes say that it is packed.

    What follows the end of packed data is read as more of it, or is padding that the
    format allows, or raises what its reader raises for damage.

    Args:
        file: at its beginning; a pipe will do.
        name: what an error calls it.

    Raises:
        InputError: the file, or what is packed in it, is of a kind that is no text.
    """
    head = file.read(HEAD_BYTES)
    stream, around = _Rejoined(head, file), ""
    while known := format_of(head):
        if around or known.unpack is None:  # in layers without end, perhaps
            raise InputError(f"{name} is {around}{known.name}; {known.advice}")
        stream, around = known.unpack(stream), f"{known.name} that holds "
        head = stream.read(HEAD_BYTES)
        stream = _Rejoined(head, stream)
    return Unpacked(head, stream, bool(around))
