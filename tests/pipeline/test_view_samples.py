"""From views to what shards store; detections, and what replaces them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_build import INTRINSICS, build_model, toy_capture

from fg3d_builder.config import FitConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.encoding import decode_image
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import triangle_normals
from fg3d_builder.geometry.pose import angles_from_rotation, rotation_from_angles
from fg3d_builder.pipeline.view_samples import (
    HIDDEN_CONFIDENCE,
    InitialFitter,
    projected_landmarks,
    sample_images,
)
from fg3d_builder.records import Array, Capture, Landmarks, Pose, View
from fg3d_builder.shards.schema import FROM_DETECTED, FROM_PROJECTED


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return build_model()


def posed(yaw_deg: float) -> Pose:
    return Pose(1.0, rotation_from_angles(0.0, yaw_deg, 0.0), np.array([0.0, 0.0, 550.0]))


def view_of(name: str, yaw_deg: float, rgb: Array) -> View:
    visible = np.arange(build_model().vertex_count) % 3 == 0
    turn = np.array([0.0, yaw_deg])
    return View(name, turn, rgb, np.eye(3), INTRINSICS, posed(yaw_deg), visible, painted=0.25)


def image_of(name: str, rgb: Array) -> Capture:
    return Capture(name, "", "view", rgb, np.zeros(rgb.shape[:2], np.float32), INTRINSICS)


class DetectorOf:
    """Finds given points in pictures of given names, and in others no face."""

    def __init__(self, found: dict[str, Landmarks]) -> None:
        self.found = found
        self.seen: list[Capture] = []

    def detect(self, capture: Capture) -> Landmarks:
        self.seen.append(capture)
        if capture.capture_id not in self.found:
            raise CaptureError("no_face", "none")
        return self.found[capture.capture_id]


def test_projected_landmarks_lie_where_the_surface_does(model: FaceModel) -> None:
    vertices = posed(50.0).cam_from_obj(model.mean)
    found = projected_landmarks(model, "ibug68", vertices, INTRINSICS)
    embedding = model.embeddings["ibug68"]
    assert found.points_px.shape == (68, 2)
    assert found.detector == "projected"
    assert not found.confidence[:17].any()  # the toy model has no jaw points
    for k, point in enumerate(embedding.point_index):
        corners = vertices[model.triangles[embedding.triangle[k]]]
        surface = embedding.barycentric[k] @ corners
        wanted = px_from_cam(surface, INTRINSICS)
        np.testing.assert_allclose(found.points_px[point], wanted, atol=1e-9)
        normal = triangle_normals(corners, np.array([[0, 1, 2]]))[0]
        facing = normal @ corners[0] < 0
        assert found.confidence[point] == (1.0 if facing else HIDDEN_CONFIDENCE)
    assert set(found.confidence[17:]) == {HIDDEN_CONFIDENCE, 1.0}


def test_what_is_detected_is_fitted_and_what_is_not_is_projected(model: FaceModel) -> None:
    shape = model.shape(0.5 * model.id_sd)
    rgb = toy_capture(model, 0, 0).rgb
    vertices = posed(10.0).cam_from_obj(shape)
    exact = projected_landmarks(model, "ibug68", vertices, INTRINSICS)
    shifted = replace(exact, points_px=exact.points_px + np.array([9.0, 0.0]))
    detector = DetectorOf({"seen": shifted})
    fitter = InitialFitter(model, detector, "ibug68", FitConfig())
    seen, source = fitter.fit(image_of("seen", rgb), vertices)
    assert source == FROM_DETECTED
    lost, other = fitter.fit(image_of("lost", rgb), vertices)
    assert other == FROM_PROJECTED
    # The detection lies 9 pixels to the right: 11 mm at this distance and focal length.
    assert seen.pose.translation_mm[0] - lost.pose.translation_mm[0] == pytest.approx(11, abs=1.5)
    turned = angles_from_rotation(lost.pose.rotation)
    np.testing.assert_allclose(turned, [0.0, 10.0, 0.0], atol=3.0)


def test_a_wrong_setting_is_no_missing_face(model: FaceModel) -> None:
    class Broken:
        def detect(self, capture: Capture) -> Landmarks:
            raise RuntimeError("no weights")

    fitter = InitialFitter(model, Broken(), "ibug68", FitConfig())
    with pytest.raises(RuntimeError, match="no weights"):
        fitter.fit(image_of("x", np.zeros((240, 320, 3), np.uint8)), model.mean)


def test_every_view_comes_back_in_its_row(model: FaceModel) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (240, 320, 3), dtype=np.uint8) for _ in range(3)]
    names, yaws = ["view+00+00", "view+00+30", "view+00-30"], [0.0, 30.0, -30.0]
    exact = projected_landmarks(model, "ibug68", posed(30.0).cam_from_obj(model.mean), INTRINSICS)
    detector = DetectorOf({names[1]: exact})
    fitter = InitialFitter(model, detector, "ibug68", FitConfig())
    views = (view_of(n, y, i) for n, y, i in zip(names, yaws, images, strict=True))
    rows = sample_images(views, model.mean, fitter, "png")
    for seen, image in zip(detector.seen, images, strict=True):
        np.testing.assert_array_equal(seen.rgb, image)
        assert np.isnan(seen.depth_mm).all()
    assert [row.name for row in rows] == names
    assert [row.initial_source for row in rows] == [FROM_PROJECTED, FROM_DETECTED, FROM_PROJECTED]
    for row, yaw, image in zip(rows, yaws, images, strict=True):
        np.testing.assert_array_equal(decode_image(np.frombuffer(row.image, np.uint8)), image)
        np.testing.assert_array_equal(row.rotation, posed(yaw).rotation)
        np.testing.assert_array_equal(row.view_deg, [0.0, yaw])
        visible = np.unpackbits(row.visible, count=model.vertex_count)
        np.testing.assert_array_equal(visible, np.arange(model.vertex_count) % 3 == 0)
        assert angles_from_rotation(row.initial_rotation)[1] == pytest.approx(yaw, abs=3.0)
        assert row.painted == 0.25
