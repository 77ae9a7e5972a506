from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_meshes import bumpy_sphere

from fg3d_builder.evaluation import ScanSurface
from fg3d_builder.geometry.surface_tree import SurfaceTree


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), spread=st.sampled_from([0.0, 0.1, 1.0, 5.0]))
def test_finds_what_the_other_search_finds_near_and_far(seed: int, spread: float) -> None:
    """Of shapes that differ from the one that ordered the tree, too."""
    rng = np.random.default_rng(seed)
    mesh = bumpy_sphere(seed, 3)
    points = np.asarray(mesh.vertices)[rng.integers(0, len(mesh.vertices), 200)]
    points = points + rng.normal(size=points.shape) * spread * 20
    tree = SurfaceTree(rng.permutation(mesh.vertices), mesh.faces)
    expected = ScanSurface(mesh.vertices, mesh.faces).closest(points)
    found = tree.of(np.asarray(mesh.vertices)).closest(points)
    np.testing.assert_allclose(found.distance_mm, expected.distance_mm, rtol=1e-12, atol=1e-12)
    on = np.einsum("kc,kcd->kd", found.barycentric, mesh.vertices[found.corners])
    np.testing.assert_allclose(on, found.points_mm, atol=1e-12)
    np.testing.assert_allclose(found.points_mm, expected.points_mm, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 150), octaves=st.floats(0.0, 8.0))
def test_soups_of_any_number_and_of_very_different_sizes(
    seed: int, count: int, octaves: float
) -> None:
    rng = np.random.default_rng(seed)
    size = np.exp2(rng.uniform(-octaves, octaves, count))[:, None, None]
    soup = rng.normal(size=(count, 1, 3)) * 30 + rng.normal(size=(count, 3, 3)) * size
    vertices, faces = soup.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3)
    points = rng.normal(size=(25, 3)) * 40
    found = SurfaceTree(vertices, faces).of(vertices).closest(points)
    expected = ScanSurface(vertices, faces).closest(points)
    np.testing.assert_allclose(found.distance_mm, expected.distance_mm, atol=1e-12)


def test_degenerate_triangles_are_segments_and_points() -> None:
    corners = np.array([[0.0, 0, 0], [10, 0, 0], [3, 0, 0], [4, 9, 0]])
    point = np.array([[4.0, 3.0, 0.0]])
    faces = np.array([[0, 0, 1], [1, 0, 2], [3, 3, 3]])
    assert SurfaceTree(corners, faces).of(corners).closest(point).distance_mm == pytest.approx(3.0)


def test_no_points_and_what_is_refused() -> None:
    corners, faces = np.eye(3), np.array([[0, 1, 2]])
    tree = SurfaceTree(corners, faces)
    assert len(tree.of(corners).closest(np.zeros((0, 3))).distance_mm) == 0
    with pytest.raises(ValueError, match="triangles name vertices beyond the 3"):
        SurfaceTree(corners, faces + 1)
    with pytest.raises(ValueError, match="m > 0"):
        SurfaceTree(corners, faces[:0])
    with pytest.raises(ValueError, match="2 vertices, expected 3"):
        tree.of(corners[:2])
    with pytest.raises(ValueError, match="not finite"):
        tree.of(np.full((3, 3), np.nan))
