"""Charts of imported sheets: the file's own where it is one, a new one elsewhere."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.transfer.charts import (
    SheetChart,
    is_one_chart,
    map_loss_mm,
    sheet_chart,
)
from fg3d_builder.fgnet.data.uv import UVMap
from fg3d_builder.geometry.meshes import border_edges, signed_areas
from fg3d_builder.records import Array


@pytest.fixture
def sheet(toy_model: FaceModel) -> tuple[ModelSource, Array]:
    """A source that is all sheet, with the model's chart on its corners."""
    model = toy_model
    source = ModelSource(
        layout="test",
        name="toy",
        licence="",
        mean=model.mean,
        polygons=model.triangles,
        id_basis=model.id_basis,
        id_sd=model.id_sd,
        exp_basis=model.exp_basis,
        exp_sd=model.exp_sd,
        uv=model.uv[model.triangles],
    )
    return source, np.arange(model.vertex_count, dtype=np.int32)


def uv_of(source: ModelSource) -> Array:
    """Chart at the vertices."""
    assert source.uv is not None
    uv = np.zeros((len(source.mean), 2))
    uv[source.polygons] = source.uv
    return uv


def charted(source: ModelSource, number: Array, moved: Array | None = None) -> SheetChart:
    none = sp.csr_matrix((0, len(number)))
    displacements = np.zeros((len(number), 3, 1)) if moved is None else moved
    return sheet_chart(source, number, source.mean, source.polygons, none, displacements)


def test_one_chart_is_taken_as_it_is(
    sheet: tuple[ModelSource, Array], toy_model: FaceModel
) -> None:
    found = charted(*sheet)
    assert found.own
    assert np.array_equal(found.uv, toy_model.uv)
    assert found.loss_mm == 0.0


def test_a_chart_on_which_shapes_are_lost_is_made_anew(sheet: tuple[ModelSource, Array]) -> None:
    """One that leaves nearly all of the map empty."""
    source, number = sheet
    assert source.uv is not None
    moved = np.random.default_rng(0).normal(0.0, 1.0, (len(number), 3, 2))
    crowded = dataclasses.replace(source, uv=0.5 + 0.02 * source.uv)
    found = charted(crowded, number, moved)
    assert not found.own
    assert found.loss_mm < 0.3 * map_loss_mm(0.5 + 0.02 * uv_of(source), source.polygons, moved)


def test_a_chart_within_one_texel_is_made_anew(sheet: tuple[ModelSource, Array]) -> None:
    """One face of many in an atlas: no texel of the map shows it, so that nothing is measured."""
    source, number = sheet
    assert source.uv is not None
    moved = np.random.default_rng(0).normal(0.0, 1.0, (len(number), 3, 2))
    assert np.isinf(map_loss_mm(0.5 + 0.001 * uv_of(source), source.polygons, moved))
    assert not charted(dataclasses.replace(source, uv=0.5 + 0.001 * source.uv), number, moved).own


def test_the_loss_is_that_of_the_networks_maps(sheet: tuple[ModelSource, Array]) -> None:
    source, _ = sheet
    uv = uv_of(source)
    moved = np.random.default_rng(1).normal(0.0, 1.0, (len(uv), 3, 2))
    maps = UVMap(uv, source.polygons, 32)
    shapes = torch.from_numpy(np.moveaxis(moved, 2, 0).copy())
    back = maps.vertices_from_uv_map(maps.uv_map_from_vertices(shapes)).numpy()
    lost = np.linalg.norm(back - shapes.numpy(), axis=2)
    border = np.unique(border_edges(source.polygons))
    inner = np.setdiff1d(np.arange(len(uv)), border)
    measured = map_loss_mm(uv, source.polygons, moved, 32)
    assert measured == pytest.approx(np.quantile(lost[:, inner], 0.95), rel=0.1)


@pytest.mark.parametrize("damage", ["none", "seam", "mirrored", "beyond"])
def test_what_is_no_chart_of_a_sheet_is_made_anew(
    sheet: tuple[ModelSource, Array], damage: str
) -> None:
    source, number = sheet
    assert source.uv is not None
    uv = source.uv.copy()
    if damage == "seam":
        uv[5, 1] += 0.05
    elif damage == "mirrored":
        uv[..., 0] = 1.0 - uv[..., 0]
    elif damage == "beyond":
        uv[..., 0] += 1.0
    found = charted(dataclasses.replace(source, uv=None if damage == "none" else uv), number)
    assert not found.own
    assert is_one_chart(found.uv, source.polygons)


def test_overlaps_are_seen(sheet: tuple[ModelSource, Array]) -> None:
    """A strip wound up twice has no flipped triangle, and overlaps itself."""
    turn = np.linspace(0.0, 4.0 * np.pi, 60)
    ring = np.column_stack([np.cos(turn), np.sin(turn)])
    wider = 0.01 * turn[:, None]
    uv = 0.5 + np.concatenate([(0.15 + wider) * ring, (0.3 + wider) * ring])
    a = np.arange(59)
    corners = np.concatenate(
        [np.column_stack([a, a + 60, a + 1]), np.column_stack([a + 1, a + 60, a + 61])]
    )
    assert signed_areas(uv[corners]).min() > 0
    assert not is_one_chart(uv, corners)
