"""Compiled kernels behind projection and lookup of `fg3d_builder.geometry.camera`."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, error_model="numpy")
def projected(points, intrinsics):  # type: ignore[no-untyped-def]
    """Return pixels (k, 2) of points (k, 3), camera frame; NaN where z is not positive."""
    fx, cx = intrinsics[0, 0], intrinsics[0, 2]
    fy, cy = intrinsics[1, 1], intrinsics[1, 2]
    out = np.empty((len(points), 2))
    for i in range(len(points)):
        z = points[i, 2]
        # False for what is not a number, too.
        if z > 0.0:
            out[i, 0] = fx * points[i, 0] / z + cx
            out[i, 1] = fy * points[i, 1] / z + cy
        else:
            out[i, 0] = out[i, 1] = np.nan
    return out


@numba.njit(cache=True, nogil=True)
def look_up(image, points, found):  # type: ignore[no-untyped-def]
    """Write into `found` (k,) the image's values at the pixels nearest to points (k, 2) in it."""
    height, width = image.shape
    for i in range(len(points)):
        column, row = np.rint(points[i, 0]), np.rint(points[i, 1])
        # False for what is not a number, too.
        if 0 <= column < width and 0 <= row < height:
            found[i] = image[int(row), int(column)]
