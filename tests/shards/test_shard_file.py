"""Rows come straight from the file's bytes, and what is not sound is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from toy_dataset import write_toy_dataset

from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.shards.manifest import read_manifest
from fg3d_builder.shards.schema import FIELDS
from fg3d_builder.shards.shard_file import ShardFile


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    write_toy_dataset(folder)
    return folder / "dataset"


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A dataset that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "dataset"))


def shard_of(dataset: Path) -> tuple[Path, dict[str, Any]]:
    entry = read_manifest(dataset)["shards"][0]
    return dataset / entry["file"], entry


def test_rows_are_what_hdf5_reads(made: Path) -> None:
    path, entry = shard_of(made)
    shard = ShardFile(path, entry)
    with h5py.File(path, "r") as file:
        for field in FIELDS:
            whole = file[field.path]
            for row in range(len(whole)):
                if field.path == "samples/image_bytes":
                    continue
                wanted, found = whole[row], shard.row(field.path, row)
                if field.dtype == "str":
                    assert found == wanted.decode()
                    continue
                np.testing.assert_array_equal(found, wanted)
                room = shard.room(field.path, 3)
                shard.fill(field.path, np.array([row, row]), room, np.array([2, 0]))
                np.testing.assert_array_equal(room[[0, 2]], [wanted, wanted])
        bounds = file["samples/image_offset"][:]
        coded = file["samples/image_bytes"][bounds[1] : bounds[2]]
        np.testing.assert_array_equal(shard.coded_image(1), coded)


def overwrite(path: Path, column: str, row: int, value: Any) -> None:
    """Change a number in place, as a bad disk would: HDF5 does not notice."""
    with h5py.File(path, "r") as file:
        data = file[column]
        raw = np.asarray(value, data.dtype).tobytes()
        offset = data.id.get_offset() + row * data.dtype.itemsize
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(raw)


@pytest.mark.parametrize(
    ("column", "row", "value", "message"),
    [
        ("samples/shape_index", 1, -1, "shape_index names a row that does not exist"),
        ("samples/shape_index", 0, 2, "shape_index names a row that does not exist"),
        ("samples/capture_index", 1, 1 << 30, "capture_index names a row"),
        ("shapes/capture_index", 1, -5, "capture_index names a row"),
        ("samples/image_offset", 1, 1 << 40, "does not divide the image bytes"),
        ("samples/image_offset", 0, 3, "does not divide the image bytes"),
        ("samples/image_offset", 1, -9, "does not divide the image bytes"),
    ],
)
def test_rows_that_do_not_exist_are_not_read(
    copied: Path, column: str, row: int, value: int, message: str
) -> None:
    path, entry = shard_of(copied)
    overwrite(path, column, row, value)
    shard = ShardFile(path, entry)
    for _again in range(2):  # nor the second time
        with pytest.raises(ValueError, match=message) as caught:
            shard.row("samples/rotation", 0)
        assert path.name in str(caught.value)


def test_a_damaged_image_is_named(copied: Path) -> None:
    path, entry = shard_of(copied)
    for byte in range(700, 900):
        overwrite(path, "samples/image_bytes", byte, 0)
    with pytest.raises(ValueError, match=rf"{path.name}: image 0: .*no image"):
        ShardFile(path, entry).image(0)
    assert ShardFile(path, entry).image(1).shape == (64, 64, 3)


def _chunked(file: h5py.File) -> None:
    whole = file["samples/rotation"][:]
    del file["samples/rotation"]
    file.create_dataset("samples/rotation", data=whole, chunks=True)


def _missing(file: h5py.File) -> None:
    del file["samples/seed"]


def _other_dtype(file: h5py.File) -> None:
    whole = file["samples/painted"][:]
    del file["samples/painted"]
    file["samples/painted"] = whole.astype("<f8")


def _fewer_rows(file: h5py.File) -> None:
    whole = file["shapes/confidence"][:]
    del file["shapes/confidence"]
    file["shapes/confidence"] = whole[:, :-1]


def _other_schema(file: h5py.File) -> None:
    file.attrs["schema"] = "fg3d-shard-1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_chunked, "rotation is stored in pieces"),
        (_missing, "samples/seed is missing"),
        (_other_dtype, "painted is <f8"),
        (_fewer_rows, r"shapes/confidence is \|u1 .*wanted"),
        (_other_schema, "schema is 'fg3d-shard-1', wanted"),
    ],
)
def test_a_file_of_another_writer_is_refused(
    copied: Path, change: Callable[[h5py.File], None], message: str
) -> None:
    path, entry = shard_of(copied)
    with h5py.File(path, "r+") as file:
        change(file)
    entry = {**entry, "bytes": path.stat().st_size}
    with pytest.raises(ValueError, match=message):
        ShardFile(path, entry).row("samples/rotation", 0)


def test_flipped_bytes_are_refused_by_name_or_change_a_value(copied: Path) -> None:
    path, entry = shard_of(copied)
    good = path.read_bytes()
    rng = np.random.default_rng(4)
    said = []
    for place in rng.integers(512, 12_000, 25):  # of HDF5's own structures, many
        data = bytearray(good)
        data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        shard = ShardFile(path, entry)
        try:
            for field in FIELDS:
                if field.path != "samples/image_bytes":
                    shard.row(field.path, 0)
        except ValueError as error:
            said.append(str(error))
    assert len(said) > 2
    assert all(path.name in text for text in said)


def test_another_length_is_refused(copied: Path) -> None:
    path, entry = shard_of(copied)
    shard = ShardFile(path, entry)
    shard.row("samples/rotation", 0)
    shard.close()
    with path.open("ab") as file:
        file.write(b"0")
    with pytest.raises(ValueError, match="the manifest says"):
        shard.row("samples/rotation", 0)


@pytest.mark.parametrize("name", ["shapes/shape_obj_mm", "shapes/alpha_id"])
def test_rows_go_into_an_array_of_their_own_shape_alone(made: Path, name: str) -> None:
    """Else rows of a shard with other vertices were filled up from the next row."""
    shard = ShardFile(*shard_of(made))
    room = shard.room(name, 1)
    larger = np.zeros((1, room.shape[1] + 1, *room.shape[2:]), room.dtype)
    with pytest.raises(ValueError, match=f"rows of {name} are"):
        shard.fill(name, np.array([0]), larger, np.array([0]))


def test_reading_changes_nothing(made: Path) -> None:
    path, entry = shard_of(made)
    before = file_sha256(path)
    shard = ShardFile(path, entry)
    with pytest.raises(ValueError, match="read-only"):
        shard.column("samples/rotation")[0] = 0
    shard.row("samples/rotation", 0)[:] = 7
    shard.row("shapes/shape_obj_mm", 0)[:] = 7
    assert file_sha256(path) == before
