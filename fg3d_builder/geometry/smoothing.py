"""Averaging over a mesh's neighbourhoods."""

from __future__ import annotations

import numba
import numpy as np

from fg3d_builder.geometry.meshes import normalized, vertex_normals
from fg3d_builder.records import Array


def smooth_normals(vertices: Array, triangles: Array) -> Array:
    """Return (n, 3) unit vertex normals without the finest noise: averaged over neighbours."""
    return normalized(diffused(vertex_normals(vertices, triangles), triangles, 1))


def diffused(values: Array, triangles: Array, passes: int) -> Array:
    """Average (n, c) values over each vertex's neighbours and itself, `passes` times."""
    return np.asarray(
        _diffused(np.ascontiguousarray(values, dtype=np.float64), np.asarray(triangles), passes)
    )


@numba.njit(cache=True)
def _diffused(values, triangles, passes):  # type: ignore[no-untyped-def]
    """Every triangle gives each of its corners the sum of all three."""
    count, channels = values.shape
    share = np.zeros(count)
    for t in range(len(triangles)):
        for corner in range(3):
            share[triangles[t, corner]] += 3.0
    current = values.copy()
    following = np.empty_like(values)
    for _ in range(passes):
        following[:] = 0.0
        for t in range(len(triangles)):
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            for k in range(channels):
                total = current[a, k] + current[b, k] + current[c, k]
                following[a, k] += total
                following[b, k] += total
                following[c, k] += total
        for i in range(count):
            for k in range(channels):
                if share[i] > 0:
                    current[i, k] = following[i, k] / share[i]
    return current
