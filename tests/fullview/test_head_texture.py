"""Colours of heads all around: what is seen stays, hair is hair, and nothing is background."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from head_scene import (
    CLOTHES,
    COLLAR_MM,
    HAIR,
    INTRINSICS,
    SKIN,
    STRIP,
    WALL,
    HeadScene,
    Look,
    dressed,
    head_scene,
    hull_of,
)

from fg3d_builder.fullview.hair_detail import largest_rectangle
from fg3d_builder.fullview.head_hull import head_hull
from fg3d_builder.fullview.head_map import COLUMNS, RADIUS_MM, ROWS, TEXEL_MM, UP_MM, unrolled
from fg3d_builder.fullview.head_texture import HeadTexture, head_texture
from fg3d_builder.fullview.tones import DARK
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import rasterize
from fg3d_builder.rendering.shading import Light, linear_from_srgb, srgb_from_linear

BALD, HAIRY, LONG = Look(701), Look(701, 0.0, 10.0), Look(702, 15.0, 14.0, True)
STRIPED = Look(702, 0.0, 8.0, False, 60.0)


@functools.lru_cache(maxsize=8)
def texture_of(look: Look) -> HeadTexture:
    scene, (head, hull) = head_scene(look), hull_of(look)
    return head_texture(scene.model, scene.capture, scene.registration, head, hull, None)


def map_srgb(texture: HeadTexture) -> Array:
    """The map (R, C, 3) in grey levels."""
    return np.asarray(srgb_from_linear(np.exp(texture.log_color) - DARK)).astype(float)


def off(colors: Array, wanted: tuple[int, int, int]) -> Array:
    """Largest difference (...,) of the channels from a colour."""
    return np.asarray(np.abs(colors - np.array(wanted)).max(axis=-1))


def region(texture: HeadTexture, points_obj: Array) -> Array:
    """Texels (k, 2), row and column, of points of the object frame."""
    column, row = np.rint(unrolled(points_obj - texture.centre_obj_mm)).astype(int).T
    return np.stack([np.clip(row, 0, ROWS - 1), column % COLUMNS], axis=1)


def test_columns_go_around_and_rows_down_and_over_the_crown() -> None:
    points = np.array(
        [[0, 0, 90.0], [90, 0, 0], [-90, 0, 0], [0, 0, -90], [0, -60, 90], [0, 90.0, 90.0]]
    )
    column, row = unrolled(points).T
    turn = (column + 0.5) / COLUMNS
    np.testing.assert_allclose(turn[[0, 1, 2]], [0.5, 0.75, 0.25], atol=1e-12)
    assert turn[3] in (0.0, 1.0)
    np.testing.assert_allclose(row[:4], UP_MM / TEXEL_MM, atol=1e-12)
    assert row[4] == pytest.approx((UP_MM + 60.0) / TEXEL_MM)
    assert row[5] == pytest.approx((UP_MM - RADIUS_MM * np.pi / 4) / TEXEL_MM)
    crown = unrolled(np.array([[0.0, 120.0, 1e-9]]))[0, 1]
    assert 0 <= crown < row[5]


def test_a_place_gets_its_own_texel_back_and_the_ends_join() -> None:
    texture = texture_of(HAIRY)
    rng = np.random.default_rng(0)
    row, column = rng.integers(0, ROWS, 400), rng.integers(0, COLUMNS, 400)
    angle = ((column + 0.5) / COLUMNS - 0.5) * 2 * np.pi
    over = UP_MM - row * TEXEL_MM
    lift = np.clip(over / RADIUS_MM, 0.0, 1.5)
    around = np.where(over > 0, 90.0 * np.cos(lift), 90.0)
    y = np.where(over > 0, 90.0 * np.sin(lift), over)
    points = np.stack([around * np.sin(angle), y, around * np.cos(angle)], axis=1)
    kept = over < 1.4 * RADIUS_MM
    colors = texture.at(texture.pose.cam_from_obj(points + texture.centre_obj_mm))
    wanted = np.exp(texture.log_color[row, column]) - DARK
    np.testing.assert_allclose(colors[kept], wanted[kept], atol=2e-3)
    # Behind the head, a thousandth of a degree to both sides of the map's end.
    behind = np.stack([[-1e-3, 1e-3], [-30.0, -30.0], [-90.0, -90.0]], axis=1)
    left, right = texture.at(texture.pose.cam_from_obj(behind + texture.centre_obj_mm))
    np.testing.assert_allclose(left, right, atol=1e-4)


@pytest.mark.parametrize("look", [BALD, HAIRY, LONG])
def test_what_is_seen_keeps_its_colour(look: Look) -> None:
    scene, texture = head_scene(look), texture_of(look)
    shape = scene.capture.depth_mm.shape
    front = rasterize(scene.outside_cam_mm, scene.triangles, INTRINSICS, *shape).depth_mm
    points = scene.outside_cam_mm
    px = px_from_cam(points, INTRINSICS)
    column, row = np.rint(px).astype(int).T
    inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
    here = np.full(len(points), np.nan)
    here[inside] = front[row[inside], column[inside]]
    texel = region(texture, scene.registration.pose.obj_from_cam(points))
    seen = (np.abs(here - points[:, 2]) < 2.0) & (texture.seen[tuple(texel.T)] > 0.99)
    assert seen.sum() > 3000
    colors = srgb_from_linear(texture.at(points[seen])).astype(float)
    picture = scene.capture.rgb[row[seen], column[seen]].astype(float)
    error = np.abs(colors - picture)
    assert error.mean() < 2.0
    assert np.median(error) <= 1.0


def test_a_bald_head_gets_no_hair() -> None:
    texture = texture_of(BALD)
    assert texture.hair.max() < 0.01
    scene = head_scene(BALD)
    obj = scene.registration.pose.obj_from_cam(scene.outside_cam_mm)
    above = region(texture, obj[obj[:, 1] > COLLAR_MM + 60])
    found = off(map_srgb(texture)[tuple(above.T)], SKIN)
    # A few texels at the outline are mixed with the wall.
    assert np.quantile(found, 0.999) < 12
    assert found.max() < 20


@pytest.mark.parametrize("look", [HAIRY, LONG])
def test_hair_goes_on_around_the_head_in_its_own_colour(look: Look) -> None:
    scene, texture = head_scene(look), texture_of(look)
    surround = scene.model.surround
    assert surround is not None
    _, hull = hull_of(look)
    obj = scene.registration.pose.obj_from_cam(hull.surround_cam_mm)
    back = (surround.scalp > 0.97) & (obj[:, 2] < -40) & (obj[:, 1] > 20)
    texel = tuple(region(texture, obj[back]).T)
    assert back.sum() > 100
    assert texture.hair[texel].mean() > 0.95
    assert np.median(off(map_srgb(texture)[texel], HAIR)) < 20
    # And none on the face.
    face = scene.registration.pose.obj_from_cam(hull.face_cam_mm[scene.model.reliable])
    assert texture.hair[tuple(region(texture, face).T)].mean() < 0.01


def test_a_collar_stays_a_border_all_around() -> None:
    texture = texture_of(BALD)
    color = map_srgb(texture)
    rows = (UP_MM - (COLLAR_MM - texture.centre_obj_mm[1])) / TEXEL_MM
    middle = slice(COLUMNS // 2 - COLUMNS // 8, COLUMNS // 2 + COLUMNS // 8)
    above, below = int(rows - 12), int(rows + 12)
    assert off(color[above, middle], SKIN).mean() < 12
    assert off(color[min(below, ROWS - 1), middle], CLOTHES).mean() < 12
    # Behind the neck the two may meet higher or lower, but there they meet: no third colour.
    mixed = (off(color, SKIN) > 30) & (off(color, CLOTHES) > 30)
    assert mixed.mean() < 0.01
    # A line, wherever it is: 10 mm at most, also where nobody saw it.
    assert mixed.sum(axis=0).max() <= 8


@pytest.mark.parametrize("look", [BALD, HAIRY, LONG, STRIPED])
def test_the_background_and_what_stands_before_the_face_leave_no_colour(look: Look) -> None:
    scene, texture = head_scene(look), texture_of(look)
    color = map_srgb(texture)
    green = color[..., 1] - np.maximum(color[..., 0], color[..., 2])
    assert off(color, WALL).min() > 40
    assert np.quantile(green, 0.999) < 10
    if look.strip_mm:
        assert off(color, STRIP).min() > 40
        # Mixed pixels of skin and strip are bluer and less green than skin.
        surround = scene.model.surround
        assert surround is not None
        face = scene.registration.pose.obj_from_cam(scene.registration.vertices_cam_mm)
        skin = color[tuple(region(texture, face[scene.model.reliable]).T)]
        assert np.mean(off(skin, SKIN) > 30) < 0.01


def test_a_symmetric_picture_gives_a_symmetric_map() -> None:
    for look in (Look(), Look(0, 0.0, 10.0)):
        texture = texture_of(look)
        color, hair = map_srgb(texture), texture.hair
        # Ears are fitted to points of which one side may have one more: the hair line may differ
        # by a texel.
        assert (np.abs(hair - hair[:, ::-1]) > 0.6).mean() < 1e-4
        assert np.abs(hair - hair[:, ::-1]).mean() < 0.01
        assert np.abs(color - color[:, ::-1]).mean() < 2.0


def test_a_light_that_explains_nothing_takes_no_part() -> None:
    """The scenes are evenly lit: a lamp from the side, fitted or not, is none of theirs."""
    scene, (head, hull) = head_scene(BALD), hull_of(BALD)
    lamp = Light(np.full(3, 0.3), np.full(3, 0.7), np.array([0.8, 0.0, -0.6]), 0.0, 10.0)
    lit = head_texture(scene.model, scene.capture, scene.registration, head, hull, lamp)
    assert np.abs(map_srgb(lit) - map_srgb(texture_of(BALD))).mean() < 1.0


@pytest.mark.parametrize("seed", range(30))
def test_the_largest_rectangle_is_that_of_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.uniform(size=(rng.integers(1, 9), rng.integers(1, 9))) < rng.uniform(0.4, 1.0)
    rows, columns = mask.shape
    best = 0
    for top in range(rows):
        for bottom in range(top + 1, rows + 1):
            for left in range(columns):
                for right in range(left + 1, columns + 1):
                    if mask[top:bottom, left:right].all():
                        best = max(best, (bottom - top) * (right - left))
    top, bottom, left, right = largest_rectangle(mask)
    assert (bottom - top) * (right - left) == best
    assert mask[top:bottom, left:right].all()


RISE = 0.5
"""Of a collar, towards the back, in mm for each."""


def rising_collar(obj: Array) -> Array:
    """Which points (k, 3) of the object frame are below a collar that rises towards the back."""
    return np.asarray(obj[:, 1] < COLLAR_MM + RISE * (30.0 - obj[:, 2]))


def texture_of_scene(scene: HeadScene) -> HeadTexture:
    head = scene.measured()
    hull = head_hull(scene.model, scene.registration, head, "cholmod")
    assert hull is not None
    return head_texture(scene.model, scene.capture, scene.registration, head, hull, None)


def test_a_collar_that_rises_goes_on_rising_where_nobody_saw_it() -> None:
    plain = head_scene(BALD)
    obj = plain.registration.pose.obj_from_cam(plain.skin_cam_mm)
    scene = dressed(plain, np.where(rising_collar(obj)[:, None], CLOTHES, SKIN).astype(float))
    texture = texture_of_scene(scene)
    # The neck beside and behind what is seen, by the line, which is told to within 4 mm there.
    around = np.degrees(np.arctan2(np.abs(obj[:, 0]), obj[:, 2] - texture.centre_obj_mm[2]))
    height = obj[:, 1] - (COLLAR_MM + RISE * (30.0 - obj[:, 2]))
    near = (np.abs(height) > 4.0) & (np.abs(height) < 20.0)
    neck = near & (around > 60.0) & (around < 130.0) & (obj[:, 1] < -60.0)
    at = tuple(region(texture, obj[neck]).T)
    unseen = texture.seen[at] < 0.1
    color, worn = map_srgb(texture)[at][unseen], rising_collar(obj[neck])[unseen]
    found = off(color, CLOTHES) < off(color, SKIN)
    print(f"{unseen.sum()} vertices, {np.mean(found == worn):.3f} as they are")
    assert unseen.sum() > 30
    assert np.mean(found == worn) > 0.95


def test_skin_that_skin_lights_is_no_collar() -> None:
    """Under a chin light comes from skin: it has the squares of its colours there."""
    plain = head_scene(BALD)
    obj = plain.registration.pose.obj_from_cam(plain.skin_cam_mm)
    linear = linear_from_srgb(np.array(SKIN, dtype=np.uint8))
    deep = srgb_from_linear(linear**2).astype(float)
    colors = np.where(obj[:, 1:2] < COLLAR_MM + 15.0, deep, np.array(SKIN, dtype=float))
    colors[obj[:, 1] < COLLAR_MM] = CLOTHES
    texture = texture_of_scene(dressed(plain, colors))
    above = (obj[:, 1] > COLLAR_MM + 4.0) & (obj[:, 1] < COLLAR_MM + 14.0)
    at = tuple(region(texture, obj[above]).T)
    unseen = texture.seen[at] < 0.1
    color = map_srgb(texture)[at][unseen]
    # Neither clothes, which are blue, nor a fog of both.
    skin = color[:, 0] > color[:, 2] + 25.0
    print(f"{unseen.sum()} vertices, {skin.mean():.3f} are skin")
    assert skin.mean() > 0.95
