"""Closest points and the tests that pairs must pass, on geometry that is known."""

from __future__ import annotations

import numpy as np
import pytest
from toy_faces import HEIGHT, INTRINSICS, WIDTH, make_scene

from fg3d_builder.config import RegistrationConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import cam_from_px
from fg3d_builder.registration.correspondence import CorrespondenceFinder
from fg3d_builder.rendering.depth_surface import DepthSurface

CONFIG = RegistrationConfig()


def finder_for(model: FaceModel, depth: np.ndarray, vertices: np.ndarray) -> CorrespondenceFinder:
    surface = DepthSurface.from_depth(depth, INTRINSICS)
    return CorrespondenceFinder(surface, vertices, model.triangles, CONFIG.max_distance_mm)


def test_closest_points_of_a_plane_are_the_feet_of_its_normals(model: FaceModel) -> None:
    depth = np.full((HEIGHT, WIDTH), 560.0)
    points = np.array([[10.0, 5.0, 555.0], [-20.3, 8.1, 563.0]])
    finder = finder_for(model, depth, np.array([[-60.0, -60, 550], [60, 60, 570]]))
    targets, _, weights = finder.closest(points)
    np.testing.assert_allclose(targets, [[10.0, 5.0, 560.0], [-20.3, 8.1, 560.0]], atol=1e-4)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-6)


def test_the_template_on_its_own_depth_is_accepted_at_no_distance(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    pairs = finder_for(model, scene.capture.depth_mm, scene.truth_cam_mm).find(
        scene.truth_cam_mm, CONFIG
    )
    assert pairs.accepted[model.reliable].mean() > 0.97
    # The fitted planes cut corners of the faceted nose; elsewhere they are exact.
    assert np.median(pairs.distance_mm[pairs.accepted]) < 0.02
    assert np.all(pairs.cosine[~pairs.accepted] == 0)


def test_holes_borders_and_distance_are_rejected(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    depth = scene.capture.depth_mm.copy()
    depth[200:240, 300:340] = np.nan
    in_hole = np.array([320.0, 220.0])
    vertices = scene.truth_cam_mm
    px = vertices[:, :2] / vertices[:, 2:] * 900.0 + [319.5, 239.5]
    pairs = finder_for(model, depth, vertices).find(vertices, CONFIG)
    close = np.abs(px - in_hole).max(axis=1) < 18
    assert close.sum() > 10
    assert not pairs.accepted[close].any()
    far = vertices + np.array([0.0, 0.0, 40.0])
    assert not finder_for(model, depth, vertices).find(far, CONFIG).accepted.any()


def test_normals_must_agree(model: FaceModel) -> None:
    """A step in depth seen edge-on is near the template but turned away from it."""
    scene = make_scene(model, model.mean)
    column = np.arange(WIDTH)
    steep = 550.0 + 3.0 * (column - 320)
    depth = np.broadcast_to(steep, (HEIGHT, WIDTH)).copy()
    pairs = finder_for(model, depth, scene.truth_cam_mm).find(scene.truth_cam_mm, CONFIG)
    near = pairs.distance_mm < CONFIG.max_distance_mm
    # The plane is tilted by 78 degrees; only the nose's flank may face like it.
    assert near[model.reliable].mean() > 0.3
    assert pairs.accepted[model.reliable].mean() < 0.05


def test_hidden_vertices_are_not_accepted(model: FaceModel) -> None:
    scene = make_scene(model, model.mean, yaw=60.0)
    pairs = finder_for(model, scene.capture.depth_mm, scene.truth_cam_mm).find(
        scene.truth_cam_mm, CONFIG
    )
    assert (~pairs.visible).sum() > 300
    assert not pairs.accepted[~pairs.visible].any()


def test_no_depth_near_the_face_is_a_failure_with_a_reason(model: FaceModel) -> None:
    vertices = cam_from_px(
        np.array([[100.0, 100.0], [200.0, 200.0]]), np.full(2, 500.0), INTRINSICS
    )
    with pytest.raises(CaptureError) as caught:
        finder_for(model, np.full((HEIGHT, WIDTH), 2000.0), vertices)
    assert caught.value.code == "no_depth_on_face"
