"""The noise's density on surfaces and noise that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fg3d_builder.records import Array
from fg3d_builder.rendering.noise_density import block_means, noise_density_mm4, response_mm

PITCH_MM = 0.55
SIZE = 400
GRID = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1).astype(float)
PLACES = GRID[20:-20:4, 20:-20:4].reshape(-1, 2)


def face_like(seed: int = 0) -> Array:
    """A smooth surface with the relief of skin: 60 mm of curvature and waves of 20 mm."""
    x, y = np.moveaxis(GRID, -1, 0) * PITCH_MM
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, 4)
    bulge = ((x - 110) ** 2 + (y - 110) ** 2) / 240.0
    waves = 0.1 * np.sin(x / 3.2 + phase[0]) * np.sin(y / 3.2 + phase[1])
    return 450.0 + bulge + waves


def blurred(sigma_mm: float, blur_px: float, seed: int = 1) -> Array:
    """White noise blurred by a Gaussian, with this standard deviation."""
    noise = np.random.default_rng(seed).standard_normal((SIZE, SIZE))
    noise = gaussian_filter(noise, blur_px, mode="wrap") if blur_px else noise
    return sigma_mm * noise / noise.std()


def true_density(noise: Array) -> float:
    """The periodogram's mean at wavelengths of 7 to 12 mm."""
    power = np.abs(np.fft.fft2(noise)) ** 2 * PITCH_MM**2 / noise.size
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIZE, PITCH_MM)] * 2))
    return float(power[(frequency > 1 / 12.0) & (frequency < 1 / 7.0)].mean())


def test_a_surface_without_noise_has_none() -> None:
    for seed in range(3):
        assert noise_density_mm4(face_like(seed), PLACES, PITCH_MM) == 0.0


@pytest.mark.parametrize(("sigma_mm", "blur_px"), [(0.3, 0.0), (0.5, 1.2), (0.5, 2.4), (0.25, 2.4)])
def test_density_of_correlated_noise(sigma_mm: float, blur_px: float) -> None:
    """Within a factor of 2, which moves the shortest wavelength that is kept by a fifth."""
    noise = blurred(sigma_mm, blur_px)
    found = noise_density_mm4(face_like() + noise, PLACES, PITCH_MM)
    assert 0.5 < found / true_density(noise) < 2.0


def test_steps_do_not_hide_noise() -> None:
    noise = blurred(0.5, 2.4)
    stored = np.rint((face_like() + noise) / 0.36) * 0.36
    assert 0.5 < noise_density_mm4(stored, PLACES, PITCH_MM) / true_density(noise) < 2.0


def test_holes_are_left_out() -> None:
    noise = blurred(0.5, 2.4)
    depth = face_like() + noise
    depth[np.random.default_rng(2).uniform(size=depth.shape) < 0.01] = np.nan
    assert 0.4 < noise_density_mm4(depth, PLACES, PITCH_MM) / true_density(noise) < 2.0


def test_too_little_depth_tells_nothing() -> None:
    assert noise_density_mm4(np.full((SIZE, SIZE), np.nan), PLACES, PITCH_MM) == 0.0


def test_response_is_the_standard_deviation_of_white_noise_and_0_on_quadrics() -> None:
    at = PLACES.astype(int)
    x, y = np.moveaxis(GRID, -1, 0)
    quadric = 400.0 + 0.1 * x - 0.2 * y + 1e-3 * (x**2 + x * y - y**2)
    for spacing in (1, 3, 8):
        assert response_mm(quadric, at, spacing) < 1e-9
        white = response_mm(quadric + blurred(0.4, 0.0), at, spacing)
        assert white == pytest.approx(0.4, rel=0.05)


def test_block_means_are_means() -> None:
    depth = face_like() + blurred(0.5, 0.0)
    means = block_means(depth, np.array([[100, 120]]), 5)
    assert means[120, 100] == pytest.approx(depth[118:123, 98:103].mean(), abs=1e-9)
    depth[121, 101] = np.nan
    assert np.isnan(block_means(depth, np.array([[100, 120]]), 5)[120, 100])
