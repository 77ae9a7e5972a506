from __future__ import annotations

import numpy as np
import pytest
from toy_models import toy_model

from fg3d_builder.facemodel.learning.reconstruction import LinearShapes, Reconstructor, errors_mm
from fg3d_builder.geometry.pose import rotation_from_angles

MODEL = toy_model()
LINEAR = LinearShapes(MODEL.mean, MODEL.id_basis * MODEL.id_sd)


def test_a_face_of_the_model_is_reconstructed_in_any_pose() -> None:
    z = np.random.default_rng(1).standard_normal(12)
    face = MODEL.mean + LINEAR.basis @ z
    moved = face @ rotation_from_angles(8.0, -12.0, 5.0).T + [10.0, -4.0, 7.0]
    weights = np.where(MODEL.reliable, 1.0, 0.0)
    found = Reconstructor(LINEAR, moved, weights)(12)
    assert found.distance_mm.max() < 1e-3
    assert np.abs(found.shape_mm - moved).max() < 1e-3


def test_more_modes_never_miss_more_squares_and_what_is_not_weighted_may_be_anything() -> None:
    rng = np.random.default_rng(2)
    face = MODEL.mean + LINEAR.basis @ rng.standard_normal(12)
    face = face + rng.standard_normal(face.shape)
    weights = np.where(MODEL.reliable, 1.0, 0.0)
    spoilt = np.where(weights[:, None] > 0, face, np.nan)
    squares = []
    for modes in range(13):
        one = Reconstructor(LINEAR, face, weights)(modes).distance_mm
        other = Reconstructor(LINEAR, spoilt, weights)(modes).distance_mm
        seen = weights > 0
        assert np.allclose(one[seen], other[seen], atol=1e-9)
        squares.append(float((one[seen] ** 2).sum()))
    assert np.all(np.diff(squares) < 1e-6 * squares[0])


def test_errors_are_weighted_mean_distances() -> None:
    # Two places that move towards each other turn and shift nothing.
    face = MODEL.mean.copy()
    face[100] += [3.0, 0.0, 0.0]
    face[200] -= [3.0, 0.0, 0.0]
    face[[100, 200], 1:] = face[[100, 200], 1:].mean(axis=0)
    mean = MODEL.mean.copy()
    mean[[100, 200], 1:] = face[[100, 200], 1:]
    fit = np.ones(len(face))
    measure = np.zeros(len(face))
    measure[[100, 200, 300]] = 1.0, 1.0, 2.0
    error = errors_mm(LinearShapes(mean, LINEAR.basis), face, fit, measure, [0])[0]
    assert error == pytest.approx((1 * 3.0 + 1 * 3.0 + 2 * 0.0) / 4, rel=1e-2)
