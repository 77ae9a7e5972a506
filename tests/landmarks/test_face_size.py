"""The size of a face tells wrong units and wrong cameras, and leaves right ones alone."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from seen_faces import seen_faces, with_camera, with_unit

from fg3d_builder.config import SensorConfig, SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.landmarks import check_depth
from fg3d_builder.landmarks.face_size import check_face_size, face_size, likely_unit_mm
from fg3d_builder.records import Capture, Landmarks

Seen = tuple[Capture, Landmarks]

CONFIG = SourceConfig(
    subjects=6,
    captures_per_subject=2,
    seed=21,
    image_size=(320, 240),
    focal_px=450.0,
    sensor=SensorConfig("structured_light", 1.0, 1),
)


@pytest.fixture(scope="module", params=["mediapipe478", "ibug68"])
def seen(request: pytest.FixtureRequest, default: FaceModel) -> list[Seen]:
    return seen_faces(default, request.param, CONFIG)


def failure_of(capture: Capture, landmarks: Landmarks) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        check_face_size(capture, landmarks)
    assert capture.capture_id in caught.value.message
    return caught.value


def width_in(message: str) -> float:
    found = re.search(r"the face would be ([0-9.]+) mm wide", message)
    assert found is not None
    return float(found[1])


def test_right_captures_pass(seen: list[Seen]) -> None:
    for capture, landmarks in seen:
        size = face_size(capture, landmarks)
        assert size is not None
        # The population's faces differ by some 6 %, and what the sensor adds is little.
        assert 0.8 < size.across < 1.2
        assert 0.6 < size.along / size.across < 1.4
        check_depth(capture, landmarks)


@pytest.mark.parametrize(
    ("factor", "declared_mm", "word"),
    [
        (1e-3, 1.0, "1000 (metres)"),
        (0.1, 1.0, "10 (centimetres)"),
        (10.0, 1.0, "0.1"),
        (1e3, 1000.0, "1 (millimetres)"),
        (4.0, 1.0, "0.25"),
        (1 / 25.4, 1.0, "25.4 (inches)"),
    ],
)
def test_a_wrong_unit_is_named_with_the_likely_one(
    seen: list[Seen], factor: float, declared_mm: float, word: str
) -> None:
    for capture, landmarks in seen:
        error = failure_of(with_unit(capture, factor, declared_mm), landmarks)
        assert error.code == "wrong_unit"
        assert error.message.endswith(f"depth_unit_mm is {declared_mm:g}, but probably {word}")
        assert width_in(error.message) == pytest.approx(140.0 * factor, rel=0.25)


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.3])
def test_a_factor_of_two_does_not_pass(seen: list[Seen], factor: float) -> None:
    for capture, landmarks in seen:
        error = failure_of(with_unit(capture, factor, 1.0), landmarks)
        assert error.code == "wrong_unit"


@pytest.mark.parametrize("factor", [0.1, 0.25, 0.4])
def test_intrinsics_of_another_resolution_are_named(seen: list[Seen], factor: float) -> None:
    for capture, landmarks in seen:
        error = failure_of(with_camera(capture, factor), landmarks)
        assert error.code == "wrong_intrinsics"
        focal = re.search(r"focal length is (\d+) px, but probably about (\d+) px", error.message)
        assert focal is not None
        assert float(focal[1]) == pytest.approx(450.0 * factor, abs=1.0)
        assert float(focal[2]) == pytest.approx(450.0, rel=0.2)
        size = f"about {240 * factor:.0f} x {320 * factor:.0f} pixels, this one has 240 x 320"
        assert size in error.message


@pytest.mark.parametrize("factor", [2.0, 6.0])
def test_intrinsics_of_a_larger_image_do_not_pass(seen: list[Seen], factor: float) -> None:
    # Captures in files are refused before: their principal point is outside the image.
    for capture, landmarks in seen:
        failure_of(with_camera(capture, factor), landmarks)


def test_a_wrong_focal_length_alone_is_told_from_a_wrong_resolution(seen: list[Seen]) -> None:
    for capture, landmarks in seen:
        camera = capture.intrinsics.copy()
        camera[[0, 1], [0, 1]] *= 10.0
        error = failure_of(dataclasses.replace(capture, intrinsics=camera), landmarks)
        assert error.code == "wrong_intrinsics"
        assert "of an image of" not in error.message


def test_a_wall_behind_a_face_without_depth_is_no_unit(seen: list[Seen]) -> None:
    capture, landmarks = seen[0]
    wall = dataclasses.replace(capture, depth_mm=np.full_like(capture.depth_mm, 2500.0))
    assert failure_of(wall, landmarks).code == "no_depth_on_face"


def test_landmarks_on_one_spot_are_no_face(seen: list[Seen]) -> None:
    capture, landmarks = seen[0]
    spot = np.broadcast_to(np.rint(landmarks.points_px.mean(axis=0)), landmarks.points_px.shape)
    error = failure_of(capture, dataclasses.replace(landmarks, points_px=spot))
    assert error.code == "no_face"


def test_without_depth_or_landmarks_nothing_is_said(seen: list[Seen]) -> None:
    capture, landmarks = seen[0]
    empty = dataclasses.replace(capture, depth_mm=np.full_like(capture.depth_mm, np.nan))
    assert face_size(empty, landmarks) is None
    unknown = dataclasses.replace(landmarks, scheme="other")
    assert face_size(capture, unknown) is None
    check_face_size(empty, landmarks)


def test_usual_units_come_before_odd_ones() -> None:
    assert likely_unit_mm(1.0, 0.0009) == 1000.0
    assert likely_unit_mm(1.0, 9.0) == 0.1
    assert likely_unit_mm(1.0, 4.2) == 0.25
    assert likely_unit_mm(1.0, 2.0) == pytest.approx(0.5)


@pytest.mark.data
def test_real_captures_pass(shared_data: object) -> None:
    from pathlib import Path

    from fg3d_builder.captures.folder import read_capture
    from fg3d_builder.landmarks.mediapipe_detector import MediaPipeDetector

    detector = MediaPipeDetector()
    for folder in sorted(Path(str(shared_data)).glob("captures/sven-0*")):
        capture = read_capture(folder)
        landmarks = detector.detect(capture)
        check_depth(capture, landmarks)
        size = face_size(capture, landmarks)
        assert size is not None
        assert size.across == pytest.approx(1.0, abs=0.05)
