"""The Azure Kinect's calibration, as its recordings hold it and as its software gives it.

*In recordings* (``k4arecorder``'s attachment ``calibration.json``): both cameras for their whole
sensors, in units of the sensor's sides, with (0, 0) at the corner of the first pixel. Pictures are
parts of the sensor, reduced: which part belongs to which size is that of the sensor software.

*From the software* (``k4a_calibration_t`` in JSON): both cameras for the pictures' sizes, in
pixels, translations in millimetres.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.captures.camera_json import check_pose, distortion_object, read_pose
from fg3d_builder.captures.json_fields import (
    bad_field,
    field,
    number_field,
    numbers_field,
    object_field,
    positive_field,
)
from fg3d_builder.captures.lens import Lens
from fg3d_builder.errors import CaptureError
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array

RECORDED = "CalibrationInformation"
FROM_SOFTWARE = "color_camera_calibration"

_MM_PER_M = 1000.0
_COLOUR, _DEPTH = "CALIBRATION_CameraLocationPV0", "CALIBRATION_CameraLocationD0"
_MODEL = "CALIBRATION_LensDistortionModelBrownConrady"
_PARAMETERS, _LARGEST = 14, 1e6
"""Of a lens in units of the sensor's sides, and the largest of them that is no damage."""
_TALL, _WIDE = (3072, 4096), (2304, 4096)
"""Sizes (height, width) that the colour sensor is calibrated for: the whole, or its middle."""

COLOUR_PARTS = {
    (720, 1280): (960, 120),
    (1080, 1920): (1440, 180),
    (1440, 2560): (1920, 240),
    (1536, 2048): (1536, 0),
    (2160, 3840): (2880, 360),
    (3072, 4096): (3072, 0),
}
"""Size (height, width) of a colour picture: the height that the reduced sensor has, and the first
row of it that is in the picture; all columns are."""

DEPTH_PARTS = {
    (576, 640): (1024, 180, 192),
    (288, 320): (512, 90, 96),
    (512, 512): (512, 0, 0),
    (1024, 1024): (1024, 0, 0),
}
"""Size of a depth picture: the side of the reduced sensor, and the first row and column."""

Rigid = tuple[Array, Array]
"""Rotation and translation in mm."""


def recorded_calibration(
    table: dict[str, Any],
    path: Path,
    colour_size: tuple[int, int],
    depth_size: tuple[int, int] | None,
) -> tuple[Lens, Lens | None, Rigid]:
    """Read what recordings hold.

    Parameters
    ----------
    table : dict
    path : Path
    colour_size, depth_size : (height, width)
        Of the pictures; no depth size where depth is on the colour's pixels.

    Returns
    -------
    colour, depth : Lens
        No depth without its size.
    colour_from_depth : (rotation (3, 3), translation_mm (3,))

    Raises
    ------
    CaptureError
        ``missing_field``, ``bad_field`` or ``size_mismatch``.
    """
    cameras = field(object_field(table, RECORDED, path), "Cameras", path, f"{RECORDED}.")
    colour_row, colour_name = _camera(cameras, _COLOUR, path)
    depth_row, depth_name = _camera(cameras, _DEPTH, path)
    colour = _whole_sensor(colour_row, path, colour_name)
    if colour.size == _WIDE:
        # In units of the sides: the calibrated part is three quarters of the sensor's height.
        K = colour.intrinsics * [[1], [0.75], [1]] + [[0, 0, 0], [0, 0, 0.125], [0, 0, 0]]
        colour = Lens(K, _TALL, colour.coefficients, largest_radius=colour.largest_radius)
    if colour.size != _TALL:
        raise bad_field(path, f"{colour_name}SensorHeight", "3072 x 4096", colour.size)
    if colour_size not in COLOUR_PARTS:
        raise _unknown_size(path, "colour", colour_size, list(COLOUR_PARTS))
    height, top = COLOUR_PARTS[colour_size]
    part = _part(colour, (height, colour_size[1]), (top, 0), colour_size)
    between = _between(_pose(colour_row, path, colour_name), _pose(depth_row, path, depth_name))
    if depth_size is None:
        return part, None, between
    depth = _whole_sensor(depth_row, path, depth_name)
    if depth.size != (1024, 1024):
        raise bad_field(path, f"{depth_name}SensorHeight", "1024 x 1024", depth.size)
    if depth_size not in DEPTH_PARTS:
        raise _unknown_size(path, "depth", depth_size, list(DEPTH_PARTS))
    side, top, left = DEPTH_PARTS[depth_size]
    return part, _part(depth, (side, side), (top, left), depth_size), between


