"""Mesh facts on shapes whose answers are known."""

from __future__ import annotations

import numpy as np
import trimesh

from fg3d_builder.geometry.meshes import (
    border_edges,
    surface_points,
    triangle_normals,
    undirected_edges,
    vertex_adjacency,
    vertex_normals,
)

SPHERE = trimesh.creation.icosphere(subdivisions=3, radius=50.0)


def test_sphere_normals_point_outwards() -> None:
    normals = vertex_normals(SPHERE.vertices, SPHERE.faces)
    np.testing.assert_allclose(normals, SPHERE.vertices / 50.0, atol=0.02)
    total = 0.5 * np.linalg.norm(triangle_normals(SPHERE.vertices, SPHERE.faces), axis=1).sum()
    np.testing.assert_allclose(total, SPHERE.area)


def test_vertex_without_triangles_has_no_normal() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]])
    normals = vertex_normals(vertices, np.array([[0, 1, 2]]))
    np.testing.assert_array_equal(normals, [[0, 0, 1]] * 3 + [[0, 0, 0]])


def test_closed_surface_has_eulers_edges_and_no_border() -> None:
    edges = undirected_edges(SPHERE.faces)
    assert len(SPHERE.vertices) - len(edges) + len(SPHERE.faces) == 2
    assert np.all(edges[:, 0] < edges[:, 1])
    assert len(border_edges(SPHERE.faces)) == 0


def test_border_of_an_open_surface_is_where_triangles_are_missing() -> None:
    removed = SPHERE.faces[7]
    border = border_edges(np.delete(SPHERE.faces, 7, axis=0))
    expected = {tuple(sorted(pair)) for pair in zip(removed, np.roll(removed, 1), strict=True)}
    assert {tuple(e) for e in border} == expected


def test_adjacency_is_symmetric_and_counts_every_edge_twice() -> None:
    adjacency = vertex_adjacency(SPHERE.faces, len(SPHERE.vertices))
    assert (adjacency != adjacency.T).nnz == 0
    assert adjacency.nnz == 2 * len(undirected_edges(SPHERE.faces))


def test_surface_points_interpolate() -> None:
    vertices = np.array([[0.0, 0, 0], [4, 0, 0], [0, 4, 8]])
    point = surface_points(
        vertices, np.array([[0, 1, 2]]), np.array([0]), np.array([[0.5, 0.25, 0.25]])
    )
    np.testing.assert_array_equal(point, [[1, 1, 2]])
