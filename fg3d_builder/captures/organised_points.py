"""Points in the grid of a picture, as range scanners write them, become depth with a pinhole.

A scanner gives each pixel its point, and no camera. If the points are where a pinhole camera sees
them, column and row are linear in X/Z and Y/Z, and four numbers found by least squares are the
camera. If they are not, the grid is triangulated, and seen by the camera that fits best.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from fg3d_builder.captures.background import plain_background
from fg3d_builder.captures.mesh_view import view_mesh
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.textured_mesh import TexturedMesh, mesh_with_texture
from fg3d_builder.geometry.camera import intrinsics_matrix, scaled_intrinsics
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import srgb_from_linear

LARGEST_RESIDUAL_PX = 0.5
"""A pinhole that 95 of 100 points are nearer to than this explains the grid."""

MOST_ENLARGED = 4
"""Times that a picture may be larger than the grid of points."""

_FEWEST = 100
_ROUNDS = 8
_OUTLIER_DEVIATIONS = 4.0
_SMALLEST_DEVIATION_PX = 1e-6
_MAD_TO_SD = 1.4826
_SHARE = 95.0

_STEEPEST = 6.0
"""Longest side of a triangle, in distances of neighbours; a longer one spans a step in depth."""

log = logging.getLogger("fg3d")


@dataclass(frozen=True)
class PinholeFit:
    """The pinhole camera that sees points where their grid has them.

    Attributes
    ----------
    intrinsics : (3, 3) float64
        Of the grid.
    signs : (3,) float64
        1 or -1 for each axis: ``signs * points`` have x to the right, y down and z forward.
    residual_px : float
        95 of 100 points are seen nearer than this to the centre of their pixel.
    """

    intrinsics: Array
    signs: Array
    residual_px: float


def fitted_pinhole(points: Array) -> PinholeFit:
    """Fit a camera to points (H, W, 3) in their grid, NaN where there is none.

    Raises
    ------
    ValueError
        Too few points, or none that a camera could see so.
    """
    row, column = np.nonzero(np.isfinite(points).all(axis=-1))
    x, y, z = points[row, column].T
    if len(z) < _FEWEST:
        raise ValueError(f"{len(z)} points, at least {_FEWEST} are needed")
    forward = float(np.sign(np.median(z)))
    if not (forward * z > 0).all():
        raise ValueError("points on both sides of the camera: Z is positive and negative")
    depth = forward * z
    fx, cx = _line(x / depth, column)
    fy, cy = _line(y / depth, row)
    away = np.hypot(fx * x / depth + cx - column, fy * y / depth + cy - row)
    signs = np.array([np.sign(fx), np.sign(fy), forward])
    return PinholeFit(
        intrinsics_matrix(abs(fx), abs(fy), cx, cy), signs, float(np.percentile(away, _SHARE))
    )


def frame_of_points(points_mm: Array, rgb: Array, name: str) -> tuple[Array, Array, Array]:
    """Make an RGB-D frame of points and the picture of the same view.

    Parameters
    ----------
    points_mm : (H, W, 3) float
        NaN where there is none; axes may point either way.
    rgb : (s H, s W, 3) uint8
        The same view, of the same size or larger by a whole factor.
    name : str
        Of the points' file, for messages.

    Returns
    -------
    rgb : (s H, s W, 3) uint8
        As it is given, or rendered where no pinhole explains the grid.
    depth_mm : (s H, s W) float32
        Every point as often as the picture is larger.
    intrinsics : (3, 3) float64

    Raises
    ------
    CaptureError
        ``size_mismatch``, ``no_depth`` (less than 100 points) or ``bad_field``: points that no
        camera sees so.
    """
    factor = _factor(points_mm.shape[:2], rgb.shape[:2], name)
    try:
        fit = fitted_pinhole(points_mm)
    except ValueError as error:
        few = np.count_nonzero(np.isfinite(points_mm).all(axis=-1)) < _FEWEST
        raise CaptureError("no_depth" if few else "bad_field", f"{name}: {error}") from None
    intrinsics = scaled_intrinsics(fit.intrinsics, factor)
    if fit.residual_px <= LARGEST_RESIDUAL_PX:
        depth = (fit.signs[2] * points_mm[..., 2]).astype(np.float32)
        return rgb, np.repeat(np.repeat(depth, factor, axis=0), factor, axis=1), intrinsics
    log.info(
        "%s: no pinhole camera explains its points (%.2f pixels off), so they are seen anew by "
        "the camera that fits best",
        name,
        fit.residual_px,
    )
    mesh = grid_mesh(fit.signs * points_mm, rgb, name)
    height, width = rgb.shape[:2]
    seen = view_mesh(mesh, mesh.vertices, intrinsics, height, width)
    behind = (1.0 - seen.coverage[:, :, None]) * plain_background(height, width)
    return srgb_from_linear(seen.rgb_linear + behind), seen.depth_mm, intrinsics


def grid_mesh(points: Array, rgb: Array, name: str, uv: Array | None = None) -> TexturedMesh:
    """Triangulate points (H, W, 3) in their grid; vertices are those that there are, row by row.

    Nothing is spanned across a step. Counter-clockwise seen from where the grid's first row is up
    and its first column to the left.

    Parameters
    ----------
    points : (H, W, 3) float
        NaN where there is none.
    rgb : (h, w, 3) uint8
        The texture.
    name : str
        For messages.
    uv : (H, W, 2) float, optional
        Texture coordinates, v up; else those of the grid's own pixels.

    Raises
    ------
    CaptureError
        ``no_depth``: no three neighbours are one surface.
    """
    height, width = points.shape[:2]
    there = np.isfinite(points).all(axis=-1)
    if uv is None:
        row, column = np.mgrid[0:height, 0:width]
        uv = np.stack([(column + 0.5) / width, 1.0 - (row + 0.5) / height], axis=-1)
    number = np.full((height, width), -1, np.int64)
    number[there] = np.arange(np.count_nonzero(there))
    vertices = points[there]
    a, b = number[:-1, :-1].ravel(), number[:-1, 1:].ravel()
    c, d = number[1:, :-1].ravel(), number[1:, 1:].ravel()
    triangles = np.concatenate([np.stack([a, c, b], axis=1), np.stack([b, c, d], axis=1)])
    triangles = triangles[(triangles >= 0).all(axis=1)]
    corners = vertices[triangles]
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1)
    if len(sides):
        # The middle side of a triangle of the grid is one between neighbours.
        triangles = triangles[sides.max(axis=1) <= _STEEPEST * np.median(sides)]
    if not len(triangles):
        raise CaptureError("no_depth", f"{name}: no three neighbouring points are one surface")
    return mesh_with_texture(vertices, triangles, uv[there], rgb)


def _line(slope: Array, pixel: Array) -> tuple[float, float]:
    """Fit ``pixel = f * slope + c`` to most of the points, leaving out those far off."""
    kept = np.ones(len(slope), dtype=bool)
    focal = center = 0.0
    for _ in range(_ROUNDS):
        a, b = slope[kept], pixel[kept]
        spread = a - a.mean()
        power = float(spread @ spread)
        if not power > np.finfo(float).eps * float(a @ a):
            raise ValueError("all points are in one direction from the camera")
        focal = float(spread @ (b - b.mean())) / power
        center = float(b.mean() - focal * a.mean())
        away = np.abs(focal * slope + center - pixel)
        limit = _OUTLIER_DEVIATIONS * _MAD_TO_SD * float(np.median(away))
        now = away <= max(limit, _SMALLEST_DEVIATION_PX)
        if (now == kept).all():
            break
        kept = now
    if not np.isfinite([focal, center]).all() or focal == 0:
        raise ValueError("no camera sees the points in such a grid")
    return focal, center


def _factor(points: tuple[int, ...], picture: tuple[int, ...], name: str) -> int:
    factor = picture[0] // points[0]
    if not 1 <= factor <= MOST_ENLARGED or picture != (factor * points[0], factor * points[1]):
        raise CaptureError(
            "size_mismatch",
            f"{name}: {points[1]} x {points[0]} points, but its picture has {picture[1]} x "
            f"{picture[0]} pixels, which is no whole multiple",
        )
    return factor
