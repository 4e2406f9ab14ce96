"""A corpus that has everything a reader must cope with."""

import gzip
import itertools
import lzma
from pathlib import Path

from experiments.faulting import zipf

#: Overlong, half a surrogate pair, a character cut off, a byte that none begins with.
_NOT_UTF8 = (b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82", b"\xff")
_SPACES = (" ", "\u2028", "\u00a0", "\u3000", "\t", "\r", "\x0b")
_ODD = ("\0", "e\u0301", "שלום", "😀", "\ufeff", "x" * 100_000)
_WORDS = 200_000  #: so many possible ones; many are rare
_PIECES = 2  # to a file, of zipf.py: 1.3 million words


def write(folder: Path, seed: int) -> None:
    """Six files of text: plain and packed, clean and dirty, lines short and endless."""
    deeper = folder / "deeper"
    deeper.mkdir(parents=True)
    pieces = zipf.pieces(seed, _WORDS)

    def text() -> bytes:
        return b"".join(itertools.islice(pieces, _PIECES))

    (folder / "plain.txt").write_bytes(text())
    (folder / "packed.txt.gz").write_bytes(gzip.compress(text(), 1))
    (folder / "packed.txt.xz").write_bytes(lzma.compress(text(), preset=0))
    (folder / "one_line.txt").write_bytes(text().replace(b"\n", b" ").rstrip())
    windows = b"\xef\xbb\xbf" + text().replace(b"\n", b"\r\n\r\n")  # empty lines, a BOM
    (deeper / "windows.txt").write_bytes(windows)
    (deeper / "dirty.txt").write_bytes(_dirty(text()))
    (deeper / "empty.txt").write_bytes(b"")


def _dirty(text: bytes) -> bytes:
    """Every 50th line gets bytes that are not UTF-8, odd spaces and odd words."""
    lines = text.split(b"\n")
    for number, i in enumerate(range(0, len(lines), 50)):
        broken = _NOT_UTF8[number % len(_NOT_UTF8)]
        space = _SPACES[number % len(_SPACES)].encode()
        odd = _ODD[number % (len(_ODD) - 1)] if i else _ODD[-1]  # the long one once
        lines[i] = space.join([*lines[i].split(), broken, odd.encode()])
    return b"\n".join(lines)
