"""Constrained Delaunay triangulation: every edge there, nothing twice, Delaunay elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.fullview.triangulation import constrained_delaunay, split_by_edges


def star(rng: np.random.Generator, corners: int) -> tuple[np.ndarray, np.ndarray]:
    """A jagged closed polygon, whose long edges a Delaunay triangulation would not have."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radius = rng.uniform(2.0, 9.0, corners)
    ring = np.arange(corners)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points, np.stack([ring, np.roll(ring, -1)], axis=1)


def double_areas(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (points[triangles[:, i]] for i in range(3))
    u, v = b - a, c - a
    return np.asarray(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])


def sides(triangles: np.ndarray) -> set[tuple[int, int]]:
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    return set(map(tuple, edges.tolist()))


@pytest.mark.parametrize("seed", range(12))
def test_every_edge_is_there_and_the_triangles_tile_the_hull(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, edges = star(rng, 60)
    points = np.concatenate([points, rng.uniform(-10, 10, (120, 2))])
    corners = np.array([[-11, -11], [11, -11], [11, 11], [-11, 11.0]])
    points = np.concatenate([points, corners])
    triangles = constrained_delaunay(points, edges)
    wanted = {(min(a, b), max(a, b)) for a, b in edges.tolist()}
    assert wanted <= sides(triangles)
    areas = double_areas(points, triangles)
    assert areas.min() > 0
    assert areas.sum() / 2 == pytest.approx(22.0**2, rel=1e-12)
    # Euler: 2 k - 2 - hull triangles, so none is missing and none lies on another.
    assert len(triangles) == 2 * len(points) - 2 - 4


@pytest.mark.parametrize("seed", range(6))
def test_delaunay_but_for_the_constraints(seed: int) -> None:
    """No circle holds the far corner of the neighbour across an edge that nobody asked for."""
    rng = np.random.default_rng(100 + seed)
    points, edges = star(rng, 25)
    points = np.concatenate([points, rng.uniform(-10, 10, (60, 2))])
    triangles = constrained_delaunay(points, edges)
    fixed = {(min(a, b), max(a, b)) for a, b in edges.tolist()}
    across: dict[tuple[int, int], list[int]] = {}
    for a, b, c in triangles.tolist():
        for u, v, w in ((a, b, c), (b, c, a), (c, a, b)):
            across.setdefault((min(u, v), max(u, v)), []).append(w)
    for (u, v), tips in across.items():
        if len(tips) == 2 and (u, v) not in fixed:
            away = points[[u, v, tips[0]]] - points[tips[1]]
            matrix = np.column_stack([away, (away**2).sum(axis=1)])
            sign = np.sign(double_areas(points, np.array([[u, v, tips[0]]]))[0])
            assert sign * np.linalg.det(matrix) < 1e-7


def test_an_edge_through_points_comes_in_pieces() -> None:
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), axis=-1).reshape(-1, 2)
    triangles = constrained_delaunay(grid, np.array([[0, 4], [0, 24], [1, 23]]))
    found = sides(triangles)
    assert {(0, 6), (6, 12), (12, 18), (18, 24), (1, 12), (12, 23)} <= found
    assert double_areas(grid, triangles).sum() / 2 == pytest.approx(16.0)


def test_crossing_edges_and_equal_points_are_refused() -> None:
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    with pytest.raises(ValueError, match="cross"):
        constrained_delaunay(square, np.array([[0, 2], [1, 3]]))
    with pytest.raises(ValueError, match="coincide"):
        constrained_delaunay(np.concatenate([square, square[:1]]), np.zeros((0, 2), int))


def test_parts_are_what_the_walls_enclose() -> None:
    rng = np.random.default_rng(3)
    points, edges = star(rng, 40)
    points = np.concatenate([points, rng.uniform(-10, 10, (80, 2)), [[-20, -20], [20, 0], [0, 20]]])
    triangles = constrained_delaunay(points, edges)
    part = split_by_edges(triangles, edges)
    assert len(np.unique(part)) == 2
    ring = points[:40]
    x, y = ring.T
    inner = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
    outer = part[np.flatnonzero((triangles == len(points) - 1).any(axis=1))[0]]
    assert double_areas(points, triangles[part != outer]).sum() / 2 == pytest.approx(inner)
