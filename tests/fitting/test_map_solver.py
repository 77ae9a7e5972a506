from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.surface_rows import coefficient_bounds, embedded_rows, vertex_rows
from fg3d_builder.fitting.map_solver import (
    AT_HOME,
    WAY_IN,
    Freedom,
    minimise,
    normal_equations,
    total_energy,
)
from fg3d_builder.fitting.terms import POSE_SIZE, FaceState, PixelTerm, PlaneTerm, Term
from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.numerics.robust import Huber, Kernel
from fg3d_builder.records import Pose

INTRINSICS = intrinsics_matrix(900.0, 880.0, 319.5, 239.5)
PLAIN = Huber(1e9)


def _state(model: FaceModel, rng: np.random.Generator) -> FaceState:
    pose = Pose(1.1, rotation_from_angles(5, 20, -7), np.array([12.0, -8.0, 600.0]))
    size = len(model.id_sd) + len(model.exp_sd)
    return FaceState(pose, rng.uniform(0.2, 0.8, size))


def _terms(model: FaceModel, state: FaceState, rng: np.random.Generator) -> dict[str, Term]:
    rows = embedded_rows(model, model.embeddings["ibug68"])
    m = len(rows.mean)
    px = px_from_cam(state.points_cam_mm(rows), INTRINSICS) + rng.normal(size=(m, 2)) * 5
    direction = rng.normal(size=(m, 2))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    weight = rng.uniform(0.2, 1, m)
    some = vertex_rows(model, np.arange(0, model.vertex_count, 50))
    normal = rng.normal(size=some.mean.shape)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    target = state.points_cam_mm(some) + rng.normal(size=normal.shape) * 4
    k = len(normal)
    return {
        "pixel": PixelTerm(rows, px, INTRINSICS, 2.0, weight, AT_HOME),
        "slide": PixelTerm(rows, px, INTRINSICS, 4.0, weight, WAY_IN, direction),
        "plane": PlaneTerm(some, target, normal, rng.uniform(1, 3, k), np.ones(k), AT_HOME),
    }


@pytest.mark.parametrize("name", ["pixel", "slide", "plane"])
def test_jacobians_equal_finite_differences(toy_model: FaceModel, name: str) -> None:
    rng = np.random.default_rng(0)
    state = _state(toy_model, rng)
    term = _terms(toy_model, state, rng)[name]
    jacobian = term.jacobian(state)
    h = 1e-5
    for unknown in range(jacobian.shape[2]):
        step = np.zeros(jacobian.shape[2])
        step[unknown] = h
        slope = (term.residual(state.moved(step)) - term.residual(state.moved(-step))) / (2 * h)
        scale = np.abs(jacobian[:, :, unknown]).max()
        np.testing.assert_allclose(jacobian[:, :, unknown], slope, atol=1e-6 * scale)


def test_gradient_of_the_whole_energy_equals_finite_differences(toy_model: FaceModel) -> None:
    rng = np.random.default_rng(1)
    state = _state(toy_model, rng)
    terms = list(_terms(toy_model, state, rng).values())
    gradient = normal_equations(state, terms).gradient
    h = 1e-5
    for unknown in range(len(gradient)):
        step = np.zeros(len(gradient))
        step[unknown] = h
        ahead, behind = (total_energy(state.moved(s), terms) for s in (step, -step))
        assert gradient[unknown] == pytest.approx((ahead - behind) / (2 * h), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("kernel", [PLAIN, AT_HOME])
def test_energy_falls_to_a_stationary_point(toy_model: FaceModel, kernel: Kernel) -> None:
    rng = np.random.default_rng(2)
    truth = _state(toy_model, rng)
    terms = [t._replace(kernel=kernel) for t in _terms(toy_model, truth, rng).values()]  # type: ignore[attr-defined]
    size = len(truth.coefficients)
    wide = Freedom(True, np.full(size, -np.inf), np.full(size, np.inf))
    start = FaceState(
        Pose(1.0, rotation_from_angles(0, 0, 0), np.array([0.0, 0.0, 650.0])), np.zeros(size)
    )
    solution = minimise(start, lambda _: terms, wide, 100, settled=1e-7)
    assert solution.converged
    flat = [e for pair in solution.energies for e in pair]
    assert all(np.diff(flat) <= 0)
    _, hessian, gradient = normal_equations(solution.state, terms)
    assert np.abs(gradient / np.sqrt(np.diag(hessian))).max() < 1e-3


def test_box_is_respected_and_optimal(toy_model: FaceModel) -> None:
    """At a bounded minimum the gradient vanishes inside and pushes outwards at the bounds."""
    rng = np.random.default_rng(4)
    lower, upper = coefficient_bounds(toy_model)
    truth = _state(toy_model, rng)
    beyond = truth.coefficients.copy()
    beyond[-5:] = [-2.0, 4.0, 1.0, 3.5, -1.0]
    terms = [
        t._replace(kernel=PLAIN)  # type: ignore[attr-defined]
        for t in _terms(toy_model, FaceState(truth.pose, beyond), rng).values()
    ]
    start = FaceState(truth.pose, np.zeros(len(lower)))
    solution = minimise(start, lambda _: terms, Freedom(True, lower, upper), 60, settled=1e-10)
    z = solution.state.coefficients
    assert np.all((z >= lower) & (z <= upper))
    _, hessian, gradient = normal_equations(solution.state, terms)
    slope = (gradient / np.sqrt(np.diag(hessian)))[POSE_SIZE:]
    assert np.any(z == lower)
    assert np.any(z == upper)
    assert np.all(slope[z == lower] > 0)
    assert np.all(slope[z == upper] < 0)
    inside = (z > lower) & (z < upper)
    assert np.abs(slope[inside]).max() < 1e-3


def test_scale_moves_only_when_free(toy_model: FaceModel) -> None:
    rng = np.random.default_rng(5)
    state = _state(toy_model, rng)
    terms = list(_terms(toy_model, state, rng).values())
    lower, upper = coefficient_bounds(toy_model)
    start = state
    fixed = minimise(start, lambda _: terms, Freedom(False, lower, upper), 10)
    free = minimise(start, lambda _: terms, Freedom(True, lower, upper), 10)
    assert fixed.state.pose.scale == start.pose.scale
    assert free.state.pose.scale != start.pose.scale
    assert total_energy(free.state, terms) < total_energy(fixed.state, terms)


def test_behind_the_camera_costs_infinitely_much(toy_model: FaceModel) -> None:
    rng = np.random.default_rng(6)
    state = _state(toy_model, rng)
    term = _terms(toy_model, state, rng)["pixel"]
    behind = FaceState(
        Pose(1.0, state.pose.rotation, -state.pose.translation_mm), state.coefficients
    )
    assert total_energy(behind, [term]) == np.inf
