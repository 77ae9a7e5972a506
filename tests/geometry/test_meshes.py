"""Mesh facts on shapes whose answers are known."""

from __future__ import annotations

import numpy as np
import trimesh

from fg3d_builder.geometry.meshes import (
    border_edges,
    normalized,
    signed_areas,
    surface_points,
    triangle_areas,
    turned_triangles,
    undirected_edges,
    vertex_adjacency,
    vertex_areas,
    vertex_normals,
)

SPHERE = trimesh.creation.icosphere(subdivisions=3, radius=50.0)


def test_sphere_normals_point_outwards() -> None:
    normals = vertex_normals(SPHERE.vertices, SPHERE.faces)
    np.testing.assert_allclose(normals, SPHERE.vertices / 50.0, atol=0.02)
    np.testing.assert_allclose(triangle_areas(SPHERE.vertices, SPHERE.faces), SPHERE.area_faces)
    np.testing.assert_allclose(vertex_areas(SPHERE.vertices, SPHERE.faces).sum(), SPHERE.area)


def test_signed_areas_tell_which_way_triangles_run() -> None:
    square = np.array([[0.0, 0], [4, 0], [4, 2], [0, 2]])
    corners = square[np.array([[0, 1, 2], [2, 1, 0], [0, 0, 1]])]
    np.testing.assert_array_equal(signed_areas(corners), [4.0, -4.0, 0.0])


def test_turned_triangles_are_found() -> None:
    before = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    after = before.copy()
    after[3] = [-1.0, -1.0, 0.0]
    triangles = np.array([[0, 1, 2], [1, 3, 2]])
    assert turned_triangles(before, after, triangles).tolist() == [False, True]
    assert not turned_triangles(before, 3 * before + 1, triangles).any()


def test_vectors_are_brought_to_length_one() -> None:
    vectors = np.array([[3.0, 0, 4], [0, 0, 0]])
    np.testing.assert_array_equal(normalized(vectors), [[0.6, 0, 0.8], [0, 0, 0]])


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
    # The neighbours run along the hole's edges the other way round.
    expected = set(zip(np.roll(removed, -1).tolist(), removed.tolist(), strict=True))
    assert set(map(tuple, border.tolist())) == expected


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
