"""Pictures of phones: colours stay, noise grows with the light, files are as small as asked."""

from __future__ import annotations

import numpy as np

from fg3d_builder.captures.varied.phone_picture import PhoneCamera, compressed, demosaiced
from fg3d_builder.rendering.shading import linear_from_srgb

CAMERA = PhoneCamera(0.3, 1.0, 0.5, 0.0, 0.0, 100)


def plain(color: tuple[float, float, float]) -> np.ndarray:
    return np.broadcast_to(np.array(color), (96, 128, 3))


def test_a_plain_wall_keeps_its_colour() -> None:
    wall = (0.5, 0.3, 0.2)
    picture = CAMERA.picture(plain(wall), np.random.default_rng(0))
    np.testing.assert_allclose(linear_from_srgb(picture).mean(axis=(0, 1)), wall, rtol=0.02)


def test_demosaicing_leaves_a_plane_of_colour_as_it_is() -> None:
    mosaic = np.empty((32, 48), np.float32)
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = 0.6, 0.1
    mosaic[0::2, 1::2] = mosaic[1::2, 0::2] = 0.3
    np.testing.assert_allclose(
        demosaiced(mosaic), np.broadcast_to([0.6, 0.3, 0.1], (32, 48, 3)), atol=1e-6
    )


def test_noise_grows_with_the_light_and_neighbours_share_it() -> None:
    noise, correlation = [], []
    for level in (0.05, 0.6):
        picture = CAMERA.picture(plain((level,) * 3), np.random.default_rng(1))
        linear = linear_from_srgb(picture).astype(float)
        apart = linear - linear.mean(axis=(0, 1))
        noise.append(apart.std())
        red = apart[..., 0]
        correlation.append(np.corrcoef(red[:, 1:].ravel(), red[:, :-1].ravel())[0, 1])
    assert noise[1] > 1.8 * noise[0]
    assert min(correlation) > 0.2


def test_lower_quality_loses_more() -> None:
    y, x = np.mgrid[0:96, 0:128]
    waves = 128 + 60 * np.sin(x / 9.0) * np.cos(y / 7.0) + 25 * np.sin(x * y / 60.0)
    picture = np.dstack([waves, 0.9 * waves, 0.8 * waves]).astype(np.uint8)
    lost = [
        np.abs(compressed(picture, quality).astype(int) - picture).mean() for quality in (95, 40)
    ]
    assert 0 < lost[0] < 0.6 * lost[1]
