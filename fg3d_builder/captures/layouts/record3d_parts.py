"""What Record3D's archives and its exported folders share: metadata, intrinsics, packed depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.captures.aligned_depth import DepthCamera, depth_on_colour, intrinsics_of_size
from fg3d_builder.captures.json_fields import bad_field, field, numbers_field
from fg3d_builder.captures.layouts.layout import Frame
from fg3d_builder.captures.plausibility import check_camera
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import json_object
from fg3d_builder.files.lzfse import lzfse_decoded
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array

UNREADABLE = "unreadable_image"
MAX_MEMBER_BYTES = 2**26
MM_PER_M = 1000.0
LOW_CONFIDENCE = 0
"""Of 0, 1, 2: LiDAR depth that the phone itself does not trust is left out."""

_MAX_SIDE = 4096
_OLD_DEPTH_SIZES = ((192, 256), (480, 640))
"""Short and long side of depth before the format noted them: LiDAR's and the face camera's."""


def metadata_of(data: bytes, path: Path) -> dict[str, Any]:
    """Read the metadata.

    Raises
    ------
    CaptureError
        ``bad_json``.
    """
    return json_object(data, f"{path}: 'metadata'")


def frame_of(table: dict[str, Any], number: int, rgb: Array, depth_m: Array, path: Path) -> Frame:
    """Bring depth (h, w) in metres, NaN where there is none, onto the picture of a frame.

    `table` is the file's ``metadata``, `number` that of the frame, `depth_m` its depth.

    Raises
    ------
    CaptureError
        ``missing_field``, ``bad_field`` or ``size_mismatch``.
    """
    height, width = rgb.shape[:2]
    intrinsics = _intrinsics(table, number, path, (height, width))
    check_camera(intrinsics, width, height, path)
    try:
        camera = DepthCamera(intrinsics_of_size(intrinsics, (height, width), depth_m.shape))
    except ValueError as problem:
        raise CaptureError("size_mismatch", f"{path}: colour and depth: {problem}") from None
    depth_mm = MM_PER_M * depth_m.astype(np.float64)
    return Frame(rgb, depth_on_colour(depth_mm, camera, intrinsics, height, width), intrinsics)


def unpacked_depth(
    table: dict[str, Any],
    packed: bytes,
    confidence: bytes | None,
    path: Path,
    number: int,
    colour_size: tuple[int, int],
) -> Array:
    """Return depth (h, w) in metres, NaN where there is none, of packed depth and confidence.

    `table` is the file's ``metadata``, `number` that of the frame, `colour_size` height and width
    of its picture.

    Raises
    ------
    CaptureError
        ``unreadable_image``, ``missing_field`` or ``bad_field``.
    """
    name = f"{number}.depth"
    if "dw" in table or "dh" in table:
        size = (_side(table, "dh", path), _side(table, "dw", path))
        data = _unpacked(packed, 4 * size[0] * size[1], path, name)
    else:
        size, data = _old_depth(packed, path, name, colour_size)
    depth = without_nothing(np.frombuffer(data, "<f4").reshape(size))
    if confidence is not None:
        levels = np.frombuffer(_unpacked(confidence, depth.size, path, f"{number}.conf"), np.uint8)
        depth[levels.reshape(size) == LOW_CONFIDENCE] = np.nan
    return depth


def without_nothing(depth_m: Array) -> Array:
    """Return a copy with NaN for numbers that are no depth.

    `depth_m` is (h, w) float, metres.
    """
    depth = depth_m.copy()
    with np.errstate(invalid="ignore"):
        depth[~(depth > 0) | np.isinf(depth)] = np.nan
    return depth


def _side(table: dict[str, Any], name: str, path: Path) -> int:
    value = field(table, name, path, "metadata.")
    if type(value) is not int or not 0 < value <= _MAX_SIDE:
        raise bad_field(path, f"metadata.{name}", f"a whole number from 1 to {_MAX_SIDE}", value)
    return value


def _intrinsics(table: dict[str, Any], number: int, path: Path, size: tuple[int, int]) -> Array:
    """Return the intrinsics of this frame's picture, which may be of another size than w x h."""
    each = table.get("perFrameIntrinsicCoeffs")
    if isinstance(each, list) and number < len(each):
        name = f"perFrameIntrinsicCoeffs[{number}]"
        values = numbers_field({name: each[number]}, name, path, (4,), "metadata.")
        camera = intrinsics_matrix(*values)
    else:
        name = "K"
        camera = numbers_field(table, "K", path, (9,), "metadata.").reshape(3, 3).T
        if np.abs(camera[[0, 1, 2, 2], [1, 0, 0, 1]]).max() > 0 or camera[2, 2] != 1:
            text = "a matrix, column by column, whose last row is 0, 0, 1, without skew"
            raise bad_field(path, "metadata.K", text, table["K"])
    if min(camera[0, 0], camera[1, 1]) <= 0:
        raise bad_field(path, f"metadata.{name}", "positive focal lengths", camera[0, 0])
    noted = (_side(table, "h", path), _side(table, "w", path))
    try:
        return intrinsics_of_size(camera, noted, size)
    except ValueError as problem:
        text = f"{path}: fields 'metadata.w' and 'metadata.h' and the picture: {problem}"
        raise CaptureError("size_mismatch", text) from None


def _old_depth(
    packed: bytes, path: Path, name: str, colour_size: tuple[int, int]
) -> tuple[tuple[int, int], bytes]:
    """Read depth whose size is not noted: the colour's, or one of those that phones measured."""
    wide = colour_size[1] > colour_size[0]
    sizes = [colour_size, *((s if wide else s[::-1]) for s in _OLD_DEPTH_SIZES)]
    for size in sizes:
        try:
            return size, lzfse_decoded(packed, 4 * size[0] * size[1])
        except ValueError:
            continue
    shown = ", ".join(f"{size[1]} x {size[0]}" for size in sizes)
    text = f"{path}: '{name}': without fields 'dw' and 'dh' one of {shown} pixels is expected"
    raise CaptureError(UNREADABLE, text)


def _unpacked(packed: bytes, size: int, path: Path, name: str) -> bytes:
    try:
        return lzfse_decoded(packed, size)
    except ValueError as problem:
        raise CaptureError(UNREADABLE, f"{path}: '{name}': {problem}") from None
