from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lit_faces import LitFace, lit_face, registration_of, skin_model, toy_light

from fg3d_builder.captures.sensor import capture_generator
from fg3d_builder.captures.synthetic import SyntheticSource, draw_scene, draw_subject
from fg3d_builder.config import FaceModelConfig, SourceConfig, TextureConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.delight import softened
from fg3d_builder.fullview.texture_fit import TextureFit, fit_texture
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import vertex_adjacency, vertex_normals
from fg3d_builder.geometry.smoothing import diffused
from fg3d_builder.heads.library import get_model
from fg3d_builder.rendering.shading import (
    linear_from_srgb,
    phong,
    shade_and_gloss,
    srgb_from_linear,
)

CONFIG = TextureConfig()
DETAIL = 0.06


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return skin_model()


def person(model: FaceModel, seed: int) -> np.ndarray:
    """Albedo of a person: within the model, with fine detail that no model has."""
    rng = np.random.default_rng(seed)
    albedo = model.albedo(0.8 * model.albedo_sd * rng.standard_normal(len(model.albedo_sd)))
    detail = diffused(rng.standard_normal((len(albedo), 1)), model.triangles, 1)
    return np.clip(albedo * (1 + DETAIL * detail / detail.std()), 0, 1)


def relative_error(found: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    """RMS difference after the best common gain, relative to the mean of the truth."""
    a, b = found[where], truth[where]
    gain = (a * b).sum() / (a * a).sum()
    return float(np.sqrt(((gain * a - b) ** 2).mean()) / b.mean())


def angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


def fitted(model: FaceModel, face: LitFace, config: TextureConfig = CONFIG) -> TextureFit:
    return fit_texture(model, face.capture, face.registration, config)


@pytest.mark.parametrize(
    ("seed", "direction"), [(0, (0.5, -0.4, -0.8)), (1, (-0.7, -0.1, -0.7)), (2, (0.1, -0.7, -0.7))]
)
def test_light_and_albedo_are_recovered(model, seed, direction) -> None:
    face = lit_face(model, person(model, seed), toy_light(direction), noise=0.004)
    fit = fitted(model, face)
    seen = fit.trust > 0.9
    assert fit.converged
    assert seen.mean() > 0.2
    assert angle_deg(fit.light.direction, face.light.direction) < 2.0
    # The model's albedo misses the detail by nature; the capture's own must have it.
    assert relative_error(fit.albedo, face.albedo, seen) < 1.3 * DETAIL
    assert relative_error(fit.delit_albedo, face.albedo, seen) < 0.03
    shade, _ = shade_and_gloss(fit.normals_cam, face.view, fit.light)
    true_shade, _ = shade_and_gloss(face.normals_cam, face.view, face.light)
    assert relative_error(shade, true_shade, seen) < 0.02
    color_error = (fit.completed_linear - face.colors_linear)[seen]
    assert np.sqrt((color_error**2).mean()) < 0.006
    assert fit.residual_rms < 1.5 * DETAIL * face.colors_linear[seen].mean()


def test_what_was_never_seen_is_painted_as_skin(model) -> None:
    face = lit_face(model, person(model, 3), toy_light(), yaw_deg=30.0)
    fit = fitted(model, face)
    unseen = ~face.registration.visible
    assert unseen.mean() > 0.2
    assert np.all(fit.trust[unseen] == 0)
    error = (fit.completed_linear - face.colors_linear)[unseen]
    assert np.sqrt((error**2).mean()) < 0.12 * face.colors_linear[unseen].mean() + 0.02


def test_an_occluder_in_front_is_kept_out(model) -> None:
    face = lit_face(model, person(model, 4), toy_light())
    clean = fitted(model, face)
    rgb, depth = face.capture.rgb.copy(), face.capture.depth_mm.copy()
    rgb[190:260, 60:150] = (40, 90, 200)
    depth[190:260, 60:150] = 400.0
    fit = fit_texture(
        model, replace(face.capture, rgb=rgb, depth_mm=depth), face.registration, CONFIG
    )
    behind = inside_box(face, 62, 192, 148, 258) & (clean.trust > 0.5)
    assert behind.sum() > 50
    assert fit.occluder[behind].all()
    assert not fit.used[behind].any()
    assert np.all(fit.trust[behind] == 0)
    assert np.all(fit.sight[behind] == 0)
    assert angle_deg(fit.light.direction, face.light.direction) < 2.5
    assert relative_error(fit.delit_albedo, face.albedo, behind) < 0.15


def test_hair_without_any_step_in_depth_is_found_by_its_colour(model) -> None:
    face = lit_face(model, person(model, 5), toy_light())
    clean = fitted(model, face)
    rgb = face.capture.rgb.copy()
    rgb[70:125, 90:190] = (12, 10, 10)
    fit = fit_texture(model, replace(face.capture, rgb=rgb), face.registration, CONFIG)
    hair = inside_box(face, 96, 76, 184, 119) & (clean.trust > 0.5)
    assert hair.sum() > 50
    assert fit.occluder[hair].mean() > 0.9
    assert fit.occluder[(clean.trust > 0.5) & ~inside_box(face, 80, 60, 200, 135)].mean() < 0.01
    assert angle_deg(fit.light.direction, face.light.direction) < 4.0
    assert relative_error(fit.delit_albedo, face.albedo, hair) < 0.2


def test_a_cast_shadow_is_neither_light_nor_occluder(model) -> None:
    face = lit_face(model, person(model, 6), toy_light())
    clean = fitted(model, face)
    linear = linear_from_srgb(face.capture.rgb)
    linear[150:230, 150:200] *= 0.6
    capture = replace(face.capture, rgb=srgb_from_linear(linear))
    fit = fit_texture(model, capture, face.registration, CONFIG)
    shadow = inside_box(face, 154, 154, 196, 226) & (clean.trust > 0.5)
    assert fit.occluder[shadow].mean() < 0.05
    assert angle_deg(fit.light.direction, face.light.direction) < 4.0


def test_exposure_and_white_balance_go_to_the_light(model) -> None:
    albedo, light = person(model, 7), toy_light()
    plain = fitted(model, lit_face(model, albedo, light))
    warm = np.array([0.85, 0.75, 0.65])
    other = fitted(model, lit_face(model, albedo, light, gain=warm))
    seen = plain.trust > 0.9
    change = (other.colors_linear / plain.colors_linear)[seen].mean(axis=0)
    np.testing.assert_allclose(change, warm, rtol=0.03)
    # Albedo and light share a change of brightness; the albedo must not take all of it.
    albedo_change = (other.albedo / plain.albedo)[seen].mean(axis=0)
    assert np.all(albedo_change > warm)
    assert angle_deg(plain.light.direction, other.light.direction) < 1.5


def test_a_model_without_albedo_basis_is_tinted(model) -> None:
    bare = replace(model, albedo_basis=np.zeros((model.vertex_count, 3, 0)), albedo_sd=np.zeros(0))
    face = lit_face(model, model.albedo_mean * [1.2, 1.0, 0.8], toy_light())
    fit = fitted(bare, face)
    seen = fit.trust > 0.9
    assert len(fit.beta) == 0
    assert fit.tint[0] > fit.tint[1] > fit.tint[2]
    error = (fit.colors_linear - face.colors_linear)[seen]
    assert np.sqrt((error**2).mean()) < 0.02


def test_saturated_skin_does_not_mislead(model) -> None:
    face = lit_face(model, person(model, 8), toy_light(), gain=3.2)
    assert (face.capture.rgb[..., 0] == 255).mean() > 0.02
    fit = fitted(model, face)
    assert angle_deg(fit.light.direction, face.light.direction) < 4.0
    seen = fit.trust > 0.9
    error = (fit.colors_linear - face.colors_linear)[seen] / face.colors_linear[seen].mean()
    assert np.sqrt((error**2).mean()) < 0.12


def test_very_dark_skin_under_a_lamp_beside_the_camera(model) -> None:
    # No direction explains such a picture much better than light from all sides.
    face = lit_face(model, 0.22 * person(model, 13), toy_light((0.05, -0.1, -1.0)), noise=0.003)
    fit = fitted(model, face)
    assert fit.converged
    assert angle_deg(fit.light.direction, face.light.direction) < 8.0
    seen = fit.trust > 0.9
    error = (fit.colors_linear - face.colors_linear)[seen] / face.colors_linear[seen].mean()
    assert np.sqrt((error**2).mean()) < 0.15


def test_shading_splits_equation_14(model) -> None:
    face = lit_face(model, person(model, 9), toy_light())
    shade, gloss = shade_and_gloss(face.normals_cam, face.view, face.light)
    wanted = phong(face.albedo, face.normals_cam, face.view, face.light)
    np.testing.assert_allclose(shade * face.albedo + gloss, wanted, atol=1e-12)


def test_weights_are_smooth_and_stay_inside(model) -> None:
    fit = fitted(model, lit_face(model, person(model, 10), toy_light(), yaw_deg=20.0))
    for weight in (fit.sight, fit.trust):
        assert weight.min() >= 0
        assert weight.max() <= 1
        step = np.ptp(weight[model.triangles], axis=1)
        assert step.max() < 0.75
    assert np.all(fit.trust <= fit.sight + 1e-12)


def test_a_hole_wears_off_its_margin_and_a_crease_does_not(model) -> None:
    adjacency = vertex_adjacency(model.triangles, model.vertex_count)

    def grown(mask: np.ndarray, rings: int) -> np.ndarray:
        for _ in range(rings):
            mask = mask | (adjacency @ mask.astype(float) > 0)
        return mask

    one = np.zeros(model.vertex_count, dtype=bool)
    one[1372] = True
    hole = grown(one, 4)
    around = softened(1.0 - hole, model.triangles)
    assert np.all(around[hole] == 0)
    assert around[grown(hole, 1) & ~hole].max() < 0.2
    assert np.all(around[~grown(hole, 5)] == 1)
    crease = grown(one, 1)
    beside = softened(1.0 - crease, model.triangles)
    np.testing.assert_array_equal(beside, 1.0 - crease)


def test_the_same_capture_gives_the_same_fit(model) -> None:
    face = lit_face(model, person(model, 11), toy_light(), noise=0.005)
    first, second = fitted(model, face), fitted(model, face)
    np.testing.assert_array_equal(first.completed_linear, second.completed_linear)
    np.testing.assert_array_equal(first.beta, second.beta)


@pytest.mark.parametrize("pixels", [1, 3_000, 40_000])
def test_a_picture_may_be_read_some_rows_at_a_time(
    model, monkeypatch: pytest.MonkeyPatch, pixels: int
) -> None:
    face = lit_face(model, person(model, 3), toy_light((0.3, -0.4, -0.8)))
    whole = fitted(model, face)
    monkeypatch.setattr("fg3d_builder.fullview.texture_fit.BAND_PX", pixels)
    banded = fitted(model, face)
    np.testing.assert_allclose(banded.delit_albedo, whole.delit_albedo, atol=1e-5)
    np.testing.assert_array_equal(banded.used, whole.used)


def test_a_face_out_of_sight_is_a_failure_with_a_reason(model) -> None:
    face = lit_face(model, person(model, 12), toy_light())
    hidden = replace(
        face.capture, depth_mm=np.full_like(face.capture.depth_mm, 300.0), capture_id="behind"
    )
    with pytest.raises(CaptureError, match=r"behind: 0 vertices") as caught:
        fit_texture(model, hidden, face.registration, CONFIG)
    assert caught.value.code == "no_face_in_sight"


def inside_box(face: LitFace, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    x, y = px_from_cam(face.registration.vertices_cam_mm, face.capture.intrinsics).T
    return (x > left) & (x < right) & (y > top) & (y < bottom)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_people_of_the_population_under_their_lamps(number: int) -> None:
    """Registered perfectly; their skin is not in the span of the default model."""
    config = SourceConfig(seed=31337, subjects=3, captures_per_subject=1)
    source = SyntheticSource(config)
    entry = source.entries()[number]
    capture = source.load(entry)
    truth = capture.truth
    assert truth is not None
    rng = capture_generator(config.seed, entry.capture_id, "scene")
    subject = draw_subject(int(entry.location.rsplit(" ", 1)[1]))
    scene = draw_scene(config, subject, 0, rng)
    face_model = get_model(FaceModelConfig())
    registration = registration_of(
        face_model, truth.vertices_cam_mm.astype(float), truth.pose, truth.visible
    )
    fit = fit_texture(face_model, capture, registration, CONFIG)
    seen = (fit.trust > 0.9) & face_model.reliable
    assert fit.converged
    assert angle_deg(fit.light.direction, scene.light.direction) < 4.0
    assert relative_error(fit.albedo, subject.head.albedo, seen) < 0.08
    assert relative_error(fit.delit_albedo, subject.head.albedo, seen) < 0.08
    view = -truth.vertices_cam_mm / np.linalg.norm(truth.vertices_cam_mm, axis=1, keepdims=True)
    normals = vertex_normals(truth.vertices_cam_mm, face_model.triangles)
    shade, true_shade = (
        shade_and_gloss(n, view, light)[0]
        for n, light in ((fit.normals_cam, fit.light), (normals, scene.light))
    )
    assert relative_error(shade, true_shade, seen) < 0.06
