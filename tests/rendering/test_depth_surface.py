"""Depth surfaces of scenes whose geometry is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fg3d_builder.geometry.camera import cam_from_px, intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.meshes import triangle_normals
from fg3d_builder.records import Array
from fg3d_builder.rendering.depth_surface import (
    MAX_SLOPE,
    DepthSurface,
    depth_mesh,
    estimate_noise,
    joined_pixels,
)

INTRINSICS = intrinsics_matrix(300.0, 310.0, 63.5, 47.5)
HEIGHT, WIDTH = 96, 128
GRID = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), axis=-1).astype(float)
RAYS = cam_from_px(GRID, np.ones((HEIGHT, WIDTH)), INTRINSICS)


def plane_depth(normal: Array, distance: float) -> Array:
    """Depth of the plane through (0, 0, distance) with this normal."""
    return distance * normal[2] / (RAYS @ normal)


def sphere_depth(centre: Array, radius: float) -> Array:
    """Depth of a sphere, NaN beside it."""
    a, b = (RAYS**2).sum(-1), RAYS @ centre
    root = b**2 - a * (centre @ centre - radius**2)
    return np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, np.nan)


def tilted(tilt_x: float, tilt_y: float) -> Array:
    """Unit normal, towards the camera, of a plane with these slopes in degrees."""
    slope = np.tan(np.radians([tilt_x, tilt_y]))
    normal = np.array([slope[0], slope[1], -1.0])
    return normal / np.linalg.norm(normal)


def steepness(normal: Array) -> Array:
    """Depth step per pixel footprint (H, W) of a plane, as `MAX_SLOPE` counts it."""
    return np.hypot(normal[0], normal[1]) / -(RAYS @ normal)


def test_the_corner_of_a_plane_that_is_too_steep_is_left_out() -> None:
    normal = tilted(60.0, 58.0)
    steep = steepness(normal)
    assert steep.max() > MAX_SLOPE
    surface = DepthSurface.from_depth(plane_depth(normal, 400.0), INTRINSICS)
    np.testing.assert_array_equal(surface.valid, steep <= MAX_SLOPE)


@settings(max_examples=20, deadline=None)
@given(st.floats(-60, 60), st.floats(-60, 60))
@example(60.0, 57.0)
def test_plane_is_exact(tilt_x: float, tilt_y: float) -> None:
    normal = tilted(tilt_x, tilt_y)
    assume(steepness(normal).max() < 0.999 * MAX_SLOPE)
    surface = DepthSurface.from_depth(plane_depth(normal, 400.0), INTRINSICS)
    assert surface.valid.all()
    np.testing.assert_allclose(
        surface.normals_cam, np.broadcast_to(normal, (96, 128, 3)), atol=1e-6
    )
    np.testing.assert_allclose(surface.fitted_cam_mm, surface.points_cam_mm, atol=1e-6)
    points, normals, ok = surface.lookup(np.array([[10.3, 20.7], [100.5, 60.25]]))
    assert ok.all()
    np.testing.assert_allclose((points - [0, 0, 400.0]) @ normal, 0, atol=1e-9)
    np.testing.assert_allclose(normals, [normal, normal], atol=1e-6)


def test_normals_of_a_noisy_sphere_are_good_to_a_few_degrees() -> None:
    centre = np.array([0.0, 0.0, 420.0])
    clean = sphere_depth(centre, 60.0)
    rng = np.random.default_rng(0)
    noisy = clean + 0.5 * rng.standard_normal(clean.shape)
    surface = DepthSurface.from_depth(noisy, INTRINSICS)
    truth = (clean[..., None] * RAYS - centre) / 60.0
    inner = surface.valid & ~surface.border & (truth[..., 2] < -0.5)
    angle = np.degrees(np.arccos(np.clip((truth * surface.normals_cam).sum(-1)[inner], -1, 1)))
    assert np.median(angle) < 4.0
    error = np.abs(surface.fitted_cam_mm[..., 2] - clean)[inner]
    # Fitting must average the noise away; raw positions must stay raw.
    assert np.sqrt((error**2).mean()) < 0.25
    np.testing.assert_array_equal(surface.points_cam_mm[inner][:, 2], noisy[inner])


def test_normals_are_unit_and_towards_the_camera() -> None:
    surface = DepthSurface.from_depth(sphere_depth(np.array([5.0, 3, 300]), 50.0), INTRINSICS)
    normals = surface.normals_cam[surface.valid]
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-12)
    assert np.all((normals * surface.points_cam_mm[surface.valid]).sum(-1) < 0)


@pytest.mark.parametrize("sigma", [0.0, 0.2, 1.0, 3.0])
def test_noise_estimate(sigma: float) -> None:
    depth = plane_depth(np.array([0.3, -0.2, -0.93]), 500.0)
    depth = depth + sigma * np.random.default_rng(1).standard_normal(depth.shape)
    estimate = np.median(estimate_noise(depth))
    assert estimate == pytest.approx(sigma, rel=0.15, abs=1e-3)


def test_noise_estimate_grows_with_depth_like_the_sensors() -> None:
    depth = np.where(GRID[..., 0] < 64, 300.0, 900.0)
    sigma = np.where(GRID[..., 0] < 64, 0.1, 0.9)
    depth = depth + sigma * np.random.default_rng(2).standard_normal(depth.shape)
    noise = estimate_noise(depth)
    assert np.median(noise[:, :60]) == pytest.approx(0.1, rel=0.2)
    assert np.median(noise[:, 70:]) == pytest.approx(0.9, rel=0.2)


def test_mesh_is_cut_at_the_step_and_the_hole() -> None:
    depth = np.where(GRID[..., 0] < 50, 300.0, 330.0)
    depth[40:44, 80:84] = np.nan
    surface = DepthSurface.from_depth(depth, INTRINSICS)
    z = surface.vertices_cam_mm[surface.triangles, 2]
    assert np.ptp(z, axis=1).max() == 0
    squares = 95 * 127 - 95 - 25
    assert len(surface.triangles) == 2 * squares + 4  # the hole's corners keep one each
    normals = triangle_normals(surface.vertices_cam_mm, surface.triangles)
    assert np.all((normals * surface.vertices_cam_mm[surface.triangles[:, 0]]).sum(1) < 0)
    np.testing.assert_allclose(px_from_cam(surface.vertices_cam_mm, INTRINSICS), surface.vertex_px)
    for column, row, expected in ((49, 60, True), (48, 60, True), (40, 60, False), (82, 38, True)):
        assert surface.border[row, column] == expected
    assert surface.border[0, 70]
    assert not surface.border[70, 70]


def test_corner_squares_keep_their_triangle() -> None:
    depth = np.full((HEIGHT, WIDTH), 400.0)
    depth[50:53, 50:53] = np.nan
    surface = DepthSurface.from_depth(depth, INTRINSICS)
    # 16 squares touch the missing pixels; those at the corners keep the triangle of theirs.
    assert len(surface.triangles) == 2 * (95 * 127 - 16) + 4


def test_lookup_refuses_holes_steps_and_the_outside() -> None:
    depth = np.where(GRID[..., 0] < 50, 300.0, 330.0)
    depth[40:43, 80:83] = np.nan
    surface = DepthSurface.from_depth(depth, INTRINSICS)
    px = np.array([[49.5, 60], [80.4, 40.2], [-1, 5], [127.5, 5], [np.nan, 3], [20.5, 20.5]])
    points, normals, ok = surface.lookup(px)
    assert ok.tolist() == [False, False, False, False, False, True]
    assert np.isnan(points[~ok]).all()
    assert np.isnan(normals[~ok]).all()
    np.testing.assert_allclose(px_from_cam(points[ok], INTRINSICS), [[20.5, 20.5]])


def test_depth_that_is_not_positive_counts_as_none() -> None:
    depth = np.full((HEIGHT, WIDTH), 400.0)
    depth[:, :40] = 0.0
    depth[:, 40:50] = -3.0
    surface = DepthSurface.from_depth(depth, INTRINSICS)
    assert not surface.valid[:, :50].any()
    assert surface.valid[:, 50:].all()


def test_empty_depth_gives_an_empty_surface() -> None:
    surface = DepthSurface.from_depth(np.full((HEIGHT, WIDTH), np.nan), INTRINSICS)
    assert not surface.valid.any()
    assert len(surface.triangles) == len(surface.vertices_cam_mm) == 0
    assert not surface.lookup(np.array([[5.0, 5.0]]))[2].any()


def test_a_mesh_ends_at_a_depth_step_and_what_is_in_front_gets_a_rim() -> None:
    depth = np.full((HEIGHT, WIDTH), 500.0)
    depth[:, 64:] = 400.0
    right, down = joined_pixels(depth, INTRINSICS)
    assert down[:-1].all()
    assert right[:, :-1].sum() == HEIGHT * (WIDTH - 2)
    vertices, triangles, rims = depth_mesh(depth, INTRINSICS)
    assert len(triangles) == 2 * (HEIGHT - 1) * (WIDTH - 2)
    assert set(np.unique(np.ptp(vertices[triangles][..., 2], axis=1))) == {0.0}
    # One column of squares, at the depth of what is in front.
    assert len(rims) == 3 * 2 * (HEIGHT - 1)
    assert (rims[:, 2] == 400.0).all()
    columns = np.unique(np.rint(px_from_cam(rims, INTRINSICS)[:, 0]))
    np.testing.assert_array_equal(columns, [63, 64])


def test_outlines_do_not_pass_for_noise() -> None:
    depth = sphere_depth(np.array([0.0, 0.0, 500.0]), 80.0)
    depth = np.where(np.isfinite(depth), depth, 900.0)
    vertices, triangles, _ = depth_mesh(depth, INTRINSICS)
    assert np.ptp(vertices[triangles][..., 2], axis=1).max() < 30.0
