"""Shapes of the face model."""

from __future__ import annotations

import numpy as np
from toy_models import toy_model

from fg3d_builder.facemodel.model import FaceModel


def test_many_shapes_are_each_alone_to_the_bit() -> None:
    model = toy_model()
    rng = np.random.default_rng(5)
    alpha_id = (rng.normal(size=(7, len(model.id_sd))) * model.id_sd).astype(np.float32)
    alpha_exp = (rng.normal(size=(7, len(model.exp_sd))) * model.exp_sd).astype(np.float32)
    shapes = model.shapes(alpha_id, alpha_exp)
    assert shapes.shape == (7, model.vertex_count, 3)
    for shape, own_id, own_exp in zip(shapes, alpha_id, alpha_exp, strict=True):
        np.testing.assert_array_equal(shape, model.shape(own_id, own_exp))
    bent = model.shapes(alpha_id[:1], 0 * alpha_exp[:1])[0] - model.mean
    np.testing.assert_allclose(bent, model.id_basis @ alpha_id[0].astype(float), atol=1e-9)


def test_a_model_of_many_vertices_has_the_same_shapes_alone(default: FaceModel) -> None:
    """Products of large matrices are shared among threads, which sum in orders of their own."""
    rng = np.random.default_rng(6)
    alpha_id = rng.normal(size=(2, len(default.id_sd))) * default.id_sd
    alpha_exp = rng.normal(size=(2, len(default.exp_sd))) * default.exp_sd
    for shape, own_id, own_exp in zip(
        default.shapes(alpha_id, alpha_exp), alpha_id, alpha_exp, strict=True
    ):
        np.testing.assert_array_equal(shape, default.shape(own_id, own_exp))
