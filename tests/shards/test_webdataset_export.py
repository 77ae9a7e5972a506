"""Tars for WebDataset: what its reader finds in them is what ours finds in the dataset."""

from __future__ import annotations

import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from toy_parts import write_toy_part

from fg3d_builder.cli import main
from fg3d_builder.facemodel.storage import load_model, save_model
from fg3d_builder.files.encoding import decode_image
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.files.sealed_object import read_sealed_object
from fg3d_builder.shards import webdataset_export
from fg3d_builder.shards.reader import ShardReader
from fg3d_builder.shards.sample_source import ARRAYS, COMPUTED_ARRAYS

EVERYTHING = ("--fields", ",".join(ARRAYS))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_part(tmp_path_factory.mktemp("export") / "dataset", "abcd", test=0.3, salt="u")


def export(dataset: Path, out: Path, *more: str) -> int:
    return main(["export", "webdataset", str(dataset), "--out", str(out), *more])


def read(out: Path, split: str) -> list[dict[str, Any]]:
    """All samples of a split, as the package webdataset hands them out."""
    tars = [str(path) for path in sorted(out.glob(f"{split}-*.tar"))]
    return list(webdataset.WebDataset(tars, shardshuffle=False, empty_check=False).decode())


def check(found: dict[str, Any], reader: ShardReader, arrays: tuple[str, ...]) -> None:
    """Hold a sample of a tar against the same sample of the reader, field by field."""
    about = found["json"]
    wanted = dict(reader[int(found["__key__"])])
    assert about["number"] == int(found["__key__"])
    np.testing.assert_array_equal(
        decode_image(np.frombuffer(found["png"], np.uint8)), wanted["image"]
    )
    for name in set(about) & set(wanted):
        np.testing.assert_array_equal(np.asarray(about[name]), wanted[name], err_msg=name)
        if isinstance(wanted[name], np.ndarray):
            again = np.array(about[name], wanted[name].dtype)
            assert again.tobytes() == wanted[name].tobytes(), name
    loaded = found["npz"] if arrays else {}
    count = len(wanted["confidence"])
    for name in arrays:
        value = loaded[name]
        if name == "confidence":
            value = value.astype(np.float32) / 255
        if name == "visible":
            value = np.unpackbits(value, count=count).astype(bool)
        if name in wanted and name not in COMPUTED_ARRAYS:
            np.testing.assert_array_equal(value, wanted[name], err_msg=name)
    if "coarse_obj_mm" in arrays:
        model = load_model(reader.folder / "facemodel.h5")
        coarse = model.shape(loaded["alpha_id"], loaded["alpha_exp"]).astype(np.float32)
        np.testing.assert_array_equal(loaded["coarse_obj_mm"], coarse)
        np.testing.assert_array_equal(loaded["delta_obj_mm"], loaded["shape_obj_mm"] - coarse)


@pytest.mark.parametrize("split", ["train", "test"])
def test_what_is_in_the_tars_is_what_the_reader_has(
    dataset: Path, tmp_path: Path, split: str
) -> None:
    out = tmp_path / "out"
    assert export(dataset, out, *EVERYTHING, "--shard-mb", "0.5") == 0
    reader, found = ShardReader(dataset, split), read(out, split)
    assert [int(sample["__key__"]) for sample in found] == list(range(len(reader)))
    for sample in found:
        assert {name for name in sample if not name.startswith("__")} == {"png", "json", "npz"}
        check(sample, reader, ARRAYS)
    assert not list(out.glob("*.npy"))


def test_shapes_stand_once_beside_the_tars(dataset: Path, tmp_path: Path) -> None:
    assert export(dataset, tmp_path / "out") == 0
    reader = ShardReader(dataset, "train")
    shapes = np.load(tmp_path / "out/train-shape_obj_mm.npy", mmap_mode="r")
    confidence = np.load(tmp_path / "out/train-confidence.npy", mmap_mode="r")
    found = read(tmp_path / "out", "train")
    assert len(shapes) == len(confidence) == len({sample["json"]["shape"] for sample in found})
    for sample in found:
        wanted = reader[int(sample["__key__"])]
        np.testing.assert_array_equal(shapes[sample["json"]["shape"]], wanted["shape_obj_mm"])
        grey = confidence[sample["json"]["shape"]].astype(np.float32) / 255
        np.testing.assert_array_equal(grey, wanted["confidence"])
        assert set(sample["npz"]) == {
            "alpha_id",
            "alpha_exp",
            "initial_alpha_id",
            "initial_alpha_exp",
        }


