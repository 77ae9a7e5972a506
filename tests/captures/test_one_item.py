"""One capture by its path: a file of a layout, one frame of several, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_layouts import TOY, TOY_SCANS, write_frame, write_scan

from fg3d_builder.captures import load_capture, make_capture, write_capture
from fg3d_builder.captures.layouts import known
from fg3d_builder.captures.layouts.layout import Frame, Item, Layout
from fg3d_builder.captures.opening import source_of_one
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Capture

CONFIG = SourceConfig(kind="scan")


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    for layout in (TOY, TOY_SCANS):
        monkeypatch.setitem(known.LAYOUTS, layout.kind, layout)


def capture() -> Capture:
    depth = np.full((48, 64), 500.0)
    return make_capture(np.zeros((48, 64, 3), np.uint8), depth, (60, 60, 31.5, 23.5), "anna")


def test_a_file_of_a_layout(tmp_path: Path) -> None:
    for number in range(3):
        write_frame(tmp_path, f"P0{number}_smile_000.toy", capture())
    for kind in ("", "toy"):
        found = load_capture(tmp_path / "P01_smile_000.toy", CONFIG, kind)
        assert (found.capture_id, found.subject_id) == ("P01_smile_000", "P01")
        assert (found.source, found.expression) == ("toy", "smile")
    far = load_capture(tmp_path / "P01_smile_000.toy", replace(CONFIG, depth_factor=2.0))
    assert np.nanmax(far.depth_mm) == 1000.0


def test_a_folder_with_one_capture_and_one_with_several(tmp_path: Path) -> None:
    write_frame(tmp_path, "P01_smile_000.toy", capture())
    assert load_capture(tmp_path, CONFIG).capture_id == "P01_smile_000"
    write_frame(tmp_path, "P02_smile_000.toy", capture())
    with pytest.raises(ConfigError, match=r"holds 2 captures \(Toy set\); name the file of one"):
        load_capture(tmp_path, CONFIG)


def test_a_file_of_several_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(root: Path) -> list[Item]:
        return [
            Item(f"{file.stem}-{k}", "x", (file,), sequence=file.stem, frame=k)
            for file in sorted(root.glob("*.film"))
            for k in range(5)
        ]

    def read(item: Item) -> Frame:
        depth = np.full((48, 64), 500.0 + item.frame, np.float32)
        camera = intrinsics_matrix(60, 60, 31.5, 23.5)
        return Frame(np.zeros((48, 64, 3), np.uint8), depth, camera)

    film = Layout("film", "Film", "a.film", find, read, suffixes=(".film",))
    monkeypatch.setitem(known.LAYOUTS, "film", film)
    for name in ("a", "b"):
        (tmp_path / f"{name}.film").touch()
    file = tmp_path / "a.film"
    with pytest.raises(ConfigError, match=r"holds 5 frames \(Film\), numbered 0 to 4; .*--frame"):
        load_capture(file, CONFIG)
    found = load_capture(file, CONFIG, frame=3)
    assert found.capture_id == "a-3"
    assert np.nanmax(found.depth_mm) == 503.0
    with pytest.raises(ConfigError, match="--frame"):
        load_capture(file, CONFIG, frame=5)


def test_a_layout_whose_tree_begins_above(tmp_path: Path) -> None:
    """Where the kind is given, the set's folder may be two above the file."""
    file = write_scan(tmp_path / "S01" / "S01_neutral.obj")
    source, entry = source_of_one(file, CONFIG, "toy-scans")
    assert (source.name, entry.subject_id) == ("toy-scans", "S01")
    source, _ = source_of_one(file, CONFIG)
    assert source.name == "scan", "a mesh is a scan unless somebody says otherwise"
    source, _ = source_of_one(file.parent, CONFIG)
    assert source.name == "scan"


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="does not exist"):
        load_capture(tmp_path / "gone", CONFIG)
    (tmp_path / "a.txt").touch()
    with pytest.raises(CaptureError, match=r"a\.txt: nothing of Toy set; expected P01_smile_000"):
        load_capture(tmp_path / "a.txt", CONFIG, "toy")
    with pytest.raises(CaptureError, match=r"no capture\.json in it"):
        load_capture(tmp_path, CONFIG, "folder")


def test_a_capture_folder(tmp_path: Path) -> None:
    write_capture(tmp_path / "a", capture())
    for kind in ("", "folder"):
        assert load_capture(tmp_path / "a", CONFIG, kind).source == "folder"


def test_more_than_one_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(known.LAYOUTS, "other", replace(TOY, kind="other"))
    file = write_frame(tmp_path, "P01_smile_000.toy", capture())
    with pytest.raises(ConfigError, match="--kind"):
        load_capture(file, CONFIG)
    assert load_capture(file, CONFIG, "other").source == "other"
