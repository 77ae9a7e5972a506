"""What follows from a face model's mesh alone: found once per process, not once per capture."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.meshes import (
    directed_edges,
    undirected_edges,
    vertex_adjacency,
    vertex_areas,
)
from fg3d_builder.numerics.remembered import remembered
from fg3d_builder.records import Array


@remembered(lambda model: (model.triangles,))
def mesh_edges(model: FaceModel) -> Array:
    """Return the (k, 2) int32 edges, see `undirected_edges`."""
    return undirected_edges(model.triangles)


def edges_of_triangles(model: FaceModel, chosen: Array) -> Array:
    """Return the (k, 2) edges of the chosen (m,) bool triangles, each once."""
    edges = mesh_edges(model)
    used = np.zeros(len(edges), dtype=bool)
    used[_sides(model)[chosen]] = True
    return np.asarray(edges[used])


@remembered(lambda model: (model.triangles,))
def _sides(model: FaceModel) -> Array:
    """(m, 3) rows of `mesh_edges` of the triangles' sides."""
    edges, count = mesh_edges(model).astype(np.int64), model.vertex_count
    sides = np.sort(directed_edges(model.triangles).reshape(-1, 3, 2), axis=2)
    keys = edges[:, 0] * count + edges[:, 1]
    return np.searchsorted(keys, sides[..., 0] * count + sides[..., 1])


@remembered(lambda model: (model.triangles,))
def joined_vertices(model: FaceModel) -> sp.csr_matrix:
    """Return the (n, n) 0/1 matrix of vertices that an edge joins."""
    return vertex_adjacency(model.triangles, model.vertex_count)


@remembered(lambda model: (model.mean, model.triangles))
def mean_areas_mm2(model: FaceModel) -> Array:
    """Return the (n,) vertex areas of the mean shape, mm^2."""
    return vertex_areas(model.mean, model.triangles)
