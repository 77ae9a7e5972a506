"""Small exact facts about triangle meshes: normals, areas, edges, borders."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from fg3d_builder.records import Array


def triangle_normals(vertices: Array, triangles: Array) -> Array:
    """Return (m, 3) normals whose length is twice the triangle's area."""
    # Imported here: machines for training alone have no Numba, and need the rest of this module.
    from fg3d_builder.geometry.normal_sums import normals_of_triangles

    return np.asarray(normals_of_triangles(*_mesh(vertices, triangles)))


def turned_triangles(before: Array, after: Array, triangles: Array) -> Array:
    """Return the (m,) mask of triangles whose normal turned by more than 90 degrees.

    Parameters
    ----------
    before, after : (n, 3) float
        In the same frame.
    triangles : (m, 3) int
    """
    old, new = triangle_normals(before, triangles), triangle_normals(after, triangles)
    return np.asarray(np.einsum("md,md->m", old, new) < 0)


def triangle_areas(vertices: Array, triangles: Array) -> Array:
    """Return the (m,) areas of triangles in space, in the square of the unit."""
    return np.asarray(0.5 * np.linalg.norm(triangle_normals(vertices, triangles), axis=1))


def signed_areas(corners: Array) -> Array:
    """Return the (...) areas of triangles (..., 3, 2) in a plane.

    Positive where the corners run counter-clockwise as seen with y up; in an image, whose y
    points down, the triangles that face the camera are negative.
    """
    u, v = corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    return np.asarray(0.5 * (u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]))


def vertex_areas(vertices: Array, triangles: Array) -> Array:
    """Return (n,) areas: a third of each adjacent triangle's, in the square of the unit."""
    from fg3d_builder.geometry.normal_sums import summed_areas

    return np.asarray(summed_areas(*_mesh(vertices, triangles)))


def vertex_normals(vertices: Array, triangles: Array) -> Array:
    """Return (n, 3) unit vertex normals, area weighted; zero where a vertex has no triangle."""
    from fg3d_builder.geometry.normal_sums import summed_normals

    return normalized(summed_normals(*_mesh(vertices, triangles)))


def normalized(vectors: Array) -> Array:
    """Return vectors (..., 3) float64 at length 1; those of length 0 stay."""
    from fg3d_builder.geometry.normal_sums import unit_vectors

    flat = np.asarray(vectors).reshape(-1, 3)
    return np.asarray(unit_vectors(flat)).reshape(np.shape(vectors))


def _mesh(vertices: Array, triangles: Array) -> tuple[Array, Array]:
    """Return vertices and triangles as the kernels take them."""
    return np.asarray(vertices, dtype=np.float64), np.asarray(triangles)


def directed_edges(triangles: Array) -> Array:
    """Return the (3 m, 2) int64 edges of the triangles, each in its triangle's direction."""
    return triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)


def undirected_edges(triangles: Array) -> Array:
    """Return the (k, 2) int32 edges of a mesh, each once, smaller index first, sorted."""
    one, other = directed_edges(triangles).T
    low, high = np.minimum(one, other), np.maximum(one, other)
    # One number per edge sorts many times faster than rows do.
    count = int(high.max(initial=0)) + 1
    key = np.unique(low * count + high)
    return np.stack([key // count, key % count], axis=1).astype(np.int32)


def border_edges(triangles: Array) -> Array:
    """Return the (k, 2) int64 edges of exactly one triangle, each in that triangle's direction."""
    edges = directed_edges(triangles)
    one, other = edges.T
    key = np.minimum(one, other) * (int(edges.max(initial=0)) + 1) + np.maximum(one, other)
    order = np.argsort(key)
    same = np.diff(key[order]) == 0
    return edges[order[~np.append(same, False) & ~np.append(False, same)]]


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


def split_polygons(polygons: Array) -> Array:
    """Return the (t, 3) int32 triangles of triangles and quads, in their order.

    Parameters
    ----------
    polygons : (m, 3) or (m, 4) int
        Counter-clockwise; -1 in the last place of triangles among quads. Quads are cut from
        their first corner to their third.
    """
    if polygons.shape[1] == 3:
        return np.ascontiguousarray(polygons, dtype=np.int32)
    both = np.stack([polygons[:, [0, 1, 2]], polygons[:, [0, 2, 3]]], axis=1).reshape(-1, 3)
    return np.ascontiguousarray(both[np.all(both >= 0, axis=1)], dtype=np.int32)
