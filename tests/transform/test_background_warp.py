from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import Delaunay

from fg3d_builder.geometry.meshes import signed_areas, undirected_edges
from fg3d_builder.transform.background_warp import Background

SIZE = 100.0
SOLVER = "cholmod"
NONE = np.zeros(200, bool)


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A square picture with a round hole: points, triangles, is outline, is image border."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, 41)[:-1]
    outline = 50 + 25 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    side = np.linspace(0, SIZE, 9)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    grid += rng.uniform(-2, 2, grid.shape) * ((grid > 0) & (grid < SIZE)).all(axis=1)[:, None]
    grid = grid[np.linalg.norm(grid - 50, axis=1) > 29]
    points = np.concatenate([outline, grid])
    triangles = Delaunay(points).simplices
    # The hole's triangles have all their corners on the round outline.
    triangles = triangles[(triangles >= len(outline)).any(axis=1)]
    on_outline = np.arange(len(points)) < len(outline)
    on_border = ((points == 0) | (points == SIZE)).any(axis=1)
    return points, triangles, on_outline, on_border


def test_nothing_moves_without_a_reason() -> None:
    points, triangles, outline, border = scene()
    warp = Background(points, triangles, outline | border, SOLVER).warped(points, NONE)
    assert np.allclose(warp.points_px, points, atol=1e-9)
    assert warp.folded == 0
    assert warp.rounds == 1


def test_fixed_points_are_met_and_the_rest_is_the_minimum() -> None:
    points, triangles, outline, border = scene()
    target = points.copy()
    target[outline] = 50 + (points[outline] - 50) * [1.1, 0.95]
    warp = Background(points, triangles, outline | border, SOLVER).warped(target, NONE)
    assert np.allclose(warp.points_px[outline | border], target[outline | border])
    edges = undirected_edges(triangles)
    weights = 1 / np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)

    def energy(places: np.ndarray) -> float:
        moved = places - points
        return float(weights @ ((moved[edges[:, 0]] - moved[edges[:, 1]]) ** 2).sum(axis=1))

    rng = np.random.default_rng(1)
    free = ~(outline | border)
    for _ in range(5):
        other = warp.points_px + 0.05 * free[:, None] * rng.standard_normal(points.shape)
        assert energy(other) > energy(warp.points_px)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(-0.35, 0.3), st.floats(-0.35, 0.3))
def test_no_fold_under_strong_moves(seed: int, wider: float, taller: float) -> None:
    points, triangles, outline, border = scene(seed % 7)
    target = points.copy()
    target[outline] = 50 + (points[outline] - 50) * [1 + wider, 1 + taller]
    warp = Background(points, triangles, outline | border, SOLVER).warped(target, NONE)
    assert warp.folded == 0
    before, after = signed_areas(points[triangles]), signed_areas(warp.points_px[triangles])
    assert np.all(np.sign(before) == np.sign(after))
    # The picture stays filled: background plus face is the whole square.
    x, y = target[outline].T
    face = 0.5 * abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))
    assert np.abs(after).sum() + face == pytest.approx(SIZE**2, rel=1e-9)


def test_an_impossible_move_is_reported() -> None:
    points, triangles, outline, border = scene()
    target = points.copy()
    target[outline] = 50 + (points[outline] - 50) * [-1.0, 1.0]
    assert Background(points, triangles, outline | border, SOLVER).warped(target, NONE).folded > 0


def test_corners_that_pass_each_other_are_let_go() -> None:
    points, triangles, outline, border = scene()
    target = points.copy()
    # Two neighbours on the outline change places: no background can follow that.
    target[[3, 4]] = points[[4, 3]]
    fixed = outline | border
    assert Background(points, triangles, fixed, SOLVER).warped(target, NONE).folded > 0
    warp = Background(points, triangles, fixed, SOLVER).warped(target, outline)
    assert warp.folded == 0
    assert set(np.flatnonzero(warp.yielded)) <= {2, 3, 4, 5}
    held = fixed & ~warp.yielded
    assert np.allclose(warp.points_px[held], target[held])


def test_a_background_forgets_its_warps() -> None:
    """What all warps share is found once; one that folds and is stiffened changes none of it."""
    points, triangles, outline, border = scene()
    background = Background(points, triangles, outline | border, SOLVER)
    wide, crushed = points.copy(), points.copy()
    wide[outline] = 50 + (points[outline] - 50) * [1.1, 0.95]
    crushed[outline] = 50 + (points[outline] - 50) * [1.3, 0.65]
    first = background.warped(wide, NONE).points_px
    background.warped(crushed, outline)
    np.testing.assert_array_equal(background.warped(wide, NONE).points_px, first)
