"""Confidence: smooth on skin, falling towards borders, zero where the face was not seen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from toy_faces import HEIGHT, INTRINSICS, WIDTH, Scene, make_scene

from fg3d_builder.config import RegistrationConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import undirected_edges
from fg3d_builder.records import Array
from fg3d_builder.registration.confidence import vertex_confidence
from fg3d_builder.registration.correspondence import CorrespondenceFinder
from fg3d_builder.rendering.depth_surface import DepthSurface

CONFIG = RegistrationConfig()


def confidence_of(model: FaceModel, scene: Scene, depth: Array, foreign: Array) -> Array:
    surface = DepthSurface.from_depth(depth, INTRINSICS)
    finder = CorrespondenceFinder(surface, scene.truth_cam_mm, model.triangles, 15.0)
    pairs = finder.find(scene.truth_cam_mm, CONFIG)
    return vertex_confidence(model, surface, foreign, scene.truth_cam_mm, pairs)


def disc(column: int, row: int, radius: int) -> Array:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(mask, (column, row), radius, 1, -1)
    return mask > 0


NOTHING = np.zeros((HEIGHT, WIDTH), bool)


@pytest.mark.parametrize("noise_mm", [0.0, 0.3])
def test_seen_skin_is_confident_without_speckles(model: FaceModel, noise_mm: float) -> None:
    scene = make_scene(model, model.mean, noise_mm=noise_mm)
    confidence = confidence_of(model, scene, scene.capture.depth_mm, NOTHING)
    inner = model.reliable & (np.hypot(*(model.mean[:, :2] / [50, 66]).T) < 1)
    assert confidence[inner].min() > 0.5
    assert confidence[inner].mean() > 0.93
    low, high = undirected_edges(model.triangles).T
    both = inner[low] & inner[high]
    assert np.abs(confidence[low] - confidence[high])[both].max() < 0.2


def test_confidence_falls_smoothly_towards_what_hides_the_face(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    confidence = confidence_of(model, scene, scene.capture.depth_mm, disc(340, 240, 40))
    px = px_from_cam(scene.truth_cam_mm, INTRINSICS)
    away_mm = (np.hypot(px[:, 0] - 340, px[:, 1] - 240) - 40) * 0.61
    front = model.reliable & (np.abs(model.mean[:, 0]) < 45) & (np.abs(model.mean[:, 1]) < 55)
    assert np.all(confidence[front & (away_mm < 0.0)] == 0)
    assert np.all(confidence[front & (away_mm > 1.5)] > 0)
    rings = [
        confidence[front & (away_mm > a) & (away_mm <= a + 2.0)].mean() for a in (1, 3, 5, 7, 9)
    ]
    assert np.all(np.diff(rings) > 0)
    assert rings[0] < 0.6
    assert rings[-1] > 0.9


def test_where_depth_is_missing_nothing_was_seen(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    hole = disc(340, 240, 25)
    depth = np.where(hole, np.nan, scene.capture.depth_mm)
    confidence = confidence_of(model, scene, depth, NOTHING)
    px = px_from_cam(scene.truth_cam_mm, INTRINSICS)
    away = np.hypot(px[:, 0] - 340, px[:, 1] - 240)
    assert np.all(confidence[away < 22] == 0)
    front = model.reliable & (np.abs(model.mean[:, 0]) < 45) & (np.abs(model.mean[:, 1]) < 55)
    assert np.all(confidence[front & (away > 29)] > 0)


def test_a_mesh_beside_the_surface_is_not_on_it(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    front = model.reliable & (np.abs(model.mean[:, 0]) < 40) & (np.abs(model.mean[:, 1]) < 50)
    found = []
    for off_mm in (0.0, 0.5, 1.0, 2.0, 6.0):
        depth = scene.capture.depth_mm - off_mm
        found.append(confidence_of(model, scene, depth, NOTHING)[front].mean())
    assert np.all(np.diff(found) < 0)
    assert found[0] > 0.9
    assert 0.1 < found[2] < 0.4
    assert found[-1] == 0.0
