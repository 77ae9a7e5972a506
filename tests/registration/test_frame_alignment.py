"""Relative poses of captures of one face, by its depth and by what is painted on it."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from toy_faces import HEIGHT, INTRINSICS, WIDTH, Scene, make_scene

from fg3d_builder.config import RegistrationConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.records import Array, Pose
from fg3d_builder.registration.frame_alignment import (
    AlignedFrame,
    FrameDetails,
    align_frames,
    shown_together,
)
from fg3d_builder.registration.register import nonrigid_icp
from fg3d_builder.rendering.depth_surface import DepthSurface
from fg3d_builder.rendering.rasterizer import interpolate, rasterize

CONFIG = RegistrationConfig()


def painted(model: FaceModel, scene: Scene, light: float) -> Scene:
    """Draw smooth spots on the skin, under a light from one side."""
    x, y = model.mean[:, 0], model.mean[:, 1]
    albedo = 120.0 + 60.0 * np.sin(x / 3.0) * np.sin(y / 4.0)
    fragments = rasterize(scene.truth_cam_mm, model.triangles, INTRINSICS, HEIGHT, WIDTH)
    shade = 1.0 + light * x / 100.0
    tone = interpolate(fragments, model.triangles, (albedo * shade)[:, None])
    rgb = np.repeat(np.clip(tone, 0, 255).astype(np.uint8), 3, axis=2)
    return dataclasses.replace(scene, capture=dataclasses.replace(scene.capture, rgb=rgb))


def frame_of(model: FaceModel, scene: Scene, slid_deg: float) -> AlignedFrame:
    """A frame whose registration slid about the face, by a turn about the head's own axis."""
    a = np.radians(slid_deg)
    slide = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1.0]])
    vertices = scene.pose.cam_from_obj(model.mean @ slide.T)
    surface = DepthSurface.from_depth(scene.capture.depth_mm, INTRINSICS)
    icp = nonrigid_icp(model, scene.capture, scene.landmarks, vertices, scene.pose, CONFIG, surface)
    details = FrameDetails.of(scene.capture.rgb, scene.capture.depth_mm, 520.0, 900.0)
    return AlignedFrame(icp, details, vertices, model.reliable.astype(float))


def angle_deg(a: Array, b: Array) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(a.T @ b) - 1) / 2, -1, 1))))


def relative(first: Pose, second: Pose) -> Pose:
    turn = second.rotation @ first.rotation.T
    return Pose(1.0, turn, second.translation_mm - turn @ first.translation_mm)


@pytest.mark.parametrize("light", [0.0, 0.5])
def test_paint_and_depth_find_the_turn(model: FaceModel, light: float) -> None:
    """One registration is rolled by 2 degrees on the face: the frames' pose must not be."""
    scenes = [
        painted(model, make_scene(model, model.mean, yaw=yaw, noise_mm=0.2), sign * light)
        for yaw, sign in ((0.0, 1.0), (20.0, -1.0))
    ]
    frames = [frame_of(model, scenes[0], 0.0), frame_of(model, scenes[1], 2.0)]
    truth = relative(scenes[0].pose, scenes[1].pose)
    first, second = align_frames(frames)
    np.testing.assert_array_equal(first.rotation, np.eye(3))
    assert angle_deg(second.rotation, truth.rotation) < 0.25
    at_truth = truth.cam_from_obj(scenes[0].truth_cam_mm)
    off = np.linalg.norm(second.cam_from_obj(scenes[0].truth_cam_mm) - at_truth, axis=1)
    assert off[model.reliable].mean() < 0.25


def test_slow_light_is_no_detail() -> None:
    """A brightness that doubles across the face leaves almost nothing; spots stay."""
    ramp = np.tile(np.linspace(80, 160, WIDTH), (HEIGHT, 1))
    depth = np.full((HEIGHT, WIDTH), 500.0, np.float32)
    inner = (slice(60, -60), slice(60, -60))

    def details(grey: Array) -> Array:
        rgb = np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)
        return np.asarray(FrameDetails.of(rgb, depth, 500.0, 900.0).values[inner])

    spots = ramp.copy()
    cv2.circle(spots, (WIDTH // 2, HEIGHT // 2), 6, 40.0, -1)
    assert np.abs(details(ramp)).max() < 0.02
    assert np.abs(details(spots)).max() > 0.4


def test_frames_are_averaged_by_confidence(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    frame = frame_of(model, scene, 0.0)
    further = np.array([0.0, 0.0, 1.0])
    moved = frame._replace(
        vertices_cam_mm=frame.vertices_cam_mm + further, confidence=frame.confidence / 3
    )
    here = Pose(1.0, np.eye(3), np.zeros(3))
    both = shown_together([frame, moved], [here, here])
    difference = (both.vertices_mm - frame.vertices_cam_mm)[model.reliable]
    np.testing.assert_allclose(difference, np.tile([0, 0, 0.25], (len(difference), 1)), atol=1e-9)
