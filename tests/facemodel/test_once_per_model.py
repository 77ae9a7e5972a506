"""What is derived from a model is derived once, and goes with it."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.once_per_model import once_per_model


def test_each_result_is_computed_once_for_each_model(toy_model: FaceModel) -> None:
    calls: list[tuple[str, int]] = []

    @once_per_model
    def scaled(model: FaceModel, factor: int) -> np.ndarray:
        calls.append((model.name, factor))
        return factor * model.mean

    other = dataclasses.replace(toy_model, name="other", mean=toy_model.mean + 1.0)
    for _ in range(2):
        np.testing.assert_array_equal(scaled(toy_model, 2), 2 * toy_model.mean)
        np.testing.assert_array_equal(scaled(toy_model, 3), 3 * toy_model.mean)
        np.testing.assert_array_equal(scaled(other, 2), 2 * other.mean)
    assert calls == [("toy", 2), ("toy", 3), ("other", 2)]
    assert scaled(toy_model, 2) is scaled(toy_model, 2)


def test_results_are_forgotten_with_their_model(toy_model: FaceModel) -> None:
    @once_per_model
    def mean_of(model: FaceModel) -> np.ndarray:
        return model.mean.copy()

    # Models that come and go may get one another's address: none may get another's result.
    for number in range(20):
        model = dataclasses.replace(toy_model, mean=toy_model.mean + number)
        result = mean_of(model)
        np.testing.assert_array_equal(result, model.mean)
        gone = weakref.ref(result)
        del model, result
        gc.collect()
        assert gone() is None
