"""Views of whole heads against renderings of the same heads, turned."""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np
import pytest
from head_scene import (
    CONFIG,
    HAIR,
    INTRINSICS,
    SIZE,
    SKIN,
    STRIP,
    WALL,
    HeadScene,
    Look,
    head_scene,
    photograph,
    source_of,
)

from fg3d_builder.fullview.augment import paint_unseen
from fg3d_builder.fullview.layers import Layers, layers_of
from fg3d_builder.fullview.render_view import RenderedView, render_view
from fg3d_builder.fullview.source import Source
from fg3d_builder.fullview.views import ViewCamera
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.crop import crop_image
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import rasterize

BALD, HAIRY, LONG = Look(701), Look(701, 0.0, 10.0), Look(702, 15.0, 14.0, True)
STRIPED = Look(702, 0.0, 8.0, False, 60.0)
TURNS = [(0.0, 30.0), (0.0, -45.0), (15.0, 0.0), (-25.0, 0.0)]


@functools.lru_cache(maxsize=32)
def viewed(look: Look, turn: tuple[float, float]) -> tuple[Source, ViewCamera, RenderedView]:
    source, camera = source_of(look), head_scene(look).camera(*turn)
    return source, camera, render_view(source, camera, CONFIG)


def layers(look: Look, turn: tuple[float, float]) -> tuple[ViewCamera, Layers]:
    source, camera, _ = viewed(look, turn)
    return camera, layers_of(source, camera.view_from_cam(source.vertices_cam_mm), camera, CONFIG)


def truth(scene: HeadScene, camera: ViewCamera) -> tuple[Array, Array, Array]:
    """Picture (S, S, 3), depth (S, S) and head (S, S) of the turned head before a wall."""
    vertices = camera.view_from_cam(scene.outside_cam_mm)
    strip = None if scene.strip_cam_mm is None else camera.view_from_cam(scene.strip_cam_mm)
    rgb, depth = photograph(
        vertices, scene.triangles, scene.colors, strip, camera.intrinsics, (SIZE, SIZE)
    )
    found = rasterize(vertices, scene.triangles, camera.intrinsics, SIZE, SIZE)
    return rgb, depth, found.triangle >= 0


def grown(mask: Array, pixels: int) -> Array:
    side = 2 * pixels + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def off(colors: Array, wanted: tuple[int, int, int]) -> Array:
    return np.asarray(np.abs(colors.astype(float) - np.array(wanted)).max(axis=-1))


@pytest.mark.parametrize("look", [BALD, HAIRY, LONG, STRIPED])
def test_a_view_that_is_not_turned_is_the_photograph(look: Look) -> None:
    scene = head_scene(look)
    _, camera, seen = viewed(look, (0.0, 0.0))
    photo = crop_image(scene.capture.rgb, camera.px_crop_from_px, SIZE)
    inside = ~seen.beyond & seen.covered
    error = np.abs(seen.rgb.astype(float) - photo)[inside]
    assert inside.mean() > 0.9
    # Two ways of resampling: cubic, and over each pixel's footprint.
    assert error.mean() < 0.7
    assert np.quantile(error, 0.999) < 20
    assert not seen.face_unseen.any()
    assert seen.trust[seen.face].min() == 1.0


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("look", [BALD, HAIRY, LONG])
def test_a_turned_head_has_no_hole(look: Look, turn: tuple[float, float]) -> None:
    scene = head_scene(look)
    _, camera, seen = viewed(look, turn)
    _, _, true_head = truth(scene, camera)
    drawn = seen.face | seen.captured | seen.surround
    pixel = ~seen.beyond
    # The outline itself is nobody's; what is more than 3 pixels inside is the head's.
    inner = ~grown(~true_head, 3) & pixel
    # Hair over an ear stands out on its far side, too, which nobody saw.
    assert (inner & ~drawn).sum() < (0.02 if look.over_ears else 0.01) * inner.sum()
    outer = ~grown(true_head, 3) & pixel
    assert (outer & drawn).sum() < 0.01 * inner.sum()
    # Nor is there a pixel of the wall within it, once unseen skin is painted.
    made = paint_unseen(seen, seen.around_linear)
    assert (off(made, WALL) < 40)[inner & drawn].mean() < 0.001
    np.testing.assert_array_equal(seen.face & seen.surround, False)
    np.testing.assert_array_equal(seen.face & seen.captured, False)
    np.testing.assert_array_equal(seen.captured & seen.surround, False)


@pytest.mark.parametrize("turn", TURNS)
def test_what_was_seen_is_where_it_is_and_keeps_its_colour(turn: tuple[float, float]) -> None:
    scene = head_scene(HAIRY)
    _, camera, seen = viewed(HAIRY, turn)
    rgb, depth, true_head = truth(scene, camera)
    known = (seen.face & (seen.trust > 0.99)) | (seen.captured & (seen.stretch < 1.6))
    known &= ~grown(~true_head, 3)
    assert known.sum() > 3000
    error = np.abs(seen.depth_mm - depth)[known]
    assert np.median(error) < 0.3
    assert np.quantile(error, 0.97) < 4.0
    wrong = np.abs(seen.rgb.astype(float) - rgb)[known]
    assert np.median(wrong) < 1.0
    # What is left is the border of the hair, drawn out.
    assert wrong.mean() < 4.0


