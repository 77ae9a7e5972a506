"""Whether depth is the z coordinate or the distance along the ray, by a wall behind the face.

A wall is a plane. Its inverse depth is affine in the pixel; if distances along the ray were
stored, only their inverse over the ray's cosine is. A face cannot tell: the difference bends it
like other people's faces are bent. So without a wall, nothing is said.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.geometry.camera import at_nearest_pixel
from fg3d_builder.records import Array, Capture, Landmarks

BEHIND_MM = 300.0
"""What is so far behind the face is no part of the head."""

WALL_SHARE = 0.5
"""Share of the background that must be one plane if depth is along the ray."""

_LESS = 0.7
"""If depth is along z, no plane explains more than this part of as many pixels."""

_TOLERANCE = 0.006
"""Distance from a plane over that from the camera: sensors' errors, and a wall's own."""

_LEAST_BEND = 4.0
"""Bend of a plane by the wrong kind of depth, in tolerances, from which it is told."""

_GRID, _MIN_PIXELS, _TRIALS, _REFITS = 90, 400, 200, 5


class WallShares(NamedTuple):
    """Shares of the background's pixels that lie on one plane.

    Attributes
    ----------
    along_z, along_ray : float
        If the depth is the z coordinate, or the distance along the ray.
    """

    along_z: float
    along_ray: float

    @property
    def is_along_ray(self) -> bool:
        """Whether there is a wall, and it is flat only if depth is along the ray."""
        return self.along_ray >= WALL_SHARE and self.along_z <= _LESS * self.along_ray


class _Background(NamedTuple):
    """What is seen behind the face: rays (k, 3), inverse depths (k,), and what is near a plane.

    slant : (k,) float64
        Lengths of the rays.
    """

    rays: Array
    inverse: Array
    slant: Array
    near: float

    def flat_along_z(self) -> float:
        return _planar_share(self.rays, self.inverse, self.near)

    def flat_along_ray(self) -> float:
        return _planar_share(self.rays, self.inverse * self.slant, self.near)


def wall_shares(capture: Capture, landmarks: Landmarks) -> WallShares | None:
    """Measure how flat the background is; None where it is too small or too narrow to tell."""
    seen = _background(capture, landmarks)
    return None if seen is None else WallShares(seen.flat_along_z(), seen.flat_along_ray())


def _background(capture: Capture, landmarks: Landmarks) -> _Background | None:
    used = landmarks.points_px[landmarks.confidence > 0]
    face = at_nearest_pixel(capture.depth_mm, used, np.nan)
    face = face[np.isfinite(face) & (face > 0)]
    if len(face) == 0:
        return None
    height, width = capture.depth_mm.shape
    step = max(1, max(height, width) // _GRID)
    depth = capture.depth_mm[::step, ::step].astype(np.float64)
    with np.errstate(invalid="ignore"):
        row, column = np.nonzero(depth > float(np.median(face)) + BEHIND_MM)
    if len(row) < _MIN_PIXELS:
        return None
    inverse = 1.0 / depth[row, column]
    camera = capture.intrinsics
    x = (step * column - camera[0, 2]) / camera[0, 0]
    y = (step * row - camera[1, 2]) / camera[1, 1]
    slant = np.sqrt(1.0 + x**2 + y**2)
    if float(np.quantile(slant, 0.95) / np.quantile(slant, 0.05)) < 1.0 + _LEAST_BEND * _TOLERANCE:
        return None
    rays = np.column_stack([x, y, np.ones_like(x)])
    return _Background(rays, inverse, slant, _TOLERANCE * float(np.median(inverse)))


def check_depth_along_z(capture: Capture, landmarks: Landmarks) -> None:
    """Raise where a wall shows that depth is the distance along the ray.

    Raises
    ------
    CaptureError
        ``"depth_along_ray"``.
    """
    seen = _background(capture, landmarks)
    if seen is None:
        return
    along_z = seen.flat_along_z()
    # A wall along z is most captures' and settles it: no share is above 1.
    if along_z > _LESS:
        return
    shares = WallShares(along_z, seen.flat_along_ray())
    if not shares.is_along_ray:
        return
    raise CaptureError(
        "depth_along_ray",
        f"capture {capture.capture_id}: the depth is the distance along the ray, wanted is the z "
        f"coordinate: {100 * shares.along_ray:.0f} % of the background are one plane by the "
        f"former, {100 * shares.along_z:.0f} % by the latter; divide the depth of each pixel by "
        "the length of its ray, sqrt(1 + ((u - cx) / fx)^2 + ((v - cy) / fy)^2)",
    )


def _planar_share(rays: Array, values: Array, tolerance: float) -> float:
    """Largest share of values (k,) found that are affine in their rays (k, 3), by RANSAC."""
    rng = np.random.default_rng(0)
    most, best = 0, np.zeros(3)
    for _ in range(_TRIALS):
        chosen = rng.choice(len(values), 3, replace=False)
        # Three pixels in a row have no plane: least squares then gives one that few others are on.
        plane = np.linalg.lstsq(rays[chosen], values[chosen], rcond=None)[0]
        count = int(np.count_nonzero(np.abs(rays @ plane - values) < tolerance))
        if count > most:
            most, best = count, plane
    for _ in range(_REFITS):
        inside = np.abs(rays @ best - values) < tolerance
        if inside.sum() < 3:
            break
        best = np.linalg.lstsq(rays[inside], values[inside], rcond=None)[0]
    return float(np.mean(np.abs(rays @ best - values) < tolerance))
