"""Lenses: where a camera with distortion sees what one without would see elsewhere.

The distortion is the rational model that OpenCV, the Azure Kinect's and Orbbec's software share;
RealSense's is it as well, but for where the tangential part is taken (`Lens.scaled_tangential`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

from fg3d_builder.records import Array

_PASSES, _STEP, _SOLVED, _CLOSE = 30, 1e-6, 1e-10, 1e-7
"""Newton's method: most passes, step of the derivatives, the error that it ends at and the largest
that counts as solved, in units of the focal length."""

_STRIP_ROWS = 64

_WIDEST = 6.0
"""Tangent of the angle from the axis (80 degrees) up to which lenses are looked at."""


@dataclass(frozen=True)
class Lens:
    """A camera with distortion.

    Attributes
    ----------
    intrinsics : (3, 3) float64
    size : (int, int)
        Height and width of its images; (0, 0) where nobody said.
    coefficients : (8,) float64
        In OpenCV's order: k1, k2, p1, p2, k3, k4, k5, k6.
    scaled_tangential : bool
        The tangential part belongs to the point as the radial part has moved it.
    largest_radius : float
        Tangent of the angle from the axis up to which the coefficients count.
    """

    intrinsics: Array
    size: tuple[int, int] = (0, 0)
    coefficients: Array = field(default_factory=lambda: np.zeros(8))
    scaled_tangential: bool = False
    largest_radius: float = np.inf

    @property
    def distorts(self) -> bool:
        """Whether any coefficient is there."""
        return bool(self.coefficients.any())

    @cached_property
    def reach(self) -> float:
        """Radius up to which what is farther out is also seen farther out.

        Beyond it, polynomials that were fitted to an image's inside fold back into the image.
        """
        radius = np.linspace(0.0, _WIDEST, 10_001)
        with np.errstate(all="ignore"):
            out = radius * self._radial(radius**2)
            turned = ~(np.diff(out) > 0)
        farthest = radius[np.argmax(turned)] if turned.any() else np.inf
        return float(min(farthest, self.largest_radius))

    def _radial(self, r: Array) -> Array:
        k1, k2, _, _, k3, k4, k5, k6 = self.coefficients
        return np.asarray((1 + r * (k1 + r * (k2 + r * k3))) / (1 + r * (k4 + r * (k5 + r * k6))))

    def distorted(self, slopes: Array) -> Array:
        """Map slopes (..., 2), x / z and y / z, to those of the pixels where they are seen.

        NaN beyond `reach`.
        """
        _, _, p1, p2, *_ = self.coefficients
        x, y = slopes[..., 0], slopes[..., 1]
        with np.errstate(all="ignore"):
            r = x * x + y * y
            radial = self._radial(r)
            tx, ty = (x * radial, y * radial) if self.scaled_tangential else (x, y)
            moved = np.stack(
                [
                    x * radial + 2 * p1 * tx * ty + p2 * (r + 2 * tx * tx),
                    y * radial + 2 * p2 * tx * ty + p1 * (r + 2 * ty * ty),
                ],
                axis=-1,
            )
            good = np.isfinite(moved).all(axis=-1) & (r <= self.reach**2)
        return np.where(good[..., None], moved, np.nan)

    def undistorted(self, seen: Array) -> Array:
        """Map slopes of pixels (..., 2) to those of their rays; NaN where there is none."""
        wanted = np.asarray(seen, dtype=np.float64).reshape(-1, 2)
        slopes = wanted.copy()
        active = np.arange(len(wanted))
        for _ in range(_PASSES):
            error = self.distorted(slopes[active]) - wanted[active]
            with np.errstate(invalid="ignore"):
                open_still = np.abs(error).max(axis=-1, initial=0.0) > _SOLVED  # not where NaN
            active, error = active[open_still], error[open_still]
            if not len(active):
                break
            slopes[active] -= self._step(slopes[active], error)
        with np.errstate(invalid="ignore"):
            solved = np.abs(self.distorted(slopes) - wanted).max(axis=-1, initial=0.0) < _CLOSE
        return np.where(solved[:, None], slopes, np.nan).reshape(np.shape(seen))

    def _step(self, slopes: Array, error: Array) -> Array:
        """Return Newton's step (n, 2), which is to be taken off."""
        dx, dy = (
            (self.distorted(slopes + _STEP * axis) - self.distorted(slopes - _STEP * axis))
            / (2 * _STEP)
            for axis in np.eye(2)
        )
        with np.errstate(all="ignore"):
            det = dx[:, 0] * dy[:, 1] - dy[:, 0] * dx[:, 1]
            step_x = (dy[:, 1] * error[:, 0] - dy[:, 0] * error[:, 1]) / det
            step_y = (dx[:, 0] * error[:, 1] - dx[:, 1] * error[:, 0]) / det
        return np.stack([step_x, step_y], axis=-1)

    def straight_px(self, points_px: Array) -> Array:
        """Map pixels (..., 2) of its images to those of a pinhole camera of its intrinsics."""
        focal, middle = np.diag(self.intrinsics)[:2], self.intrinsics[:2, 2]
        return np.asarray(self.undistorted((points_px - middle) / focal) * focal + middle)

    def straight_image(self, image: Array) -> Array:
        """Redraw an image (H, W, 3) uint8 as a pinhole camera of its intrinsics would take it.

        Black where the camera saw nothing.
        """
        if not self.distorts:
            return image
        height, width = image.shape[:2]
        straight = np.zeros_like(image)
        for rows, seen in self.bent_px(height, width):
            # Far outside rather than NaN, which OpenCV takes for any pixel.
            seen = np.nan_to_num(seen, nan=-1e4).clip(-1e4, 1e5).astype(np.float32)
            x, y = np.moveaxis(seen, -1, 0)
            straight[rows] = cv2.remap(image, x, y, cv2.INTER_CUBIC)
        return straight

    def bent_px(
        self, height: int, width: int, intrinsics: Array | None = None
    ) -> Iterator[tuple[slice, Array]]:
        """Yield rows of a straight image and where (n, W, 2) their pixels are in the bent one.

        In strips: of a large image, all places take much memory.

        Parameters
        ----------
        height, width : int
            Of the straight image.
        intrinsics : (3, 3) float, optional
            Of the straight image, where they are not those of the bent one.
        """
        focal, middle = np.diag(self.intrinsics)[:2], self.intrinsics[:2, 2]
        straight = self.intrinsics if intrinsics is None else intrinsics
        straight_focal, straight_middle = np.diag(straight)[:2], straight[:2, 2]
        for top in range(0, height, _STRIP_ROWS):
            rows = np.arange(top, min(top + _STRIP_ROWS, height))
            place = np.stack(np.meshgrid(np.arange(width), rows), axis=-1)
            slopes = (place - straight_middle) / straight_focal
            yield slice(top, top + len(rows)), self.distorted(slopes) * focal + middle
