"""From depth as files hold it to depth as it counts: a number of millimetres along the z axis."""

from __future__ import annotations

import numpy as np

from fg3d_builder.records import Array


def z_depth_mm(
    stored: Array, intrinsics: Array, factor: float = 1.0, along_ray: bool = False
) -> Array:
    """Return depth (H, W) float32 along the camera's z axis, NaN where there is none.

    Parameters
    ----------
    stored : (H, W) array of real numbers
        What is 0, negative or not finite stands for no depth.
    intrinsics : (3, 3) float
        Of the pixels of `stored`.
    factor : float
        Length of a step of `stored` in mm.
    along_ray : bool
        `stored` are distances from the camera's centre.
    """
    depth = np.empty(stored.shape, dtype=np.float32)
    fx, fy, cx, cy = (float(intrinsics[k]) for k in ((0, 0), (1, 1), (0, 2), (1, 2)))
    across = ((np.arange(stored.shape[1]) - cx) / fx) ** 2 + 1.0
    with np.errstate(invalid="ignore", over="ignore"):
        # Row by row: twelve million doubles would be 100 MB.
        for number, (row, out) in enumerate(zip(stored, depth, strict=True)):
            values = row.astype(np.float64) * factor
            if along_ray:
                values /= np.sqrt(across + ((number - cy) / fy) ** 2)
            out[:] = values
        depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return depth
