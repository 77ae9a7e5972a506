"""What shows a head in captures whose every pixel is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from head_scene import CONFIG, HEIGHT, INTRINSICS, SKIN, WALL, WALL_MM, WIDTH, Look, head_scene

from fg3d_builder.fullview.measured_head import MeasuredHead
from fg3d_builder.records import Array

HAIRY = Look(person=701, hair_mm=10.0)
STRIPED = Look(person=702, hair_mm=8.0, strip_mm=60.0)


def in_picture(measured: MeasuredHead, image: Array) -> Array:
    """An image of the measured head's grid in the pixels of the picture, of equal size."""
    shift = measured.intrinsics[:2, 2] - INTRINSICS[:2, 2]
    np.testing.assert_array_equal(measured.intrinsics[0, 0], INTRINSICS[0, 0])
    left, top = np.rint(shift).astype(int)
    out = np.full((HEIGHT, WIDTH, *image.shape[2:]), image.dtype.type(0))
    first = np.maximum([0, 0], [-top, -left])
    end = np.minimum([HEIGHT, WIDTH], np.array(image.shape[:2]) - [top, left])
    part = image[first[0] + top : end[0] + top, first[1] + left : end[1] + left]
    out[first[0] : end[0], first[1] : end[1]] = part
    return out


def window(measured: MeasuredHead) -> Array:
    """Pixels of the picture that were looked at."""
    return in_picture(measured, np.ones(measured.head.shape, dtype=bool))


def wrong(found: Array, true: Array, where: Array) -> float:
    """Pixels that are labelled wrongly, as a share of those that ought to have the label."""
    return float(((found != true) & where).sum() / (true & where).sum())


def away_px(mask: Array) -> Array:
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)


def disc(column: float, row: float, radius: float) -> Array:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.hypot(x - column, y - row) < radius


@pytest.mark.parametrize("look", [Look(), Look(yaw_deg=25.0), HAIRY, STRIPED])
def test_head_face_and_what_is_before_it_are_told_apart(look: Look) -> None:
    scene = head_scene(look)
    measured = scene.measured()
    head, face, strip = scene.parts
    seen = window(measured)
    assert wrong(in_picture(measured, measured.head), head | strip, seen) < 0.005
    # Hair as thin as the depth's own tolerance is no more than the sheet below it.
    thin = head & ~face & (scene.hair_depth_mm < 2.0 * CONFIG.face_mm)
    assert wrong(in_picture(measured, measured.face), face, seen & ~thin) < 0.03
    if look.strip_mm:
        assert wrong(in_picture(measured, measured.before), strip, seen & (face | strip)) < 0.05
    else:
        assert measured.before.sum() < 0.002 * face.sum()
    np.testing.assert_array_equal(measured.background, ~measured.head)
    assert not (measured.face & measured.before).any()
    assert not (measured.face & ~measured.head).any()
    assert not (measured.lost & np.isfinite(measured.depth_mm)).any()
    # Depth is the capture's own where the head is, and nowhere else.
    depth = in_picture(measured, measured.depth_mm)
    known = in_picture(measured, np.isfinite(measured.depth_mm))
    assert not (known & ~(head | strip)).any()
    assert np.abs(depth - scene.capture.depth_mm)[known].max() < 1.0


def test_pure_pixels_show_no_background() -> None:
    scene = head_scene(HAIRY)
    measured = scene.measured()
    head, _, _ = scene.parts
    pure = in_picture(measured, measured.pure)
    green = scene.capture.rgb[..., 1].astype(int) - scene.capture.rgb[..., 0]
    assert pure.sum() > 0.9 * (head & window(measured)).sum()
    assert (green[pure] < 30).all()


def test_hair_whose_depth_is_lost_is_head() -> None:
    scene = head_scene(HAIRY)
    head, face, _ = scene.parts
    top = int(np.argmax(head.any(axis=1)))
    middle = int(np.flatnonzero(head[top + 12]).mean())
    hole = disc(middle, top + 12, 7.0)
    open_ = disc(middle, top, 9.0)
    for gone in (hole, open_):
        depth = np.where(gone, np.nan, scene.capture.depth_mm)
        measured = scene.measured(depth_mm=depth)
        lost = in_picture(measured, measured.lost)
        inner = gone & head & ~face & (away_px(~head) > 1.5)
        assert inner.sum() > 80
        assert lost[inner].mean() > 0.97
        assert not in_picture(measured, measured.background)[inner & lost].any()
        assert not lost[~gone].any()
        outer = gone & ~head & (away_px(head) > 1.5)
        assert not in_picture(measured, measured.head)[outer].any()


def test_a_hole_that_looks_like_the_wall_is_no_head() -> None:
    """Sensors lose the wall beside a head, where one of their two eyes cannot see it."""
    scene = head_scene(HAIRY)
    head, _, _ = scene.parts
    beside = ~head & (away_px(head) < 14.0)
    measured = scene.measured(depth_mm=np.where(beside, np.nan, scene.capture.depth_mm))
    found = in_picture(measured, measured.head)
    assert not found[beside & (away_px(head) > 1.5)].any()
    assert wrong(found, head, window(measured)) < 0.01


