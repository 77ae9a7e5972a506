"""One template onto several captures: the same as onto one, and better with more of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from toy_faces import INTRINSICS, Scene, bump, make_scene

from fg3d_builder.config import RegistrationConfig, StiffnessLevel
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array, Pose
from fg3d_builder.registration.fused_icp import FusedIcp, Pulls
from fg3d_builder.registration.nonrigid_icp import NonrigidIcp
from fg3d_builder.registration.register import nonrigid_icp
from fg3d_builder.rendering.depth_surface import DepthSurface

CONFIG = RegistrationConfig(
    levels=(StiffnessLevel(30.0, 10.0, 2), StiffnessLevel(3.0, 3.0, 1), StiffnessLevel(0.4, 1.0, 3))
)
HERE = Pose(1.0, np.eye(3), np.zeros(3))


def icp_of(model: FaceModel, scene: Scene, start_cam_mm: Array) -> NonrigidIcp:
    surface = DepthSurface.from_depth(scene.capture.depth_mm, INTRINSICS)
    return nonrigid_icp(
        model, scene.capture, scene.landmarks, start_cam_mm, scene.pose, CONFIG, surface
    )


def last(icp: NonrigidIcp | FusedIcp) -> Array:
    return list(icp.run())[-1].vertices_cam_mm


def test_one_capture_is_registered_as_by_nonrigid_icp(model: FaceModel) -> None:
    scene = make_scene(model, model.shape(np.ones(4), np.zeros(1)), yaw=12.0, noise_mm=0.3)
    start = scene.coarse.pose.cam_from_obj(scene.coarse.shape_obj_mm)
    alone = last(icp_of(model, scene, start))
    fused = last(FusedIcp(model, start, [icp_of(model, scene, start)], [HERE], CONFIG))
    np.testing.assert_allclose(fused, alone, atol=1e-6)


def test_noise_averages_out(model: FaceModel) -> None:
    """Twice four frames from one place: their faces differ less than those of two frames."""
    shape = model.mean + 3.0 * bump(model.mean, (25, 0), 22)[:, None] * [0.1, 0.0, 1.0]
    clean = make_scene(model, shape)
    rng = np.random.default_rng(5)
    start = clean.coarse.pose.cam_from_obj(clean.coarse.shape_obj_mm)

    def noisy() -> NonrigidIcp:
        noise = rng.normal(scale=2.0, size=clean.capture.depth_mm.shape)
        capture = dataclasses.replace(clean.capture, depth_mm=clean.capture.depth_mm + noise)
        return icp_of(model, dataclasses.replace(clean, capture=capture), start)

    alone = [last(noisy()) for _ in range(2)]
    fused = [
        last(FusedIcp(model, start, [noisy() for _ in range(4)], [HERE] * 4, CONFIG))
        for _ in range(2)
    ]
    apart = [np.abs(a - b)[model.reliable, 2].mean() for a, b in (alone, fused)]
    # Not by half: with less noise more relief is believed.
    assert apart[1] < 0.8 * apart[0]
    error = [
        np.abs(found[0] - clean.truth_cam_mm)[model.reliable, 2].mean() for found in (alone, fused)
    ]
    assert error[1] < error[0]


def test_a_camera_elsewhere_sees_the_same_face(model: FaceModel) -> None:
    """The second camera stands 30 degrees aside; the common frame is the first one's."""
    shape = model.shape(np.array([0.5, -0.5, 0.5, 0.5]), np.array([1.0]))
    scenes = [make_scene(model, shape, yaw=yaw, noise_mm=0.2) for yaw in (0.0, 30.0)]
    first, second = (scene.pose for scene in scenes)
    turned = second.rotation @ first.rotation.T
    pose = Pose(1.0, turned, second.translation_mm - turned @ first.translation_mm)
    np.testing.assert_allclose(
        pose.cam_from_obj(scenes[0].truth_cam_mm), scenes[1].truth_cam_mm, atol=1e-9
    )
    start = first.cam_from_obj(model.mean)
    icps = [icp_of(model, scenes[0], start), icp_of(model, scenes[1], pose.cam_from_obj(start))]
    fused = last(FusedIcp(model, start, icps, [HERE, pose], CONFIG))
    aside = pose.obj_from_cam(last(icp_of(model, scenes[1], pose.cam_from_obj(start))))
    error = [
        np.linalg.norm(found - scenes[0].truth_cam_mm, axis=1)[model.reliable].mean()
        for found in (aside, fused)
    ]
    assert error[1] < 0.4
    assert error[1] < error[0]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_coordinate_with_the_others_held(axis: int) -> None:
    """Solving one coordinate is the minimum of the quadratic along it."""
    rng = np.random.default_rng(2)
    root = rng.normal(size=(5, 3, 3))
    pulls = Pulls(root @ root.transpose(0, 2, 1), rng.normal(size=(5, 3)))
    moved = rng.normal(size=(5, 3))
    weights, pull = pulls.along(axis, moved)
    best = moved.copy()
    best[:, axis] = pull / weights
    gradient = np.einsum("kab,kb->ka", pulls.matrix, best) - pulls.force
    np.testing.assert_allclose(gradient[:, axis], 0.0, atol=1e-9)


def test_rotations_of_the_frames_do_not_matter(model: FaceModel) -> None:
    """A camera that is rolled about its axis shows the same surface."""
    scene = make_scene(model, model.mean, yaw=5.0)
    start = scene.coarse.pose.cam_from_obj(scene.coarse.shape_obj_mm)
    roll = rotation_from_angles(0.0, 0.0, 0.0).T @ rotation_from_angles(0.0, 0.0, 90.0)
    common_from_cam = Pose(1.0, roll, np.zeros(3))
    cam_from_common = Pose(1.0, roll.T, np.zeros(3))
    icps = [icp_of(model, scene, start)]
    found = last(
        FusedIcp(model, common_from_cam.cam_from_obj(start), icps, [cam_from_common], CONFIG)
    )
    plain = last(FusedIcp(model, start, [icp_of(model, scene, start)], [HERE], CONFIG))
    np.testing.assert_allclose(cam_from_common.cam_from_obj(found), plain, atol=0.02)
