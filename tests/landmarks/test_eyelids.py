"""Closed eyes told from open ones in drawn eyes, and the seam of their lids."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from fg3d_builder.landmarks.edges import IBUG, MEDIAPIPE
from fg3d_builder.landmarks.eye_strip import eye_strip, lid_pairs
from fg3d_builder.landmarks.eyelids import eye_evidence, look_at_eyelids, with_lids_closed
from fg3d_builder.landmarks.lid_seam import find_seam
from fg3d_builder.records import Array, Capture, Landmarks

SKIN, WHITE, IRIS, LASHES = (196, 142, 112), (222, 218, 214), (62, 44, 34), (70, 48, 40)
LIPS = (170, 84, 80)
EYES_PX = np.array([[70.0, 80.0], [170.0, 80.0]])
"""Centres of the right and the left eye, which are 50 pixels wide."""

DETECTED_GAP_PX = 6.0
"""What a detector leaves between closed lids."""

SEAM_BELOW_PX = 5.0
"""How far the drawn seam hangs below the corners at its middle."""


def face(
    closed: tuple[bool, bool], seed: int = 0, scheme: str = MEDIAPIPE
) -> tuple[Capture, Landmarks]:
    """Draw skin and lips with two eyes, open or closed, and what a detector says of them."""
    rng = np.random.default_rng(seed)
    rgb = np.full((160, 240, 3), SKIN, np.float64) + rng.normal(0, 3, (160, 240, 3))
    points = np.full((478 if scheme == MEDIAPIPE else 68, 2), np.nan)
    points[:] = (120.0, 120.0)
    cv2.ellipse(rgb, (120, 116), (22, 7), 0, 0, 360, LIPS, -1, cv2.LINE_AA)
    for centre, shut, lids in zip(EYES_PX, closed, lid_pairs(scheme), strict=True):
        x = np.linspace(-25, 25, len(lids.upper) + 2)
        arch = 1 - (x / 25) ** 2
        if shut:
            line = np.stack([x, SEAM_BELOW_PX * arch], axis=1) + centre
            cv2.polylines(rgb, [np.rint(line).astype(np.int32)], False, LASHES, 2, cv2.LINE_AA)
            upper, lower = -DETECTED_GAP_PX / 2 * arch, DETECTED_GAP_PX / 2 * arch
        else:
            upper, lower = -7.0 * arch, 6.0 * arch
            outline = np.stack([np.r_[x, x[::-1]], np.r_[upper, lower[::-1]]], axis=1) + centre
            eye = np.zeros(rgb.shape[:2], np.uint8)
            cv2.fillPoly(eye, [np.rint(outline).astype(np.int32)], 1)
            disc = cv2.circle(np.zeros_like(eye), tuple(centre.astype(int)), 9, 1, -1)
            rgb[eye > 0] = WHITE
            rgb[(eye > 0) & (disc > 0)] = IRIS
        points[list(lids.corners)] = centre + np.array([[x[0], 0.0], [x[-1], 0.0]])
        points[lids.upper] = centre + np.stack([x, upper], axis=1)[1:-1]
        points[lids.lower] = centre + np.stack([x, lower], axis=1)[1:-1]
    rgb = cv2.GaussianBlur(np.clip(rgb, 0, 255).astype(np.uint8), (0, 0), 0.7)
    depth = np.full(rgb.shape[:2], np.nan, np.float32)
    return (
        Capture("drawn", "drawn", "test", rgb, depth, np.eye(3)),
        Landmarks(scheme, points, np.full(len(points), 0.6), "test"),
    )


@pytest.mark.parametrize("scheme", [MEDIAPIPE, IBUG])
@pytest.mark.parametrize("closed", [(False, False), (True, True), (True, False), (False, True)])
def test_each_eye_is_told_by_itself(closed: tuple[bool, bool], scheme: str) -> None:
    capture, landmarks = face(closed, scheme=scheme)
    eyes = look_at_eyelids(capture, landmarks)
    assert tuple(eye.is_closed for eye in eyes) == closed
    for eye, shut in zip(eyes, closed, strict=True):
        assert eye.closed > 0.9 if shut else eye.closed < 0.1


@pytest.mark.parametrize("gain", [0.15, 0.5])
def test_the_light_does_not_matter(gain: float) -> None:
    capture, landmarks = face((True, False))
    dark = (capture.rgb * gain**0.45).astype(np.uint8)
    eyes = look_at_eyelids(Capture("d", "d", "test", dark, capture.depth_mm, np.eye(3)), landmarks)
    assert [eye.is_closed for eye in eyes] == [True, False]


def test_bare_geometry_does_not_tell_open_eyes_from_closed_ones() -> None:
    capture, landmarks = face((True, True))
    grey = np.repeat(capture.rgb.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    assert look_at_eyelids(dataclasses.replace(capture, rgb=grey), landmarks) == ()


def test_the_seam_is_where_it_was_drawn() -> None:
    capture, landmarks = face((True, True), seed=1)
    for eye, centre in zip(look_at_eyelids(capture, landmarks), EYES_PX, strict=True):
        assert eye.seam_px is not None
        x, y = (eye.seam_px - centre)[np.abs(eye.seam_px[:, 0] - centre[0]) < 23].T
        np.testing.assert_allclose(y, SEAM_BELOW_PX * (1 - (x / 25) ** 2), atol=1.2)


def test_depth_shows_the_seam_where_the_image_does_not() -> None:
    capture, landmarks = face((True, True), seed=2)
    row, column = np.mgrid[:160, :240]
    centre = EYES_PX[0]
    line = centre[1] + SEAM_BELOW_PX * (1 - ((column - centre[0]) / 25) ** 2)
    depth = 500.0 + 1.0 * np.exp(-(((row - line) / 2.0) ** 2)) + 0.02 * row
    plain = np.full_like(capture.rgb, SKIN)
    strip = eye_strip(plain, depth.astype(np.float32), landmarks, lid_pairs(MEDIAPIPE)[0])
    assert strip is not None
    seam = find_seam(strip)
    middle = np.abs(strip.x) < 0.45
    found = strip.px(strip.x, seam.y)[middle]
    wanted = centre[1] + SEAM_BELOW_PX * (1 - ((found[:, 0] - centre[0]) / 25) ** 2)
    np.testing.assert_allclose(found[:, 1], wanted, atol=1.2)


def test_closed_lids_meet_and_open_ones_stay() -> None:
    capture, landmarks = face((True, False))
    eyes = look_at_eyelids(capture, landmarks)
    settled = with_lids_closed(landmarks, eyes)
    right, left = lid_pairs(MEDIAPIPE)
    np.testing.assert_array_equal(settled.points_px[right.upper], settled.points_px[right.lower])
    assert np.all(settled.confidence[right.upper] == 1.0)
    np.testing.assert_array_equal(settled.points_px[left.upper], landmarks.points_px[left.upper])
    np.testing.assert_array_equal(settled.confidence[left.upper], landmarks.confidence[left.upper])


def test_a_covered_eye_is_not_closed() -> None:
    capture, landmarks = face((False, False))
    rgb = capture.rgb.copy()
    cv2.circle(rgb, (70, 80), 45, (40, 40, 46), -1)
    covered = Capture("c", "c", "test", rgb, capture.depth_mm, np.eye(3))
    assert not any(eye.is_closed for eye in look_at_eyelids(covered, landmarks))


def test_evidence_grows_with_what_is_seen_of_an_eye() -> None:
    evidence: list[Array] = []
    for closed in (True, False):
        capture, landmarks = face((closed, closed))
        strip = eye_strip(capture.rgb, capture.depth_mm, landmarks, lid_pairs(MEDIAPIPE)[0])
        assert strip is not None
        evidence.append(np.array(eye_evidence(strip)))
    assert np.all(evidence[1] > evidence[0] + [1.0, 0.1, 0.05])


def test_an_eye_too_small_or_outside_tells_nothing() -> None:
    capture, landmarks = face((True, True))
    away = Landmarks(MEDIAPIPE, landmarks.points_px + 1000.0, landmarks.confidence, "test")
    small = Landmarks(MEDIAPIPE, 0.05 * landmarks.points_px, landmarks.confidence, "test")
    for marks in (away, small):
        assert not any(eye.is_closed for eye in look_at_eyelids(capture, marks))


def test_lids_of_both_schemes_run_from_corner_to_corner() -> None:
    right, left = lid_pairs(IBUG)
    assert right.corners == (36, 39)
    assert right.upper.tolist() == [37, 38]
    assert right.lower.tolist() == [41, 40]
    assert left.upper.tolist() == [43, 44]
    assert left.lower.tolist() == [47, 46]
    right, left = lid_pairs(MEDIAPIPE)
    assert (right.upper[3], right.lower[3]) == (159, 145)
    assert (left.upper[3], left.lower[3]) == (386, 374)
    with pytest.raises(ValueError, match="unknown landmark scheme"):
        lid_pairs("other")
