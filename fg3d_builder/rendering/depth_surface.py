"""The surface that a depth image shows: points, noise-robust normals, borders, a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np

from fg3d_builder.geometry.camera import cam_from_depth, cam_from_px
from fg3d_builder.geometry.meshes import compact_triangles
from fg3d_builder.records import Array

MAX_SLOPE = 6.0
"""Neighbouring pixels belong together below this depth step per pixel footprint (80 degrees)."""

NORMAL_ERROR = 0.04
"""Standard deviation in radians that noise may leave in a normal; decides the fit's window."""

MIN_WINDOW_PX, MAX_WINDOW_PX = 1.5, 6.0
BORDER_PX = 2


@dataclass(frozen=True)
class DepthSurface:
    """One depth image as a surface in the camera frame.

    Attributes
    ----------
    points_cam_mm : (H, W, 3) float64
        Raw, unsmoothed positions; NaN where there is no depth.
    normals_cam : (H, W, 3) float64
        Unit, towards the camera; from planes fitted to a window that grows with the noise.
        NaN where fewer than four connected pixels support the fit.
    fitted_cam_mm : (H, W, 3) float64
        The fitted planes on the pixels' viewing rays: positions with the noise averaged
        over the same window; NaN like the normals.
    noise_mm : (H, W) float64
        Standard deviation of the depth noise of single pixels, estimated by depth; NaN
        where there is no depth.
    valid : (H, W) bool
        Depth and normal exist.
    border : (H, W) bool
        Valid pixels within two pixels of a hole, a discontinuity or the image's border.
    vertices_cam_mm : (v, 3) float64
        Vertices of the triangulated surface.
    vertex_px : (v, 2) int32
        Column and row of each mesh vertex.
    triangles : (m, 3) int32
        Counter-clockwise seen from the camera; cut at discontinuities.
    intrinsics : (3, 3) float64
    connected_right, connected_down : (H, W) bool
        The pixel and its right (lower) neighbour are on one surface.
    """

    points_cam_mm: Array
    normals_cam: Array
    fitted_cam_mm: Array
    noise_mm: Array
    valid: Array
    border: Array
    vertices_cam_mm: Array
    vertex_px: Array
    triangles: Array
    intrinsics: Array
    connected_right: Array
    connected_down: Array

    @staticmethod
    def from_depth(depth_mm: Array, intrinsics: Array) -> DepthSurface:
        """Build the surface of a depth image.

        Parameters
        ----------
        depth_mm : (H, W) float
            Along the camera's z axis; NaN (or anything not positive) where there is none.
        intrinsics : (3, 3) float
        """
        depth = np.asarray(depth_mm, dtype=np.float64)
        depth = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)
        matrix = np.asarray(intrinsics, dtype=np.float64)
        noise = estimate_noise(depth)
        right = _connected_right(depth, noise, matrix[0, 0])
        down = np.ascontiguousarray(_connected_right(depth.T, noise.T, matrix[1, 1]).T)
        points = cam_from_depth(depth, matrix)
        normals, fitted_mm = _fitted_planes(depth, noise, matrix)
        valid = np.isfinite(depth) & np.isfinite(normals[..., 2])
        vertices, vertex_px, triangles = _triangulate(points, right, down)
        return DepthSurface(
            points_cam_mm=points,
            normals_cam=normals,
            fitted_cam_mm=cam_from_depth(fitted_mm, matrix),
            noise_mm=noise,
            valid=valid,
            border=valid & _near_border(np.isfinite(depth), right, down),
            vertices_cam_mm=vertices,
            vertex_px=vertex_px,
            triangles=triangles,
            intrinsics=matrix,
            connected_right=right,
            connected_down=down,
        )

    def lookup(self, points_px: Array) -> tuple[Array, Array, Array]:
        """Interpolate the surface at pixel positions.

        Parameters
        ----------
        points_px : (k, 2) float

        Returns
        -------
        points_cam_mm : (k, 3) float64
            Exactly on the pixels' viewing rays; NaN where not `ok`.
        normals_cam : (k, 3) float64
            Unit; NaN where not `ok`.
        ok : (k,) bool
            All four neighbouring pixels exist and are on one surface.
        """
        height, width = self.valid.shape
        px = np.nan_to_num(np.asarray(points_px, dtype=np.float64), nan=-9.0)
        inside = np.all((px >= 0) & (px <= [width - 1, height - 1]), axis=1)
        column = np.clip(np.floor(px[:, 0]).astype(int), 0, width - 2)
        row = np.clip(np.floor(px[:, 1]).astype(int), 0, height - 2)
        s, t = px[:, 0] - column, px[:, 1] - row
        ok = inside & self.connected_right[row, column] & self.connected_right[row + 1, column]
        ok &= self.connected_down[row, column] & self.connected_down[row, column + 1]
        inverse = np.zeros(len(px))
        normals = np.zeros((len(px), 3))
        for down, right, weight in (
            (0, 0, (1 - s) * (1 - t)),
            (0, 1, s * (1 - t)),
            (1, 0, (1 - s) * t),
            (1, 1, s * t),
        ):
            r, c = row + down, column + right
            ok &= self.valid[r, c]
            # Inverse depth is affine in the pixel on a plane; depth is not.
            inverse += weight / self.points_cam_mm[r, c, 2]
            normals += weight[:, None] * self.normals_cam[r, c]
        depth = np.full(len(px), np.nan)
        depth[ok] = 1.0 / inverse[ok]
        normals[~ok] = np.nan
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        return cam_from_px(px, depth, self.intrinsics), normals, ok


