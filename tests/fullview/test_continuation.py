"""Images continued from where they are known."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.fullview.continuation import continued, spread_out

ROW, COLUMN = np.mgrid[:70, :93]


def known_part(seed: int, share: float = 0.2) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=ROW.shape) < share


@pytest.mark.parametrize("share", [0.001, 0.05, 0.6])
def test_constants_are_kept_and_reach_everywhere(share: float) -> None:
    weight = known_part(1, share).astype(np.float32)
    weight[3, 4] = 1.0
    color = np.array([0.25, -3.0, 17.0], np.float32)
    values = np.where(weight[..., None] > 0, color, 1e3).astype(np.float32)
    filled = spread_out(values, weight)
    np.testing.assert_allclose(filled, np.broadcast_to(color, filled.shape), rtol=1e-4)


def test_what_is_known_stays() -> None:
    rng = np.random.default_rng(2)
    known = known_part(3)
    values = rng.normal(size=(*ROW.shape, 2)).astype(np.float32)
    filled = spread_out(values, known.astype(np.float32))
    np.testing.assert_array_equal(filled[known], values[known])
    image = rng.integers(0, 256, (*ROW.shape, 3), dtype=np.uint8)
    out = continued(image, known)
    np.testing.assert_array_equal(out[known], image[known])
    np.testing.assert_array_equal(continued(image, ~known & known), image)
    np.testing.assert_array_equal(continued(image, known | ~known), image)


def test_it_stays_within_what_is_known_and_forgets_the_rest() -> None:
    known = np.hypot(ROW - 35, COLUMN - 20) < 12
    rng = np.random.default_rng(5)
    image = np.where(known[..., None], rng.integers(80, 120, (*ROW.shape, 3)), 255)
    out = continued(image.astype(np.uint8), known)
    assert out.max() < 120
    assert out.min() >= 80
    other = continued(np.where(known[..., None], image, 0).astype(np.uint8), known)
    np.testing.assert_array_equal(out, other)


def test_the_nearer_side_counts_more_and_steps_are_small() -> None:
    known = (COLUMN < 15) | (COLUMN > 77)
    image = np.where(COLUMN < 45, 40, 200)[..., None].astype(np.uint8)
    out = continued(np.repeat(image, 3, axis=2), known)[..., 0].astype(int)
    assert out[:, 18].max() < 70
    assert out[:, 74].min() > 170
    middle = out[:, 44:49].mean()
    assert middle == pytest.approx(120, abs=25)
    assert np.abs(np.diff(out[:, 15:78], axis=1)).max() < 25


def test_a_gradient_is_bridged() -> None:
    known = np.hypot(ROW - 35, COLUMN - 46) > 15
    image = np.repeat((40 + 1.5 * COLUMN)[..., None], 3, axis=2)
    out = continued(np.rint(image).astype(np.uint8), known)
    assert np.abs(out - image)[~known].mean() < 4.0


def test_half_a_weight_is_half_believed() -> None:
    weight = np.ones(ROW.shape, np.float32)
    weight[35, 46], weight[0, 0] = 0.5, 0.0
    values = np.zeros((*ROW.shape, 1), np.float32)
    values[35, 46] = 1.0
    filled = spread_out(values, weight)
    assert 0.4 < filled[35, 46, 0] < 0.75
