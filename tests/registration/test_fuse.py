"""Captures of one face to one shape; strangers keep their own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from toy_faces import INTRINSICS, Scene, bump, make_scene

from fg3d_builder.config import RegistrationConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.records import Array, Registration
from fg3d_builder.registration.fuse import AGREE_MM, Frame, disagreement_mm, fuse
from fg3d_builder.registration.register import register
from fg3d_builder.rendering.depth_surface import DepthSurface

CONFIG = RegistrationConfig()
YAWS = (-25.0, 0.0, 25.0)


def face(model: FaceModel) -> Array:
    shape = model.shape(np.array([0.5, -0.5, 0.5, 0.5]), np.array([1.0]))
    return np.asarray(shape + 3.0 * bump(model.mean, (25, 0), 22)[:, None] * [0.1, 0.0, 1.0])


def stranger(model: FaceModel) -> Array:
    return model.shape(np.array([-2.0, 2.0, -2.0, -2.0]), np.array([0.0]))


def frame_of(model: FaceModel, shape: Array, yaw: float, seed: int) -> tuple[Frame, Scene]:
    """A noisy capture with landmarks that err together, registered alone."""
    rng = np.random.default_rng(seed)
    scene = make_scene(model, shape, yaw=yaw)
    depth = scene.capture.depth_mm + rng.normal(scale=1.0, size=scene.capture.depth_mm.shape)
    capture = dataclasses.replace(scene.capture, depth_mm=depth.astype(np.float32))
    slid = rng.normal(scale=1.5, size=2) + rng.normal(
        scale=0.5, size=scene.landmarks.points_px.shape
    )
    landmarks = dataclasses.replace(scene.landmarks, points_px=scene.landmarks.points_px + slid)
    surface = DepthSurface.from_depth(capture.depth_mm, INTRINSICS)
    alone = register(model, capture, landmarks, scene.coarse, CONFIG, surface)
    return Frame(capture, landmarks, surface, alone), scene


@pytest.fixture(scope="module")
def group(model: FaceModel) -> list[tuple[Frame, Scene]]:
    return [frame_of(model, face(model), yaw, i) for i, yaw in enumerate(YAWS)]


@pytest.fixture(scope="module")
def fused(model: FaceModel, group: list[tuple[Frame, Scene]]) -> list[Registration]:
    return fuse(model, [frame for frame, _ in group], CONFIG)


def test_one_shape_and_a_pose_for_each(
    model: FaceModel, group: list[tuple[Frame, Scene]], fused: list[Registration]
) -> None:
    for registration, (frame, _) in zip(fused, group, strict=True):
        assert registration.fusion is not None
        assert registration.fusion.captures == 3
        np.testing.assert_array_equal(registration.shape_obj_mm, fused[0].shape_obj_mm)
        np.testing.assert_allclose(
            registration.pose.cam_from_obj(registration.shape_obj_mm),
            registration.vertices_cam_mm,
            atol=1e-9,
        )
        # What each camera sees stays its own.
        same = registration.visible == frame.alone.visible
        assert same[model.reliable].mean() > 0.97
        assert np.all(registration.confidence[~registration.visible] == 0)


def test_vertices_are_nearer_to_the_truth_than_alone(
    model: FaceModel, group: list[tuple[Frame, Scene]], fused: list[Registration]
) -> None:
    """Over what each camera sees, and more so over what it does not see but the others do."""
    errors = np.array(
        [
            [
                np.linalg.norm(r.vertices_cam_mm - scene.truth_cam_mm, axis=1)[
                    model.reliable
                ].mean()
                for r in (frame.alone, registration)
            ]
            for registration, (frame, scene) in zip(fused, group, strict=True)
        ]
    )
    alone, together = errors.mean(axis=0)
    assert together < 0.8 * alone
    assert together < 0.9


def test_a_stranger_keeps_its_own_registration(
    model: FaceModel, group: list[tuple[Frame, Scene]]
) -> None:
    other, _ = frame_of(model, stranger(model), 5.0, 9)
    frames = [group[0][0], other, group[1][0]]
    apart = disagreement_mm(model, [frame.alone for frame in frames])
    assert apart[1] > AGREE_MM > max(apart[0], apart[2])
    found = fuse(model, frames, CONFIG)
    counts = [r.fusion.captures if r.fusion else 0 for r in found]
    assert counts == [2, 1, 2]
    np.testing.assert_array_equal(found[1].shape_obj_mm, other.alone.shape_obj_mm)


def test_two_strangers_are_no_group(model: FaceModel, group: list[tuple[Frame, Scene]]) -> None:
    other, _ = frame_of(model, stranger(model), 5.0, 9)
    found = fuse(model, [group[0][0], other], CONFIG)
    assert [r.fusion.captures if r.fusion else 0 for r in found] == [1, 1]
    np.testing.assert_array_equal(found[0].shape_obj_mm, group[0][0].alone.shape_obj_mm)


def test_the_same_every_time(
    model: FaceModel, group: list[tuple[Frame, Scene]], fused: list[Registration]
) -> None:
    again = fuse(model, [frame for frame, _ in group], CONFIG)
    for a, b in zip(again, fused, strict=True):
        np.testing.assert_array_equal(a.vertices_cam_mm, b.vertices_cam_mm)
        assert a.quality == b.quality
