"""Points in a grid: the camera that took them is found, or the grid is seen anew."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.captures.organised_points import (
    LARGEST_RESIDUAL_PX,
    fitted_pinhole,
    frame_of_points,
    grid_mesh,
)
from fg3d_builder.errors import CaptureError
from fg3d_builder.geometry.camera import cam_from_depth, intrinsics_matrix, px_from_cam
from fg3d_builder.records import Array
from tests.captures.layouts.scan_writers import colour_ramp, seen_head

CAMERA = intrinsics_matrix(520.0, 530.0, 66.0, 45.0)
SIZE = (96, 128)


@pytest.fixture(scope="module")
def seen() -> tuple[Array, Array]:
    return seen_head(*SIZE, CAMERA, 700.0)


@pytest.mark.parametrize("signs", [(1, 1, 1), (1, -1, -1), (-1, -1, 1), (1, 1, -1)])
def test_the_camera_is_found_whatever_way_axes_point(
    seen: tuple[Array, Array], signs: tuple[int, int, int]
) -> None:
    fit = fitted_pinhole(seen[0] * signs)
    np.testing.assert_allclose(fit.intrinsics, CAMERA, rtol=1e-9)
    assert fit.signs.tolist() == list(signs)
    assert fit.residual_px < 1e-9


def test_noise_and_outliers_hardly_move_the_camera(seen: tuple[Array, Array]) -> None:
    rng = np.random.default_rng(3)
    points = seen[0] + rng.normal(0, 0.05, seen[0].shape)
    outlier = rng.random(points.shape[:2]) < 0.02
    points[outlier, :2] += rng.normal(0, 30, points[outlier, :2].shape)
    fit = fitted_pinhole(points)
    np.testing.assert_allclose(np.diag(fit.intrinsics)[:2], [520, 530], rtol=1e-3)
    np.testing.assert_allclose(fit.intrinsics[:2, 2], [66, 45], atol=0.05)
    assert fit.residual_px < LARGEST_RESIDUAL_PX


def test_a_frame_has_the_depth_of_the_points(seen: tuple[Array, Array]) -> None:
    points, rgb = seen
    found, depth, intrinsics = frame_of_points(points * [1, -1, -1], rgb, "x.abs")
    assert found is rgb
    np.testing.assert_array_equal(depth, points[..., 2].astype(np.float32))
    np.testing.assert_allclose(intrinsics, CAMERA, rtol=1e-9)


def test_a_picture_of_twice_the_size(seen: tuple[Array, Array]) -> None:
    points, _ = seen
    rgb = colour_ramp(2 * SIZE[0], 2 * SIZE[1])
    found, depth, intrinsics = frame_of_points(points, rgb, "x.abs")
    assert found is rgb
    np.testing.assert_array_equal(depth[1::2, ::2], points[..., 2].astype(np.float32))
    np.testing.assert_array_equal(depth[::2, 1::2], points[..., 2].astype(np.float32))
    # The middle of four pixels of the picture is where the grid has its point.
    there = np.isfinite(points[..., 2])
    row, column = np.nonzero(there)
    px = px_from_cam(points[there], intrinsics)
    np.testing.assert_allclose(px, np.stack([2 * column, 2 * row], axis=1) + 0.5, atol=1e-6)


def test_a_grid_of_no_pinhole_is_seen_anew() -> None:
    """A scanner with a lens that bends: what is seen is the same surface, by a pinhole."""
    height, width = 120, 160
    row, column = np.mgrid[0:height, 0:width].astype(float)
    x, y = (column - 79.5) / 200.0, (row - 59.5) / 200.0
    bend = 1.0 + 0.3 * (x**2 + y**2)
    depth = 600.0 + 40.0 * np.cos(4 * x) * np.cos(4 * y)
    points = np.stack([x * bend * depth, y * bend * depth, depth], axis=-1)
    points[:8] = np.nan
    rgb = colour_ramp(height, width)
    assert fitted_pinhole(points).residual_px > 1.0
    found, seen_mm, intrinsics = frame_of_points(points, rgb, "x.abs")
    there = np.isfinite(points[..., 2])
    px = px_from_cam(points[there], intrinsics)
    inner = (np.abs(px - [79.5, 59.5]) < [60, 40]).all(axis=1)
    c, r = np.rint(px[inner]).astype(int).T
    nearest = cam_from_depth(seen_mm.astype(float), intrinsics)[r, c]
    # Half a pixel is 2 mm beside: the depth differs by the slope (at most 0.3) over that.
    assert np.abs(nearest[:, 2] - points[there][inner][:, 2]).max() < 0.6
    step = np.abs(found[r, c].astype(int) - rgb[there][inner].astype(int)).max()
    assert step <= 4  # the ramp climbs 2 levels a pixel


def test_a_step_is_not_spanned() -> None:
    points = cam_from_depth(np.full((20, 20), 500.0), intrinsics_matrix(100, 100, 9.5, 9.5))
    points[:, 10:, 2] += 200.0
    mesh = grid_mesh(points, colour_ramp(20, 20), "x")
    z = mesh.vertices[mesh.triangles][..., 2]
    assert (np.ptp(z, axis=1) == 0).all()
    assert len(mesh.triangles) == 2 * 19 * (9 + 9)


def test_what_cannot_be_is_named(seen: tuple[Array, Array]) -> None:
    points, rgb = seen
    with pytest.raises(CaptureError, match=r"x\.abs: 128 x 96 points.*100 x 96 pixels") as caught:
        frame_of_points(points, rgb[:, :100], "x.abs")
    assert caught.value.code == "size_mismatch"
    with pytest.raises(CaptureError, match="0 points") as caught:
        frame_of_points(np.full_like(points, np.nan), rgb, "x.abs")
    assert caught.value.code == "no_depth"
    centred = points - np.nanmean(points, axis=(0, 1))
    with pytest.raises(CaptureError, match="Z is positive and negative") as caught:
        frame_of_points(centred, rgb, "x.abs")
    assert caught.value.code == "bad_field"
    one = np.broadcast_to([1.0, 2.0, 500.0], points.shape)
    with pytest.raises(CaptureError, match="one direction"):
        frame_of_points(one, rgb, "x.abs")
