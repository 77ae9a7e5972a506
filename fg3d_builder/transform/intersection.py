"""Where a mesh passes through itself."""

from __future__ import annotations

import numba
import numpy as np

from fg3d_builder.records import Array


def intersecting_pairs(vertices: Array, triangles: Array) -> Array:
    """Return the (k, 2) int64 pairs of triangles that pass through each other.

    Two triangles do when an edge of one pierces the other. Triangles that share a vertex are
    no pair; touching without piercing, as of coplanar ones, does not count. Candidates are
    found by sweeping the bounding boxes along x.

    Parameters
    ----------
    vertices : (n, 3) float64
    triangles : (m, 3) int
    """
    corners = np.ascontiguousarray(vertices[triangles], dtype=np.float64)
    low, high = corners.min(axis=1), corners.max(axis=1)
    order = np.argsort(low[:, 0], kind="stable")
    return _sweep(corners, np.asarray(triangles, dtype=np.int64), low, high, order)


@numba.njit(cache=True)
def _sweep(corners, triangles, low, high, order):  # type: ignore[no-untyped-def]
    found = []
    for i in range(len(order)):
        a = order[i]
        for j in range(i + 1, len(order)):
            b = order[j]
            if low[b, 0] > high[a, 0]:
                break
            if low[b, 1] > high[a, 1] or high[b, 1] < low[a, 1]:
                continue
            if low[b, 2] > high[a, 2] or high[b, 2] < low[a, 2]:
                continue
            shared = False
            for c in range(3):
                for d in range(3):
                    shared |= triangles[a, c] == triangles[b, d]
            if not shared and _pierce(corners[a], corners[b]):
                found.append((min(a, b), max(a, b)))
    out = np.empty((len(found), 2), dtype=np.int64)
    for k in range(len(found)):
        out[k, 0], out[k, 1] = found[k]
    return out


@numba.njit(cache=True)
def _pierce(first, second):  # type: ignore[no-untyped-def]
    for c in range(3):
        if _edge_pierces(first[c], first[(c + 1) % 3], second):
            return True
        if _edge_pierces(second[c], second[(c + 1) % 3], first):
            return True
    return False


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
