"""Looking images up on other grids of their camera."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fg3d_builder.geometry.camera import intrinsics_matrix, scaled_intrinsics
from fg3d_builder.rendering.image_samples import on_other_grid


@pytest.mark.parametrize("interpolation", [cv2.INTER_NEAREST, cv2.INTER_LINEAR])
@pytest.mark.parametrize("outside", [None, 7.0])
def test_a_large_grid_is_that_of_one_look(interpolation: int, outside: float | None) -> None:
    rng = np.random.default_rng(2)
    image = rng.uniform(0, 100, (60, 50, 3)).astype(np.float32)
    camera = intrinsics_matrix(70.0, 72.0, 24.0, 31.0)
    other = scaled_intrinsics(camera, 31.0)
    other[0, 2] += 40.0
    size = (1900, 1600)  # three million pixels, looked up in several goes
    found = on_other_grid(image, camera, other, size, interpolation, outside)
    x = (np.arange(size[1]) - other[0, 2]) / other[0, 0] * camera[0, 0] + camera[0, 2]
    y = (np.arange(size[0]) - other[1, 2]) / other[1, 1] * camera[1, 1] + camera[1, 2]
    border = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    places = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    value = (outside or 0.0,) * 3 if outside is None else outside
    wanted = cv2.remap(image, *places, interpolation, borderMode=border, borderValue=value)
    # Places of single precision fall on either side of a half now and then.
    assert np.mean(np.abs(found - wanted).max(axis=2) > 2.0) < 2e-3
    assert found.dtype == np.float32
