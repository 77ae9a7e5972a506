"""The matrices that libraries are timed with are those of the membrane."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from benchmarks.poisson import Hole, by_multigrid, by_superlu


@pytest.mark.parametrize("screen", [0.0, 1 / 48.0**2])
def test_the_assembled_equation_has_the_membrane_for_its_solution(screen: float) -> None:
    rng = np.random.default_rng(3)
    blurred = cv2.GaussianBlur(rng.standard_normal((40, 50)), (0, 0), 4.0)
    unknown = blurred > np.quantile(blurred, 0.6)
    border = ~unknown & (rng.random(unknown.shape) < 0.7)
    known = np.where(border[..., None], rng.standard_normal((40, 50, 3)), 0.0)
    hole = Hole(known, unknown, border, screen, tolerance=1e-9)
    exact = by_superlu(hole)
    assert np.abs(exact).max() > 0.5
    # Ours is solved in single precision.
    np.testing.assert_allclose(by_multigrid(hole), exact, atol=1e-5)
