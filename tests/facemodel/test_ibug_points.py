"""Points of the 68 that are defined by others: thirds of a ridge, even steps of an outline."""

from __future__ import annotations

import numpy as np

from fg3d_builder.facemodel.ibug_points import bridge_points, outline_points
from fg3d_builder.records import Array

RADIUS_MM = 80.0


def test_the_bridge_is_cut_in_thirds() -> None:
    ridge = np.array(
        [[0.0, y, z] for y, z in ((30, 0), (24, 3), (15, 9), (9, 13), (3, 17), (0, 19))]
    )
    root, tip = ridge[0], ridge[-1]
    step = np.linalg.norm(np.diff(ridge, axis=0), axis=1)
    upper, lower = bridge_points(ridge)
    whole = step.sum()
    for point, share in ((upper, 1 / 3), (lower, 2 / 3)):
        along = np.concatenate([[0.0], np.cumsum(step)])
        wanted = [np.interp(share * whole, along, ridge[:, axis]) for axis in range(3)]
        np.testing.assert_allclose(point, wanted, atol=1e-9)
    assert root[1] > upper[1] > lower[1] > tip[1]


def ball() -> tuple[Array, Array, tuple[Array, ...]]:
    """A half ball that looks along +z, and 17 lines that leave its front to all lower sides."""
    rings, turns = 90, 128
    lift = np.linspace(0.0, np.pi / 2, rings)
    turn = np.linspace(0.0, 2 * np.pi, turns, endpoint=False)
    points = [[0.0, 0.0, 1.0]]
    points += [
        [np.sin(a) * np.cos(t), np.sin(a) * np.sin(t), np.cos(a)] for a in lift[1:] for t in turn
    ]
    triangles = [[0, 1 + i, 1 + (i + 1) % turns] for i in range(turns)]
    for ring in range(rings - 2):
        for i in range(turns):
            a, b = 1 + ring * turns + i, 1 + ring * turns + (i + 1) % turns
            triangles += [[a, a + turns, b], [b, a + turns, b + turns]]
    # From the subject's right (-x) over the chin to the left.
    starts = np.linspace(turns // 2, turns, 17).round().astype(int) % turns
    lines = tuple(1 + np.arange(rings - 1) * turns + start for start in starts)
    return RADIUS_MM * np.array(points), np.array(triangles), lines


def test_the_outline_is_where_the_skin_turns_away_in_even_steps() -> None:
    vertices, triangles, lines = ball()
    corners = np.array([[-40.0, 20.0, 60.0], [40.0, 20.0, 60.0]])
    found = outline_points(vertices, triangles, lines, corners)
    assert found is not None
    np.testing.assert_allclose(found[::-1] * [-1, 1, 1], found, atol=0.3)  # symmetric
    assert found[0, 1] == found[16, 1] == 20.0
    # Ears: skin that faces the camera by a fifth; chin: by a half.
    assert np.isclose(found[1, 2] / RADIUS_MM, 0.21, atol=0.03)
    assert np.isclose(found[8, 2] / RADIUS_MM, 0.50, atol=0.03)
    steps = np.linalg.norm(np.diff(found[:, :2], axis=0), axis=1)
    assert steps.max() / steps.min() < 1.02


def test_without_all_lines_nothing_is_told() -> None:
    vertices, triangles, lines = ball()
    assert outline_points(vertices, triangles, lines[:16], np.zeros((2, 3))) is None
