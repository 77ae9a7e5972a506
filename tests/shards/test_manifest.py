"""What a manifest tells of a dataset without reading it, and of its files' content."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from toy_shards import write_toy_shards

from fg3d_builder.files.hashes import sha256
from fg3d_builder.files.sealed import BLOCK, DamagedFileError
from fg3d_builder.shards.manifest import (
    altered_files,
    content_sha256,
    describe_shard,
    described_files,
    missing_files,
    read_manifest,
)
from fg3d_builder.shards.reader import ShardReader

SHARD = "train-00000.h5"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    write_toy_shards(folder, train=2, test=1)
    return folder


@pytest.fixture
def dataset(good: Path, tmp_path: Path) -> Path:
    shutil.copytree(good, tmp_path / "dataset")
    return tmp_path / "dataset"


def flip(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("name", [SHARD, "test-00000.h5", "topology.h5", "facemodel.h5"])
def test_what_is_missing_or_short_is_named_without_reading(dataset: Path, name: str) -> None:
    assert missing_files(dataset) == []
    data = (dataset / name).read_bytes()
    (dataset / name).write_bytes(data[:-1])
    assert missing_files(dataset) == [name]
    (dataset / name).unlink()
    assert missing_files(dataset) == [name]
    with pytest.raises(ValueError, match=f"{name}: missing or not as long.*fg3d verify"):
        ShardReader(dataset, "train")


def test_a_manifest_that_cannot_be_believed_is_missing(dataset: Path) -> None:
    flip(dataset / "manifest.json", 0.5)
    assert missing_files(dataset) == ["manifest.json"]
    (dataset / "manifest.json").unlink()
    assert missing_files(dataset) == ["manifest.json"]


def test_altered_files_are_named_and_stay(dataset: Path) -> None:
    names = [entry["file"] for entry in described_files(read_manifest(dataset))]
    assert altered_files(dataset, names) == []
    flip(dataset / SHARD, 0.7)
    assert missing_files(dataset) == []
    assert altered_files(dataset, names) == [SHARD]
    assert (dataset / SHARD).is_file()


def test_a_damaged_shard_is_not_described(dataset: Path) -> None:
    """A build that goes on after a crash would otherwise take it as it is."""
    flip(dataset / SHARD, 0.7)
    with pytest.raises(DamagedFileError, match=SHARD):
        describe_shard(dataset / SHARD)
    assert not (dataset / SHARD).exists()


def test_the_content_is_what_is_behind_the_seals(good: Path) -> None:
    manifest = read_manifest(good)
    for entry in described_files(manifest):
        data = (good / entry["file"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), sha256(data))
        if entry["file"] != "topology.h5":
            assert entry["content_sha256"] == sha256(data[BLOCK:])
    assert manifest["content_sha256"] == content_sha256(manifest["shards"], manifest["files"])
