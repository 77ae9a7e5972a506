"""Nine landmarks that every scheme has, lifted to the depth behind them."""

from __future__ import annotations

import numpy as np

from fg3d_builder.geometry.camera import cam_from_px
from fg3d_builder.records import Array, Capture, Landmarks

_WINDOW_SHARE = 0.015
"""Half of the window that depth is taken from, over the extent of the landmarks: a few pixels."""

_MIN_POINTS = 5

# Outer and inner eye corners of both sides, nasion, tip and root of the nose, mouth corners: mean
# of the embedded face model, object frame.
_PLACES_MM = np.array(
    [
        [-44.6, 25.0, 82.1],
        [-16.5, 22.4, 85.9],
        [16.5, 22.4, 85.9],
        [44.6, 25.0, 82.1],
        [0.0, 27.3, 99.6],
        [0.0, -14.0, 121.6],
        [0.0, -22.7, 109.8],
        [-23.3, -45.6, 94.4],
        [23.3, -45.6, 94.4],
    ]
)
_POINTS = {
    "mediapipe478": (33, 133, 362, 263, 168, 1, 2, 61, 291),
    "ibug68": (36, 39, 42, 45, 27, 30, 33, 48, 54),
}


def lifted_points(capture: Capture, landmarks: Landmarks) -> tuple[Array, Array] | None:
    """Lift eye corners, nose and mouth corners to their depth; None where too few have some.

    Returns
    -------
    points_cam : (k, 3) float64
        Camera frame, mm as far as the capture's unit is right.
    mean_obj_mm : (k, 3) float64
        Where the mean adult has them, object frame.
    """
    chosen = _POINTS.get(landmarks.scheme)
    if chosen is None or len(landmarks.points_px) <= max(chosen):
        return None
    px = landmarks.points_px[list(chosen)]
    depth = _depth_around(capture.depth_mm, px, _window_px(landmarks))
    used = np.isfinite(depth) & (landmarks.confidence[list(chosen)] > 0)
    if used.sum() < _MIN_POINTS:
        return None
    return cam_from_px(px[used], depth[used], capture.intrinsics), _PLACES_MM[used]


def _window_px(landmarks: Landmarks) -> int:
    known = landmarks.points_px[np.isfinite(landmarks.points_px).all(axis=1)]
    return max(1, round(_WINDOW_SHARE * float(np.ptp(known, axis=0).max())))


def _depth_around(depth_mm: Array, points_px: Array, reach_px: int) -> Array:
    """Median depth (k,) within a square around points (k, 2), NaN where it holds none."""
    height, width = depth_mm.shape
    found = np.full(len(points_px), np.nan)
    for number, point in enumerate(points_px):
        if not np.isfinite(point).all() or not (0 <= point[0] < width and 0 <= point[1] < height):
            continue
        column, row = (round(float(value)) for value in point)
        near = depth_mm[
            max(0, row - reach_px) : row + reach_px + 1,
            max(0, column - reach_px) : column + reach_px + 1,
        ]
        near = near[np.isfinite(near) & (near > 0)]
        if len(near):
            found[number] = float(np.median(near))
    return found
