from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fg3d_builder.fullview.poisson import membrane, solve_poisson

SHAPE = (23, 31)


def reference(target, guide, unknown, border, decay_px=np.inf) -> np.ndarray:
    """Poisson's equation written out pixel by pixel, solved densely."""
    pixels = np.argwhere(unknown)
    number = {tuple(p): k for k, p in enumerate(pixels)}
    matrix = np.zeros((len(pixels), len(pixels)))
    right = np.zeros((len(pixels), 3))
    for k, (y, x) in enumerate(pixels):
        matrix[k, k] += 1.0 / decay_px**2
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if (v, u) in number:
                matrix[k, k] += 1.0
                matrix[k, number[v, u]] -= 1.0
            elif 0 <= v < unknown.shape[0] and 0 <= u < unknown.shape[1] and border[v, u]:
                matrix[k, k] += 1.0
                right[k] += target[v, u] - guide[v, u]
    out = target.copy()
    # The least-norm solution: zero where a component is held by nothing.
    out[unknown] = guide[unknown] + np.linalg.lstsq(matrix, right, rcond=1e-10)[0]
    return out


def smooth_noise(seed: int, shape=SHAPE, sigma: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = cv2.GaussianBlur(rng.standard_normal((*shape, 3)), (0, 0), sigma)
    return field / field.std()


def blobs(seed: int, share: float, shape=SHAPE) -> np.ndarray:
    field = smooth_noise(seed, shape, 4.0)[..., 0]
    return field > np.quantile(field, 1 - share)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    share=st.floats(0.02, 0.7),
    believed=st.floats(0.1, 1.0),
    decay_px=st.sampled_from([np.inf, 20.0, 3.0]),
)
def test_agrees_with_the_dense_reference(seed, share, believed, decay_px) -> None:
    target, guide = smooth_noise(seed), smooth_noise(seed + 1)
    unknown = blobs(seed + 2, share)
    border = ~unknown & blobs(seed + 3, believed)
    found = solve_poisson(target, guide, unknown, border, decay_px, tolerance=1e-6)
    wanted = reference(target, guide, unknown, border, decay_px)
    np.testing.assert_allclose(found, wanted, atol=2e-4)
    np.testing.assert_array_equal(found[~unknown], target[~unknown])


def test_default_tolerance_is_below_what_a_byte_can_show() -> None:
    shape = (120, 140)
    target, guide = smooth_noise(0, shape), smooth_noise(1, shape)
    unknown = blobs(2, 0.35, shape)
    found = solve_poisson(target, guide, unknown)
    exact = solve_poisson(target, guide, unknown, tolerance=1e-9)
    assert np.abs(found - exact).max() < 0.004 * np.abs(target - guide).max()


def test_a_guide_that_differs_by_a_constant_gives_the_target_back() -> None:
    target = smooth_noise(4)
    unknown = blobs(5, 0.4)
    found = solve_poisson(target, target + np.array([0.3, -0.2, 0.1]), unknown, tolerance=1e-7)
    np.testing.assert_allclose(found, target, atol=1e-4)


def test_correction_stays_within_that_of_the_border() -> None:
    target, guide = smooth_noise(6), np.zeros((*SHAPE, 3))
    unknown = blobs(7, 0.3)
    found = solve_poisson(target, guide, unknown, tolerance=1e-7)
    beside = cv2.dilate(unknown.astype(np.uint8), np.ones((3, 3))) > 0
    low, high = target[beside & ~unknown].min(axis=0), target[beside & ~unknown].max(axis=0)
    assert np.all(found[unknown] >= low - 1e-4)
    assert np.all(found[unknown] <= high + 1e-4)


def test_pixels_that_may_not_lend_colour_do_not() -> None:
    guide = smooth_noise(8)
    target = guide + 0.5
    unknown = np.zeros(SHAPE, dtype=bool)
    unknown[8:20, 12:28] = True
    border = np.zeros(SHAPE, dtype=bool)
    border[:, :12] = True
    target[~border] += 50.0
    found = solve_poisson(target, guide, unknown, border, tolerance=1e-7)
    np.testing.assert_allclose(found[unknown], guide[unknown] + 0.5, atol=1e-4)


def test_regions_that_touch_no_border_show_the_guide() -> None:
    target, guide = smooth_noise(9), smooth_noise(10)
    unknown = np.zeros(SHAPE, dtype=bool)
    unknown[5:15, 5:15] = True
    unknown[5:15, 16:25] = True
    border = np.zeros(SHAPE, dtype=bool)
    border[4, 5:15] = True
    found = solve_poisson(target, guide, unknown, border)
    np.testing.assert_array_equal(found[5:15, 16:25], guide[5:15, 16:25])
    assert np.abs(found - guide)[5:15, 5:15].max() > 0.1


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_or_everything_unknown(share: float) -> None:
    target, guide = smooth_noise(11), smooth_noise(12)
    unknown = np.full(SHAPE, share > 0)
    wanted = guide if share else target
    np.testing.assert_array_equal(solve_poisson(target, guide, unknown), wanted)


def test_decay_leads_from_the_border_to_the_guide() -> None:
    strip = np.ones((1, 60), dtype=bool)
    strip[0, 0] = False
    known = np.zeros((1, 60, 1))
    known[0, 0] = 1.0
    found = membrane(known, strip, ~strip, screen=1 / 8.0**2, tolerance=1e-9)[0, :, 0]
    # In one dimension the screened membrane is an exponential.
    np.testing.assert_allclose(found[1:25], np.exp(-np.arange(1, 25) / 8.0), atol=6e-3)
