"""Depth brought onto the colour's pixels: against planes and a head whose truth is rendered."""

from __future__ import annotations

import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fg3d_builder.captures.aligned_depth import (
    DepthCamera,
    depth_from_distance,
    depth_on_colour,
    intrinsics_of_size,
)
from fg3d_builder.captures.lens import Lens
from fg3d_builder.geometry.camera import cam_from_px, intrinsics_matrix
from fg3d_builder.records import Array
from fg3d_builder.rendering.measured_surface import measured_surface
from fg3d_builder.rendering.rasterizer import rasterize
from tests.captures.test_scan import bumpy_head

DEPTH = intrinsics_matrix(210.0, 214.0, 126.0, 97.0)
HEIGHT, WIDTH = 192, 256
COLOUR = intrinsics_matrix(700.0, 705.0, 330.0, 250.0)
BESIDE = DepthCamera(
    DEPTH, Rotation.from_rotvec([0.01, 0.03, -0.02]).as_matrix(), np.array([-25.0, 2.0, 4.0])
)


def rays(intrinsics: Array, height: int, width: int) -> Array:
    y, x = np.mgrid[0:height, 0:width].astype(float)
    return cam_from_px(np.stack([x, y], axis=-1), np.ones((height, width)), intrinsics)


def plane_depth(intrinsics: Array, height: int, width: int, normal: Array, offset: float) -> Array:
    """Depth of the plane ``normal @ x = offset``."""
    return offset / (rays(intrinsics, height, width) @ normal)


def head_depth(
    intrinsics: Array, height: int, width: int, camera: DepthCamera | None = None
) -> Array:
    """Depth of a head 450 mm in front of the depth camera, NaN beside it; of another camera's."""
    mesh = bumpy_head()
    points = mesh.vertices * [1.0, -1.0, -1.0] + [0.0, 0.0, 450.0]
    if camera is not None:
        points = points @ camera.rotation.T + camera.translation_mm
    return rasterize(points, mesh.triangles, intrinsics, height, width).depth_mm


def test_a_plane_is_exact_at_every_size_and_cut() -> None:
    normal = np.array([0.4, -0.3, 0.8])
    depth = plane_depth(DEPTH, HEIGHT, WIDTH, normal, 400.0)
    for colour, height, width in (
        (intrinsics_of_size(DEPTH, (HEIGHT, WIDTH), (720, 960)), 720, 960),
        (intrinsics_of_size(DEPTH, (HEIGHT, WIDTH), (150, 200)), 150, 200),
        (intrinsics_matrix(333.0, 320.0, 40.0, 61.3), 150, 130),
        (DEPTH, HEIGHT, WIDTH),
    ):
        found = depth_on_colour(depth, DepthCamera(DEPTH), colour, height, width)
        wanted = plane_depth(colour, height, width, normal, 400.0)
        known = np.isfinite(found)
        assert known.mean() > 0.97  # beyond the outermost samples' centres nothing is known
        # Single precision holds seven digits.
        np.testing.assert_allclose(found[known], wanted[known], rtol=2e-7)


def test_a_bent_depth_image_is_made_straight() -> None:
    """A plane and a head through a lens that moves pixels by up to four."""
    bend = np.array([0.2, -0.1, 0.002, -0.001, 0.02, 0.05, 0.0, 0.0])
    lens = Lens(DEPTH, (HEIGHT, WIDTH), bend)
    px = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), axis=-1).astype(float)
    straight = lens.straight_px(px)
    assert 3.0 < np.abs(straight - px).max() < 20.0
    slopes = np.column_stack([(straight - DEPTH[:2, 2]).reshape(-1, 2) / np.diag(DEPTH)[:2]])
    seen_rays = np.column_stack([slopes, np.ones(len(slopes))]).reshape(HEIGHT, WIDTH, 3)
    normal = np.array([0.3, -0.2, 0.9])
    depth = 400.0 / (seen_rays @ normal)
    for camera in (DepthCamera(DEPTH, lens=lens), replace(BESIDE, lens=lens)):
        found = depth_on_colour(depth, camera, COLOUR, 500, 640)
        turned = camera.rotation @ normal
        wanted = plane_depth(COLOUR, 500, 640, turned, 400.0 + turned @ camera.translation_mm)
        known = np.isfinite(found)
        assert known.mean() > 0.6
        assert np.abs(found - wanted)[known].max() < 0.01
        ignored = depth_on_colour(depth, replace(camera, lens=None), COLOUR, 500, 640)
        assert np.nanmax(np.abs(ignored - wanted)) > 1.0


