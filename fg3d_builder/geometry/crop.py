"""The square crop that a training image shows."""

from __future__ import annotations

import cv2
import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Array


def crop_around(points_cam_mm: Array, intrinsics: Array, margin: float, size: int) -> Array:
    """Return the map from image pixels to pixels of the square crop around some points.

    Parameters
    ----------
    points_cam_mm : (k, 3) float
        Camera frame. For a training image: the reliable face of the fit to landmarks alone,
        because a photo has no more than that.
    intrinsics : (3, 3) float
    margin : float
        Factor by which the larger side of the points' box is enlarged.
    size : int
        Side of the crop, pixels.

    Returns
    -------
    px_crop_from_px : (3, 3) float64
        Scale and shift. The crop's camera matrix is ``px_crop_from_px @ intrinsics``.

    Raises
    ------
    CaptureError
        ``"no_crop"``: a point is behind the camera, or all are at one pixel.
    """
    points = px_from_cam(points_cam_mm, intrinsics)
    # One coordinate after the other: several times faster than along the long axis of both.
    x, y = points[..., 0], points[..., 1]
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    side = float(np.max(high - low)) * margin
    if not side > 1.0:  # NaN as well
        raise CaptureError("no_crop", f"the fitted face spans {side} pixels of the image")
    left, top = (low + high) / 2 - side / 2
    factor = size / side
    # The crop's outer border is half a pixel outside the centres of its first pixels.
    shift = [-factor * left - 0.5, -factor * top - 0.5]
    return np.array([[factor, 0, shift[0]], [0, factor, shift[1]], [0, 0, 1.0]])


def crop_image(rgb: Array, px_crop_from_px: Array, size: int) -> Array:
    """Resample an image (H, W, 3) uint8 into a crop of (size, size, 3); black outside.

    A crop that shrinks is low-passed first: a Gaussian whose width, together with that of a
    pixel, gives the width of the larger pixel.
    """
    factor = float(px_crop_from_px[0, 0])
    image = rgb
    if factor < 1:
        image = cv2.GaussianBlur(rgb, (0, 0), 0.5 * np.sqrt(1 / factor**2 - 1) + 1e-3)
    how = cv2.INTER_LINEAR if factor < 1 else cv2.INTER_CUBIC
    return cv2.warpAffine(image, px_crop_from_px[:2], (size, size), flags=how)
