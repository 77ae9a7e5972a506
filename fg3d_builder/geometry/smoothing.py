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
    start = np.ascontiguousarray(values, dtype=np.float64)
    if degree == 0:
        return start
    return np.asarray(_chebyshev(start, np.asarray(triangles), share) / share.sum())


@numba.njit(cache=True)
def _diffused(values, triangles, passes):  # type: ignore[no-untyped-def]
    share = _shares(len(values), triangles)
    current, sums = values.copy(), np.empty_like(values)
    for _ in range(passes):
        _pass(current, triangles, share, sums, current)
    return current


@numba.njit(cache=True)
def _chebyshev(values, triangles, weight):  # type: ignore[no-untyped-def]
    """Sum of weights (d + 1,) times the polynomials of the averaging, applied to (n, c) values."""
    share = _shares(len(values), triangles)
    before, mean, sums = values.copy(), values.copy(), np.empty_like(values)
    _pass(before, triangles, share, sums, mean)
    current, following = 2.0 * mean - before, np.empty_like(values)
    out = weight[0] * before + weight[1] * current
    for d in range(2, len(weight)):
        mean[:] = current
        _pass(current, triangles, share, sums, mean)
        for i in range(len(values)):
            for k in range(values.shape[1]):
                following[i, k] = 4.0 * mean[i, k] - 2.0 * current[i, k] - before[i, k]
                out[i, k] += weight[d] * following[i, k]
        before, current, following = current, following, before
    return out


@numba.njit(cache=True)
def _shares(count, triangles):  # type: ignore[no-untyped-def]
    """How many corners (n,) give to each vertex."""
    share = np.zeros(count)
    for t in range(len(triangles)):
        for corner in range(3):
            share[triangles[t, corner]] += 3.0
    return share


@numba.njit(cache=True)
def _pass(values, triangles, share, sums, out):  # type: ignore[no-untyped-def]
    """Average (n, c) values once into `out`, which keeps what it has where no triangle is.

    Every triangle gives each of its corners the sum of all three. Loops over three channels or
    four, of a length that the compiler knows, take half the time of others.
    """
    count, channels = values.shape
    sums[:] = 0.0
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if channels == 3:
            for k in range(3):
                _give(values, sums, a, b, c, k)
        elif channels == 4:
            for k in range(4):
                _give(values, sums, a, b, c, k)
        else:
            for k in range(channels):
                _give(values, sums, a, b, c, k)
    for i in range(count):
        if share[i] > 0:
            for k in range(channels):
                out[i, k] = sums[i, k] / share[i]


@numba.njit(cache=True, inline="always")
def _give(values, sums, a, b, c, k):  # type: ignore[no-untyped-def]
    total = values[a, k] + values[b, k] + values[c, k]
    sums[a, k] += total
    sums[b, k] += total
    sums[c, k] += total
