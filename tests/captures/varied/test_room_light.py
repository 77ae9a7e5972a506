"""Light of a room: irradiance against its definition, shadows, colours of lamps."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.captures.varied.room_light import (
    Lamp,
    RoomLight,
    black_body,
    draw_room_light,
    evenly_spread,
    irradiance,
    projected,
    shares_of_lamps,
)
from fg3d_builder.config import VarietyConfig
from fg3d_builder.geometry.meshes import normalized


def test_irradiance_is_the_cosine_weighted_mean_of_what_comes() -> None:
    directions = evenly_spread(20_000)
    # Of second order, so that nine coefficients hold all of it.
    radiance = 1.0 + 0.5 * directions[:, :1] - 0.3 * directions[:, 1:2] * directions[:, 2:]
    coefficients = projected(np.tile(radiance, 3), directions)
    normals = normalized(np.random.default_rng(0).standard_normal((8, 3)))
    cosine = np.maximum(normals @ directions.T, 0.0)
    expected = 4.0 / len(directions) * cosine @ radiance
    np.testing.assert_allclose(irradiance(coefficients, normals), np.tile(expected, 3), atol=2e-3)


def test_white_paper_in_a_uniform_room_is_as_bright_as_the_room() -> None:
    coefficients = projected(np.ones((2000, 3)), evenly_spread(2000))
    normals = normalized(np.random.default_rng(1).standard_normal((5, 3)))
    np.testing.assert_allclose(irradiance(coefficients, normals), 1.0, atol=1e-3)


def test_a_roof_keeps_the_lamp_off_the_floor_below() -> None:
    """A floor of two by two metres faces up, half a metre below a roof over its middle."""
    floor = np.array([[-1e3, 0, -1e3], [1e3, 0, -1e3], [1e3, 0, 1e3], [-1e3, 0, 1e3], [0, 0, 0]])
    roof = np.array([[-300, -500, -300], [300, -500, -300], [300, -500, 300], [-300, -500, 300]])
    triangles = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [5, 6, 7], [5, 7, 8]])
    vertices = np.concatenate([floor, roof]).astype(float)
    normals = np.tile([0.0, -1.0, 0.0], (9, 1))
    lamp = Lamp(np.array([0.0, -1.0, 0.0]), np.ones(3), 0.05)
    light = RoomLight(np.zeros((9, 3)), (lamp,), 0.0, 10.0)
    shares = shares_of_lamps(light, vertices, triangles, normals, np.random.default_rng(2))
    np.testing.assert_allclose(shares[:, 0], [1, 1, 1, 1, 0, 1, 1, 1, 1])
    lit = light.shade(np.full((9, 3), 0.5), normals, normals, shares)
    np.testing.assert_allclose(lit[[0, 4]], [[0.5] * 3, [0.0] * 3], atol=1e-9)


def test_lamps_are_redder_when_they_are_colder() -> None:
    ratios = [black_body(kelvin)[0] / black_body(kelvin)[2] for kelvin in (2500, 4000, 6500, 9000)]
    assert ratios == sorted(ratios, reverse=True)
    # sRGB's white is daylight of 6500 K.
    np.testing.assert_allclose(black_body(6504.0), 1.0, atol=0.06)


def test_exposure_and_white_balance_keep_faces_visible() -> None:
    rng = np.random.default_rng(3)
    front = np.array([[0.0, 0.0, -1.0]])
    casts = []
    for _ in range(100):
        light = draw_room_light(VarietyConfig("phones"), rng)
        everything = np.ones((1, len(light.lamps)))
        white = light.shade(np.ones((1, 3)), front, np.array([[0.0, 1.0, 0.0]]), everything)[0]
        assert 0.1 < white.mean() < 3.5
        casts.append(np.log(white / white.mean()))
    spread = np.std(casts, axis=0)
    assert spread.min() > 0.03
    assert spread.max() < 0.35


@pytest.mark.parametrize("lamps", [0, 2])
def test_no_more_lamps_than_asked_for(lamps: int) -> None:
    rng = np.random.default_rng(4)
    counts = {
        len(draw_room_light(VarietyConfig("phones", lamps=lamps), rng).lamps) for _ in range(40)
    }
    assert counts == set(range(lamps + 1))
