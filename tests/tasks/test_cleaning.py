"""What is removed from a build's folder, and what never is."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from pathlib import Path
from typing import NoReturn

import pytest
from test_build import build, content
from toy_build import write_toy_build

from fg3d_builder.cli import main
from fg3d_builder.files.atomic import write_json
from fg3d_builder.files.locks import release
from fg3d_builder.files.sealed import read_sealed_json, write_sealed_json
from fg3d_builder.shards.manifest import read_manifest
from fg3d_builder.tasks import cleaning


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a preset, and a build of it in ``whole``."""
    folder = tmp_path_factory.mktemp("clean")
    preset = write_toy_build(folder, subjects=3, captures=1)
    assert build(preset, folder / "whole")
    release(folder / "whole/build.lock", os.getpid())
    return folder


def copy_of(toy: Path, out: Path) -> Path:
    shutil.copytree(toy / "whole", out, symlinks=True)
    return out


def clean(out: Path, *more: str) -> int:
    status = main(["clean", "--root", str(out), *more])
    release(out / "build.lock", os.getpid())
    return status


def files(out: Path) -> set[str]:
    return {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}


def test_of_one_current_dataset_nothing_is_removed(toy: Path, tmp_path: Path) -> None:
    out = copy_of(toy, tmp_path / "out")
    before = files(out)
    assert clean(out) == 0
    assert files(out) == before


