"""A build that finds something missing or damaged makes it again, by itself, in the same run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_build import build, content
from toy_build import write_toy_build

from fg3d_builder.files.sealed import read_sealed_json, write_sealed_json
from fg3d_builder.layout import CHUNK_STAGES
from fg3d_builder.tasks import report_tasks


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a preset, and a build of it in ``whole``."""
    folder = tmp_path_factory.mktemp("repair")
    preset = write_toy_build(folder, subjects=3, captures=1)
    assert build(preset, folder / "whole")
    return folder


def copy_of(toy: Path, out: Path) -> Path:
    shutil.copytree(toy / "whole", out, symlinks=True, ignore=shutil.ignore_patterns("build.lock"))
    return out


def flip(file: Path) -> None:
    """Change one bit in the middle of a file's content."""
    data = bytearray(file.read_bytes())
    data[len(data) * 3 // 4] ^= 1
    file.write_bytes(data)


def shard(out: Path) -> Path:
    return sorted((out / "dataset").resolve().glob("train-*.h5"))[0]


@pytest.mark.parametrize("stage", CHUNK_STAGES)
def test_an_early_product_is_made_again_where_later_ones_are_there(
    toy: Path, tmp_path: Path, stage: str
) -> None:
    """Damaged where a sample needs it, in every chunk; found when the shard is written."""
    out = copy_of(toy, tmp_path / "out")
    for product in out.glob(f"work/{stage}-*/*.product"):
        flip(product)
    shard(out).unlink()
    assert build(toy / "toy.toml", out)
    assert content(out / "dataset") == content(toy / "whole/dataset")


@pytest.mark.parametrize("stage", ["captures", "registration"])
def test_a_missing_early_product_is_made_again(toy: Path, tmp_path: Path, stage: str) -> None:
    out = copy_of(toy, tmp_path / "out")
    for product in out.glob(f"work/{stage}-*/*.product"):
        product.unlink()
    shard(out).unlink()
    assert build(toy / "toy.toml", out)
    assert content(out / "dataset") == content(toy / "whole/dataset")


def test_every_file_in_work_may_be_damaged_at_once(toy: Path, tmp_path: Path) -> None:
    out = copy_of(toy, tmp_path / "out")
    for file in (out / "work").rglob("*.*"):
        flip(file)
    shard(out).write_bytes(shard(out).read_bytes()[:-1])
    assert build(toy / "toy.toml", out)
    assert content(out / "dataset") == content(toy / "whole/dataset")


ANOTHER_VERSIONS: dict[str, Callable[[Any], Any]] = {
    "complete-*": lambda table: {**table, "new": 1},
    "index-*": lambda rows: [{k: v for k, v in row.items() if k != "keys"} for row in rows],
    "decisions-*": lambda table: {k: v for k, v in table.items() if k != "accepted"},
    "plan-*": lambda table: list(table),
    "draws-*": lambda table: {**table, "new": 1},
    "captures-*/*": lambda table: {k: v for k, v in table.items() if k != "seconds"},
    "registration-*/*": lambda t: {**t, "members": [{**m, "new": 1} for m in t["members"]]},
}
"""Files whose fields are not those that this version writes."""


def test_what_another_version_wrote_is_made_again(toy: Path, tmp_path: Path) -> None:
    out = copy_of(toy, tmp_path / "out")
    changed: dict[Path, Any] = {}
    for pattern, change in ANOTHER_VERSIONS.items():
        for file in (out / "work").glob(f"{pattern}.json"):
            changed[file] = read_sealed_json(file, within(file))
            write_sealed_json(file, change(changed[file]), within(file))
    shard(out).unlink()
    assert build(toy / "toy.toml", out)
    assert content(out / "dataset") == content(toy / "whole/dataset")
    for file, before in changed.items():
        after = read_sealed_json(file, within(file))
        assert set(after) == set(before) if isinstance(before, dict) else after == before


def within(file: Path) -> str:
    """What the seal of a JSON file covers besides its name."""
    return "" if file.parent.name == "work" else file.parent.name


@pytest.mark.parametrize("name", ["topology.h5", "facemodel.h5", "manifest.json", "a shard"])
def test_a_missing_file_of_the_dataset_is_made_again_and_nothing_else(
    toy: Path, tmp_path: Path, name: str
) -> None:
    out = copy_of(toy, tmp_path / "out")
    made = [p for p in (out / "work").rglob("*") if p.suffix in (".h5", ".product")]
    kept = {p: p.stat().st_mtime_ns for p in made}
    file = shard(out) if name == "a shard" else out / "dataset" / name
    file.unlink()
    assert build(toy / "toy.toml", out)
    assert content(out / "dataset") == content(toy / "whole/dataset")
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


def test_a_picture_of_the_report_is_made_again(toy: Path, tmp_path: Path) -> None:
    out = copy_of(toy, tmp_path / "out")
    picture = out / "report/pictures/s1-0.jpg"
    picture.unlink()
    assert build(toy / "toy.toml", out)
    assert picture.read_bytes() == (toy / "whole/report/pictures/s1-0.jpg").read_bytes()


def test_of_many_captures_those_of_the_lowest_quality_have_a_sheet(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copy_of(toy, tmp_path / "out")
    (decisions,) = (out / "work").glob("decisions-*.json")
    qualities = read_sealed_json(decisions)["qualities"]
    lowest = sorted(qualities, key=lambda name: (qualities[name], name))[:2]
    for file in (*out.glob("report/pictures/s?-?.jpg"), *out.glob("report/meshes/*")):
        file.unlink()
    monkeypatch.setattr(report_tasks, "DRAWN", 2)
    assert build(toy / "toy.toml", out)
    pictures = {file.stem for file in (out / "report/pictures").glob("s?-?.jpg")}
    assert pictures == set(lowest)
    assert {file.stem for file in (out / "report/meshes").iterdir()} == set(lowest)
    page = (out / "report/captures-0001.html").read_text()
    assert {name for name in qualities if f'href="pictures/{name}.jpg"' in page} == set(lowest)
    assert {name for name in qualities if f'href="meshes/{name}.glb"' in page} == set(lowest)
    assert "the 2 of 3 captures with the lowest quality" in " ".join(page.split())


@pytest.mark.parametrize("name", ["index.html", "captures-0001.html", "search-index.js"])
@pytest.mark.parametrize("how", ["gone", "cut"])
def test_a_page_of_the_report_is_made_again(toy: Path, tmp_path: Path, name: str, how: str) -> None:
    out = copy_of(toy, tmp_path / "out")
    page, old = out / "report" / name, out / "report/failures-no-such-0001.html"
    whole, made = page.read_text(), (out / "report/search.html").read_text()
    own = out / "report/notes.html"
    own.write_text("a person's notes")
    old.write_text(made)  # of a report of other captures
    page.unlink() if how == "gone" else page.write_text(whole[:-200])
    assert build(toy / "toy.toml", out)
    again = page.read_text()
    assert again == whole or (name == "index.html" and len(again) > 0.9 * len(whole))
    assert not old.exists()
    assert own.exists()


def test_a_mesh_of_the_report_is_made_again(toy: Path, tmp_path: Path) -> None:
    out = copy_of(toy, tmp_path / "out")
    mesh = out / "report/meshes/s1-0.glb"
    mesh.unlink()
    assert build(toy / "toy.toml", out)
    assert mesh.read_bytes() == (toy / "whole/report/meshes/s1-0.glb").read_bytes()
