from __future__ import annotations

import numpy as np
import pytest
from toy_models import toy_model

from fg3d_builder.facemodel.learning.components import OldModel
from fg3d_builder.facemodel.learning.measures import (
    compactness,
    explained_by,
    generalisation,
    specificity,
)
from fg3d_builder.facemodel.learning.reconstruction import LinearShapes
from fg3d_builder.facemodel.learning.shapes import Identities

MODEL = toy_model()
OLD = OldModel.of_shapes(MODEL, mirror=False)
WEIGHTS = np.ones(MODEL.vertex_count)


def faces(count: int, modes: int = 12) -> Identities:
    z = np.random.default_rng(1).standard_normal((count, modes))
    basis = MODEL.id_basis[:, :, :modes] * MODEL.id_sd[:modes]
    values = MODEL.mean + np.einsum("ndk,sk->snd", basis, z)
    names = tuple(f"s{i:02d}" for i in range(count))
    return Identities(names, values, np.ones((count, MODEL.vertex_count)))


def test_compactness_is_the_running_sum_of_variances() -> None:
    # The toy's directions have a root mean square length of 1.
    found = compactness(LinearShapes(MODEL.mean, MODEL.id_basis * MODEL.id_sd), WEIGHTS)
    assert np.allclose(found, np.concatenate([[0.0], np.cumsum(MODEL.id_sd**2)]))


def test_faces_of_a_model_are_explained_by_it_and_less_by_part_of_it() -> None:
    errors = explained_by(OLD.linear, faces(4), WEIGHTS, [0, 6, 12])
    assert errors[:, 2].max() < 1e-3
    assert np.all(errors[:, 0] > errors[:, 1])
    assert errors[:, 1].min() > 0.3


def test_faces_left_out_of_a_small_span_are_explained_by_the_others() -> None:
    errors = generalisation(OLD, faces(20, modes=3), WEIGHTS, [1, 3, 6], 4, 0.01)
    assert errors[:, 0].min() > 0.1
    # Three directions, found up to the pose that alignment takes.
    assert errors[:, 2].mean() < 0.1


def test_more_modes_than_the_others_determine_are_all_that_they_have() -> None:
    """Ten subjects with 12 old modes determine 21, the five of a half 16."""
    errors = generalisation(OLD, faces(10), WEIGHTS, [8, 16, 21], 2, 2.0)
    assert np.array_equal(errors[:, 1], errors[:, 2])
    assert np.all(errors[:, 0] > errors[:, 1])


def test_random_faces_of_a_growing_head_are_as_far_from_its_mean_as_they_are_grown() -> None:
    centred = MODEL.mean - MODEL.mean.mean(axis=0)
    model = LinearShapes(centred, 0.1 * centred[:, :, None])
    only = Identities(("s",), centred[None], np.ones((1, len(centred))))
    found = specificity(model, only, WEIGHTS, [0, 1], samples=30, seed=5)
    z = np.random.default_rng(5).standard_normal((30, 1))[:, 0]
    assert np.allclose(found[:, 0], 0.0, atol=1e-9)
    size = float(np.linalg.norm(centred, axis=1).mean())
    assert found[:, 1] == pytest.approx(0.1 * size * np.abs(z), rel=1e-6)
