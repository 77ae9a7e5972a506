"""Closest points on the mesh of a depth image, by a walk that starts below the point's pixel.

The mesh of a depth image has one vertex per pixel, so the image itself is the index: a point
near the surface projects near its closest point. From the nearest of a few mesh vertices
around its pixel, the walk goes on to the triangle around the current vertex that is nearest,
until no neighbour is nearer. On the surfaces that registration meets this finds what a search
of all triangles finds, several times faster; it does not cross a cut of the mesh further away
than `START_REACH_MM`, where the closest point would be one on a border and of no use.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np

from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Array

START_REACH_MM = 4.0
"""Distance at the surface's depth of the starting pixels from the one below the point."""

_STARTS = np.array(
    [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (2, 2), (-2, 2), (2, -2), (-2, -2)], dtype=np.float64
)


class SurfaceSearch:
    """Index of one mesh; a query is exact among the neighbours of where its walk ends.

    Parameters
    ----------
    points_cam_mm : (v, 3) float64
        Mesh vertices.
    triangles : (m, 3) int32
        Every vertex belongs to at least one.
    vertex_px : (v, 2) int
        Column and row of each vertex in the depth image.
    intrinsics : (3, 3) float64
    height, width : int
        Size of the depth image.
    """

    def __init__(
        self,
        points_cam_mm: Array,
        triangles: Array,
        vertex_px: Array,
        intrinsics: Array,
        height: int,
        width: int,
    ) -> None:
        self._points = np.ascontiguousarray(points_cam_mm)
        self._triangles = np.ascontiguousarray(triangles, dtype=np.int32)
        self._first, self._around = _triangles_around(self._triangles, len(points_cam_mm))
        self._nearest = _nearest_vertex(vertex_px, height, width)
        self._intrinsics = intrinsics
        pitch = float(np.median(points_cam_mm[:, 2])) / float(intrinsics[0, 0])
        self._starts = np.rint(_STARTS * START_REACH_MM / pitch / 2.0).astype(np.int64)

    def closest(self, points_cam_mm: Array) -> tuple[Array, Array, Array]:
        """Find the closest points of (k, 3) points.

        Returns
        -------
        targets_cam_mm : (k, 3) float64
        triangle : (k,) int64
            The triangle that the target is on.
        weights : (k, 3) float64
            Its barycentric coordinates there.
        """
        px = np.nan_to_num(px_from_cam(points_cam_mm, self._intrinsics))
        query = np.ascontiguousarray(points_cam_mm, dtype=np.float64)
        targets, triangle, weights = _walk(
            query,
            np.rint(np.clip(px, -1e6, 1e6)).astype(np.int64),
            self._starts,
            (START_REACH_MM / 4.0) ** 2,
            self._nearest,
            self._points,
            self._triangles,
            self._first,
            self._around,
        )
        return targets, triangle, weights


def _nearest_vertex(vertex_px: Array, height: int, width: int) -> Array:
    """Return the (H, W) number of the mesh vertex nearest to each pixel of the image."""
    empty = np.ones((height, width), dtype=np.uint8)
    column, row = vertex_px.T
    empty[row, column] = 0
    _, labels = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    number = np.zeros(len(vertex_px) + 1, dtype=np.int32)
    number[labels[row, column]] = np.arange(len(vertex_px), dtype=np.int32)
    return np.asarray(number[labels])


@numba.njit(cache=True)
def _triangles_around(triangles, count):  # type: ignore[no-untyped-def]
    """Triangles of each vertex: those of v are ``around[first[v]:first[v + 1]]``."""
    first = np.zeros(count + 1, dtype=np.int32)
    for t in range(len(triangles)):
        for c in range(3):
            first[triangles[t, c] + 1] += 1
    for v in range(count):
        first[v + 1] += first[v]
    filled = first[:-1].copy()
    around = np.empty(3 * len(triangles), dtype=np.int32)
    for t in range(len(triangles)):
        for c in range(3):
            v = triangles[t, c]
            around[filled[v]] = t
            filled[v] += 1
    return first, around


