from __future__ import annotations

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.surface_rows import (
    coefficient_bounds,
    embedded_rows,
    split_coefficients,
    vertex_rows,
)


def test_rows_equal_the_whole_mesh(toy_model: FaceModel) -> None:
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(size=12), rng.uniform(0, 2, 5)])
    shape = toy_model.shape(*split_coefficients(toy_model, z))
    index = rng.choice(toy_model.vertex_count, 40, replace=False)
    np.testing.assert_allclose(
        vertex_rows(toy_model, index).points_obj_mm(z), shape[index], atol=1e-9
    )
    embedding = toy_model.embeddings["ibug68"]
    np.testing.assert_allclose(
        embedded_rows(toy_model, embedding).points_obj_mm(z),
        embedding.points(shape, toy_model.triangles),
        atol=1e-9,
    )


def test_bounds_are_standardised_and_met_exactly(toy_model: FaceModel) -> None:
    lower, upper = coefficient_bounds(toy_model)
    assert np.all(np.isinf(lower[:12]) & np.isinf(upper[:12]))
    _, low = split_coefficients(toy_model, np.nan_to_num(lower, neginf=0.0))
    _, high = split_coefficients(toy_model, np.nan_to_num(upper, posinf=0.0))
    np.testing.assert_array_equal(low, toy_model.exp_lower)
    np.testing.assert_array_equal(high, toy_model.exp_upper)
