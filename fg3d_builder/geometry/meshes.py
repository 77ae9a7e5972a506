"""Small exact facts about triangle meshes: normals, areas, edges, borders."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from fg3d_builder.records import Array


def triangle_normals(vertices: Array, triangles: Array) -> Array:
    """Return (m, 3) normals whose length is twice the triangle's area."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    return np.cross(b - a, c - a)


def vertex_areas(vertices: Array, triangles: Array) -> Array:
    """Return (n,) areas: a third of each adjacent triangle's, in the square of the unit."""
    area = 0.5 * np.linalg.norm(triangle_normals(vertices, triangles), axis=1)
    return np.bincount(triangles.ravel(), np.repeat(area, 3) / 3.0, len(vertices))


def vertex_normals(vertices: Array, triangles: Array) -> Array:
    """Return (n, 3) unit vertex normals, area weighted; zero where a vertex has no triangle."""
    # Imported here: machines for training alone have no Numba, and need the rest of this module.
    from fg3d_builder.geometry.normal_sums import summed_normals

    normals = summed_normals(np.asarray(vertices, dtype=np.float64), np.asarray(triangles))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)


def undirected_edges(triangles: Array) -> Array:
    """Return the (k, 2) int32 edges of a mesh, each once, smaller index first, sorted."""
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    low, high = pairs.min(axis=1).astype(np.int64), pairs.max(axis=1).astype(np.int64)
    # One number per edge sorts many times faster than rows do.
    count = int(high.max(initial=0)) + 1
    key = np.unique(low * count + high)
    return np.stack([key // count, key % count], axis=1).astype(np.int32)


def border_edges(triangles: Array) -> Array:
    """Return the (k, 2) edges that belong to exactly one triangle."""
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    unique, count = np.unique(np.sort(pairs, axis=1), axis=0, return_counts=True)
    return unique[count == 1]


def vertex_adjacency(triangles: Array, vertex_count: int) -> sp.csr_matrix:
    """Return the symmetric 0/1 adjacency matrix of the mesh's edges."""
    edges = undirected_edges(triangles)
    ones = np.ones(len(edges))
    half = sp.coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(vertex_count, vertex_count))
    return (half + half.T).tocsr()


def compact_triangles(triangles: Array, vertex_count: int) -> tuple[Array, Array]:
    """Return the (u,) vertices that triangles use and the (m, 3) int32 triangles over them."""
    is_used = np.zeros(vertex_count, dtype=bool)
    is_used[triangles.ravel()] = True
    number = np.cumsum(is_used, dtype=np.int32) - np.int32(1)
    return np.flatnonzero(is_used), number[triangles]


def surface_points(vertices: Array, triangles: Array, index: Array, barycentric: Array) -> Array:
    """Return the (k, 3) points at `barycentric` (k, 3) on the triangles `index` (k,)."""
    return np.einsum("kc,kcd->kd", barycentric, vertices[triangles[index]])
