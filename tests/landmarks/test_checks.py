"""Depth on the face, and the hull of its landmarks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fg3d_builder.errors import CaptureError
from fg3d_builder.landmarks.checks import check_depth_on_face, face_hull
from fg3d_builder.records import Capture, Landmarks

CORNERS = np.array([[20.0, 10.0], [60.0, 10.0], [60.0, 70.0], [20.0, 70.0]])


def scene() -> tuple[Capture, Landmarks]:
    depth = np.full((90, 80), 2000.0, np.float32)
    depth[10:71, 20:61] = 500.0
    capture = Capture("c-7", "s", "test", np.zeros((90, 80, 3), np.uint8), depth, np.eye(3))
    return capture, Landmarks("ibug68", CORNERS, np.ones(4), "test")


def test_hull_ignores_points_without_confidence() -> None:
    more = Landmarks(
        "ibug68", np.vstack([CORNERS, [300.0, 300.0]]), np.array([1, 1, 1, 1, 0.0]), "test"
    )
    hull = face_hull(more, 90, 80)
    assert hull.sum() == 41 * 61
    assert hull[10, 20]
    assert not hull[9, 20]


def test_complete_depth_passes() -> None:
    check_depth_on_face(*scene())


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_share_of_depth_decides(share: float) -> None:
    capture, landmarks = scene()
    depth = capture.depth_mm.copy()
    depth[10 : 10 + round(61 * (1 - share)), 20:61] = np.nan
    holes = dataclasses.replace(capture, depth_mm=depth)
    if share > 0.5:
        check_depth_on_face(holes, landmarks)
        return
    with pytest.raises(CaptureError, match=r"c-7 has depth on (39|40|41) %") as raised:
        check_depth_on_face(holes, landmarks)
    assert raised.value.code == "no_depth_on_face"


def test_depth_far_from_the_face_does_not_count() -> None:
    capture, landmarks = scene()
    depth = capture.depth_mm.copy()
    depth[10:50, 20:61] = np.nan
    depth[10:35, 20:61] = 2000.0
    mostly_wall = dataclasses.replace(capture, depth_mm=depth)
    with pytest.raises(CaptureError, match="depth on"):
        check_depth_on_face(mostly_wall, landmarks)


def test_no_depth_at_all_and_no_landmarks() -> None:
    capture, landmarks = scene()
    empty = dataclasses.replace(capture, depth_mm=np.full_like(capture.depth_mm, np.nan))
    with pytest.raises(CaptureError) as raised:
        check_depth_on_face(empty, landmarks)
    assert raised.value.code == "no_depth_on_face"
    useless = dataclasses.replace(landmarks, confidence=np.zeros(4))
    with pytest.raises(CaptureError) as raised:
        check_depth_on_face(capture, useless)
    assert raised.value.code == "no_face"
    outside = dataclasses.replace(landmarks, points_px=CORNERS + 500)
    with pytest.raises(CaptureError) as raised:
        check_depth_on_face(capture, outside)
    assert raised.value.code == "no_face"