@pytest.mark.parametrize("shift", [-3, 3])
def test_depth_beside_its_colour_makes_no_wall_a_head(shift: int) -> None:
    scene = head_scene(Look())
    head, _, _ = scene.parts
    depth = np.roll(scene.capture.depth_mm, shift, axis=1)
    depth[:, : max(shift, 0)] = WALL_MM
    depth[:, WIDTH + min(shift, 0) :] = WALL_MM
    measured = scene.measured(depth_mm=depth)
    found = in_picture(measured, measured.head)
    rim = ~head & (depth < WALL_MM - 1.0) & window(measured) & (away_px(head) > 1.5)
    assert rim.sum() > 300
    assert found[rim].mean() < 0.02
    # What is sure to be unmixed keeps off by as much.
    pure = in_picture(measured, measured.pure)
    green = scene.capture.rgb[..., 1].astype(int) - scene.capture.rgb[..., 0]
    assert (green[pure][:, None] < 30).mean() > 0.9995


def test_noise_is_averaged_out_and_known() -> None:
    scene = head_scene(Look())
    noise = np.random.default_rng(4).normal(0.0, 1.5, (HEIGHT, WIDTH)).astype(np.float32)
    measured = scene.measured(depth_mm=scene.capture.depth_mm + noise)
    head, face, _ = scene.parts
    inner = face & (away_px(~face) > 6.0)
    error = in_picture(measured, measured.depth_mm) - scene.capture.depth_mm
    assert np.abs(error[inner]).mean() < 0.7
    assert np.median(in_picture(measured, measured.noise_mm)[inner]) == pytest.approx(1.5, rel=0.2)
    assert wrong(in_picture(measured, measured.head), head, window(measured)) < 0.01
    assert wrong(in_picture(measured, measured.face), face, window(measured)) < 0.03


def test_a_head_cut_off_by_the_picture_goes_on_beyond_it() -> None:
    scene = head_scene(Look())
    measured = scene.measured()
    top = measured.intrinsics[1, 2] - INTRINSICS[1, 2]
    below = measured.head.shape[0] - HEIGHT - top
    assert below > 50
    np.testing.assert_array_equal(
        measured.head[-round(below) :],
        np.tile(measured.head[-round(below) - 1], (round(below), 1)),
    )


def test_what_lies_apart_at_the_heads_depth_is_the_heads() -> None:
    """Around an ear sensors measure nothing; the ear itself they do."""
    scene = head_scene(Look())
    head, face, _ = scene.parts
    ear = (
        head
        & ~face
        & (np.abs(np.arange(WIDTH) - WIDTH / 2) > 46)
        & (np.arange(HEIGHT) < 230)[:, None]
    )
    gap = (away_px(ear) < 3.5) & ~ear & head
    depth = np.where(gap, np.nan, scene.capture.depth_mm)
    # A wall in the colour of skin: depth alone can tell.
    skin = (scene.capture.rgb == WALL).all(axis=2)[..., None]
    rgb = np.where(skin, np.array(SKIN) - [0, 12, 0], scene.capture.rgb).astype(np.uint8)
    for picture in (scene.capture.rgb, rgb):
        measured = scene.measured(depth_mm=depth, rgb=picture)
        found = in_picture(measured, measured.head)
        assert ear.sum() > 500
        assert found[ear].mean() > 0.97
        assert wrong(found, head, window(measured)) < 0.02


@pytest.mark.parametrize("to_the_border", [False, True])
def test_a_thing_on_the_wall_is_no_head_where_its_depth_is_lost(to_the_border: bool) -> None:
    """The wall has a poster that goes on behind the head, unlike all of the wall around it.

    What has no depth is a hole, or goes on to where the picture ends.
    """
    scene = head_scene(Look())
    head, face, _ = scene.parts
    beside = ~head & (away_px(head) < 14.0)
    row = int(np.flatnonzero(face.any(axis=1)).mean())
    if to_the_border:
        beside[row : row + 6, : WIDTH // 2] |= ~head[row : row + 6, : WIDTH // 2]
    poster = np.zeros_like(head)
    poster[row - 12 : row + 12, WIDTH // 2 :] = True
    rgb = scene.capture.rgb.copy()
    rgb[poster & ~head] = (60, 90, 50)
    depth = np.where(beside, np.nan, scene.capture.depth_mm)
    measured = scene.measured(depth_mm=depth, rgb=rgb)
    found = in_picture(measured, measured.head)
    shadow = poster & beside & (away_px(head) > 1.5)
    assert shadow.sum() > 100
    assert found[shadow].mean() < 0.02


def test_pure_pixels_are_not_those_where_a_chin_ends_before_a_collar() -> None:
    scene = head_scene(Look())
    head, face, _ = scene.parts
    rgb = scene.capture.rgb.copy()
    chin = int(np.flatnonzero(face.any(axis=1)).max())
    collar = head & ~face & (np.arange(HEIGHT)[:, None] > chin - 40)
    rgb[collar] = (235, 235, 240)
    depth = np.where(collar, scene.capture.depth_mm + 30.0, scene.capture.depth_mm)
    measured = scene.measured(rgb=rgb, depth_mm=depth)
    pure = in_picture(measured, measured.pure)
    jump = (np.abs(np.diff(depth, axis=0)) > 12.0) & (collar[1:] != collar[:-1])
    jump &= head[1:] & head[:-1]
    assert jump.sum() > 10
    assert not (pure[1:] | pure[:-1])[jump].any()


def test_hair_stays_the_heads_beside_a_thing_of_its_colour() -> None:
    scene = head_scene(HAIRY)
    head, face, _ = scene.parts
    rgb = scene.capture.rgb.copy()
    thing = ~head & (away_px(head) > 6.0) & (away_px(head) < 40.0)
    rgb[thing] = np.median(rgb[head & ~face & (scene.hair_depth_mm > 5.0)], axis=0)
    measured = scene.measured(rgb=rgb)
    assert wrong(in_picture(measured, measured.head), head, window(measured)) < 0.01
