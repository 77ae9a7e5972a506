"""What a folder holds: captures, scans, both, neither."""

from __future__ import annotations

from pathlib import Path

import pytest
import trimesh

from fg3d_builder.captures import open_source
from fg3d_builder.captures.recognition import Found, contents, is_capture, recognise
from fg3d_builder.errors import ConfigError
from fg3d_builder.wording import counted


def capture(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names or ("capture.json", "color.png", "depth.png"):
        (folder / name).touch()
    return folder


def scan(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box().export(path)


def test_a_folder_of_captures(tmp_path: Path) -> None:
    for name in ("b", "a"):
        capture(tmp_path / name)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").touch()
    assert recognise(tmp_path) == [Found("folder", tmp_path, ("a", "b"), True, {})]
    (found,) = recognise(tmp_path)
    assert found.says == "2 captures"
    assert found.include == ("*",)
    assert [e.capture_id for e in open_source(found.source()).entries()] == ["a", "b"]


def test_a_capture_alone_and_an_incomplete_one(tmp_path: Path) -> None:
    own, broken = capture(tmp_path / "own[1]"), capture(tmp_path / "broken", "depth.npy")
    assert is_capture(broken)
    (found,) = recognise(own)
    assert (found.root, found.names, found.everything) == (tmp_path, ("own[1]",), False)
    assert len(open_source(found.source()).entries()) == 1


def test_scans_by_suffix(tmp_path: Path) -> None:
    scan(tmp_path / "anna/mesh.obj")
    scan(tmp_path / "bert/mesh.ply")
    scan(tmp_path / "carl.glb")
    (found,) = recognise(tmp_path)
    assert found.kind == "scan"
    assert found.names == ("anna", "bert", "carl")
    assert found.says == "3 scans (1 .glb, 1 .obj, 1 .ply)"
    assert len(open_source(found.source()).entries()) == 3


def test_captures_and_scans_side_by_side_are_told_apart(tmp_path: Path) -> None:
    capture(tmp_path / "anna-1")
    scan(tmp_path / "anna-scan/mesh.obj")
    scan(tmp_path / "reference.ply")
    captures, scans = recognise(tmp_path)
    assert (captures.names, captures.include) == (("anna-1",), ("anna-1",))
    assert captures.left_out == ("reference.ply",)
    assert (scans.names, scans.include) == (("anna-scan",), ("anna-scan",))
    for found in (captures, scans):
        assert len(open_source(found.source()).entries()) == 1


def test_folders_within_folders(tmp_path: Path) -> None:
    capture(tmp_path / "monday/anna")
    capture(tmp_path / "tuesday/late/bert")
    capture(tmp_path / "too/deep/down/there/carl")
    assert [f.root.name for f in recognise(tmp_path)] == ["monday", "late"]


def test_what_is_neither(tmp_path: Path) -> None:
    assert recognise(tmp_path) == []
    assert contents(tmp_path) == "nothing"
    for name in ("a.jpg", "b.JPG", "c.txt", "README"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(
        ConfigError, match=r"holds 2 \.jpg, .*; as portrait: .*a\.jpg: not an image"
    ):
        recognise(tmp_path)
    assert contents(tmp_path) == "2 .jpg, 1 .txt, 1 without suffix, 1 folder"
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    assert contents(tmp_path).endswith("1 folder, 1 link to folders, which are not followed")
    with pytest.raises(NotADirectoryError):
        recognise(tmp_path / "c.txt")


@pytest.mark.parametrize(("count", "said"), [(0, "0 scans"), (1, "1 scan"), (2000, "2,000 scans")])
def test_counts(count: int, said: str) -> None:
    assert counted(count, "scan") == said
