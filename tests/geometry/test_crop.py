"""The crop: where it lies, and that it shows what its camera says."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.errors import CaptureError
from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.crop import crop_around, crop_image

INTRINSICS = intrinsics_matrix(600.0, 610.0, 320.0, 230.0)


def points(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform([-80, -100, 500], [80, 100, 620], (50, 3))


def test_box_is_centred_and_enlarged() -> None:
    to_crop = crop_around(points(), INTRINSICS, 1.25, 256)
    inside = px_from_cam(points(), to_crop @ INTRINSICS)
    low, high = inside.min(axis=0), inside.max(axis=0)
    np.testing.assert_allclose((low + high) / 2, [127.5, 127.5], atol=1e-9)
    assert np.max(high - low) == pytest.approx(256 / 1.25)


def test_crop_camera_agrees_with_crop_map() -> None:
    to_crop = crop_around(points(), INTRINSICS, 1.5, 128)
    whole = px_from_cam(points(), INTRINSICS)
    expected = whole @ to_crop[:2, :2].T + to_crop[:2, 2]
    np.testing.assert_allclose(px_from_cam(points(), to_crop @ INTRINSICS), expected, atol=1e-9)


@pytest.mark.parametrize("factor", [0.25, 0.8, 1.0, 2.5])
def test_a_spot_lands_where_the_map_says(factor: float) -> None:
    """Centre of brightness of a wide Gaussian spot, within 0.05 pixels of the crop."""
    x, y = np.meshgrid(np.arange(400.0), np.arange(300.0))
    spot = np.array([163.3, 121.8])
    bell = 250 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * 8.0**2))
    rgb = np.repeat(np.rint(bell).astype(np.uint8)[..., None], 3, axis=2)
    shift = 50 - factor * spot
    to_crop = np.array([[factor, 0, shift[0]], [0, factor, shift[1]], [0, 0, 1.0]])
    crop = crop_image(rgb, to_crop, 101).astype(float)[..., 0]
    column, row = np.meshgrid(np.arange(101.0), np.arange(101.0))
    centre = [(crop * column).sum() / crop.sum(), (crop * row).sum() / crop.sum()]
    np.testing.assert_allclose(centre, [50, 50], atol=0.05)


def test_shrinking_averages_instead_of_aliasing() -> None:
    """A checkerboard finer than the crop's pixels becomes an even grey."""
    rgb = np.zeros((400, 400, 3), np.uint8)
    rgb[::2, ::2] = rgb[1::2, 1::2] = 255
    to_crop = np.array([[0.25, 0, 0], [0, 0.25, 0], [0, 0, 1.0]])
    crop = crop_image(rgb, to_crop, 100)[10:-10, 10:-10].astype(float)
    assert np.all(np.abs(crop - 127.5) < 4)


def test_outside_of_the_image_is_black() -> None:
    rgb = np.full((60, 60, 3), 200, np.uint8)
    to_crop = np.array([[1.0, 0, 30], [0, 1.0, 0], [0, 0, 1.0]])
    crop = crop_image(rgb, to_crop, 60)
    assert np.all(crop[:, :28] == 0)
    assert np.all(crop[:, 32:] == 200)


def test_a_face_behind_the_camera_has_no_crop() -> None:
    behind = points() * [1, 1, -1]
    with pytest.raises(CaptureError, match="spans nan pixels") as caught:
        crop_around(behind, INTRINSICS, 1.25, 256)
    assert caught.value.code == "no_crop"
