"""Whole heads that are handed out: what lies beyond the sheet goes along with the sheet."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fg3d_builder.facemodel.arrays import from_arrays
from fg3d_builder.facemodel.model_pairs import Correspondence, Places
from fg3d_builder.facemodel.origin import Origin
from fg3d_builder.facemodel.shape_export import ShapeExport, whole_mesh
from fg3d_builder.geometry.meshes import undirected_edges
from fg3d_builder.records import Array

COLUMNS, STEP_MM, MARGIN, MOVED_MM = 41, 5.0, 10, 10.0


def grid() -> tuple[Array, Array]:
    """A square of 200 mm that looks along z, and an eyeball's stand-in apart from it."""
    place = np.arange(COLUMNS)
    y, x = np.meshgrid(place, place, indexing="ij")
    mean = STEP_MM * np.stack([x, y, np.zeros_like(x)], axis=2).reshape(-1, 3)
    corner = (COLUMNS * y + x)[:-1, :-1].ravel()
    lower = np.stack([corner, corner + 1, corner + COLUMNS], axis=1)
    upper = np.stack([corner + 1, corner + COLUMNS + 1, corner + COLUMNS], axis=1)
    apart = len(mean) + np.arange(3)[None]
    mean = np.concatenate([mean, [[90, 90, 9], [110, 90, 9], [100, 110, 9]]])
    return mean, np.concatenate([lower, upper, apart]).astype(np.int32)


def test_expressions_tear_nothing_off_the_sheet_and_fade() -> None:
    mean, triangles = grid()
    column, row = (mean[:, axis] / STEP_MM for axis in (0, 1))
    inner = (np.abs(column - 20) <= MARGIN) & (np.abs(row - 20) <= MARGIN) & (mean[:, 2] == 0)
    sheet = np.flatnonzero(inner)
    number = np.cumsum(inner) - 1
    down = np.zeros((len(sheet), 3, 1))
    down[:, 1] = -MOVED_MM
    model = from_arrays(
        mean[sheet],
        number[triangles[inner[triangles].all(axis=1)]],
        np.zeros((len(sheet), 3, 1)),
        np.ones(1),
        exp_basis=down,
    )
    origin = Origin(
        layout="toy",
        mean=mean,
        polygons=triangles,
        uv=None,
        sheet_vertex=sheet.astype(np.int32),
        outside=np.flatnonzero(~inner).astype(np.int32),
        outside_id_basis=np.zeros((int((~inner).sum()), 3, 1)),
    )
    model = dataclasses.replace(model, origin=origin)
    moved = ShapeExport(model, model, whole_mesh(model))(model.shape(np.zeros(1), np.ones(1)))
    displacement = moved - mean
    np.testing.assert_allclose(displacement[sheet], [[0.0, -MOVED_MM, 0.0]] * len(sheet), atol=0.1)
    a, b = undirected_edges(triangles).T
    apart = np.linalg.norm(displacement[a] - displacement[b], axis=1)
    assert apart.max() < 0.3 * MOVED_MM
    beside = np.hypot(*(mean[: COLUMNS**2, :2] - 100.0).T) > 120.0
    assert np.linalg.norm(displacement[: COLUMNS**2][beside], axis=1).max() < 0.3 * MOVED_MM
    assert np.abs(displacement[-3:]).max() < 0.1  # what is apart stays


def test_faces_that_lie_nowhere_on_each_other_are_refused() -> None:
    mean, triangles = grid()
    flat = mean[:-3]
    model = from_arrays(flat, triangles[:-1], np.zeros((len(flat), 3, 1)), np.ones(1), name="flat")
    corners = np.zeros((len(flat), 3), dtype=np.int64)
    nowhere = Places(corners, np.zeros((len(flat), 3)), np.zeros(len(flat), dtype=bool))
    with pytest.raises(ValueError, match="'flat' and 'flat': nothing of one's face lies"):
        ShapeExport(model, model, pair=Correspondence(nowhere, nowhere))


def test_vertices_that_a_file_has_twice_stay_together() -> None:
    """A seam of the chart through the face: the sheet has its vertices once, the file twice."""
    mean, triangles = grid()
    column, row = (mean[:, axis] / STEP_MM for axis in (0, 1))
    seam = np.flatnonzero((column == 20) & (mean[:, 2] == 0))
    again = np.arange(len(mean))
    again[seam] = len(mean) + np.arange(len(seam))
    right = (column[triangles] >= 20).all(axis=1) & (mean[triangles, 2] == 0).all(axis=1)
    polygons = np.where(right[:, None], again[triangles], triangles).astype(np.int32)
    inner = (np.abs(column - 20) <= MARGIN) & (np.abs(row - 20) <= MARGIN) & (mean[:, 2] == 0)
    sheet, number = np.flatnonzero(inner), np.cumsum(inner) - 1
    wave = np.zeros((len(sheet), 3, 1))
    wave[:, 2, 0] = 3.0 * np.sin(mean[sheet, 1] / 15.0)
    model = from_arrays(
        mean[sheet],
        number[triangles[inner[triangles].all(axis=1)]],
        np.zeros((len(sheet), 3, 1)),
        np.ones(1),
        exp_basis=wave,
    )
    everywhere = np.concatenate([mean, mean[seam]])
    outside = np.setdiff1d(np.arange(len(everywhere)), sheet).astype(np.int32)
    origin = Origin(
        layout="toy",
        mean=everywhere,
        polygons=polygons,
        uv=None,
        sheet_vertex=sheet.astype(np.int32),
        outside=outside,
        outside_id_basis=np.zeros((len(outside), 3, 1)),
    )
    model = dataclasses.replace(model, origin=origin)
    shape = model.shape(np.zeros(1), np.ones(1))
    shape[:, 0] += 4.0 * np.cos(shape[:, 1] / 30.0)  # what the model does not know
    export = ShapeExport(model, model, whole_mesh(model))
    moved = export(shape)
    np.testing.assert_allclose(moved[again[seam]], moved[seam], atol=1e-9)
    np.testing.assert_allclose(moved[sheet], shape, atol=1e-6)
    confidence = export.carried(np.ones(len(sheet)))
    np.testing.assert_array_equal(confidence[again[seam]], confidence[seam])
    assert confidence[again[seam]].max() > 0.99
