"""Which layout a folder follows: by names, the special before the general, never by a guess."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_layouts import TOY, TOY_SCANS, write_frame, write_scan

from fg3d_builder.captures import make_capture
from fg3d_builder.captures.layout_search import search
from fg3d_builder.captures.layouts import known
from fg3d_builder.captures.layouts.layout import Frame, Item, Layout
from fg3d_builder.captures.recognition import recognise
from fg3d_builder.errors import CaptureError, ConfigError


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    for layout in (TOY, TOY_SCANS):
        monkeypatch.setitem(known.LAYOUTS, layout.kind, layout)


def test_frames_are_recognised_where_they_lie(tmp_path: Path) -> None:
    for name in ("P01_smile_000.toy", "P01_smile_001.toy", "P02_smile_000.toy", "notes.toy"):
        write_frame(tmp_path / "a" / "b", name)
    (found,) = recognise(tmp_path)
    assert (found.kind, found.root) == ("toy", tmp_path / "a" / "b")
    assert found.names == ("P01_smile_000", "P01_smile_001", "P02_smile_000")
    assert found.include == ("*",)
    assert found.says == "Toy set: 3 frames (3 .toy), kind toy"
    assert found.source().unit_mm == 1.0
    assert recognise(tmp_path, "toy") == [found]
    assert recognise(tmp_path, "scan") == []
    assert recognise(tmp_path, "toy-scans") == []


def test_what_is_too_deep_is_not_found(tmp_path: Path) -> None:
    write_frame(tmp_path / "up" / "a" / "b" / "c", "P01_smile_000.toy")
    assert [found.root.name for found in recognise(tmp_path / "up")] == ["c"]
    assert recognise(tmp_path) == []


def test_a_set_with_names_of_its_own_comes_before_scans(tmp_path: Path) -> None:
    for name in ("S01", "S02"):
        write_scan(tmp_path / name / f"{name}_neutral.obj")
    write_scan(tmp_path / "S02" / "other.ply")
    (found,) = recognise(tmp_path)
    assert found.kind == "toy-scans"
    assert found.says == "Toy scans: 2 scans (2 .obj), kind toy-scans"
    (note,) = found.notes
    assert note.startswith('kind "scan" would read these files as well; their names are those of')
    assert "1 mesh beside are left out" in note
    (scans,) = recognise(tmp_path, "scan")
    assert scans.names == ("S01", "S02")


def test_scans_without_such_names_are_scans(tmp_path: Path) -> None:
    write_scan(tmp_path / "anna" / "anna.obj")
    (found,) = recognise(tmp_path)
    assert (found.kind, found.notes) == ("scan", ())


def test_a_mixture_is_told_apart(tmp_path: Path) -> None:
    write_frame(tmp_path / "phone", "P01_smile_000.toy")
    write_scan(tmp_path / "scans" / "anna.obj")
    own = tmp_path / "own" / "bert"
    own.mkdir(parents=True)
    (own / "capture.json").touch()
    found = recognise(tmp_path)
    assert {(one.kind, one.names) for one in found} == {
        ("toy", ("P01_smile_000",)),
        ("scan", ("scans",)),
        ("folder", ("bert",)),
    }


def test_captures_with_a_description_come_before_any_layout(tmp_path: Path) -> None:
    write_frame(tmp_path / "anna", "P01_smile_000.toy")
    (tmp_path / "anna" / "capture.json").touch()
    assert [found.kind for found in recognise(tmp_path)] == ["folder"]
    (tmp_path / "anna" / "capture.json").rename(tmp_path / "anna" / "color.png")
    assert [found.kind for found in recognise(tmp_path)] == ["toy", "folder"]


def test_colour_and_depth_without_description_may_be_a_layouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(root: Path) -> list[Item]:
        return [Item(f.parent.name, "x", (f,)) for f in root.glob("*/color.png")]

    monkeypatch.setitem(known.LAYOUTS, "pairs", Layout("pairs", "Pairs", "X/color.png", find))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "color.png").touch()
    (found,) = recognise(tmp_path)
    assert found.kind == "pairs"
    assert 'kind "folder" would read these files as well' in found.notes[0]


def test_two_layouts_of_the_same_files_ask_for_the_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(known.LAYOUTS, "other", replace(TOY, kind="other", title="Other"))
    for kind in ("toy", "other"):
        like = replace(known.LAYOUTS[kind], frame=lambda item: None)
        monkeypatch.setitem(known.LAYOUTS, kind, like)
    write_frame(tmp_path, "P01_smile_000.toy")
    with pytest.raises(ConfigError) as caught:
        recognise(tmp_path)
    said = str(caught.value)
    assert "toy (Toy set: P01_smile_000.toy) and other (Other: " in said
    assert "--kind" in said
    assert [found.kind for found in recognise(tmp_path, "other")] == ["other"]


def test_what_can_be_read_as_one_of_them_alone_is_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(item: Item) -> Frame:
        raise CaptureError("missing_field", "not mine")

    monkeypatch.setitem(known.LAYOUTS, "other", replace(TOY, kind="other", frame=read))
    depth = np.full((48, 64), 500.0)
    capture = make_capture(np.zeros((48, 64, 3), np.uint8), depth, (60, 60, 31.5, 23.5), "anna")
    write_frame(tmp_path, "P01_smile_000.toy", capture)
    assert [found.kind for found in recognise(tmp_path)] == ["toy"]
    write_frame(tmp_path, "P01_smile_000.toy")
    with pytest.raises(ConfigError, match="more than one layout"):
        recognise(tmp_path)


def test_a_set_whose_own_list_is_broken_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(root: Path) -> list[Item]:
        raise CaptureError("bad_json", f"{root / 'list.json'}: no valid JSON")

    monkeypatch.setitem(known.LAYOUTS, "listed", Layout("listed", "Listed", "list.json", find))
    (tmp_path / "list.json").touch()
    with pytest.raises(ConfigError, match=r"listed: bad_json: .*list\.json"):
        recognise(tmp_path)
    write_frame(tmp_path, "P01_smile_000.toy")
    assert [found.kind for found in recognise(tmp_path)] == ["toy"]


def test_layouts_are_asked_only_where_a_name_fits(tmp_path: Path) -> None:
    asked: list[Path] = []

    def find(root: Path) -> list[Item]:
        asked.append(root)
        return []

    layout = Layout("x", "X", "a.bnt", find, suffixes=(".bnt", ".abs.gz"))
    for number in range(3):
        (tmp_path / f"folder{number}" / "in").mkdir(parents=True)
    (tmp_path / "folder1" / "in" / "A.ABS.gz").touch()
    assert not search(tmp_path, [layout]).fits
    assert asked == [tmp_path, tmp_path / "folder1", tmp_path / "folder1" / "in"]


def test_a_look_is_bounded(tmp_path: Path) -> None:
    """Of a folder of a million names some hundred are looked at, of a wide tree some thousand."""
    for number in range(60):
        inner = tmp_path / f"f{number:02d}"
        inner.mkdir()
        for file in range(90):
            (inner / f"{file}.txt").touch()
    asked: list[Path] = []

    def find(root: Path) -> list[Item]:
        asked.append(root)
        return []

    search(tmp_path, [Layout("x", "X", "*.txt", find, suffixes=(".txt",))])
    assert 30 < len(asked) < 61