def test_a_mixed_order_is_a_permutation_that_stays(dataset: Path, tmp_path: Path) -> None:
    assert export(dataset, tmp_path / "a", "--mixed", "--fields", "none") == 0
    found = read(tmp_path / "a", "train")
    reader = ShardReader(dataset, "train")
    numbers = [int(sample["__key__"]) for sample in found]
    assert sorted(numbers) == list(range(len(reader)))
    assert numbers != sorted(numbers)
    seeds = [sample["json"]["seed"] for sample in found]
    assert seeds == sorted(seeds)
    for sample in found:
        check(sample, reader, ())


def test_equal_datasets_give_equal_bytes(dataset: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert export(dataset, tmp_path / name, "--shard-mb", "0.1") == 0
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "b").iterdir())
    for name in files:
        assert file_sha256(tmp_path / "a" / name) == file_sha256(tmp_path / "b" / name), name
    tars = read_sealed_object(tmp_path / "a/contents.json")["files"]
    assert len([tar for tar in tars if tar["split"] == "train"]) > 1
    for tar in tars:
        path = tmp_path / "a" / tar["file"]
        assert (path.stat().st_size, file_sha256(path)) == (tar["bytes"], tar["sha256"])
        assert path.stat().st_size < 0.15e6  # "about"; the samples of a tar are counted
        with tarfile.open(path) as file:
            assert {(m.mtime, m.uid, m.mode) for m in file.getmembers()} == {(0, 0, 0o644)}


def test_the_page_beside_them_says_how_to_read_them(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert export(dataset, tmp_path / "out", "--shard-mb", "0.1") == 0
    page = (tmp_path / "out/README.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path / "out")
    found: dict[str, Any] = {}
    exec(code, found)
    reader = ShardReader(dataset, "train")
    last = reader[len(reader) - 1]
    np.testing.assert_array_equal(found["image"], last["image"])
    np.testing.assert_array_equal(found["shape"], last["shape_obj_mm"])
    assert "| `rotation` |" in page
    assert "captures: CC0" in page
    assert (tmp_path / "out/facemodel.h5").read_bytes() == (dataset / "facemodel.h5").read_bytes()


def test_an_interrupted_export_goes_on(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    make = webdataset_export.replacing

    def some(path: Path) -> Any:
        if path.suffix == ".tar" and len(written) == 2:
            raise KeyboardInterrupt
        written.append(path.name)
        return make(path)

    monkeypatch.setattr(webdataset_export, "replacing", some)
    words = ("--fields", ",".join(ARRAYS), "--shard-mb", "0.1")
    assert export(dataset, tmp_path / "out", *words) == 130
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(webdataset_export, "replacing", make)
    times = {p: os.stat(p).st_mtime_ns for p in tmp_path.rglob("*.tar")}
    assert len(times) == 2
    assert export(dataset, tmp_path / "out", *words) == 0
    assert {os.stat(tmp_path / "out" / p.name).st_mtime_ns for p in times} == set(times.values())
    assert export(dataset, tmp_path / "again", *words) == 0
    for path in (tmp_path / "again").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()


def test_what_cannot_be_is_told(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(dataset, tmp_path / "out", "--fields", "shape_mm") == 2
    said = capsys.readouterr().err
    assert "'shape_mm': expected none, or some of alpha_id" in said
    assert export(dataset, tmp_path / "out", "--split", "val") == 2
    assert "--split val" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert export(dataset, tmp_path / "out", "--split", "test") == 0
    assert {path.name[:4] for path in (tmp_path / "out").glob("*.tar")} == {"test"}
    capsys.readouterr()
    assert export(dataset, tmp_path / "out", "--split", "test") == 0
    assert "is there already" in capsys.readouterr().out
    assert export(dataset, tmp_path / "out") == 2
    assert "holds files already" in capsys.readouterr().err
    tar = next((tmp_path / "out").glob("*.tar"))
    for spoil in (lambda: os.truncate(tar, 512), tar.unlink):
        spoil()
        assert export(dataset, tmp_path / "out", "--split", "test") == 2
        assert "holds files already" in capsys.readouterr().err


def test_coarse_shapes_are_never_those_of_another_model(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, other = dataset / "facemodel.h5", tmp_path / "other.h5"
    model = load_model(own)
    save_model(replace(model, id_basis=2 * model.id_basis), other)
    words = ("--split", "test", "--fields", "coarse_obj_mm")
    assert export(dataset, tmp_path / "out", *words, "--model-file", str(other)) == 2
    assert "other.h5 is not the face model file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert export(dataset, tmp_path / "out", *words, "--model-file", str(own)) == 0


def test_a_damaged_dataset_is_not_handed_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_toy_part(tmp_path / "dataset", "ab", captures=1)
    path = dataset / "train-00000.h5"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))
    for action in ("webdataset", "images"):
        assert main(["export", action, str(dataset), "--out", str(tmp_path / "out")]) == 2
        assert f"{path}: SHA-256 differs" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
