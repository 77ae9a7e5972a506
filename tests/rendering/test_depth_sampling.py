"""Enlarged depth is told from measured depth, and its samples are recovered."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from test_depth_gaps import sphere

from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array
from fg3d_builder.rendering.depth_sampling import (
    block_means,
    enlargement,
    samples_of,
    scattering,
)

HEIGHT, WIDTH = 160, 120
INTRINSICS = intrinsics_matrix(220.0, 220.0, 59.5, 79.5)
METHODS = {"repeated": cv2.INTER_NEAREST, "interpolated": cv2.INTER_LINEAR}


def measured(noise_mm: float = 0.15, unit_mm: float = 0.1) -> Array:
    """Depth of a sphere before a wall, with a sensor's noise and rounding."""
    depth = sphere(INTRINSICS, HEIGHT, WIDTH)
    depth = np.where(np.isfinite(depth), depth, 700.0)
    depth += noise_mm * np.random.default_rng(11).standard_normal(depth.shape)
    return np.round(depth / unit_mm) * unit_mm


def enlarged(depth: Array, size: tuple[int, int], how: int, unit_mm: float = 0.1) -> Array:
    """Enlarge to (width, height), and round as a file does."""
    large = cv2.resize(depth, size, interpolation=how)
    return np.round(large / unit_mm) * unit_mm


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize(
    ("factor_x", "factor_y"), [(2, 2), (3, 3), (7.5, 7.5), (2.25, 2.25), (12, 12), (4, 2.5)]
)
def test_factors_and_samples_are_recovered(kind: str, factor_x: float, factor_y: float) -> None:
    depth = measured()
    size = (round(WIDTH * factor_x), round(HEIGHT * factor_y))
    found = enlargement(large := enlarged(depth, size, METHODS[kind]))
    assert found is not None
    for axis, factor in zip(found, (factor_x, factor_y), strict=True):
        assert axis.kind == kind
        assert axis.factor == pytest.approx(factor, rel=1e-3)
        # OpenCV's nearest neighbour is off by up to half a pixel at odd factors.
        assert abs(axis.first - (factor - 1) / 2) < (0.51 if kind == "repeated" else 0.15)
    samples = samples_of(large, *found)
    assert samples.shape == depth.shape
    off = np.abs(samples - depth)
    # Rounding twice; at the edge of the sphere a hair beside the sample is another depth.
    assert np.quantile(off, 0.9) < (1e-9 if kind == "repeated" else 0.12)


@pytest.mark.parametrize("factor", [4, 6])
def test_cubic_interpolation_is_recognised(factor: int) -> None:
    depth = measured(unit_mm=0.01)
    large = enlarged(depth, (WIDTH * factor, HEIGHT * factor), cv2.INTER_CUBIC, 0.01)
    found = enlargement(large)
    assert found is not None
    assert [axis.factor for axis in found] == pytest.approx([factor, factor], rel=2e-3)
    # Places off by a tenth of a sample, where neighbours differ by 0.2 mm.
    assert np.median(np.abs(samples_of(large, *found) - depth)) < 0.1


@pytest.mark.parametrize("kind", METHODS)
def test_a_part_of_an_enlarged_image_with_holes_is_enough(kind: str) -> None:
    depth = measured()
    large = enlarged(depth, (WIDTH * 5, HEIGHT * 5), METHODS[kind])
    part = large[103:603, 57:501].copy()
    part[np.random.default_rng(2).random(part.shape) < 0.02] = np.nan
    part[:60] = np.nan
    found = enlargement(part)
    assert found is not None
    for axis, cut in zip(found, (57, 103), strict=True):
        assert axis.factor == pytest.approx(5, rel=2e-3)
        off = (axis.first + cut - 2) % 5
        assert min(off, 5 - off) < 0.3


MEASURED = {
    "noise": measured(),
    "steps of 1 mm": measured(unit_mm=1.0),
    "steps of 1 mm without noise": measured(0.0, 1.0),
    "steps of 5 mm": measured(0.3, 5.0),
    "no noise, no steps": measured(0.0, 1e-6),
    "a fine image": np.round(
        np.nan_to_num(sphere(intrinsics_matrix(900, 900, 239.5, 319.5), 640, 480), nan=600.0), 1
    ),
}


@pytest.mark.parametrize("depth", MEASURED.values(), ids=MEASURED.keys())
def test_measured_depth_is_left_alone(depth: Array) -> None:
    assert enlargement(depth) is None
    gaps = depth.copy()
    gaps[np.random.default_rng(4).random(depth.shape) < 0.05] = np.nan
    assert enlargement(gaps) is None
    gaps = depth.copy()
    gaps[::8] = np.nan
    assert enlargement(gaps) is None


@pytest.mark.parametrize("tilt", [(0.4, 0.0), (0.0, 0.3), (0.3, 0.2)])
def test_even_steps_of_a_tilted_wall_are_no_repetition(tilt: tuple[float, float]) -> None:
    row, column = np.indices((240, 320))
    depth = 500.0 / (1 + tilt[0] * (column - 160) / 300 + tilt[1] * (row - 120) / 300)
    for unit_mm in (0.1, 1.0, 4.0):
        assert enlargement(np.round(depth / unit_mm) * unit_mm) is None


@pytest.mark.parametrize("factor", [1.1, 1.3, 1.5, 2.0])
def test_forward_projection_is_none(factor: float) -> None:
    """Pixels that nothing fell on are gaps, not repetitions."""
    depth = measured()
    large = np.full((round(HEIGHT * factor), round(WIDTH * factor)), np.nan)
    row, column = np.indices(depth.shape)
    large[(row * factor).astype(int), (column * factor).astype(int)] = depth
    assert enlargement(large) is None


def test_scattered_depth_is_gathered_where_it_was() -> None:
    depth = measured()
    large = np.full((HEIGHT * 2, WIDTH * 2), np.nan)
    large[1::2, ::2] = depth
    found = scattering(large)
    assert found is not None
    assert [(axis.factor, axis.first) for axis in found] == [(2.0, 0.0), (2.0, 1.0)]
    np.testing.assert_allclose(block_means(large, 2, 50.0, 0.0), depth, rtol=1e-12)
    assert scattering(depth) is None
    depth[::3] = depth[:, ::3] = np.nan
    assert scattering(depth) is None


def test_blocks_average_one_surface_and_leave_steps_out() -> None:
    depth = np.full((40, 60), 400.0)
    depth[:, 31:] = 430.0
    depth += 0.5 * np.random.default_rng(0).standard_normal(depth.shape)
    depth[:8, :8] = np.nan
    means = block_means(depth, 4, 10.0)
    assert means.shape == (10, 15)
    step = np.zeros(means.shape, bool)
    step[:, 7] = step[:2, :2] = True
    np.testing.assert_array_equal(np.isnan(means), step)
    assert np.std(means[:, 8:]) == pytest.approx(0.5 / 4, rel=0.2)
    assert np.mean(means[:, 8:]) == pytest.approx(430.0, abs=0.05)
