"""Charts of imported sheets: the file's own where it is one, a new one elsewhere."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.transfer.charts import is_one_chart, sheet_chart
from fg3d_builder.geometry.meshes import signed_areas
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


def charted(source: ModelSource, number: Array) -> tuple[Array, bool]:
    none = sp.csr_matrix((0, len(number)))
    return sheet_chart(source, number, source.mean, source.polygons, none)


def test_one_chart_is_taken_as_it_is(
    sheet: tuple[ModelSource, Array], toy_model: FaceModel
) -> None:
    uv, own = charted(*sheet)
    assert own
    assert np.array_equal(uv, toy_model.uv)


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
    found, own = charted(dataclasses.replace(source, uv=None if damage == "none" else uv), number)
    assert not own
    assert is_one_chart(found, source.polygons)


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
