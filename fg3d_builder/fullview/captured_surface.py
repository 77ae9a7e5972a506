"""What the camera measured beside and before the face, as a mesh that turns with it.

The registered face is a sheet of one topology. Around it the picture shows ears, hair, neck and
clothes, and before it strands of hair, glasses, a hand. The camera measured their depth; this
is that depth as a mesh of pixels. It is cut where depth jumps. At a cut the nearer side is
continued by one pixel, at its own depth, so that the picture turned by nothing has no gap: seen
from the camera that took it, face and captured surface together show every pixel of the head.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from fg3d_builder.fullview.measured_head import MeasuredHead
from fg3d_builder.geometry.meshes import normalized
from fg3d_builder.records import Array
from fg3d_builder.rendering.depth_surface import MAX_SLOPE

PLANE_MM = 0.3
"""Pixels that are so near a plane, besides their noise, are drawn as one."""

GRAZING = 0.1
"""Least cosine between a measured surface and the line of sight."""


class CapturedSurface(NamedTuple):
    """The head as the camera measured it, without the face that was registered to it.

    Attributes
    ----------
    vertices_cam_mm : (v, 3) float64
    triangles : (t, 3) int32
        Counter-clockwise seen from the camera.
    normals_cam : (v, 3) float64
        Towards the camera, noise averaged out.
    carried : (v,) bool
        Beyond an edge: only seen from the camera's own place is something there.
    edge : (v,) bool
        Beyond an edge, or at the end of the head: colours are mixed with what is behind, and
        the head's own are nowhere near.
    before : (v,) bool
        Before the registered face: hair, glasses, a hand.
    """

    vertices_cam_mm: Array
    triangles: Array
    normals_cam: Array
    carried: Array
    edge: Array
    before: Array


def captured_surface(measured: MeasuredHead) -> CapturedSurface:
    """Make a mesh of what a capture shows of a head besides the face registered to it."""
    camera = measured.intrinsics
    with_depth = measured.head & np.isfinite(measured.depth_mm)
    px, z, pixel, carried, triangles = _pieces(
        measured.depth_mm,
        measured.noise_mm,
        with_depth,
        measured.face,
        float(camera[0, 0]),
    )
    x = (px[:, 0] - camera[0, 2]) / camera[0, 0]
    y = (px[:, 1] - camera[1, 2]) / camera[1, 1]
    vertices = np.stack([x * z, y * z, z], axis=1)
    normals = measured.normals_cam.reshape(-1, 3)[pixel]
    alone = measured.rim & (measured.inwards == 0).all(axis=2)
    edge = carried | alone.ravel()[pixel]
    facing = _facing(normals, normalized(vertices))
    before = measured.before.ravel()[pixel]
    return CapturedSurface(vertices, triangles, facing, carried, edge, before)


def _facing(normals: Array, sight: Array) -> Array:
    """Turn normals (v, 3) towards the camera at least by `GRAZING`: what it saw faces it.

    Where none is known the surface is taken to look straight at the camera.
    """
    cosine = -np.einsum("nd,nd->n", normals, sight)
    unknown = ~np.isfinite(cosine)
    lacking = np.maximum(GRAZING - cosine, 0.0)[:, None]
    return np.asarray(np.where(unknown[:, None], -sight, normalized(normals - lacking * sight)))


@numba.njit(cache=True)
def _plain_block(depth, noise, head, face, row, column):  # type: ignore[no-untyped-def]
    """Side of the largest block of pixels (4, 2 or 1) from here that is as good as a plane.

    Blocks start at multiples of their side, so that they fit together.
    """
    height, width = depth.shape
    for side in (4, 2):
        if row % side or column % side or row + side >= height or column + side >= width:
            continue
        a, b = depth[row, column], depth[row, column + side]
        c, d = depth[row + side, column], depth[row + side, column + side]
        limit = PLANE_MM + noise[row, column]
        flat, faces = True, 0
        for i in range(side + 1):
            s = i / side
            for j in range(side + 1):
                t = j / side
                at = (1.0 - s) * ((1.0 - t) * a + t * b) + s * ((1.0 - t) * c + t * d)
                here = depth[row + i, column + j]
                if not head[row + i, column + j] or abs(here - at) > limit:
                    flat = False
                faces += face[row + i, column + j]
            if not flat:
                break
        # A block of the face alone needs no triangles, one that is partly face has an edge.
        if flat and faces == 0:
            return side
    return 1


@numba.njit(cache=True, inline="always")
def _holds(mask, row, column):  # type: ignore[no-untyped-def]
    """Tell whether any corner of a square of four pixels is in a mask."""
    above = mask[row, column] | mask[row, column + 1]
    return above | mask[row + 1, column] | mask[row + 1, column + 1]


@numba.njit(cache=True)
def _pieces(depth, noise, head, face, focal):  # type: ignore[no-untyped-def]
    """Places (v, 2), depths and pixels (v,) and triangles (t, 3) of squares of pixels.

    A square on one surface is two triangles between its pixels. In any other the nearer
    corners carry the others along at their own depth, and the farther ones lie behind.
    """
    height, width = depth.shape
    number = np.full((height, width), -1, np.int32)
    squares = 0
    for row in range(height - 1):
        for column in range(width - 1):
            squares += _holds(head, row, column)
    px = np.empty((height * width + 8 * squares, 2))
    z = np.empty(len(px))
    pixel = np.empty(len(px), np.int64)
    carried = np.zeros(len(px), np.bool_)
    triangles = np.empty((4 * squares, 3), np.int32)
    v, m = 0, 0
    corner = np.empty(4, np.int32)
    side = np.empty(4, np.int32)
    done = np.zeros((height, width), np.bool_)
    for row in range(height - 1):
        for column in range(width - 1):
            if done[row, column] or not _holds(head, row, column):
                continue
            block = _plain_block(depth, noise, head, face, row, column)
            if block > 1:
                for k in range(4):
                    r, c = row + (k // 2) * block, column + (k % 2) * block
                    if number[r, c] < 0:
                        number[r, c] = v
                        px[v, 0], px[v, 1], z[v] = c, r, depth[r, c]
                        pixel[v] = r * width + c
                        v += 1
                    corner[k] = number[r, c]
                done[row : row + block, column : column + block] = True
                triangles[m] = (corner[0], corner[2], corner[3])
                triangles[m + 1] = (corner[0], corner[3], corner[1])
                m += 2
                continue
            count, faces = 0, 0
            nearest, farthest = np.inf, 0.0
            for k in range(4):
                r, c = row + k // 2, column + k % 2
                if head[r, c]:
                    count += 1
                    faces += face[r, c]
                    nearest = min(nearest, depth[r, c])
                    farthest = max(farthest, depth[r, c])
            step = 1.5 * MAX_SLOPE * nearest / focal + 4.0 * noise[row, column]
            whole = count == 4 and farthest - nearest <= step
            if whole and faces == 4:
                continue
            # The nearer corners first; the others, if any, in a second piece behind them.
            for layer in range(1 if farthest - nearest <= step else 2):
                total, members, own = 0.0, 0, 0
                for k in range(4):
                    r, c = row + k // 2, column + k % 2
                    is_near = head[r, c] and depth[r, c] <= nearest + step
                    side[k] = head[r, c] and (is_near == (layer == 0))
                    if side[k]:
                        total += depth[r, c]
                        members += 1
                        own = r * width + c
                for k in range(4):
                    r, c = row + k // 2, column + k % 2
                    if side[k]:
                        if number[r, c] < 0:
                            number[r, c] = v
                            px[v, 0], px[v, 1], z[v] = c, r, depth[r, c]
                            pixel[v] = r * width + c
                            v += 1
                        corner[k] = number[r, c]
                    else:
                        px[v, 0], px[v, 1], z[v] = c, r, total / members
                        pixel[v] = own
                        carried[v] = True
                        corner[k] = v
                        v += 1
                a, b, c_, d = corner
                if abs(z[a] - z[d]) <= abs(z[b] - z[c_]):
                    triangles[m] = (a, c_, d)
                    triangles[m + 1] = (a, d, b)
                else:
                    triangles[m] = (a, c_, b)
                    triangles[m + 1] = (b, c_, d)
                m += 2
    return px[:v], z[:v], pixel[:v], carried[:v], triangles[:m]
