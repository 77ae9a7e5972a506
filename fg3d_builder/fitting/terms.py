"""The unknowns of a fit, and the data terms that compare them with a capture."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numba
import numpy as np
from scipy.spatial.transform import Rotation

from fg3d_builder.facemodel.surface_rows import SurfaceRows
from fg3d_builder.numerics.robust import Kernel
from fg3d_builder.records import Array, Pose

POSE_SIZE = 7
"""Pose unknowns: rotation vector (3), translation (3), log of the scale (1)."""


class FaceState(NamedTuple):
    """A point in the space of unknowns.

    Attributes
    ----------
    pose : Pose
    coefficients : (k + e,) float64
        Standardised, see `SurfaceRows`.
    appearance : (a,) float64
        Standardised; none in fits that do not look at the image.
    """

    pose: Pose
    coefficients: Array
    appearance: Array = np.zeros(0)

    def points_cam_mm(self, rows: SurfaceRows) -> Array:
        """Positions of surface points in the camera frame."""
        return self.pose.cam_from_obj(rows.points_obj_mm(self.coefficients))

    def moved(self, step: Array) -> FaceState:
        """Apply a step (7 + k + e + a,); the rotation turns about the object's origin."""
        turn = Rotation.from_rotvec(step[:3]).as_matrix()
        pose = Pose(
            float(self.pose.scale * np.exp(step[6])),
            turn @ self.pose.rotation,
            self.pose.translation_mm + step[3:6],
        )
        end = POSE_SIZE + len(self.coefficients)
        return FaceState(
            pose, self.coefficients + step[POSE_SIZE:end], self.appearance + step[end:]
        )


class Term(Protocol):
    """One data term: m residuals of d components each, with weights and a kernel."""

    @property
    def weight(self) -> Array:
        """(m,) weights of the residuals."""
        ...

    @property
    def kernel(self) -> Kernel:
        """Robust loss of this term."""
        ...

    def residual(self, state: FaceState) -> Array:
        """Return (m, d) residuals in standard deviations."""
        ...

    def jacobian(self, state: FaceState) -> Array:
        """Return their (m, d, 7 + k + e or more) derivatives by the step of `FaceState.moved`.

        In the precision of the points' basis. Those by the appearance may be left out where they
        are all 0. The array is the caller's.
        """
        ...


class PixelTerm(NamedTuple):
    """Holds projected surface points to 2D landmarks, through the true pinhole camera.

    With `direction` only the component along that image direction counts: the point may
    slide along a contour (Eq. 10).

    Attributes
    ----------
    rows : SurfaceRows
        The m points.
    target_px : (m, 2) float64
    intrinsics : (3, 3) float64
    sigma_px : float
    weight : (m,) float64
    kernel : Kernel
    direction : (m, 2) float64 or None
        Unit vectors.
    """

    rows: SurfaceRows
    target_px: Array
    intrinsics: Array
    sigma_px: float
    weight: Array
    kernel: Kernel
    direction: Array | None = None

    def residual(self, state: FaceState) -> Array:
        """Return (m, 2) residuals, (m, 1) with a direction; infinite behind the camera."""
        points = state.points_cam_mm(self.rows)
        z = points[:, 2]
        behind = z <= 1.0
        px = points @ self.intrinsics[:2].T / np.where(behind, 1.0, z)[:, None]
        difference = (px - self.target_px) / self.sigma_px
        difference[behind] = np.inf
        if self.direction is None:
            return difference
        return np.einsum("md,md->m", self.direction, difference)[:, None]

    def jacobian(self, state: FaceState) -> Array:
        """Return (m, 2 or 1, 7 + k + e)."""
        points = state.points_cam_mm(self.rows)
        slopes = pixel_slopes(points, self.intrinsics) / self.sigma_px
        if self.direction is not None:
            slopes = self.direction[:, None, :] @ slopes
        return chain(slopes, self.rows, state, points)


