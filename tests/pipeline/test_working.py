"""Captures cut, reduced and put back to their depth's resolution register as they were."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np
import pytest
from toy_build import build_model, toy_capture

from fg3d_builder.config import BuildConfig, RegistrationConfig, StiffnessLevel
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import px_of_other_grid
from fg3d_builder.pipeline.register import fit_face, register_capture, register_face
from fg3d_builder.pipeline.working import FACE_PX, working_capture
from fg3d_builder.records import Array, Capture, Landmarks, Registration
from fg3d_builder.rendering.depth_surface import DepthSurface
from fg3d_builder.report.figures import capture_figures

LEVELS = (StiffnessLevel(50.0, 5.0, 2), StiffnessLevel(5.0, 2.0, 2))


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return build_model()


@pytest.fixture(scope="module")
def capture(model: FaceModel) -> Capture:
    return toy_capture(model, 0, 0)


def settings() -> BuildConfig:
    return BuildConfig(registration=RegistrationConfig(levels=LEVELS))


def landmarks_of(capture: Capture) -> Landmarks:
    assert capture.landmarks is not None
    return capture.landmarks


def enlarged(capture: Capture, factor_x: float, factor_y: float, how: int) -> Capture:
    """The same view with more pixels: a smooth photo over enlarged depth, in 0.1 mm."""
    height, width = capture.depth_mm.shape
    size = np.rint([width * factor_x, height * factor_y]).astype(int)
    factor = size / [width, height]
    camera = capture.intrinsics.copy()
    camera[:2] *= factor[:, None]
    camera[:2, 2] += (factor - 1) / 2
    depth = cv2.resize(np.nan_to_num(capture.depth_mm), size.tolist(), interpolation=how)
    depth = np.round(depth, 1)
    depth[depth <= 0] = np.nan
    landmarks = landmarks_of(capture)
    points = px_of_other_grid(landmarks.points_px, capture.intrinsics, camera)
    return dataclasses.replace(
        capture,
        rgb=cv2.resize(capture.rgb, size.tolist(), interpolation=cv2.INTER_CUBIC),
        depth_mm=depth,
        intrinsics=camera,
        landmarks=dataclasses.replace(landmarks, points_px=points),
    )


def registered(model: FaceModel, capture: Capture) -> Registration:
    landmarks = landmarks_of(capture)
    found = register_capture(model, capture, settings(), landmarks=landmarks)
    return found.registration


def difference_mm(model: FaceModel, a: Registration, b: Registration) -> Array:
    face = a.visible & b.visible & model.reliable
    return np.asarray(np.linalg.norm(a.vertices_cam_mm - b.vertices_cam_mm, axis=1)[face])


def extent_px(capture: Capture) -> float:
    landmarks = landmarks_of(capture)
    return float(np.ptp(landmarks.points_px[landmarks.confidence > 0], axis=0).max())


def test_an_ordinary_capture_is_left_alone(capture: Capture) -> None:
    working = working_capture(capture, landmarks_of(capture))
    assert working.capture is capture
    assert working.landmarks is capture.landmarks
    assert working.scale == 1.0
    assert working.surface.sampling.kind == "measured"
    assert working.surface.sampling.factor_x == working.surface.sampling.factor_y == 1.0
    plain = DepthSurface.from_depth(capture.depth_mm, capture.intrinsics)
    np.testing.assert_array_equal(working.surface.normals_cam, plain.normals_cam)
    np.testing.assert_array_equal(working.surface.border, plain.border)


@pytest.mark.parametrize(
    ("kind", "how", "factors"),
    [
        ("repeated", cv2.INTER_NEAREST, (2.0, 2.0)),
        ("repeated", cv2.INTER_NEAREST, (7.5, 7.5)),
        ("interpolated", cv2.INTER_LINEAR, (3.0, 3.0)),
        ("interpolated", cv2.INTER_LINEAR, (7.5, 7.5)),
    ],
)
def test_enlarged_depth_registers_as_it_was_measured(
    model: FaceModel, capture: Capture, kind: str, how: int, factors: tuple[float, float]
) -> None:
    large = enlarged(capture, *factors, how)
    before, after = registered(model, capture), registered(model, large)
    sampling = after.depth_sampling
    assert sampling is not None
    assert sampling.kind == kind
    assert (sampling.factor_x, sampling.factor_y) == pytest.approx(factors, rel=2e-3)
    # 0.3 mm of noise on a face 150 mm wide; rounding and half a pixel are what differs.
    assert np.median(difference_mm(model, before, after)) < 0.1
    # Pixels are those of the large photo.
    assert after.landmark_error_px == pytest.approx(factors[0] * before.landmark_error_px, rel=0.3)
    assert after.history[-1].edge_rms_px == pytest.approx(
        factors[0] * before.history[-1].edge_rms_px, rel=0.3
    )


def test_the_kind_of_depth_is_among_the_figures(model: FaceModel, capture: Capture) -> None:
    large = enlarged(capture, 2.0, 2.0, cv2.INTER_NEAREST)
    landmarks = landmarks_of(large)
    found = register_capture(model, large, settings(), landmarks=landmarks)
    row = capture_figures(model, large, found.coarse, found.coarse, found.registration, {})
    figure = json.loads(json.dumps(row))["depth"]
    assert figure["kind"] == "repeated"
    assert figure["factor_x"] == pytest.approx(2.0)
    assert figure["bridged"] == 0.0


def test_what_is_worked_on_is_bounded_and_shows_the_same(capture: Capture) -> None:
    large = enlarged(capture, 12.0, 12.0, cv2.INTER_NEAREST)
    working = working_capture(large, landmarks_of(large))
    box = np.ptp(working.landmarks.points_px[working.landmarks.confidence > 0], axis=0)
    assert box.max() == pytest.approx(FACE_PX, abs=2)
    assert working.scale == pytest.approx(FACE_PX / extent_px(large), rel=0.01)
    assert working.surface.valid.shape == capture.depth_mm.shape
    np.testing.assert_allclose(working.surface.intrinsics, capture.intrinsics, atol=1e-6)
    # Colours where the landmarks are, and depth at the nearest pixels.
    before = np.rint(landmarks_of(capture).points_px).astype(int)
    after = np.rint(working.landmarks.points_px).astype(int)
    used = landmarks_of(capture).confidence > 0
    for image, small, limit in (
        (working.capture.rgb, capture.rgb, 12.0),
        (working.capture.depth_mm, capture.depth_mm, 1.5),
    ):
        there = image[after[used, 1], after[used, 0]].astype(float)
        here = small[before[used, 1], before[used, 0]].astype(float)
        assert np.nanmedian(np.abs(there - here)) < limit


def test_a_small_face_in_a_large_image_is_cut_out(model: FaceModel, capture: Capture) -> None:
    """Nothing is scaled, and the registration stays where it was in the camera frame."""
    height, width = capture.depth_mm.shape
    rows, columns = 5 * height, 4 * width
    top, left = 3 * height, 2 * width
    rgb = np.full((rows, columns, 3), 60, np.uint8)
    depth = np.full((rows, columns), np.nan, np.float32)
    rgb[top : top + height, left : left + width] = capture.rgb
    depth[top : top + height, left : left + width] = capture.depth_mm
    camera = capture.intrinsics.copy()
    camera[:2, 2] += [left, top]
    landmarks = landmarks_of(capture)
    moved = dataclasses.replace(landmarks, points_px=landmarks.points_px + np.array([left, top]))
    large = dataclasses.replace(
        capture, rgb=rgb, depth_mm=depth, intrinsics=camera, landmarks=moved
    )
    working = working_capture(large, moved)
    assert working.scale == 1.0
    assert working.capture.rgb.shape[0] * working.capture.rgb.shape[1] < 0.4 * rows * columns
    before, after = registered(model, capture), registered(model, large)
    assert difference_mm(model, before, after).max() < 0.05
    assert after.landmark_error_px == pytest.approx(before.landmark_error_px, rel=0.01)


def test_finely_measured_depth_is_averaged(model: FaceModel, capture: Capture) -> None:
    """Noise of its own at every pixel of a large image is no enlargement."""
    large = enlarged(capture, 9.0, 9.0, cv2.INTER_CUBIC)
    smooth = cv2.GaussianBlur(large.depth_mm, (0, 0), 9.0)
    noise = 0.6 * np.random.default_rng(3).standard_normal(smooth.shape)
    fine = dataclasses.replace(large, depth_mm=(smooth + noise).astype(np.float32))
    working = working_capture(fine, landmarks_of(fine))
    sampling = working.surface.sampling
    assert sampling.kind == "reduced"
    assert sampling.factor_x == np.ceil(extent_px(fine) / FACE_PX)
    on_face = working.surface.valid & ~working.surface.border
    assert np.median(working.surface.noise_mm[on_face]) == pytest.approx(
        0.6 / sampling.factor_x, rel=0.25
    )


def test_steps_alone_work_on_the_same(model: FaceModel, capture: Capture) -> None:
    large = enlarged(capture, 7.5, 7.5, cv2.INTER_NEAREST)
    landmarks = landmarks_of(large)
    whole = register_capture(model, large, settings(), landmarks=landmarks)
    coarse = fit_face(model, large, landmarks, settings().fit)
    alone = register_face(model, large, landmarks, coarse, settings().registration)
    assert coarse.landmark_error_px == whole.coarse.landmark_error_px
    np.testing.assert_array_equal(alone.vertices_cam_mm, whole.registration.vertices_cam_mm)
