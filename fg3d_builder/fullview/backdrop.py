"""The picture without its head, for what comes into sight behind a head that turns."""

from __future__ import annotations

import cv2
import numpy as np

from fg3d_builder.fullview.continuation import continued
from fg3d_builder.fullview.measured_head import MeasuredHead
from fg3d_builder.geometry.camera import px_of_other_grid
from fg3d_builder.records import Array

PLATE_PX = 160
"""Shorter side of the image that the background is continued in."""

MIXED_PX = 2.0
"""Pixels around the head in which its colours are mixed with the background's."""


def without_head(rgb: Array, measured: MeasuredHead, intrinsics: Array) -> Array:
    """Return the picture (H, W, 3) uint8 with the head replaced by what is around it.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    measured : MeasuredHead
    intrinsics : (3, 3) float
        The picture's.
    """
    head = _in_picture(measured, intrinsics, rgb.shape[0], rgb.shape[1])
    size = 2 * round(MIXED_PX) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    hidden = cv2.dilate(head.astype(np.uint8), disc) > 0
    if not hidden.any():
        return rgb
    # Means need no more pixels; the picture itself keeps all of its own.
    shrink = max(1, min(rgb.shape[:2]) // PLATE_PX)
    few = (max(1, rgb.shape[1] // shrink), max(1, rgb.shape[0] // shrink))
    known = cv2.resize(hidden.astype(np.uint8), few, interpolation=cv2.INTER_AREA) == 0
    plate = continued(cv2.resize(rgb, few, interpolation=cv2.INTER_AREA), known)
    return np.where(hidden[..., None], cv2.resize(plate, rgb.shape[1::-1]), rgb)


def _in_picture(measured: MeasuredHead, intrinsics: Array, height: int, width: int) -> Array:
    """The mask of the head (H, W) in the picture's own pixels."""
    corners = np.array([[0.0, 0.0], [width - 1.0, height - 1.0]])
    (left, top), (right, bottom) = px_of_other_grid(corners, intrinsics, measured.intrinsics)
    x, y = np.meshgrid(
        np.linspace(left, right, width, dtype=np.float32),
        np.linspace(top, bottom, height, dtype=np.float32),
    )
    mask = cv2.remap(measured.head.astype(np.uint8), x, y, cv2.INTER_NEAREST, borderValue=0)
    return np.asarray(mask > 0)
