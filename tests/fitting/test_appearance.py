"""Fitting to the colours of an image whose albedo, light and geometry are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from toy_captures import HEIGHT, INTRINSICS, WIDTH, capture_of, seen_landmarks

from fg3d_builder.config import FitConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fitting.appearance import (
    AppearanceTerm,
    FaceImage,
    appearance_term,
    settled_landmarks,
)
from fg3d_builder.fitting.depth_fit import fit_capture
from fg3d_builder.fitting.look import (
    Look,
    Misfit,
    SamplingPlan,
    appearance_sample,
    fit_look,
    harmonics,
)
from fg3d_builder.fitting.terms import FaceState
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array, Capture, CoarseFit, Landmarks, Pose
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.rendering.shading import Light, phong, srgb_from_linear

LIGHT = Light(np.array([0.5, 0.5, 0.45]), np.full(3, 0.6), np.array([0.36, -0.48, -0.8]))
POSE = Pose(1.0, rotation_from_angles(5.0, -8.0, 2.0), np.array([5.0, -8.0, 560.0]))


@pytest.fixture(scope="module")
def painted(toy_model: FaceModel) -> FaceModel:
    """The toy model with patches of colour: a mean, and two modes that change them."""
    x, y = toy_model.mean[:, 0] / 14.0, toy_model.mean[:, 1] / 12.0
    waves = np.stack([np.sin(x) * np.cos(y), np.sin(1.3 * x + y), np.cos(0.7 * x - 1.2 * y)], 1)
    mean = np.clip(0.4 + 0.12 * waves[:, [0]] + 0.05 * waves, 0.05, 0.9)
    tones = np.stack([np.tile([[0.1, 0.08, 0.07]], (len(x), 1)), 0.04 * waves[:, [1, 1, 2]]], 2)
    return dataclasses.replace(
        toy_model, albedo_mean=mean, albedo_basis=tones, albedo_sd=np.ones(2)
    )


def rendered(model: FaceModel, vertices_cam: Array, albedo: Array) -> Array:
    """The image of a face in front of grey."""
    fragments = rasterize(vertices_cam, model.triangles, INTRINSICS, HEIGHT, WIDTH)
    normals = vertex_normals(vertices_cam, model.triangles)
    away = -vertices_cam / np.linalg.norm(vertices_cam, axis=1, keepdims=True)
    linear = interpolate(fragments, model.triangles, phong(albedo, normals, away, LIGHT))
    linear[fragments.triangle < 0] = 0.2
    return srgb_from_linear(linear)


def painted_capture(model: FaceModel, seed: int, albedo: Array | None = None) -> tuple:
    """A subject of the model as a capture with exact depth; also its vertices and seen ones."""
    rng = np.random.default_rng(seed)
    shape = model.shape(
        0.7 * model.id_sd * rng.standard_normal(len(model.id_sd)),
        rng.uniform(0, 0.6, len(model.exp_sd)),
    )
    vertices = POSE.cam_from_obj(shape)
    if albedo is None:
        albedo = model.albedo(np.array([0.8, -0.6]))
    capture = capture_of(model, vertices)
    return dataclasses.replace(capture, rgb=rendered(model, vertices, albedo)), vertices


def one_sided(model: FaceModel, vertices: Array, shift_px: float) -> Landmarks:
    """True landmarks with an error that they have in common."""
    found = seen_landmarks(model, vertices)
    shift = shift_px * np.array([0.8, 0.6])
    return dataclasses.replace(found, points_px=found.points_px + shift)


def error_mm(model: FaceModel, fit: CoarseFit, vertices: Array) -> float:
    apart = np.linalg.norm(fit.pose.cam_from_obj(fit.shape_obj_mm) - vertices, axis=1)
    return float(apart[model.reliable].mean())


def term_at_truth(model: FaceModel, capture: Capture) -> tuple[AppearanceTerm, FaceState, Misfit]:
    state = FaceState(POSE, np.zeros(len(model.id_sd) + len(model.exp_sd)))
    found = appearance_term(
        model,
        SamplingPlan.of(model),
        FaceImage.of(capture.rgb),
        INTRINSICS,
        state,
        np.ones(model.vertex_count, bool),
        vertex_normals(model.mean, model.triangles),
        0.1,
    )
    assert found is not None
    return found


def test_nine_harmonics_hold_a_diffuse_light():
    normals = np.random.default_rng(0).standard_normal((4000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    light = 0.3 + 0.7 * np.maximum(normals @ LIGHT.direction, 0.0)
    basis = harmonics(normals)
    rest = light - basis @ np.linalg.lstsq(basis, light, rcond=None)[0]
    # Basri and Jacobs (2003): order two holds more than 98 % of a point light's energy.
    assert np.sqrt(np.mean(rest**2)) < 0.03


def test_look_of_known_colours_is_found(painted):
    rng = np.random.default_rng(1)
    plan = SamplingPlan.of(painted)
    sample = appearance_sample(painted, plan, painted.reliable, 1500)
    normals = vertex_normals(painted.mean, painted.triangles)[sample.vertices]
    basis = harmonics(normals * [1.0, -1.0, -1.0])
    light = np.zeros((9, 3))
    light[:4] = [[0.8, 0.7, 0.6], [0.1, 0.1, 0.1], [-0.1, -0.05, 0.0], [-0.2, -0.2, -0.2]]
    truth = Look(np.array([0.4, -0.8]), light)
    colour = truth.shading(basis) * sample.albedo(truth.beta)
    colour[rng.random(len(colour)) < 0.1] = 0.9  # highlights
    look = fit_look(colour, sample, basis, np.ones(len(colour)))
    # Overall brightness belongs to light and tone alike: only their product is determined.
    seen = look.shading(basis) * sample.albedo(look.beta)
    expected = truth.shading(basis) * sample.albedo(truth.beta)
    assert np.median(np.abs(seen / expected - 1.0)) < 0.01
    assert abs(look.beta[1] - truth.beta[1]) < 0.1


def test_samples_stand_for_the_whole_area(painted):
    plan = SamplingPlan.of(painted)
    sample = appearance_sample(painted, plan, painted.reliable, 900)
    assert len(sample.vertices) <= 900
    assert painted.reliable[sample.vertices].all()
    assert sample.share_mm2.sum() == pytest.approx(plan.area_mm2[painted.reliable].sum(), rel=0.02)


def test_jacobian_agrees_with_differences(painted):
    # An image without sharp edges, so that slopes of pixels are slopes between pixels.
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    smooth = 0.4 + 0.15 * np.sin(x[..., None] / [41.0, 53.0, 67.0] + y[..., None] / 37.0)
    capture = capture_of(painted, POSE.cam_from_obj(painted.mean))
    term, state, _ = term_at_truth(
        painted, dataclasses.replace(capture, rgb=srgb_from_linear(smooth))
    )
    colour = smooth.astype(np.float32)
    slope_y, slope_x = np.gradient(smooth, axis=(0, 1))
    term = term._replace(
        image=FaceImage(colour, slope_x.astype(np.float32), slope_y.astype(np.float32), colour)
    )
    jacobian = term.jacobian(state)
    scale = np.abs(jacobian).max(axis=(0, 1))
    sizes = 1e-3 / np.maximum(scale, 1e-6) * np.abs(term.residual(state)).max()
    for unknown in range(jacobian.shape[2]):
        step = np.zeros(jacobian.shape[2])
        step[unknown] = min(sizes[unknown], 0.05)
        ahead, behind = term.residual(state.moved(step)), term.residual(state.moved(-step))
        slope = (ahead - behind) / (2 * step[unknown])
        away = np.abs(slope - jacobian[:, :, unknown])
        assert np.quantile(away, 0.95) <= 0.02 * max(scale[unknown], 1e-9), unknown


def test_colours_hold_what_landmarks_shift(painted):
    capture, vertices = painted_capture(painted, 3)
    landmarks = one_sided(painted, vertices, 6.0)
    with_colours = fit_capture(painted, capture, landmarks, FitConfig())
    without = fit_capture(painted, capture, landmarks, FitConfig(use_appearance=False))
    assert with_colours.appearance_trust > 0.8
    assert without.appearance_trust == 0.0
    assert error_mm(painted, with_colours, vertices) < 0.5 * error_mm(painted, without, vertices)
    again = fit_capture(painted, capture, landmarks, FitConfig())
    assert np.array_equal(again.shape_obj_mm, with_colours.shape_obj_mm)


def test_colours_that_the_albedo_does_not_explain_are_left_out(painted):
    blotches = np.random.default_rng(5).uniform(0.05, 0.9, (painted.vertex_count, 3))
    capture, vertices = painted_capture(painted, 3, blotches)
    landmarks = seen_landmarks(painted, vertices)
    fit = fit_capture(painted, capture, landmarks, FitConfig())
    without = fit_capture(painted, capture, landmarks, FitConfig(use_appearance=False))
    assert fit.appearance_trust == 0.0
    assert np.array_equal(fit.shape_obj_mm, without.shape_obj_mm)


def test_model_without_albedo_is_fitted_as_before(toy_model, painted):
    capture, vertices = painted_capture(painted, 4)
    landmarks = seen_landmarks(toy_model, vertices)
    fit = fit_capture(toy_model, capture, landmarks, FitConfig())
    assert fit.appearance_trust == 0.0


def test_black_image_takes_no_part(painted):
    capture, vertices = painted_capture(painted, 4)
    dark = dataclasses.replace(capture, rgb=np.zeros_like(capture.rgb))
    fit = fit_capture(painted, dark, seen_landmarks(painted, vertices), FitConfig())
    assert fit.appearance_trust == 0.0


def test_trust_falls_with_the_misfit():
    trust = [Misfit(m, 1.0).trust(0.1) for m in (0.0, 0.05, 0.1, 0.2)]
    assert trust[0] == 1.0
    assert trust[2] == pytest.approx(0.5)
    assert trust == sorted(trust, reverse=True)
    assert trust[3] < 0.1


def test_landmarks_settle_as_far_as_the_fit_is_trusted(painted):
    capture, vertices = painted_capture(painted, 6)
    landmarks = one_sided(painted, vertices, 6.0)
    fit = fit_capture(painted, capture, landmarks, FitConfig())
    embedding = painted.embeddings["ibug68"]
    index = embedding.point_index
    points = embedding.points(fit.pose.cam_from_obj(fit.shape_obj_mm), painted.triangles)
    for trust in (0.0, 0.3, 1.0):
        believed = dataclasses.replace(fit, appearance_trust=trust)
        settled = settled_landmarks(painted, landmarks, believed, INTRINSICS)
        mixed = trust * px_from_cam(points, INTRINSICS) + (1 - trust) * landmarks.points_px[index]
        assert settled.points_px[index] == pytest.approx(mixed, abs=1e-9)
    others = np.setdiff1d(np.arange(68), index)
    assert np.array_equal(settled.points_px[others], landmarks.points_px[others], equal_nan=True)
    unknown = dataclasses.replace(landmarks, scheme="other")
    assert settled_landmarks(painted, unknown, fit, INTRINSICS) is unknown
