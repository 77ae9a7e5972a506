"""The whole stage: capture, landmarks and coarse fit in, `Registration` out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from toy_faces import INTRINSICS, bump, make_scene

from fg3d_builder.config import RegistrationConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.records import Array, IterationRecord, Landmarks, Registration
from fg3d_builder.registration.register import has_converged, register

CONFIG = RegistrationConfig()


def face(model: FaceModel) -> Array:
    """A 3DMM face with relief that the 3DMM does not span."""
    shape = model.shape(np.array([0.5, -0.5, 0.5, 0.5]), np.array([1.0]))
    return np.asarray(shape + 3.0 * bump(model.mean, (25, 0), 22)[:, None] * [0.1, 0.0, 1.0])


@pytest.fixture(scope="module")
def registration(model: FaceModel) -> Registration:
    scene = make_scene(model, face(model), yaw=15.0, shift_mm=(0.3, -0.3, 1.0))
    return register(model, scene.capture, scene.landmarks, scene.coarse, CONFIG)


def test_eq_11_holds_exactly(model: FaceModel, registration: Registration) -> None:
    r = registration
    np.testing.assert_allclose(r.pose.cam_from_obj(r.shape_obj_mm), r.vertices_cam_mm, atol=1e-6)
    np.testing.assert_allclose(model.shape(r.alpha_id, r.alpha_exp), r.coarse_obj_mm, atol=1e-9)
    assert np.linalg.det(r.pose.rotation) == pytest.approx(1.0, abs=1e-12)
    assert r.pose.scale == 1.0
    assert r.topology_hash == model.topology_hash


def test_vertices_lie_where_the_truth_is(model: FaceModel, registration: Registration) -> None:
    truth = make_scene(model, face(model), yaw=15.0).truth_cam_mm
    seen = registration.visible & model.reliable
    error = np.linalg.norm(registration.vertices_cam_mm - truth, axis=1)[seen]
    assert error.mean() < 0.8
    assert np.nanmean(registration.surface_error_mm[seen]) < 0.1
    # The relief that the 3DMM lacks comes out as the personalized shape.
    delta = registration.delta_obj_mm[:, 2]
    assert delta[np.argmax(bump(model.mean, (25, 0), 22))] > 1.0


def test_confidence_visibility_and_errors_agree(
    model: FaceModel, registration: Registration
) -> None:
    r = registration
    assert np.all((r.confidence >= 0) & (r.confidence <= 1))
    assert np.all(r.confidence[~r.visible] == 0)
    np.testing.assert_array_equal(np.isfinite(r.surface_error_mm), r.confidence > 0)
    assert r.confidence[model.reliable & r.visible].mean() > 0.85
    assert r.confidence[~model.reliable].max() <= 0.25


def test_diagnostics_are_honest(registration: Registration) -> None:
    r = registration
    assert r.converged
    assert r.quality > 0.5  # the score knows faces; a cap with 3 mm of relief is an odd one
    assert r.landmark_error_px < 1.5
    assert [h.level for h in r.history] == sorted(h.level for h in r.history)
    # The completion holds edge points a little less than Eq. 9 does.
    assert r.history[-1].edge_rms_px == pytest.approx(r.landmark_error_px, abs=0.1)


def test_convergence_flag() -> None:
    def record(rms: float, step: float, level: int = 4) -> IterationRecord:
        return IterationRecord(level, 1.0, 1000, rms, 1.0, step)

    assert has_converged([record(1.0, 0.001)], CONFIG)
    assert has_converged([record(0.50, 0.2), record(0.49, 0.2)], CONFIG)
    assert not has_converged([record(0.9, 0.2), record(0.5, 0.2)], CONFIG)
    assert not has_converged([record(0.5, 0.2, 3), record(0.5, 0.2, 4)], CONFIG)


def test_a_wrong_coarse_fit_scores_low(model: FaceModel, registration: Registration) -> None:
    scene = make_scene(model, face(model), yaw=15.0, shift_mm=(25.0, 20.0, 5.0))
    wrong = register(model, scene.capture, scene.landmarks, scene.coarse, CONFIG)
    assert wrong.quality < 0.5 * registration.quality


def test_a_free_scale_stays_consistent(model: FaceModel) -> None:
    scene = make_scene(model, face(model))
    config = dataclasses.replace(CONFIG, fix_scale=False)
    r = register(model, scene.capture, scene.landmarks, scene.coarse, config)
    np.testing.assert_allclose(r.pose.cam_from_obj(r.shape_obj_mm), r.vertices_cam_mm, atol=1e-6)
    assert r.pose.scale == pytest.approx(1.0, abs=0.1)


def test_landmarks_that_the_model_does_not_know_are_left_out(model: FaceModel) -> None:
    scene = make_scene(model, face(model))
    other = Landmarks("other", np.zeros((5, 2)), np.ones(5), "toy")
    r = register(model, scene.capture, other, scene.coarse, CONFIG)
    assert np.isnan(r.landmark_error_px)
    assert r.quality > 0.5


@pytest.mark.parametrize(("code", "keep"), [("no_depth_on_face", 0), ("registration_failed", 12)])
def test_missing_depth_is_a_failure_with_a_reason(model: FaceModel, code: str, keep: int) -> None:
    scene = make_scene(model, face(model))
    depth = np.full_like(scene.capture.depth_mm, np.nan)
    box = (slice(240 - keep, 240 + keep), slice(320 - keep, 320 + keep))
    depth[box] = scene.capture.depth_mm[box]
    capture = dataclasses.replace(scene.capture, depth_mm=depth)
    with pytest.raises(CaptureError) as caught:
        register(model, capture, scene.landmarks, scene.coarse, CONFIG)
    assert caught.value.code == code


def test_intrinsics_other_than_the_toys_work(model: FaceModel, registration: Registration) -> None:
    """Depth and landmarks cropped to the face, principal point moved along: same result."""
    scene = make_scene(model, face(model), yaw=15.0, shift_mm=(0.3, -0.3, 1.0))
    moved = INTRINSICS.copy()
    moved[:2, 2] -= [150, 50]
    capture = dataclasses.replace(
        scene.capture,
        depth_mm=scene.capture.depth_mm[50:430, 150:490],
        rgb=scene.capture.rgb[50:430, 150:490],
        intrinsics=moved,
    )
    landmarks = dataclasses.replace(
        scene.landmarks, points_px=scene.landmarks.points_px - np.array([150, 50])
    )
    cropped = register(model, capture, landmarks, scene.coarse, CONFIG)
    np.testing.assert_allclose(cropped.vertices_cam_mm, registration.vertices_cam_mm, atol=0.02)
