"""Vertices that a file has several times, as along the seams of its chart."""

from __future__ import annotations

import numpy as np

from fg3d_builder.facemodel.origin import first_of_same


def test_the_first_of_vertices_at_one_place_stands_for_all() -> None:
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, 1e-6], [1, 0, 0.5]])
    assert first_of_same(points).tolist() == [0, 1, 0, 3]


def test_vertices_that_rounding_moved_apart_are_at_one_place() -> None:
    """Those of a seam, a digit of float32 apart, wherever they are."""
    random = np.random.default_rng(0)
    points = random.uniform(-100.0, 100.0, (3000, 3))
    twice = np.concatenate([points, points + random.uniform(-1e-5, 1e-5, points.shape)])
    number = np.arange(3000)
    assert np.array_equal(first_of_same(twice), np.concatenate([number, number]))
