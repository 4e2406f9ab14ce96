"""What is no text is told from its pieces, and where it begins to be none."""

import pytest

from sgns_jax.text import tokenize
from sgns_jax.text_check import FEW, TextCheck
from sgns_jax.types import InputError


def check(*files: tuple[str, list[bytes]], said=None, encoding: str = "utf-8") -> None:
    """Gives the pieces of files to a check, each two ahead of its tokens."""
    found = TextCheck("texts", encoding, pytest.fail if said is None else said.append)
    ahead = []
    for name, pieces in files:
        for piece in found.watch(name, pieces):
            ahead.append(tokenize(piece))
            if len(ahead) > 2:
                found.add(ahead.pop(0))
    for tokens in ahead:
        found.add(tokens)
    assert found.bytes_read == sum(
        len(piece) for _, pieces in files for piece in pieces
    )


def test_a_share_of_odd_characters_is_borne():
    check(("few", [b"\xff\0" * (FEW // 2)]))
    check(("one in a hundred", [b"\xff" + b"a" * 99] * 200))
    check(("one in a hundred", [b"\0" + "é".encode() * 99] * 200))
    check(("a good U+FFFD is a character", ["\ufffd".encode() * 999]))
    check(("a", [b"a" * 20_000]), ("b", [b"\xff" * FEW]), ("c", [b"a" * 99]))


@pytest.mark.parametrize("odd", [b"\xff", b"\0"])
def test_a_file_that_cannot_be_read_is_named(odd):
    good = ("good", ["größe ".encode() * 10_000])
    bad = ("bad.txt", [b"a " * 4_990, "é".encode() * 10 + odd * (FEW + 1), b"a"])
    want = (
        "^bad.txt is no utf-8 text: of its first 10,091 characters, 101 .1.0%. are "
        "NULs or cannot be decoded .character 9,991 is the first.; give"
    )
    for files in ([bad], [good, bad], [bad, good], [good, bad, good]):
        with pytest.raises(InputError, match=want):
            check(*files)
    with pytest.raises(InputError, match="^standard input is no utf-8 text"):
        check(("-", bad[1]))
    with pytest.raises(InputError, match="bad.txt is no koi8-r text"):
        check(bad, encoding="koi8-r")


def test_many_files_with_few_odd_characters_each():
    files = [(f"{number}", [b"caf\xe9 " * 20]) for number in range(6)]
    check(*files[:5])
    with pytest.raises(
        InputError, match="^corpus 'texts' is no utf-8 text: .* 120 .*character 4 is"
    ):
        check(*files)


JSON = [
    b'{"id": "1", "text": "\\u0440\\u0435"}\n{"id": "2", "text": ""}\n',
    b"{}\n\n{}\n",
    b' { "a" : 1}\r\n',
    b'a word\n{"a\\"b": {"c": 1}}\n{"a": 2}\n',
    b'{"text": "' + b"long " * 50_000,
]
NO_JSON = [
    b"", b"\n", b"a text\n{\n", b'{"quoted"} {"a": 1}\n', b'[1]\n{"a": 1}\n',
    b'a {"b": 1}\n', b"{{citation needed}}\n",
]  # fmt: skip


def test_lines_that_are_json_are_told_once():
    for piece in JSON:
        said = []
        check(
            ("card.md", [b"a card"]), ("x", [piece, piece]), ("y", [piece]), said=said
        )
        (line,) = said
        assert line.startswith("most lines of x are JSON objects") and "\n" not in line
    check(*((f"{number}", [piece]) for number, piece in enumerate(NO_JSON)))
