"""Views of a toy face against its captured picture and against the truth from the side."""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np
import pytest
from head_scene import Look, head_scene
from toy_scene import INTRINSICS, facing_share, photograph, skin, toy_scene

from fg3d_builder.config import FullViewConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.fullview.augment import blurred_at_jumps, full_view, paint_unseen, view_mesh
from fg3d_builder.fullview.image_mesh import image_mesh
from fg3d_builder.fullview.render_view import RenderedView, render_view
from fg3d_builder.fullview.sampling import PicturePyramid
from fg3d_builder.fullview.source import Source
from fg3d_builder.fullview.views import CAPTURED, Turn, ViewCamera, view_camera
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.rendering.shading import linear_from_srgb

CONFIG = FullViewConfig()
SIZE = 160
TURNS = [(0.0, 15.0), (0.0, 30.0), (0.0, 45.0), (0.0, -45.0), (15.0, 0.0), (-25.0, 0.0)]


@functools.lru_cache(maxsize=8)
def source_of(pitch: float = 0.0, yaw: float = 0.0) -> Source:
    scene = toy_scene(pitch, yaw)
    mesh = image_mesh(scene.model, scene.capture, scene.registration, CONFIG)
    return Source.of(scene.model, scene.capture, scene.registration, mesh, None, CONFIG)


def camera_of(turn: Turn, pitch: float = 0.0, yaw: float = 0.0) -> ViewCamera:
    scene = toy_scene(pitch, yaw)
    return view_camera(scene.model, scene.registration, scene.initial, INTRINSICS, turn, 1.25, SIZE)


def view(turn: tuple[float, float], yaw: float = 0.0) -> tuple[ViewCamera, RenderedView]:
    camera = camera_of(Turn(*turn, *turn), 0.0, yaw)
    return camera, render_view(source_of(0.0, yaw), camera, CONFIG)


