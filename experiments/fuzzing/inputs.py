"""Files that are nearly what a reader accepts, and some that are nothing like it."""

import re

from hypothesis import strategies as st

MAX_BYTES = 1 << 16
NUMBERS = (
    b"0", b"-1", b"1", b"3", b"1000000000", b"2147483648", b"9223372036854775808",
    b"9" * 40, b"1e400", b"nan", b"0.5", b"null", b'"', b"[]", b"{}",
)  # fmt: skip
SEPARATORS = (
    b" ", b"\n", b"\t", b"\r\n", b"\0", b":", b"#", b"\xff", b"\xc2\xa0", b"\x1c",
    b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xe2\x80\xa8", "é".encode(),
)  # fmt: skip


@st.composite
def near(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed after up to four accidents; one time in ten, any bytes."""
    if draw(st.integers(0, 9)) == 9:
        return draw(st.binary(max_size=200))
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        data = draw(st.sampled_from(ACCIDENTS))(draw, data)[:MAX_BYTES]
    return data


def _part(draw: st.DrawFn, data: bytes) -> tuple[int, int]:
    start = draw(st.integers(0, len(data)))
    return start, draw(st.integers(start, min(len(data), start + 64)))


def cut_off(draw: st.DrawFn, data: bytes) -> bytes:
    return data[: draw(st.integers(0, len(data)))]


def leave_out(draw: st.DrawFn, data: bytes) -> bytes:
    start, end = _part(draw, data)
    return data[:start] + data[end:]


def overwrite(draw: st.DrawFn, data: bytes) -> bytes:
    start, end = _part(draw, data)
    return data[:start] + draw(st.binary(max_size=8)) + data[end:]


def flip_a_bit(draw: st.DrawFn, data: bytes) -> bytes:
    if not data:
        return data
    place, bit = draw(st.integers(0, len(data) - 1)), draw(st.integers(0, 7))
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def repeat(draw: st.DrawFn, data: bytes) -> bytes:
    start, end = _part(draw, data)
    times = draw(st.sampled_from((2, 3, 100, 10_000)))
    return data[:start] + (data[start:end] * times)[:MAX_BYTES] + data[end:]


def insert(draw: st.DrawFn, data: bytes) -> bytes:
    place = draw(st.integers(0, len(data)))
    return data[:place] + draw(st.sampled_from(SEPARATORS + NUMBERS)) + data[place:]


def lie_about_a_number(draw: st.DrawFn, data: bytes) -> bytes:
    found = list(re.finditer(rb"-?[0-9]+", data))
    if not found:
        return data
    start, end = draw(st.sampled_from(found)).span()
    return data[:start] + draw(st.sampled_from(NUMBERS)) + data[end:]


ACCIDENTS = (
    cut_off, leave_out, overwrite, flip_a_bit, repeat, insert, lie_about_a_number,
)  # fmt: skip
