"""Averaging over a mesh's neighbourhoods."""

from __future__ import annotations

import math

import numba
import numpy as np

from fg3d_builder.geometry.meshes import normalized, vertex_normals
from fg3d_builder.records import Array

_DEVIATIONS = 4.8
"""Standard deviations at which the tail of a bell curve is a millionth."""


def smooth_normals(vertices: Array, triangles: Array) -> Array:
    """Return (n, 3) unit vertex normals without the finest noise: averaged over neighbours."""
    return normalized(diffused(vertex_normals(vertices, triangles), triangles, 1))


def diffused(values: Array, triangles: Array, passes: int) -> Array:
    """Average (n, c) values over each vertex's neighbours and itself, `passes` times."""
    return np.asarray(
        _diffused(np.ascontiguousarray(values, dtype=np.float64), np.asarray(triangles), passes)
    )


def diffused_far(values: Array, triangles: Array, passes: int) -> Array:
    """Do what `diffused` does in about 3.4 times the root of its passes, to a millionth.

    Averaging has eigenvalues x in [0, 1], as each triangle gives its corners alike. So ``x^m`` is
    a short sum of Chebyshev polynomials: of ``T_k(2 x - 1)`` it has ``2 C(2 m, m - k) / 4^m``,
    which is a bell curve over k with a standard deviation of ``sqrt(m / 2)``.
    """
    degree = min(passes, int(np.ceil(_DEVIATIONS * np.sqrt(passes / 2.0))))
    share = np.array([math.comb(2 * passes, passes - k) / 4**passes for k in range(degree + 1)])
    share[1:] *= 2.0
    before = np.ascontiguousarray(values, dtype=np.float64)
    if degree == 0:
        return before
    current = 2.0 * diffused(before, triangles, 1) - before
    out = share[0] * before + share[1] * current
    for k in range(2, degree + 1):
        before, current = current, 4.0 * diffused(current, triangles, 1) - 2.0 * current - before
        out += share[k] * current
    return np.asarray(out / share.sum())


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
