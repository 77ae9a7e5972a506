from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_captures import (
    INTRINSICS,
    PX_PER_MM,
    angle_deg,
    capture_of,
    seen_landmarks,
    shape_error_mm,
    subject,
)

from fg3d_builder.config import FitConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fitting.depth_fit import fit_capture, sample_vertices
from fg3d_builder.fitting.landmark_fit import fit_landmarks
from fg3d_builder.geometry.meshes import triangle_normals


@pytest.mark.parametrize("seed", range(3))
def test_exact_depth_gives_back_pose_and_shape(toy_model: FaceModel, seed: int) -> None:
    alpha_id, alpha_exp, pose = subject(toy_model, seed)
    shape = toy_model.shape(alpha_id, alpha_exp)
    vertices = pose.cam_from_obj(shape)
    config = FitConfig(landmark_sigma_mm=0.01 / PX_PER_MM, depth_sigma_mm=0.01, iterations=30)
    landmarks = seen_landmarks(toy_model, vertices)
    fit = fit_capture(toy_model, capture_of(toy_model, vertices), landmarks, config)
    assert fit.converged
    assert angle_deg(fit.pose, pose) < 0.05
    np.testing.assert_allclose(fit.pose.translation_mm, pose.translation_mm, atol=0.1)
    assert shape_error_mm(toy_model, fit, shape) < 0.1
    assert fit.depth_error_mm < 0.02
    assert fit.landmark_error_px < 0.05


def test_depth_adds_what_landmarks_cannot_tell(toy_model: FaceModel) -> None:
    """With noise on both: position in space well below a millimetre, shape much better."""
    position, shapes = [], []
    for seed in range(5):
        alpha_id, alpha_exp, pose = subject(toy_model, seed)
        shape = toy_model.shape(alpha_id, alpha_exp)
        vertices = pose.cam_from_obj(shape)
        landmarks = seen_landmarks(toy_model, vertices, 1.5, seed)
        config = FitConfig(landmark_sigma_mm=1.5 / PX_PER_MM, depth_sigma_mm=1.0)
        with_depth = fit_capture(
            toy_model, capture_of(toy_model, vertices, 1.0, seed), landmarks, config
        )
        without = fit_landmarks(toy_model, landmarks, INTRINSICS, config)
        errors = [
            np.linalg.norm(f.pose.cam_from_obj(f.shape_obj_mm) - vertices, axis=1)[
                toy_model.reliable
            ].mean()
            for f in (without, with_depth)
        ]
        position.append(errors)
        shapes.append([shape_error_mm(toy_model, f, shape) for f in (without, with_depth)])
        assert with_depth.depth_error_mm < 0.5
    landmark_only, joint = np.mean(position, axis=0)
    assert joint < 0.75
    assert joint < 0.25 * landmark_only
    assert np.mean(shapes, axis=0)[1] < 0.5 * np.mean(shapes, axis=0)[0]


@pytest.mark.parametrize("seed", range(3))
def test_occluder_and_wrong_landmarks_do_not_pull(toy_model: FaceModel, seed: int) -> None:
    alpha_id, alpha_exp, pose = subject(toy_model, seed)
    vertices = pose.cam_from_obj(toy_model.shape(alpha_id, alpha_exp))
    landmarks = seen_landmarks(toy_model, vertices, 1.0, seed)
    capture = capture_of(toy_model, vertices, 0.5, seed)
    config = FitConfig(landmark_sigma_mm=1.0 / PX_PER_MM, depth_sigma_mm=1.0)
    clean = fit_capture(toy_model, capture, landmarks, config)
    # A bar 40 mm in front of the forehead, a hole in a cheek, eight landmarks off.
    depth = capture.depth_mm.copy()
    nose = seen_landmarks(toy_model, vertices).points_px[30].round().astype(int)
    depth[nose[1] - 75 : nose[1] - 55] -= 40.0
    depth[nose[1] : nose[1] + 25, nose[0] + 20 : nose[0] + 45] = np.nan
    rng = np.random.default_rng(seed)
    landmarks.points_px[rng.choice(np.arange(17, 68), 8, False)] += rng.uniform(20, 90, (8, 2))
    fit = fit_capture(toy_model, replace(capture, depth_mm=depth), landmarks, config)
    moved = np.linalg.norm(
        fit.pose.cam_from_obj(fit.shape_obj_mm) - clean.pose.cam_from_obj(clean.shape_obj_mm),
        axis=1,
    )[toy_model.reliable]
    assert np.mean(moved) < 0.6
    assert fit.depth_error_mm < 0.6


