"""Range images in the text format of the face recognition grand challenge (.abs, .abs.gz).

Three lines tell the size (``480 rows``, ``640 columns``, ``pixels (flag X Y Z):``), then come four
planes of as many numbers: 1 where a pixel has a point, and the point's X, Y and Z.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.records import Array

UNREADABLE = "unreadable_image"

MAX_BYTES = 2**28
MAX_POINTS = 4_000_000
"""Thirteen times those of the challenge's images."""

NO_POINT = -999999.0
"""Coordinates of pixels without a point."""

_PLANES = 4
_LONGEST_WORD = 60
_HEADER_BYTES = 500
_MOST_BYTES_PER_BYTE = 1040
"""What deflate makes of one byte at most."""

_STEP = 1 << 20
_HEADER = re.compile(
    rb"\s*(\d{1,9})\s+rows\s+(\d{1,9})\s+columns\s+pixels\s*\(flag X Y Z\)\s*:?[ \t]*\r?\n",
    re.IGNORECASE,
)


def read_abs(path: Path) -> Array:
    """Read a range image as (H, W, 3) float64 points in the file's units, NaN where there is none.

    Raises
    ------
    CaptureError
        ``missing_file``, or ``unreadable_image``: no such file, other numbers than the size
        declares, a flag that is neither 0 nor 1.
    """
    data = read_regular(path, UNREADABLE, MAX_BYTES)
    packed = data[:2] == b"\x1f\x8b"
    try:
        parts = _unpacked(data) if packed else iter([data])
        return _points(parts, len(data) * (_MOST_BYTES_PER_BYTE if packed else 1))
    except (ValueError, zlib.error) as error:
        raise CaptureError(UNREADABLE, f"{path}: {error}") from None


def _unpacked(data: bytes) -> Iterator[bytes]:
    """Unpack a gzip file step by step, whatever it becomes."""
    inflate = zlib.decompressobj(wbits=31)
    while not inflate.eof:
        part, data = inflate.decompress(data, _STEP), inflate.unconsumed_tail
        if part:
            yield part
        elif not data and not inflate.eof:
            raise ValueError("the gzip file does not end; it was cut off")


def _points(parts: Iterator[bytes], most_bytes: int) -> Array:
    text = b""
    while len(text) < _HEADER_BYTES and (part := next(parts, b"")):
        text += part
    header = _HEADER.match(text[:_HEADER_BYTES])
    if header is None:
        raise ValueError("expected three lines: rows, columns and 'pixels (flag X Y Z):'")
    rows, columns = int(header[1]), int(header[2])
    count = rows * columns
    if not 0 < count <= MAX_POINTS:
        raise ValueError(f"{rows} rows and {columns} columns, at most {MAX_POINTS} pixels are read")
    if 2 * _PLANES * count > most_bytes:
        raise ValueError(f"{rows} rows and {columns} columns, which it is too small for")
    values = np.empty(_PLANES * count)
    filled = 0
    for words in _words(text[header.end() :], parts):
        if filled + len(words) > len(values):
            raise ValueError(f"more than {_PLANES} planes of {count} numbers")
        values[filled : filled + len(words)] = words
        filled += len(words)
    if filled < len(values):
        raise ValueError(f"{filled} numbers, wanted {_PLANES} planes of {count}")
    return _valid(values.reshape(_PLANES, rows, columns))


def _valid(planes: Array) -> Array:
    flags, points = planes[0], planes[1:].transpose(1, 2, 0).copy()
    if not np.isin(flags, (0.0, 1.0)).all():
        raise ValueError("a flag is neither 0 nor 1")
    with np.errstate(invalid="ignore"):
        there = (flags == 1.0) & np.isfinite(points).all(axis=-1) & (points > NO_POINT).all(axis=-1)
    points[~there] = np.nan
    return points


def _words(text: bytes, parts: Iterator[bytes]) -> Iterator[Array]:
    """Yield all numbers of a text in portions, which take ten times their memory while read."""
    rest = b""
    while text or (text := next(parts, b"")):
        piece, text = rest + text[:_STEP], text[_STEP:]
        # The last word may go on in what follows.
        cut = max(piece.rfind(b" "), piece.rfind(b"\n"), piece.rfind(b"\t")) + 1
        rest = piece[cut:]
        if len(rest) > _STEP:
            raise ValueError("a number without an end")
        yield _numbers(piece[:cut])
    yield _numbers(rest)


def _numbers(text: bytes) -> Array:
    words = text.split()
    if max(map(len, words), default=0) > _LONGEST_WORD:
        raise ValueError(f"a number of more than {_LONGEST_WORD} digits")
    try:
        return np.array(words, dtype="S").astype(np.float64) if words else np.zeros(0)
    except ValueError as error:
        raise ValueError(f"no number: {str(error)[:100]}") from None