def estimate_noise(depth_mm: Array) -> Array:
    """Estimate the standard deviation (H, W) of single-pixel depth noise, mm.

    Noise of depth sensors grows with depth, so it is estimated robustly within depth
    ranges: the median response to a kernel that planes and paraboloids do not excite
    (Immerkaer 1996). Sensors smooth their own output, which hides noise from neighbouring
    pixels: the larger figure of two pixel spacings counts. NaN where there is no depth.
    """
    noise = np.full(depth_mm.shape, np.nan)
    known = np.isfinite(depth_mm)
    octave = np.full(depth_mm.shape, -1)
    octave[known] = np.floor(np.log(depth_mm[known]) / np.log(1.25)).astype(int)
    responses = [_mixed_difference(depth_mm, spacing) for spacing in (1, 2)]
    for number in np.unique(octave[known]):
        here = octave == number
        medians = [_median(response[here]) for response in responses]
        noise[here] = np.nanmax([*medians, 0.0]) / (0.6745 * 6.0)
    return noise


def _mixed_difference(depth_mm: Array, spacing: int) -> Array:
    """Absolute response to second differences along x of those along y; NaN near holes."""
    kernel = np.zeros((2 * spacing + 1, 2 * spacing + 1))
    kernel[::spacing, ::spacing] = np.outer([1.0, -2.0, 1.0], [1.0, -2.0, 1.0])
    padded = cv2.copyMakeBorder(
        depth_mm, spacing, spacing, spacing, spacing, cv2.BORDER_CONSTANT, value=np.nan
    )
    response = np.abs(cv2.filter2D(padded, cv2.CV_64F, kernel))
    return np.asarray(response[spacing:-spacing, spacing:-spacing])


def _median(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def _connected_right(depth: Array, noise: Array, focal_px: float) -> Array:
    """Find the pixels (H, W) that are on one surface with their right neighbour."""
    right = np.zeros(depth.shape, dtype=bool)
    near = np.minimum(depth[:, :-1], depth[:, 1:])
    with np.errstate(invalid="ignore"):
        limit = MAX_SLOPE * near / focal_px + 4.0 * noise[:, :-1]
        right[:, :-1] = np.abs(depth[:, :-1] - depth[:, 1:]) <= limit
    return right


def _near_border(known: Array, right: Array, down: Array) -> Array:
    """Within `BORDER_PX` of a hole, a discontinuity or the image's border."""
    broken = ~known
    broken[:, :-1] |= ~right[:, :-1]
    broken[:, 1:] |= ~right[:, :-1]
    broken[:-1] |= ~down[:-1]
    broken[1:] |= ~down[:-1]
    broken[[0, -1], :] = broken[:, [0, -1]] = True
    size = 2 * BORDER_PX + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.dilate(broken.astype(np.uint8), disc) > 0)