def test_free_scale_finds_the_unit_of_a_capture(toy_model: FaceModel) -> None:
    alpha_id, alpha_exp, pose = subject(toy_model, 2)
    larger = replace(pose, scale=1.25)
    vertices = larger.cam_from_obj(toy_model.shape(alpha_id, alpha_exp))
    capture = capture_of(toy_model, vertices)
    landmarks = seen_landmarks(toy_model, vertices)
    config = FitConfig(
        landmark_sigma_mm=0.3 / PX_PER_MM, depth_sigma_mm=0.3, fix_scale=False, iterations=30
    )
    free = fit_capture(toy_model, capture, landmarks, config)
    assert free.pose.scale == pytest.approx(1.25, rel=0.02)
    fixed = fit_capture(toy_model, capture, landmarks, replace(config, fix_scale=True))
    assert fixed.pose.scale == 1.0
    assert fixed.depth_error_mm > 2 * free.depth_error_mm


def test_without_use_depth_it_is_the_landmark_fit(toy_model: FaceModel) -> None:
    alpha_id, alpha_exp, pose = subject(toy_model, 0)
    vertices = pose.cam_from_obj(toy_model.shape(alpha_id, alpha_exp))
    landmarks = seen_landmarks(toy_model, vertices, 1.0)
    config = FitConfig(use_depth=False)
    a = fit_capture(toy_model, capture_of(toy_model, vertices), landmarks, config)
    b = fit_landmarks(toy_model, landmarks, INTRINSICS, config)
    np.testing.assert_array_equal(a.shape_obj_mm, b.shape_obj_mm)
    assert np.isnan(a.depth_error_mm)


def test_no_depth_on_the_face_is_a_failure_with_a_reason(toy_model: FaceModel) -> None:
    alpha_id, alpha_exp, pose = subject(toy_model, 0)
    vertices = pose.cam_from_obj(toy_model.shape(alpha_id, alpha_exp))
    landmarks = seen_landmarks(toy_model, vertices)
    capture = capture_of(toy_model, vertices)
    nothing = np.full_like(capture.depth_mm, np.nan)
    wall = np.where(np.isfinite(capture.depth_mm), np.nan, 1500.0).astype(np.float32)
    for depth in (nothing, wall):
        with pytest.raises(CaptureError) as failure:
            fit_capture(toy_model, replace(capture, depth_mm=depth), landmarks, FitConfig())
        assert failure.value.code == "no_depth_on_face"


def test_a_wall_instead_of_the_face_is_refused(toy_model: FaceModel) -> None:
    """The sensor looked through the face, so to say: landmarks lie on a plane behind it."""
    alpha_id, alpha_exp, pose = subject(toy_model, 0)
    vertices = pose.cam_from_obj(toy_model.shape(alpha_id, alpha_exp))
    capture = capture_of(toy_model, vertices)
    wall = replace(capture, depth_mm=np.full_like(capture.depth_mm, 1500.0))
    with pytest.raises(CaptureError):
        fit_capture(toy_model, wall, seen_landmarks(toy_model, vertices), FitConfig())


def test_sample_is_reliable_and_even_over_the_area(toy_model: FaceModel) -> None:
    sample = sample_vertices(toy_model, toy_model.reliable, 400)
    assert toy_model.reliable[sample].all()
    assert len(np.unique(sample)) == len(sample)
    third = np.linalg.norm(triangle_normals(toy_model.mean, toy_model.triangles), axis=1) / 6
    area = np.bincount(toy_model.triangles.ravel(), np.repeat(third, 3), toy_model.vertex_count)
    upper = toy_model.mean[:, 1] > 0
    share = area[toy_model.reliable & upper].sum() / area[toy_model.reliable].sum()
    assert np.mean(upper[sample]) == pytest.approx(share, abs=0.08)
    with pytest.raises(ValueError, match="no reliable region"):
        sample_vertices(toy_model, np.zeros(toy_model.vertex_count, bool), 10)
