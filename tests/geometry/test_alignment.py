from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from fg3d_builder.geometry.alignment import align_least_distances, align_similarity
from fg3d_builder.records import Pose


def _random_pose(rng: np.random.Generator, scale: float) -> Pose:
    rotation = Rotation.from_rotvec(rng.normal(size=3)).as_matrix()
    return Pose(scale, rotation, rng.normal(size=3) * 300)


def _angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(Rotation.from_matrix(a.T @ b).magnitude()))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(3, 40),
    scale=st.floats(0.1, 10.0),
    fix_scale=st.booleans(),
)
def test_exact_points_give_back_the_transform(
    seed: int, count: int, scale: float, fix_scale: bool
) -> None:
    rng = np.random.default_rng(seed)
    scale = 1.0 if fix_scale else scale
    truth = _random_pose(rng, scale)
    source = rng.normal(size=(count, 3)) * 50
    found = align_similarity(
        source, truth.cam_from_obj(source), rng.uniform(0.1, 1, count), fix_scale
    )
    assert found.scale == pytest.approx(scale, rel=1e-9)
    assert np.linalg.det(found.rotation) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(found.rotation, truth.rotation, atol=1e-7)
    np.testing.assert_allclose(found.cam_from_obj(source), truth.cam_from_obj(source), atol=1e-5)


def test_is_the_weighted_least_squares_minimum() -> None:
    rng = np.random.default_rng(3)
    source, target = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    weights = rng.uniform(0, 2, 20)
    for fix_scale in (False, True):
        found = align_similarity(source, target, weights, fix_scale)

        def energy(pose: Pose) -> float:
            return float(weights @ ((pose.cam_from_obj(source) - target) ** 2).sum(axis=1))

        best = energy(found)
        for _ in range(200):
            turn = Rotation.from_rotvec(rng.normal(size=3) * 0.01).as_matrix()
            scale = found.scale if fix_scale else found.scale * np.exp(rng.normal() * 0.01)
            shift = rng.normal(size=3) * 0.01
            other = Pose(scale, turn @ found.rotation, found.translation_mm + shift)
            assert energy(other) >= best


def test_a_mirrored_target_still_gives_a_proper_rotation() -> None:
    source = np.random.default_rng(0).normal(size=(10, 3))
    found = align_similarity(source, source * [-1, 1, 1])
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)


def test_points_in_one_plane_determine_the_rotation() -> None:
    rng = np.random.default_rng(5)
    source = rng.normal(size=(8, 3)) * [40, 30, 0]
    truth = _random_pose(rng, 1.3)
    found = align_similarity(source, truth.cam_from_obj(source))
    np.testing.assert_allclose(found.rotation, truth.rotation, atol=1e-9)


def test_points_without_weight_may_be_nan() -> None:
    rng = np.random.default_rng(1)
    source = rng.normal(size=(6, 3))
    target = source + np.array([1.0, 2.0, 3.0])
    target[2] = np.nan
    found = align_similarity(source, target, np.array([1, 1, 0, 1, 1, 1.0]))
    np.testing.assert_allclose(found.translation_mm, [1, 2, 3], atol=1e-12)


@pytest.mark.parametrize(
    ("source", "weights", "message"),
    [
        (np.outer(np.arange(5.0), [1, 2, 3]), None, "line"),
        (np.ones((5, 3)), None, "coincide"),
        (np.eye(3), np.array([1.0, 1.0, 0.0]), "three"),
        (np.eye(3), np.array([1.0, 1.0, -1.0]), "non-negative"),
        (np.full((3, 3), np.nan), None, "finite"),
        (np.zeros((3, 2)), None, "point sets"),
    ],
)
def test_undetermined_input_is_refused(
    source: np.ndarray, weights: np.ndarray | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        align_similarity(source, source, weights)


def _mean_distance(pose: Pose, source: np.ndarray, target: np.ndarray, w: np.ndarray) -> float:
    return float(w @ np.linalg.norm(pose.cam_from_obj(source) - target, axis=1) / w.sum())


@pytest.mark.parametrize("fix_scale", [False, True])
@pytest.mark.parametrize("wrong", [0, 20])
def test_least_distances_are_what_a_general_optimiser_finds(fix_scale: bool, wrong: int) -> None:
    rng = np.random.default_rng(17)
    source, w = rng.normal(size=(80, 3)) * 50, rng.uniform(0.2, 1, 80)
    truth = _random_pose(rng, 1.0 if fix_scale else 1.3)
    target = truth.cam_from_obj(source) + rng.normal(size=(80, 3)) * 2
    target[:wrong] += rng.normal(size=(wrong, 3)) * 40
    found = align_least_distances(source, target, w, fix_scale)
    squares = align_similarity(source, target, w, fix_scale)

    def pose_of(x: np.ndarray) -> Pose:
        turn = Rotation.from_rotvec(x[:3]).as_matrix() @ squares.rotation
        scale = 1.0 if fix_scale else squares.scale * np.exp(x[6])
        return Pose(scale, turn, squares.translation_mm + 100 * x[3:6])

    optimum = minimize(
        lambda x: _mean_distance(pose_of(x), source, target, w), np.zeros(7), tol=1e-12
    )
    assert found.converged
    assert found.mean_distance_mm == pytest.approx(
        _mean_distance(found.pose, source, target, w), rel=1e-12
    )
    assert found.mean_distance_mm == pytest.approx(optimum.fun, rel=1e-6)
    assert found.mean_distance_mm < _mean_distance(squares, source, target, w)
    assert np.linalg.det(found.pose.rotation) == pytest.approx(1.0, abs=1e-12)


def test_least_distances_pass_through_the_majority() -> None:
    """Where most points fit exactly the others do not move the result, however far they are."""
    rng = np.random.default_rng(18)
    truth = _random_pose(rng, 0.7)
    source = rng.normal(size=(100, 3)) * 50
    target = truth.cam_from_obj(source)
    target[:25] += rng.normal(size=(25, 3)) * 30
    found = align_least_distances(source, target)
    assert found.converged
    np.testing.assert_allclose(
        found.pose.cam_from_obj(source), truth.cam_from_obj(source), atol=1e-3
    )
    exact = align_least_distances(source, truth.cam_from_obj(source))
    assert exact.converged
    assert exact.mean_distance_mm < 1e-9


def test_least_distances_say_when_they_did_not_converge() -> None:
    rng = np.random.default_rng(19)
    source, target = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    found = align_least_distances(source, target, iterations=1)
    assert found.iterations == 1
    assert not found.converged
