"""Pairs of pictures from Intel RealSense cameras, with the cameras in a JSON file.

::

    anna/camera_intrinsic.json    Open3D's recorder: depth is on the colour's pixels
    anna/color/000000.jpg
    anna/depth/000000.png         16 bits, steps of 1 mm
    ben/smile/intrinsics.json     or both cameras, with "depth_to_color"
    ben/smile/color_1.png, depth_1.png

See docs/captures/depth-cameras.md.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fg3d_builder.captures.camera_json import (
    DEPTH_MODE,
    camera_object,
    distortion_list,
    first_of,
    open3d_lens,
    read_lens,
    read_pose,
)
from fg3d_builder.captures.json_fields import bad_field, object_field, positive_field
from fg3d_builder.captures.layouts.layout import Layout
from fg3d_builder.captures.layouts.recordings import recordings_layout
from fg3d_builder.captures.layouts.rgbd_rig import Rig
from fg3d_builder.captures.lens import Lens
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import read_json_object
from fg3d_builder.records import Array

CAMERA_FILES = (
    "camera_intrinsic.json",
    "camera_intrinsics.json",
    "intrinsic.json",
    "intrinsics.json",
    "camera.json",
    "camera_params.json",
    "calibration.json",
    "realsense_params.json",
)

_COLOUR = ("color", "rgb", "color_intrinsics", "color_intrinsic", "rgb_intrinsics", "intrinsics")
_DEPTH = ("depth", "depth_intrinsics", "depth_intrinsic")
_BETWEEN = ("depth_to_color", "extrinsics_depth_to_color", "depth_to_color_extrinsics",
            "extrinsics")  # fmt: skip
_STRAIGHT = ("none",)
_TANGENTIAL_LAST = ("modified brown conrady", "inverse brown conrady")
_MODELS = (*_STRAIGHT, *_TANGENTIAL_LAST, "brown conrady")
_MM_PER_M = 1000.0


def read_rig(path: Path) -> Rig:
    """Read the cameras as Open3D's recorder or scripts around pyrealsense2 write them.

    Raises
    ------
    CaptureError
        ``missing_file``, ``bad_json``, ``missing_field`` or ``bad_field``.
    """
    table = read_json_object(path)
    if "intrinsic_matrix" in table and DEPTH_MODE in table:
        text = f"{path}: field '{DEPTH_MODE}': that is an Azure Kinect's; see kind 'kinect'"
        raise CaptureError("bad_field", text)
    if "intrinsic_matrix" in table:
        rig = Rig(path, open3d_lens(table, path))
    elif "fx" in table:
        rig = Rig(path, _lens(table, path, ""))
    else:
        rig = Rig(path, _lens(*_ordered(camera_object(table, _COLOUR, path), path)))
        name = first_of(table, _DEPTH)
        if name in table:
            rig = replace(rig, depth=_lens(*_ordered(camera_object(table, (name,), path), path)))
        if first_of(table, _BETWEEN) in table:
            rotation, translation_mm = _pose(table, path)
            rig = replace(rig, rotation=rotation, translation_mm=translation_mm)
    aligned = table.get("aligned")
    if aligned is not None and not isinstance(aligned, bool):
        raise bad_field(path, "aligned", "true or false", aligned)
    return replace(rig, unit_mm=_unit_mm(table, path), aligned=aligned)


def _ordered(found: tuple[dict[str, Any], str], path: Path) -> tuple[dict[str, Any], Path, str]:
    return found[0], path, found[1]


def _lens(table: dict[str, Any], path: Path, prefix: str) -> Lens:
    """Read one camera with the members of ``rs2_intrinsics``."""
    lens = read_lens(table, path, prefix)
    if "coeffs" not in table:
        return lens
    coefficients = distortion_list(table, "coeffs", path, prefix)
    if not coefficients.any():
        return lens
    name = first_of(table, ("model", "distortion_model"))
    value = table.get(name)
    model = str(value).rsplit(".", 1)[-1].replace("_", " ").lower()
    if not isinstance(value, str) or model not in _MODELS:
        raise bad_field(path, prefix + name, f"one of {', '.join(_MODELS)}", value)
    if model in _STRAIGHT:
        return lens
    scaled = model in _TANGENTIAL_LAST
    return replace(lens, coefficients=coefficients, scaled_tangential=scaled)


def _pose(table: dict[str, Any], path: Path) -> tuple[Array, Array]:
    """Read ``rs2_extrinsics``: metres, and the rotation column by column."""
    name = first_of(table, _BETWEEN)
    inner = object_field(table, name, path, holds="rotation and translation")
    names = (("rotation", "R"), ("translation", "t"))
    columns, translation_mm = read_pose(inner, names, path, f"{name}.", _MM_PER_M)
    return columns.T, translation_mm


def _unit_mm(table: dict[str, Any], path: Path) -> float:
    """Return the length of a step: by ``depth_scale``, in metres or per metre, or a millimetre."""
    if "depth_scale" not in table:
        return 1.0
    scale = positive_field(table, "depth_scale", path)
    if scale <= 0.01:
        return scale * _MM_PER_M
    if scale >= 100.0:
        return _MM_PER_M / scale
    wanted = "metres per step, such as 0.001, or steps per metre, such as 1000"
    raise bad_field(path, "depth_scale", wanted, scale)


LAYOUT: Layout = recordings_layout(
    kind="realsense",
    title="Intel RealSense pictures",
    expects="PERSON/camera_intrinsic.json with PERSON/color/000000.jpg, PERSON/depth/000000.png",
    camera_files=CAMERA_FILES,
    read_rig=lambda path, colour_size, depth_size: read_rig(path),
)
