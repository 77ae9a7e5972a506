"""Verification: a good dataset passes, and every kind of damage is named with its file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from toy_dataset import write_toy_dataset

from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.files.sealed import BLOCK, write_sealed
from fg3d_builder.files.sealed_object import write_sealed_object
from fg3d_builder.shards.manifest import content_sha256, describe_shard, read_manifest
from fg3d_builder.shards.rows import sample_seed
from fg3d_builder.shards.schema import SCHEMA
from fg3d_builder.shards.verify import verify_dataset

SHARD = "train-00001.h5"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    write_toy_dataset(folder)
    return folder / "dataset"


@pytest.fixture
def dataset(good: Path, tmp_path: Path) -> Path:
    shutil.copytree(good, tmp_path / "dataset")
    return tmp_path / "dataset"


def problems(dataset: Path) -> str:
    report = verify_dataset(dataset)
    assert not report.ok
    return "\n".join(report.problems)


def change(dataset: Path, edit: Callable[[h5py.File], None], shard: str = SHARD) -> None:
    """Change a shard and its entry in the manifest, as somebody with a tool would."""
    with h5py.File(dataset / shard, "r+") as file:
        edit(file)
    write_sealed(dataset / shard, SCHEMA, (dataset / shard).read_bytes()[BLOCK:])
    manifest = read_manifest(dataset)
    shards = [s for s in manifest["shards"] if s["file"] != shard]
    manifest["shards"] = [*shards, describe_shard(dataset / shard)]
    manifest["content_sha256"] = content_sha256(manifest["shards"], manifest["files"])
    rewrite(dataset, manifest)


def rewrite(dataset: Path, manifest: dict[str, Any]) -> None:
    """Write a manifest with a seal that fits."""
    write_sealed_object(dataset / "manifest.json", manifest)


def test_a_good_dataset(good: Path) -> None:
    report = verify_dataset(good)
    assert report.problems == ()
    assert (report.samples, report.shapes) == (10, 10)
    assert report.content_sha256 == read_manifest(good)["content_sha256"]


@pytest.mark.parametrize("place", [0.01, 0.3, 0.6, 0.999])
def test_one_flipped_bit_names_the_shard(dataset: Path, place: float) -> None:
    data = bytearray((dataset / SHARD).read_bytes())
    data[int(place * len(data))] ^= 1
    (dataset / SHARD).write_bytes(bytes(data))
    assert verify_dataset(dataset).problems == (f"{SHARD}: SHA-256 differs from the manifest's",)


def test_another_folder_is_no_dataset_to_repair(dataset: Path) -> None:
    report = verify_dataset(dataset.parent)
    (problem,) = report.problems
    assert problem.endswith(f"it has no manifest.json; there is one at {dataset}")
    assert report.repair == ()
    (dataset.parent / "work").mkdir()
    shutil.rmtree(dataset)
    assert "fg3d build" in "".join(verify_dataset(dataset).repair)


def test_missing_and_extra_shards(dataset: Path) -> None:
    (dataset / SHARD).rename(dataset / "train-00099.h5")
    found = problems(dataset)
    assert f"{SHARD}: is missing" in found
    assert "train-00099.h5: is not in the manifest" in found


def test_truncated_model(dataset: Path) -> None:
    data = (dataset / "facemodel.h5").read_bytes()
    (dataset / "facemodel.h5").write_bytes(data[:1000])
    assert "facemodel.h5: SHA-256 differs" in problems(dataset)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "other"}'])
def test_no_usable_manifest(dataset: Path, text: str) -> None:
    (dataset / "manifest.json").write_text(text)
    assert problems(dataset).startswith("manifest.json: ")


def test_the_manifest_of_another_dataset_is_named(dataset: Path, tmp_path: Path) -> None:
    write_toy_dataset(tmp_path / "other", image_format="png")
    own = (dataset / "manifest.json").read_bytes()
    shutil.copy(tmp_path / "other" / "dataset" / "manifest.json", dataset)
    report = verify_dataset(dataset)
    assert "manifest.json: none of the shards here is one that it describes" in problems(dataset)
    assert str(dataset / "manifest.json") in "".join(report.repair)
    # One shard of another dataset says nothing against the manifest.
    (dataset / "manifest.json").write_bytes(own)
    shutil.copy(tmp_path / "other" / "dataset" / SHARD, dataset)
    assert "manifest.json" not in problems(dataset)


def test_manifest_without_a_part(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    del manifest["facemodel"]
    rewrite(dataset, manifest)
    assert "manifest.json: broken: KeyError('facemodel')" in problems(dataset)


def _set(path: str, row: int, value: float) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        values = file[path][()]
        values[row] = value
        file[path][...] = values

    return edit


def _drop(path: str) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        del file[path]

    return edit


def _donors(source: str, text: str) -> Callable[[h5py.File], None]:
    """Make the first shape, and its only sample, one of `source` with these donors."""

    def edit(file: h5py.File) -> None:
        name = file["samples/sample_id"].asstr()[0].replace("/capture", f"/{source}")
        file["samples/sample_id"][0], file["samples/seed"][0] = name, sample_seed(name)
        for path, value in (("shapes/shape_source", source), ("shapes/donors", text)):
            values = file[path].asstr()[()]
            values[0] = value
            file[path][...] = values

    return edit


def _twice(file: h5py.File) -> None:
    """Call the second capture and its sample as the first are called."""
    for path in ("captures/capture_id", "samples/sample_id"):
        file[path][1] = file[path][0]


def _unit(file: h5py.File) -> None:
    file["shapes/shape_obj_mm"].attrs["unit"] = "cm"


def _shift(file: h5py.File) -> None:
    file["shapes/shape_obj_mm"][0] += np.float32(0.5)


def _move_camera(file: h5py.File) -> None:
    file["samples/intrinsics"][0, 0, 2] += 3.0


def _mirror(file: h5py.File) -> None:
    file["samples/rotation"][0] *= -1


def _spoil_image(file: h5py.File) -> None:
    file["samples/image_bytes"][:200] = 0


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_set("shapes/shape_obj_mm", 0, np.nan), "shapes/shape_obj_mm is not finite everywhere"),
        (_set("samples/shape_index", 0, 77), "samples/shape_index names a row that does not"),
        (_set("samples/scale", 0, -1.0), "samples/scale is not positive"),
        (_set("samples/translation_mm", 0, 9e3), "of what is visible is in view"),
        (_drop("samples/seed"), "samples/seed is missing"),
        (_unit, "shapes/shape_obj_mm has unit 'cm'"),
        (_shift, "shape 0: delta_S is"),
        (_move_camera, "samples/intrinsics is not px_crop_from_px times the capture's"),
        (_mirror, "samples/rotation holds a matrix that is no rotation"),
        (_spoil_image, "bytes that are no image"),
        (_set("samples/initial_source", 1, 2), "samples/initial_source is neither 0 nor 1"),
        (_set("samples/painted", 0, 1.5), "samples/painted is no share from 0 to 1"),
        (_set("samples/painted", 1, -0.1), "samples/painted is no share from 0 to 1"),
        (_set("samples/shape_index", 0, 1), "a sample's shape was made from another capture"),
        (_set("samples/seed", 0, 5), "samples/seed is not that of their names"),
        (
            _set("samples/sample_id", 0, "x/view+00+00/capture"),
            "sample 'x/view+00+00/capture' is of",
        ),
        (_twice, "a capture is in the dataset twice"),
        (_twice, "two samples have the same name"),
        (_donors("transform-0", "{nose"), "shape 0: donors are no JSON"),
        (_donors("transform-0", '["a"]'), "shape 0: donors are no table of captures"),
        (_donors("transform-0", "{}"), "shape 0: 'transform-0' has 0 donors"),
        (_donors("capture", '{"nose": "s0-0"}'), "shape 0: 'capture' has 1 donors"),
        (_donors("transform-0", '{"ear": "s0-0"}'), "'ear', which is no part of a face"),
        (_donors("transform-0", '{"nose": "s9-9"}'), "donor 's9-9' is no capture of the same"),
    ],
)
def test_wrong_content(dataset: Path, edit: Callable[[h5py.File], None], message: str) -> None:
    change(dataset, edit)
    found = problems(dataset)
    assert f"{SHARD}: " in found
    assert message in found


def test_a_subject_on_the_wrong_side(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    manifest["config"]["shards"]["split_salt"] = "other"
    rewrite(dataset, manifest)
    assert "split" in problems(dataset)


def test_a_rejected_capture_in_a_shard(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    with h5py.File(dataset / manifest["shards"][0]["file"], "r") as file:
        name = file["captures/capture_id"][0].decode()
    left_out = {"subject_id": "s", "quality": 0.1, "code": "by_hand", "message": ""}
    manifest["rejected"] = [{"capture_id": i, **left_out} for i in (name, "elsewhere")]
    rewrite(dataset, manifest)
    found = verify_dataset(dataset).problems
    assert len(found) == 1
    assert found[0].endswith(f"holds the rejected capture '{name}'")


def test_triangles_out_of_range(dataset: Path) -> None:
    with h5py.File(dataset / "topology.h5", "r+") as file:
        file["triangles"][0, 0] = 10**6
    manifest = read_manifest(dataset)
    (entry,) = (entry for entry in manifest["files"] if entry["file"] == "topology.h5")
    entry["sha256"] = file_sha256(dataset / "topology.h5")
    rewrite(dataset, manifest)
    found = problems(dataset)
    assert "topology.h5: a triangle names a vertex that does not exist" in found
    assert "topology.h5: topology hash differs" in found


def test_manifest_counts(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    manifest["splits"]["train"]["samples"] += 1
    rewrite(dataset, manifest)
    assert "manifest.json: train says" in problems(dataset)


def captures_of(dataset: Path, name: str) -> dict[str, str]:
    with h5py.File(dataset / name, "r") as file:
        ids = (file[f"captures/{kind}_id"].asstr()[()] for kind in ("capture", "subject"))
        return dict(zip(*ids, strict=True))


def test_parts_come_from_other_subjects_of_the_same_split(dataset: Path) -> None:
    mine = captures_of(dataset, SHARD)
    first_subject = next(iter(mine.values()))
    names = [s["file"] for s in read_manifest(dataset)["shards"]]
    everyone = {name: captures_of(dataset, name) for name in names}
    train = {c: s for name in names if name.startswith("train") for c, s in everyone[name].items()}
    other = next(c for c, s in train.items() if s != first_subject)
    change(dataset, _donors("transform-0", json.dumps({"nose": other})))
    assert verify_dataset(dataset).problems == ()
    same = next(c for c, s in train.items() if s == first_subject)
    change(dataset, _donors("transform-0", json.dumps({"nose": same})))
    assert f"subject '{first_subject}' is its own donor" in problems(dataset)
    test = next(c for name in names if name.startswith("test") for c in everyone[name])
    change(dataset, _donors("transform-0", json.dumps({"nose": test})))
    assert f"donor '{test}' is no capture of the same split" in problems(dataset)


def test_a_new_shape_in_the_test_split(dataset: Path) -> None:
    change(dataset, _donors("transform-0", '{"nose": "s9-9"}'), "test-00000.h5")
    assert "test-00000.h5: shape 0: 'transform-0' in the test split" in problems(dataset)
