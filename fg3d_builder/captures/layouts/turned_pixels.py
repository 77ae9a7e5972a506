"""Pictures that are stored lying, made upright: colour, depth and intrinsics alike."""

from __future__ import annotations

import numpy as np

from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array

QUARTER_TURNS = (0, 0, 2, 2, 3, 3, 1, 1)
"""Anticlockwise, by EXIF orientation 1 to 8, less one. Orientations that mirror as well are turned
alone: the pixels as stored show the person unmirrored."""


def turned_image(image: Array, quarter_turns: int) -> Array:
    """Turn an image (H, W) or (H, W, 3) anticlockwise."""
    return np.ascontiguousarray(np.rot90(image, quarter_turns))


def turned_camera(
    intrinsics: Array, size: tuple[int, int], quarter_turns: int
) -> tuple[Array, tuple[int, int]]:
    """Return intrinsics (3, 3) and size (height, width) of the picture turned anticlockwise."""
    height, width = size
    fx, fy, cx, cy = (float(intrinsics[k]) for k in ((0, 0), (1, 1), (0, 2), (1, 2)))
    for _ in range(quarter_turns):
        fx, fy, cx, cy, height, width = fy, fx, cy, width - 1.0 - cx, width, height
    return intrinsics_matrix(fx, fy, cx, cy), (height, width)
