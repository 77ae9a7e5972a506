from __future__ import annotations

import numpy as np

from fg3d_builder.rendering.shading import linear_from_srgb
from fg3d_builder.rendering.texture import TexturePyramid, footprint_texels, sample_bilinear


def ramp(height: int, width: int) -> np.ndarray:
    """A texture whose value is u in the first channel and v in the second."""
    u = (np.arange(width) + 0.5) / width
    v = 1.0 - (np.arange(height) + 0.5) / height
    return np.stack(np.broadcast_arrays(u[None], v[:, None], 0.5), axis=-1)


def test_bilinear_reproduces_a_ramp_between_texel_centres() -> None:
    uv = np.random.default_rng(0).uniform(0.1, 0.9, (500, 2))
    found = sample_bilinear(ramp(16, 32), uv)
    np.testing.assert_allclose(found[:, :2], uv, atol=1e-12)


def test_borders_clamp_and_the_outside_repeats() -> None:
    texture = ramp(4, 4)
    np.testing.assert_allclose(sample_bilinear(texture, np.array([[1.0, 0.0]]))[0, 0], 0.875)
    inside = sample_bilinear(texture, np.array([[0.3, 0.6]]))
    outside = sample_bilinear(texture, np.array([[2.3, -3.4]]))
    np.testing.assert_allclose(outside, inside, atol=1e-12)


def test_pyramid_halves_down_to_one_texel_and_keeps_the_mean() -> None:
    texture = np.random.default_rng(1).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    levels = TexturePyramid.from_srgb(texture).levels
    assert [level.shape[:2] for level in levels][:2] == [(64, 32), (32, 16)]
    assert min(levels[-1].shape[:2]) == 1
    mean = linear_from_srgb(texture).astype(float).mean(axis=(0, 1))
    for level in levels:
        np.testing.assert_allclose(level.mean(axis=(0, 1)), mean, rtol=1e-4)


def test_a_coarse_footprint_averages_instead_of_aliasing() -> None:
    checker = np.zeros((256, 256, 3), np.uint8)
    checker[::2, ::2] = checker[1::2, 1::2] = 255
    pyramid = TexturePyramid.from_srgb(checker)
    uv = np.random.default_rng(2).uniform(0, 1, (200, 2))
    fine = pyramid.sample(uv, np.full(200, 0.5))
    coarse = pyramid.sample(uv, np.full(200, 4.0))
    # Uniform positions between black and white texels: the standard deviation is 1/6.
    np.testing.assert_allclose(fine.std(), 1 / 6, atol=0.03)
    np.testing.assert_allclose(coarse, 0.5, atol=1e-6)


def test_levels_blend_without_a_jump() -> None:
    texture = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pyramid = TexturePyramid.from_srgb(texture)
    uv = np.full((3, 2), 0.37)
    below, at, above = pyramid.sample(uv, np.array([1.9999, 2.0, 2.0001]))
    np.testing.assert_allclose(below, at, atol=2e-4)
    np.testing.assert_allclose(above, at, atol=2e-4)


def test_footprint_is_the_side_length_of_a_pixel_in_texels() -> None:
    corners_px = np.array([[[0, 0], [10, 0], [0, 10]]], dtype=float)
    corners_uv = np.array([[[0, 0], [0.5, 0], [0, 0.5]]])
    np.testing.assert_allclose(footprint_texels(corners_px, corners_uv, 100, 100), [5.0])
    # Turning the triangle over changes nothing.
    np.testing.assert_allclose(footprint_texels(corners_px[:, ::-1], corners_uv, 100, 100), [5.0])