def test_a_plane_is_exact_in_another_camera() -> None:
    normal = np.array([0.1, -0.2, 0.9])
    depth = plane_depth(DEPTH, HEIGHT, WIDTH, normal, 400.0)
    found = depth_on_colour(depth, BESIDE, COLOUR, 500, 640)
    turned = BESIDE.rotation @ normal
    wanted = plane_depth(COLOUR, 500, 640, turned, 400.0 + turned @ BESIDE.translation_mm)
    known = np.isfinite(found)
    assert known.mean() > 0.8
    # Corners are rounded to 1/256 pixel.
    assert np.abs(found - wanted)[known].max() < 0.01


def test_whole_factors_repeat_samples_which_registration_has_back() -> None:
    rng = np.random.default_rng(0)
    depth = head_depth(DEPTH, HEIGHT, WIDTH) + 0.5 * rng.standard_normal((HEIGHT, WIDTH))
    colour = intrinsics_of_size(DEPTH, (HEIGHT, WIDTH), (3 * HEIGHT, 3 * WIDTH))
    found = depth_on_colour(depth, DepthCamera(DEPTH), colour, 3 * HEIGHT, 3 * WIDTH)
    wanted = depth.astype(np.float32).repeat(3, axis=0).repeat(3, axis=1)
    np.testing.assert_array_equal(found, wanted)
    surface = measured_surface(found, colour, 200.0, 600.0)
    assert surface.sampling.kind == "repeated"
    np.testing.assert_allclose(surface.intrinsics, DEPTH, atol=1e-9)


@pytest.mark.parametrize("factor", [2.25, 3.75])
def test_other_factors_are_recognised_as_interpolated(factor: float) -> None:
    rng = np.random.default_rng(0)
    truth = head_depth(DEPTH, HEIGHT, WIDTH)
    depth = truth + 0.5 * rng.standard_normal(truth.shape)
    size = (round(factor * HEIGHT), round(factor * WIDTH))
    colour = intrinsics_of_size(DEPTH, (HEIGHT, WIDTH), size)
    found = depth_on_colour(depth, DepthCamera(DEPTH), colour, *size)
    surface = measured_surface(found, colour, 200.0, 600.0)
    assert surface.sampling.kind == "interpolated"
    assert surface.sampling.factor_x == pytest.approx(factor, abs=0.01)
    height, width = surface.valid.shape
    off = surface.points_cam_mm[..., 2] - head_depth(surface.intrinsics, height, width)
    assert np.nanstd(off[60:130, 90:160]) < 0.55


def with_wall(head: Array, wall_mm: float = 900.0) -> Array:
    return np.where(np.isfinite(head), head, np.float32(wall_mm))


def test_no_pixel_lies_between_head_and_wall() -> None:
    depth = with_wall(head_depth(DEPTH, HEIGHT, WIDTH))
    farthest = float(depth[depth < 800].max())
    for size in ((720, 960), (400, 533), (384, 512)):
        colour = intrinsics_of_size(DEPTH, (HEIGHT, WIDTH), size)
        found = depth_on_colour(depth, DepthCamera(DEPTH), colour, *size)
        between = (found > farthest + 0.01) & (found < 899.9)
        assert not between.any()
        truth = head_depth(colour, *size)
        inner = cv2.erode(np.isfinite(truth).astype(np.uint8), np.ones((17, 17))) > 0
        assert (found[inner] < 800).mean() > 0.99


