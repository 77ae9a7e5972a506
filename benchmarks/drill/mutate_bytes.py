"""Mutations of any file's bytes, and of text with its numbers, words and lines."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

Random = np.random.Generator
Mutation = Callable[[bytes, Random], bytes]

NUMBERS = (
    b"nan",
    b"inf",
    b"-inf",
    b"NaN",
    b"Infinity",
    b"-1",
    b"0",
    b"1e308",
    b"-1e308",
    b"1e400",
    b"1e30",
    b"1e-320",
    b"2147483648",
    b"-2147483649",
    b"9223372036854775808",
    b"99999999999999999999999",
    b"0x10",
    b"1_000",
    b"true",
    b"null",
    b"",
    b"-",
    b"1e",
    b"1,5",
    b"\xd9\xa3",
)
"""Put in the place of numbers; the last is an Arabic digit."""

_WORDS = (b"\x00", b"\xff", b"\x80", b"\x01", b"\x7f", b"\xfe")
_NUMBER = re.compile(rb"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")


def flipped(data: bytes, rng: Random) -> bytes:
    """Turn one bit around."""
    if not data:
        return b"\x00"
    place = int(rng.integers(len(data)))
    return data[:place] + bytes([data[place] ^ (1 << int(rng.integers(8)))]) + data[place + 1 :]


def cut(data: bytes, rng: Random) -> bytes:
    """Cut the end off."""
    return data[: int(rng.integers(len(data)))] if data else b"\x00"


def _span(data: bytes, rng: Random, largest: int = 64) -> tuple[int, int]:
    begin = int(rng.integers(len(data)))
    return begin, min(len(data), begin + 1 + int(rng.integers(largest)))


def _without(data: bytes, rng: Random) -> bytes:
    begin, end = _span(data, rng)
    return data[:begin] + data[end:]


def _spliced(data: bytes, rng: Random) -> bytes:
    """Copy a piece to another place, over what is there or between it."""
    begin, end = _span(data, rng, 256)
    place = int(rng.integers(len(data)))
    after = place + (end - begin) * int(rng.integers(2))
    return data[:place] + data[begin:end] + data[after:]


def _repeated(data: bytes, rng: Random) -> bytes:
    begin, end = _span(data, rng, 16)
    return data[:end] + data[begin:end] * int(rng.integers(1, 2000)) + data[end:]


def _noise(data: bytes, rng: Random) -> bytes:
    begin, end = _span(data, rng, 16)
    return data[:begin] + rng.bytes(end - begin) + data[end:]


def extreme(data: bytes, rng: Random) -> bytes:
    """Put an extreme number over one, two, four or eight bytes, as in length fields."""
    width = int(2 ** rng.integers(4))
    place = int(rng.integers(max(1, len(data) - width)))
    word = _WORDS[int(rng.integers(len(_WORDS)))]
    filling = (b"\xff" if rng.random() < 0.5 else b"\x00") * (width - 1)
    value = word + filling if rng.random() < 0.5 else filling + word
    return data[:place] + value + data[place + width :]


PLAIN: tuple[Mutation, ...] = (
    flipped,
    flipped,
    cut,
    _without,
    _spliced,
    _repeated,
    _noise,
    extreme,
    extreme,
)


def number(data: bytes, rng: Random) -> bytes:
    """Put something odd in the place of a number."""
    found = list(_NUMBER.finditer(data))
    at = found[int(rng.integers(len(found)))]
    return data[: at.start()] + NUMBERS[int(rng.integers(len(NUMBERS)))] + data[at.end() :]


def _token(data: bytes, rng: Random) -> bytes:
    """Repeat a word, or make it long."""
    found = list(re.finditer(rb"[^\s,/\"]+", data))
    at = found[int(rng.integers(len(found)))]
    times = int(rng.choice([1, 2, 100, 100_000]))
    return (
        data[: at.end()] + (b" " if rng.random() < 0.5 else b"") + at[0] * times + data[at.end() :]
    )


def line(data: bytes, rng: Random) -> bytes:
    """Repeat, drop or exchange lines."""
    lines = data.split(b"\n")
    a, b = (int(rng.integers(len(lines))) for _ in range(2))
    way = int(rng.integers(4))
    if way == 0:
        lines[a:a] = [lines[b]] * int(rng.choice([1, 3, 500]))
    elif way == 1:
        del lines[a]
    elif way == 2:
        lines[a], lines[b] = lines[b], lines[a]
    else:
        lines[a] = lines[a][: int(rng.integers(len(lines[a]) + 1))]
    return b"\n".join(lines)


def sign(data: bytes, rng: Random) -> bytes:
    """Put in something that text readers trip over."""
    signs = (
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xc3\x28",
        b"\r",
        b'"',
        b"\\",
        b"\xed\xa0\x80",
    )
    place = int(rng.integers(len(data) + 1))
    return data[:place] + signs[int(rng.integers(len(signs)))] + data[place:]


TEXT: tuple[Mutation, ...] = (number, number, number, _token, line, line, sign)
