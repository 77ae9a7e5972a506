"""Albedo in linear light, and its directions to first order."""

from __future__ import annotations

import numpy as np

from fg3d_builder.facemodel.sources.colours import linear_albedo
from fg3d_builder.rendering.shading import linear_from_srgb


def test_linear_albedo() -> None:
    rng = np.random.default_rng(2)
    srgb = rng.uniform(0, 1, (50, 3))
    srgb[0] = [0.0, 0.04, 0.05]  # on both sides of the toe
    basis = rng.normal(size=(50, 3, 2))
    mean, directions = linear_albedo(srgb, basis)
    np.testing.assert_allclose(mean, linear_from_srgb(srgb), atol=1e-7)
    assert directions is not None
    step = 1e-6
    for i in range(2):
        moved, _ = linear_albedo(srgb + step * basis[..., i])
        inside = (srgb + step * basis[..., i] > 0) & (srgb + step * basis[..., i] < 1)
        slope = (moved - mean) / step
        np.testing.assert_allclose(directions[..., i][inside], slope[inside], atol=1e-4)


def test_clipped() -> None:
    mean, directions = linear_albedo(np.array([[-1.0, 0.5, 7.0]]))
    np.testing.assert_allclose(mean, [[0.0, 0.21404114, 1.0]], atol=1e-8)
    assert directions is None
