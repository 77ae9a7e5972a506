"""A lean build keeps what people use, and makes the rest again where that is needed."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
from test_build import build as build_fully
from test_build import content
from toy_build import write_toy_build

from fg3d_builder.config import load_preset
from fg3d_builder.layout import CHUNK_STAGES
from fg3d_builder.shards.manifest import read_manifest
from fg3d_builder.shards.verify import verify_dataset
from fg3d_builder.tasks import cleaning
from fg3d_builder.tasks.build import BuildFG3D
from fg3d_builder.tasks.chunk_tasks import DROPPED_SUFFIX
from fg3d_builder.tasks.progress import kept_line

SUBJECTS = 7
"""So many that training subjects take parts of each other."""


def preset_of(folder: Path, lean: bool, **replaced: str) -> Path:
    text = (folder / "toy.toml").read_text()
    for old, new in replaced.items():
        assert f"\n{old} = " in text
        text = "\n".join(
            f"{old} = {new}" if line.startswith(f"{old} = ") else line for line in text.split("\n")
        )
    path = folder / f"preset-{len(list(folder.glob('preset-*')))}.toml"
    path.write_text(f"lean = true\n{text}" if lean else text)
    return path


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a preset, a full build in ``full`` and a lean one in ``lean``."""
    folder = tmp_path_factory.mktemp("lean")
    preset = write_toy_build(folder, subjects=SUBJECTS, captures=1, shapes=1)
    text = preset.read_text().replace("test_fraction = 0.4", "test_fraction = 0.2")
    preset.write_text(text.replace('split_salt = "toy"', 'split_salt = "b"'))  # one is for testing
    assert build_fully(preset_of(folder, lean=False), folder / "full")
    assert build_fully(preset_of(folder, lean=True), folder / "lean")
    return folder


@pytest.fixture
def out(toy: Path, tmp_path: Path) -> Path:
    """A copy of the lean build."""
    ignored = shutil.ignore_patterns("build.lock")
    shutil.copytree(toy / "lean", tmp_path / "out", symlinks=True, ignore=ignored)
    return tmp_path / "out"


def products(out: Path) -> list[Path]:
    stages = (*CHUNK_STAGES, "transform")
    return [file for stage in stages for file in out.glob(f"work/{stage}-*/*.product")]


def same_shards(one: Path, other: Path) -> bool:
    """Whether two datasets have the same content; the settings of one say that it was lean."""
    found, wanted = content(one), content(other)
    for files in (found, wanted):
        files.pop("manifest.json")
    contents = [read_manifest(dataset)["content_sha256"] for dataset in (one, other)]
    return found == wanted and contents[0] == contents[1]


def test_a_lean_build_leaves_the_same_dataset_and_no_products(toy: Path) -> None:
    assert same_shards(toy / "lean/dataset", toy / "full/dataset")
    assert verify_dataset(toy / "lean/dataset").problems == ()
    assert products(toy / "lean") == []
    dropped = list((toy / "lean").glob(f"work/*/*{DROPPED_SUFFIX}"))
    assert len(dropped) == len(products(toy / "full")) > 0
    shown = {file.name for file in (toy / "lean/report/pictures").iterdir()}
    assert shown == {file.name for file in (toy / "full/report/pictures").iterdir()}


@pytest.mark.parametrize("noted", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_complete_lean_build_has_nothing_to_do(
    toy: Path, out: Path, noted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if not noted:
        next((out / "work").glob("complete-*.json")).unlink()
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.h5")}
    with caplog.at_level(logging.INFO, logger="fg3d"):
        assert build_fully(preset_of(toy, lean=True), out)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.h5")} == before
    assert "needed again" not in caplog.text


def test_what_is_missing_is_made_from_the_captures(
    toy: Path, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the shard's chunks alone; a build that was stopped goes on like this, too."""
    (out / "dataset/test-00000.h5").unlink()
    (out / "dataset/manifest.json").unlink()
    kept = {p: p.stat().st_mtime_ns for p in (out / "dataset").resolve().glob("train-*.h5")}
    with caplog.at_level(logging.WARNING, logger="fg3d"):
        assert build_fully(preset_of(toy, lean=True), out)
    assert "chunks were dropped by a lean build and are needed again" in caplog.text
    assert same_shards(out / "dataset", toy / "full/dataset")
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert products(out) == []


@pytest.mark.slow
def test_another_setting_starts_from_the_captures(
    toy: Path, out: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="fg3d"):
        assert build_fully(preset_of(toy, lean=True, image_size="48"), out)
    assert "these start from their captures" in caplog.text
    assert build_fully(preset_of(toy, lean=False, image_size="48"), tmp_path / "full")
    assert same_shards(out / "dataset", tmp_path / "full/dataset")
    assert products(out) == []


@pytest.mark.slow
def test_another_verdict_starts_from_the_captures(toy: Path, out: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    ignored = shutil.ignore_patterns("build.lock")
    shutil.copytree(toy / "full", full, symlinks=True, ignore=ignored)
    for folder in (out, full):
        listed = (folder / "review.csv").read_text().replace("s1-0,auto", "s1-0,reject")
        (folder / "review.csv").write_text(listed)
    assert build_fully(preset_of(toy, lean=True), out)
    assert build_fully(preset_of(toy, lean=False), full)
    rejected = [row["capture_id"] for row in read_manifest(out / "dataset")["rejected"]]
    assert rejected == ["s1-0"]
    assert same_shards(out / "dataset", full / "dataset")
    assert products(out) == []


def test_what_was_dropped_counts_as_done_and_is_not_cleaned_up(toy: Path, out: Path) -> None:
    task = BuildFG3D(preset=str(preset_of(toy, lean=True)), out=str(out))
    assert f"registered {SUBJECTS}" in kept_line(task.layout, task.index)
    layouts = cleaning.layouts_of(out)
    assert cleaning.unneeded(out, layouts) == []


@pytest.mark.slow
def test_a_full_build_in_the_folder_of_a_lean_one_needs_no_products_either(
    toy: Path, out: Path
) -> None:
    assert build_fully(preset_of(toy, lean=False), out)
    assert products(out) == []
    assert same_shards(out / "dataset", toy / "full/dataset")


@pytest.mark.slow
def test_full_products_go_when_a_build_becomes_lean(toy: Path, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("build.lock")
    shutil.copytree(toy / "full", tmp_path / "out", symlinks=True, ignore=ignored)
    assert build_fully(preset_of(toy, lean=True), tmp_path / "out")
    assert products(tmp_path / "out") == []
    assert same_shards(tmp_path / "out/dataset", toy / "full/dataset")
    assert not load_preset(toy / "toy.toml").lean
