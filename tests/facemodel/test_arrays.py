"""Models from arrays: what is filled in, and which field is blamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fg3d_builder.facemodel.arrays import from_arrays
from fg3d_builder.facemodel.chart import disk_chart, mean_value_weights, relax_chart
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.patches import border_loops, close_opening, heights_on_surface
from fg3d_builder.facemodel.storage import load_model, save_model
from fg3d_builder.geometry.meshes import signed_areas


def dome(columns: int = 15, rows: int = 21, hole: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A bulging sheet of 120 by 160 mm that looks along +z."""
    x, y = np.meshgrid(np.linspace(-60, 60, columns), np.linspace(-80, 80, rows))
    vertices = np.column_stack([x.ravel(), y.ravel(), (60 - (x / 12) ** 2 - (y / 16) ** 2).ravel()])
    number = np.arange(columns * rows).reshape(rows, columns)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    keep = np.ones(a.shape, dtype=bool)
    if hole:
        keep[8:12, 3:11] = False
    triangles = np.concatenate(
        [np.stack([a, b, c], axis=-1)[keep], np.stack([a, c, d], axis=-1)[keep]]
    )
    used, renumbered = np.unique(triangles, return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3).astype(np.int32)


def small(**changes: Any) -> FaceModel:
    vertices, triangles = dome()
    basis = np.random.default_rng(0).standard_normal((len(vertices), 3, 4))
    arguments: dict[str, Any] = {
        "mean": vertices / 10,
        "triangles": triangles,
        "id_basis": basis / 10,
        "id_sd": np.ones(4),
        "unit_mm": 10.0,
        **changes,
    }
    return from_arrays(**arguments)


def test_units_and_flat_bases() -> None:
    vertices, _ = dome()
    basis = np.random.default_rng(0).standard_normal((len(vertices), 3, 4))
    model = small(id_basis=basis.reshape(-1, 4) / 10)
    assert np.allclose(model.mean, vertices)
    assert np.allclose(model.id_basis, basis)
    alpha = np.array([1.0, -2.0, 0.5, 0.0])
    assert np.allclose(model.shape(alpha), vertices + basis @ alpha)


def test_defaults_are_neutral_and_can_be_stored(tmp_path: Path) -> None:
    model = small()
    assert model.exp_basis.shape == (model.vertex_count, 3, 0)
    assert np.ptp(model.albedo_mean) == 0
    assert model.rigid.all()
    assert model.reliable.all()
    assert signed_areas(model.uv[model.triangles]).min() > 0
    assert np.array_equal(model.shape(None, np.zeros(0)), model.mean)
    save_model(model, tmp_path / "m.h5")
    assert load_model(tmp_path / "m.h5").topology_hash == model.topology_hash


def test_expression_defaults_are_unbounded() -> None:
    count = len(dome()[0])
    model = small(exp_basis=np.ones((count, 3, 2)), exp_names=("a", "b"))
    assert np.array_equal(model.exp_sd, [1, 1])
    assert np.all(np.isinf(model.exp_lower))
    assert np.all(model.exp_basis == 10)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"mean": np.zeros((4, 2))}, "mean"),
        ({"unit_mm": 1.0}, "mean.*unit_mm"),
        ({"id_basis": np.zeros((7, 3, 4))}, "id_basis"),
        ({"id_sd": np.ones(3)}, "id_basis"),
        ({"id_sd": -np.ones(4)}, "id_sd"),
        ({"triangles": np.array([[0, 1, 99999]])}, "triangles"),
        ({"triangles": dome()[1][:, ::-1]}, r"triangles.*\+z"),
        ({"uv": np.zeros((3, 2))}, "uv"),
        ({"uv": -dome()[0][:, [0, 1]] * [1, -1]}, "uv.*flipped"),
        ({"exp_basis": np.zeros((len(dome()[0]), 3, 2)), "exp_names": ("one",)}, "exp_names"),
        ({"rigid": np.ones(5, bool)}, "rigid"),
        ({"albedo_mean": np.full((2, 3), 0.5)}, "albedo_mean"),
        ({"contour_lines": [np.array([0, 10**6])]}, "contour_lines"),
    ],
)
def test_the_wrong_field_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        small(**changes)


def test_chart_of_a_mesh_with_a_hole_is_refused() -> None:
    vertices, triangles = dome(hole=True)
    with pytest.raises(ValueError, match="2 borders"):
        disk_chart(vertices, triangles)


def test_disk_chart_keeps_up_and_left() -> None:
    vertices, triangles = dome()
    uv = disk_chart(vertices, triangles)
    assert signed_areas(uv[triangles]).min() > 0
    assert np.corrcoef(uv[:, 0], vertices[:, 0])[0, 1] > 0.95
    assert np.corrcoef(uv[:, 1], vertices[:, 1])[0, 1] > 0.95


def test_mean_value_coordinates_reproduce_the_plane() -> None:
    """Their defining property: in the plane every vertex is the combination of its neighbours."""
    random = np.random.default_rng(3)
    vertices, triangles = dome()
    flat = vertices * [1, 1, 0] + np.column_stack(
        [random.uniform(-2, 2, (len(vertices), 2)), np.zeros(len(vertices))]
    )
    border = np.zeros(len(flat), dtype=bool)
    border[border_loops(triangles)[0]] = True
    weights = mean_value_weights(flat, triangles)
    total = np.asarray(weights.sum(axis=1)).ravel()
    combined = (weights @ flat) / total[:, None]
    assert np.abs(combined - flat)[~border].max() < 1e-9
    again = relax_chart(np.where(border[:, None], flat[:, :2], 0.0), flat, triangles, ~border)
    assert np.abs(again - flat[:, :2]).max() < 1e-8


def test_patch_closes_the_hole_and_is_linear() -> None:
    vertices, triangles = dome(hole=True)
    outer, inner = border_loops(triangles)
    patch = close_opening(vertices, inner, rows=3)
    full = np.concatenate([triangles, patch.triangles])
    assert [len(loop) for loop in border_loops(full)] == [len(outer)]
    patch = patch._replace(bulge_mm=np.linspace(0, 3, len(patch.bulge_mm)))
    assert np.allclose(np.asarray(patch.weights.sum(axis=1)), 1)
    moved = np.random.default_rng(0).standard_normal(vertices.shape)
    both = patch.extend(vertices + 2 * moved)
    assert np.allclose(both, patch.extend(vertices) + 2 * patch.extend(moved))
    # On the shape itself the bulge is what was asked for; with the opening shut it is gone.
    assert np.allclose(
        patch.extend(vertices)[:, 2] - patch.weights @ vertices[:, 2], patch.bulge_mm
    )
    shut = vertices * [1, 0, 1]
    assert np.allclose(patch.extend(shut), patch.weights @ shut)


def test_heights_on_surface() -> None:
    vertices, triangles = dome()
    inside = vertices[triangles].mean(axis=1)
    found = heights_on_surface(inside[:, :2], vertices, triangles)
    assert np.abs(found - inside[:, 2]).max() < 1e-9
    assert np.isnan(heights_on_surface(np.array([[500.0, 0.0]]), vertices, triangles)).all()