@pytest.mark.parametrize("yaw", [0.0, 30.0])
def test_unturned_view_is_the_captured_picture(yaw: float) -> None:
    scene = toy_scene(0.0, yaw)
    camera = camera_of(CAPTURED, 0.0, yaw)
    seen = render_view(source_of(0.0, yaw), camera, CONFIG)
    pixel = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1)
    back = np.linalg.inv(camera.px_crop_from_px)
    expected_px = pixel @ back[:2, :2].T + back[:2, 2]
    # The rasteriser snaps corners to 1/256 pixel.
    np.testing.assert_allclose(seen.source_px, expected_px, atol=5e-3)
    crop = cv2.warpAffine(
        scene.capture.rgb.astype(np.float32), camera.px_crop_from_px[:2], (SIZE, SIZE),
        flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    inside = ~seen.beyond
    error = np.abs(seen.rgb.astype(float) - np.clip(crop, 0, 255))[inside]
    # OpenCV rounds positions to 1/32 pixel and takes another cubic.
    assert error.mean() < 0.5
    assert np.quantile(error, 0.99) < 4.0
    np.testing.assert_allclose(seen.stretch[inside], 1.0, atol=1e-3)
    assert seen.covered.all()


def test_pixels_at_the_same_grid_are_copied_exactly() -> None:
    camera = camera_of(CAPTURED)
    same = dataclasses.replace(
        camera, px_crop_from_px=np.array([[1, 0, -20], [0, 1, -40], [0, 0, 1.0]])
    )
    same = dataclasses.replace(same, intrinsics=same.px_crop_from_px @ INTRINSICS)
    seen = render_view(source_of(), same, CONFIG)
    captured = toy_scene().capture.rgb[40 : 40 + SIZE, 20 : 20 + SIZE]
    difference = np.abs(seen.rgb.astype(int) - captured)
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.99


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("yaw", [0.0, 20.0])
def test_turned_face_shows_the_true_colours_where_it_was_seen(
    turn: tuple[float, float], yaw: float
) -> None:
    scene = toy_scene(0.0, yaw)
    camera, seen = view(turn, yaw)
    vertices = camera.view_from_cam(scene.registration.vertices_cam_mm)
    depth, truth = photograph(scene.model, vertices, camera.intrinsics, SIZE, SIZE)
    face = rasterize(vertices, scene.model.triangles, camera.intrinsics, SIZE, SIZE).triangle >= 0
    # A pixel of the outline may show the surface that was measured there.
    assert (seen.face != face).sum() <= 4
    face &= seen.face
    np.testing.assert_allclose(seen.depth_mm[face], depth[face], atol=1e-3)
    trusted = seen.trust > 0.99
    assert trusted.sum() > 0.3 * face.sum()
    error = np.abs(seen.rgb.astype(float) - truth)[trusted]
    assert error.mean() < 1.0
    assert np.quantile(error, 0.99) < 6.0


@pytest.mark.parametrize("turn", TURNS)
def test_no_hole_anywhere(turn: tuple[float, float]) -> None:
    for yaw in (y for y in (0.0, 20.0, -35.0) if abs(y + turn[1]) <= CONFIG.max_yaw_deg):
        _, seen = view(turn, yaw)
        assert seen.covered.all()
        assert np.isfinite(seen.source_px).all()


@pytest.mark.parametrize("turn", [(0.0, 30.0), (0.0, -45.0), (15.0, 0.0)])
def test_unseen_is_what_a_ray_to_the_captured_camera_does_not_reach(
    turn: tuple[float, float],
) -> None:
    scene = toy_scene(0.0, 20.0)
    _, seen = view(turn, 20.0)
    points = scene.registration.vertices_cam_mm
    back = interpolate(seen.fragments, scene.model.triangles, points)[seen.face]
    facing = interpolate(
        seen.fragments, scene.model.triangles, facing_share(scene.model, points)[:, None]
    )[seen.face][:, 0]
    first = rasterize(
        points, scene.model.triangles, INTRINSICS, *scene.capture.rgb.shape[:2], False
    ).depth_mm
    column, row = np.rint(seen.source_px[seen.face]).astype(int).T
    behind = back[:, 2] - first[row, column]
    unseen = seen.face_unseen[seen.face]
    assert unseen[facing < 0].all()
    assert unseen[behind > 12.0].all()
    straight = (facing > 0.75) & (np.abs(behind) < 1.0)
    assert straight.sum() > 1000
    assert not unseen[straight].any()


def test_what_stands_before_the_face_is_not_the_face() -> None:
    scene = toy_scene()
    depth = scene.capture.depth_mm.copy()
    depth[110:130, 60:140] = 400.0
    hidden = dataclasses.replace(scene.capture, depth_mm=depth)
    mesh = image_mesh(scene.model, scene.capture, scene.registration, CONFIG)
    source = Source.of(scene.model, hidden, scene.registration, mesh, None, CONFIG)
    seen = render_view(source, camera_of(CAPTURED), CONFIG)
    column, row = np.rint(seen.source_px).astype(int).transpose(2, 0, 1)
    bar = (row >= 110) & (row < 130) & (column >= 60) & (column < 140)
    clear = seen.face & ((row < 106) | (row > 134)) & (np.abs(column - 100) < 25)
    assert bar.sum() > 500
    assert seen.captured[bar].all()
    assert not seen.face[bar].any()
    assert not seen.face_unseen[clear & (row > 80) & (row < 160)].any()
    # Turned, the bar leaves its place, and of the face that was behind it nothing is known.
    turned = render_view(source, camera_of(Turn(0.0, 30.0, 0.0, 30.0)), CONFIG)
    column, row = np.rint(turned.source_px).astype(int).transpose(2, 0, 1)
    behind = turned.face & (row >= 110) & (row < 130) & (column >= 60) & (column < 140)
    clear = turned.face & (row > 80) & (row < 160) & ((row < 106) | (row > 134))
    assert behind.sum() > 300
    assert turned.face_unseen[behind].all()
    assert not turned.face_unseen[clear & (np.abs(column - 100) < 25)].any()


def test_footprints_average_what_they_cover() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    rgb = cv2.GaussianBlur(noise, (0, 0), 1.0)
    pyramid = PicturePyramid.of(rgb)
    points = np.array([[30.0, 20.0], [31.0, 41.0], [60.5, 33.5]])
    one = np.tile(np.eye(2), (3, 1, 1))
    expected = np.array([rgb[20, 30], rgb[41, 31]])
    np.testing.assert_array_equal(pyramid.sample(points, one)[:2], expected)
    wide = pyramid.sample(np.array([[27.5, 27.5]]), 8.0 * np.eye(2)[None])[0]
    np.testing.assert_allclose(wide, rgb[24:32, 24:32].reshape(-1, 3).mean(axis=0), atol=1.5)
    long = pyramid.sample(np.array([[40.5, 20.0]]), np.array([[[6.0, 0.0], [0.0, 1.0]]]))[0]
    np.testing.assert_allclose(long, rgb[20, 38:44].mean(axis=0), atol=4.0)


def test_an_average_is_that_of_exact_weights_to_the_byte() -> None:
    rng = np.random.default_rng(2)
    rgb = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    rgb[40:] = 255
    points, slope = rng.uniform([4, 4], [90, 58], (500, 2)), np.diag([1.6, 1.0])
    found = PicturePyramid.of(rgb).sample(points, np.tile(slope, (500, 1, 1)))
    exact = np.zeros((500, 3))
    for side in (-0.4, 0.4):
        x, y = (points + np.array([side, 0.0])).T
        column, row = np.floor(x).astype(int), np.floor(y).astype(int)
        s, t = (x - column)[:, None], (y - row)[:, None]
        above = (1.0 - s) * rgb[row, column] + s * rgb[row, column + 1]
        below = (1.0 - s) * rgb[row + 1, column] + s * rgb[row + 1, column + 1]
        exact += 0.5 * ((1.0 - t) * above + t * below)
    assert np.abs(found - exact).max() < 0.5 + 0.1
    assert (found[points[:, 1] >= 40] == 255).all()


def test_beyond_the_border_its_colours_go_on() -> None:
    rgb = np.full((64, 64, 3), 60, np.uint8)
    rgb[:, 48:] = 200
    pyramid = PicturePyramid.of(rgb)
    points = np.array([[70.0, 30.0], [200.0, 30.0], [-30.0, 30.0], [30.0, 5000.0]])
    color = pyramid.sample(points, np.tile(np.eye(2), (4, 1, 1)))[:, 0]
    assert color[0] == 200
    assert color[2] == 60
    assert 60 < color[1] <= 200
    assert 60 <= color[3] <= 200


def test_painting_changes_what_was_not_seen_and_nothing_else() -> None:
    scene = toy_scene()
    camera, seen = view((0.0, 45.0))
    truth = linear_from_srgb(np.clip(skin(scene.model.mean), 0, 255).astype(np.uint8))
    made = paint_unseen(seen, interpolate(seen.fragments, scene.model.triangles, truth))
    vertices = camera.view_from_cam(scene.registration.vertices_cam_mm)
    _, true = photograph(scene.model, vertices, camera.intrinsics, SIZE, SIZE)
    np.testing.assert_array_equal(made[~seen.face], seen.rgb[~seen.face])
    # Half a dozen pixels from the nearest doubtful one nothing is blended either.
    doubtful = (seen.face & (seen.trust < 1)).astype(np.uint8)
    far = seen.face & (cv2.dilate(doubtful, np.ones((13, 13), np.uint8)) == 0)
    assert far.sum() > 1000
    np.testing.assert_array_equal(made[far], seen.rgb[far])
    unseen = seen.face_unseen
    before = np.abs(seen.rgb.astype(float) - true)[unseen].mean()
    after = np.abs(made.astype(float) - true)[unseen].mean()
    assert after < 6.0 < before


def test_depth_jumps_alone_are_blurred() -> None:
    depth = np.full((20, 20), 500.0, np.float32)
    depth[:, 10:] = 700.0
    rgb = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    soft = blurred_at_jumps(rgb, depth)
    np.testing.assert_array_equal(soft[:, :9], rgb[:, :9])
    np.testing.assert_array_equal(soft[:, 11:], rgb[:, 11:])
    assert np.any(soft[:, 9:11] != rgb[:, 9:11])


def test_views_are_reproducible_and_the_method_must_be_known() -> None:
    scene = toy_scene()
    config = dataclasses.replace(CONFIG, jitter_deg=2.0)

    def views(config: FullViewConfig) -> list[np.ndarray]:
        given = (scene.model, scene.capture, scene.registration)
        mesh = view_mesh(*given, config)
        return [
            v.rgb
            for v in full_view(*given, scene.initial, mesh, None, config, 1.25, 64, len, "cholmod")
        ]

    first, second = views(config), views(config)
    assert len(first) == 8
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ConfigError, match="sideways"):
        views(dataclasses.replace(config, method="sideways"))


@pytest.mark.parametrize("yaw", [-40.0, 40.0])
def test_the_heads_end_turns_without_the_walls_colours(yaw: float) -> None:
    """A green wall shows in the blurred ends of skin, hair and clothes, which are all redder."""
    scene = head_scene(Look(person=701, hair_mm=10.0))
    blurred = cv2.GaussianBlur(scene.capture.rgb, (0, 0), 1.2)
    capture = dataclasses.replace(scene.capture, rgb=blurred)
    mesh = image_mesh(scene.model, capture, scene.registration, CONFIG)
    source = Source.of(scene.model, capture, scene.registration, mesh, None, CONFIG)
    seen = render_view(source, scene.camera(0.0, yaw), CONFIG)
    lead = seen.rgb[..., 1].astype(int) - seen.rgb[..., 0]
    # Clothes alone are as green, and they are blue.
    green = (lead > -10) & (seen.rgb[..., 1] > seen.rgb[..., 2])
    head = seen.captured | (seen.face & (seen.trust > 0))
    assert seen.captured.sum() > 1000
    assert (green & head).sum() <= 2
