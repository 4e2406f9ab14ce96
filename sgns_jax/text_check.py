"""Is what is read a text? Told from its pieces, as they are read."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from sgns_jax.text import STDIN, Tokens
from sgns_jax.types import InputError

#: A text has no more characters than this share that are NUL or cannot be decoded...
MAX_UNREADABLE = 0.01
#: ... or at most so many of them: what is short may be odd.
FEW = 100
_SAMPLE_BYTES = 1 << 16
_JSON_OBJECT = re.compile(rb'\s*\{\s*("([^"\\]|\\.)*"\s*:|\}\s*$)')


class TextCheck:
    """Looks at the pieces of a text, and at what became of each.

    Args:
        source: what the user calls the text.
        encoding: by which it is decoded.
        on_warning: called with a line if the lines of a file are JSON objects.
    """

    def __init__(self, source: str, encoding: str, on_warning: Callable[[str], None]):
        self._encoding, self._on_warning = encoding, on_warning
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._file, self._text = _Count(""), _Count(f"corpus {source!r}")
        self.bytes_read = 0

    def watch(self, name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces of a file, unchanged; their tokens are to come to ``add``."""
        name = "standard input" if name == STDIN else name
        for number, piece in enumerate(pieces):
            if number == 0 and _is_json(piece):
                self._on_warning(
                    f"most lines of {name} are JSON objects: their names, braces and "
                    "escapes are read as words; to train on one field, take it out "
                    "first (jq -r .text)"
                )
                self._on_warning = lambda line: None  # once
            self._waiting.append((name, piece))
            yield piece

    def add(self, tokens: Tokens) -> None:
        """Takes the tokens of the next piece that ``watch`` gave.

        Raises:
            InputError: too little of the file, or of all files so far, is readable.
        """
        name, piece = self._waiting.popleft()
        if name != self._file.name:
            self._file = _Count(name)
        for count in (self._file, self._text):
            count.add(tokens, piece)
            count.refuse_unreadable(self._encoding)
        self.bytes_read += tokens.bytes_read


class _Count:
    """Characters of a text so far, and those of them that are unreadable."""

    def __init__(self, name: str):
        self.name = name
        self._characters = self._unreadable = self._first = 0

    def add(self, tokens: Tokens, piece: bytes) -> None:
        unreadable = tokens.nuls + tokens.replaced_bytes
        if unreadable and not self._first:
            self._first = self._characters + _first_unreadable(piece)
        self._characters += tokens.characters
        self._unreadable += unreadable

    def refuse_unreadable(self, encoding: str) -> None:
        if self._unreadable > max(FEW, MAX_UNREADABLE * self._characters):
            share = self._unreadable / self._characters
            raise InputError(
                f"{self.name} is no {encoding} text: of its first "
                f"{self._characters:,} characters, {self._unreadable:,} ({share:.1%}) "
                f"are NULs or cannot be decoded (character {self._first:,} is the "
                "first); give its encoding (latin-1, gb18030, utf-16-le, ...), or a "
                "text"
            )


def _first_unreadable(piece: bytes) -> int:
    """The number of its character, counted from 1."""
    try:
        piece.decode()
        end = len(piece)
    except UnicodeDecodeError as error:
        end = error.start
    nul = piece.find(b"\0", 0, end)
    return len(piece[: end if nul < 0 else nul].decode()) + 1


def _is_json(piece: bytes) -> bool:
    """Are most of its first lines the beginnings of JSON objects?"""
    lines = [line for line in piece[:_SAMPLE_BYTES].split(b"\n") if line.strip()]
    return 2 * sum(map(bool, map(_JSON_OBJECT.match, lines))) > len(lines)
