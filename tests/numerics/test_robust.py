"""Robust kernels: the weight is the loss's slope, and outliers lose it."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.numerics.robust import GemanMcClure, Huber, Kernel

KERNELS = [Huber(1.5), Huber(1e9), GemanMcClure(4.0), GemanMcClure(0.3)]


@pytest.mark.parametrize("kernel", KERNELS)
def test_weight_is_the_derivative_of_the_loss(kernel: Kernel) -> None:
    s = np.array([1e-6, 0.3, 1.0, 2.0, 7.0, 16.0, 90.0, 1e4])
    h = 1e-6 * s
    slope = (kernel.loss(s + h) - kernel.loss(s - h)) / (2 * h)
    np.testing.assert_allclose(kernel.weight(s), slope, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_small_residuals_count_fully(kernel: Kernel) -> None:
    assert kernel.weight(np.array([0.0]))[0] == 1.0
    assert kernel.loss(np.array([1e-8]))[0] == pytest.approx(1e-8, rel=1e-5)


def test_geman_and_mcclures_width_keeps_a_quarter_and_the_loss_is_bounded() -> None:
    width = np.array([0.5, 2.0])
    kernel = GemanMcClure(width)
    np.testing.assert_allclose(kernel.weight(width**2), 0.25, rtol=1e-12)
    np.testing.assert_allclose(kernel.loss(np.full(2, 1e12)), width**2, rtol=1e-9)


def test_hubers_loss_joins_its_line_smoothly() -> None:
    kernel = Huber(2.0)
    inside, outside = kernel.loss(np.array([4.0 - 1e-9, 4.0 + 1e-9]))
    assert inside == pytest.approx(outside, abs=1e-8)
    assert kernel.loss(np.array([100.0]))[0] == pytest.approx(2 * 2.0 * 10.0 - 4.0)
