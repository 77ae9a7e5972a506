from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from random_meshes import bumpy_sphere
from scipy.spatial.distance import cdist

from fg3d_builder.evaluation import ScanSurface, ScanVertices
from fg3d_builder.geometry.closest_points import Closest, closest_on_triangles


def _brute_force(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Least of the distances to all triangles, each by trimesh."""
    every = np.repeat(vertices[faces], len(points), axis=0)
    near = trimesh.triangles.closest_point(every, np.tile(points, (len(faces), 1)))
    apart = np.linalg.norm(near.reshape(len(faces), -1, 3) - points, axis=2)
    return np.asarray(apart.min(axis=0))


def _consistent(found: Closest, points: np.ndarray, vertices: np.ndarray) -> None:
    """The point lies on the triangle that is named, at the distance that is named."""
    assert found.barycentric.min() >= 0
    np.testing.assert_allclose(found.barycentric.sum(axis=1), 1, atol=1e-12)
    on = np.einsum("kc,kcd->kd", found.barycentric, vertices[found.corners])
    np.testing.assert_allclose(on, found.points_mm, atol=1e-9)
    length = np.linalg.norm(found.points_mm - points, axis=1)
    np.testing.assert_allclose(found.distance_mm, length, atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), spread=st.sampled_from([0.01, 0.1, 1.0, 5.0]))
def test_surface_agrees_with_brute_force_near_and_far(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    mesh = bumpy_sphere(seed, 2)
    points = mesh.vertices[rng.integers(0, len(mesh.vertices), 40)]
    points = points + rng.normal(size=points.shape) * spread * 20
    found = ScanSurface(mesh.vertices, mesh.faces).closest(points)
    _consistent(found, points, np.asarray(mesh.vertices))
    expected = _brute_force(points, mesh.vertices, mesh.faces)
    np.testing.assert_allclose(found.distance_mm, expected, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), octaves=st.floats(0.0, 8.0))
def test_triangle_soup_of_very_different_sizes(seed: int, octaves: float) -> None:
    rng = np.random.default_rng(seed)
    size = np.exp2(rng.uniform(-octaves, octaves, 150))[:, None, None]
    soup = rng.normal(size=(150, 1, 3)) * 30 + rng.normal(size=(150, 3, 3)) * size
    vertices, faces = soup.reshape(-1, 3), np.arange(450).reshape(-1, 3)
    points = rng.normal(size=(25, 3)) * 40
    found = ScanSurface(vertices, faces).closest(points)
    _consistent(found, points, vertices)
    expected = _brute_force(points, vertices, faces)
    np.testing.assert_allclose(found.distance_mm, expected, atol=1e-9)


def test_agrees_with_trimesh_proximity_on_a_large_mesh() -> None:
    mesh = bumpy_sphere(3, 5)
    rng = np.random.default_rng(3)
    points = mesh.vertices[:300] * rng.uniform(0.9, 1.1, (300, 1))
    found = ScanSurface(mesh.vertices, mesh.faces).closest(points)
    _, expected, _ = trimesh.proximity.closest_point(mesh, points)
    np.testing.assert_allclose(found.distance_mm, expected, atol=1e-9)


def test_a_point_as_far_from_everything_as_it_can_be() -> None:
    """In a sphere's centre every triangle is a candidate: all must be looked at."""
    mesh = trimesh.creation.icosphere(3, radius=50.0)
    found = ScanSurface(mesh.vertices, mesh.faces).closest(np.array([[0.0, 0.01, 0.0]]))
    expected = _brute_force(np.array([[0.0, 0.01, 0.0]]), mesh.vertices, mesh.faces)
    np.testing.assert_allclose(found.distance_mm, expected, atol=1e-10)


def test_a_large_triangle_behind_a_swarm_of_small_ones() -> None:
    """Its corner is nearest although its centroid is the furthest of the 31 around the point."""
    swarm = np.random.default_rng(2).normal(size=(30, 1, 3))
    swarm /= np.linalg.norm(swarm, axis=2, keepdims=True)
    small = 0.6 * swarm + 0.001 * np.eye(3)
    large = np.array([[[0.1, 0.0, 0.0], [1.3, 0.8, 0.0], [1.3, -0.8, 0.0]]])
    # More and larger ones elsewhere, so that all are of one class.
    elsewhere = 1.01 * large + np.arange(1, 41)[:, None, None] * [50.0, 0.0, 0.0]
    soup = np.concatenate([small, large, elsewhere]).reshape(-1, 3)
    found = ScanSurface(soup, np.arange(len(soup)).reshape(-1, 3)).closest(np.zeros((1, 3)))
    assert found.distance_mm[0] == pytest.approx(0.1, abs=1e-12)
    np.testing.assert_array_equal(found.corners, [[90, 91, 92]])


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ([2.0, 1.0, 3.0], [2.0, 1.0, 0.0]),  # above the inside
        ([5.0, -4.0, 3.0], [5.0, 0.0, 0.0]),  # beside an edge
        ([-3.0, -4.0, 0.0], [0.0, 0.0, 0.0]),  # beyond a corner
        ([8.0, 8.0, 1.0], [5.0, 5.0, 0.0]),  # beside the slanted edge
        ([12.0, -1.0, 0.0], [10.0, 0.0, 0.0]),
    ],
)
def test_regions_of_one_triangle(point: list[float], expected: list[float]) -> None:
    corners = np.array([[[0.0, 0, 0], [10, 0, 0], [0, 10, 0]]])
    weights = closest_on_triangles(np.array([point]), corners)
    np.testing.assert_allclose(weights @ corners[0], [expected], atol=1e-12)


