"""Z-buffer rasteriser: which triangle covers each pixel, where, and how deep.

`rasterize` and `interpolate` are compiled kernels for one core. They release the interpreter
lock, so that threads can render side by side. `rasterizer_reference` is the slow, obvious form
that they agree with to the bit; `rasterizer_torch` renders batches, also on CUDA.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import DTypeLike

from fg3d_builder.geometry.camera import at_nearest_pixel, px_from_cam
from fg3d_builder.records import Array
from fg3d_builder.rendering.fragments import NEAR_MM, SUBPIXEL, Fragments


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
        Size of the image, pixels.
    cull_back_faces : bool
        Skip triangles seen from behind.

    Returns
    -------
    Fragments
    """
    vertices = np.ascontiguousarray(vertices_cam_mm, dtype=np.float64)
    faces = _index_array(triangles)
    camera = np.asarray(intrinsics, dtype=np.float64)
    corners = np.empty((len(vertices), 3))
    _project(vertices, camera[0, 0], camera[0, 2], camera[1, 1], camera[1, 2], corners)
    triangle = np.full((height, width), -1, dtype=np.int32)
    barycentric = np.zeros((height, width, 3), dtype=np.float32)
    inverse_depth = np.zeros((height, width), dtype=np.float64)
    chosen = np.empty(len(faces) + 1, dtype=np.int32)
    kept = _candidates(corners, faces, height, width, cull_back_faces, chosen)
    _fill(corners, faces, chosen[:kept], triangle, barycentric, inverse_depth)
    depth = np.empty((height, width), dtype=np.float32)
    _depths(triangle, inverse_depth, depth)
    return Fragments(triangle, barycentric, depth)


def interpolate(
    fragments: Fragments, triangles: Array, attributes: Array, dtype: DTypeLike = np.float64
) -> Array:
    """Interpolate per-vertex `attributes` (n, c) over the image -> (H, W, c); 0 outside.

    Sums are taken in the attributes' precision, at least float32; `dtype` is that of the result.
    Raises IndexError where the fragments are not of this mesh.
    """
    values = np.asarray(attributes)
    exact = np.result_type(values.dtype, fragments.barycentric.dtype)
    out = np.zeros((*fragments.triangle.shape, values.shape[1]), dtype=dtype)
    _interpolate(
        np.ascontiguousarray(fragments.triangle),
        np.ascontiguousarray(fragments.barycentric),
        _index_array(triangles),
        np.ascontiguousarray(values, dtype=exact),
        out,
    )
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
    surface = at_nearest_pixel(fragments.depth_mm, pixels, -np.inf)
    # A vertex at the silhouette may project onto a background pixel: nothing hides it there.
    hidden = vertices_cam_mm[:, 2] > surface + tolerance_mm
    return np.asarray(facing & ~hidden)


_LISTED = 4096  # pixels that wait for their depth comparison; they fit a core's nearest cache


def _index_array(triangles: Array) -> Array:
    """Triangles as the kernels read them: int32 and int64 as they are, others converted."""
    faces = np.asarray(triangles)
    dtype = faces.dtype if faces.dtype in (np.int32, np.int64) else np.int64
    return np.ascontiguousarray(faces, dtype=dtype)


def _kernel(function: Any) -> Any:
    """Compile for exact floating point, without the interpreter lock, cached on disk."""
    return numba.njit(cache=True, fastmath=False, nogil=True, error_model="numpy")(function)


@_kernel
def _project(vertices, fx, cx, fy, cy, corners):  # type: ignore[no-untyped-def]
    """Columns of `corners`: x and y in pixels on the grid, NaN in front of NEAR_MM, and z."""
    for i in range(vertices.shape[0]):
        z = vertices[i, 2]
        corners[i, 2] = z
        if z > NEAR_MM:
            corners[i, 0] = np.rint((fx * vertices[i, 0] / z + cx) * SUBPIXEL) / SUBPIXEL
            corners[i, 1] = np.rint((fy * vertices[i, 1] / z + cy) * SUBPIXEL) / SUBPIXEL
        else:
            corners[i, 0] = np.nan
            corners[i, 1] = np.nan


