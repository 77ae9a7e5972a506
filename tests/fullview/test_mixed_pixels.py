"""Heads whose every pixel's share of the wall is known, before walls of many kinds."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree

from fg3d_builder.fullview.mixed_pixels import REACH_PX, mixed_with_background, steps_inwards
from fg3d_builder.records import Array

SIDE, FINE = 150, 4
SKIN, HAIR = (205.0, 150.0, 125.0), (48.0, 36.0, 30.0)
FLAT = np.full((SIDE, SIDE), 500.0)
WALLS: dict[str, Array | float] = {
    "white": 225.0,
    "grey": 120.0,
    "black": 4.0,
    "like hair": np.array(HAIR),
    "like skin": np.array(SKIN),
}


class Scene(NamedTuple):
    """A picture (S, S, 3) uint8; what it would be of the head alone, float; the head's share
    (S, S); and its mask."""

    rgb: Array
    pure: Array
    alpha: Array
    head: Array


def scene(wall: Array | float, blur_px: float = 0.9, shift_px: float = 0.0) -> Scene:
    """A face with hair down to its middle and strands beside it, blurred as by a lens.

    `shift_px` moves the mask, which is the depth camera's, to the right.
    """
    y, x = (np.mgrid[: SIDE * FINE, : SIDE * FINE] + 0.5) / FINE
    x, y = x - 75.0, y - 75.0
    round_ = np.hypot(x / 0.8, y) < 55.0
    strands = (np.abs(x) < 50.0) & (np.abs(np.abs(x) - 46.0 - 2.0 * np.sin(y / 7.0)) < 0.6)
    strands &= np.abs(y) < 30.0
    dark = strands | (y < -10.0 + 8.0 * np.sin(x / 6.0))
    shade = 1.0 - 0.25 * np.abs(x) / 44.0
    grain = cv2.GaussianBlur(
        np.random.default_rng(3).normal(size=x.shape).astype(np.float32), (0, 0), FINE
    )
    own = np.where(dark[..., None], HAIR, SKIN) * (shade + 0.05 * grain / grain.std())[..., None]
    head = (round_ | strands).astype(np.float32)

    def seen(image: Array) -> Array:
        soft = cv2.GaussianBlur(image.astype(np.float32), (0, 0), blur_px * FINE)
        return cv2.resize(soft, (SIDE, SIDE), interpolation=cv2.INTER_AREA)

    alpha = seen(head)
    behind = np.broadcast_to(np.asarray(wall, np.float32), (SIDE, SIDE, 3))
    before = seen(own * head[..., None])
    rgb = before + (1.0 - alpha[..., None]) * behind
    noise = np.random.default_rng(4).normal(0.0, 1.5, rgb.shape)
    mask = cv2.resize(head, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    move = np.array([[1.0, 0.0, shift_px], [0.0, 1.0, 0.0]])
    mask = cv2.warpAffine(mask, move, (SIDE, SIDE))
    pure = before / np.maximum(alpha, 1e-3)[..., None]
    return Scene(np.clip(rgb + noise, 0, 255).astype(np.uint8), pure, alpha, mask > 0.5)


def foreign(shown: Scene) -> Array:
    """Grey levels (S, S) by which the wall changes a pixel, in the channel that differs most."""
    return np.abs(shown.rgb - shown.pure).max(axis=2)


@pytest.mark.parametrize("wall", list(WALLS))
@pytest.mark.parametrize("shift_px", [0.0, 1.0])
def test_what_the_wall_shows_in_is_mixed(wall: str, shift_px: float) -> None:
    shown = scene(WALLS[wall], shift_px=shift_px)
    mixed = mixed_with_background(shown.rgb, shown.head)
    assert not mixed[~shown.head].any()
    bad = shown.head & (foreign(shown) > 35.0)
    if wall in ("white", "black"):
        assert bad.sum() > 80
    # Strands are thinner than the blur: no pixel of theirs is without wall to compare with.
    inner = bad & (np.abs(np.arange(SIDE) + 0.5 - 75.0) < 43.0)
    assert (inner & ~mixed).sum() <= 0.07 * inner.sum()


@pytest.mark.parametrize("wall", list(WALLS))
def test_what_shows_no_wall_is_the_heads_own(wall: str) -> None:
    shown = scene(WALLS[wall])
    mixed = mixed_with_background(shown.rgb, shown.head)
    own = shown.head & (shown.alpha > 0.995)
    # Shading towards the outline is like a little of a dark wall.
    assert mixed[own].mean() < 0.01
    deep = cv2.erode(shown.head.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert not mixed[deep].any()


def test_thin_dark_hair_before_a_dark_wall_stays() -> None:
    shown = scene(WALLS["like hair"])
    hair = shown.head & (shown.pure.max(axis=2) < 70.0)
    strands = hair & (np.abs(np.arange(SIDE) + 0.5 - 75.0) > 44.0)
    assert strands.sum() > 60
    mixed = mixed_with_background(shown.rgb, shown.head)
    # Where strands lie on skin, as dark as the wall, they are what a mixture of both is as well.
    assert mixed[strands].mean() < 0.1
    assert mixed[hair].mean() < 0.02


def test_each_part_of_a_wall_counts_where_it_is() -> None:
    """White above, as dark as hair below: only the upper hair's end is mixed."""
    row = np.arange(SIDE)[:, None, None]
    shown = scene(np.where(row < 45, 235.0, np.array(HAIR)).astype(np.float32))
    mixed = mixed_with_background(shown.rgb, shown.head)
    ends = shown.head & (shown.alpha < 0.8)
    hair = shown.pure.max(axis=2) < 75.0
    upper, lower = np.arange(SIDE)[:, None] < 38, np.arange(SIDE)[:, None] > 52
    assert (ends & hair & upper).sum() > 40
    assert (ends & hair & lower).sum() > 20
    assert mixed[ends & hair & upper].mean() > 0.97
    assert mixed[ends & hair & lower].mean() < 0.15


