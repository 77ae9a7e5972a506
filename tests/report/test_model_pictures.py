"""Pictures of a model show what it says: no mode is the mean, no chart is empty."""

from __future__ import annotations

import dataclasses

import numpy as np
from toy_models import toy_model

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.records import Array
from fg3d_builder.report.model_overview import model_overview
from fg3d_builder.report.model_pictures import (
    albedo_sheet,
    chart_sheet,
    mode_sheet,
    surround_sheet,
)
from fg3d_builder.report.paper import GAP

ROW = slice(64, 300)
"""Rows of a sheet's first pictures, below their labels."""

WIDTH = 520
"""Of a shape from the front and from the side, in pixels."""


def apart(sheet: Array) -> float:
    """Share of pixels in which the first two pictures differ."""
    low, high = (
        sheet[ROW, :WIDTH].astype(int),
        sheet[ROW, WIDTH + GAP : 2 * WIDTH + GAP].astype(int),
    )
    return float(np.mean(np.abs(low - high).max(axis=2) > 20))


def test_modes_are_drawn_to_both_sides_of_the_mean() -> None:
    model = toy_model()
    still = dataclasses.replace(model, id_basis=np.zeros_like(model.id_basis))
    assert apart(mode_sheet(model, "identity", 1)) > 0.02
    assert apart(mode_sheet(still, "identity", 1)) == 0.0


def test_expressions_stop_at_their_bounds() -> None:
    model = toy_model()
    closed = dataclasses.replace(model, exp_upper=np.zeros_like(model.exp_upper))
    assert apart(mode_sheet(model, "expression", 1)) > 0.0
    assert apart(mode_sheet(closed, "expression", 1)) == 0.0  # both are the mean
    none = dataclasses.replace(
        model,
        exp_basis=model.exp_basis[:, :, :0],
        exp_sd=np.zeros(0),
        exp_names=(),
        exp_lower=np.zeros(0),
        exp_upper=np.zeros(0),
    )
    assert mode_sheet(none, "expression").shape[2] == 3


def test_a_chart_is_filled_with_the_models_colours() -> None:
    model = toy_model()
    red = dataclasses.replace(model, albedo_mean=np.tile([0.8, 0.05, 0.05], (len(model.mean), 1)))
    sheet = chart_sheet(red).astype(int)
    chart = sheet[80 : sheet.shape[0] - 20, 20:480]
    reddish = (chart[..., 0] > chart[..., 1] + 60) & (chart[..., 0] > chart[..., 2] + 60)
    assert reddish.mean() > 0.9  # the toy's chart is the whole square


def test_colours_and_head_of_the_embedded_model(default: FaceModel) -> None:
    assert albedo_sheet(default, 1).std() > 20
    around = surround_sheet(default, people=1)
    alone = surround_sheet(dataclasses.replace(default, surround=None))
    assert around.shape[0] > alone.shape[0]
    blue = around[..., 2].astype(int) > around[..., 0].astype(int) + 25
    assert blue.mean() > 0.02
    everything = model_overview(default)
    assert everything.std() > 30
