"""A photo under another shape: what must stay, what must move, and where it must land."""

from __future__ import annotations

import functools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from lit_faces import LitFace, lit_face, skin_model, toy_light
from toy_models import labelled

from fg3d_builder.config import FullViewConfig, TextureConfig
from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.fullview.image_mesh import ImageMesh, image_mesh
from fg3d_builder.fullview.texture_fit import TextureFit, fit_texture
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import rasterize
from fg3d_builder.transform.target_shape import TargetShape
from fg3d_builder.transform.transformed import Transformed, transform_capture

SOLVER = "cholmod"
MARK = np.array([40, 60, 200])


@functools.lru_cache(maxsize=1)
def scene() -> tuple[FaceModel, LitFace, ImageMesh, TextureFit]:
    """A lit toy face, with a blue mark painted on the tip of its nose."""
    model = labelled(skin_model())
    face = lit_face(model, model.albedo(), toy_light(), yaw_deg=0.0)
    mesh = image_mesh(model, face.capture, face.registration, FullViewConfig())
    texture = fit_texture(model, face.capture, face.registration, TextureConfig())
    rgb = face.capture.rgb.copy()
    column, row = px_from_cam(tip(model, face.registration.vertices_cam_mm), camera(face))
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    rgb[(x - column) ** 2 + (y - row) ** 2 < 16] = MARK
    return model, replace(face, capture=replace(face.capture, rgb=rgb)), mesh, texture


def camera(face: LitFace) -> Array:
    return face.capture.intrinsics


def tip(model: FaceModel, vertices: Array) -> Array:
    """The vertex that is the tip of the toy nose in the mean shape."""
    return np.asarray(vertices[np.argmax(model.mean[:, 2])])


def transformed(shape: Array) -> Transformed:
    model, face, mesh, texture = scene()
    target = TargetShape(
        shape, np.zeros(len(model.id_sd)), np.zeros(len(model.exp_sd)), np.ones(len(shape)), 1, 0
    )
    made = transform_capture(
        model, face.capture, face.registration, mesh, texture, None, target, SOLVER
    )
    assert made is not None
    return made


def mark_px(rgb: Array) -> Array:
    """Centre (x, y) of what is bluer than red."""
    row, column = np.nonzero(rgb[..., 2].astype(int) - rgb[..., 0] > 60)
    assert len(row) > 20
    return np.array([column.mean(), row.mean()])


@functools.lru_cache(maxsize=1)
def moved_nose() -> tuple[Array, Transformed]:
    """The nose 8 mm to its left and 5 mm further out, fading into the cheeks."""
    model = scene()[0]
    centre = tip(model, model.mean)
    away = np.linalg.norm((model.mean - centre) * [1, 1, 0.3], axis=1)
    shape = model.mean + np.exp(-((away / 25.0) ** 2))[:, None] * [8.0, 0.0, 5.0]
    return shape, transformed(shape)


def test_the_captured_shape_keeps_the_picture() -> None:
    model, face, _, _ = scene()
    made = transformed(model.mean)
    difference = np.abs(made.capture.rgb.astype(int) - face.capture.rgb)
    assert np.percentile(difference, 99) <= 2
    assert difference.mean() < 0.2
    known = np.isfinite(made.capture.depth_mm) & np.isfinite(face.capture.depth_mm)
    assert known.mean() > 0.98
    gap = np.abs(made.capture.depth_mm - face.capture.depth_mm)[known]
    assert np.percentile(gap, 98) < 0.5
    np.testing.assert_array_equal(made.registration.shape_obj_mm, model.mean)
    assert made.painted < 0.01


def test_what_is_painted_on_the_nose_goes_where_the_nose_goes() -> None:
    model, face, _, _ = scene()
    shape, made = moved_nose()
    vertices = face.registration.pose.cam_from_obj(shape)
    wanted = px_from_cam(tip(model, vertices), camera(face))
    before = mark_px(face.capture.rgb)
    assert np.linalg.norm(wanted - before) > 8.0
    assert np.linalg.norm(mark_px(made.capture.rgb) - wanted) < 0.7
    assert np.linalg.norm(mark_px(made.warped_rgb) - wanted) < 0.7
    np.testing.assert_allclose(made.registration.vertices_cam_mm, vertices)


def test_depth_is_that_of_the_new_shape() -> None:
    model, face, _, _ = scene()
    shape, made = moved_nose()
    vertices = face.registration.pose.cam_from_obj(shape)
    height, width = made.capture.depth_mm.shape
    truth = rasterize(vertices, model.triangles, camera(face), height, width)
    nose = np.append(model.parts == PARTS.index("nose"), False)
    on_nose = nose[np.where(truth.triangle >= 0, model.triangles[truth.triangle, 0], -1)]
    gap = made.capture.depth_mm - truth.depth_mm
    assert np.nanpercentile(np.abs(gap[on_nose]), 90) < 0.5
    unchanged = face.capture.depth_mm - truth.depth_mm
    assert np.nanpercentile(np.abs(unchanged[on_nose]), 90) > 3.0


def test_a_wider_face_pushes_the_background_but_not_the_picture_s_border() -> None:
    model, face, mesh, _ = scene()
    made = transformed(model.mean * [1.06, 1.0, 1.0])
    difference = np.abs(made.capture.rgb.astype(int) - face.capture.rgb)
    border = np.ones(difference.shape[:2], dtype=bool)
    border[2:-2, 2:-2] = False
    assert difference[border].max() <= 2
    outline = made.mesh.source_px[: mesh.face_vertex_count]
    wider = np.ptp(outline[:, 0]) / np.ptp(mesh.source_px[: mesh.face_vertex_count, 0])
    assert wider == pytest.approx(1.06, abs=0.01)


def test_shading_changes_colours_of_the_face_alone() -> None:
    _, made = moved_nose()
    changed = np.any(made.capture.rgb != made.warped_rgb, axis=-1)
    face = made.capture.depth_mm < 800
    around = cv2.dilate(face.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert not changed[~around].any()
    # More than what is painted and its soft border.
    assert changed.sum() > (made.painted + 0.13) * face.sum()


def test_a_face_that_leaves_its_picture_behind_is_refused() -> None:
    """Where the outline crosses the fixed border of the anchors, folds cannot be avoided."""
    model, face, mesh, texture = scene()
    shape = model.mean * 4.0
    zero = np.zeros(len(model.id_sd)), np.zeros(len(model.exp_sd)), np.ones(len(shape))
    target = TargetShape(shape, *zero, 1.0, 0.0)
    made = transform_capture(
        model, face.capture, face.registration, mesh, texture, None, target, SOLVER
    )
    assert made is None