def test_products_of_old_settings_and_leavings_go(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copy_of(toy, tmp_path / "out")
    before = files(out)
    changed = toy / "changed.toml"
    text = (toy / "toy.toml").read_text()
    changed.write_text(text.replace("image_size = 64", "image_size = 48"))
    assert build(changed, out)
    release(out / "build.lock", os.getpid())
    (out / "notes.txt").write_text("mine")
    (out / "work/plan-x.json.damaged").write_text("set aside")
    dead = f".plan-x.json.{socket.gethostname()}.999999999.part"
    (out / "work" / dead).write_text("half")
    everything = files(out)
    assert clean(out, "--preset", str(toy / "toy.toml"), "--dry-run") == 0
    assert files(out) == everything
    assert "would remove" in capsys.readouterr().out
    # The dataset that the link points at is the changed one's: it is kept, what is shared too.
    assert clean(out) == 0
    assert not list(out.glob("work/*.damaged"))
    assert not (out / "work" / dead).exists()
    assert "notes.txt" in files(out)
    kept = content(out / "dataset")
    assert len(list(out.glob("dataset-*"))) == 1
    assert build(changed, out)
    assert content(out / "dataset") == kept
    assert len(list(out.glob("work/registration-*"))) == 1
    assert not before <= files(out)


def test_all_of_a_withdrawn_subject_goes(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sources"
    shutil.copytree(toy / "captures", folder / "captures")
    shutil.copy(toy / "model.h5", folder / "model.h5")
    preset = folder / "toy.toml"
    shutil.copy(toy / "toy.toml", preset)
    out = tmp_path / "out"
    assert build(preset, out)
    release(out / "build.lock", os.getpid())
    assert clean(out, "--subject", "s1") == 0
    said = capsys.readouterr().out
    assert "dataset-" in said
    assert "review list: 1 rows taken out" in said
    for file in out.rglob("*"):
        if file.is_file():
            assert b"s1-0" not in file.read_bytes(), file
            assert "s1-0" not in file.name
    assert not (out / "dataset").exists()
    shutil.rmtree(folder / "captures/s1-0")
    assert build(preset, out)
    splits = read_manifest(out / "dataset")["splits"]
    assert sorted(s for part in splits.values() for s in part["subjects"]) == ["s0", "s2"]


def test_a_subject_that_left_the_sources_first_goes_as_well(toy: Path, tmp_path: Path) -> None:
    """The build that follows lists other captures; the products of the old ones are still there."""
    folder = tmp_path / "sources"
    shutil.copytree(toy / "captures", folder / "captures")
    shutil.copy(toy / "model.h5", folder / "model.h5")
    preset = shutil.copy(toy / "toy.toml", folder / "toy.toml")
    out = tmp_path / "out"
    assert build(preset, out)
    shutil.rmtree(folder / "captures/s1-0")
    assert build(preset, out)
    assert list(out.rglob("*s1-0*"))
    before = content(out / "dataset")
    facts = sorted((out / "work").glob("captures-*/*.json"))
    facts[0].with_name(f"{facts[0].name}.damaged").write_text("of anyone")
    release(out / "build.lock", os.getpid())
    assert clean(out, "--subject", " s1 ") == 0
    for file in out.rglob("*"):
        if file.is_file():
            assert b"s1-0" not in file.read_bytes(), file
            assert "s1-0" not in file.name
            assert not file.name.endswith(".damaged")
    assert content(out / "dataset") == before


def test_old_products_of_unknown_captures_go_with_any_withdrawn_one(
    toy: Path, tmp_path: Path
) -> None:
    out = copy_of(toy, tmp_path / "out")
    (product,) = (p for p in out.glob("work/captures-*/*.product") if b"s1-0" in p.read_bytes())
    old = product.with_name("chunk-all-0123456789ab.product")
    shutil.copy(product, old)
    others = {p for p in out.glob("work/captures-*/*.product") if b"s0-0" not in p.read_bytes()} - {
        old
    }
    assert clean(out, "--capture", "s0-0") == 0
    assert set(out.glob("work/captures-*/*.product")) == others


def test_names_are_found_as_json_writes_them(tmp_path: Path) -> None:
    for name in ('Anna "Nan" Lee', "back\\slash", "Zoë"):
        dataset = tmp_path / "dataset-0123456789ab"
        write_json(dataset / "manifest.json", {"subjects": [name]})
        assert cleaning.files_of(tmp_path, [], [name]) == [dataset]
        assert cleaning.files_of(tmp_path, [], [name[:-1]]) == []


def test_folders_of_a_person_and_settings_of_another_version(toy: Path, tmp_path: Path) -> None:
    out = copy_of(toy, tmp_path / "out")
    shutil.copytree((out / "dataset").resolve(), out / "dataset-handed-on")
    (frozen,) = out.glob("work/config-*.json")
    table = read_sealed_json(frozen)
    table["config"]["of_old"] = 1
    old = frozen.with_name("config-0123456789ab.json")
    write_sealed_json(old, table)
    before = files(out)
    assert clean(out) == 0
    assert before - files(out) == {str(old.relative_to(out))}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--subject", "S1"], '--subject "S1": {out} holds nothing of it; did you mean "s1"?'),
        (["--capture", "s10"], '--capture "s10": {out} holds nothing of it; did you mean "s1-0"?'),
        (["--subject", "s1", "--capture", "nobody"], '--capture "nobody": {out} holds nothing'),
        (["--subject", "somebody", "--dry-run"], '--subject "somebody": {out} holds nothing of it'),
    ],
)
def test_who_is_not_there_cannot_be_withdrawn(
    words: list[str], said: str, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is removed, and nobody believes that somebody was: an id may be misspelt."""
    out = copy_of(toy, tmp_path / "out")
    before = files(out)
    assert clean(out, *words) == 2
    assert said.format(out=out) in capsys.readouterr().err
    assert files(out) == before


def test_a_running_build_is_left_alone(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copy_of(toy, tmp_path / "out")
    before = files(out)
    (out / "build.lock").write_text('{"host": "elsewhere", "pid": "1", "start": "1"}')
    assert clean(out) == 2
    assert "elsewhere" in capsys.readouterr().err
    assert clean(out, "--dry-run") == 2
    assert "elsewhere" in capsys.readouterr().err
    assert files(out) == before | {"build.lock"}


def test_a_full_disk_can_be_cleaned_and_a_look_writes_nothing(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copy_of(toy, tmp_path / "out")
    (out / "work/plan-x.json.damaged").write_text("set aside")

    def full(path: Path, *_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = files(out)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        assert clean(out, "--dry-run") == 0
        assert files(out) == before
        assert clean(out) == 0
    assert files(out) == before - {"work/plan-x.json.damaged"}
    (out / "build.lock").write_text('{"host": "elsewhere", "pid": "1", "start": "1"}')
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        assert clean(out) == 2


def test_another_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dataset-of-mine").mkdir()
    assert clean(tmp_path) == 2
    assert "is no folder of a build" in capsys.readouterr().err
    assert main(["clean"]) == 2
    assert (tmp_path / "dataset-of-mine").is_dir()
