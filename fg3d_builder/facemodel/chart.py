"""Flattening a sheet, or relaxing a part of its chart, by mean-value coordinates (Floater 2003)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg

from fg3d_builder.facemodel.patches import border_loops
from fg3d_builder.geometry.meshes import undirected_edges
from fg3d_builder.records import Array


def relax_chart(uv: Array, vertices: Array, triangles: Array, free: Array) -> Array:
    """Return (n, 2) chart coordinates in which the `free` vertices are laid out anew.

    Every free vertex becomes the mean-value combination of its neighbours, with weights from
    the 3D shape: a slit opens, areas become more like those of the surface. Without flips
    where the fixed surroundings are convex; `signed_areas` tells.

    Parameters
    ----------
    uv : (n, 2) float64
        Values of the free vertices are not used.
    vertices : (n, 3) float64
    triangles : (m, 3) int
    free : (n,) bool
        Inner vertices of the sheet.
    """
    weights = mean_value_weights(vertices, triangles)
    inner = np.flatnonzero(free)
    outer = np.flatnonzero(~free)
    total = np.asarray(weights.sum(axis=1)).ravel()
    laplacian = sp.diags(total[inner]) - weights[inner][:, inner]
    solve = scipy.sparse.linalg.factorized(laplacian.tocsc())
    right = weights[inner][:, outer] @ uv[outer]
    out = np.array(uv, dtype=np.float64)
    out[inner] = np.column_stack([solve(right[:, 0]), solve(right[:, 1])])
    return out


def disk_chart(vertices: Array, triangles: Array) -> Array:
    """Return (n, 2) coordinates in [0, 1] that map a sheet with one border into a circle.

    The border goes to the circle by arc length, the rest follows by mean-value coordinates,
    which on a convex border have no flips. Up stays up.

    Raises
    ------
    ValueError
        Where the mesh has no border or several, or is not one piece.
    """
    loops = border_loops(triangles)
    corners = np.unique(triangles)
    euler = len(corners) - len(undirected_edges(triangles)) + len(triangles)
    if len(loops) != 1 or euler != 1 or len(corners) != len(vertices):
        raise ValueError(f"not one sheet with one border: {len(loops)} borders, Euler {euler}")
    loop = loops[0]
    ring = vertices[loop]
    length = np.linalg.norm(np.roll(ring, -1, axis=0) - ring, axis=1)
    turn = 2 * np.pi * np.concatenate([[0.0], np.cumsum(length)[:-1]]) / length.sum()
    seen = ring[:, :2] - ring[:, :2].mean(axis=0)
    # The rotation that brings the circle closest to the border as seen from the front.
    offset = np.angle(np.sum((seen[:, 0] + 1j * seen[:, 1]) * np.exp(-1j * turn)))
    uv = np.full((len(vertices), 2), 0.5)
    uv[loop] += 0.5 * np.column_stack([np.cos(turn + offset), np.sin(turn + offset)])
    free = np.ones(len(vertices), dtype=bool)
    free[loop] = False
    return np.clip(relax_chart(uv, vertices, triangles, free), 0.0, 1.0)


def mean_value_weights(vertices: Array, triangles: Array) -> sp.csr_matrix:
    """Return (n, n) weights ``(tan(a/2) + tan(b/2)) / |edge|``; positive, not symmetric."""
    rows, columns, values = [], [], []
    for corner in range(3):
        i, j, k = (triangles[:, (corner + s) % 3] for s in range(3))
        to_j, to_k = vertices[j] - vertices[i], vertices[k] - vertices[i]
        length_j, length_k = np.linalg.norm(to_j, axis=1), np.linalg.norm(to_k, axis=1)
        # tan(angle / 2) = sin / (1 + cos), stable for flat corners.
        sine = np.linalg.norm(np.cross(to_j, to_k), axis=1)
        half = sine / (length_j * length_k + np.einsum("md,md->m", to_j, to_k))
        rows += [i, i]
        columns += [j, k]
        values += [half / length_j, half / length_k]
    n = len(vertices)
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sp.csr_matrix(entries, shape=(n, n))
