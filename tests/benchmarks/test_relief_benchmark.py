"""The band that the benchmark looks at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial import Delaunay

from benchmarks.relief import BAND_MM, relief, root_mean_square


@pytest.mark.parametrize("wavelength_mm", [8.0, 40.0])
def test_the_band_keeps_its_wavelengths(wavelength_mm: float) -> None:
    x, row = np.meshgrid(np.arange(100), np.arange(100))
    flat = np.stack([x + 0.5 * (row % 2), np.sqrt(0.75) * row], axis=-1).reshape(-1, 2)
    triangles = Delaunay(flat).simplices
    model: Any = SimpleNamespace(triangles=triangles, vertex_count=len(flat))
    vertices = np.column_stack([flat, np.zeros(len(flat))])
    wave = np.sin(2 * np.pi * flat[:, 0] / wavelength_mm)
    passed = relief(model, vertices, wave, np.ones(len(flat), dtype=bool))
    middle = (np.abs(flat - [50.0, 43.0]) < 25).all(axis=1)
    gain = passed[middle] @ wave[middle] / (wave[middle] @ wave[middle])
    fine, wide = (1.0 / (1.0 + (cut / wavelength_mm) ** 4) for cut in BAND_MM)
    assert gain == pytest.approx(fine - wide, abs=0.05)


def test_root_mean_square_is_of_the_surface() -> None:
    assert root_mean_square(np.array([3.0, 0.0]), np.array([1.0, 8.0])) == pytest.approx(1.0)