@numba.njit(cache=True)
def _walk(  # type: ignore[no-untyped-def]
    queries, pixels, starts, near2, nearest, points, triangles, first, around
):
    count = len(queries)
    height, width = nearest.shape
    targets = np.empty((count, 3))
    index = np.empty(count, dtype=np.int64)
    weights = np.empty((count, 3))
    for k in range(count):
        x, y, z = queries[k, 0], queries[k, 1], queries[k, 2]
        vertex, least = -1, np.inf
        for s in range(len(starts)):
            if least < near2:
                # The other starting pixels are further from this one than the point is.
                break
            column = min(max(pixels[k, 0] + starts[s, 0], 0), width - 1)
            row = min(max(pixels[k, 1] + starts[s, 1], 0), height - 1)
            start = nearest[row, column]
            squared = _squared(x, y, z, points, start)
            if squared < least:
                vertex, least = start, squared
        # Downhill over the vertices first: their distances are cheap.
        reached = -1
        while reached != vertex:
            reached = vertex
            for at in range(first[reached], first[reached + 1]):
                for c in range(3):
                    corner = triangles[around[at], c]
                    squared = _squared(x, y, z, points, corner)
                    if squared < least:
                        vertex, least = corner, squared
        best = np.inf
        while True:
            moved = False
            for at in range(first[vertex], first[vertex + 1]):
                t = around[at]
                a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                u, v, w = _barycentric(x, y, z, points, a, b, c)
                dx = u * points[a, 0] + v * points[b, 0] + w * points[c, 0]
                dy = u * points[a, 1] + v * points[b, 1] + w * points[c, 1]
                dz = u * points[a, 2] + v * points[b, 2] + w * points[c, 2]
                squared = (dx - x) ** 2 + (dy - y) ** 2 + (dz - z) ** 2
                if squared < best:
                    best, moved = squared, True
                    index[k] = t
                    weights[k, 0], weights[k, 1], weights[k, 2] = u, v, w
                    targets[k, 0], targets[k, 1], targets[k, 2] = dx, dy, dz
            if not moved:
                break
            # On to the corner that the nearest point is nearest to.
            t, corner = index[k], 0
            for c in range(1, 3):
                if weights[k, c] > weights[k, corner]:
                    corner = c
            if triangles[t, corner] == vertex:
                break
            vertex = triangles[t, corner]
    return targets, index, weights


@numba.njit(cache=True)
def _squared(x, y, z, points, at):  # type: ignore[no-untyped-def]
    return (points[at, 0] - x) ** 2 + (points[at, 1] - y) ** 2 + (points[at, 2] - z) ** 2


@numba.njit(cache=True)
def _barycentric(x, y, z, points, a, b, c):  # type: ignore[no-untyped-def]
    """Coordinates of the point of a triangle nearest to (x, y, z), by Voronoi regions."""
    ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
    abx, aby, abz = points[b, 0] - ax, points[b, 1] - ay, points[b, 2] - az
    acx, acy, acz = points[c, 0] - ax, points[c, 1] - ay, points[c, 2] - az
    apx, apy, apz = x - ax, y - ay, z - az
    bb = abx * abx + aby * aby + abz * abz
    cc = acx * acx + acy * acy + acz * acz
    bc = abx * acx + aby * acy + abz * acz
    d1 = abx * apx + aby * apy + abz * apz
    d2 = acx * apx + acy * apy + acz * apz
    if d1 <= 0.0 and d2 <= 0.0:
        return 1.0, 0.0, 0.0
    d3, d4 = d1 - bb, d2 - bc
    if d3 >= 0.0 and d4 <= d3:
        return 0.0, 1.0, 0.0
    d5, d6 = d1 - bc, d2 - cc
    if d6 >= 0.0 and d5 <= d6:
        return 0.0, 0.0, 1.0
    over_c = d1 * d4 - d3 * d2
    if over_c <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        share = d1 / (d1 - d3)
        return 1.0 - share, share, 0.0
    over_b = d5 * d2 - d1 * d6
    if over_b <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        share = d2 / (d2 - d6)
        return 1.0 - share, 0.0, share
    over_a = d3 * d6 - d5 * d4
    if over_a <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        share = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        return 0.0, 1.0 - share, share
    total = over_a + over_b + over_c
    return over_a / total, over_b / total, over_c / total
