"""UV maps: texels found on the chart, values carried there and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fg3d_builder.config import FaceModelConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.data.uv import UVMap, chart_texels, texel_uv
from fg3d_builder.heads.library import get_model
from tests.toy_models import toy_model


def _disc(rings: int = 9, spokes: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A round chart with a corner between every two spokes: much of the map is outside."""
    angle = np.arange(spokes) * 2 * np.pi / spokes
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    uv = np.concatenate(
        [[[0.5, 0.5]], *(0.5 + 0.4 * r / rings * circle for r in range(1, rings + 1))]
    )
    faces = [[0, 1 + s, 1 + (s + 1) % spokes] for s in range(spokes)]
    for r in range(rings - 1):
        a, b = 1 + r * spokes, 1 + (r + 1) * spokes
        for s in range(spokes):
            t = (s + 1) % spokes
            faces += [[a + s, b + s, b + t], [a + s, b + t, a + t]]
    return uv, np.array(faces)


def test_texels_lie_where_their_coordinates_say() -> None:
    uv, triangles = _disc()
    texels = chart_texels(uv, triangles, 48)
    place = (uv[texels.corners] * texels.barycentric[..., None]).sum(axis=2)
    centres = texel_uv(48)
    np.testing.assert_allclose(place[texels.inside], centres[texels.inside], atol=1e-12)
    np.testing.assert_allclose(texels.barycentric.sum(axis=-1), 1.0, atol=1e-12)
    # The chart is a 24-gon: a texel is inside exactly if its centre is.
    offset = centres - 0.5
    turn = np.arctan2(offset[..., 1], offset[..., 0]) % (2 * np.pi / 24) - np.pi / 24
    radius = np.hypot(offset[..., 0], offset[..., 1]) * np.cos(turn)
    edge = 0.4 * np.cos(np.pi / 24)
    clear = np.abs(radius - edge) > 1e-4
    np.testing.assert_array_equal(texels.inside[clear], (radius < edge)[clear])


def test_outside_values_continue_linearly_next_to_the_border_and_stay_bounded() -> None:
    uv, triangles = _disc()
    texels = chart_texels(uv, triangles, 48)
    place = (uv[texels.corners] * texels.barycentric[..., None]).sum(axis=2)
    error = np.linalg.norm(place - texel_uv(48), axis=-1)
    distance = np.linalg.norm(texel_uv(48) - 0.5, axis=-1) - 0.4 * np.cos(np.pi / 24)
    assert error[distance < 0.5 / 48].max() < 1e-12
    assert np.abs(texels.barycentric).max() <= 2.0 + 1e-9


def test_a_linear_field_comes_back_exactly_border_included() -> None:
    uv, triangles = _disc()
    maps = UVMap(uv, triangles, 48)
    values = torch.from_numpy(uv @ [[30.0, 5.0], [-20.0, 7.0]] + 4.0)[None].float()
    back = maps.vertices_from_uv_map(maps.uv_map_from_vertices(values))
    torch.testing.assert_close(back, values, atol=2e-5, rtol=0)


def test_a_map_of_its_own_coordinates_is_read_at_the_vertices() -> None:
    model = toy_model()
    maps = UVMap(model.uv, model.triangles, 32)
    coordinates = torch.from_numpy(texel_uv(64)).permute(2, 0, 1)[None]
    read = maps.vertices_from_uv_map(coordinates)[0].numpy()
    inner = ((model.uv > 1 / 128) & (model.uv < 1 - 1 / 128)).all(axis=1)
    np.testing.assert_allclose(read[inner], model.uv[inner], atol=1e-6)


def test_reading_is_the_transpose_of_its_gradient() -> None:
    model = toy_model()
    maps = UVMap(model.uv, model.triangles, 16)
    image = torch.randn(2, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    probe = torch.randn(2, len(model.uv), 3, dtype=torch.float64)
    read = maps.vertices_from_uv_map(image)
    (gradient,) = torch.autograd.grad((read * probe).sum(), image)
    other = torch.randn_like(image)
    forward = (maps.vertices_from_uv_map(other) * probe).sum()
    torch.testing.assert_close((gradient * other).sum(), forward)


def test_no_texel_on_the_chart_is_refused() -> None:
    speck = np.array([[0.1, 0.1], [0.101, 0.1], [0.1, 0.101]])
    with pytest.raises(ValueError, match="no texel"):
        chart_texels(speck, np.array([[0, 1, 2]]), 4)


@pytest.fixture(scope="module")
def default_model() -> FaceModel:
    return get_model(FaceModelConfig())


def test_round_trip_on_the_default_model(default_model: FaceModel) -> None:
    """Mean error below 0.05 mm at 256: of the mean shape, and of identities and expressions."""
    maps = UVMap(default_model.uv, default_model.triangles, 256)
    rng = np.random.default_rng(100)
    identity = default_model.id_basis @ (
        default_model.id_sd * rng.standard_normal(len(default_model.id_sd))
    )
    expression = default_model.exp_basis @ np.clip(
        default_model.exp_sd * rng.standard_normal(len(default_model.exp_sd)),
        default_model.exp_lower,
        default_model.exp_upper,
    )
    fields = torch.from_numpy(np.stack([default_model.mean, identity, expression])).float()
    back = maps.vertices_from_uv_map(maps.uv_map_from_vertices(fields))
    error = (back - fields).norm(dim=-1)
    assert error.mean(dim=1).max() < 0.05
    assert error.quantile(0.95, dim=1).max() < 0.12
