"""Reading a dataset: what was written comes out, in any process."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from toy_dataset import toy_records, write_toy_dataset

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.crop import crop_image
from fg3d_builder.shards.reader import ShardReader
from fg3d_builder.shards.sample import DERIVED, STORED, Sample

ALL = (*STORED, *DERIVED)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FaceModel]:
    folder = tmp_path_factory.mktemp("dataset")
    model = write_toy_dataset(folder)
    return folder / "dataset", model


def by_capture(dataset: Path) -> dict[str, Sample]:
    readers = [ShardReader(dataset, split, fields=ALL) for split in ("train", "test")]
    samples = [sample for reader in readers for sample in reader]
    return {sample["capture_id"]: sample for sample in samples}


def test_parts_of_a_sample_are_those_of_the_whole(made: tuple[Path, FaceModel]) -> None:
    reader = ShardReader(made[0], "train")
    ids, sources = reader.names()
    for index in range(len(reader)):
        whole, part = reader[index], reader.registered(index)
        assert (ids[index], sources[index]) == (whole["sample_id"], whole["shape_source"])
        assert (part.sample_id, part.subject_id) == (whole["sample_id"], whole["subject_id"])
        for name in ("rotation", "shape_obj_mm", "confidence"):
            np.testing.assert_array_equal(getattr(part, name), whole[name])  # type: ignore[literal-required]
    assert len(ids) == len(reader)


def test_every_shape_comes_once(made: tuple[Path, FaceModel]) -> None:
    samples = by_capture(made[0])
    readers = [ShardReader(made[0], split) for split in ("train", "test")]
    shapes = [shape for reader in readers for shape in reader.shapes()]
    assert sorted(shape.capture_id for shape in shapes) == sorted(samples)
    for shape in shapes:
        sample = samples[shape.capture_id]
        assert shape.subject_id == sample["subject_id"]
        assert shape.shape_source == sample["shape_source"]
        np.testing.assert_array_equal(shape.shape_obj_mm, sample["shape_obj_mm"])
        np.testing.assert_array_equal(shape.confidence, sample["confidence"])


def test_every_capture_is_there_once(made: tuple[Path, FaceModel]) -> None:
    readers = [ShardReader(made[0], split) for split in ("train", "test")]
    ids = [reader[i]["capture_id"] for reader in readers for i in range(len(reader))]
    assert sorted(ids) == [f"s{s}-{n}" for s in range(5) for n in range(2)]
    subjects = [{r[i]["subject_id"] for i in range(len(r))} for r in readers]
    assert all(subjects)
    assert not subjects[0] & subjects[1]


def test_values_come_back(made: tuple[Path, FaceModel]) -> None:
    dataset, model = made
    samples = by_capture(dataset)
    for subject, number in ((0, 1), (3, 0)):
        capture, initial, registration = toy_records(model, subject, number)
        sample = samples[capture.capture_id]
        assert sample["subject_id"] == capture.subject_id
        assert sample["shape_source"] == "capture"
        # Single precision of shapes of 100 mm; coefficients are rounded as well.
        shape = registration.shape_obj_mm
        np.testing.assert_allclose(sample["shape_obj_mm"], shape, atol=1e-5)
        np.testing.assert_allclose(sample["coarse_obj_mm"], initial.shape_obj_mm, atol=1e-4)
        np.testing.assert_allclose(sample["delta_obj_mm"], registration.delta_obj_mm, atol=1e-4)
        np.testing.assert_array_equal(sample["visible"], registration.visible)
        np.testing.assert_allclose(sample["confidence"], registration.confidence, atol=0.5 / 255)
        np.testing.assert_array_equal(sample["rotation"], registration.pose.rotation)
        np.testing.assert_array_equal(sample["initial_rotation"], initial.pose.rotation)
        np.testing.assert_allclose(sample["initial_alpha_id"], initial.alpha_id, rtol=1e-6)
        assert sample["quality"] == pytest.approx(registration.quality)
        crop = crop_image(capture.rgb, sample["px_crop_from_px"], 64).astype(float)
        # JPEG at quality 95 on noisy 64 x 64 images: about 1.5 grey levels.
        assert np.sqrt(np.mean((sample["image"] - crop) ** 2)) < 2.5


def test_png_is_lossless(tmp_path: Path) -> None:
    model = write_toy_dataset(tmp_path, image_format="png")
    sample = by_capture(tmp_path / "dataset")["s1-0"]
    capture, _, _ = toy_records(model, 1, 0)
    crop = crop_image(capture.rgb, sample["px_crop_from_px"], 64)
    np.testing.assert_array_equal(sample["image"], crop)


def test_indices(made: tuple[Path, FaceModel]) -> None:
    reader = ShardReader(made[0], "train")
    assert reader[-1]["sample_id"] == reader[len(reader) - 1]["sample_id"]
    with pytest.raises(IndexError, match="of"):
        reader[len(reader)]
    with pytest.raises(ValueError, match="no split 'valid'"):
        ShardReader(made[0], "valid")


def _first(reader: ShardReader) -> str:
    return reader[0]["sample_id"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_reader_travels_to_workers(made: tuple[Path, FaceModel], method: str) -> None:
    reader = ShardReader(made[0], "train")
    expected = reader[0]["sample_id"]  # a file is open in this process
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_first, [reader, reader]) == [expected, expected]


def test_torch_loads_batches_with_workers(made: tuple[Path, FaceModel]) -> None:
    from torch.utils.data import DataLoader

    reader = ShardReader(made[0], "train", fields=ALL)
    alone = DataLoader(reader, batch_size=2, num_workers=2)  # type: ignore[arg-type]
    pairs = [range(i, min(i + 2, len(reader))) for i in range(0, len(reader), 2)]
    together = DataLoader(reader, batch_size=None, sampler=pairs, num_workers=2)  # type: ignore[arg-type]
    ids = []
    for one, other in zip(alone, together, strict=True):
        assert one.keys() == other.keys() == set(ALL)
        assert tuple(other["image"].shape[1:]) == (64, 64, 3)
        delta = other["shape_obj_mm"] - other["coarse_obj_mm"]
        assert float((other["delta_obj_mm"] - delta).abs().max()) == 0.0
        for name in ALL:
            if isinstance(other[name], list):
                assert one[name] == other[name]
            else:
                np.testing.assert_array_equal(one[name], other[name])
        ids += other["sample_id"]
    assert ids == [sample["sample_id"] for sample in reader]


def test_pickle_holds_no_open_file(made: tuple[Path, FaceModel]) -> None:
    reader = ShardReader(made[0], "test")
    first = reader[0]["sample_id"]
    assert pickle.loads(pickle.dumps(reader))[0]["sample_id"] == first


def test_a_licensed_model_is_passed_by_hand(tmp_path: Path) -> None:
    model = write_toy_dataset(tmp_path, licence="secret")
    dataset = tmp_path / "dataset"
    with pytest.raises(ValueError, match="keeps it out of the dataset"):
        ShardReader(dataset, "train", fields=["coarse_obj_mm"])
    reader = ShardReader(dataset, "train")  # what is stored needs no model
    assert reader[0]["shape_obj_mm"].shape == (model.vertex_count, 3)
    with pytest.raises(ValueError, match="keeps it out of the dataset"):
        reader.model  # noqa: B018
    known = ShardReader(dataset, "train", model, ["coarse_obj_mm"])
    assert pickle.loads(pickle.dumps(known))[0]["coarse_obj_mm"].shape == (model.vertex_count, 3)


def test_fields_are_those_that_are_asked_for(made: tuple[Path, FaceModel]) -> None:
    whole = ShardReader(made[0], "train", fields=ALL)[1]
    assert set(ShardReader(made[0], "train")[1]) == set(STORED)
    for name in ALL:
        reader = ShardReader(made[0], "train", fields=[name])
        alone = reader[1]
        assert list(alone) == [name]
        np.testing.assert_array_equal(alone[name], whole[name])  # type: ignore[literal-required]
        np.testing.assert_array_equal(reader.batch([0, 1])[name][1], whole[name])  # type: ignore[literal-required]
    with pytest.raises(ValueError, match=r"no field 'shape'.*shape_obj_mm"):
        ShardReader(made[0], "train", fields=["shape"])


def test_a_batch_is_its_samples(made: tuple[Path, FaceModel]) -> None:
    reader = ShardReader(made[0], "train", fields=ALL)
    assert len(reader.shards) > 1
    assert sum(reader.shard_sizes) == len(reader)
    numbers = [3, 0, len(reader) - 1, 0, -1, 2]  # of several shards, and some twice
    batch = reader.batch(np.array(numbers))
    for row, number in enumerate(numbers):
        sample = reader[number]
        assert list(batch) == list(sample)
        for name, values in batch.items():
            one = sample[name]  # type: ignore[literal-required]
            np.testing.assert_array_equal(values[row], one)
            if isinstance(one, np.ndarray):
                assert values.dtype == one.dtype
                assert one.flags.writeable
    assert reader[numbers]["sample_id"] == batch["sample_id"]
    with pytest.raises(ValueError, match="no samples"):
        reader.batch([])
    with pytest.raises(IndexError):
        reader.batch([0, len(reader)])
    for wrong in ([True, False], [0.5], [[0, 1]]):
        with pytest.raises(ValueError, match="expected whole numbers"):
            reader.batch(np.array(wrong))


def test_many_shards_do_not_stay_open(
    made: tuple[Path, FaceModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fg3d_builder.shards.reader.MOST_OPEN", 1)
    before = len(os.listdir("/proc/self/fd"))
    reader = ShardReader(made[0], "train")
    names, _ = reader.names()
    assert [reader[i]["sample_id"] for i in (0, 3, 0, 2)] == [names[i] for i in (0, 3, 0, 2)]
    reader.batch(range(len(reader)))
    assert len(os.listdir("/proc/self/fd")) - before <= 2  # a file and its mapping
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_dataset_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"manifest\.json"):
        ShardReader(tmp_path, "train")
