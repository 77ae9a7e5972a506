"""The documented signs of the pose angles, checked with what a camera would see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.pose import angles_from_rotation, rotation_from_angles
from fg3d_builder.records import Pose

INTRINSICS = intrinsics_matrix(500.0, 500.0, 160.0, 120.0)
NOSE, FOREHEAD, LEFT_CHEEK = [0.0, 0.0, 100.0], [0.0, 90.0, 0.0], [70.0, 0.0, 0.0]


def seen_at(point: list[float], *angles: float) -> np.ndarray:
    pose = Pose(1.0, rotation_from_angles(*angles), np.array([0.0, 0.0, 600.0]))
    return px_from_cam(pose.cam_from_obj(np.array(point)), INTRINSICS)


def test_frontal_face_is_upright_and_towards_the_camera() -> None:
    assert seen_at(FOREHEAD, 0, 0, 0)[1] < 120
    assert seen_at(LEFT_CHEEK, 0, 0, 0)[0] > 160
    assert (rotation_from_angles(0, 0, 0) @ NOSE)[2] < 0


def test_positive_pitch_looks_up() -> None:
    assert seen_at(NOSE, 20, 0, 0)[1] < 120 < seen_at(NOSE, -20, 0, 0)[1]


def test_positive_yaw_turns_to_image_right() -> None:
    assert seen_at(NOSE, 0, -20, 0)[0] < 160 < seen_at(NOSE, 0, 20, 0)[0]


def test_positive_roll_tilts_counter_clockwise_in_the_image() -> None:
    assert seen_at(FOREHEAD, 0, 0, 20)[0] < 160 < seen_at(FOREHEAD, 0, 0, -20)[0]


@given(st.floats(-89, 89), st.floats(-179, 179), st.floats(-179, 179))
def test_angles_survive_the_round_trip(pitch: float, yaw: float, roll: float) -> None:
    rotation = rotation_from_angles(pitch, yaw, roll)
    assert np.linalg.det(rotation) == pytest.approx(1.0, abs=1e-12)
    again = rotation_from_angles(*angles_from_rotation(rotation))
    np.testing.assert_allclose(again, rotation, atol=1e-9)


@given(st.floats(0.2, 5), st.floats(-80, 80), st.floats(-80, 80))
def test_pose_and_its_inverse(scale: float, pitch: float, yaw: float) -> None:
    pose = Pose(scale, rotation_from_angles(pitch, yaw, 10.0), np.array([5.0, -3.0, 500.0]))
    points = np.random.default_rng(0).normal(scale=80.0, size=(20, 3))
    np.testing.assert_allclose(pose.obj_from_cam(pose.cam_from_obj(points)), points, atol=1e-9)
