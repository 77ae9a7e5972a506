"""Compiled kernels behind normals, areas and unit vectors of `fg3d_builder.geometry.meshes`."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def normals_of_triangles(vertices, triangles):  # type: ignore[no-untyped-def]
    """Return the (m, 3) normals of the triangles, each twice its area long."""
    normals = np.empty((len(triangles), 3))
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        normals[t, 0], normals[t, 1], normals[t, 2] = _normal(vertices, a, b, c)
    return normals


@numba.njit(cache=True)
def summed_normals(vertices, triangles):  # type: ignore[no-untyped-def]
    """Sum the triangles' normals, each twice its area long, at the vertices -> (n, 3)."""
    normals = np.zeros((len(vertices), 3))
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x, y, z = _normal(vertices, a, b, c)
        for corner in range(3):
            at = triangles[t, corner]
            normals[at, 0] += x
            normals[at, 1] += y
            normals[at, 2] += z
    return normals


@numba.njit(cache=True)
def unit_vectors(vectors):  # type: ignore[no-untyped-def]
    """Return vectors (n, 3) at length 1; those of length 0, or of none that is known, are 0."""
    out = np.zeros(vectors.shape, vectors.dtype)
    for i in range(len(vectors)):
        x, y, z = vectors[i, 0], vectors[i, 1], vectors[i, 2]
        length = np.sqrt(x * x + y * y + z * z)
        # NaN fails the comparison.
        if length > 0.0:
            out[i, 0], out[i, 1], out[i, 2] = x / length, y / length, z / length
    return out


@numba.njit(cache=True)
def summed_areas(vertices, triangles):  # type: ignore[no-untyped-def]
    """Sum a third of the triangles' areas at the vertices -> (n,)."""
    areas = np.zeros(len(vertices))
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x, y, z = _normal(vertices, a, b, c)
        third = np.sqrt(x * x + y * y + z * z) / 6.0
        areas[a] += third
        areas[b] += third
        areas[c] += third
    return areas


@numba.njit(cache=True)
def _normal(vertices, a, b, c):  # type: ignore[no-untyped-def]
    ux, uy, uz = (
        vertices[b, 0] - vertices[a, 0],
        vertices[b, 1] - vertices[a, 1],
        vertices[b, 2] - vertices[a, 2],
    )
    vx, vy, vz = (
        vertices[c, 0] - vertices[a, 0],
        vertices[c, 1] - vertices[a, 1],
        vertices[c, 2] - vertices[a, 2],
    )
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
