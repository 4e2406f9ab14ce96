"""Text files → pieces of bytes → tokens.

Text is UTF-8, or is made UTF-8 as it is read. A sentence is a line; lines end with
``\\n`` and with the file (``\\r`` is white space, so ``\\r\\n`` works too). Memory
holds a few pieces, whatever the size of the file and however long its lines.
"""

import codecs
import lzma
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sgns_jax.files import source_files
from sgns_jax.formats import unpacked
from sgns_jax.types import InputError

STDIN = "-"
LINE_END = "\n"  #: the token that ends a sentence; never a word
PIECE_BYTES = 8 << 20  # larger pieces were no faster
# Arrow strings hold 2 GiB, and replacing a bad byte makes three bytes of one.
MAX_TOKEN_BYTES = 512 << 20

# Cuts are made behind these: ASCII bytes, so never inside a UTF-8 character.
_CUTS = {"tabs": (b"\n", b"\t")}
_WHITE_SPACE = (b" ", b"\n", b"\t", b"\r")
# The first bytes of a text that say what it is encoded by. That of UTF-32 begins as
# that of UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_BAD = "sgns_jax.bad"
# All that is no letter, mark, digit or apostrophe becomes a space; white space is
# left alone, which is faster. Outer apostrophes go later, once a distinct word.
_NOT_LETTERS = r"[^\pL\pM\pN'\s]+|''+"
_LAST_LINE = LINE_END + "x"


def _bad(error: UnicodeError) -> tuple[str | bytes, int]:
    """What cannot be decoded, as a byte that is never UTF-8: ``tokenize`` counts it."""
    if isinstance(error, UnicodeDecodeError):
        return "\udcff", error.end  # no character, so it meets this function again
    return b"\xff" * (error.end - error.start), error.end


codecs.register_error(_BAD, _bad)


class Tokens(NamedTuple):
    """The tokens of one piece of text, in order: ``words[ids[0]]``, ..."""

    words: list[str]  #: the piece's words, ``LINE_END`` first; "" and repeats occur
    ids: np.ndarray  #: (tokens,) int32, indices into ``words``; "" is no token
    bytes_read: int  #: length of the piece
    replaced_bytes: int  #: how many U+FFFD stand for what could not be decoded
    characters: int  #: length of the piece, decoded
    nuls: int  #: how many of them are NUL


def check_files(files: Iterable[Path], encoding: str = "utf-8") -> int | None:
    """Refuses files that are no text by their first bytes, before any is read.

    Returns:
        How many bytes ``open_source`` makes of them, marks at their starts included;
        None: unknown, since one is a pipe, or packed, or not encoded by UTF-8.

    Raises:
        InputError: as ``open_source``, of the files' beginnings.
    """
    total, plain = 0, True
    for file in files:
        plain &= is_plain(file, encoding)
        total += file.stat().st_size + 1
    return total if plain else None


def is_plain(path: Path, encoding: str = "utf-8") -> bool:
    """Does a file hold UTF-8 as it is, neither packed nor a pipe?"""
    if not path.is_file():
        return False  # to look into a pipe is to take from it
    with _explained(str(path)), open(path, "rb") as file:
        text = unpacked(file, str(path))
        _length_of_mark(text.head, str(path), encoding)
    return not text.was_packed and _codec(encoding) == "utf-8"


def expansion(path: Path, encoding: str = "utf-8", most: int = 16 << 20) -> float:
    """Bytes of text by bytes of the file that holds them, in the file's beginning."""
    with _explained(str(path)), open(path, "rb") as file:
        blocks = _utf8_blocks(file, str(path), most, encoding)
        return len(next(blocks, b"")) / max(file.tell(), 1)


def open_source(
    source: str,
    piece_bytes: int = PIECE_BYTES,
    *,
    encoding: str = "utf-8",
    tokenizer: str = "whitespace",
) -> Iterator[bytes]:
    """Reads a corpus in pieces that end between two words.

    Args:
        source: a file, a folder, a glob, or "-" for standard input. What is packed by
            gzip, bzip2, xz, zstd or lz4 is unpacked, and known by its first bytes:
            a plain file is plain text whatever its name ends with.
        piece_bytes: how many bytes to read at once; a piece is longer only where
            a token is.
        encoding: the text's codec, one of Python's.
        tokenizer: what a word is, see ``tokenize``.

    Yields:
        Pieces of the text in UTF-8, as it is or made so: 0xFF stands for what could
        not be decoded. The last piece of a file ends with ``\\n``. A byte-order mark
        at the start of a file is left out.

    Raises:
        InputError: nothing to read, a file cannot be read, is damaged, is of a kind
            that is no text or has the mark of another encoding, or has no end of a
            word for ``MAX_TOKEN_BYTES``.
    """
    cuts = _CUTS.get(tokenizer, _WHITE_SPACE)
    if source == STDIN:
        if sys.stdin is None:
            raise InputError("standard input is closed; give it a text, or name a file")
        with _explained("standard input"):
            stdin = sys.stdin.buffer
            blocks = _utf8_blocks(stdin, "standard input", piece_bytes, encoding)
            yield from _pieces(blocks, "standard input", cuts)
        return
    for path in source_files(source):
        with _explained(str(path)), open(path, "rb") as file:
            blocks = _utf8_blocks(file, str(path), piece_bytes, encoding)
            yield from _pieces(blocks, str(path), cuts)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, lzma.LZMAError, MemoryError) as error:
        advice = "give a readable, undamaged file"
        if "requires too much memory" in str(error):  # more than zstd's usual 128 MB
            advice = (
                f"it was packed with a larger window; zstd -dc --long=31 {name} | … "
                "--corpus=- reads it"
            )
        raise InputError(f"cannot read {name}: {error}; {advice}") from error


