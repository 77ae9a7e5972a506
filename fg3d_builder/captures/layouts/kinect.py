"""Pairs of pictures from Azure Kinect and Orbbec cameras, with the cameras in a JSON file.

::

    anna/calibration.json         the recording's attachment, or k4a_calibration_t
    anna/color/00001.jpg
    anna/depth/00001.png          16 bits, millimetres; the depth camera's own, or on the colour
    ben/intrinsic.json            Open3D's reader of recordings: depth is on the colour's pixels
    cleo/camera_param.json        Orbbec's OBCameraParam

See docs/captures/depth-cameras.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fg3d_builder.captures.camera_json import (
    DEPTH_MODE,
    camera_object,
    distortion_object,
    first_of,
    open3d_lens,
    read_lens,
    read_pose,
)
from fg3d_builder.captures.json_fields import bad_field, object_field, positive_field
from fg3d_builder.captures.k4a_calibration import (
    FROM_SOFTWARE,
    RECORDED,
    recorded_calibration,
    software_calibration,
)
from fg3d_builder.captures.layouts.layout import Layout
from fg3d_builder.captures.layouts.recordings import recordings_layout
from fg3d_builder.captures.layouts.rgbd_rig import Rig
from fg3d_builder.captures.lens import Lens
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import read_json_object

CAMERA_FILES = (
    "calibration.json",
    "intrinsic.json",
    "intrinsics.json",
    "camera_param.json",
    "camera_params.json",
    "camera_intrinsics.json",
    "camera.json",
)

_COLOUR = ("rgb_intrinsic", "rgbIntrinsic")
_DEPTH = ("depth_intrinsic", "depthIntrinsic")
_COLOUR_BEND = ("rgb_distortion", "rgbDistortion")
_DEPTH_BEND = ("depth_distortion", "depthDistortion")
_BETWEEN = ("transform", "depth_to_color", "d2c_extrinsic")
_ROTATION, _TRANSLATION = ("rot", "rotation"), ("transform", "trans", "translation")
_MODELS = ("brown_conrady", "brown_conrady_k6")


def read_rig(path: Path, colour_size: tuple[int, int], depth_size: tuple[int, int]) -> Rig:
    """Read the cameras for pictures of some size (height, width).

    Raises
    ------
    CaptureError
        ``missing_file``, ``bad_json``, ``missing_field``, ``bad_field`` or ``size_mismatch``.
    """
    table = read_json_object(path)
    if RECORDED in table:
        own = None if depth_size == colour_size else depth_size
        colour, depth, pose = recorded_calibration(table, path, colour_size, own)
        return Rig(path, colour, depth, *pose)
    if FROM_SOFTWARE in table:
        colour, depth, pose = software_calibration(table, path)
        return Rig(path, colour, depth, *pose)
    if "intrinsic_matrix" in table and DEPTH_MODE in table:
        return Rig(path, open3d_lens(table, path))
    if first_of(table, _COLOUR) in table:
        return _orbbec_rig(table, path)
    if "intrinsic_matrix" in table:
        text = f"{path}: field '{DEPTH_MODE}' is missing: no Azure Kinect's; see kind 'realsense'"
        raise CaptureError("missing_field", text)
    known = ", ".join([RECORDED, FROM_SOFTWARE, "intrinsic_matrix", _COLOUR[0]])
    raise CaptureError("missing_field", f"{path}: none of the fields {known} is there")


def _orbbec_rig(table: dict[str, Any], path: Path) -> Rig:
    """Read ``OBCameraParam``: pixels, millimetres, and the rotation row by row."""
    rig = Rig(path, _orbbec_lens(table, _COLOUR, _COLOUR_BEND, path))
    if first_of(table, _DEPTH) in table:
        rig = replace(rig, depth=_orbbec_lens(table, _DEPTH, _DEPTH_BEND, path))
    name = first_of(table, _BETWEEN)
    if name in table:
        inner = object_field(table, name, path, holds="rot and transform")
        pose = read_pose(inner, (_ROTATION, _TRANSLATION), path, f"{name}.", 1.0, rows=True)
        rig = replace(rig, rotation=pose[0], translation_mm=pose[1])
    aligned = table.get("aligned")
    if aligned is not None and not isinstance(aligned, bool):
        raise bad_field(path, "aligned", "true or false", aligned)
    unit_mm = positive_field({"depth_scale": 1.0, **table}, "depth_scale", path)
    return replace(rig, aligned=aligned, unit_mm=unit_mm)


def _orbbec_lens(
    table: dict[str, Any], names: Sequence[str], bends: Sequence[str], path: Path
) -> Lens:
    inner, prefix = camera_object(table, names, path)
    lens = read_lens(inner, path, prefix)
    name = first_of(table, bends)
    if name not in table:
        return lens
    bend = object_field(table, name, path, holds="k1 to k6, p1, p2")
    coefficients = distortion_object(bend, path, f"{name}.")
    model = bend.get("model", _MODELS[-1])
    plain = str(model).lower().rsplit(".", 1)[-1].removeprefix("ob_distortion_")
    if coefficients.any() and plain not in _MODELS:
        raise bad_field(path, f"{name}.model", f"one of {', '.join(_MODELS)}", model)
    return replace(lens, coefficients=coefficients)


LAYOUT: Layout = recordings_layout(
    kind="kinect",
    title="Azure Kinect and Orbbec pictures",
    expects="PERSON/calibration.json with PERSON/color/00001.jpg, PERSON/depth/00001.png",
    camera_files=CAMERA_FILES,
    read_rig=read_rig,
)