def software_calibration(table: dict[str, Any], path: Path) -> tuple[Lens, Lens, Rigid]:
    """Read what the sensor's software gives; see `recorded_calibration`."""
    lenses, poses = [], []
    for name in (FROM_SOFTWARE, "depth_camera_calibration"):
        row = object_field(table, name, path, holds="intrinsics and extrinsics")
        inner = object_field(row, "intrinsics", path, f"{name}.")
        kind = str(inner.get("type", ""))
        if "BROWN_CONRADY" not in kind.upper():
            wanted = "K4A_CALIBRATION_LENS_DISTORTION_MODEL_BROWN_CONRADY"
            raise bad_field(path, f"{name}.intrinsics.type", wanted, kind)
        about = object_field(inner, "parameters", path, f"{name}.intrinsics.")
        prefix = f"{name}.intrinsics.parameters.param."
        values = object_field(about, "param", path, prefix.removesuffix("param."))
        fx, fy = (positive_field(values, n, path, prefix) for n in ("fx", "fy"))
        cx, cy = (number_field(values, n, path, prefix) for n in ("cx", "cy"))
        sides = ("resolution_height", "resolution_width")
        height, width = (int(positive_field(row, n, path, f"{name}.")) for n in sides)
        radius = number_field({"metric_radius": 0.0, **row}, "metric_radius", path, f"{name}.")
        bend = distortion_object(values, path, prefix)
        lenses.append(
            Lens(intrinsics_matrix(fx, fy, cx, cy), (height, width), bend, False, _radius(radius))
        )
        outer = object_field(row, "extrinsics", path, f"{name}.", "rotation and translation")
        names = (("rotation",), ("translation",))
        poses.append(read_pose(outer, names, path, f"{name}.extrinsics.", 1.0))
    return lenses[0], lenses[1], _between(*poses)


def _between(colour: Rigid, depth: Rigid) -> Rigid:
    rotation = colour[0] @ depth[0].T
    return rotation, colour[1] - rotation @ depth[1]


def _camera(cameras: Any, location: str, path: Path) -> tuple[dict[str, Any], str]:
    rows = cameras if isinstance(cameras, list) else []
    for number, row in enumerate(rows):
        if isinstance(row, dict) and row.get("Location") == location:
            return row, f"{RECORDED}.Cameras[{number}]."
    wanted = f"{RECORDED}.Cameras"
    raise CaptureError("missing_field", f"{path}: field '{wanted}': no camera with {location}")


def _whole_sensor(row: dict[str, Any], path: Path, name: str) -> Lens:
    """Read a camera whose intrinsics are in units of its sensor's sides."""
    inner = object_field(row, "Intrinsics", path, name, "ModelParameters")
    prefix = f"{name}Intrinsics."
    if inner.get("ModelType") != _MODEL:
        raise bad_field(path, f"{prefix}ModelType", _MODEL, inner.get("ModelType"))
    values = numbers_field(inner, "ModelParameters", path, (_PARAMETERS,), prefix)
    cx, cy, fx, fy, k1, k2, k3, k4, k5, k6, shift_x, shift_y, p2, p1 = values
    if shift_x or shift_y or min(fx, fy) <= 0 or np.abs(values).max() > _LARGEST:
        wanted = "cx, cy, fx, fy, k1 to k6, 0, 0, p2, p1"
        raise bad_field(path, f"{prefix}ModelParameters", wanted, values.tolist())
    sides = [positive_field(row, n, path, name) for n in ("SensorHeight", "SensorWidth")]
    radius = number_field({"MetricRadius": 0.0, **row}, "MetricRadius", path, name)
    return Lens(
        intrinsics_matrix(fx, fy, cx, cy),
        (int(sides[0]), int(sides[1])),
        np.array([k1, k2, p1, p2, k3, k4, k5, k6]),
        largest_radius=_radius(radius),
    )


def _radius(found: float) -> float:
    return found if found > 1e-4 else np.inf


def _pose(row: dict[str, Any], path: Path, name: str) -> Rigid:
    outer = object_field(row, "Rt", path, name, "Rotation and Translation")
    rotation = numbers_field(outer, "Rotation", path, (9,), f"{name}Rt.").reshape(3, 3)
    translation_mm = _MM_PER_M * numbers_field(outer, "Translation", path, (3,), f"{name}Rt.")
    names = (f"{name}Rt.Rotation", f"{name}Rt.Translation")
    check_pose(rotation, translation_mm, path, names)
    return rotation, translation_mm


def _part(
    whole: Lens, reduced: tuple[int, int], first: tuple[int, int], size: tuple[int, int]
) -> Lens:
    """Return the camera of a part of a reduced sensor, in pixels from the first one's centre."""
    height, width = reduced
    K = whole.intrinsics * [[width], [height], [1]]
    K[0, 2] -= first[1] + 0.5
    K[1, 2] -= first[0] + 0.5
    return Lens(K, size, whole.coefficients, largest_radius=whole.largest_radius)


def _unknown_size(
    path: Path, stream: str, size: tuple[int, int], known: list[tuple[int, int]]
) -> CaptureError:
    sizes = ", ".join(f"{w} x {h}" for h, w in known)
    return CaptureError(
        "size_mismatch",
        f"{path}: the {stream} picture has {size[1]} x {size[0]} pixels, the sensor's have {sizes}",
    )
