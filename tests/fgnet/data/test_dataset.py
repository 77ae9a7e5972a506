from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from toy_shards import write_toy_shards

from fg3d_builder.fgnet.data.dataset import FaceDataset, aligned_target, provenance


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    write_toy_shards(folder)
    return folder


def test_a_sample_is_what_the_shards_hold(folder: Path) -> None:
    data = FaceDataset(folder, "train", confidence_floor=0.2)
    row, sample = data.reader[3], data[3]
    assert len(data) == 5
    assert sample.index == 3
    np.testing.assert_array_equal(sample.fit.image.permute(1, 2, 0).numpy(), row["image"])
    shape = data.model.shape(row["initial_alpha_id"], row["initial_alpha_exp"])
    np.testing.assert_allclose(sample.fit.shape_obj_mm.numpy(), shape, atol=1e-4)
    weight = sample.confidence.numpy()
    np.testing.assert_allclose(weight[row["confidence"] == 0], 0.2)
    np.testing.assert_allclose(
        weight[row["confidence"] > 0.2], row["confidence"][row["confidence"] > 0.2]
    )
    assert provenance(data.registered(3)).subject_id == "train3"


def test_the_target_is_the_personal_shape_where_the_pose_is_known(folder: Path) -> None:
    data = FaceDataset(folder, "train")
    row, sample = data.reader[0], data[0]
    # The toy's fit differs from S* by a bump on one spot, which a similarity hardly explains.
    wanted = row["shape_obj_mm"] - sample.fit.shape_obj_mm.numpy()
    found = sample.target_obj_mm.numpy() - sample.fit.shape_obj_mm.numpy()
    spot = np.linalg.norm(wanted, axis=1) > 0.5 * np.linalg.norm(wanted, axis=1).max()
    assert np.abs(found - wanted)[spot].mean() < 0.3 * np.abs(wanted)[spot].mean()


def test_the_target_ignores_pose_and_size_of_the_truth() -> None:
    rng = np.random.default_rng(7)
    shape = rng.normal(size=(300, 3)) * [60.0, 80.0, 40.0]
    truth = shape + rng.normal(size=(300, 3))
    weight = rng.uniform(size=300)
    turned = 1.07 * truth @ Rotation.random(rng=rng).as_matrix().T + [3.0, -9.0, 20.0]
    np.testing.assert_allclose(
        aligned_target(turned, shape, weight), aligned_target(truth, shape, weight), atol=1e-9
    )


def test_workers_read_what_this_process_reads(folder: Path) -> None:
    data = FaceDataset(folder, "train")
    loader = torch.utils.data.DataLoader(data, batch_size=5, num_workers=2)
    batch = next(iter(loader))
    for i, index in enumerate(batch.index.tolist()):
        for name in ("target_obj_mm", "confidence"):
            assert torch.equal(getattr(batch, name)[i], getattr(data[index], name))
        for values, value in zip(batch.fit, data[index].fit, strict=True):
            assert torch.equal(values[i], value)


def test_a_batch_is_its_samples_to_the_bit(folder: Path) -> None:
    data = FaceDataset(folder, "train")
    numbers = [4, 0, 3, 0, 1]
    batch = data.batch(numbers)
    assert batch.index.tolist() == numbers
    for row, number in enumerate(numbers):
        alone = data[number]
        pairs = [*zip(batch.fit, alone.fit, strict=True)]
        pairs += [(batch.target_obj_mm, alone.target_obj_mm), (batch.confidence, alone.confidence)]
        for many, one in pairs:
            assert many.dtype == one.dtype
            assert torch.equal(many[row], one)
