"""Z-buffer rasteriser: which triangle covers each pixel, where, and how deep.

`rasterize` is the compiled kernel, `rasterize_reference` the slow, obvious one that it is
tested against. Both follow one rule: a pixel belongs to a triangle when its centre lies
inside, or on a top or left edge, so that pixels on shared edges are covered exactly once.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from fg3d_builder.records import Array
from fg3d_builder.rendering.camera import px_from_cam


class Fragments(NamedTuple):
    """What the camera sees.

    Attributes
    ----------
    triangle : (H, W) int32
        Index of the nearest triangle, -1 for the background.
    barycentric : (H, W, 3) float32
        Perspective-correct coordinates within that triangle; 0 on the background.
    depth_mm : (H, W) float32
        Along the camera's z axis; NaN on the background.
    """

    triangle: Array
    barycentric: Array
    depth_mm: Array


def rasterize(
    vertices_cam_mm: Array,
    triangles: Array,
    intrinsics: Array,
    height: int,
    width: int,
    cull_back_faces: bool = True,
) -> Fragments:
    """Render a mesh through a pinhole camera.

    Parameters
    ----------
    vertices_cam_mm : (n, 3) float
        In the camera frame. Triangles that reach to z <= 1 mm are skipped.
    triangles : (m, 3) int
        Counter-clockwise seen from outside.
    intrinsics : (3, 3) float
    height, width : int
        Of the image in pixels.
    cull_back_faces : bool
        Skip triangles seen from behind.

    Returns
    -------
    Fragments
    """
    vertices = np.ascontiguousarray(vertices_cam_mm, dtype=np.float64)
    points_px = _projected(vertices, intrinsics)
    triangle = np.full((height, width), -1, dtype=np.int32)
    barycentric = np.zeros((height, width, 3), dtype=np.float32)
    inverse_depth = np.zeros((height, width), dtype=np.float64)
    _fill(
        points_px,
        vertices[:, 2],
        np.ascontiguousarray(triangles, dtype=np.int32),
        triangle,
        barycentric,
        inverse_depth,
        cull_back_faces,
    )
    with np.errstate(divide="ignore"):
        depth = np.where(triangle >= 0, 1.0 / inverse_depth, np.nan)
    return Fragments(triangle, barycentric, depth.astype(np.float32))


def interpolate(fragments: Fragments, triangles: Array, attributes: Array) -> Array:
    """Interpolate per-vertex `attributes` (n, c) over the image -> (H, W, c); 0 outside."""
    covered = fragments.triangle >= 0
    corners = attributes[triangles[fragments.triangle[covered]]]
    out = np.zeros((*covered.shape, attributes.shape[1]))
    out[covered] = np.einsum("kc,kcd->kd", fragments.barycentric[covered], corners)
    return out


def visible_vertices(
    vertices_cam_mm: Array,
    triangles: Array,
    normals_cam: Array,
    intrinsics: Array,
    height: int,
    width: int,
    tolerance_mm: float = 2.0,
) -> Array:
    """Return the (n,) bool mask of vertices that the camera sees.

    A vertex is seen when it faces the camera, projects into the image and is no further
    than `tolerance_mm` behind the rendered surface.
    """
    fragments = rasterize(vertices_cam_mm, triangles, intrinsics, height, width, False)
    pixels = px_from_cam(vertices_cam_mm, intrinsics)
    facing = np.einsum("nd,nd->n", normals_cam, vertices_cam_mm) < 0
    column, row = np.rint(np.nan_to_num(pixels, nan=-9.0)).astype(int).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    surface = np.full(len(pixels), np.nan)
    surface[inside] = fragments.depth_mm[row[inside], column[inside]]
    # A vertex at the silhouette may project onto a background pixel: nothing hides it there.
    hidden = vertices_cam_mm[:, 2] > surface + tolerance_mm
    return np.asarray(facing & inside & ~hidden)


def rasterize_reference(
    vertices_cam_mm: Array,
    triangles: Array,
    intrinsics: Array,
    height: int,
    width: int,
    cull_back_faces: bool = True,
) -> Fragments:
    """Do what `rasterize` does, one triangle at a time over the whole image, in numpy."""
    vertices = np.asarray(vertices_cam_mm, dtype=np.float64)
    points_px = _projected(vertices, intrinsics)
    grid_x, grid_y = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    index = np.full((height, width), -1, dtype=np.int32)
    barycentric = np.zeros((height, width, 3), dtype=np.float32)
    nearest = np.zeros((height, width))
    for t, corner in enumerate(np.asarray(triangles)):
        z = vertices[corner, 2]
        if np.any(z <= NEAR_MM) or not np.all(np.isfinite(points_px[corner])):
            continue
        (ax, ay), (bx, by), (cx, cy) = points_px[corner]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # Counter-clockwise from outside is negative in an image whose y points down.
        if area == 0 or (cull_back_faces and area > 0):
            continue
        sign = np.sign(area)
        weights = []
        inside = np.ones((height, width), dtype=bool)
        for px, py, qx, qy in ((bx, by, cx, cy), (cx, cy, ax, ay), (ax, ay, bx, by)):
            dx, dy = sign * (qx - px), sign * (qy - py)
            w = dx * (grid_y - py) - dy * (grid_x - px)
            owns_border = dy < 0 or (dy == 0 and dx > 0)
            inside &= (w > 0) | ((w == 0) & owns_border)
            weights.append(w / abs(area))
        over_z = np.stack(weights, axis=-1) / z
        inverse = over_z.sum(axis=-1)
        closer = inside & (inverse > nearest)
        index[closer] = t
        barycentric[closer] = over_z[closer] / inverse[closer, None]
        nearest[closer] = inverse[closer]
    with np.errstate(divide="ignore"):
        depth = np.where(index >= 0, 1.0 / nearest, np.nan)
    return Fragments(index, barycentric, depth.astype(np.float32))


NEAR_MM = 1.0
_SUBPIXEL = 256.0


def _projected(vertices_cam_mm: Array, intrinsics: Array) -> Array:
    """Pixels on a 1/256 grid, on which the edge functions are exact and edges watertight."""
    return np.round(px_from_cam(vertices_cam_mm, intrinsics) * _SUBPIXEL) / _SUBPIXEL


@numba.njit(cache=True, fastmath=False)
def _fill(points, z, triangles, index, barycentric, nearest, cull):  # type: ignore[no-untyped-def]
    height, width = index.shape
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t]
        za, zb, zc = z[a], z[b], z[c]
        if not (za > 1.0 and zb > 1.0 and zc > 1.0):
            continue
        ax, ay = points[a]
        bx, by = points[b]
        cx, cy = points[c]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0 or not np.isfinite(area) or (cull and area > 0.0):
            continue
        sign = 1.0 if area > 0.0 else -1.0
        low_x = max(0, int(np.ceil(min(ax, bx, cx))))
        high_x = min(width - 1, int(np.floor(max(ax, bx, cx))))
        low_y = max(0, int(np.ceil(min(ay, by, cy))))
        high_y = min(height - 1, int(np.floor(max(ay, by, cy))))
        if low_x > high_x or low_y > high_y:
            continue
        ux, uy = sign * (cx - bx), sign * (cy - by)
        vx, vy = sign * (ax - cx), sign * (ay - cy)
        wx, wy = sign * (bx - ax), sign * (by - ay)
        own_u = uy < 0.0 or (uy == 0.0 and ux > 0.0)
        own_v = vy < 0.0 or (vy == 0.0 and vx > 0.0)
        own_w = wy < 0.0 or (wy == 0.0 and wx > 0.0)
        scale = 1.0 / abs(area)
        for row in range(low_y, high_y + 1):
            for column in range(low_x, high_x + 1):
                u = ux * (row - by) - uy * (column - bx)
                v = vx * (row - cy) - vy * (column - cx)
                w = wx * (row - ay) - wy * (column - ax)
                if u < 0.0 or v < 0.0 or w < 0.0:
                    continue
                if (u == 0.0 and not own_u) or (v == 0.0 and not own_v):
                    continue
                if w == 0.0 and not own_w:
                    continue
                pa, pb, pc = u * scale / za, v * scale / zb, w * scale / zc
                inverse = pa + pb + pc
                if inverse > nearest[row, column]:
                    nearest[row, column] = inverse
                    index[row, column] = t
                    barycentric[row, column, 0] = pa / inverse
                    barycentric[row, column, 1] = pb / inverse
                    barycentric[row, column, 2] = pc / inverse
