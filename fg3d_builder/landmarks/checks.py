"""Whether a face that was found in the colour image is also there in the depth image."""

from __future__ import annotations

import cv2
import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Array, Capture, Landmarks
from fg3d_builder.rendering.depth_surface import filled_depth

MIN_DEPTH_SHARE = 0.5
"""Share of the face's pixels with depth; less cannot be registered."""

_MIN_USED = 0.1


def face_hull(landmarks: Landmarks, height: int, width: int) -> Array:
    """Return the (H, W) bool mask of the convex hull of the usable landmarks.

    Raises
    ------
    CaptureError
        ``"no_face"`` where fewer than three landmarks have any confidence.
    """
    hull = cv2.convexHull(_used(landmarks).astype(np.float32))
    mask = np.zeros((height, width), dtype=np.uint8)
    cv2.fillConvexPoly(mask, np.rint(hull).astype(np.int32), 1)
    return mask.astype(bool)


def check_depth_on_face(capture: Capture, landmarks: Landmarks) -> None:
    """Raise if too little of the face has depth.

    Depth counts where it is finite and within 250 mm of the face's median: a wall seen
    past a face is no depth on it. Gaps of a pixel or two within a surface count as depth.

    Raises
    ------
    CaptureError
        ``"no_depth_on_face"``; ``"no_face"`` where the landmarks are of no use.
    """
    share = depth_share(capture, landmarks)
    if share < MIN_DEPTH_SHARE:
        raise CaptureError(
            "no_depth_on_face",
            f"capture {capture.capture_id} has depth on {100 * share:.0f} % of the face, "
            f"needed are {100 * MIN_DEPTH_SHARE:.0f} %",
        )


def depth_share(capture: Capture, landmarks: Landmarks) -> float:
    """Return the share of the face that has depth, see `check_depth_on_face`.

    Gaps are bridged only where there would be too little without: most captures have few, and
    bridging them takes a while.

    Raises
    ------
    CaptureError
        ``"no_face"`` where the landmarks are of no use.
    """
    inside = face_hull(landmarks, *capture.depth_mm.shape)
    if not inside.any():
        raise CaptureError(
            "no_face", f"the landmarks of capture {capture.capture_id} are outside the image"
        )
    share = _share_of_face(capture.depth_mm[inside])
    if share < MIN_DEPTH_SHARE:
        filled = filled_depth(capture.depth_mm, capture.intrinsics)
        share = max(share, _share_of_face(filled[inside]))
    return share


def _share_of_face(depth_mm: Array) -> float:
    """Share of depths (k,) that are near their median."""
    valid = np.isfinite(depth_mm) & (depth_mm > 0)
    if valid.any():
        valid &= np.abs(depth_mm - np.median(depth_mm[valid])) < 250.0
    return float(valid.mean())


def _used(landmarks: Landmarks) -> Array:
    keep = (landmarks.confidence >= _MIN_USED) & np.all(np.isfinite(landmarks.points_px), axis=1)
    if keep.sum() < 3:
        raise CaptureError("no_face", f"{landmarks.detector} gives no landmark to rely on")
    return np.asarray(landmarks.points_px[keep])
