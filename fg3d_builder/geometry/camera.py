"""Pinhole projection in the OpenCV frame (x right, y down, z forward)."""

from __future__ import annotations

import functools

import numpy as np

from fg3d_builder.geometry.compiled import can_compile
from fg3d_builder.records import Array


def intrinsics_matrix(fx: float, fy: float, cx: float, cy: float) -> Array:
    """Return the (3, 3) pinhole matrix; all arguments in pixels."""
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def px_from_cam(points_cam_mm: Array, intrinsics: Array) -> Array:
    """Project (..., 3) camera-frame points to (..., 2) pixels.

    Points with z <= 0 have no projection and give NaN.
    """
    points = np.asarray(points_cam_mm, dtype=np.float64)
    if is_compiled():
        from fg3d_builder.geometry.pixel_lookup import projected

        found = projected(points.reshape(-1, 3), np.asarray(intrinsics, dtype=np.float64))
        return np.asarray(found).reshape(*points.shape[:-1], 2)
    z = np.where(points[..., 2] > 0, points[..., 2], np.nan)
    x = intrinsics[0, 0] * points[..., 0] / z + intrinsics[0, 2]
    y = intrinsics[1, 1] * points[..., 1] / z + intrinsics[1, 2]
    return np.stack([x, y], axis=-1)


@functools.cache
def is_compiled() -> bool:
    """Say whether projections are compiled; elsewhere they are the same, and slower.

    Few points are projected in less time than it takes to ask, so the answer is remembered.
    """
    return can_compile()


def cam_from_px(points_px: Array, depth_mm: Array, intrinsics: Array) -> Array:
    """Lift (..., 2) pixels with (...) depths along z to (..., 3) camera-frame points."""
    points = np.asarray(points_px, dtype=np.float64)
    z = np.asarray(depth_mm, dtype=np.float64)
    x = (points[..., 0] - intrinsics[0, 2]) * z / intrinsics[0, 0]
    y = (points[..., 1] - intrinsics[1, 2]) * z / intrinsics[1, 1]
    return np.stack([x, y, z], axis=-1)


def cam_from_depth(depth_mm: Array, intrinsics: Array) -> Array:
    """Lift a depth image (H, W) to camera-frame points (H, W, 3); NaN stays NaN."""
    # As `cam_from_px`, in place: a grid of pixels would take as much memory as the points.
    height, width = depth_mm.shape
    points = np.empty((height, width, 3))
    x, y, points[..., 2] = points[..., 0], points[..., 1], depth_mm
    np.multiply(np.arange(width) - intrinsics[0, 2], depth_mm, out=x)
    np.multiply((np.arange(height) - intrinsics[1, 2])[:, None], depth_mm, out=y)
    x /= intrinsics[0, 0]
    y /= intrinsics[1, 1]
    return points


def scaled_intrinsics(intrinsics: Array, factor: float) -> Array:
    """Intrinsics of the same view after resizing the image by `factor`.

    Pixel centres are at integers, hence the half-pixel shift of the principal point.
    """
    scaled = np.array(intrinsics, dtype=np.float64)
    scaled[:2] *= factor
    scaled[:2, 2] += (factor - 1.0) / 2.0
    return scaled


def px_of_other_grid(points_px: Array, intrinsics: Array, other: Array) -> Array:
    """Map (..., 2) pixels of an image to those of another image (`other`) that one camera took.

    Crops, enlarged and reduced images have intrinsics of their own: the same ray meets them in
    other pixels.
    """
    rays = (np.asarray(points_px, dtype=np.float64) - intrinsics[:2, 2]) / np.diag(intrinsics)[:2]
    return np.asarray(rays * np.diag(other)[:2] + other[:2, 2])


def at_nearest_pixel(image: Array, points_px: Array, outside: float | bool) -> Array:
    """Look an image (H, W) up at the pixels nearest to (k, 2) points.

    Returns (k,) in the type of `outside`, which is the value beyond the image and of points that
    are not finite.
    """
    from fg3d_builder.geometry.pixel_lookup import look_up

    found = np.full(len(points_px), outside)
    look_up(image, np.asarray(points_px, dtype=np.float64), found)
    return found


def field_of_view_deg(intrinsics: Array, width: int, height: int) -> float:
    """Return the angle between the rays through opposite corners of an image, in degrees.

    Of a camera whose principal point is the image's middle; where it is not does not matter.
    """
    slope = np.hypot(width / intrinsics[0, 0], height / intrinsics[1, 1]) / 2.0
    return float(np.rad2deg(2.0 * np.arctan(slope)))


def resolution_factor(intrinsics: Array, width: int, height: int) -> float | None:
    """Return how many times larger the image is whose middle is the principal point.

    Intrinsics of a photo at another resolution show by it. None where no image of the same shape
    has its middle there.
    """
    along_x = (2.0 * intrinsics[0, 2] + 1.0) / width
    along_y = (2.0 * intrinsics[1, 2] + 1.0) / height
    if min(along_x, along_y) <= 0 or not 0.9 < along_x / along_y < 1 / 0.9:
        return None
    return float(np.sqrt(along_x * along_y))
