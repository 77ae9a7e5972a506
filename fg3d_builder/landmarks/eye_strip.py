"""The image around one eye in coordinates of the eye itself, whatever its size and turn.

The origin is halfway between the corners. x runs along the line through both, to the right in the
image, in widths of this eye; y across it, downwards, in widths of the wider one of both eyes: a
turned head narrows its eyes in the image, and does not open them.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.landmarks.edges import IBUG, IBUG_CURVES, MEDIAPIPE, MEDIAPIPE_CURVES
from fg3d_builder.records import Array, Landmarks
from fg3d_builder.rendering.shading import linear_from_srgb

HALF_WIDTH, HALF_HEIGHT = 0.6, 0.45
"""Reach of a strip."""

COLUMNS, ROWS = 96, 72
"""80 samples to the width of an eye: an image of half a metre's distance has 50 pixels."""

MIN_WIDTH_PX, MIN_SHARE = 4.0, 0.4
"""An eye that is narrower in the image, or against the wider one, shows too little of itself."""


class LidPairs(NamedTuple):
    """Point numbers of a scheme on the lid edges of one eye.

    Attributes
    ----------
    corners : (int, int)
    upper, lower : (k,) int64
        Points that meet when the eye closes, from the first corner to the second.
    """

    corners: tuple[int, int]
    upper: Array
    lower: Array


def lid_pairs(scheme: str) -> tuple[LidPairs, LidPairs]:
    """Return the lids of the right and of the left eye.

    Raises
    ------
    ValueError
        Unknown scheme.
    """
    curves = {MEDIAPIPE: MEDIAPIPE_CURVES, IBUG: IBUG_CURVES}.get(scheme)
    if curves is None:
        raise ValueError(f"unknown landmark scheme '{scheme}'; known are {MEDIAPIPE}, {IBUG}")
    # MediaPipe's rings go on along the lower lid, those of 300-W along the upper one.
    right, left = (
        _pairs(curves[name].points, scheme == IBUG) for name in ("right_eye", "left_eye")
    )
    return right, left


def _pairs(ring: tuple[int, ...], upper_first: bool) -> LidPairs:
    half = len(ring) // 2
    one, other = np.array(ring[1:half]), np.array(ring[:half:-1])
    upper, lower = (one, other) if upper_first else (other, one)
    return LidPairs((ring[0], ring[half]), upper, lower)


class EyeStrip(NamedTuple):
    """An eye resampled; see the module for its coordinates.

    Attributes
    ----------
    colour : (ROWS, COLUMNS, 3) float32
        Linear RGB.
    depth_mm : (ROWS, COLUMNS) float32
        NaN where there is none.
    x, y : (COLUMNS,), (ROWS,) float64
    upper, lower : (COLUMNS,) float64
        y of the detected lid edges.
    middle_px : (2,) float64
        The origin.
    axes_px : (2, 2) float64
        Rows: what one unit of x and one of y is in pixels.
    """

    colour: Array
    depth_mm: Array
    x: Array
    y: Array
    upper: Array
    lower: Array
    middle_px: Array
    axes_px: Array

    def px(self, x: Array, y: Array) -> Array:
        """Return the (..., 2) pixels of strip coordinates."""
        return np.asarray(self.middle_px + np.stack([x, y], axis=-1) @ self.axes_px)

    def of_px(self, points_px: Array) -> Array:
        """Return the (..., 2) strip coordinates of pixels."""
        return np.asarray((points_px - self.middle_px) @ np.linalg.inv(self.axes_px))


def wider_eye_px(landmarks: Landmarks) -> float:
    """Return the distance of the corners of the wider eye."""
    corners = [landmarks.points_px[list(lids.corners)] for lids in lid_pairs(landmarks.scheme)]
    return float(np.nanmax([np.linalg.norm(ends[1] - ends[0]) for ends in corners]))


def eye_strip(rgb: Array, depth_mm: Array, landmarks: Landmarks, lids: LidPairs) -> EyeStrip | None:
    """Cut an eye out of an image; None where its landmarks do not show one.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    depth_mm : (H, W) float32
    landmarks : Landmarks
    lids : LidPairs
        Of the landmarks' scheme.
    """
    points = landmarks.points_px.astype(np.float64)
    ends = points[list(lids.corners)]
    ends = ends[np.argsort(ends[:, 0])]
    along = ends[1] - ends[0]
    used = [*lids.corners, *lids.upper, *lids.lower]
    width, wider = float(np.linalg.norm(along)), wider_eye_px(landmarks)
    if not np.all(np.isfinite(points[used])) or width < max(MIN_WIDTH_PX, MIN_SHARE * wider):
        return None
    across = np.array([-along[1], along[0]]) * (wider / width)
    axes, middle = np.array([along, across]), ends.mean(axis=0)
    x = np.linspace(-HALF_WIDTH, HALF_WIDTH, COLUMNS)
    y = np.linspace(-HALF_HEIGHT, HALF_HEIGHT, ROWS)
    where = middle + np.stack(np.meshgrid(x, y), axis=-1) @ axes
    low = np.floor(where.min(axis=(0, 1))).astype(int) - 2
    high = np.ceil(where.max(axis=(0, 1))).astype(int) + 3
    low, high = np.maximum(low, 0), np.minimum(high, [rgb.shape[1], rgb.shape[0]])
    if np.any(high - low < 4):
        return None
    window = slice(low[1], high[1]), slice(low[0], high[0])
    colour = linear_from_srgb(np.ascontiguousarray(rgb[window]))
    pixels_per_sample = wider * 2 * HALF_WIDTH / COLUMNS
    if pixels_per_sample > 1.0:
        colour = np.asarray(cv2.GaussianBlur(colour, (0, 0), 0.5 * pixels_per_sample))
    empty = EyeStrip(
        _resampled(colour, where - low, cv2.BORDER_REPLICATE),
        _resampled(depth_mm[window].astype(np.float32), where - low, cv2.BORDER_CONSTANT),
        x,
        y,
        np.zeros(COLUMNS),
        np.zeros(COLUMNS),
        middle,
        axes,
    )
    upper, lower = (
        _curve(empty.of_px(np.vstack([ends, points[lid]])), x) for lid in (lids.upper, lids.lower)
    )
    return empty._replace(upper=upper, lower=lower)


def _resampled(image: Array, at_px: Array, border: int) -> Array:
    """Interpolate an image at (h, w, 2) pixels; a constant border is NaN."""
    column, row = np.moveaxis(at_px, -1, 0).astype(np.float32)
    nothing = (float("nan"),) * 4
    return np.asarray(
        cv2.remap(image, column, row, cv2.INTER_LINEAR, borderMode=border, borderValue=nothing)
    )


def _curve(points: Array, x: Array) -> Array:
    """Interpolate y at the given x between points (k, 2), level beyond them."""
    order = np.argsort(points[:, 0], kind="stable")
    return np.asarray(np.interp(x, points[order, 0], points[order, 1]))
