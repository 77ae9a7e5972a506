from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.rendering.shading import (
    Light,
    linear_from_srgb,
    linear_per_srgb,
    phong,
    srgb_from_linear,
)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def phong_reference(albedo, normal, view, light: Light) -> np.ndarray:
    """Eq. 14 written out for one point."""
    n_l = normal @ light.direction
    color = light.ambient * albedo + light.directional * albedo * max(n_l, 0.0)
    r = 2 * n_l * normal - light.direction
    if n_l > 0 and r @ view > 0:
        color = color + light.specular * light.directional * (r @ view) ** light.shininess
    return color


def make_light(**changes: object) -> Light:
    values = {
        "ambient": np.array([0.3, 0.25, 0.2]),
        "directional": np.array([0.8, 0.9, 1.0]),
        "direction": unit(np.array([0.2, -0.5, -0.8])),
        "specular": 0.15,
        "shininess": 12.0,
    }
    return Light(**{**values, **changes})  # type: ignore[arg-type]


def test_phong_is_equation_14() -> None:
    rng = np.random.default_rng(0)
    albedo = rng.uniform(0, 1, (300, 3))
    normals, view = unit(rng.normal(size=(300, 3))), unit(rng.normal(size=(300, 3)))
    found = phong(albedo, normals, view, make_light())
    wanted = [phong_reference(*p, make_light()) for p in zip(albedo, normals, view, strict=True)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_phong_is_brightest_where_the_mirror_points_to_the_camera() -> None:
    light = make_light(specular=1.0, shininess=50.0)
    view = unit(np.array([0.1, 0.2, -1.0]))
    half = unit(view + light.direction)
    rng = np.random.default_rng(1)
    normals = unit(np.concatenate([half[None], half + 0.3 * rng.normal(size=(500, 3))]))
    glint = phong(np.zeros((501, 3)), normals, np.broadcast_to(view, normals.shape), light)
    assert glint[:, 0].argmax() == 0
    np.testing.assert_allclose(glint[0], light.directional, rtol=1e-9)


def test_a_surface_turned_away_has_ambient_light_only() -> None:
    light = make_light()
    albedo = np.array([[0.5, 0.4, 0.3]])
    found = phong(albedo, -light.direction[None], -light.direction[None], light)
    np.testing.assert_allclose(found, albedo * light.ambient)


def test_every_byte_survives_linear_light() -> None:
    byte = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(srgb_from_linear(linear_from_srgb(byte)), byte)


def test_srgb_curve_has_its_published_values() -> None:
    found = linear_from_srgb(np.array([0.0, 0.04045, 0.5, 1.0]))
    np.testing.assert_allclose(found, [0.0, 0.0031308, 0.21404114, 1.0], atol=1e-7)
    assert srgb_from_linear(np.array([-1.0, 2.0])).tolist() == [0, 255]
    np.testing.assert_array_equal(srgb_from_linear(np.array([0.5])), [188])


def test_slope_of_the_curve_is_its_difference_quotient() -> None:
    values = np.array([0.0, 0.02, 0.1, 0.5, 1.0])
    h = 1e-3
    up, down = (linear_from_srgb(values + s * h).astype(np.float64) for s in (1, -1))
    np.testing.assert_allclose(linear_per_srgb(values), (up - down) / (2 * h), rtol=2e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_encoding_takes_the_nearest_byte(dtype: type) -> None:
    """Against the curve of IEC 61966-2-1, but where a value is half way between two bytes."""
    linear = (np.random.default_rng(3).random(50_000) ** 2).astype(dtype)
    value = linear.astype(np.float64)
    wanted = 255.0 * np.where(
        value <= 0.0031308, 12.92 * value, 1.055 * value ** (1.0 / 2.4) - 0.055
    )
    assert np.abs(srgb_from_linear(linear) - wanted).max() < 0.5 + 1e-4
    ends = np.array([-1.0, 0.0, 1.0, 7.0, np.nan, np.inf], dtype=dtype)
    np.testing.assert_array_equal(srgb_from_linear(ends), [0, 0, 255, 255, 0, 255])