def test_the_head_in_another_camera() -> None:
    """Median error below 0.1 mm; what the depth camera cannot see gets no depth."""
    head = head_depth(DEPTH, HEIGHT, WIDTH)
    found = depth_on_colour(with_wall(head), BESIDE, COLOUR, 500, 640)
    truth = head_depth(COLOUR, 500, 640, BESIDE)
    on_head = np.isfinite(found) & (found < 700)
    off = np.abs(found - truth)[on_head]
    assert on_head.sum() > 40_000
    assert np.median(off) < 0.1
    assert np.quantile(off, 0.95) < 0.5
    assert np.isfinite(truth)[on_head].mean() > 0.9995
    # Hardly a pixel of the head shows the wall behind it; both were one before rims counted.
    assert ((found > 700) & np.isfinite(truth)).sum() < 20
    # To the right of the head, the wall is in its shadow from the depth camera's place.
    row = 250
    right = np.flatnonzero(np.isfinite(truth[row]))[-1]
    shadow = 25.0 * (1 / 450 - 1 / 900) * 700
    dark = np.flatnonzero(np.isfinite(found[row, right + 1 :]))[0]
    assert dark == pytest.approx(shadow, abs=6.0)


def test_missing_samples_are_bridged_or_stay_holes_in_another_camera() -> None:
    depth = np.full((HEIGHT, WIDTH), 500.0)
    depth[80, 100] = np.nan
    depth[110:120, 100:110] = 0.0
    found = depth_on_colour(depth, DepthCamera(DEPTH, translation_mm=np.ones(3)), COLOUR, 500, 640)
    middle = found[100:400, 150:500]
    assert np.nanmax(np.abs(middle - 501.0)) < 0.01
    # 11 samples, of which the outer belong to the rim, by 3.3 pixels each.
    assert np.isnan(middle).sum() == pytest.approx((11 * 3.3) ** 2, rel=0.1)


def test_depth_seen_from_behind_is_none() -> None:
    """A camera at the other side of a wall sees nothing that was measured."""
    around = DepthCamera(DEPTH, np.diag([-1.0, 1.0, -1.0]), np.array([0.0, 0.0, 1000.0]))
    found = depth_on_colour(np.full((HEIGHT, WIDTH), 500.0), around, COLOUR, 500, 640)
    assert np.isnan(found).all()


def test_distance_along_the_ray_becomes_depth() -> None:
    ray = rays(DEPTH, HEIGHT, WIDTH)
    distance = 500.0 * np.linalg.norm(ray, axis=-1)
    np.testing.assert_allclose(depth_from_distance(distance, DEPTH), 500.0, rtol=1e-12)


def test_intrinsics_of_another_size_see_the_same_corners() -> None:
    found = intrinsics_of_size(DEPTH, (192, 256), (720, 960))
    for corner, other in (((-0.5, -0.5), (-0.5, -0.5)), ((255.5, 191.5), (959.5, 719.5))):
        ray = cam_from_px(np.array(corner), np.array(1.0), DEPTH)
        np.testing.assert_allclose(cam_from_px(np.array(other), np.array(1.0), found), ray)
    assert intrinsics_of_size(DEPTH, (192, 256), (719, 960))[0, 0] == pytest.approx(787.5)
    with pytest.raises(ValueError, match="256 x 192 and 960 x 540"):
        intrinsics_of_size(DEPTH, (192, 256), (540, 960))


def test_empty_depth() -> None:
    empty = np.full((HEIGHT, WIDTH), np.nan)
    for camera in (DepthCamera(DEPTH), BESIDE):
        assert np.isnan(depth_on_colour(empty, camera, COLOUR, 50, 64)).all()


def test_speed() -> None:
    depth = np.full((480, 640), 500.0)
    camera = DepthCamera(intrinsics_matrix(600, 600, 319.5, 239.5), BESIDE.rotation, np.ones(3))
    colour = intrinsics_matrix(1500, 1500, 719.5, 959.5)
    depth_on_colour(depth, camera, colour, 1920, 1440)  # compiles
    times = []
    for _ in range(3):
        start = time.process_time()
        depth_on_colour(depth, camera, colour, 1920, 1440)
        times.append(time.process_time() - start)
    assert min(times) < 2.0
