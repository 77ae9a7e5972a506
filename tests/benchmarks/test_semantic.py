"""The spread of semantic places against displacements that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmarks.semantic import mean_shape, spread
from benchmarks.surfaces import Surface


def _grid(side: int, pitch_mm: float):  # type: ignore[no-untyped-def]
    x, y = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    vertices = np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3) * pitch_mm
    n = np.arange(side * side).reshape(side, side)
    a, b, c, d = n[:-1, :-1].ravel(), n[1:, :-1].ravel(), n[:-1, 1:].ravel(), n[1:, 1:].ravel()
    return vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])


def test_spread_is_the_rms_of_known_slips_measured_on_the_mean_shape():
    random = np.random.default_rng(0)
    vertices, triangles = _grid(31, 2.0)
    places = random.uniform(15.0, 45.0, (200, 3)) * [1, 1, 0]
    scales = np.array([0.9, 1.1, 0.95, 1.05])
    slips = random.normal(0.0, 1.5, (4, 200, 3)) * [1, 1, 0]
    shapes, spots = [], []
    for i, scale in enumerate(scales):
        turn = Rotation.random(random_state=i)
        shift = random.normal(0, 100, 3)
        shape = turn.apply(scale * vertices) + shift
        # Lifted off the surface: the distance to the scan must not count as spread.
        lifted = places + slips[i] + [0.0, 0.0, 0.7]
        shapes.append(shape)
        spots.append(Surface(shape, triangles).nearest(turn.apply(scale * lifted) + shift))
    mean = mean_shape(np.stack(shapes))
    seen = np.ones((4, 200), dtype=bool)
    seen[0, :50] = False
    seen[1:, 50:60] = False
    measured = spread(spots, seen, mean, triangles)
    expected = np.sqrt(((slips - slips.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0))
    fewer = slips[1:, :50]
    expected[:50] = np.sqrt(((fewer - fewer.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0))
    # The mean shape of these scales is the grid itself. Single precision of the ray caster
    # at coordinates of some hundred millimetres leaves 1e-4 mm.
    assert np.isnan(measured[50:60]).all()
    rest = np.r_[0:50, 60:200]
    np.testing.assert_allclose(measured[rest], expected[rest], atol=1e-3)


def test_the_same_places_on_differently_bent_scans_have_no_spread():
    vertices, triangles = _grid(21, 2.0)
    shapes, spots = [], []
    for bend in (0.0, 0.004, -0.006):
        curve = vertices + bend * vertices[:, :1] ** 2 * [0, 0, 1]
        corners = curve[triangles]
        on_it = np.einsum("c,mcd->md", [0.2, 0.3, 0.5], corners)
        shapes.append(curve)
        spots.append(Surface(curve, triangles).nearest(on_it))
    mean = mean_shape(np.stack(shapes))
    seen = np.ones((3, len(triangles)), dtype=bool)
    assert spread(spots, seen, mean, triangles).max() == pytest.approx(0.0, abs=1e-3)
