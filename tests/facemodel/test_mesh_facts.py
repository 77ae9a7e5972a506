"""Facts of a model's mesh, against the same found directly."""

from __future__ import annotations

import dataclasses

import numpy as np
import toy_faces

from fg3d_builder.facemodel.mesh_facts import (
    edges_of_triangles,
    joined_vertices,
    mean_areas_mm2,
    mesh_edges,
)
from fg3d_builder.geometry.meshes import undirected_edges, vertex_areas


def test_edges_of_some_triangles_are_those_of_their_mesh_alone() -> None:
    model = toy_faces.toy_model()
    chosen = np.random.default_rng(5).uniform(size=len(model.triangles)) < 0.3
    found = edges_of_triangles(model, chosen)
    np.testing.assert_array_equal(found, undirected_edges(model.triangles[chosen]))
    assert len(edges_of_triangles(model, np.zeros_like(chosen))) == 0


def test_facts_follow_the_model_that_is_asked_for() -> None:
    model = toy_faces.toy_model()
    larger = dataclasses.replace(model, mean=2.0 * model.mean)
    np.testing.assert_allclose(mean_areas_mm2(model), vertex_areas(model.mean, model.triangles))
    np.testing.assert_allclose(mean_areas_mm2(larger), 4.0 * mean_areas_mm2(model))
    low, high = mesh_edges(model).T
    joined = joined_vertices(model)
    assert joined.nnz == 2 * len(low)
    assert np.all(joined[low, high] == 1.0)
