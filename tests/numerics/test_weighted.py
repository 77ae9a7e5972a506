from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.numerics.weighted import weighted_quantile, weighted_rms


def test_weighted_quantile() -> None:
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0])
    assert [weighted_quantile(values, weights, q) for q in (0.2, 0.5, 0.75, 0.9)] == [1, 2, 2, 3]
    assert np.isnan(weighted_quantile(values, np.zeros(3), 0.5))


def test_weighted_rms() -> None:
    assert weighted_rms(np.array([3.0, 4.0, 99.0]), np.array([1.0, 1.0, 0.0])) == pytest.approx(
        np.sqrt(12.5)
    )
    assert np.isnan(weighted_rms(np.ones(2), np.zeros(2)))