def pixel_slopes(points_cam_mm: Array, intrinsics: Array) -> Array:
    """Return the (m, 2, 3) derivatives of the pixels of (m, 3) points by the points."""
    z = points_cam_mm[:, 2, None]
    slopes = np.zeros((len(points_cam_mm), 2, 3))
    slopes[:, 0, 0], slopes[:, 1, 1] = intrinsics[0, 0], intrinsics[1, 1]
    slopes[:, :, 2] = -(points_cam_mm[:, :2] * np.diag(intrinsics)[:2]) / z
    slopes /= z[:, :, None]
    return slopes


class PlaneTerm(NamedTuple):
    """Holds surface points to tangent planes of the measured surface (point-to-plane).

    Attributes
    ----------
    rows : SurfaceRows
        The m points.
    target_cam_mm : (m, 3) float64
    normal_cam : (m, 3) float64
        Unit.
    sigma_mm : (m,) float64
    weight : (m,) float64
    kernel : Kernel
    """

    rows: SurfaceRows
    target_cam_mm: Array
    normal_cam: Array
    sigma_mm: Array
    weight: Array
    kernel: Kernel

    def residual(self, state: FaceState) -> Array:
        """Return (m, 1) residuals."""
        difference = state.points_cam_mm(self.rows) - self.target_cam_mm
        return (np.einsum("md,md->m", self.normal_cam, difference) / self.sigma_mm)[:, None]

    def jacobian(self, state: FaceState) -> Array:
        """Return (m, 1, 7 + k + e)."""
        slopes = (self.normal_cam / self.sigma_mm[:, None])[:, None, :]
        return chain(slopes, self.rows, state, state.points_cam_mm(self.rows))


def chain(slopes: Array, rows: SurfaceRows, state: FaceState, points_cam_mm: Array) -> Array:
    """Chain (m, d, 3) derivatives by the points (m, 3) with those by the unknowns.

    `points_cam_mm` are those of `rows` at `state`, which every caller has.
    """
    out = np.empty((*slopes.shape[:2], POSE_SIZE + rows.basis.shape[2]), rows.basis.dtype)
    pose, turned = state.pose, points_cam_mm - state.pose.translation_mm
    _chain(slopes, pose.scale * pose.rotation, turned, rows.basis, out)
    return out


@numba.njit(cache=True, nogil=True)
def _chain(slopes, cam_from_obj, turned, basis, out):  # type: ignore[no-untyped-def]
    """Write derivatives by rotation, translation, log of the scale, and coefficients."""
    for i in range(slopes.shape[0]):
        x, y, z = turned[i, 0], turned[i, 1], turned[i, 2]
        for j in range(slopes.shape[1]):
            a, b, c = slopes[i, j, 0], slopes[i, j, 1], slopes[i, j, 2]
            # d (exp(w) x) / dw . s = x cross s for every row s of the slopes.
            out[i, j, 0] = y * c - z * b
            out[i, j, 1] = z * a - x * c
            out[i, j, 2] = x * b - y * a
            out[i, j, 3], out[i, j, 4], out[i, j, 5] = a, b, c
            out[i, j, 6] = a * x + b * y + c * z
            # In the precision of the basis, in which several are then worked on at once.
            u = basis.dtype.type(
                a * cam_from_obj[0, 0] + b * cam_from_obj[1, 0] + c * cam_from_obj[2, 0]
            )
            v = basis.dtype.type(
                a * cam_from_obj[0, 1] + b * cam_from_obj[1, 1] + c * cam_from_obj[2, 1]
            )
            w = basis.dtype.type(
                a * cam_from_obj[0, 2] + b * cam_from_obj[1, 2] + c * cam_from_obj[2, 2]
            )
            for k in range(basis.shape[2]):
                out[i, j, 7 + k] = u * basis[i, 0, k] + v * basis[i, 1, k] + w * basis[i, 2, k]
