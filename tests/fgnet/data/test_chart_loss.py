"""What maps lose: nothing of what is linear over the chart, more with fewer texels."""

from __future__ import annotations

import dataclasses

import numpy as np
from toy_models import toy_model

from fg3d_builder.fgnet.data.chart_loss import chart_loss_mm


def test_a_linear_field_loses_nothing_within_the_outer_texels() -> None:
    model = toy_model()
    plane = np.column_stack([model.uv, np.ones(len(model.uv))])
    basis = np.stack([plane, plane[:, [1, 2, 0]]], axis=2)
    linear = dataclasses.replace(
        model, id_basis=basis, id_sd=np.ones(2), exp_basis=np.zeros_like(model.exp_basis)
    )
    inner = np.all((model.uv > 0.02) & (model.uv < 0.98), axis=1)  # half a texel and more
    assert chart_loss_mm(linear, size=64)[:, inner].max() < 1e-6


def test_fewer_texels_lose_more() -> None:
    model = toy_model()
    fine, coarse = (float(chart_loss_mm(model, size).mean()) for size in (256, 16))
    assert fine < 0.05
    assert coarse > 5 * fine
    np.testing.assert_array_equal(chart_loss_mm(model, 32), chart_loss_mm(model, 32))
