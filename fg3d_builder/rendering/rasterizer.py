"""Z-buffer rasteriser: which triangle covers each pixel, where, and how deep.

`rasterize` and `interpolate` are compiled kernels for one core, `rasterize_images` and
`interpolate_images` the same for many images in one call. They release the interpreter lock, so
that threads can render side by side. `rasterizer_reference` is the slow, obvious form that they
agree with to the bit; `rasterizer_torch` renders batches, also on CUDA.
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
    images = rasterize_images(
        np.asarray(vertices_cam_mm)[None],
        np.asarray(triangles)[None],
        np.asarray(intrinsics)[None],
        height,
        width,
        cull_back_faces,
    )
    return Fragments(*(part[0] for part in images))


def rasterize_images(
    vertices_cam_mm: Array,
    triangles: Array,
    intrinsics: Array,
    height: int,
    width: int,
    cull_back_faces: bool = True,
    wanted: Array | None = None,
) -> Fragments:
    """Do for B images what `rasterize` does for one.

    Parameters
    ----------
    vertices_cam_mm : (B, n, 3) float
    triangles : (T, m, 3) int
        T divides B: so many consecutive images, B / T, share their triangles.
    intrinsics : (C, 3, 3) float
        C divides B as well.
    height, width : int
    cull_back_faces : bool
    wanted : (B, H, W) bool, optional
        Pixels to draw; the others stay background. All where left out.

    Returns
    -------
    Fragments
        With a first axis of B.
    """
    vertices = np.ascontiguousarray(vertices_cam_mm, dtype=np.float64)
    faces = _index_array(triangles)
    cameras = np.ascontiguousarray(intrinsics, dtype=np.float64)
    count = len(vertices)
    triangle = np.full((count, height, width), -1, dtype=np.int32)
    barycentric = np.zeros((count, height, width, 3), dtype=np.float32)
    depth = np.empty((count, height, width), dtype=np.float32)
    mask = np.ascontiguousarray(wanted) if wanted is not None else _NO_MASK
    _draw(vertices, faces, cameras, cull_back_faces, mask, triangle, barycentric, depth)
    return Fragments(triangle, barycentric, depth)


def interpolate(
    fragments: Fragments, triangles: Array, attributes: Array, dtype: DTypeLike = np.float64
) -> Array:
    """Interpolate per-vertex `attributes` (n, c) over the image -> (H, W, c); 0 outside.

    Sums are taken in the attributes' precision, at least float32; `dtype` is that of the result.
    Raises IndexError where the fragments are not of this mesh.
    """
    images = Fragments(*(part[None] for part in fragments))
    return interpolate_images(
        images, np.asarray(triangles)[None], np.asarray(attributes)[None], dtype
    )[0]


def interpolate_images(
    fragments: Fragments, triangles: Array, attributes: Array, dtype: DTypeLike = np.float64
) -> Array:
    """Do for B images what `interpolate` does for one -> (B, H, W, c).

    `triangles` (T, m, 3) and `attributes` (A, n, c) are shared by B / T and B / A consecutive
    images.
    """
    values = np.asarray(attributes)
    exact = np.result_type(values.dtype, fragments.barycentric.dtype)
    out = np.zeros((*fragments.triangle.shape, values.shape[2]), dtype=dtype)
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


_NO_MASK = np.zeros((0, 0, 0), dtype=np.bool_)

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
def _draw(vertices, triangles, cameras, cull, wanted, index, barycentric, depth):  # type: ignore[no-untyped-def]
    """Draw all images; `wanted` is `_NO_MASK` where every pixel is."""
    count, height, width = index.shape
    corners = np.empty((vertices.shape[1], 3))
    chosen = np.empty(triangles.shape[1] + 1, dtype=np.int32)
    nearest = np.empty((height, width))
    before = np.empty((height + 1, width + 1), dtype=np.int32)
    for i in range(count):
        nearest[:] = 0.0
        if wanted.shape[0] > 0:
            _close(wanted[i], nearest, before)
            if before[height, width] == 0:
                depth[i] = np.nan
                continue
        camera = cameras[i * cameras.shape[0] // count]
        faces = triangles[i * triangles.shape[0] // count]
        _project(vertices[i], camera[0, 0], camera[0, 2], camera[1, 1], camera[1, 2], corners)
        kept = _candidates(corners, faces, height, width, cull, chosen)
        if wanted.shape[0] > 0:
            kept = _needed(corners, faces, chosen[:kept], before)
        _fill(corners, faces, chosen[:kept], index[i], barycentric[i], nearest)
        _depths(index[i], nearest, depth[i])


@_kernel
def _close(wanted, nearest, before):  # type: ignore[no-untyped-def]
    """Let nothing be nearer where it is not wanted; count wanted pixels above and left of each."""
    before[0, :] = 0
    for row in range(wanted.shape[0]):
        before[row + 1, 0] = 0
        along = 0
        for column in range(wanted.shape[1]):
            if wanted[row, column]:
                along += 1
            else:
                nearest[row, column] = np.inf
            before[row + 1, column + 1] = before[row, column + 1] + along


@_kernel
def _needed(corners, triangles, chosen, before):  # type: ignore[no-untyped-def]
    """Keep those of the `chosen` triangles whose box holds a wanted pixel; return how many."""
    right, bottom = before.shape[1] - 2.0, before.shape[0] - 2.0
    kept = 0
    for t in chosen:
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = corners[a, 0], corners[a, 1]
        bx, by = corners[b, 0], corners[b, 1]
        cx, cy = corners[c, 0], corners[c, 1]
        x0, x1 = int(np.ceil(max(min(ax, bx, cx), 0.0))), int(min(max(ax, bx, cx), right)) + 1
        y0, y1 = int(np.ceil(max(min(ay, by, cy), 0.0))), int(min(max(ay, by, cy), bottom)) + 1
        chosen[kept] = t
        kept += before[y1, x1] - before[y0, x1] - before[y1, x0] + before[y0, x0] > 0
    return kept


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
    images, height, width = index.shape
    sets, count, channels = attributes.shape
    for i in range(images):
        faces = triangles[i * triangles.shape[0] // images]
        values = attributes[i * sets // images]
        for row in range(height):
            for column in range(width):
                t = index[i, row, column]
                if t < 0:
                    continue
                if t >= faces.shape[0]:
                    raise IndexError("the fragments name a triangle that does not exist")
                a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
                if (a < 0) | (b < 0) | (c < 0) | (a >= count) | (b >= count) | (c >= count):
                    raise IndexError("a triangle names a vertex that does not exist")
                u, v, w = barycentric[i, row, column]
                for k in range(channels):
                    value = u * values[a, k] + v * values[b, k] + w * values[c, k]
                    out[i, row, column, k] = value
