"""Raw frames that StandardCyborg's TrueDepthFusion dumps: PLY with depth, JPEG with colour.

::

    anna/DepthFrames/frame-000.ply    depth, colour at its pixels, camera
    anna/DepthFrames/frame-000.jpeg   colour at its own size; may be absent

See docs/captures/phones.md.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.captures.aligned_depth import DepthCamera, depth_on_colour, intrinsics_of_size
from fg3d_builder.captures.json_fields import (
    bad_field,
    field,
    numbers_field,
    object_field,
    positive_field,
)
from fg3d_builder.captures.layouts.layout import Frame, Item, Layout
from fg3d_builder.captures.layouts.person_names import below, expression_of, recordings_below
from fg3d_builder.captures.layouts.turned_pixels import turned_camera, turned_image
from fg3d_builder.captures.plausibility import check_camera, check_upright_pixels
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bply_frame import read_bply_frame
from fg3d_builder.files.images import read_rgb
from fg3d_builder.records import Array

MM_PER_M = 1000.0
_NOTHING_M = 9999.0
"""What the app writes where the sensor saw nothing."""

_FRAME = re.compile(r"frame-(\d{3,9})\.ply")
_INNER = "depthframes"

_PHONE = ((0, 1), (1, 0))
"""Beginning of the orientation matrix that the app writes for phones."""

_PHONE_TURNS = 3
"""Quarter turns anticlockwise that make a phone's frames upright, as the published frames show."""


def find(root: Path) -> list[Item]:
    """List the frames of all recordings; a recording's folder, or that above, is the person."""
    return [_item(root, file) for file in recordings_below(root, _FRAME.fullmatch)]


def frame(item: Item) -> Frame:
    """Read a frame, upright.

    Raises
    ------
    CaptureError
        As `read_bply_frame` and `read_rgb`; ``size_mismatch``, ``orientation_tag``.
    """
    path = item.files[0]
    raw = read_bply_frame(path)
    camera = object_field(raw.about, "camera_intrinsics", path, "metadata.")
    intrinsics, size = _camera(camera, path)
    turns = _turns(camera, path)
    rgb = raw.rgb
    if os.path.lexists(item.files[1]):
        rgb = read_rgb(item.files[1])
        check_upright_pixels(item.files[1])
    rgb, depth_m = (turned_image(image, turns) for image in (rgb, raw.depth_m))
    try:
        matrix = intrinsics_of_size(*turned_camera(intrinsics, size, turns), rgb.shape[:2])
        depth_camera = DepthCamera(intrinsics_of_size(matrix, rgb.shape[:2], depth_m.shape))
    except ValueError as problem:
        text = f"{path}: colour, depth and the camera's reference size: {problem}"
        raise CaptureError("size_mismatch", text) from None
    height, width = rgb.shape[:2]
    check_camera(matrix, width, height, path)
    with np.errstate(invalid="ignore"):
        known = (depth_m > 0) & (depth_m < _NOTHING_M)
    depth_mm = np.where(known, MM_PER_M * depth_m.astype(np.float64), np.nan)
    return Frame(rgb, depth_on_colour(depth_mm, depth_camera, matrix, height, width), matrix)


def _item(root: Path, file: Path) -> Item:
    match = _FRAME.fullmatch(file.name)
    assert match is not None
    folders = [part for part in below(root, file)[:-1] if part.lower() != _INNER]
    if not folders:
        home = file.parent.resolve()
        folders = [(home.parent if home.name.lower() == _INNER else home).name]
    recording = "-".join(folders)
    return Item(
        name=f"{recording}-{match[1]}",
        subject=folders[0],
        files=(file, file.with_suffix(".jpeg")),
        expression=expression_of(root, file),
        sequence="/".join(folders),
        frame=int(match[1]),
    )


def _camera(camera: dict[str, Any], path: Path) -> tuple[Array, tuple[int, int]]:
    """Return intrinsics and the size (height, width) that they belong to."""
    inside = "metadata.camera_intrinsics."
    name = "nominalIntrinsicMatrix" if "nominalIntrinsicMatrix" in camera else "intrinsic_matrix"
    values = numbers_field(camera, name, path, (9,), inside)
    matrix = values.reshape(3, 3).T.copy()
    if np.abs(matrix[[0, 1, 2, 2], [1, 0, 0, 1]]).max() > 0 or matrix[2, 2] != 1:
        text = "a pinhole matrix, column by column"
        raise bad_field(path, inside + name, text, field(camera, name, path, inside))
    if min(matrix[0, 0], matrix[1, 1]) <= 0:
        raise bad_field(path, inside + name, "positive focal lengths", matrix[0, 0])
    for scale in ("focalLengthScaleFactor", "focal_length_scale_factor"):
        if scale in camera:
            matrix[[0, 1], [0, 1]] *= positive_field(camera, scale, path, inside)
            break
    if "intrinsicMatrixReferenceSize" in camera:
        sides = numbers_field(camera, "intrinsicMatrixReferenceSize", path, (2,), inside)
        width, height = (float(side) for side in sides)
    else:
        width, height = (
            positive_field(camera, f"intrinsic_matrix_reference_dimensions_{side}", path, inside)
            for side in ("width", "height")
        )
    if not (1 <= width <= 1e5 and 1 <= height <= 1e5 and width % 1 == 0 and height % 1 == 0):
        text = "whole numbers of pixels"
        raise bad_field(path, inside + "intrinsicMatrixReferenceSize", text, [width, height])
    return matrix, (int(height), int(width))


def _turns(camera: dict[str, Any], path: Path) -> int:
    """Return by how many quarter turns anticlockwise the picture becomes upright."""
    if "orientationMatrix" not in camera:
        return _PHONE_TURNS  # as the SDK has it for older files
    name = "orientationMatrix"
    values = numbers_field(camera, name, path, (12,), "metadata.camera_intrinsics.")
    if np.abs(values.reshape(4, 3).T[:2, :2] - _PHONE).max() > 0.1:
        raise CaptureError(
            "orientation_tag",
            f"{path}: field 'metadata.camera_intrinsics.{name}' is not that of a phone; which way "
            "up frames of other devices are is not known",
        )
    return _PHONE_TURNS


LAYOUT = Layout(
    kind="standardcyborg",
    title="StandardCyborg TrueDepth frames",
    expects="PERSON/DepthFrames/frame-000.ply with frame-000.jpeg",
    find=find,
    frame=frame,
    suffixes=(".ply",),
)
