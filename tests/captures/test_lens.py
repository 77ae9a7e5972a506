"""Lenses: the models are those of other people's programs, and what is bent is made straight."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fg3d_builder.captures.lens import Lens
from fg3d_builder.geometry.camera import intrinsics_matrix

# Of a public Azure Kinect's calibration (tests/assets/calibration.json of etiennedub/pyk4a).
KINECT_DEPTH = np.array(
    [0.547939777, -0.020971371, 2.055753e-5, -7.210416e-5, -0.002652232, 0.889679074, 0.086130209,
     -0.013910385]
)  # fmt: skip
KINECT_COLOUR = np.array(
    [0.330121309, -2.489396572, -0.000161782, -0.000129445, 1.453670859, 0.208912075, -2.302915096,
     1.375127554]
)  # fmt: skip
K = intrinsics_matrix(504.0, 505.0, 320.0, 290.0)
RAYS = np.stack(np.meshgrid(np.linspace(-0.6, 0.6, 25), np.linspace(-0.5, 0.5, 21)), axis=-1)


@pytest.mark.parametrize("coefficients", [KINECT_DEPTH, KINECT_COLOUR])
def test_the_model_is_that_of_opencv(coefficients: np.ndarray) -> None:
    lens = Lens(K, (576, 640), coefficients)
    points = np.concatenate([RAYS, np.ones((*RAYS.shape[:2], 1))], axis=-1).reshape(-1, 1, 3)
    wanted, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), K, coefficients)
    found = lens.distorted(RAYS) * np.diag(K)[:2] + K[:2, 2]
    np.testing.assert_allclose(found.reshape(-1, 2), wanted[:, 0], atol=1e-9)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("coefficients", [KINECT_DEPTH, KINECT_COLOUR])
def test_undistorting_is_the_inverse(coefficients: np.ndarray, scaled: bool) -> None:
    lens = Lens(K, (576, 640), coefficients, scaled)
    seen = lens.distorted(RAYS)
    assert np.abs(seen - RAYS).max() > 0.005
    np.testing.assert_allclose(lens.undistorted(seen), RAYS, atol=1e-9)
    px = RAYS * np.diag(K)[:2] + K[:2, 2]
    np.testing.assert_allclose(lens.straight_px(seen * np.diag(K)[:2] + K[:2, 2]), px, atol=1e-6)


def test_the_tangential_part_may_belong_to_the_moved_point() -> None:
    """By hand: x = 0.5, y = 0.25, radial 1 + 0.1 * 0.3125."""
    lens = Lens(K, coefficients=np.array([0.1, 0, 0.01, 0.02, 0, 0, 0, 0]), scaled_tangential=True)
    x, y, r = 0.5 * 1.03125, 0.25 * 1.03125, 0.3125
    wanted = [
        x + 2 * 0.01 * x * y + 0.02 * (r + 2 * x * x),
        y + 2 * 0.02 * x * y + 0.01 * (r + 2 * y * y),
    ]
    np.testing.assert_allclose(lens.distorted(np.array([0.5, 0.25])), wanted, rtol=1e-12)


def test_what_no_ray_is_seen_at_is_none() -> None:
    barrel = Lens(K, coefficients=np.array([-0.3, 0, 0, 0, 0, 0, 0, 0]))
    # r (1 - 0.3 r^2) is 0.7 at r = 1 and largest, 0.703, at r = 1.054.
    found = barrel.undistorted(np.array([[0.70, 0.0], [0.72, 0.0]]))
    np.testing.assert_allclose(found[0], [1.0, 0.0], atol=1e-9)
    assert np.isnan(found[1]).all()
    assert barrel.reach == pytest.approx(1.054, abs=0.001)
    assert np.isnan(barrel.distorted(np.array([1.2, 0.0]))).all()
    near = Lens(K, coefficients=KINECT_DEPTH, largest_radius=0.5)
    assert np.isnan(near.distorted(np.array([0.4, 0.31]))).all()
    assert np.isfinite(near.distorted(np.array([0.4, 0.29]))).all()


def test_an_image_is_made_straight() -> None:
    """A smooth pattern of the rays, as the lens shows it, and as a pinhole camera would."""

    def pattern(slopes: np.ndarray) -> np.ndarray:
        shade = 127 + 60 * np.sin(9 * slopes[..., 0]) + 60 * np.cos(7 * slopes[..., 1])
        return np.rint(np.repeat(shade[..., None], 3, axis=-1)).astype(np.uint8)

    lens = Lens(K, (576, 640), KINECT_DEPTH)
    x, y = np.meshgrid(np.arange(640.0), np.arange(576.0))
    slopes = (np.stack([x, y], axis=-1) - K[:2, 2]) / np.diag(K)[:2]
    seen = pattern(np.nan_to_num(lens.undistorted(slopes)))
    straight = lens.straight_image(seen)
    inside = np.abs(lens.distorted(slopes) - slopes).max() and (
        np.abs(lens.distorted(slopes)) < [0.56, 0.5]
    ).all(axis=-1)
    error = np.abs(straight.astype(float) - pattern(slopes))[inside]
    assert error.max() <= 2.0
    assert np.abs(seen.astype(float) - pattern(slopes))[inside].max() > 20.0
    plain = Lens(K)
    assert plain.straight_image(seen) is seen