def _utf8_blocks(
    file: BinaryIO, name: str, block_bytes: int, encoding: str
) -> Iterator[bytes]:
    head, stream, _ = unpacked(file, name)
    mark = _length_of_mark(head, name, encoding)
    blocks = iter(partial(stream.read, block_bytes), b"")
    if _codec(encoding) == "utf-8":
        stream.read(mark)
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)(_BAD)
    at_start = True
    for block in chain(blocks, [b""]):
        text = decoder.decode(block, final=not block)
        if at_start and text:
            text, at_start = text.removeprefix("\ufeff"), False
        yield text.encode("utf-8", _BAD)


def _codec(encoding: str) -> str:
    return codecs.lookup(encoding).name.removesuffix("-sig")  # marks are our matter


def _length_of_mark(head: bytes, name: str, encoding: str) -> int:
    """Bytes of the byte-order mark; that of another encoding is refused."""
    codec = _codec(encoding)
    for mark, its_codec in _MARKS:
        if head.startswith(mark):
            if its_codec.startswith(codec):
                return len(mark)
            family = its_codec[:6]
            raise InputError(
                f"{name} is no {encoding} text: it begins with the mark of "
                f"{its_codec}; give encoding={family}"
            )
    if head and codec in ("utf-16", "utf-32"):
        raise InputError(
            f"{name} has no mark of {codec} at its beginning, which says the order of "
            f"its bytes; give encoding={codec}-le or {codec}-be"
        )
    return 0


def _pieces(
    blocks: Iterable[bytes], name: str, cuts: tuple[bytes, ...]
) -> Iterator[bytes]:
    held = []  # an unfinished token, in parts
    for block in blocks:
        cut = 1 + max(block.rfind(end) for end in cuts)
        if cut:
            yield b"".join((*held, block[:cut]))
            held = []
        held.append(block[cut:])
        if sum(map(len, held)) > MAX_TOKEN_BYTES:
            ends = "TAB" if cuts == _CUTS["tabs"] else "white space"
            raise InputError(
                f"{name} has no {ends} for {MAX_TOKEN_BYTES} bytes; "
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
            (``don’t`` becomes ``don't``); everything else is left out. "tabs": what
            stands between two TABs or ends of a line; ``_`` stands for white space
            inside, since files of vectors end a word at a space.
        lowercase: put tokens in lower case, by Unicode's rules.

    Returns:
        The tokens; bytes that are not UTF-8 are replaced by U+FFFD and counted.

    Raises:
        InputError: an unknown tokenizer.
    """
    if tokenizer not in ("whitespace", "letters", "tabs"):
        raise InputError(
            f"unknown tokenizer {tokenizer!r}: whitespace, letters or tabs"
        )
    text = piece.decode("utf-8", "replace")
    # To count what is seldom there takes longer than to see that it is not.
    replaced = text.count("\ufffd")
    replaced -= piece.count("\ufffd".encode()) if replaced else 0
    nuls = piece.count(b"\0") if b"\0" in piece else 0
    array = pa.array([text + _LAST_LINE])
    if tokenizer == "letters":
        array = pc.replace_substring(array, "’", "'")
        array = pc.replace_substring_regex(array, _NOT_LETTERS, " ")
    lines = pc.split_pattern(array, LINE_END).flatten()
    # pyarrow (26.0) decodes what follows white space at the very end of its input,
    # beyond the input, and keeps that white space where this fails. Hence one more
    # line, left out again.
    if tokenizer == "tabs":
        split = pc.split_pattern(lines, "\t")[:-1]
    else:
        split = pc.utf8_split_whitespace(lines)[:-1]
    # Arrow works in C++ without the interpreter's lock, and Python sees only each
    # distinct word of the piece.
    encoded = split.flatten().dictionary_encode()
    words = encoded.dictionary.to_pylist()
    if tokenizer == "letters":
        words = [word.strip("'") for word in words]
    if tokenizer == "tabs":
        words = ["_".join(word.split()) for word in words]
    if lowercase:
        words = [word.lower() for word in words]
    line_starts = split.offsets.to_numpy()[1:-1]
    ids = np.insert(encoded.indices.to_numpy() + np.int32(1), line_starts, 0)
    return Tokens([LINE_END, *words], ids, len(piece), replaced, len(text), nuls)
