"""Thinning keeps symmetry, borders, locked vertices and shape."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.facemodel.patches import border_loops
from fg3d_builder.facemodel.surround import mirror_vertices
from fg3d_builder.geometry.closest_points import ScanSurface
from fg3d_builder.geometry.meshes import (
    border_edges,
    directed_edges,
    triangle_normals,
    undirected_edges,
)
from fg3d_builder.heads.thinning import thinned
from fg3d_builder.records import Array

ROWS, COLUMNS = 40, 80


@pytest.fixture(scope="module")
def bowl() -> tuple[Array, Array]:
    """A sphere of 100 mm without its caps; vertices on x = 0, symmetric triangles."""
    elevation = np.radians(np.linspace(-60, 60, ROWS))
    azimuth = np.radians(np.arange(COLUMNS) * 360.0 / COLUMNS)
    e, a = np.meshgrid(elevation, azimuth, indexing="ij")
    points = 100 * np.stack([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)], axis=-1)
    points = points.reshape(-1, 3)
    points[np.abs(points[:, 0]) < 1e-9, 0] = 0.0
    triangles = []
    for r in range(ROWS - 1):
        for c in range(COLUMNS // 2):
            one, two = r * COLUMNS + c, r * COLUMNS + c + 1
            up, next_up = one + COLUMNS, two + COLUMNS
            triangles += [[one, two, next_up], [one, next_up, up]]
    half = np.array(triangles)
    mirror = mirror_vertices(points)
    return points, np.concatenate([half, mirror[half][:, [0, 2, 1]]])


@pytest.fixture(scope="module")
def thin(bowl: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    points, triangles = bowl
    locked = np.arange(len(points)) < COLUMNS
    kept, left = thinned(
        points, triangles, mirror_vertices(points), locked, np.ones(len(points)), 900, 40.0
    )
    return kept, left, locked


def test_reaches_the_number_and_keeps_what_is_locked(
    thin: tuple[Array, Array, Array],
) -> None:
    kept, left, locked = thin
    assert 895 <= len(kept) <= 901
    assert np.all(np.isin(np.flatnonzero(locked), kept))
    assert np.array_equal(np.unique(left), kept)


def test_stays_symmetric_and_a_ring(
    bowl: tuple[Array, Array], thin: tuple[Array, Array, Array]
) -> None:
    points, (kept, left, _) = bowl[0], thin
    mirror = mirror_vertices(points)
    own = set(map(tuple, np.sort(left, axis=1).tolist()))
    assert own == set(map(tuple, np.sort(mirror[left], axis=1).tolist()))
    directed = directed_edges(left)
    assert len(np.unique(directed, axis=0)) == len(directed)
    assert len(border_loops(left)) == 2
    assert len(kept) - len(undirected_edges(left)) + len(left) == 0


def test_stays_near_the_surface_with_short_edges_that_face_outwards(
    bowl: tuple[Array, Array], thin: tuple[Array, Array, Array]
) -> None:
    points, triangles = bowl
    _, left, _ = thin
    edges = undirected_edges(left)
    assert np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1).max() <= 40.0
    away = ScanSurface(points, left).closest(points[np.unique(triangles)]).distance_mm
    assert away.max() < 2.0
    normals = triangle_normals(points, left)
    assert np.all(np.einsum("ij,ij->i", normals, points[left].mean(axis=1)) > 0)
    # The free border is still at its height.
    border = np.setdiff1d(np.unique(border_edges(left)), np.arange(COLUMNS))
    assert np.allclose(points[border, 1], points[:, 1].max(), atol=1e-9)


def test_what_counts_less_gets_fewer_vertices(bowl: tuple[Array, Array]) -> None:
    points, triangles = bowl
    importance = np.where(points[:, 1] > 0, 1.0, 0.01)
    none = np.zeros(len(points), dtype=bool)
    kept, _ = thinned(points, triangles, mirror_vertices(points), none, importance, 900, 80.0)
    assert np.mean(points[kept, 1] > 0) > 0.7


def test_stops_where_nothing_may_go(bowl: tuple[Array, Array]) -> None:
    points, triangles = bowl
    everything = np.ones(len(points), dtype=bool)
    kept, left = thinned(
        points, triangles, mirror_vertices(points), everything, np.ones(len(points)), 10, 40.0
    )
    assert len(kept) == len(np.unique(triangles))
    assert len(left) == len(triangles)