def _triangulate(points: Array, right: Array, down: Array) -> tuple[Array, Array, Array]:
    """Two triangles per connected square of pixels, one where a corner is cut off."""
    height, width = right.shape
    number = np.arange(height * width).reshape(height, width)
    a, b = number[:-1, :-1].ravel(), number[:-1, 1:].ravel()
    c, d = number[1:, :-1].ravel(), number[1:, 1:].ravel()
    top, bottom = right[:-1, :-1].ravel(), right[1:, :-1].ravel()
    left, side = down[:-1, :-1].ravel(), down[:-1, 1:].ravel()
    z = points[..., 2].ravel()
    with np.errstate(invalid="ignore"):
        # The shorter diagonal follows ridges and folds better.
        falling = np.abs(z[a] - z[d]) <= np.abs(z[b] - z[c])
    full = top & bottom & left & side
    corners = (
        (full & falling, (a, c, d)),
        (full & falling, (a, d, b)),
        (full & ~falling, (a, c, b)),
        (full & ~falling, (b, c, d)),
        (~full & top & left, (a, c, b)),
        (~full & left & bottom & ~(top & left), (a, c, d)),
        (~full & bottom & side & ~(left & bottom) & ~(top & left), (b, c, d)),
        (~full & side & top & ~(top & left) & ~(bottom & side), (a, d, b)),
    )
    triangles = np.concatenate([np.stack(abc, axis=1)[keep] for keep, abc in corners])
    used, compact = compact_triangles(triangles, height * width)
    vertex_px = np.stack([used % width, used // width], axis=1).astype(np.int32)
    return points.reshape(-1, 3)[used], vertex_px, compact


def _fitted_planes(depth: Array, noise: Array, intrinsics: Array) -> tuple[Array, Array]:
    """Fit a plane to each pixel's window; return its normal and its depth at the pixel.

    Inverse depth is affine in the pixel on a plane, so three numbers per pixel suffice:
    ``1/z = n . ((u - cx)/fx, (v - cy)/fy, 1)`` with the plane ``n . X = 1``. The window is
    as wide as the noise demands: the slope of a plane fitted to a disc of radius r with
    pixels of pitch p has standard deviation ``1.13 sigma p / r^2``.
    """
    pitch = depth / np.sqrt(intrinsics[0, 0] * intrinsics[1, 1])
    with np.errstate(invalid="ignore"):
        radius_px = np.sqrt(1.13 * noise / (pitch * NORMAL_ERROR))
    radius_px = np.clip(np.nan_to_num(radius_px), MIN_WINDOW_PX, MAX_WINDOW_PX)
    slopes = _fit_planes(1.0 / depth, noise / depth**2, pitch / depth**2, radius_px, MAX_SLOPE)
    height, width = depth.shape
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    offset = slopes[..., 2] + slopes[..., 0] * (intrinsics[0, 2] - u)
    offset += slopes[..., 1] * (intrinsics[1, 2] - v)
    normals = -np.stack(
        [slopes[..., 0] * intrinsics[0, 0], slopes[..., 1] * intrinsics[1, 1], offset], axis=-1
    )
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return normals, 1.0 / slopes[..., 2]


@numba.njit(cache=True)
def _fit_planes(inverse, sigma, pitch, radius, max_slope):  # type: ignore[no-untyped-def]
    """Weighted affine fit ``du, dv, value at the centre`` to inverse depth, per pixel."""
    height, width = inverse.shape
    out = np.full((height, width, 3), np.nan)
    for row in range(height):
        for column in range(width):
            centre = inverse[row, column]
            if not np.isfinite(centre):
                continue
            r = radius[row, column]
            reach = int(np.ceil(r))
            # Another surface: further in depth than any slope explains.
            slope = max_slope * pitch[row, column]
            slack = 4.0 * sigma[row, column]
            falloff = 1.0 / ((r + 0.5) * (r + 0.5))
            ww = wx = wy = xx = xy = yy = h0 = h1 = h2 = 0.0
            count = 0
            for y in range(max(0, row - reach), min(height, row + reach + 1)):
                for x in range(max(0, column - reach), min(width, column + reach + 1)):
                    step = inverse[y, x] - centre
                    dx, dy = float(x - column), float(y - row)
                    distance2 = dx * dx + dy * dy
                    # Written so that NaN, no depth, fails the comparison.
                    if distance2 > r * r or not abs(step) <= slope * np.sqrt(distance2) + slack:
                        continue
                    w = 1.0 - distance2 * falloff
                    ww += w
                    wx += w * dx
                    wy += w * dy
                    xx += w * dx * dx
                    xy += w * dx * dy
                    yy += w * dy * dy
                    h0 += w * dx * step
                    h1 += w * dy * step
                    h2 += w * step
                    count += 1
            if count < 4:
                continue
            # Cramer's rule for the symmetric 3 x 3 system.
            c00, c01, c02 = yy * ww - wy * wy, wx * wy - xy * ww, xy * wy - yy * wx
            c11, c12, c22 = xx * ww - wx * wx, xy * wx - xx * wy, xx * yy - xy * xy
            determinant = xx * c00 + xy * c01 + wx * c02
            if determinant <= 1e-9 * ww**3:
                continue
            out[row, column, 0] = (c00 * h0 + c01 * h1 + c02 * h2) / determinant
            out[row, column, 1] = (c01 * h0 + c11 * h1 + c12 * h2) / determinant
            out[row, column, 2] = centre + (c02 * h0 + c12 * h1 + c22 * h2) / determinant
    return out
