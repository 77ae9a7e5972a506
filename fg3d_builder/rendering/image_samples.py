"""Images between their pixels."""

from __future__ import annotations

import cv2
import numpy as np

from fg3d_builder.records import Array


def sampled(image: Array, px: Array) -> Array:
    """Interpolate an image (H, W) or (H, W, c) at (m, 2) pixels; its border continues."""
    # Lines of OpenCV's maps may be no longer than 32767.
    x, y = np.nan_to_num(px, nan=-1e6).astype(np.float32).T[:, :, None]
    found = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found[:, 0], dtype=np.float64)
