"""The schedule of turns and the virtual cameras."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from toy_scene import INTRINSICS, toy_scene

from fg3d_builder.config import FullViewConfig
from fg3d_builder.fullview.views import (
    CAPTURED,
    Turn,
    at_depth_of,
    head_center_cam_mm,
    jittered,
    schedule,
    view_camera,
)
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.pose import angles_from_rotation, rotation_from_angles
from fg3d_builder.records import Pose

CONFIG = FullViewConfig()


def pose(pitch: float, yaw: float, roll: float = 0.0) -> Pose:
    return Pose(1.0, rotation_from_angles(pitch, yaw, roll), np.array([0.0, 0.0, 600.0]))


def test_a_frontal_capture_has_the_papers_eight_turns() -> None:
    names = [turn.name for turn in schedule(pose(0, 0), CONFIG)]
    turned_left, turned_right = ["+15", "+30", "+45"], ["-15", "-30", "-45"]
    assert names[:6] == [f"view+00{yaw}" for yaw in turned_left + turned_right]
    assert names[6:] == ["view+15+00", "view-25+00"]
    assert CAPTURED.name == "view+00+00"


@pytest.mark.parametrize("yaw", [-70.0, -52.0, -33.0, -20.0, -6.0, 3.0, 11.0, 20.0, 44.0])
def test_turning_stops_at_the_largest_yaw_and_never_turns_back(yaw: float) -> None:
    turns = [t for t in schedule(pose(4, yaw, 3), CONFIG) if t.yaw_step_deg]
    for turn in turns:
        assert turn.yaw_deg * turn.yaw_step_deg > 0
        assert abs(turn.yaw_deg) <= abs(turn.yaw_step_deg) + 1e-9
        assert abs(yaw + turn.yaw_deg) <= max(CONFIG.max_yaw_deg, abs(yaw)) + 1e-9
    reached = sorted([0.0, *(t.yaw_deg for t in turns)])
    assert np.diff(reached).min() >= 7.5 - 1e-9
    assert len({t.name for t in turns}) == len(turns)


def test_jitter_comes_from_the_seed_alone() -> None:
    turn = Turn(0.0, 15.0, 0.0, 15.0)
    assert jittered(turn, 0.0, 1) == turn
    assert jittered(turn, 2.0, 1) == jittered(turn, 2.0, 1) != jittered(turn, 2.0, 2)
    drawn = np.array([jittered(turn, 2.0, seed)[2:] for seed in range(2000)])
    np.testing.assert_allclose(drawn.mean(axis=0), [0.0, 15.0], atol=0.2)
    np.testing.assert_allclose(drawn.std(axis=0), 2.0, rtol=0.06)


@pytest.mark.parametrize("turn", [(0.0, 30.0), (0.0, -45.0), (15.0, 0.0), (-25.0, 0.0), (7.0, 9.0)])
def test_angles_are_added_to_the_captured_pose(turn: tuple[float, float]) -> None:
    scene = toy_scene(-12.0, 30.0)
    camera = view_camera(
        scene.model, scene.registration, scene.initial, INTRINSICS, Turn(*turn, *turn), 1.25, 64
    )
    angles = angles_from_rotation(camera.pose.rotation)
    np.testing.assert_allclose(angles, [-12.0 + turn[0], 30.0 + turn[1], 0.0], atol=1e-9)
    shape = scene.registration.shape_obj_mm
    np.testing.assert_allclose(
        camera.pose.cam_from_obj(shape),
        camera.view_from_cam(scene.registration.vertices_cam_mm),
        atol=1e-9,
    )
    center = head_center_cam_mm(scene.registration)
    np.testing.assert_allclose(camera.view_from_cam(center), center, atol=1e-9)
    assert np.linalg.det(camera.rotation) == pytest.approx(1.0)


@pytest.mark.parametrize("yaw", [0.0, 45.0])
def test_crop_holds_the_turned_initial_fit(yaw: float) -> None:
    scene = toy_scene()
    place = np.array([9.0, 4.0, 650.0])
    moved = dataclasses.replace(
        scene.initial, pose=dataclasses.replace(scene.initial.pose, translation_mm=place)
    )
    camera = view_camera(
        scene.model, scene.registration, moved, INTRINSICS, Turn(0, yaw, 0, yaw), 1.25, 128
    )
    pose = at_depth_of(moved, scene.registration, scene.model.reliable)
    face = pose.cam_from_obj(moved.shape_obj_mm[scene.model.reliable])
    box = px_from_cam(camera.view_from_cam(face), camera.intrinsics)
    np.testing.assert_allclose((box.min(axis=0) + box.max(axis=0)) / 2, 63.5, atol=1e-6)
    assert np.ptp(box, axis=0).max() == pytest.approx(128 / 1.25)


@pytest.mark.parametrize("turn", [(0.0, 45.0), (0.0, -45.0), (-25.0, 0.0)])
def test_a_fit_at_a_wrong_distance_does_not_leave_the_crop(turn: tuple[float, float]) -> None:
    """Landmarks leave size and distance open together; the crop must not turn with that."""
    scene = toy_scene()
    pose = scene.initial.pose
    for factor in (0.85, 1.2):
        far = Pose(factor * pose.scale, pose.rotation, factor * np.asarray(pose.translation_mm))
        near_crop, far_crop = (
            view_camera(
                scene.model,
                scene.registration,
                dataclasses.replace(scene.initial, pose=p),
                INTRINSICS,
                Turn(*turn, *turn),
                1.25,
                128,
            ).px_crop_from_px
            for p in (pose, far)
        )
        np.testing.assert_allclose(far_crop, near_crop, rtol=1e-9)
