"""Imitated sensors show the error statistics that they claim."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.captures.sensor import (
    BASELINE_MM,
    DISPARITY_SIGMA_STEPS,
    DISPARITY_STEP_PER_MM,
    apply_sensor,
    capture_generator,
)
from fg3d_builder.config import SensorConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.geometry.camera import intrinsics_matrix

SHAPE = (240, 320)
GREY = np.full((*SHAPE, 3), 150, np.uint8)
K = intrinsics_matrix(450.0, 450.0, 159.5, 119.5)


def wall(depth_mm: float) -> np.ndarray:
    return np.full(SHAPE, depth_mm, np.float32)


def measure(depth: np.ndarray, kind: str, rgb: np.ndarray = GREY, **changes: float) -> np.ndarray:
    config = SensorConfig(kind, **changes)  # type: ignore[arg-type]
    return apply_sensor(depth, rgb, K, config, "one")


@pytest.mark.parametrize("depth", [270.0, 500.0, 1000.0, 2500.0])
def test_structured_light_error_grows_with_the_square_of_the_distance(depth: float) -> None:
    error = measure(wall(depth), "structured_light") - depth
    step = DISPARITY_STEP_PER_MM * depth**2
    # Rounding adds a twelfth of a squared step to the variance.
    wanted = step * np.hypot(DISPARITY_SIGMA_STEPS, 12**-0.5)
    assert np.nanstd(error) == pytest.approx(wanted, rel=0.03)
    # 1 / disparity is convex: the mean depth exceeds the true one by sigma^2 / z.
    assert abs(np.nanmean(error)) < 0.03 * wanted + 2 * wanted**2 / depth


def test_structured_light_at_half_a_metre_is_half_a_millimetre() -> None:
    error = measure(wall(500.0), "structured_light") - 500.0
    assert np.nanstd(error) == pytest.approx(0.556, abs=0.02)


def test_structured_light_depths_are_whole_steps_of_disparity() -> None:
    measured = measure(wall(700.0), "structured_light").astype(np.float64)
    steps = 1.0 / (measured * DISPARITY_STEP_PER_MM)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert len(np.unique(measured)) > 5


def test_neighbouring_errors_are_correlated_like_those_of_the_measured_frames() -> None:
    error = measure(wall(2500.0), "structured_light") - 2500.0

    def correlation(lag: int) -> float:
        return float(np.mean(error[:, lag:] * error[:, :-lag]) / np.mean(error**2))

    # At the focal length of the measured frames one pixel there is 1.5 pixels here.
    assert 0.6 < correlation(1) < 0.9
    assert abs(correlation(10)) < 0.1


@pytest.mark.parametrize("kind", ["structured_light", "time_of_flight"])
def test_noise_scales_with_strength(kind: str) -> None:
    single, double = (np.nanstd(measure(wall(600.0), kind, strength=s)) for s in (2.0, 4.0))
    assert double / single == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize("kind", ["structured_light", "time_of_flight"])
def test_same_seed_and_capture_give_the_same_bits(kind: str) -> None:
    first = measure(wall(600.0), kind, seed=3)
    np.testing.assert_array_equal(measure(wall(600.0), kind, seed=3), first)
    assert not np.array_equal(measure(wall(600.0), kind, seed=4), first)
    other = apply_sensor(wall(600.0), GREY, K, SensorConfig(kind, seed=3), "two")
    assert not np.array_equal(other, first)


def test_no_sensor_changes_nothing() -> None:
    assert measure(wall(600.0), "none") is not None
    np.testing.assert_array_equal(measure(wall(600.0), "none"), wall(600.0))


def test_unknown_sensor_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"sensor\.kind.*sonar"):
        measure(wall(600.0), "sonar")


@pytest.mark.parametrize("kind", ["structured_light", "time_of_flight"])
def test_missing_depth_stays_missing_and_is_not_spread(kind: str) -> None:
    depth = wall(600.0)
    depth[:, 200:] = np.nan
    measured = measure(depth, kind)
    assert np.isnan(measured[:, 200:]).all()
    assert np.isfinite(measured[:, :195]).all()


def step_scene() -> np.ndarray:
    """A plate 500 mm away before a wall 1000 mm away."""
    depth = wall(1000.0)
    depth[60:180, 120:200] = 500.0
    return depth


def test_structured_light_leaves_a_shadow_of_the_right_width_on_one_side() -> None:
    measured = measure(step_scene(), "structured_light")
    width = K[0, 0] * BASELINE_MM * (1 / 500.0 - 1 / 1000.0)
    lost = np.isnan(measured[70:170]).mean(axis=0)
    assert lost[int(120 - width) + 2 : 119].min() == 1.0
    assert lost[: int(120 - width) - 2].max() == 0.0
    assert lost[210:].max() == 0.0
    np.testing.assert_array_equal(np.isnan(measured[:50]), False)


def test_time_of_flight_flies_between_the_surfaces_at_their_border_only() -> None:
    measured = measure(step_scene(), "time_of_flight")
    between = (measured > 520) & (measured < 980)
    assert between.sum() > 100
    border = np.zeros(SHAPE, bool)
    border[58:182, 118:202] = True
    border[62:178, 122:198] = False
    assert not between[~border].any()


def test_time_of_flight_noise_grows_with_distance_and_darkness() -> None:
    def spread(depth: float, grey: int) -> float:
        measured = measure(wall(depth), "time_of_flight", np.full_like(GREY, grey))
        # Differences of neighbours free the noise from the smooth bias.
        return float(np.nanstd(np.diff(measured, axis=1)))

    assert spread(1000.0, 255) / spread(500.0, 255) == pytest.approx(2.0, rel=0.1)
    # Reflectance is 1.0 at white and 0.4 at black; holes take some of the dark pixels.
    assert spread(500.0, 0) / spread(500.0, 255) == pytest.approx(0.4**-0.5, rel=0.1)


def test_time_of_flight_bias_is_smooth_and_below_a_few_millimetres() -> None:
    error = measure(wall(500.0), "time_of_flight") - 500.0
    blocks = np.nanmean(error.reshape(24, 10, 32, 10), axis=(1, 3))
    assert 0.2 < blocks.std() < 1.6
    assert np.abs(blocks).max() < 4.0
    assert np.abs(np.diff(blocks, axis=1)).mean() < 0.5 * blocks.std()


def test_grazing_and_dark_surfaces_lose_pixels() -> None:
    x = np.broadcast_to(np.arange(320.0), SHAPE)
    rays_x = (x - K[0, 2]) / K[0, 0]
    lost = {}
    for slope in (0.0, 1.0, 8.0):
        # Plane z = 600 + slope * (x in mm), kept within range.
        depth = 600.0 / (1.0 - slope * rays_x)
        seen = (depth > 300) & (depth < 1200)
        depth = np.where(seen, depth, np.nan).astype(np.float32)
        measured = measure(depth, "structured_light")
        inner = seen & np.roll(seen, 4, 1) & np.roll(seen, -4, 1)
        lost[slope] = np.isnan(measured[inner]).mean()
    assert lost[0.0] == 0.0
    assert lost[1.0] < 0.01
    assert lost[8.0] > 0.4
    black = measure(wall(600.0), "structured_light", np.zeros_like(GREY))
    assert np.isnan(black).mean() == pytest.approx(0.5, abs=0.08)


def test_generators_differ_by_every_part_of_their_name() -> None:
    names = [(0, "a", "x"), (1, "a", "x"), (0, "b", "x"), (0, "a", "y")]
    draws = {capture_generator(*n).integers(2**62) for n in names}
    assert len(draws) == 4
    assert capture_generator(*names[0]).integers(2**62) in draws
