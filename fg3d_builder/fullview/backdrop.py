"""The picture without its head, for what comes into sight behind a head that turns."""

from __future__ import annotations

import cv2
import numpy as np

from fg3d_builder.fullview.continuation import continued
from fg3d_builder.fullview.measured_head import MeasuredHead
from fg3d_builder.records import Array
from fg3d_builder.rendering.image_samples import on_other_grid

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
    head = on_other_grid(
        measured.head.astype(np.uint8),
        measured.intrinsics,
        intrinsics,
        rgb.shape,
        cv2.INTER_NEAREST,
        outside=0.0,
    )
    size = 2 * round(MIXED_PX) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    hidden = cv2.dilate(head, disc) > 0
    if not hidden.any():
        return rgb
    # Means need no more pixels; the picture itself keeps all of its own.
    shrink = max(1, min(rgb.shape[:2]) // PLATE_PX)
    few = (max(1, rgb.shape[1] // shrink), max(1, rgb.shape[0] // shrink))
    known = cv2.resize(hidden.astype(np.uint8), few, interpolation=cv2.INTER_AREA) == 0
    plate = continued(cv2.resize(rgb, few, interpolation=cv2.INTER_AREA), known)
    backdrop = cv2.resize(plate, rgb.shape[1::-1])
    return np.asarray(cv2.copyTo(rgb, (~hidden).astype(np.uint8), backdrop))
