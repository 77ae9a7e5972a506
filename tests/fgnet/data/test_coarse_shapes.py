"""Shapes and targets from coefficients, against those that the dataset makes in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_models import toy_model
from toy_shards import write_toy_shards

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.data.coarse_shapes import CoarseShapes, aligned_batch
from fg3d_builder.fgnet.data.dataset import FaceDataset, aligned_target
from fg3d_builder.fgnet.data.feeding import Feeder
from fg3d_builder.fgnet.data.simulation import MultiviewSimulator, SimulationConfig
from fg3d_builder.geometry.pose import rotation_from_angles

TOLERANCE_MM = 1e-3


def test_batches_are_those_of_the_dataset(tmp_path: Path) -> None:
    write_toy_shards(tmp_path, train=5, test=1)
    data = FaceDataset(tmp_path, "train")
    numbers = [3, 0, 4]
    wanted, found = data.batch(numbers), CoarseShapes(data.model)(data.coefficients(numbers))
    assert torch.equal(found.index, wanted.index)
    assert torch.equal(found.confidence, wanted.confidence)
    torch.testing.assert_close(found.target_obj_mm, wanted.target_obj_mm, rtol=0, atol=TOLERANCE_MM)
    shapes = found.fit.shape_obj_mm, wanted.fit.shape_obj_mm
    torch.testing.assert_close(*shapes, rtol=0, atol=TOLERANCE_MM)
    mean = torch.from_numpy(data.model.mean).float()
    assert (shapes[1] - mean).abs().max() > 1.0
    for name in ("image", "intrinsics", "scale", "rotation", "translation_mm"):
        assert torch.equal(getattr(found.fit, name), getattr(wanted.fit, name))


@pytest.mark.parametrize("source", ["toy", "default"])
def test_extreme_coefficients_stay_within_the_tolerance(
    source: str, request: pytest.FixtureRequest
) -> None:
    model: FaceModel = toy_model() if source == "toy" else request.getfixturevalue("default")
    rng = np.random.default_rng(0)
    alphas = [3.0 * rng.normal(size=(4, len(sd))) * sd for sd in (model.id_sd, model.exp_sd)]
    shapes = CoarseShapes(model)
    alpha = torch.from_numpy(np.concatenate(alphas, axis=1)).float()
    found = torch.addmm(shapes.mean, alpha, shapes.basis.T).view(4, -1, 3)
    np.testing.assert_allclose(found, model.shapes(*alphas), rtol=0, atol=TOLERANCE_MM)


def test_targets_undo_any_similarity() -> None:
    rng = np.random.default_rng(1)
    shape = rng.normal(size=(4, 50, 3)) * 60.0
    truth = np.empty_like(shape)
    for i, (one, angles) in enumerate(zip(shape, rng.uniform(-170, 170, (4, 3)), strict=True)):
        turned = (0.6 + i) * one @ rotation_from_angles(*angles).T
        truth[i] = turned + rng.normal(size=3) * 100.0 + 1.5 * rng.normal(size=one.shape)
    truth[3] *= [-1.0, 1.0, 1.0]  # a reflection fits best, and is not taken
    weight = rng.random((4, 50)) * (rng.random((4, 50)) > 0.3)
    found = aligned_batch(*(torch.from_numpy(values) for values in (truth, shape, weight)))
    for i in range(4):
        wanted = aligned_target(truth[i], shape[i], weight[i])
        np.testing.assert_allclose(found[i], wanted, rtol=0, atol=TOLERANCE_MM)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_feeder_gives_the_same_either_way(tmp_path: Path, workers: int) -> None:
    write_toy_shards(tmp_path, train=4, test=1)
    data = FaceDataset(tmp_path, "train")
    simulator = MultiviewSimulator(data.model, SimulationConfig(size=32, view_set="3"))
    needs, device = frozenset({"views", "uv_from_view"}), torch.device("cpu")
    feeders = [
        Feeder(data, simulator, needs, device, workers=workers, shapes_on_device=here)
        for here in (False, True)
    ]
    for wanted, found in zip(*(f.batches([[2, 0], [3]]) for f in feeders), strict=True):
        assert found.number.tolist() == wanted.number.tolist()
        for one, other in ((found.shape_mm, wanted.shape_mm), (found.target_mm, wanted.target_mm)):
            torch.testing.assert_close(one, other, rtol=0, atol=TOLERANCE_MM)
        assert found.given.uv_from_view is not None
        assert wanted.given.uv_from_view is not None
        torch.testing.assert_close(
            found.given.uv_from_view, wanted.given.uv_from_view, rtol=0, atol=1e-4
        )
