"""Record3D's own format: a zip archive of frames from a phone's face camera or its LiDAR.

::

    anna_smile.r3d
      metadata          JSON: w, h, dw, dh, K, perFrameIntrinsicCoeffs
      rgbd/0.jpg        colour
      rgbd/0.depth      float32 metres, LZFSE
      rgbd/0.conf       uint8, LZFSE; LiDAR alone

See docs/captures/phones.md.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.captures.aligned_depth import DepthCamera, depth_on_colour, intrinsics_of_size
from fg3d_builder.captures.json_fields import bad_field, field, numbers_field
from fg3d_builder.captures.layouts.layout import Frame, Item, Layout
from fg3d_builder.captures.layouts.person_names import (
    expression_of,
    person_of,
    recording_names,
    recordings_below,
)
from fg3d_builder.captures.plausibility import check_camera, refuse_turned
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import MAX_JSON_BYTES, each_once
from fg3d_builder.files.exif import exif_of
from fg3d_builder.files.images import decoded_rgb
from fg3d_builder.files.lzfse import lzfse_decoded
from fg3d_builder.files.zip_members import member_bytes, opened_zip
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array

UNREADABLE = "unreadable_image"
MM_PER_M = 1000.0
LOW_CONFIDENCE = 0
"""Of 0, 1, 2: LiDAR depth that the phone itself does not trust is left out."""

_PICTURE = re.compile(r"rgbd/(0|[1-9]\d{0,8})\.(?:jpg|depth)")
_MAX_MEMBER_BYTES = 2**26
_MAX_SIDE = 4096
_OLD_DEPTH_SIZES = ((192, 256), (480, 640))
"""Short and long side of depth before the format noted them: LiDAR's and the face camera's."""


def find(root: Path) -> list[Item]:
    """List the frames of all recordings; one item for a file whose frames cannot be listed."""
    files = recordings_below(root, lambda name: name.lower().endswith(".r3d"))
    names = recording_names(root, files)
    return [
        item for file, name in zip(files, names, strict=True) for item in _items(root, file, name)
    ]


def frame(item: Item) -> Frame:
    """Read a frame.

    Raises
    ------
    CaptureError
        ``missing_file``, ``unreadable_image``, ``bad_json``, ``missing_field``, ``bad_field``,
        ``size_mismatch`` or ``orientation_tag``.
    """
    path = item.files[0]
    with opened_zip(path, UNREADABLE) as archive:
        table = _metadata(archive, path)
        picture = member_bytes(
            archive, f"rgbd/{item.frame}.jpg", _MAX_MEMBER_BYTES, path, UNREADABLE
        )
        shown = f"{path}: 'rgbd/{item.frame}.jpg'"
        rgb = decoded_rgb(picture, shown)
        refuse_turned(exif_of(picture, shown).orientation, shown)
        depth_m = _depth(archive, table, item.frame, path, rgb.shape[:2])
    size = rgb.shape[:2]
    intrinsics = _intrinsics(table, item.frame, path, size)
    check_camera(intrinsics, size[1], size[0], path)
    try:
        camera = DepthCamera(intrinsics_of_size(intrinsics, size, depth_m.shape))
    except ValueError as problem:
        raise CaptureError("size_mismatch", f"{path}: colour and depth: {problem}") from None
    depth_mm = MM_PER_M * depth_m.astype(np.float64)
    return Frame(rgb, depth_on_colour(depth_mm, camera, intrinsics, *size), intrinsics)


def _items(root: Path, file: Path, name: str) -> list[Item]:
    try:
        with opened_zip(file, UNREADABLE) as archive:
            found = [_PICTURE.fullmatch(member) for member in archive.namelist()]
    except CaptureError:
        found = []
    numbers = sorted({int(match[1]) for match in found if match is not None}) or [0]
    person, expression = person_of(root, file), expression_of(root, file)
    return [
        Item(f"{name}-{number:05d}", person, (file,), expression, name, number)
        for number in numbers
    ]


def _metadata(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    data = member_bytes(archive, "metadata", MAX_JSON_BYTES, path, "bad_json")
    try:
        table = json.loads(data.decode("utf-8-sig"), object_pairs_hook=each_once)
    except RecursionError:
        raise CaptureError("bad_json", f"{path}: 'metadata': nested too deeply") from None
    except ValueError as error:
        raise CaptureError("bad_json", f"{path}: 'metadata': no valid JSON: {error}") from None
    if not isinstance(table, dict):
        raise CaptureError("bad_json", f"{path}: 'metadata': expected an object")
    return table


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


def _depth(
    archive: zipfile.ZipFile,
    table: dict[str, Any],
    number: int,
    path: Path,
    colour_size: tuple[int, int],
) -> Array:
    """Return depth (h, w) in metres, NaN where there is none."""
    name = f"rgbd/{number}.depth"
    packed = member_bytes(archive, name, _MAX_MEMBER_BYTES, path, UNREADABLE)
    if "dw" in table or "dh" in table:
        size = (_side(table, "dh", path), _side(table, "dw", path))
        data = _unpacked(packed, 4 * size[0] * size[1], path, name)
    else:
        size, data = _old_depth(packed, path, name, colour_size)
    depth = np.frombuffer(data, "<f4").reshape(size).copy()
    with np.errstate(invalid="ignore"):
        depth[~(depth > 0) | np.isinf(depth)] = np.nan
    confidence = f"rgbd/{number}.conf"
    if confidence in archive.namelist():
        packed = member_bytes(archive, confidence, _MAX_MEMBER_BYTES, path, UNREADABLE)
        levels = np.frombuffer(_unpacked(packed, depth.size, path, confidence), np.uint8)
        depth[levels.reshape(size) == LOW_CONFIDENCE] = np.nan
    return depth


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


LAYOUT = Layout(
    kind="record3d",
    title="Record3D recordings",
    expects="PERSON_smile.r3d, or PERSON/*.r3d",
    find=find,
    frame=frame,
)
