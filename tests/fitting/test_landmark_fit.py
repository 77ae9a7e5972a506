from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from toy_captures import INTRINSICS, PX_PER_MM, angle_deg, seen_landmarks, shape_error_mm, subject

from fg3d_builder.config import FitConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.surface_rows import coefficient_bounds, embedded_rows
from fg3d_builder.fitting import landmark_fit
from fg3d_builder.fitting.landmark_fit import (
    fit_landmarks,
    fitted_face,
    initial_pose,
    landmark_problem,
    solved_landmarks,
)
from fg3d_builder.fitting.map_solver import WAY_IN, Freedom, minimise_robust
from fg3d_builder.fitting.terms import FaceState, PixelTerm
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Landmarks, Pose


@pytest.mark.parametrize("seed", range(4))
def test_exact_landmarks_give_back_pose_and_coefficients(toy_model: FaceModel, seed: int) -> None:
    alpha_id, alpha_exp, pose = subject(toy_model, seed)
    vertices = pose.cam_from_obj(toy_model.shape(alpha_id, alpha_exp))
    config = FitConfig(landmark_sigma_mm=0.01 / PX_PER_MM, iterations=30)
    fit = fit_landmarks(toy_model, seen_landmarks(toy_model, vertices), INTRINSICS, config)
    assert fit.converged
    assert angle_deg(fit.pose, pose) < 0.05
    np.testing.assert_allclose(fit.pose.translation_mm, pose.translation_mm, atol=0.1)
    np.testing.assert_allclose(
        fit.alpha_id / toy_model.id_sd, alpha_id / toy_model.id_sd, atol=0.02
    )
    np.testing.assert_allclose(fit.alpha_exp, alpha_exp, atol=0.02)
    assert shape_error_mm(toy_model, fit, toy_model.shape(alpha_id, alpha_exp)) < 0.1
    assert fit.landmark_error_px < 0.02
    assert fit.pose.scale == 1.0
    assert np.isnan(fit.depth_error_mm)
    np.testing.assert_allclose(fit.shape_obj_mm, toy_model.shape(fit.alpha_id, fit.alpha_exp))


def test_with_noise_the_prior_beats_the_mean_face_and_the_unregularised_fit(
    toy_model: FaceModel,
) -> None:
    errors: dict[str, list[float]] = {"map": [], "overfit": [], "mean": []}
    for seed in range(12):
        alpha_id, alpha_exp, pose = subject(toy_model, seed)
        shape = toy_model.shape(alpha_id, alpha_exp)
        landmarks = seen_landmarks(toy_model, pose.cam_from_obj(shape), 1.5, seed)
        for name, sigma in (("map", 1.5), ("overfit", 0.01)):
            config = FitConfig(landmark_sigma_mm=sigma / PX_PER_MM)
            fit = fit_landmarks(toy_model, landmarks, INTRINSICS, config)
            errors[name].append(shape_error_mm(toy_model, fit, shape))
            if name == "map":
                # 1.5 px per coordinate; the fit absorbs 23 of 102 degrees of freedom.
                assert 1.2 < fit.landmark_error_px < 2.4
        errors["mean"].append(float(np.linalg.norm(toy_model.mean - shape, axis=1).mean()))
    mean = {name: np.mean(values) for name, values in errors.items()}
    assert mean["map"] < 0.65 * mean["mean"]
    assert mean["map"] < 0.85 * mean["overfit"]


@pytest.mark.parametrize("size", [0.25, 4.0])
def test_the_picture_size_does_not_matter(toy_model: FaceModel, size: float) -> None:
    """Landmarks of the same face in a smaller or larger picture give the same fit."""
    alpha_id, alpha_exp, pose = subject(toy_model, 1)
    vertices = pose.cam_from_obj(toy_model.shape(alpha_id, alpha_exp))
    landmarks = seen_landmarks(toy_model, vertices, 2.0, 1)
    scaled = Landmarks("ibug68", size * landmarks.points_px, landmarks.confidence, "test")
    camera = np.diag([size, size, 1.0]) @ INTRINSICS
    one = fit_landmarks(toy_model, landmarks, INTRINSICS, FitConfig())
    other = fit_landmarks(toy_model, scaled, camera, FitConfig())
    np.testing.assert_allclose(other.shape_obj_mm, one.shape_obj_mm, atol=1e-3)
    np.testing.assert_allclose(other.pose.translation_mm, one.pose.translation_mm, atol=1e-2)


