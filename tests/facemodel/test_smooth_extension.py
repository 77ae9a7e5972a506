"""Fields over a mesh: exact where the energy is zero, harmonic in between, sums of energies."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from fg3d_builder.facemodel.smooth_extension import extended, smoothness, solved, stiffness
from fg3d_builder.geometry.meshes import border_edges
from fg3d_builder.records import Array


@pytest.fixture(scope="module")
def plate() -> tuple[Array, Array]:
    """A flat square of 21 by 21 vertices, 4 mm apart, bent nowhere."""
    x, y = np.meshgrid(np.arange(21) * 4.0, np.arange(21) * 4.0)
    points = np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])
    index = np.arange(441).reshape(21, 21)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.concatenate(
        [np.stack([i.ravel() for i in t], axis=1) for t in ((a, b, d), (a, d, c))]
    )
    return points, triangles


def test_dirichlet_energy_of_a_slope(plate: tuple[Array, Array]) -> None:
    points, triangles = plate
    matrix = stiffness(points, triangles)
    field = 0.5 * points[:, 0]
    # |grad|^2 times the area; cotangents of right angles are held at 0.02.
    assert field @ matrix @ field == pytest.approx(0.25 * 80.0**2, rel=0.05)
    assert np.abs(matrix @ np.ones(len(points))).max() < 1e-9


def test_harmonic_extension_of_a_linear_border_is_linear(plate: tuple[Array, Array]) -> None:
    points, triangles = plate
    border = np.unique(border_edges(triangles))
    field = points @ np.array([[1.0, 0.3], [-0.5, 2.0], [0.0, 0.0]]) + [3.0, -4.0]
    found = extended(smoothness(points, triangles, 0.0, 1.0), border, field[border])
    assert np.allclose(found, field, atol=1e-8)


def test_bending_goes_on_and_stretching_stops(plate: tuple[Array, Array]) -> None:
    points, triangles = plate
    known = np.flatnonzero(points[:, 0] < 20)
    slope = points[known, 0]
    far = np.flatnonzero(points[:, 0] == 80)
    stops = extended(smoothness(points, triangles, 0.0, 1.0), known, slope)
    assert np.allclose(stops[far], 16.0, atol=0.01)
    goes_on = extended(smoothness(points, triangles, 100.0, 1.0), known, slope)
    assert goes_on[far].mean() > 45.0


def test_solves_any_number_of_sides() -> None:
    random = np.random.default_rng(0)
    factor = random.normal(size=(30, 30))
    matrix = factor @ factor.T + np.eye(30)
    right = random.normal(size=(30, 7))
    assert np.allclose(solved(sp.csr_matrix(matrix), right), np.linalg.solve(matrix, right))
