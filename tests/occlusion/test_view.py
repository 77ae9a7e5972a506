"""Distances of measured points to a template: along its normal, and to its nearest part."""

from __future__ import annotations

import numpy as np
import pytest
from toy_faces import INTRINSICS, bump, make_scene

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.occlusion.view import TemplateView, distance_from_face
from fg3d_builder.records import Array
from fg3d_builder.rendering.depth_surface import DepthSurface


def view_of(depth: Array, template: Array, model: FaceModel) -> tuple[DepthSurface, TemplateView]:
    surface = DepthSurface.from_depth(depth, INTRINSICS)
    view = TemplateView.of(surface, template, model.triangles)
    assert view is not None
    return surface, view


def test_distance_is_along_the_templates_normal(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    _, view = view_of(scene.capture.depth_mm, scene.truth_cam_mm, model)
    assert np.nanmax(np.abs(view.distance_mm)) < 0.1
    behind = scene.truth_cam_mm + np.array([0.0, 0.0, 3.0])
    _, view = view_of(scene.capture.depth_mm, behind, model)
    # 3 mm along z are 3 mm times the cosine; most of the face turns away a little.
    assert np.nanquantile(view.distance_mm, 0.9) == pytest.approx(3.0, abs=0.2)
    assert np.nanquantile(view.distance_mm, 0.05) < 2.5
    assert view.pitch_mm == pytest.approx(550.0 / 900.0, rel=0.05)


def test_beside_what_is_steep_the_nearest_part_counts(model: FaceModel) -> None:
    """A face 4 mm aside is at most 4 mm away, however steep its nose is; 9 mm before stay 9."""
    steeper = model.mean + 30.0 * bump(model.mean, (0, -4), 12)[:, None] * [0.0, 0.0, 1.0]
    scene = make_scene(model, steeper)
    aside = scene.truth_cam_mm + np.array([4.0, 0.0, 0.0])
    surface, view = view_of(scene.capture.depth_mm, aside, model)
    distance = distance_from_face(surface, view, aside, model.triangles, 1.0)
    # A nose with a slope of 2 is 8 mm away along the ray.
    assert np.nanmax(view.distance_mm * (view.cosine > 0.7)) > 4.5
    assert np.nanquantile(np.abs(distance), 0.99) < 4.3
    surface, view = view_of(scene.capture.depth_mm - 9.0, scene.truth_cam_mm, model)
    distance = distance_from_face(surface, view, scene.truth_cam_mm, model.triangles, 1.0)
    frontal = view.cosine > 0.95
    assert np.nanmedian(distance[frontal]) == pytest.approx(9.0, abs=0.8)


def test_steps_have_a_near_and_a_far_side(model: FaceModel) -> None:
    scene = make_scene(model, model.mean)
    depth = scene.capture.depth_mm.copy()
    depth[230:260, 300:330] -= 10.0
    _, view = view_of(depth, scene.truth_cam_mm, model)
    near, far = view.steps(view.measured_mm, 2.0)
    rows, columns = view.box
    inside = np.zeros(depth.shape, bool)
    inside[230:260, 300:330] = True
    inside = inside[rows, columns]
    assert near[inside].sum() == pytest.approx(4 * 29, abs=4)
    assert far[~inside].sum() > 4 * 29
    assert not far[inside].any()