@pytest.mark.parametrize("seed", range(6))
def test_one_landmark_in_six_may_be_wrong(toy_model: FaceModel, seed: int) -> None:
    alpha_id, alpha_exp, pose = subject(toy_model, seed)
    shape = toy_model.shape(alpha_id, alpha_exp)
    clean = seen_landmarks(toy_model, pose.cam_from_obj(shape), 1.0, seed)
    rng = np.random.default_rng(seed)
    px = clean.points_px.copy()
    px[rng.choice(np.arange(17, 68), 8, replace=False)] += rng.uniform(20, 90, (8, 2))
    config = FitConfig(landmark_sigma_mm=1.0 / PX_PER_MM)
    good = fit_landmarks(toy_model, clean, INTRINSICS, config)
    bad = fit_landmarks(
        toy_model, Landmarks("ibug68", px, clean.confidence, "test"), INTRINSICS, config
    )
    assert bad.converged
    assert angle_deg(bad.pose, good.pose) < 1.5
    moved = bad.pose.cam_from_obj(bad.shape_obj_mm) - good.pose.cam_from_obj(good.shape_obj_mm)
    moved_px = px_from_cam(bad.pose.cam_from_obj(bad.shape_obj_mm), INTRINSICS)
    moved_px -= px_from_cam(good.pose.cam_from_obj(good.shape_obj_mm), INTRINSICS)
    assert np.median(np.linalg.norm(moved_px, axis=1)[toy_model.reliable]) < 1.5
    assert np.isfinite(moved).all()
    # The error reported hides no outlier.
    assert bad.landmark_error_px > 15


def test_marching_contour_corrects_the_width_of_a_turned_face(toy_model: FaceModel) -> None:
    """Jaw landmarks on the far outline constrain the cheek that inner points do not see."""
    gained = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        shape = toy_model.shape(toy_model.id_sd * rng.normal(size=12))
        pose = Pose(1.0, rotation_from_angles(0, 35, 0), np.array([0.0, 0.0, 600.0]))
        vertices = pose.cam_from_obj(shape)
        landmarks = seen_landmarks(toy_model, vertices, 1.0, seed)
        with_jaw = Landmarks(
            "ibug68", landmarks.points_px.copy(), landmarks.confidence.copy(), "test"
        )
        with_jaw.points_px[:10] = _far_outline(vertices)
        with_jaw.confidence[:10] = 1.0
        config = FitConfig(landmark_sigma_mm=1.0 / PX_PER_MM, contour_sigma_mm=1.0 / PX_PER_MM)
        errors = []
        for points in (landmarks, with_jaw):
            fit = fit_landmarks(toy_model, points, INTRINSICS, config)
            px = px_from_cam(fit.pose.cam_from_obj(fit.shape_obj_mm), INTRINSICS)
            outline = ConvexHull(px)
            off = with_jaw.points_px[:10] @ outline.equations[:, :2].T + outline.equations[:, 2]
            errors.append(np.abs(off.max(axis=1)).mean())
        gained.append(errors)
    without, with_contour = np.mean(gained, axis=0)
    assert with_contour < 1.0
    assert with_contour < 0.4 * without


def _far_outline(vertices_cam: np.ndarray) -> np.ndarray:
    """Ten points down the image-right outline (the far side at yaw > 0), below the eyes."""
    px = px_from_cam(vertices_cam, INTRINSICS)
    hull = ConvexHull(px)
    heights = np.linspace(250.0, 360.0, 10)
    rays = np.stack([np.ones(10), np.zeros(10)], axis=1)
    inside = np.stack([np.full(10, px[:, 0].mean()), heights], axis=1)
    level = inside @ hull.equations[:, :2].T + hull.equations[:, 2]
    speed = rays @ hull.equations[:, :2].T
    with np.errstate(divide="ignore"):
        reach = np.where(speed > 0, -level / speed, np.inf).min(axis=1)
    return inside + reach[:, None] * rays