@pytest.mark.parametrize("turn", [(0.0, 20.0), (0.0, -30.0), (10.0, 0.0)])
def test_a_strip_before_the_face_moves_by_its_own_parallax_and_hides_it(
    turn: tuple[float, float],
) -> None:
    scene = head_scene(STRIPED)
    _, camera, seen = viewed(STRIPED, turn)
    assert scene.strip_cam_mm is not None
    corner = camera.view_from_cam(scene.strip_cam_mm)
    strip = rasterize(corner, np.array([[0, 2, 1], [1, 2, 3]]), camera.intrinsics, SIZE, SIZE)
    true = strip.triangle >= 0
    made = paint_unseen(seen, seen.around_linear)
    found = off(made, STRIP) < 60
    assert true.sum() > 300
    # Its border is mixed in the picture: a pixel less.
    assert found[~grown(~true, 1)].mean() > 0.98
    assert found[~grown(true, 1)].sum() < 5
    assert not seen.face[~grown(~true, 1)].any()
    columns = np.flatnonzero(found.sum(axis=0) > 0.5 * found.sum(axis=0).max())
    wanted = np.flatnonzero(true.sum(axis=0) > 0.5 * true.sum(axis=0).max())
    assert abs(columns.mean() - wanted.mean()) < 1.0
    # The face that was behind it is not the strip's colour.
    face = seen.face_unseen & ~grown(true, 2)
    if face.sum() > 50:
        assert np.median(off(made[face], SKIN)) < 12


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("look", [BALD, LONG])
def test_the_surround_covers_nothing_that_the_camera_saw_past_it(
    look: Look, turn: tuple[float, float]
) -> None:
    scene = head_scene(look)
    source, _, seen = viewed(look, turn)
    _, drawn = layers(look, turn)
    head, _, _ = scene.parts
    weights, corners = drawn.barycentric[drawn.surround], source.triangles
    corner = source.vertices_cam_mm[corners[drawn.triangle[drawn.surround]]]
    points = np.einsum("kc,kcd->kd", weights.astype(float), corner)
    column, row = np.rint(px_from_cam(points, INTRINSICS)).astype(int).T
    inside = (column >= 0) & (column < head.shape[1]) & (row >= 0) & (row < head.shape[0])
    near = grown(head, 4)
    assert near[row[inside], column[inside]].mean() > 0.999
    # And of the head's own surface nothing that is drawn lies behind it.
    measured = scene.capture.depth_mm[row[inside], column[inside]]
    before = (measured > points[inside, 2] + 8.0) & head[row[inside], column[inside]]
    assert before.mean() < 0.1
    np.testing.assert_array_equal(seen.surround, drawn.surround)


def test_layers_without_a_captured_surface_that_may_be_drawn_are_still_layers() -> None:
    """Turned far, nothing of the measured surface may be left to draw."""
    source, camera, _ = viewed(BALD, (0.0, 30.0))
    strict = dataclasses.replace(CONFIG, max_stretch=1e-6)
    vertices = camera.view_from_cam(source.vertices_cam_mm)
    drawn = layers_of(source, vertices, camera, strict)
    assert not drawn.captured.any()
    assert drawn.face.any()
    assert (drawn.triangle >= 0).all()


def test_layers_are_ordered_by_depth_and_the_background_is_last() -> None:
    source, camera, seen = viewed(STRIPED, (0.0, 30.0))
    _, drawn = layers(STRIPED, (0.0, 30.0))
    vertices = camera.view_from_cam(source.vertices_cam_mm)
    face = rasterize(vertices, source.mesh.face_triangles, camera.intrinsics, SIZE, SIZE)
    sheet = face.triangle >= 0
    covered = sheet & ~seen.face
    assert (drawn.captured | drawn.surround)[covered].all()
    assert (seen.depth_mm[covered] <= face.depth_mm[covered] + 1e-2).all()
    assert (drawn.sheet.triangle >= 0).sum() == seen.face.sum()
    np.testing.assert_array_equal(drawn.sheet.triangle >= 0, seen.face)
    background = ~(drawn.face | drawn.captured | drawn.surround)
    behind = drawn.triangle[background]
    lining = source.mesh.face_triangle_count
    assert ((behind >= lining) & (behind < len(source.mesh.triangles))).all()


@pytest.mark.parametrize("look", [HAIRY, LONG])
def test_hair_at_the_side_is_hair(look: Look) -> None:
    """What comes into sight of the head is coloured as the true head is there."""
    scene = head_scene(look)
    for turn in TURNS[:2]:
        _, camera, seen = viewed(look, turn)
        rgb, _, true_head = truth(scene, camera)
        inner = seen.surround & ~grown(~true_head, 3)
        hair = inner & (off(rgb, HAIR) < 10)
        assert hair.sum() > 300
        assert (off(seen.rgb, HAIR) < 40)[hair].mean() > 0.85


@pytest.mark.parametrize("turn", [(0.0, 30.0), (0.0, 45.0), (0.0, -45.0)])
@pytest.mark.parametrize("look", [BALD, HAIRY, LONG])
def test_nothing_measured_reaches_in_specks_through_face_or_surround(
    look: Look, turn: tuple[float, float]
) -> None:
    _, drawn = layers(look, turn)
    _, label, stats, _ = cv2.connectedComponentsWithStats(
        drawn.captured.astype(np.uint8), connectivity=4
    )
    around = drawn.face | drawn.surround
    specks = 0
    for piece in range(1, len(stats)):
        mine = label == piece
        ring = grown(mine, 1) & ~mine & ~drawn.captured
        specks += stats[piece, cv2.CC_STAT_AREA] < 4 and around[ring].all()
    print(look.person, turn, len(stats) - 1, "pieces,", specks, "specks")
    assert specks == 0
    assert drawn.captured.any()
