"""Projection and lifting undo each other, and follow the documented pixel convention."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg3d_builder.geometry import camera
from fg3d_builder.geometry.camera import (
    at_nearest_pixel,
    cam_from_depth,
    cam_from_px,
    intrinsics_matrix,
    px_from_cam,
    scaled_intrinsics,
)

INTRINSICS = intrinsics_matrix(500.0, 520.0, 159.5, 120.25)

coordinate = st.floats(-300, 300)


@given(coordinate, coordinate, st.floats(50, 5000))
def test_lifting_a_projected_point_returns_it(x: float, y: float, z: float) -> None:
    point = np.array([x, y, z])
    pixel = px_from_cam(point, INTRINSICS)
    np.testing.assert_allclose(cam_from_px(pixel, z, INTRINSICS), point, atol=1e-9 * z)


def test_points_behind_the_camera_have_no_projection() -> None:
    assert np.isnan(px_from_cam(np.array([[1.0, 2.0, 0.0], [1.0, 2.0, -5.0]]), INTRINSICS)).all()


def test_projections_are_the_same_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).normal(size=(40, 50, 3)) * [200.0, 200.0, 400.0]
    points[0, 0] = np.nan
    compiled = px_from_cam(points, intrinsics_matrix(571.3, 569.8, 319.2, 241.1))
    monkeypatch.setattr(camera, "is_compiled", lambda: False)
    plain = px_from_cam(points, intrinsics_matrix(571.3, 569.8, 319.2, 241.1))
    np.testing.assert_array_equal(compiled, plain)


def test_x_is_right_and_y_is_down() -> None:
    right, down = px_from_cam(np.array([[1.0, 0.0, 100.0], [0.0, 1.0, 100.0]]), INTRINSICS)
    np.testing.assert_allclose(right, [159.5 + 5.0, 120.25])
    np.testing.assert_allclose(down, [159.5, 120.25 + 5.2])


def test_depth_image_is_lifted_pixel_by_pixel() -> None:
    depth = np.array([[100.0, np.nan], [300.0, 400.0]])
    points = cam_from_depth(depth, INTRINSICS)
    np.testing.assert_allclose(points[1, 0], cam_from_px(np.array([0.0, 1.0]), 300.0, INTRINSICS))
    assert np.isnan(points[0, 1]).all()


def test_scaled_intrinsics_follow_opencvs_resize() -> None:
    """A gradient image resized by OpenCV shows where each scene point moved."""
    ramp = np.tile(np.arange(320, dtype=np.float32), (240, 1))
    for factor in (0.5, 2.0, 1.25):
        small = cv2.resize(ramp, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        point = np.array([12.0, -7.0, 400.0])
        old = px_from_cam(point, INTRINSICS)
        new = px_from_cam(point, scaled_intrinsics(INTRINSICS, factor))
        left = int(np.floor(new[0]))
        value = np.interp(new[0], [left, left + 1], small[100, left : left + 2])
        assert abs(value - old[0]) < 1e-3


def test_nearest_pixels_end_at_the_image() -> None:
    image = np.arange(12.0).reshape(3, 4)
    px = np.array([[1.4, 0.6], [3.4, 2.4], [-0.4, 0.0], [-0.6, 0.0], [3.6, 1.0], [np.nan, 1.0]])
    found = at_nearest_pixel(image, px, np.nan)
    np.testing.assert_array_equal(found, [5.0, 11.0, 0.0, np.nan, np.nan, np.nan])
    assert at_nearest_pixel(image > 4, px, False).tolist() == [True, True, *4 * [False]]
