"""Range images of the Bosphorus database (.bnt): points in a grid, and where a picture has them.

Little-endian: u16 rows, u16 columns, f64 the value of what is no point, u16 length of the picture's
name, that name, u32 count of numbers, then five planes of f64: x, y, z, and the place in the
picture (a to the right, b downwards, both 0 to 1).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.records import Array

UNREADABLE = "unreadable_image"

MAX_BYTES = 2**28
FARTHEST = 1e6
"""A coordinate farther than a kilometre from the origin is none, in millimetres."""

_PLANES = 5
_HEAD = struct.Struct("<HHdH")


class BntImage(NamedTuple):
    """A range image, with its first row at the top of the picture.

    Attributes
    ----------
    points : (H, W, 3) float64
        NaN where there is none.
    uv : (H, W, 2) float64
        Place in the picture, v up, as texture coordinates are.
    """

    points: Array
    uv: Array


def read_bnt(path: Path) -> BntImage:
    """Read a range image.

    Raises
    ------
    CaptureError
        ``missing_file``, or ``unreadable_image``: no such file, other numbers than the size
        declares, places outside of the picture.
    """
    data = read_regular(path, UNREADABLE, MAX_BYTES)
    try:
        return _image(data)
    except (ValueError, struct.error) as error:
        raise CaptureError(UNREADABLE, f"{path}: {error}") from None


def _image(data: bytes) -> BntImage:
    if len(data) < _HEAD.size:
        raise ValueError(f"{len(data)} bytes, too few for a .bnt file")
    rows, columns, nothing, length = _HEAD.unpack_from(data)
    start = _HEAD.size + length
    if start + 4 > len(data):
        raise ValueError(f"a name of {length} bytes is declared, which are not there")
    (numbers,) = struct.unpack_from("<I", data, start)
    there = len(data) - start - 4
    if 8 * numbers > there:
        raise ValueError(
            f"{numbers} numbers are declared, {8 * numbers} bytes, but {there} are there"
        )
    if numbers % _PLANES or not numbers:
        raise ValueError(f"{numbers} numbers, which are not five planes")
    if not np.isfinite(nothing):
        raise ValueError("z-minimum, the value of what is no point, is not finite")
    planes = np.frombuffer(data, "<f8", numbers, start + 4).reshape(_PLANES, -1)
    height, width = _size(rows, columns, planes[3], planes[4])
    points = planes[:3].T.reshape(height, width, 3).astype(np.float64)
    with np.errstate(invalid="ignore"):
        gone = ~(np.abs(points) <= FARTHEST).all(axis=-1) | (points == nothing).any(axis=-1)
    points[gone] = np.nan
    a, b = (plane.reshape(height, width) for plane in planes[3:])
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a place in the picture is not finite")
    if min(a.min(), b.min()) < 0 or max(a.max(), b.max()) > 1:
        raise ValueError("a place in the picture is not between 0 and 1")
    uv = np.stack([a, 1.0 - b], axis=-1)
    if b[0].mean() > b[-1].mean():  # rows from the bottom to the top, as they are published
        points, uv = points[::-1].copy(), uv[::-1].copy()
    return BntImage(points, uv)


def _size(rows: int, columns: int, a: Array, b: Array) -> tuple[int, int]:
    """Return height and width; where the declared ones are others, those of the places."""
    if rows * columns == len(a):
        return rows, columns
    # Along a row the place in the picture moves to the right, and stays at one height.
    change = np.flatnonzero(np.diff(a) < 0)
    width = int(change[0]) + 1 if len(change) else len(a)
    if len(a) % width or not np.array_equal(change + 1, np.arange(width, len(a), width)):
        raise ValueError(
            f"{rows} rows and {columns} columns are declared, but there are {len(a)} points"
        )
    return len(a) // width, width
