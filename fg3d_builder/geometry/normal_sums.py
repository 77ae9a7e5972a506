"""Compiled kernel behind `fg3d_builder.geometry.meshes.vertex_normals`."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def summed_normals(vertices, triangles):  # type: ignore[no-untyped-def]
    """Sum the triangles' normals, each twice its area long, at the vertices -> (n, 3)."""
    normals = np.zeros((len(vertices), 3))
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
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
        for corner in range(3):
            at = triangles[t, corner]
            normals[at, 0] += uy * vz - uz * vy
            normals[at, 1] += uz * vx - ux * vz
            normals[at, 2] += ux * vy - uy * vx
    return normals
