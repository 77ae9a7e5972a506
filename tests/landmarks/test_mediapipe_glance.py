"""Few looks: as good as many against the truth, the same ones every time, at every size."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
from seen_faces import seen_faces

from fg3d_builder.config import ALL_LOOKS, LandmarkConfig, SourceConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.images import read_rgb
from fg3d_builder.landmarks import open_detector, open_view_detector
from fg3d_builder.landmarks.edges import MEDIAPIPE, mediapipe_mirror
from fg3d_builder.landmarks.mediapipe_detector import MediaPipeDetector
from fg3d_builder.landmarks.mediapipe_glance import MediaPipeGlance
from fg3d_builder.landmarks.mediapipe_networks import FaceNetworks, Rectangle, rectangle_around
from fg3d_builder.records import Array, Capture, Landmarks

FACES = SourceConfig(subjects=4, captures_per_subject=1, seed=77, max_yaw_deg=40.0)


@pytest.fixture(scope="module")
def faces(default: FaceModel) -> list[tuple[Capture, Landmarks]]:
    """Synthetic captures with their projected true points."""
    return seen_faces(default, MEDIAPIPE, FACES)


def error_of(found: Landmarks | None, truth: Landmarks) -> float:
    """Mean distance in % of the face's extent, over the points on the face's surface."""
    assert found is not None
    on_face = truth.confidence > 0
    true_px = truth.points_px[on_face]
    away = np.linalg.norm(found.points_px[on_face] - true_px, axis=1)
    return float(100 * away.mean() / np.ptp(true_px, axis=0).max())


def test_two_looks_are_nearly_as_near_the_truth_as_all(
    faces: list[tuple[Capture, Landmarks]],
) -> None:
    errors = {
        looks: np.mean([error_of(detector.detect(c), truth) for c, truth in faces])
        for looks in (2, 4, ALL_LOOKS)
        for detector in [open_view_detector(LandmarkConfig(), looks)]
    }
    # What an eye is wide is a sixth of the extent; benchmarks.view_looks measures it on more.
    assert errors[ALL_LOOKS] < 2.0
    assert errors[2] < 1.15 * errors[ALL_LOOKS]
    assert errors[4] < 1.12 * errors[ALL_LOOKS]


def test_nothing_that_was_seen_before_changes_what_is_found(
    faces: list[tuple[Capture, Landmarks]],
) -> None:
    first, second = faces[0][0].rgb, faces[1][0].rgb
    detector = MediaPipeGlance(0.5, 4)
    alone = detector.detect_image(first)
    assert alone is not None
    detector.detect_image(second)
    detector.detect_image(np.zeros((64, 64, 3), np.uint8))
    for again in (detector.detect_image(first), MediaPipeGlance(0.5, 4).detect_image(first)):
        assert again is not None
        np.testing.assert_array_equal(again.points_px, alone.points_px)
        np.testing.assert_array_equal(again.confidence, alone.confidence)


def test_one_look_is_trusted_and_more_say_how_far(faces: list[tuple[Capture, Landmarks]]) -> None:
    rgb = faces[2][0].rgb
    one, two = (MediaPipeGlance(0.5, looks).detect_image(rgb) for looks in (1, 2))
    assert one is not None
    assert two is not None
    assert (one.confidence == 1.0).all()
    assert 0.5 < np.median(two.confidence) < 1.0


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_points_follow_the_size_of_the_picture(
    faces: list[tuple[Capture, Landmarks]], scale: float
) -> None:
    """Large faces are shrunk first; a wrong pixel convention would shift all points alike."""
    rgb = faces[0][0].rgb
    detector = MediaPipeGlance(0.5, 2)
    plain = detector.detect_image(rgb)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    other = detector.detect_image(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=way))
    assert plain is not None
    assert other is not None
    apart = (other.points_px + 0.5) / scale - 0.5 - plain.points_px
    size = np.ptp(plain.points_px, axis=0).max()
    assert np.abs(apart.mean(axis=0)).max() < 0.004 * size
    assert np.abs(apart).mean() < 0.008 * size


def test_a_mirrored_picture_has_mirrored_points(faces: list[tuple[Capture, Landmarks]]) -> None:
    rgb = faces[1][0].rgb
    detector = MediaPipeGlance(0.5, 2)
    plain, mirrored = detector.detect_image(rgb), detector.detect_image(rgb[:, ::-1])
    assert plain is not None
    assert mirrored is not None
    back = mirrored.points_px[mediapipe_mirror()] * [-1, 1] + [rgb.shape[1] - 1, 0]
    assert np.abs(back - plain.points_px).mean() < 0.006 * np.ptp(plain.points_px, axis=0).max()


def test_a_turned_rectangle_gives_pixels_of_the_picture(
    faces: list[tuple[Capture, Landmarks]],
) -> None:
    networks, rgb = FaceNetworks(0.5), np.ascontiguousarray(faces[0][0].rgb)
    (first,) = networks.faces(rgb)
    around = rectangle_around(first, 1.5)
    straight = networks.face_in(rgb, around)
    assert straight is not None
    size = np.ptp(first, axis=0).max()
    for turn in (-0.2, 0.2):
        turned = networks.face_in(rgb, around._replace(angle=around.angle + turn))
        assert turned is not None
        # Points taken to be upright would be off by a tenth of the face.
        assert np.abs(turned - straight).mean() < 0.015 * size
    corner = Rectangle(np.array([4.0, 4.0]), 8.0, 0.0)
    assert networks.face_in(np.zeros_like(rgb), corner) is None


def test_networks_that_nobody_uses_any_more_are_freed() -> None:
    networks, nothing = FaceNetworks(0.5), np.zeros((64, 64, 3), np.uint8)
    networks.face_in(nothing, Rectangle(np.array([32.0, 32.0]), 48.0, 0.0))
    graph = weakref.ref(networks.__dict__["_in_rectangle"])
    assert graph() is not None
    del networks
    gc.collect()
    assert graph() is None


def test_a_rectangle_is_upright_as_the_eyes_are_and_holds_the_face() -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (478, 2)) * [30.0, 40.0]
    points[33], points[263] = [-20.0, 0.0], [20.0, 0.0]
    upright = rectangle_around(points, 1.5)
    np.testing.assert_allclose(upright.angle, 0.0)
    np.testing.assert_allclose(upright.side_px, 1.5 * np.ptp(points, axis=0).max())
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    turned = rectangle_around(points @ turn.T + [100.0, 50.0], 1.5)
    np.testing.assert_allclose(turned.angle, 0.3)
    np.testing.assert_allclose(turned.side_px, upright.side_px)
    np.testing.assert_allclose(turned.centre_px, turn @ upright.centre_px + [100.0, 50.0])


def test_no_face_is_no_face() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    assert MediaPipeGlance(0.5, 2).detect_image(noise) is None


def test_who_looks_at_views() -> None:
    few = open_view_detector(LandmarkConfig(min_confidence=0.3), 4)
    assert isinstance(few, MediaPipeGlance)
    assert (few.looks, few.min_confidence, few.name) == (4, 0.3, "mediapipe")
    assert isinstance(open_view_detector(LandmarkConfig(), ALL_LOOKS), MediaPipeDetector)
    annotation = LandmarkConfig(detector="annotation")
    assert type(open_view_detector(annotation, 2)) is type(open_detector(annotation))


@pytest.mark.data
@pytest.mark.parametrize("name", ["sven-044", "sven-064"])
def test_real_frames_are_seen_as_all_looks_see_them(shared_data: Path, name: str) -> None:
    rgb: Array = read_rgb(shared_data / "captures" / name / "color.png")
    few, many = MediaPipeGlance(0.5, 2).detect_image(rgb), MediaPipeDetector().detect_image(rgb)
    assert few is not None
    assert many is not None
    apart = np.linalg.norm(few.points_px - many.points_px, axis=1).mean()
    assert apart < 0.015 * np.ptp(many.points_px, axis=0).max()