@pytest.mark.parametrize("seed", range(5))
def test_initial_pose_is_near_the_truth_off_centre_and_turned(
    toy_model: FaceModel, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    angles = rng.uniform([-25, -50, -40], [25, 50, 40])
    pose = Pose(1.0, rotation_from_angles(*angles), np.array([*rng.uniform(-150, 150, 2), 500.0]))
    landmarks = seen_landmarks(toy_model, pose.cam_from_obj(toy_model.mean))
    problem = landmark_problem(toy_model, landmarks, INTRINSICS, FitConfig())
    found = initial_pose(problem)
    assert angle_deg(found, pose) < 0.1
    np.testing.assert_allclose(found.translation_mm, pose.translation_mm, atol=1.0)


def test_single_precision_and_a_settled_start_cost_nothing_against_the_noise(
    toy_model: FaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha_id, alpha_exp, pose = subject(toy_model, 5)
    vertices = pose.cam_from_obj(toy_model.shape(alpha_id, alpha_exp))
    embedding = toy_model.embeddings["ibug68"]
    found, exact = [], []
    for seed in range(20):
        landmarks = seen_landmarks(toy_model, vertices, 1.5, seed)
        fit = solved_landmarks(toy_model, landmarks, INTRINSICS, FitConfig())
        found.append(np.concatenate([fit.alpha_id, fit.alpha_exp, fit.pose.translation_mm]))
        with monkeypatch.context() as patch:
            patch.setattr(landmark_fit, "SETTLED_SHARE", 0.0)
            problem = landmark_problem(toy_model, landmarks, INTRINSICS, FitConfig())
        rows = embedded_rows(toy_model, embedding.subset(problem.point_index))
        problem = problem._replace(rows=rows)
        lower, upper = coefficient_bounds(toy_model)
        solution = minimise_robust(
            FaceState(initial_pose(problem), np.zeros(len(lower))),
            problem.terms,
            Freedom(False, lower, upper),
            FitConfig().iterations,
        )
        wanted = fitted_face(toy_model, problem, solution)
        exact.append(
            np.concatenate([wanted.alpha_id, wanted.alpha_exp, wanted.pose.translation_mm])
        )
    noise = np.std(exact, axis=0)
    assert (np.abs(np.array(found) - exact).max(axis=0) < 0.1 * noise + 1e-9).all()


def test_the_shape_is_that_of_the_coefficients(toy_model: FaceModel) -> None:
    alpha_id, alpha_exp, pose = subject(toy_model, 2)
    vertices = pose.cam_from_obj(toy_model.shape(alpha_id, alpha_exp))
    landmarks = seen_landmarks(toy_model, vertices, 1.0)
    fit = fit_landmarks(toy_model, landmarks, INTRINSICS, FitConfig())
    bare = solved_landmarks(toy_model, landmarks, INTRINSICS, FitConfig())
    np.testing.assert_array_equal(fit.alpha_id, bare.alpha_id)
    np.testing.assert_array_equal(fit.pose.rotation, bare.pose.rotation)
    np.testing.assert_array_equal(fit.shape_obj_mm, toy_model.shape(bare.alpha_id, bare.alpha_exp))


def test_two_runs_are_identical(toy_model: FaceModel) -> None:
    alpha_id, alpha_exp, pose = subject(toy_model, 0)
    vertices = pose.cam_from_obj(toy_model.shape(alpha_id, alpha_exp))
    landmarks = seen_landmarks(toy_model, vertices, 2.0)
    a, b = (fit_landmarks(toy_model, landmarks, INTRINSICS, FitConfig()) for _ in range(2))
    np.testing.assert_array_equal(a.shape_obj_mm, b.shape_obj_mm)
    np.testing.assert_array_equal(a.pose.rotation, b.pose.rotation)


def test_too_few_landmarks_and_nonsense_are_failures_with_a_reason(toy_model: FaceModel) -> None:
    _, _, pose = subject(toy_model, 1)
    good = seen_landmarks(toy_model, pose.cam_from_obj(toy_model.mean))
    few = Landmarks("ibug68", good.points_px, good.confidence * (np.arange(68) < 20), "test")
    with pytest.raises(CaptureError) as failure:
        fit_landmarks(toy_model, few, INTRINSICS, FitConfig())
    assert failure.value.code == "too_few_landmarks"
    noise = np.random.default_rng(0).uniform(0, 400, (68, 2))
    with pytest.raises(CaptureError) as failure:
        fit_landmarks(
            toy_model, Landmarks("ibug68", noise, np.ones(68), "test"), INTRINSICS, FitConfig()
        )
    assert failure.value.code == "fit_diverged"


def test_an_unknown_scheme_is_named(toy_model: FaceModel) -> None:
    landmarks = Landmarks("mediapipe478", np.zeros((478, 2)), np.ones(478), "test")
    with pytest.raises(ValueError, match="'toy' has no landmark embedding 'mediapipe478'"):
        fit_landmarks(toy_model, landmarks, INTRINSICS, FitConfig())


def test_jaw_points_of_a_3d_detector_stay_on_the_hidden_jaw(toy_model: FaceModel) -> None:
    pose = Pose(1.0, rotation_from_angles(0, 40, 0), np.array([0.0, 0.0, 600.0]))
    landmarks = seen_landmarks(toy_model, pose.cam_from_obj(toy_model.mean))
    landmarks.points_px[:17] = np.stack([np.linspace(200, 440, 17), np.full(17, 330.0)], axis=1)
    landmarks.confidence[:17] = 1.0
    marching = landmark_problem(toy_model, landmarks, INTRINSICS, FitConfig())
    staying = marching._replace(contour=marching.contour._replace(marches=False))
    state = FaceState(pose, np.zeros(17))
    lines = marching.contour.lines
    ends = {tuple(p) for p in lines.rows.mean[lines.ends]}
    for problem, on_jaw in ((marching, False), (staying, True)):
        _, contour = problem.terms(state, WAY_IN)
        assert isinstance(contour, PixelTerm)
        assert len(contour.rows.mean) > 5
        assert all(tuple(p) in ends for p in contour.rows.mean) == on_jaw
