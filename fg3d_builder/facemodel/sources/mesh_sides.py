"""What can be told from a model's mesh where its file says nothing: sides and loose parts."""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components

from fg3d_builder.geometry.meshes import triangle_normals, vertex_adjacency
from fg3d_builder.records import Array


def faces_outwards(vertices: Array, triangles: Array) -> bool:
    """Tell whether triangles are counter-clockwise from outside.

    A face, a mask or a whole head is seen from the middle of its bounding box mostly from inside:
    normals point away from there.

    Parameters
    ----------
    vertices : (n, 3) float
        In a right-handed frame.
    triangles : (m, 3) int
    """
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    outwards = vertices[triangles].mean(axis=1) - middle
    return bool(np.einsum("md,md->", triangle_normals(vertices, triangles), outwards) >= 0)


def turned_outwards(
    vertices: Array, triangles: Array, uv: Array | None = None
) -> tuple[Array, Array | None]:
    """Return triangles, and chart coordinates of their corners, counter-clockwise from outside."""
    if faces_outwards(vertices, triangles):
        return triangles, uv
    return triangles[:, ::-1].copy(), None if uv is None else uv[:, ::-1].copy()


def loose_parts(triangles: Array, vertex_count: int) -> Array:
    """Return the (n,) number of the connected part that each vertex belongs to."""
    adjacency = vertex_adjacency(triangles, vertex_count)
    return np.asarray(connected_components(adjacency, directed=False)[1])