def test_steps_lead_to_the_nearest_pixel_that_is_not_mixed() -> None:
    shown = scene(WALLS["white"])
    mixed = mixed_with_background(shown.rgb, shown.head)
    steps = steps_inwards(shown.head, mixed, FLAT, 8.0, 0.01)
    beside = cv2.dilate(mixed.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    own = shown.head & ~beside
    places = np.argwhere(own)
    moved = (steps != 0).any(axis=2)
    assert not moved[~shown.head | own].any()
    assert moved.sum() > 0.95 * (shown.head & beside).sum()
    start = np.argwhere(moved)
    end = start + steps[moved][:, ::-1].astype(int)
    assert own[end[:, 0], end[:, 1]].all()
    nearest, _ = cKDTree(places).query(start)
    # The distance image's own exactness.
    np.testing.assert_allclose(np.linalg.norm(end - start, axis=1), nearest, atol=0.25)
    far = np.argwhere(shown.head & beside & ~moved)
    assert len(far) == 0 or (cKDTree(places).query(far)[0] > REACH_PX - 0.25).all()
    # Colours there have nothing of the wall.
    assert foreign(shown)[end[:, 0], end[:, 1]].mean() < 8.0
    assert foreign(shown)[moved].mean() > 15.0
    assert not steps_inwards(shown.head, shown.head, FLAT, 8.0, 0.01).any()


def test_steps_lead_to_no_other_part_of_the_head() -> None:
    """A chin before a shoulder: what is mixed of either finds its own."""
    head = np.ones((SIDE, SIDE), dtype=bool)
    mixed = np.zeros_like(head)
    mixed[70:74] = True
    depth = np.where(np.arange(SIDE)[:, None] < 73, 500.0, 560.0) * np.ones(SIDE)
    depth[:, :20] = np.nan
    steps = steps_inwards(head, mixed, depth, 8.0, 0.005)[..., 1]
    # Beside what is mixed there is one more row; what has no depth finds the nearest.
    expected = np.zeros(SIDE)
    expected[69:73], expected[73:75] = [-1, -2, -3, -4], [2, 1]
    assert (steps[:, 24:] == expected[:, None]).all()
    assert (steps[72, :16] == 3).all()
