"""The picture of a model: each tile shows what it is labelled with, and that alone."""

from __future__ import annotations

import dataclasses

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.records import Array
from fg3d_builder.report.model_overview import model_overview

COLUMNS, ROWS = 5, 3
TILE_PX = 486
"""Height of a tile with its label; above all of them is the title."""


def changed_tiles(model: FaceModel, other: FaceModel) -> set[int]:
    """Numbers of the tiles in which the pictures of two models differ."""
    one, two = model_overview(model), model_overview(other)
    assert one.shape == two.shape
    rows, columns = np.nonzero(np.any(one != two, axis=2))
    title, width = one.shape[0] - ROWS * TILE_PX, one.shape[1]
    tile: Array = (rows - title) // TILE_PX * COLUMNS + columns * COLUMNS // width
    counts = np.bincount(tile, minlength=COLUMNS * ROWS)
    return set(np.flatnonzero(counts > 20).tolist())


def test_each_field_has_its_tiles(toy_model: FaceModel) -> None:
    half = toy_model.mean[:, 0] > 0
    for changes, tiles in (
        ({"parts": np.where(half, 1, 2).astype(np.uint8)}, {8}),
        ({"rigid": half}, {9}),
        ({"reliable": half}, {10, 11}),
        ({"albedo_mean": np.where(half[:, None], 0.7, 0.1) * np.ones(3)}, {0, 1, 14}),
    ):
        assert changed_tiles(toy_model, dataclasses.replace(toy_model, **changes)) == tiles


def test_points_are_drawn_where_they_are(toy_model: FaceModel) -> None:
    """Without an embedding, its tiles are the bare model."""
    assert {"ibug68"} <= set(toy_model.embeddings)
    bare = dataclasses.replace(toy_model, embeddings={}, edge_points={})
    assert changed_tiles(toy_model, bare) <= {3, 4, 5, 6}
    assert {3, 4} <= changed_tiles(toy_model, bare)