def test_degenerate_triangles_are_segments_and_points() -> None:
    a, b = np.array([0.0, 0, 0]), np.array([10.0, 0, 0])
    corners = np.array([[a, a, b], [a, b, b], [a, 0.3 * b, b], [b, b, b], [a, b, 0.5 * b]])
    points = np.tile([4.0, 3.0, 0.0], (5, 1))
    found = np.einsum("kc,kcd->kd", closest_on_triangles(points, corners), corners)
    expected = np.array([[4.0, 0, 0], [4, 0, 0], [4, 0, 0], [10, 0, 0], [4, 0, 0]])
    np.testing.assert_allclose(found, expected, atol=1e-12)
    surface = ScanSurface(np.array([a, b]), np.array([[0, 0, 1], [1, 1, 1]]))
    assert surface.closest(points[:1]).distance_mm[0] == pytest.approx(3.0)


def test_slivers_are_no_nearer_than_they_are() -> None:
    rng = np.random.default_rng(8)
    start = rng.normal(size=(400, 3)) * 100
    along = rng.normal(size=(400, 3)) * 20
    height = rng.normal(size=(400, 3)) * 10.0 ** rng.uniform(-14, -2, (400, 1))
    corners = np.stack([start, start + along, start + 0.4 * along + height], axis=1)
    points = start + rng.normal(size=(400, 3)) * 10
    found = np.einsum("kc,kcd->kd", closest_on_triangles(points, corners), corners)
    share = np.clip(np.einsum("kd,kd->k", points - start, along) / (along**2).sum(1), 0, 1)
    on_edge = np.linalg.norm(points - start - share[:, None] * along, axis=1)
    length = np.linalg.norm(found - points, axis=1)
    reach = np.linalg.norm(height, axis=1) + 1e-9
    assert np.all(np.abs(length - on_edge) <= reach)


def test_nearest_vertices_agree_with_all_distances() -> None:
    rng = np.random.default_rng(1)
    vertices, points = rng.normal(size=(500, 3)), rng.normal(size=(60, 3))
    found = ScanVertices(vertices).closest(points)
    apart = cdist(points, vertices)
    np.testing.assert_allclose(found.distance_mm, apart.min(axis=1), atol=1e-12)
    np.testing.assert_array_equal(found.corners[:, 0], apart.argmin(axis=1))
    _consistent(found, points, vertices)


def test_surface_is_never_further_than_its_vertices() -> None:
    mesh = bumpy_sphere(5)
    points = np.random.default_rng(5).normal(size=(200, 3)) * 60
    on_surface = ScanSurface(mesh.vertices, mesh.faces).closest(points).distance_mm
    at_vertex = ScanVertices(mesh.vertices).closest(points).distance_mm
    assert np.all(on_surface <= at_vertex + 1e-12)


def test_no_points_have_no_closest_points() -> None:
    mesh = bumpy_sphere(5, 1)
    for scan in (ScanSurface(mesh.vertices, mesh.faces), ScanVertices(mesh.vertices)):
        assert len(scan.closest(np.zeros((0, 3))).distance_mm) == 0


def test_broken_scans_are_refused() -> None:
    vertices = np.random.default_rng(0).normal(size=(4, 3))
    with pytest.raises(ValueError, match="m > 0"):
        ScanSurface(vertices, np.zeros((0, 3), int))
    with pytest.raises(ValueError, match="beyond the 4"):
        ScanSurface(vertices, np.array([[0, 1, 4]]))
    with pytest.raises(ValueError, match="scan"):
        ScanVertices(np.zeros((0, 3)))
    vertices[3] = np.nan
    ScanSurface(vertices, np.array([[0, 1, 2]]))  # no triangle uses the broken one
    with pytest.raises(ValueError, match="not finite"):
        ScanSurface(vertices, np.array([[0, 1, 3]]))
    with pytest.raises(ValueError, match="scan: 1 are not finite"):
        ScanVertices(vertices)
    with pytest.raises(ValueError, match="points: 1 are not finite"):
        ScanSurface(vertices, np.array([[0, 1, 2]])).closest(vertices)
