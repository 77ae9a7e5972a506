"""Gaps in depth images of scenes whose geometry is known."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.geometry.camera import cam_from_px, intrinsics_matrix
from fg3d_builder.records import Array
from fg3d_builder.rendering.depth_surface import DepthSurface, filled_depth

INTRINSICS = intrinsics_matrix(300.0, 310.0, 63.5, 47.5)
HEIGHT, WIDTH = 96, 128
COLUMN, ROW = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
CENTRE, RADIUS = np.array([0.0, 0.0, 380.0]), 100.0


def rays(intrinsics: Array, height: int, width: int) -> Array:
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(float)
    return cam_from_px(grid, np.ones((height, width)), intrinsics)


def sphere(intrinsics: Array = INTRINSICS, height: int = HEIGHT, width: int = WIDTH) -> Array:
    """Depth of a sphere of the size of a head, NaN beside it."""
    direction = rays(intrinsics, height, width)
    a, b = (direction**2).sum(-1), direction @ CENTRE
    root = b**2 - a * (CENTRE @ CENTRE - RADIUS**2)
    return np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, np.nan)


def inner(depth: Array) -> Array:
    """Pixels on which the sphere faces the camera by 45 degrees or more."""
    direction = rays(INTRINSICS, HEIGHT, WIDTH)
    normal = (direction * depth[..., None] - CENTRE) / RADIUS
    facing = -(normal * direction).sum(-1) / np.linalg.norm(direction, axis=-1)
    return np.nan_to_num(facing) > np.sqrt(0.5)


def speckled(share: float) -> Array:
    return np.random.default_rng(3).random((HEIGHT, WIDTH)) < share


GAPS = {
    "speckle 1 %": speckled(0.01),
    "speckle 5 %": speckled(0.05),
    "speckle 10 %": speckled(0.1),
    "every 8th row": ROW % 8 == 3,
    "every third column": COLUMN % 3 == 1,
    "two columns of five": COLUMN % 5 < 2,
    "rows and columns": (ROW % 11 == 5) | (COLUMN % 11 == 5),
    "three pixels of four": (ROW % 2 == 1) | (COLUMN % 2 == 1),
}


@pytest.mark.parametrize("gaps", GAPS.values(), ids=GAPS.keys())
def test_bridged_gaps_lie_on_the_surface(gaps: Array) -> None:
    truth = sphere()
    filled = filled_depth(np.where(gaps, np.nan, truth), INTRINSICS)
    missing = gaps & inner(truth)
    # Between random gaps a few are wider than two pixels both ways; the sphere's outline is near.
    assert np.isfinite(filled[missing]).mean() > 0.99
    # The sphere's sagitta over three pixels of 1 mm, at 45 degrees, is 0.04 mm.
    assert np.nanmax(np.abs(filled - truth)[missing]) < 0.05
    np.testing.assert_array_equal(filled[~gaps], truth[~gaps])


@pytest.mark.parametrize("gaps", GAPS.values(), ids=GAPS.keys())
def test_the_surface_is_as_without_gaps(gaps: Array) -> None:
    """With noise: normals, fitted positions and borders hardly differ from those of all pixels."""
    clean = sphere()
    noisy = clean + 0.15 * np.random.default_rng(5).standard_normal(clean.shape)
    whole = DepthSurface.from_depth(noisy, INTRINSICS)
    gapped = DepthSurface.from_depth(np.where(gaps, np.nan, noisy), INTRINSICS)
    face = inner(clean) & whole.valid & ~whole.border
    # "Three pixels of four" has 5 % less inside of the sphere's outline.
    assert (gapped.valid & ~gapped.border)[face].mean() > 0.93
    both = face & gapped.valid & ~gapped.border
    error = np.abs(gapped.fitted_cam_mm[..., 2] - clean)[both]
    before = np.abs(whole.fitted_cam_mm[..., 2] - clean)[both]
    share = gaps.mean()
    # Fewer samples average less noise away: not more than their number explains.
    assert np.median(error) < np.median(before) / np.sqrt(1 - share) + 0.01
    assert np.median(gapped.noise_mm[both]) == pytest.approx(0.15, rel=0.3)


def test_a_steep_plane_is_bridged_exactly() -> None:
    normal = np.array([np.tan(np.radians(70.0)), 0.1, -1.0])
    truth = 400.0 * normal[2] / (rays(INTRINSICS, HEIGHT, WIDTH) @ normal)
    gaps = speckled(0.05)
    filled = filled_depth(np.where(gaps, np.nan, truth), INTRINSICS)
    known = gaps & np.isfinite(filled)
    assert known.sum() > 0.9 * gaps.sum()
    np.testing.assert_allclose(filled[known], truth[known], rtol=1e-9)


@pytest.mark.parametrize("step_mm", [6.0, 10.0, 30.0])
@pytest.mark.parametrize("width", [1, 2])
def test_no_gap_is_bridged_across_a_step(step_mm: float, width: int) -> None:
    """Neither straight nor diagonal, with noise on both sides."""
    for edge in (COLUMN - 60, COLUMN + ROW - 100):
        depth = np.where(edge < 0, 300.0, 300.0 + step_mm)
        depth += 0.1 * np.random.default_rng(1).standard_normal(depth.shape)
        gap = (edge >= 0) & (edge < width)
        filled = filled_depth(np.where(gap, np.nan, depth), INTRINSICS)
        between = (filled > 301.0) & (filled < 299.0 + step_mm)
        assert not between.any()


def test_larger_holes_stay() -> None:
    depth = np.full((HEIGHT, WIDTH), 400.0)
    holes = np.zeros(depth.shape, bool)
    holes[20:23, 20:23] = holes[40:60, 30:33] = holes[70:73, 40:90] = True
    filled = filled_depth(np.where(holes, np.nan, depth), INTRINSICS)
    np.testing.assert_array_equal(np.isnan(filled), holes)


def test_the_rim_of_the_surface_does_not_grow() -> None:
    truth = sphere()
    filled = filled_depth(truth, INTRINSICS)
    np.testing.assert_array_equal(np.isnan(filled), np.isnan(truth))


@pytest.mark.parametrize("far_mm", [1e5, 1e7, 1e13, np.inf])
def test_numbers_that_are_no_depth_are_none(far_mm: float) -> None:
    depth = np.where(COLUMN < 64, 400.0, far_mm)
    surface = DepthSurface.from_depth(depth, INTRINSICS)
    assert surface.valid[:, :64].all()
    assert not np.isfinite(surface.points_cam_mm[:, 64:]).any()


def test_beyond_the_range_that_matters_nothing_is_fitted() -> None:
    depth = np.where(COLUMN < 64, 400.0, 900.0)
    everything = DepthSurface.from_depth(depth, INTRINSICS)
    near = DepthSurface.from_depth(depth, INTRINSICS, near_mm=(100.0, 600.0))
    front = COLUMN < 64
    np.testing.assert_array_equal(near.valid, everything.valid & front)
    np.testing.assert_array_equal(near.border, everything.border & front)
    np.testing.assert_array_equal(near.normals_cam[front], everything.normals_cam[front])
    assert near.vertices_cam_mm[:, 2].max() == 400.0
    np.testing.assert_array_equal(near.connected_right, everything.connected_right)
