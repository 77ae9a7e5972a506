"""The surface that a depth image shows: points, noise-robust normals, borders, a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numba
import numpy as np

from fg3d_builder.geometry.camera import cam_from_depth, cam_from_px, px_of_other_grid
from fg3d_builder.geometry.meshes import compact_triangles
from fg3d_builder.records import Array, DepthSampling
from fg3d_builder.rendering.depth_gaps import bridged_depth
from fg3d_builder.rendering.depth_noise import estimate_noise
from fg3d_builder.rendering.plane_fit import fitted_planes

MAX_SLOPE = 6.0
"""Neighbouring pixels belong together below this depth step per pixel footprint (80 degrees)."""

BORDER_PX = 2

_MOST_NOISE = 0.005
"""Of the depth, as noise: twice that of the first depth cameras, 2.5 mm at a metre."""

HEAD_MM = 250.0
"""Where a pixel is as wide as this, no head can be seen: numbers that far off are no depth."""


@dataclass(frozen=True)
class DepthSurface:
    """One depth image as a surface in the camera frame.

    Attributes
    ----------
    points_cam_mm : (H, W, 3) float64
        Raw, unsmoothed positions, bridged gaps included; NaN where there is no depth.
    normals_cam : (H, W, 3) float64
        Unit, towards the camera; from planes fitted to a window that grows with the noise.
        NaN where fewer than four connected pixels support the fit.
    fitted_cam_mm : (H, W, 3) float64
        The fitted planes on the pixels' viewing rays: positions with the noise averaged
        over the same window; NaN like the normals.
    noise_mm : (H, W) float64
        Standard deviation of the depth noise of single pixels, estimated by depth; NaN
        where there is no depth.
    near : (H, W) bool
        Within the range of depths that matter.
    valid : (H, W) bool
        Depth and normal exist.
    border : (H, W) bool
        Valid pixels within two pixels of a hole, a discontinuity or the image's border.
    intrinsics : (3, 3) float64
    connected_right, connected_down : (H, W) bool
        The pixel and its right (lower) neighbour are on one surface.
    sampling : DepthSampling
        What the depth image turned out to be.
    """

    points_cam_mm: Array
    normals_cam: Array
    fitted_cam_mm: Array
    noise_mm: Array
    near: Array
    valid: Array
    border: Array
    intrinsics: Array
    connected_right: Array
    connected_down: Array
    sampling: DepthSampling

    @staticmethod
    def from_depth(
        depth_mm: Array, intrinsics: Array, near_mm: tuple[float, float] | None = None
    ) -> DepthSurface:
        """Build the surface of a depth image.

        Gaps of a pixel or two within one surface are bridged (see `depth_gaps`); what bridges
        them belongs to the surface like the pixels beside them.

        Parameters
        ----------
        depth_mm : (H, W) float
            Along the camera's z axis; NaN (or anything not positive) where there is none.
        intrinsics : (3, 3) float
        near_mm : (float, float), optional
            Range of depths that matter. Beyond it no normals are fitted, which takes most of
            the time; what is there still counts as depth behind or before a step.
        """
        matrix = np.asarray(intrinsics, dtype=np.float64)
        measured = believable_depth(np.asarray(depth_mm, dtype=np.float64), matrix)
        depth, noise = _filled(measured, matrix)
        right, down = _connected(depth, noise, matrix[0, 0], matrix[1, 1])
        known = np.isfinite(depth)
        wanted = known
        if near_mm is not None:
            with np.errstate(invalid="ignore"):
                wanted = (depth >= near_mm[0]) & (depth <= near_mm[1])
        points = cam_from_depth(depth, matrix)
        normals, fitted_cam_mm = fitted_planes(depth, noise, matrix, wanted, MAX_SLOPE)
        valid = known & np.isfinite(normals[..., 2])
        return DepthSurface(
            points_cam_mm=points,
            normals_cam=normals,
            fitted_cam_mm=fitted_cam_mm,
            noise_mm=noise,
            near=wanted,
            valid=valid,
            border=valid & _near_border(known, right, down),
            intrinsics=matrix,
            connected_right=right,
            connected_down=down,
            sampling=DepthSampling("measured", 1.0, 1.0, _bridged_share(measured, depth)),
        )

    @cached_property
    def _mesh(self) -> tuple[Array, Array, Array]:
        right, down = self.connected_right & self.near, self.connected_down & self.near
        return _triangulate(self.points_cam_mm, right, down)

    @property
    def vertices_cam_mm(self) -> Array:
        """(v, 3) float64: vertices of the triangulated surface."""
        return self._mesh[0]

    @property
    def vertex_px(self) -> Array:
        """(v, 2) int32: column and row of each mesh vertex."""
        return self._mesh[1]

    @property
    def triangles(self) -> Array:
        """(m, 3) int32: counter-clockwise seen from the camera; cut at discontinuities."""
        return self._mesh[2]

    def px_from(self, points_px: Array, intrinsics: Array) -> Array:
        """Map (k, 2) pixels of the camera's colour image to pixels of this surface.

        Parameters
        ----------
        points_px : (k, 2) float
        intrinsics : (3, 3) float
            The colour image's.
        """
        if np.array_equal(intrinsics, self.intrinsics):
            return points_px
        return px_of_other_grid(points_px, intrinsics, self.intrinsics)

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
        px = np.ascontiguousarray(points_px, dtype=np.float64)
        depth, normals, ok = _interpolated(
            px,
            self.points_cam_mm,
            self.normals_cam,
            self.valid,
            self.connected_right,
            self.connected_down,
        )
        return cam_from_px(px, depth, self.intrinsics), normals, ok


@numba.njit(cache=True)
def _interpolated(  # type: ignore[no-untyped-def]
    px, points, normals, valid, right, down
):
    """Depths (k,) and unit normals (k, 3) between four pixels, NaN where not all are joined."""
    height, width = valid.shape
    depth, normal = np.full(len(px), np.nan), np.full((len(px), 3), np.nan)
    ok = np.zeros(len(px), dtype=np.bool_)
    for k in range(len(px)):
        x, y = px[k, 0], px[k, 1]
        # False for what is not a number, too.
        if not (0.0 <= x <= width - 1.0 and 0.0 <= y <= height - 1.0):
            continue
        c, r = min(int(x), width - 2), min(int(y), height - 2)
        if not (right[r, c] and right[r + 1, c] and down[r, c] and down[r, c + 1]):
            continue
        if not (valid[r, c] and valid[r, c + 1] and valid[r + 1, c] and valid[r + 1, c + 1]):
            continue
        s, t = x - c, y - r
        inverse, nx, ny, nz = 0.0, 0.0, 0.0, 0.0
        for i in range(2):
            for j in range(2):
                weight = (s if j else 1.0 - s) * (t if i else 1.0 - t)
                # Inverse depth is affine in the pixel on a plane; depth is not.
                inverse += weight / points[r + i, c + j, 2]
                nx += weight * normals[r + i, c + j, 0]
                ny += weight * normals[r + i, c + j, 1]
                nz += weight * normals[r + i, c + j, 2]
        length = np.sqrt(nx * nx + ny * ny + nz * nz)
        depth[k], ok[k] = 1.0 / inverse, True
        normal[k, 0], normal[k, 1], normal[k, 2] = nx / length, ny / length, nz / length
    return depth, normal, ok


def believable_depth(depth_mm: Array, intrinsics: Array) -> Array:
    """Return a copy of the depth (H, W) with NaN where a number is no depth.

    Neither is what is not finite or not positive, nor what is so far away that a pixel would
    be as wide as a head (`HEAD_MM`): sensors fill pixels that saw nothing with huge numbers.
    """
    depth = np.array(depth_mm, dtype=np.result_type(depth_mm, np.float32))
    farthest = HEAD_MM * float(min(intrinsics[0, 0], intrinsics[1, 1]))
    with np.errstate(invalid="ignore"):
        depth[~((depth > 0) & (depth < farthest))] = np.nan
    return depth


def filled_depth(depth_mm: Array, intrinsics: Array) -> Array:
    """Return the depth (H, W) float64 of the surface's pixels, gaps bridged, NaN where none is."""
    depth = np.asarray(depth_mm, dtype=np.float64)
    return _filled(believable_depth(depth, intrinsics), intrinsics)[0]


