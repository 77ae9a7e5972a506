"""Hair, a patch and a neck in a photo whose face gets a new shape: what must stay, and whole."""

from __future__ import annotations

import functools
from dataclasses import replace

import cv2
import numpy as np
from lit_faces import LitFace, lit_face, skin_model, toy_light
from toy_models import labelled

from fg3d_builder.config import FullViewConfig, TextureConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.image_mesh import image_mesh
from fg3d_builder.fullview.texture_fit import fit_texture
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.rendering.shading import phong, srgb_from_linear
from fg3d_builder.transform.before_face import before_face
from fg3d_builder.transform.target_shape import TargetShape
from fg3d_builder.transform.transformed import LEAST_GAP_MM, Transformed, transform_capture

HAIR_ROWS, HAIR_COLUMNS = slice(15, 100), slice(100, 180)
"""A fringe that comes down from above the head over the forehead."""

HAIR_MM = 425.0
MARK = np.array([40, 60, 200])
MARK_ROW_COLUMN = (78, 142)
NECK = np.array([190, 140, 110])


@functools.lru_cache(maxsize=1)
def bare() -> tuple[FaceModel, LitFace]:
    model = labelled(skin_model())
    return model, lit_face(model, model.albedo(), toy_light(), yaw_deg=0.0)


@functools.lru_cache(maxsize=1)
def with_fringe() -> tuple[LitFace, Array]:
    """The face behind a striped fringe with a blue mark, and the fringe's pixels."""
    face = bare()[1]
    rgb, depth = face.capture.rgb.copy(), face.capture.depth_mm.copy()
    hair = np.zeros(depth.shape, dtype=bool)
    hair[HAIR_ROWS, HAIR_COLUMNS] = True
    column = np.broadcast_to(np.arange(depth.shape[1]), depth.shape)
    stripes = 40.0 + 20.0 * np.sin(column / 2.5)
    rgb[hair] = np.stack([stripes, 0.8 * stripes, 0.6 * stripes], axis=-1)[hair]
    row, at = MARK_ROW_COLUMN
    rgb[row - 3 : row + 4, at - 3 : at + 4] = MARK
    depth[hair] = HAIR_MM
    return replace(face, capture=replace(face.capture, rgb=rgb, depth_mm=depth)), hair


def transformed(face: LitFace, shape: Array) -> Transformed:
    model = bare()[0]
    capture, registration = face.capture, face.registration
    config = FullViewConfig()
    zero = np.zeros(len(model.id_sd)), np.zeros(len(model.exp_sd)), np.ones(len(shape))
    made = transform_capture(
        model,
        capture,
        registration,
        image_mesh(model, capture, registration, config),
        fit_texture(model, capture, registration, TextureConfig()),
        before_face(model, capture, registration, config),
        TargetShape(shape, *zero, 1.0, 0.0),
        "cholmod",
    )
    assert made is not None
    return made


def bumped(x: float, y: float, move_mm: list[float], width_mm: float = 25.0) -> Array:
    """The mean shape moved around a place of its front."""
    mean = bare()[0].mean
    away = np.linalg.norm(mean[:, :2] - [x, y], axis=1)
    return np.asarray(mean + np.exp(-((away / width_mm) ** 2))[:, None] * move_mm)


@functools.lru_cache(maxsize=1)
def moved_forehead() -> tuple[Array, Transformed]:
    """The forehead 7 mm to its left and 4 mm out, under the fringe."""
    shape = bumped(0.0, 55.0, [7.0, 0.0, 4.0])
    return shape, transformed(with_fringe()[0], shape)


def true_picture(shape: Array) -> tuple[Array, Array]:
    """The bare face with another shape in the same light, and its depth."""
    model, face = bare()
    vertices = face.registration.pose.cam_from_obj(shape)
    view = -vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    colors = phong(face.albedo, vertex_normals(vertices, model.triangles), view, face.light)
    height, width = face.capture.depth_mm.shape
    seen = rasterize(vertices, model.triangles, face.capture.intrinsics, height, width)
    return srgb_from_linear(interpolate(seen, model.triangles, colors)), seen.depth_mm


def inner(mask: Array, pixels: int) -> Array:
    return np.asarray(cv2.erode(mask.astype(np.uint8), np.ones((3, 3)), iterations=pixels) > 0)


def test_nothing_is_before_a_bare_face() -> None:
    model, face = bare()
    assert before_face(model, face.capture, face.registration, FullViewConfig()) is None


def test_a_fringe_is_found_over_the_face_and_beyond_its_outline() -> None:
    model = bare()[0]
    face, hair = with_fringe()
    found = before_face(model, face.capture, face.registration, FullViewConfig())
    assert found is not None
    thing = np.zeros(hair.shape, dtype=bool)
    thing[found.window] = found.thing
    on_face = np.isfinite(true_picture(model.mean)[1])
    wrong = (thing != hair) & on_face
    assert wrong.sum() < 0.04 * (hair & on_face).sum()
    assert not (thing & ~hair)[~on_face].any()
    above = hair & ~on_face
    assert (thing & above).sum() > 0.5 * above.sum()
    gap = np.zeros(hair.shape)
    gap[found.window] = found.gap_mm
    truth = true_picture(model.mean)[1] - HAIR_MM
    inside = inner(hair & on_face & thing, 2)
    assert np.abs(gap - truth)[inside].max() < 0.1


