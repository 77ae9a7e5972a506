"""Samples as files: images as they were, and arrays and table that agree with the reader."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from toy_parts import everything, write_toy_part

from fg3d_builder.cli import main
from fg3d_builder.errors import ConfigError
from fg3d_builder.shards import folder_export
from fg3d_builder.shards.part import open_part
from fg3d_builder.shards.reader import ShardReader


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_part(tmp_path_factory.mktemp("export") / "dataset", "abcd", test=0.3, salt="u")


@pytest.fixture(scope="module")
def out(dataset: Path) -> Path:
    folder = dataset.parent / "files"
    assert main(["export", "images", str(dataset), "--out", str(folder)]) == 0
    return folder


def table(out: Path) -> list[dict[str, str]]:
    with (out / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def samples(dataset: Path) -> list[dict[str, Any]]:
    """All samples, in the order of the table."""
    readers = [ShardReader(dataset, split) for split in ("train", "test")]
    return [{**reader[i], "split": reader.split} for reader in readers for i in range(len(reader))]


def test_every_sample_has_its_line_and_files(dataset: Path, out: Path) -> None:
    rows, stored = table(out), everything(dataset)
    wanted = samples(dataset)
    assert len(rows) == len(wanted)
    for row, sample in zip(rows, wanted, strict=True):
        view = sample["sample_id"].split("/")[1]
        place = f"{sample['split']}/{sample['subject_id']}/{sample['capture_id']}"
        assert row["image"] == f"{place}/{view}.{sample['shape_source']}.png"
        assert (out / row["image"]).read_bytes() == stored[sample["sample_id"]]["image"]
        found, i = dict(np.load(out / row["arrays"])), int(row["row"])
        assert found["images"][i] == Path(row["image"]).name
        check_arrays(found, i, sample)
        check_line(row, sample)


def check_arrays(found: dict[str, Any], row: int, sample: dict[str, Any]) -> None:
    np.testing.assert_array_equal(found["shape_obj_mm"], sample["shape_obj_mm"])
    np.testing.assert_array_equal(found["confidence"].astype("f4") / 255, sample["confidence"])
    count = len(sample["confidence"])
    visible = np.unpackbits(found["visible"], axis=-1, count=count)[row].astype(bool)
    np.testing.assert_array_equal(visible, sample["visible"])
    for name in set(folder_export.OF_IMAGES) - {"visible"}:
        np.testing.assert_array_equal(found[name][row], sample[name], err_msg=name)


def check_line(row: dict[str, str], sample: dict[str, Any]) -> None:
    matrix = [[float(row["fx"]), float(row["skew"]), float(row["cx"])]]
    matrix += [[0.0, float(row["fy"]), float(row["cy"])], [0.0, 0.0, 1.0]]
    np.testing.assert_array_equal(matrix, sample["intrinsics"])
    rotation = [[float(row[f"r{i}{j}"]) for j in range(3)] for i in range(3)]
    np.testing.assert_array_equal(rotation, sample["rotation"])
    shift = [float(row[f"t{axis}_mm"]) for axis in "xyz"]
    np.testing.assert_array_equal(shift, sample["translation_mm"])
    angles = [float(row["pitch_deg"]), float(row["yaw_deg"])]
    np.testing.assert_array_equal(angles, sample["view_deg"])
    assert float(row["painted"]) == sample["painted"]
    assert row["licence"] == "CC0"


def test_nothing_else_is_there_but_what_is_said(dataset: Path, out: Path) -> None:
    rows = table(out)
    said = {row[kind] for row in rows for kind in ("image", "arrays")}
    beside = {"README.md", "contents.json", "facemodel.h5", "index.csv", "topology.npz"}
    there = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert there == said | beside
    with h5py.File(dataset / "topology.h5") as file:
        np.testing.assert_array_equal(np.load(out / "topology.npz")["triangles"], file["triangles"])


def test_the_page_says_how_to_read_it(
    dataset: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (out / "README.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(out)
    found: dict[str, Any] = {}
    exec(code, found)
    first = samples(dataset)[0]
    np.testing.assert_array_equal(found["shape"], first["shape_obj_mm"])
    np.testing.assert_array_equal(found["rotation"], first["rotation"])


def test_an_interrupted_export_goes_on(
    dataset: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    archive = folder_export.npz_bytes

    def some(arrays: Any) -> bytes:
        made.append(Path())
        if len(made) == 4:
            raise KeyboardInterrupt
        return archive(arrays)

    monkeypatch.setattr(folder_export, "npz_bytes", some)
    words = ["export", "images", str(dataset), "--out", str(tmp_path / "out")]
    assert main(words) == 130
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    assert main(words) == 0
    files = {path.relative_to(out): path for path in out.rglob("*") if path.is_file()}
    again = tmp_path / "out"
    assert {p.relative_to(again) for p in again.rglob("*") if p.is_file()} == set(files)
    for inside, path in files.items():
        assert (again / inside).read_bytes() == path.read_bytes(), inside


@pytest.mark.parametrize("name", ["../c", "a/b", ".hidden", ".."])
def test_files_stay_within_the_folder(tmp_path: Path, name: str) -> None:
    part = open_part(write_toy_part(tmp_path / "dataset", [name], captures=1), "whole")
    with pytest.raises(ConfigError, match="is no name for a folder"):
        folder_export.export_folder(part, tmp_path / "out", ("train",))
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "c").exists()
