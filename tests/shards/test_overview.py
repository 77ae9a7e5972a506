"""What is said of a dataset, counted by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from toy_parts import everything, write_toy_part

from fg3d_builder.shards.manifest import read_manifest
from fg3d_builder.shards.overview import overview

FAILED, REJECTED = [("a-1", "a"), ("z-0", "z")], [("b-0", "b")]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overview") / "dataset"
    return write_toy_part(folder, "abcd", test=0.3, salt="u", failed=FAILED, rejected=REJECTED)


def test_everything_is_counted(dataset: Path) -> None:
    about, samples = overview(dataset), everything(dataset)
    assert about["missing"] == []
    assert about["samples"] == len(samples)
    for split, counts in about["splits"].items():
        mine = [sample for sample in samples.values() if sample["split"] == split]
        captures = {sample["captures/capture_id"] for sample in mine}
        shapes = {(s["captures/capture_id"], s["shapes/shape_source"]) for s in mine}
        new = {shape for shape in shapes if shape[1] != b"capture"}
        subjects = {sample["captures/subject_id"] for sample in mine}
        assert counts == {
            "subjects": len(subjects),
            "captures": len(captures),
            "shapes": len(shapes),
            "new_shapes": len(new),
            "samples": len(mine),
        }
    assert about["views"] == dict.fromkeys(("view+00+00", "view+00-30"), len(samples) // 2)
    assert about["fits"] == {"detected": len(samples), "projected": 0}
    assert about["licences"] == {"CC0": about["captures"]}
    assert about["painted"]["highest"] == pytest.approx(0.3)
    qualities = [float(s["captures/quality"]) for s in samples.values()]
    assert about["quality"]["lowest"] == pytest.approx(min(qualities), abs=1e-4)
    assert about["failures"] == {"no_face": 2}
    assert about["rejected"] == {"low_quality": 1}
    assert about["facemodel"]["vertices"] == len(next(iter(samples.values()))["shapes/confidence"])


def test_sizes_are_those_on_the_disk(dataset: Path) -> None:
    about, samples = overview(dataset), everything(dataset)
    size = about["bytes"]
    names = [entry["file"] for entry in read_manifest(dataset)["shards"]]
    in_shards = sum((dataset / name).stat().st_size for name in names)
    assert size["images"] + size["shapes"] + size["rest"] == in_shards
    assert size["images"] == sum(len(sample["image"]) for sample in samples.values())
    shapes = {
        (s["captures/capture_id"], s["shapes/shape_source"]): s["shapes/shape_obj_mm"].nbytes
        for s in samples.values()
    }
    assert size["shapes"] > sum(shapes.values())
    beside = sum((dataset / name).stat().st_size for name in ("topology.h5", "facemodel.h5"))
    assert size["total"] == in_shards + beside
    assert size["a_sample"] == round(in_shards / len(samples))


def test_what_is_missing_is_named_and_not_counted(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "dataset")
    shards = read_manifest(dataset)["shards"]
    (tmp_path / "dataset" / shards[0]["file"]).unlink()
    about = overview(tmp_path / "dataset")
    assert about["missing"] == [shards[0]["file"]]
    assert about["samples"] == sum(shard["samples"] for shard in shards[1:])
