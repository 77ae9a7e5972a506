"""The schema, the rows and the files agree."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest
from toy_build import build_model
from toy_dataset import FAILURE, base_image, toy_records, write_toy_dataset

from fg3d_builder.config import ShardConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.shards.manifest import may_be_shared, read_manifest
from fg3d_builder.shards.rows import (
    capture_row,
    encode_image,
    sample_seed,
    shape_row,
)
from fg3d_builder.shards.schema import FIELDS, CaptureRow, Field, SampleImage, ShapeRow
from fg3d_builder.shards.writer import ShardWriter


def test_every_field_of_a_row_has_its_column() -> None:
    for table, row in (("captures", CaptureRow), ("shapes", ShapeRow), ("samples", SampleImage)):
        columns = {field.name for field in FIELDS if field.path.startswith(f"{table}/")}
        names = {field.name for field in dataclasses.fields(row)}
        # The name is part of the sample's id, the image's bytes have columns of their own.
        assert names - columns == ({"name", "image"} if table == "samples" else set())


def test_a_column_is_what_its_declaration_says() -> None:
    fields = {field.path: field for field in FIELDS}
    assert fields["shapes/shape_obj_mm"] == Field(
        "shapes/shape_obj_mm",
        "<f4",
        ("S", "n", 3),
        "mm",
        "S* of Eq. 11, ground truth, object frame",
    )
    assert fields["shapes/confidence"].unit == "1/255"
    assert fields["samples/visible"].shape == ("N", "ceil(n/8)")


def test_every_dataset_is_described_in_the_file(tmp_path: Path) -> None:
    write_toy_dataset(tmp_path)
    for path in sorted((tmp_path / "dataset").glob("t*-0*.h5")):
        with h5py.File(path, "r") as file:
            found: list[str] = []
            file.visititems(
                lambda name, item, into=found: (
                    into.append(name) if isinstance(item, h5py.Dataset) else None
                )
            )
            assert sorted(found) == sorted(field.path for field in FIELDS)
            for field in FIELDS:
                attributes = file[field.path].attrs
                assert attributes["unit"] == field.unit
                assert attributes["description"] == field.description


def test_equal_rows_give_equal_datasets(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_toy_dataset(tmp_path / name)
    one, two = (sorted((tmp_path / n / "dataset").iterdir()) for n in ("a", "b"))
    assert [p.name for p in one] == [p.name for p in two]
    for left, right in zip(one, two, strict=True):
        assert left.read_bytes() == right.read_bytes(), left.name


def test_manifest_tells_how_the_dataset_was_made(tmp_path: Path) -> None:
    model = write_toy_dataset(tmp_path)
    manifest = read_manifest(tmp_path / "dataset")
    assert manifest["failures"] == [dataclasses.asdict(FAILURE)]
    assert manifest["facemodel"]["topology_hash"] == model.topology_hash
    assert manifest["config"]["shards"]["split_salt"] == "toy"
    assert manifest["versions"]["numpy"] == np.__version__
    assert len(manifest["versions"]["fg3d-builder-source"]) == 16


def test_a_shape_may_be_shared_by_samples(tmp_path: Path) -> None:
    """Views of one shape: two samples, one shape row."""
    model = build_model()
    capture, initial, registration = toy_records(model, 0, 0)
    image = base_image(model, capture, initial, registration, ShardConfig(image_size=64))
    turned = dataclasses.replace(image, name="view+00+15", view_deg=np.array([0.0, 15.0]))
    writer = ShardWriter("train", "jpeg", model)
    row = writer.add_capture(capture_row(capture, registration))
    writer.add_shape(shape_row(registration), row, [image, turned])
    writer.write(tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5") as file:
        assert list(file["samples/shape_index"][()]) == [0, 0]
        assert len(file["shapes/shape_obj_mm"]) == 1


def test_empty_shards_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without samples"):
        ShardWriter("train", "jpeg", build_model()).write(tmp_path / "s.h5")


def test_unknown_image_format_is_named() -> None:
    with pytest.raises(ConfigError, match="image_format: unknown 'gif'"):
        encode_image(np.zeros((4, 4, 3), np.uint8), "gif")


def test_seeds_differ_and_stay() -> None:
    seeds = {sample_seed(f"sample-{i}") for i in range(1000)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert sample_seed("a") == 7299139317422481125


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("CC0", True),
        ("MIT (USC ICT)", True),
        ("Basel Face Model, research only", False),
        ("", False),
    ],
)
def test_which_models_go_into_a_dataset(licence: str, free: bool) -> None:
    assert may_be_shared(licence) is free
