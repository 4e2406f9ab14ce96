"""Text files → pieces of bytes → tokens.

Text is UTF-8. A sentence is a line; lines end with ``\\n`` and with the file
(``\\r`` is white space, so ``\\r\\n`` works too). Memory holds a few pieces,
whatever the size of the file and however long its lines.
"""

import bz2
import codecs
import gzip
import lzma
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sgns_jax.files import source_files
from sgns_jax.types import InputError

STDIN = "-"
LINE_END = "\n"  #: the token that ends a sentence; never a word
PIECE_BYTES = 8 << 20  # larger pieces were no faster
# Arrow strings hold 2 GiB, and replacing a bad byte makes three bytes of one.
MAX_TOKEN_BYTES = 512 << 20

# Cuts are made behind these: ASCII bytes, so never inside a UTF-8 character.
_CUTS = (b" ", b"\n", b"\t", b"\r")
#: How a packed file, open for reading, is unpacked, by the ending of its name.
UNPACK = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": lambda file: pa.CompressedInputStream(file, "zstd"),
}
# All that is no letter, mark, digit or apostrophe becomes a space; white space is
# left alone, which is faster. Outer apostrophes go later, once a distinct word.
_NOT_LETTERS = r"[^\pL\pM\pN'\s]+|''+"
_LAST_LINE = LINE_END + "x"


class Tokens(NamedTuple):
    """The tokens of one piece of text, in order: ``words[ids[0]]``, ..."""

    words: list[str]  #: the piece's words, ``LINE_END`` first; "" and repeats occur
    ids: np.ndarray  #: (tokens,) int32, indices into ``words``; "" is no token
    bytes_read: int  #: length of the piece
    replaced_bytes: int  #: how many U+FFFD stand for bytes that are not UTF-8


def text_bytes(files: Iterable[Path]) -> int | None:
    """How many bytes files give, marks at their starts included; None: unknown."""
    if any(file.suffix in UNPACK or not file.is_file() for file in files):
        return None
    return sum(file.stat().st_size + 1 for file in files)


def open_source(source: str, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """Reads a corpus in pieces that end at white space.

    Args:
        source: a file (plain, .gz, .bz2, .xz or .zst), a folder, a glob, or "-"
            for standard input.
        piece_bytes: how many bytes to read at once; a piece is longer only where
            a token is.

    Yields:
        Pieces of the unpacked bytes. The last piece of a file ends with ``\\n``.
        A UTF-8 byte-order mark at the start of a file is left out.

    Raises:
        InputError: nothing to read, a file cannot be read, is damaged, is UTF-16,
            or has no white space for ``MAX_TOKEN_BYTES``.
    """
    if source == STDIN:
        with _explained("standard input"):
            yield from _pieces(sys.stdin.buffer, "standard input", piece_bytes)
        return
    for path in source_files(source):
        unpack = UNPACK.get(path.suffix, nullcontext)
        with _explained(str(path)), open(path, "rb") as file, unpack(file) as stream:
            yield from _pieces(stream, str(path), piece_bytes)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, lzma.LZMAError, MemoryError) as error:
        raise InputError(
            f"cannot read {name}: {error}; give a readable, undamaged file"
        ) from error


def _pieces(stream: BinaryIO, name: str, piece_bytes: int) -> Iterator[bytes]:
    head = stream.read(len(codecs.BOM_UTF8))
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{name} is UTF-16; convert it to UTF-8 first")
    held = [head.removeprefix(codecs.BOM_UTF8)]  # an unfinished token, in parts
    while block := stream.read(piece_bytes):
        cut = 1 + max(block.rfind(space) for space in _CUTS)
        if cut:
            yield b"".join((*held, block[:cut]))
            held = []
        held.append(block[cut:])
        if sum(map(len, held)) > MAX_TOKEN_BYTES:
            raise InputError(
                f"{name} has no white space for {MAX_TOKEN_BYTES} bytes; "
                "give text with spaces or line ends between its words"
            )
    yield b"".join((*held, b"\n"))


def tokenize(
    piece: bytes, tokenizer: str = "whitespace", lowercase: bool = False
) -> Tokens:
    """Splits a piece of UTF-8 text into tokens and sentence ends.

    Args:
        piece: bytes that begin and end between two words.
        tokenizer: "whitespace": a token is a maximal run without white space (as
            ``str.split`` has it; word2vec's rule). "letters": a maximal run of
            Unicode letters, marks and digits, with single apostrophes inside
            (``don’t`` becomes ``don't``); everything else is left out.
        lowercase: put tokens in lower case, by Unicode's rules.

    Returns:
        The tokens; bytes that are not UTF-8 are replaced by U+FFFD and counted.

    Raises:
        InputError: an unknown tokenizer.
    """
    text = piece.decode("utf-8", "replace")
    replaced = text.count("\ufffd") - piece.count("\ufffd".encode())
    array = pa.array([text + _LAST_LINE])
    if tokenizer == "letters":
        array = pc.replace_substring(array, "’", "'")
        array = pc.replace_substring_regex(array, _NOT_LETTERS, " ")
    elif tokenizer != "whitespace":
        raise InputError(f"unknown tokenizer {tokenizer!r}: whitespace or letters")
    lines = pc.split_pattern(array, LINE_END).flatten()
    # pyarrow (26.0) decodes what follows white space at the very end of its input,
    # beyond the input, and keeps that white space where this fails. Hence one more
    # line, left out again.
    split = pc.utf8_split_whitespace(lines)[:-1]
    # Arrow works in C++ without the interpreter's lock, and Python sees only each
    # distinct word of the piece.
    encoded = split.flatten().dictionary_encode()
    words = encoded.dictionary.to_pylist()
    if tokenizer == "letters":
        words = [word.strip("'") for word in words]
    if lowercase:
        words = [word.lower() for word in words]
    line_starts = split.offsets.to_numpy()[1:-1]
    ids = np.insert(encoded.indices.to_numpy() + np.int32(1), line_starts, 0)
    return Tokens([LINE_END, *words], ids, len(piece), replaced)
