"""Reading a dataset: what was written comes out, in any process."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
from toy_dataset import toy_records, write_toy_dataset

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.encoding import decode_image
from fg3d_builder.geometry.crop import crop_image
from fg3d_builder.shards.reader import Sample, ShardReader


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FaceModel]:
    folder = tmp_path_factory.mktemp("dataset")
    model = write_toy_dataset(folder)
    return folder / "dataset", model


def by_capture(dataset: Path) -> dict[str, Sample]:
    readers = [ShardReader(dataset, split) for split in ("train", "test")]
    samples = [reader[i] for reader in readers for i in range(len(reader))]
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

    reader = ShardReader(made[0], "train")
    loader = DataLoader(reader, batch_size=2, num_workers=2)  # type: ignore[arg-type]
    ids = []
    for batch in loader:
        assert tuple(batch["image"].shape[1:]) == (64, 64, 3)
        delta = batch["shape_obj_mm"] - batch["coarse_obj_mm"]
        assert float((batch["delta_obj_mm"] - delta).abs().max()) == 0.0
        ids += batch["sample_id"]
    assert ids == [reader[i]["sample_id"] for i in range(len(reader))]


def test_pickle_holds_no_open_file(made: tuple[Path, FaceModel]) -> None:
    reader = ShardReader(made[0], "test")
    first = reader[0]["sample_id"]
    assert pickle.loads(pickle.dumps(reader))[0]["sample_id"] == first


def test_a_licensed_model_is_passed_by_hand(tmp_path: Path) -> None:
    model = write_toy_dataset(tmp_path, licence="secret")
    with pytest.raises(ValueError, match="keeps it out of the dataset"):
        ShardReader(tmp_path / "dataset", "train")
    assert len(ShardReader(tmp_path / "dataset", "train", model)) > 0


def test_no_dataset_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"manifest\.json"):
        ShardReader(tmp_path, "train")


def test_broken_images_are_refused() -> None:
    with pytest.raises(ValueError, match="no image"):
        decode_image(np.zeros(30, np.uint8))
    with pytest.raises(ValueError, match="no image"):
        decode_image(np.zeros(0, np.uint8))
