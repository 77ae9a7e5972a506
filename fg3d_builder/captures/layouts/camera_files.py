"""Intrinsics as people's scripts write them: JSON in several spellings, or a matrix in text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.captures.json_fields import (
    bad_field,
    numbers_field,
    object_field,
    positive_field,
)
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import read_json_object, read_regular
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array

_MAX_TEXT_BYTES = 2**16
_MATRICES = ("intrinsics", "intrinsicMatrix", "intrinsic_matrix", "cameraIntrinsics",
             "camera_intrinsics", "K", "camera_matrix")  # fmt: skip
_SIZES = (
    ("width", "height"),
    ("w", "h"),
    ("image_width", "image_height"),
    ("imageWidth", "imageHeight"),
)
_SIZE_OBJECTS = ("intrinsicMatrixReferenceDimensions", "imageResolution", "image_size")


def read_camera(path: Path) -> tuple[Array, tuple[int, int] | None]:
    """Read a camera.

    Returns
    -------
    intrinsics : (3, 3) float64
    size : (height, width) or None
        Of the picture that they belong to, where that is noted.

    Raises
    ------
    CaptureError
        ``missing_file``, ``bad_json``, ``missing_field`` or ``bad_field``.
    """
    if path.suffix.lower() != ".json":
        return read_matrix_text(path)[-1], None
    table = read_json_object(path)
    name = next((one for one in _MATRICES if one in table), "")
    if not name:
        if "fx" not in table:
            names = ", ".join(f"'{one}'" for one in _MATRICES)
            text = f"{path}: expected fields 'fx', 'fy', 'cx', 'cy', or one of {names}"
            raise CaptureError("missing_field", text)
        return _four(table, path, ""), _size(table, path)
    if isinstance(table[name], dict):
        inner = object_field(table, name, path)
        return _four(inner, path, f"{name}."), _size(inner, path) or _size(table, path)
    flat = isinstance(table[name], list) and not any(isinstance(row, list) for row in table[name])
    shape = (9,) if flat else (3, 3)
    matrix = numbers_field(table, name, path, shape).reshape(3, 3)
    return pinhole_matrix(matrix, f"{path}: field '{name}'"), _size(table, path)


def pinhole_matrix(matrix: Array, name: str) -> Array:
    """Return a matrix row by row, that may have been written column by column as Apple has it.

    Parameters
    ----------
    matrix : (3, 3) float
    name : str
        Of file and field, for the message.

    Raises
    ------
    CaptureError
        ``bad_field``: no pinhole camera's, or with skew.
    """
    for one in (matrix, matrix.T):
        zeros = one[[0, 1, 2, 2], [1, 0, 0, 1]]
        if not np.abs(zeros).max() > 1e-6 and one[2, 2] == 1 and min(one[0, 0], one[1, 1]) > 0:
            return intrinsics_matrix(one[0, 0], one[1, 1], one[0, 2], one[1, 2])
    text = "expected a pinhole camera's matrix: fx 0 cx, 0 fy cy, 0 0 1"
    raise CaptureError("bad_field", f"{name}: {text}")


def read_matrix_text(path: Path) -> list[Array]:
    """Read matrices in text, one row a line: an optional 4 x 4 pose, and 3 x 3 intrinsics last.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``bad_field``.
    """
    data = read_regular(path, "bad_field", _MAX_TEXT_BYTES)
    try:
        text = data.decode("ascii").replace(",", " ")
        rows = [[float(word) for word in line.split()] for line in text.split("\n") if line.strip()]
    except ValueError:
        raise CaptureError("bad_field", f"{path}: expected numbers, one row a line") from None
    if not all(math.isfinite(value) and abs(value) < 1e9 for row in rows for value in row):
        raise CaptureError("bad_field", f"{path}: not all numbers are finite")
    lengths = [len(row) for row in rows]
    if lengths not in ([3, 3, 3], [4, 4, 4, 4, 3, 3, 3]):
        text = "expected three rows of three numbers, with or without four of four before them"
        raise CaptureError("bad_field", f"{path}: {text}, found rows of {lengths[:8]}")
    pose = [np.array(rows[:4])] if len(rows) == 7 else []
    return [*pose, pinhole_matrix(np.array(rows[-3:]), str(path))]


def _four(table: dict[str, Any], path: Path, prefix: str) -> Array:
    fx, fy, cx, cy = (
        positive_field(table, name, path, prefix) for name in ("fx", "fy", "cx", "cy")
    )
    return intrinsics_matrix(fx, fy, cx, cy)


def _size(table: dict[str, Any], path: Path) -> tuple[int, int] | None:
    for width, height in _SIZES:
        if width in table and height in table:
            return _pixels(table, height, path), _pixels(table, width, path)
    for name in _SIZE_OBJECTS:
        if isinstance(table.get(name), dict):
            return _pixels(table[name], "height", path), _pixels(table[name], "width", path)
        if name in table:
            sides = numbers_field(table, name, path, (2,))
            both = {"width": float(sides[0]), "height": float(sides[1])}
            return _pixels(both, "height", path), _pixels(both, "width", path)
    return None


def _pixels(table: dict[str, Any], name: str, path: Path) -> int:
    value = positive_field(table, name, path)
    if value % 1 or value > 1e5:
        raise bad_field(path, name, "a whole number of pixels", value)
    return int(value)
