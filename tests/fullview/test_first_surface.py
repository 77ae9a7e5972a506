"""A surface drawn in a box alone is there what it is as a whole."""

from __future__ import annotations

import numpy as np
from head_scene import Look, head_scene

from fg3d_builder.config import FullViewConfig
from fg3d_builder.fullview.first_surface import coarse_fragments, coarse_px, is_first
from fg3d_builder.fullview.measured_head import measured_head


def test_only_the_asked_places_box_is_drawn_and_as_in_the_whole() -> None:
    scene = head_scene(Look())
    face, triangles = scene.registration.vertices_cam_mm, scene.model.triangles
    measured = measured_head(scene.capture, face, triangles, FullViewConfig())
    places = face[scene.model.reliable][::7]
    at = coarse_px(places, measured)
    whole = coarse_fragments(face, triangles, measured)
    drawn = coarse_fragments(face, triangles, measured, at)
    (left, top), (right, bottom) = np.rint([at.min(axis=0), at.max(axis=0)]).astype(int)
    inside = np.zeros(whole.triangle.shape, dtype=bool)
    inside[top : bottom + 1, left : right + 1] = True
    assert (whole.triangle[~inside] >= 0).any()
    assert (drawn.triangle[~inside] < 0).all()
    for mine, all_ in zip(drawn, whole, strict=True):
        np.testing.assert_array_equal(mine[inside], all_[inside])
    np.testing.assert_array_equal(is_first(places, drawn, at), is_first(places, whole, at))


def test_places_that_no_camera_sees_draw_no_more_than_the_image() -> None:
    scene = head_scene(Look())
    face, triangles = scene.registration.vertices_cam_mm, scene.model.triangles
    measured = measured_head(scene.capture, face, triangles, FullViewConfig())
    at = np.array([[np.nan, np.nan], [-1e9, 5.0], [1e9, 1e9]])
    whole = coarse_fragments(face, triangles, measured)
    drawn = coarse_fragments(face, triangles, measured, at)
    np.testing.assert_array_equal(drawn.triangle, whole.triangle)