def joined_pixels(depth_mm: Array, intrinsics: Array) -> tuple[Array, Array]:
    """Tell which neighbouring pixels are on one surface, not across a depth step.

    Parameters
    ----------
    depth_mm : (H, W) float64
        NaN where there is none.
    intrinsics : (3, 3) float64

    Returns
    -------
    right, down : (H, W) bool
        The pixel and its right (lower) neighbour are.
    """
    # Where a range of depths holds outlines alone, their steps would pass for noise.
    noise = np.minimum(estimate_noise(depth_mm), _MOST_NOISE * depth_mm)
    right, down = _connected(depth_mm, noise, intrinsics[0, 0], intrinsics[1, 1])
    return right, down


def depth_mesh(depth_mm: Array, intrinsics: Array) -> tuple[Array, Array, Array]:
    """Triangulate a depth image, gaps bridged and cut at depth steps, as `DepthSurface` does.

    Parameters
    ----------
    depth_mm : (H, W) float
        NaN (or anything not positive) where there is none.
    intrinsics : (3, 3) float

    Returns
    -------
    vertices_cam_mm : (v, 3) float64
    triangles : (m, 3) int32
        Of the surface, counter-clockwise seen from the camera.
    rims_cam_mm : (3 n, 3) float64
        Corners of triangles that widen whatever is in front at a depth step by one pixel: its
        outline is somewhere there, and what is behind may be hidden.
    """
    depth = filled_depth(depth_mm, intrinsics)
    right, down = joined_pixels(depth, intrinsics)
    vertices, _, triangles = _triangulate(cam_from_depth(depth, intrinsics), right, down)
    corners = _step_triangles(depth, right, down)
    z = depth.reshape(-1)[corners]
    near = z.min(axis=1, keepdims=True, initial=np.inf)
    z = np.where(z - near > 2.0 * MAX_SLOPE * near / intrinsics[0, 0], near, z)
    px = np.stack([corners % depth.shape[1], corners // depth.shape[1]], axis=-1)
    return vertices, triangles, cam_from_px(px, z, intrinsics).reshape(-1, 3)


def _filled(measured: Array, intrinsics: Array) -> tuple[Array, Array]:
    return bridged_depth(measured, estimate_noise(measured), intrinsics, MAX_SLOPE)


def _bridged_share(measured: Array, bridged: Array) -> float:
    count = int(np.count_nonzero(np.isfinite(bridged)))
    return (count - int(np.count_nonzero(np.isfinite(measured)))) / max(count, 1)


@numba.njit(cache=True, error_model="numpy")
def _connected(depth, noise, focal_x_px, focal_y_px):  # type: ignore[no-untyped-def]
    """Find the pixels (H, W) that are on one surface with their right, and lower, neighbour."""
    height, width = depth.shape
    right, down = np.zeros(depth.shape, np.bool_), np.zeros(depth.shape, np.bool_)
    for row in range(height):
        for column in range(width):
            here, slack = depth[row, column], 4.0 * noise[row, column]
            # NaN, no depth, fails the comparisons.
            if column + 1 < width:
                there = depth[row, column + 1]
                limit = MAX_SLOPE * min(here, there) / focal_x_px + slack
                right[row, column] = abs(here - there) <= limit
            if row + 1 < height:
                there = depth[row + 1, column]
                limit = MAX_SLOPE * min(here, there) / focal_y_px + slack
                down[row, column] = abs(here - there) <= limit
    return right, down


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
    triangles = _triangles(np.ascontiguousarray(points[..., 2]), right, down)
    used, compact = compact_triangles(triangles, height * width)
    vertex_px = np.stack([used % width, used // width], axis=1).astype(np.int32)
    return points.reshape(-1, 3)[used], vertex_px, compact


@numba.njit(cache=True)
def _triangles(z, right, down):  # type: ignore[no-untyped-def]
    """Triangles (m, 3) over the pixels' running numbers."""
    height, width = z.shape
    squares = 0
    for row in range(height - 1):
        for column in range(width - 1):
            squares += (right[row, column] or right[row + 1, column]) and (
                down[row, column] or down[row, column + 1]
            )
    out = np.empty((2 * squares, 3), dtype=np.int32)
    m = 0
    for row in range(height - 1):
        for column in range(width - 1):
            top, bottom = right[row, column], right[row + 1, column]
            left, side = down[row, column], down[row, column + 1]
            if not ((top or bottom) and (left or side)):
                continue
            a = row * width + column
            b, c, d = a + 1, a + width, a + width + 1
            if top and bottom and left and side:
                # The shorter diagonal follows ridges and folds better.
                falling = abs(z[row, column] - z[row + 1, column + 1])
                if falling <= abs(z[row, column + 1] - z[row + 1, column]):
                    out[m] = (a, c, d)
                    out[m + 1] = (a, d, b)
                else:
                    out[m] = (a, c, b)
                    out[m + 1] = (b, c, d)
                m += 2
            else:
                if top and left:
                    out[m] = (a, c, b)
                elif left and bottom:
                    out[m] = (a, c, d)
                elif bottom and side:
                    out[m] = (b, c, d)
                else:
                    out[m] = (a, d, b)
                m += 1
    return out[:m]


@numba.njit(cache=True)
def _step_triangles(z, right, down):  # type: ignore[no-untyped-def]
    """Triangles (n, 3) of the squares of four known pixels that `_triangles` leaves open."""
    height, width = z.shape
    squares = 0
    for row in range(height - 1):
        for column in range(width - 1):
            across = right[row, column] and right[row + 1, column]
            squares += not (across and down[row, column] and down[row, column + 1])
    out = np.empty((2 * squares, 3), dtype=np.int32)
    n = 0
    for row in range(height - 1):
        for column in range(width - 1):
            top, bottom = right[row, column], right[row + 1, column]
            left, side = down[row, column], down[row, column + 1]
            if top and bottom and left and side:
                continue
            corners = z[row, column] + z[row, column + 1] + z[row + 1, column]
            if not np.isfinite(corners + z[row + 1, column + 1]):
                continue
            a = row * width + column
            b, c, d = a + 1, a + width, a + width + 1
            if not ((top or bottom) and (left or side)):
                out[n] = (a, c, b)
                out[n + 1] = (b, c, d)
                n += 2
                continue
            if top and left:
                out[n] = (b, c, d)
            elif left and bottom:
                out[n] = (a, d, b)
            elif bottom and side:
                out[n] = (a, c, b)
            else:
                out[n] = (a, c, d)
            n += 1
    return out[:n]