def test_hair_before_the_face_keeps_colour_and_place() -> None:
    face, hair = with_fringe()
    shape, made = moved_forehead()
    sure = inner(hair, 2)
    difference = np.abs(made.capture.rgb.astype(int) - face.capture.rgb)[sure]
    assert np.percentile(difference, 99) <= 3
    row, column = np.nonzero(made.capture.rgb[..., 2].astype(int) - made.capture.rgb[..., 0] > 60)
    assert abs(row.mean() - MARK_ROW_COLUMN[0]) < 0.5
    assert abs(column.mean() - MARK_ROW_COLUMN[1]) < 0.5
    # The skin beneath did move.
    pose = face.registration.pose
    there = [
        px_from_cam(pose.cam_from_obj(s), face.capture.intrinsics) for s in (bare()[0].mean, shape)
    ]
    assert np.linalg.norm(there[1] - there[0], axis=1).max() > 8.0


def test_skin_that_comes_into_sight_beside_hair_is_skin() -> None:
    _, hair = with_fringe()
    shape, made = moved_forehead()
    truth, depth = true_picture(shape)
    away = cv2.distanceTransform((~hair).astype(np.uint8), cv2.DIST_L2, 5)
    beside = (away > 1.5) & (away < 10.0) & inner(np.isfinite(depth), 8)
    assert beside.sum() > 1000
    difference = np.abs(made.capture.rgb.astype(int) - truth).max(axis=-1)[beside]
    assert np.median(difference) < 6
    assert np.percentile(difference, 99) < 25
    found = made.capture.depth_mm[beside & (away > 3)]
    assert np.percentile(np.abs(found - depth[beside & (away > 3)]), 95) < 1.0


def test_hair_stays_before_a_face_that_comes_nearer() -> None:
    face, hair = with_fringe()
    shape = bumped(0.0, 50.0, [0.0, 0.0, 40.0])
    made = transformed(face, shape)
    depth = true_picture(shape)[1]
    sure = inner(hair & np.isfinite(depth), 3)
    assert (depth < HAIR_MM)[sure].mean() > 0.1
    assert (made.capture.depth_mm < depth - LEAST_GAP_MM + 0.2)[sure].all()
    difference = np.abs(made.capture.rgb.astype(int) - face.capture.rgb)[sure]
    assert np.percentile(difference, 99) <= 3


def test_what_reaches_into_nothing_goes_along_whole() -> None:
    face = bare()[1]
    y, x = np.mgrid[: face.capture.rgb.shape[0], : face.capture.rgb.shape[1]]
    patch = (x - 180.0) ** 2 + (y - 150.0) ** 2 < 14.0**2
    rgb, depth = face.capture.rgb.copy(), face.capture.depth_mm.copy()
    rgb[patch] = MARK
    depth[patch] = depth[patch].min() - 8.0
    occluded = replace(face, capture=replace(face.capture, rgb=rgb, depth_mm=depth))
    centre = np.array([180.0, 150.0])
    place = (centre - face.capture.intrinsics[:2, 2]) / 620.0 * 450.0
    made = transformed(occluded, bumped(place[0], -place[1], [7.0, 0.0, 0.0]))
    row, column = np.nonzero(made.capture.rgb[..., 2].astype(int) - made.capture.rgb[..., 0] > 60)
    moved = np.array([column.mean(), row.mean()]) - centre
    assert 4.0 < moved[0] < 11.0
    assert abs(moved[1]) < 1.0
    # The face stretches beneath, the patch does not.
    assert np.ptp(column) == np.ptp(row)
    assert abs(np.ptp(row) - 27) <= 1
    assert abs(len(row) / patch.sum() - 1.0) < 0.05


def test_a_neck_stays_whole_under_a_chin_that_moves() -> None:
    model, face = bare()
    truth = true_picture(model.mean)[1]
    rgb, depth = face.capture.rgb.copy(), face.capture.depth_mm.copy()
    neck = np.zeros(depth.shape, dtype=bool)
    neck[200:, 95:185] = True
    neck &= ~np.isfinite(truth)
    rgb[neck], depth[neck] = NECK, 530.0
    clothed = replace(face, capture=replace(face.capture, rgb=rgb, depth_mm=depth))
    for longer in (0.93, 1.05):
        low = model.mean[:, 1:2] < 0
        made = transformed(clothed, np.where(low, model.mean * [1.0, longer, 1.0], model.mean))
        target = model.mean * [1.0, longer, 1.0]
        chin = np.isfinite(true_picture(np.where(low, target, model.mean))[1])
        away = cv2.distanceTransform((~chin).astype(np.uint8), cv2.DIST_L2, 5) > 2.0
        below = np.zeros(depth.shape, dtype=bool)
        below[200:, 105:175] = True
        difference = np.abs(made.capture.rgb.astype(int) - NECK).max(axis=-1)[below & away]
        assert difference.size > 1500
        assert (difference <= 3).mean() > 0.995
        assert difference.max() < 40
