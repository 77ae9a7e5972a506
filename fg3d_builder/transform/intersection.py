"""Where a mesh passes through itself."""

from __future__ import annotations

import numba
import numpy as np

from fg3d_builder.records import Array

CELL = 1.5
"""Side of the cells that candidates are looked for in, in mean extents of a triangle."""


def intersecting_pairs(vertices: Array, triangles: Array, chosen: Array | None = None) -> Array:
    """Return the (k, 2) int64 pairs of triangles that pass through each other.

    Two triangles do when an edge of one pierces the other. Triangles that share a vertex are
    no pair; touching without piercing, as of coplanar ones, does not count. Candidates are
    those whose boxes meet, found in square cells of the plane of x and y.

    Parameters
    ----------
    vertices : (n, 3) float64
    triangles : (m, 3) int
    chosen : (m,) bool, optional
        At least one triangle of each pair is one of these; any by default.
    """
    pieces = np.ascontiguousarray(triangles, dtype=np.int64)
    if chosen is None:
        chosen = np.ones(len(pieces), dtype=bool)
    if not chosen.any():
        return np.zeros((0, 2), dtype=np.int64)
    places = np.ascontiguousarray(vertices, dtype=np.float64)
    corners, low, high = _boxes(places, pieces)
    return np.asarray(_pairs(corners, low, high, pieces, chosen))


@numba.njit(cache=True)
def _boxes(vertices, triangles):  # type: ignore[no-untyped-def]
    """Corners (m, 3, 3) of triangles, and the lower and upper ends (m, 3) of their boxes."""
    corners = np.empty((len(triangles), 3, 3))
    low, high = np.empty((len(triangles), 3)), np.empty((len(triangles), 3))
    for t in range(len(triangles)):
        for axis in range(3):
            a, b, c = (
                vertices[triangles[t, 0], axis],
                vertices[triangles[t, 1], axis],
                vertices[triangles[t, 2], axis],
            )
            corners[t, 0, axis], corners[t, 1, axis], corners[t, 2, axis] = a, b, c
            low[t, axis], high[t, axis] = min(a, b, c), max(a, b, c)
    return corners, low, high


@numba.njit(cache=True)
def _cells(low, high):  # type: ignore[no-untyped-def]
    """First and last column and row (m, 4) of the cells that boxes lie in, and their counts."""
    count = len(low)
    extent, least, most = 0.0, low[0].copy(), high[0].copy()
    for t in range(count):
        for axis in range(2):
            extent += (high[t, axis] - low[t, axis]) / (2 * count)
            least[axis] = min(least[axis], low[t, axis])
            most[axis] = max(most[axis], high[t, axis])
    widest = max(most[0] - least[0], most[1] - least[1])
    # No more cells to a side than there are triangles.
    side = max(CELL * extent, widest / count, 1e-12)
    cell = np.empty((count, 4), np.int64)
    for t in range(count):
        for axis in range(2):
            cell[t, axis] = int((low[t, axis] - least[axis]) / side)
            cell[t, 2 + axis] = int((high[t, axis] - least[axis]) / side)
    return cell, cell[:, 2].max() + 1, cell[:, 3].max() + 1


@numba.njit(cache=True)
def _pairs(corners, low, high, triangles, chosen):  # type: ignore[no-untyped-def]
    cell, columns, rows = _cells(low, high)
    first = np.zeros(columns * rows + 1, np.int64)
    for t in range(len(cell)):
        for row in range(cell[t, 1], cell[t, 3] + 1):
            for column in range(cell[t, 0], cell[t, 2] + 1):
                first[row * columns + column + 1] += 1
    first = np.cumsum(first)
    member, end = np.empty(first[-1], np.int64), first[:-1].copy()
    for t in range(len(cell)):
        for row in range(cell[t, 1], cell[t, 3] + 1):
            for column in range(cell[t, 0], cell[t, 2] + 1):
                member[end[row * columns + column]] = t
                end[row * columns + column] += 1
    found = []
    for row in range(rows):
        for column in range(columns):
            start, stop = first[row * columns + column], first[row * columns + column + 1]
            for i in range(start, stop):
                a = member[i]
                for j in range(i + 1, stop):
                    b = member[j]
                    if not (chosen[a] or chosen[b]):
                        continue
                    # A pair that shares several cells is looked at in the first.
                    if max(cell[a, 0], cell[b, 0]) != column or max(cell[a, 1], cell[b, 1]) != row:
                        continue
                    if not _boxes_meet(low, high, a, b) or _share(triangles, a, b):
                        continue
                    if _pierce(corners[a], corners[b]):
                        found.append((min(a, b), max(a, b)))
    out = np.empty((len(found), 2), dtype=np.int64)
    for k in range(len(found)):
        out[k, 0], out[k, 1] = found[k]
    return out


@numba.njit(cache=True)
def _boxes_meet(low, high, a, b):  # type: ignore[no-untyped-def]
    for axis in range(3):
        if low[a, axis] > high[b, axis] or low[b, axis] > high[a, axis]:
            return False
    return True


@numba.njit(cache=True)
def _share(triangles, a, b):  # type: ignore[no-untyped-def]
    """Whether two triangles have a vertex in common."""
    for c in range(3):
        for d in range(3):
            if triangles[a, c] == triangles[b, d]:
                return True
    return False


@numba.njit(cache=True)
def _pierce(first, second):  # type: ignore[no-untyped-def]
    # Nearly all pairs are apart by the plane of one of the two.
    if _one_side(first, second) or _one_side(second, first):
        return False
    for c in range(3):
        if _edge_pierces(first[c], first[(c + 1) % 3], second):
            return True
        if _edge_pierces(second[c], second[(c + 1) % 3], first):
            return True
    return False


@numba.njit(cache=True)
def _one_side(points, triangle):  # type: ignore[no-untyped-def]
    """Whether three points (3, 3) are strictly on one side of a triangle's plane."""
    a, b, c = triangle[0], triangle[1], triangle[2]
    p, q = _volume(points[0], a, b, c), _volume(points[1], a, b, c)
    if not p * q > 0.0:
        return False
    return p * _volume(points[2], a, b, c) > 0.0


@numba.njit(cache=True)
def _edge_pierces(start, end, triangle):  # type: ignore[no-untyped-def]
    """Whether a segment passes through a triangle: signs of the five tetrahedra."""
    a, b, c = triangle[0], triangle[1], triangle[2]
    if _volume(start, a, b, c) * _volume(end, a, b, c) >= 0.0:
        return False
    u, v, w = (
        _volume(start, end, a, b),
        _volume(start, end, b, c),
        _volume(start, end, c, a),
    )
    return (u > 0.0 and v > 0.0 and w > 0.0) or (u < 0.0 and v < 0.0 and w < 0.0)


@numba.njit(cache=True)
def _volume(p, q, r, s):  # type: ignore[no-untyped-def]
    ux, uy, uz = q[0] - p[0], q[1] - p[1], q[2] - p[2]
    vx, vy, vz = r[0] - p[0], r[1] - p[1], r[2] - p[2]
    wx, wy, wz = s[0] - p[0], s[1] - p[1], s[2] - p[2]
    return ux * (vy * wz - vz * wy) + uy * (vz * wx - vx * wz) + uz * (vx * wy - vy * wx)
