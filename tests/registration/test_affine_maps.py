"""The assembled system against the energy written down term by term."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fg3d_builder.facemodel.model import Embedding
from fg3d_builder.records import Array
from fg3d_builder.registration.affine_maps import AffineMaps
from fg3d_builder.registration.deformation import LENGTH_MM, RIDGE, Targets

TRIANGLES = np.array([[0, 1, 2], [2, 1, 3], [2, 3, 4], [4, 3, 5]], dtype=np.int32)
GAMMA = 0.7


def tiny(seed: int) -> tuple[AffineMaps, Array, Embedding]:
    """Six vertices, four triangles, three embedded points, two of them in one triangle."""
    rng = np.random.default_rng(seed)
    vertices = rng.normal(scale=30.0, size=(6, 3)) + np.array([5.0, -3.0, 500.0])
    barycentric = rng.dirichlet(np.ones(3), size=3)
    points = Embedding(np.arange(3), np.array([0, 3, 0]), barycentric)
    return AffineMaps(vertices, TRIANGLES, points, GAMMA, "superlu"), vertices, points


def dense_rows(vertices: Array, points: Embedding, edges: Array) -> tuple[Array, Array, Array]:
    """Jacobians (rows, 24) of stiffness (4 per edge), vertices and points, by definition."""
    h = np.concatenate([(vertices - vertices.mean(0)) / LENGTH_MM, np.ones((6, 1))], axis=1)
    g = np.diag([1.0, 1.0, 1.0, GAMMA])
    stiff = np.zeros((4 * len(edges), 24))
    for e, (i, j) in enumerate(edges):
        stiff[4 * e : 4 * e + 4, 4 * i : 4 * i + 4] = g
        stiff[4 * e : 4 * e + 4, 4 * j : 4 * j + 4] = -g
    data = np.zeros((6, 24))
    for i in range(6):
        data[i, 4 * i : 4 * i + 4] = h[i]
    on_points = np.zeros((3, 24))
    for p in range(3):
        for corner, weight in zip(
            TRIANGLES[points.triangle[p]], points.barycentric[p], strict=True
        ):
            on_points[p, 4 * corner : 4 * corner + 4] += weight * h[corner]
    return stiff, data, on_points


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_matrix_and_side_equal_the_dense_reference(seed: int, with_points: bool) -> None:
    system, vertices, points = tiny(seed)
    rng = np.random.default_rng(seed + 1)
    stiffness = rng.uniform(0.5, 3.0, len(system.edges))
    weights = rng.uniform(0.0, 2.0, 6) * (rng.random(6) > 0.3)
    point_weights = rng.uniform(0.0, 5.0, 3) if with_points else None
    offsets, point_offsets = rng.normal(size=(6, 2)), rng.normal(size=(3, 2))
    stiff, data, on_points = dense_rows(vertices, points, system.edges)
    matrix = stiff.T @ (np.repeat(stiffness**2, 4)[:, None] * stiff) + RIDGE * np.eye(24)
    matrix += data.T @ (weights[:, None] * data)
    side = data.T @ (weights[:, None] * offsets)
    if point_weights is not None:
        matrix += on_points.T @ (point_weights[:, None] * on_points)
        side += on_points.T @ (point_weights[:, None] * point_offsets)
    assembled = system.lower.copy()
    targets = Targets(
        weights,
        weights[:, None] * offsets,
        point_weights,
        point_offsets if with_points else None,
    )
    assembled.data = system.matrix_values(stiffness, targets)
    np.testing.assert_allclose(assembled.toarray(), np.tril(matrix), atol=1e-12)
    np.testing.assert_allclose(system.right_hand_side(targets), side, atol=1e-12)


def test_affine_motion_costs_no_stiffness_and_is_reproduced() -> None:
    system, vertices, _ = tiny(3)
    rng = np.random.default_rng(0)
    matrix, shift = rng.normal(size=(3, 3)), rng.normal(size=3)
    centred = (vertices - vertices.mean(axis=0)) / LENGTH_MM
    one = np.concatenate([matrix, shift[None]])
    maps = np.tile(one, (6, 1))
    assert system.stiffness_energy(maps, np.ones(len(system.edges))) == pytest.approx(0, abs=1e-18)
    np.testing.assert_allclose(system.offsets_mm(maps), centred @ matrix + shift)


def test_stiffness_energy_is_the_quadratic_form_of_the_matrix() -> None:
    system, _, _ = tiny(4)
    rng = np.random.default_rng(2)
    maps = rng.normal(size=(24, 3))
    stiffness = rng.uniform(1, 2, len(system.edges))
    lower = system.lower.copy()
    lower.data = system.matrix_values(stiffness, Targets(np.zeros(6), np.zeros((6, 3))))
    whole = lower.toarray() + np.tril(lower.toarray(), -1).T
    expected = np.einsum("ic,ij,jc->", maps, whole, maps)
    assert system.stiffness_energy(maps, stiffness) == pytest.approx(expected, rel=1e-6)


def test_the_pattern_does_not_depend_on_the_numbers() -> None:
    system, _, _ = tiny(1)
    none = np.zeros((6, 3))
    with_points = system.matrix_values(
        np.ones(len(system.edges)), Targets(np.ones(6), none, np.ones(3), none[:3])
    )
    without = system.matrix_values(np.ones(len(system.edges)), Targets(np.zeros(6), none))
    assert len(with_points) == len(without) == system.lower.nnz
