"""Cameras as recorders write them into JSON: one object with focal lengths, one with distortion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.captures.json_fields import (
    bad_field,
    number_field,
    numbers_field,
    object_field,
    positive_field,
)
from fg3d_builder.captures.lens import Lens
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array

LARGEST_SIDE = 30_000
"""Pixels; also the longest side that OpenCV redraws."""

DEPTH_MODE = "depth_mode"
"""Member of what Open3D writes beside the matrix of an Azure Kinect, and of no other camera."""

MAX_OFFSET_MM = 2000.0
"""Between the two cameras of one device."""

_NAMES = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")


def first_of(table: dict[str, Any], names: Sequence[str]) -> str:
    """Return the first of some names of one thing that a table has; the first one if it has none,
    so that messages name that.
    """
    return next((name for name in names if name in table), names[0])


def read_lens(table: dict[str, Any], path: Path, prefix: str = "") -> Lens:
    """Read ``fx``, ``fy``, ``cx`` or ``ppx``, ``cy`` or ``ppy``, ``width`` and ``height``.

    The size may be missing. The lens is straight.

    Raises
    ------
    CaptureError
        ``missing_field`` or ``bad_field``.
    """
    fx, fy = (positive_field(table, name, path, prefix) for name in ("fx", "fy"))
    cx, cy = (
        number_field(table, first_of(table, names), path, prefix)
        for names in (("cx", "ppx"), ("cy", "ppy"))
    )
    return Lens(intrinsics_matrix(fx, fy, cx, cy), read_size(table, path, prefix))


def read_size(table: dict[str, Any], path: Path, prefix: str = "") -> tuple[int, int]:
    """Read ``height`` and ``width``; (0, 0) where there are none."""
    if "width" not in table and "height" not in table:
        return 0, 0
    height, width = (positive_field(table, name, path, prefix) for name in ("height", "width"))
    if max(height, width) > LARGEST_SIDE or height % 1 or width % 1:
        raise bad_field(path, f"{prefix}width", "whole numbers of pixels", [width, height])
    return int(height), int(width)


def open3d_lens(table: dict[str, Any], path: Path) -> Lens:
    """Read Open3D's ``width``, ``height`` and ``intrinsic_matrix``, column by column."""
    matrix = numbers_field(table, "intrinsic_matrix", path, (9,)).reshape(3, 3).T
    plain = intrinsics_matrix(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
    if not np.array_equal(matrix, plain) or min(matrix[0, 0], matrix[1, 1]) <= 0:
        wanted = "fx, 0, 0, 0, fy, 0, cx, cy, 1"
        raise bad_field(path, "intrinsic_matrix", wanted, matrix.T.ravel().tolist())
    return Lens(plain, read_size(table, path))


def distortion_list(table: dict[str, Any], name: str, path: Path, prefix: str = "") -> Array:
    """Read 4, 5 or 8 coefficients in OpenCV's order; return 8."""
    value = table.get(name)
    count = len(value) if isinstance(value, list) else 5
    if count not in (4, 5, 8):
        raise bad_field(path, prefix + name, "4, 5 or 8 numbers", value)
    found = numbers_field(table, name, path, (count,), prefix)
    return np.concatenate([found, np.zeros(8 - count)])


def distortion_object(table: dict[str, Any], path: Path, prefix: str = "") -> Array:
    """Read coefficients by their names, k1 to k6, p1 and p2; those that are missing are zero."""
    return np.array([number_field({name: 0.0, **table}, name, path, prefix) for name in _NAMES])


def read_pose(
    table: dict[str, Any],
    names: tuple[Sequence[str], Sequence[str]],
    path: Path,
    prefix: str,
    unit_mm: float,
    rows: bool = False,
) -> tuple[Array, Array]:
    """Read a rotation, nine numbers row by row, and a translation in a unit.

    Parameters
    ----------
    table : dict
    names : (sequence of str, sequence of str)
        Of rotation and translation, as different programs call them.
    path : Path
    prefix : str
    unit_mm : float
        Of the translation.
    rows : bool
        A list of three rows is what it seems to be: the device's own software gives no other order.

    Returns
    -------
    rotation : (3, 3) float64
    translation_mm : (3,) float64
    """
    rotation_name, translation_name = (first_of(table, choices) for choices in names)
    nested = isinstance(table.get(rotation_name), list) and len(table[rotation_name]) == 3
    if nested and not rows:
        raise bad_field(
            path,
            prefix + rotation_name,
            "nine numbers as the device's software gives them (of rows or columns in a list "
            "nobody knows which they are)",
            table[rotation_name],
        )
    shape = (3, 3) if nested else (9,)
    rotation = numbers_field(table, rotation_name, path, shape, prefix).reshape(3, 3)
    translation_mm = unit_mm * numbers_field(table, translation_name, path, (3,), prefix)
    names_shown = (prefix + rotation_name, prefix + translation_name)
    check_pose(rotation, translation_mm, path, names_shown)
    return rotation, translation_mm


def check_pose(rotation: Array, translation_mm: Array, path: Path, names: tuple[str, str]) -> None:
    """Raise where two cameras of one device cannot be placed so; `names` are those of the fields.

    `rotation` (3, 3) and `translation_mm` (3,) bring points of one camera to the frame of the
    other.

    Raises
    ------
    CaptureError
        ``bad_field``.
    """
    large = np.abs(rotation).max() > 2.0  # also where the product would overflow
    if large or np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or _mirrors(rotation):
        raise bad_field(path, names[0], "a rotation", rotation.ravel().tolist())
    if np.abs(translation_mm).max() > MAX_OFFSET_MM:
        wanted = f"at most {MAX_OFFSET_MM:g} mm between two cameras of a device"
        raise bad_field(path, names[1], wanted, translation_mm.tolist())


def _mirrors(rotation: Array) -> bool:
    return bool(np.linalg.det(rotation) < 0)


def camera_object(
    table: dict[str, Any], names: Sequence[str], path: Path
) -> tuple[dict[str, Any], str]:
    """Return the object that one of the names has, and the prefix of its fields."""
    name = first_of(table, names)
    return object_field(table, name, path, holds="fx, fy, cx, cy"), f"{name}."