@_kernel
def _candidates(corners, triangles, height, width, cull, chosen):  # type: ignore[no-untyped-def]
    """List in `chosen` the triangles whose box holds a pixel centre; return how many.

    Most triangles of a fine mesh are seen from behind or fall between pixel centres. Which ones
    do cannot be predicted by a processor, so this loop has no branch that depends on it.
    """
    count, kept = corners.shape[0], 0
    right, bottom = width - 1.0, height - 1.0
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if (a < 0) | (b < 0) | (c < 0) | (a >= count) | (b >= count) | (c >= count):
            raise IndexError("a triangle names a vertex that does not exist")
        ax, ay = corners[a, 0], corners[a, 1]
        bx, by = corners[b, 0], corners[b, 1]
        cx, cy = corners[c, 0], corners[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # NaN, which is what corners without a projection give, compares as false.
        faces = (area < 0.0) | ((area > 0.0) & (not cull))
        low_x, high_x = max(min(ax, bx, cx), 0.0), min(max(ax, bx, cx), right)
        low_y, high_y = max(min(ay, by, cy), 0.0), min(max(ay, by, cy), bottom)
        holds = (np.ceil(low_x) <= np.floor(high_x)) & (np.ceil(low_y) <= np.floor(high_y))
        chosen[kept] = t
        kept += faces & holds & (abs(area) < np.inf)
    return kept


@_kernel
def _compare(where, parts, index, barycentric, nearest):  # type: ignore[no-untyped-def]
    """Write the listed pixels that are nearer than those already drawn."""
    for i in range(where.shape[0]):
        row, column = where[i, 1], where[i, 2]
        inverse = parts[i, 0] + parts[i, 1] + parts[i, 2]
        if inverse > nearest[row, column]:
            nearest[row, column] = inverse
            index[row, column] = where[i, 0]
            barycentric[row, column, 0] = parts[i, 0] / inverse
            barycentric[row, column, 1] = parts[i, 1] / inverse
            barycentric[row, column, 2] = parts[i, 2] / inverse


@_kernel
def _least(dx, dy):  # type: ignore[no-untyped-def]
    """Least value of an edge function inside: 0 on a top or left edge, else one grid step."""
    return 0.0 if dy < 0.0 or (dy == 0.0 and dx > 0.0) else 1.0 / (SUBPIXEL * SUBPIXEL)


@_kernel
def _fill(corners, triangles, chosen, index, barycentric, nearest):  # type: ignore[no-untyped-def]
    """Draw the `chosen` triangles in order; the first of several at one depth stays.

    Whether a pixel of a small triangle's box is inside cannot be predicted either: all are
    written to a short list, whose end moves on if they do.
    """
    height, width = index.shape
    where = np.empty((_LISTED + width, 3), dtype=np.int32)
    parts = np.empty((_LISTED + width, 3))
    listed = 0
    for t in chosen:
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, za = corners[a, 0], corners[a, 1], corners[a, 2]
        bx, by, zb = corners[b, 0], corners[b, 1], corners[b, 2]
        cx, cy, zc = corners[c, 0], corners[c, 1], corners[c, 2]
        # Clamped before they become integers: corners may exceed their range.
        low_x = int(np.ceil(max(min(ax, bx, cx), 0.0)))
        high_x = int(np.floor(min(max(ax, bx, cx), width - 1.0)))
        low_y = int(np.ceil(max(min(ay, by, cy), 0.0)))
        high_y = int(np.floor(min(max(ay, by, cy), height - 1.0)))
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        sign = 1.0 if area > 0.0 else -1.0
        scale = 1.0 / abs(area)
        ux, uy = sign * (cx - bx), sign * (cy - by)
        vx, vy = sign * (ax - cx), sign * (ay - cy)
        wx, wy = sign * (bx - ax), sign * (by - ay)
        least_u, least_v, least_w = _least(ux, uy), _least(vx, vy), _least(wx, wy)
        for row in range(low_y, high_y + 1):
            row_u, row_v, row_w = ux * (row - by), vx * (row - cy), wx * (row - ay)
            for column in range(low_x, high_x + 1):
                u = row_u - uy * (column - bx)
                v = row_v - vy * (column - cx)
                w = row_w - wy * (column - ax)
                where[listed, 0], where[listed, 1], where[listed, 2] = t, row, column
                parts[listed, 0] = u * scale / za
                parts[listed, 1] = v * scale / zb
                parts[listed, 2] = w * scale / zc
                listed += (u >= least_u) & (v >= least_v) & (w >= least_w)
            if listed >= _LISTED:
                _compare(where[:listed], parts, index, barycentric, nearest)
                listed = 0
    _compare(where[:listed], parts, index, barycentric, nearest)


@_kernel
def _depths(index, nearest, depth):  # type: ignore[no-untyped-def]
    for row in range(index.shape[0]):
        for column in range(index.shape[1]):
            seen = index[row, column] >= 0
            depth[row, column] = 1.0 / nearest[row, column] if seen else np.nan


@_kernel
def _interpolate(index, barycentric, triangles, attributes, out):  # type: ignore[no-untyped-def]
    height, width = index.shape
    count, channels = attributes.shape
    for row in range(height):
        for column in range(width):
            t = index[row, column]
            if t < 0:
                continue
            if t >= triangles.shape[0]:
                raise IndexError("the fragments name a triangle that does not exist")
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            if (a < 0) | (b < 0) | (c < 0) | (a >= count) | (b >= count) | (c >= count):
                raise IndexError("a triangle names a vertex that does not exist")
            u, v, w = barycentric[row, column]
            for k in range(channels):
                value = u * attributes[a, k] + v * attributes[b, k] + w * attributes[c, k]
                out[row, column, k] = value
