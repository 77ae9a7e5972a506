from __future__ import annotations

import numpy as np

from fg3d_builder.fullview.texel_sight import log_shade
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import Light

PLAIN = np.ones((30, 40), dtype=bool)


def bump() -> Array:
    """Unit normals (30, 40, 3) of a surface that bulges towards the camera, -z."""
    y, x = np.mgrid[-0.7:0.7:30j, -0.7:0.7:40j]
    return np.stack([x, y, -np.sqrt(1.0 - x * x - y * y)], axis=2).astype(np.float32)


def lamp(x: float, z: float) -> Light:
    return Light(np.full(3, 0.5), np.full(3, 0.4), np.array([x, 0.0, z]) / np.hypot(x, z))


def test_the_light_on_even_skin_is_all_of_its_brightness() -> None:
    normals, light = bump(), lamp(1.0, -1.0)
    lit = 0.5 + 0.4 * np.maximum(normals @ light.direction, 0.0)
    log_color = np.log(0.3 * np.repeat(lit[..., None], 3, axis=2)).astype(np.float32)
    off = (log_color - log_shade(light, normals, log_color, PLAIN))[..., 0]
    assert log_color.std() > 0.1
    # `DARK` is added to light.
    assert np.ptp(off) < 0.02


def test_light_that_the_picture_does_not_show_does_not_count() -> None:
    """Against its shades, or behind the head, where none of what is seen is lit."""
    normals = bump()
    log_color = np.repeat(-normals[..., :1], 3, axis=2)
    assert not log_shade(lamp(1.0, -1.0), normals, log_color, PLAIN).any()
    assert not log_shade(lamp(0.0, 1.0), normals, log_color, PLAIN).any()
