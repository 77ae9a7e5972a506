"""Rows of columns: as numpy takes them, whatever block they are read in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from toy_parts import write_toy_part

from fg3d_builder.shards.columns import head_of, images_of, open_shard, read_content, rows_of

ROWS = [[], [3], [2, 3, 4], [0, 2, 3, 7], [1, 9, 23], list(range(24)), [0, 23]]
"""Neighbours, dense ones and single ones."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("columns") / "dataset"
    return write_toy_part(folder, "abc", per_shard=6) / "train-00000.h5"


@pytest.fixture
def file(path: Path) -> Iterator[h5py.File]:
    with open_shard(path) as opened:
        yield opened


@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_rows_are_those_of_the_column(file: h5py.File, rows: list[int]) -> None:
    at = np.array(rows, np.int64)
    for name in ("visible", "rotation", "scale", "seed"):
        column = file[f"samples/{name}"]
        np.testing.assert_array_equal(rows_of(column, at), column[()][at])
    names = file["samples/sample_id"]
    assert rows_of(names, at) == [names[row].decode() for row in rows]
    offset, data = file["samples/image_offset"][()], file["samples/image_bytes"][()]
    whole = [data[offset[row] : offset[row + 1]].tobytes() for row in rows]
    assert images_of(file, at) == whole


def test_the_content_is_that_of_the_tables(path: Path, file: h5py.File) -> None:
    content = read_content(path)
    assert content.head == head_of(file)
    assert content.head[:2] == ("train", "png")
    assert content.captures == [f"{who}-{i}" for who in "abc" for i in range(2)]
    assert content.subjects == list("aabbcc")
    assert content.new_shapes == 6
    assert [content.is_new(i) for i in range(4)] == [False, True, False, True]
    assert content.donors[1] == {"nose": "b-0"}
    assert content.image_bytes.sum() == len(file["samples/image_bytes"])


def _set(path: str, value: object) -> object:
    def edit(file: h5py.File) -> None:
        values = file[path][()]
        values[1] = value
        file[path][...] = values

    return edit


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_set("shapes/capture_index", 99), "shapes/capture_index names a row that does not exist"),
        (_set("samples/shape_index", -1), "samples/shape_index names a row that does not exist"),
        (_set("samples/capture_index", 3), "a sample's shape was made from another capture"),
        (_set("shapes/donors", "[1]"), "is no table of captures"),
        (lambda file: file.attrs.update(schema="other"), "schema is 'other'"),
        (lambda file: file.attrs.pop("split"), "split is missing"),
        (lambda file: file.pop("samples/seed"), "samples/seed is missing"),
    ],
)
def test_what_is_wrong_is_named(path: Path, tmp_path: Path, edit: object, said: str) -> None:
    copy = tmp_path / "train-00000.h5"
    copy.write_bytes(path.read_bytes())
    with h5py.File(copy, "r+") as file:
        edit(file)  # type: ignore[operator]
    with pytest.raises(ValueError, match=said) as error:
        read_content(copy)
    assert str(copy) in str(error.value)


def test_a_damaged_shard_is_named_or_read(path: Path, tmp_path: Path) -> None:
    """Whatever bytes are wrong: a sentence with the file's name, or what HDF5 still makes of it."""
    whole, rng = path.read_bytes(), np.random.default_rng(5)
    (tmp_path / "dataset").mkdir()
    copy = tmp_path / "dataset" / path.name
    named = []
    for _ in range(60):
        data = bytearray(whole)
        # Where HDF5 keeps its own: behind the seal, and spread between the columns.
        at = int(rng.integers(512, 4096 if rng.random() < 0.5 else len(data)))
        data[at : at + 8] = rng.bytes(8)
        copy.write_bytes(bytes(data))
        try:
            read_content(copy)
        except ValueError as error:
            named.append(str(error))
    assert len(named) > 10
    assert all(str(copy) in message for message in named)
