"""`fg3d captures`: what is listed without loading, what is checked, put right and shown."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_layouts import TOY, write_frame

from fg3d_builder.captures import (
    CaptureEntry,
    load_capture,
    open_source,
    read_capture,
    write_capture,
)
from fg3d_builder.captures.inspection import FaceFigures, Inspected, evenly, inspect_all
from fg3d_builder.captures.layouts import known
from fg3d_builder.cli import main
from fg3d_builder.commands import fixing, source_options
from fg3d_builder.commands.captures import with_action
from fg3d_builder.commands.fixing import settings_of_one
from fg3d_builder.config import (
    FramesConfig,
    LandmarkConfig,
    SourceConfig,
    from_table,
    load_preset,
)
from fg3d_builder.config.presets import tomllib
from fg3d_builder.errors import WrongUnitError
from fg3d_builder.geometry.camera import cam_from_depth
from fg3d_builder.records import Capture

POPULATION = SourceConfig(
    subjects=3, captures_per_subject=2, seed=40, image_size=(320, 240), focal_px=450.0
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with captures of three people, each neutral and with an expression."""
    root = tmp_path_factory.mktemp("faces")
    source = open_source(POPULATION)
    for entry in source.entries():
        capture = source.load(entry)
        name = f"{'abc'[int(entry.capture_id[-4])]}-{entry.capture_id[-1]}"
        # A wall behind every head: by it, depth along the ray is told.
        wall = np.where(np.isfinite(capture.depth_mm), capture.depth_mm, 1400.0)
        wall = np.where(wall > 900, 1400.0, wall).astype(np.float32)
        capture = dataclasses.replace(capture, subject_id=name[0], depth_mm=wall)
        write_capture(root / name, capture)
    return root


@pytest.fixture
def folder(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three of them, to spoil."""
    for name in ("a-0", "b-0", "c-0"):
        shutil.copytree(faces / name, tmp_path / "own" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "own"


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(known.LAYOUTS, "toy", TOY)
    monkeypatch.setattr(source_options, "KINDS", (*source_options.KINDS, "toy"))


def captures_of(folder: Path) -> dict[str, Capture]:
    return {path.name: read_capture(path) for path in sorted(folder.iterdir())}


def declare(folder: Path, unit_mm: float, *names: str) -> None:
    for name in names:
        file = folder / name / "capture.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "depth_unit_mm": unit_mm}))


def test_a_source_alone_is_listed() -> None:
    assert with_action(["captures", "x"]) == ["captures", "list", "x"]
    assert with_action(["captures", "--unit-mm", "1", "x"])[1] == "list"
    for action in ("list", "check", "show", "--help"):
        assert with_action(["captures", action, "x"]) == ["captures", action, "x"]
    assert with_action(["captures"]) == ["captures"]
    assert with_action(["check", "x"]) == ["check", "x"]


def test_a_listing_loads_nothing(
    toys: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("P01_smile_000.toy", "P01_smile_001.toy", "P02_talk_000.toy"):
        write_frame(tmp_path / "set", name)
    table = tmp_path / "table.csv"
    assert main(["captures", str(tmp_path / "set"), "--csv", str(table)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["capture", "subject", "expression", "sequence", "frame"]
    assert said[2].split() == ["P01_smile_001", "P01", "smile", "P01_smile", "1"]
    assert said[-1] == "3 captures of 2 subjects in 2 sequences"
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["capture"] for row in rows] == ["P01_smile_000", "P01_smile_001", "P02_talk_000"]
    assert rows[1]["frame"] == "1"
    assert rows[2]["location"] == str(tmp_path / "set" / "P02_talk_000.toy")


def test_a_file_of_a_layout_is_a_source(
    toys: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("P01_smile_000.toy", "P01_smile_001.toy"):
        file = write_frame(tmp_path, name)
    assert main(["captures", "list", str(file)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("P01_smile_001")
    assert said[-1] == "1 capture of 1 subject in 1 sequence"
    (tmp_path / "a.txt").touch()
    assert main(["captures", "list", str(tmp_path / "a.txt")]) == 2
    assert "a.txt is a file; expected a preset (.toml), a mesh (.obj," in capsys.readouterr().err


def test_what_is_not_recognised_is_told(
    toys: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jpg").touch()
    assert main(["captures", str(tmp_path)]) == 2
    assert "holds 1 .jpg; expected a folder for each capture" in capsys.readouterr().err
    assert main(["captures", "list", str(tmp_path), "--kind", "toy"]) == 2
    assert "expected for Toy set: P01_smile_000.toy" in capsys.readouterr().err
    assert main(["captures", "list", str(tmp_path), "--kind", "toys"]) == 2
    assert "'toys': did you mean toy?" in capsys.readouterr().err
    assert main(["captures", str(tmp_path / "gone")]) == 2


def test_a_check_says_what_is_wrong_and_what_there_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["captures", "check", "own"]) == 0
    said = capsys.readouterr().out
    assert "3 good, 0 rejected" in said
    assert "3 subjects, 1 of these captures each" in said
    assert "expressions: 3 neutral" in said
    assert "\nsex: 2 male, 1 female\n" in said
    for what in ("yaw", "pitch", "distance of the face", "depth noise on the face"):
        assert f"\n{what}: " in said
    (folder / "a-0" / "depth.png").unlink()
    grey = np.full((320, 240, 3), 120, np.uint8)
    Image.fromarray(grey).save(folder / "b-0" / "color.png")
    declare(folder, 100.0, "c-0")
    assert main(["captures", "check", "own", "--csv", "t.csv"]) == 1
    said = capsys.readouterr().out
    assert "0 good, 3 rejected (1 missing_file, 1 no_face, 1 wrong_unit)" in said
    assert "depth_unit_mm is 100, but probably 0.1" in said
    rows = {row["capture"]: row for row in csv.DictReader(Path("t.csv").read_text().splitlines())}
    assert rows["a-0"]["code"] == "missing_file"
    assert rows["a-0"]["width"] == ""
    assert (rows["b-0"]["width"], rows["b-0"]["face_width_mm"]) == ("240", "")
    assert float(rows["c-0"]["face_width_mm"]) == pytest.approx(140_000, rel=0.2)


def test_figures_are_true(faces: Path) -> None:
    """Distance, noise and coverage of captures whose depth has no noise."""
    config = SourceConfig(kind="folder", path=str(faces), include=("?-0",))
    entries = open_source(config).entries()
    found = list(inspect_all(config, entries, LandmarkConfig()))
    assert [one.entry.capture_id for one in found] == ["a-0", "b-0", "c-0"]
    for one in found:
        capture = read_capture(faces / one.entry.capture_id)
        assert one.face is not None
        assert one.depth_coverage == 1.0
        assert one.face.noise_mm < 0.2, "rounded to tenths of a millimetre"
        nearest = float(np.nanmin(capture.depth_mm))
        assert nearest < one.face.distance_mm < nearest + 60
        assert 0.8 < one.face.width_mm / 140 < 1.2
        assert one.face.along_ray is False
        assert one.face.depth_share > 0.98, "a wall beside the chin is no depth on it"


def test_processes_find_the_same(faces: Path) -> None:
    config = SourceConfig(kind="folder", path=str(faces))
    entries = open_source(config).entries()
    assert len(entries) == 6
    one = list(inspect_all(config, entries, LandmarkConfig()))
    assert list(inspect_all(config, entries, LandmarkConfig(), workers=2)) == one


def test_captures_are_drawn_evenly(faces: Path) -> None:
    entries = open_source(SourceConfig(kind="folder", path=str(faces))).entries()
    assert evenly(entries, 0) == entries
    assert evenly(entries, 9) == entries
    assert [e.capture_id for e in evenly(entries, 3)] == ["a-0", "b-0", "c-0"]
    assert len(evenly(entries * 100, 7)) == 7


def test_units_of_captures_are_put_right_in_their_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = captures_of(folder)
    declare(folder, 100.0, "a-0", "c-0")
    assert main(["captures", "check", "own"]) == 1
    said = capsys.readouterr()
    assert "2 rejected (2 wrong_unit)" in said.out
    assert said.err == "see docs/captures.md#depth-that-belongs-to-something-else\n"
    assert main(["captures", "check", "own", "--fix-units"]) == 0
    said = capsys.readouterr().out
    assert "fixed: the faces of 2 captures (a-0, ...) would be 1" in said
    assert "a-0/capture.json: depth_unit_mm = 0.1" in said
    assert "b-0/capture.json" not in said
    for name, capture in captures_of(folder).items():
        np.testing.assert_array_equal(capture.depth_mm, right[name].depth_mm)
    assert main(["captures", "check", "own", "--fix-units"]) == 0
    assert "fixed" not in capsys.readouterr().out


def test_depth_along_the_ray_is_put_right_in_the_preset(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both at once: a unit in the files, and then the kind of depth by the preset."""
    right = captures_of(folder)
    for name, capture in right.items():
        distance = np.linalg.norm(cam_from_depth(capture.depth_mm, capture.intrinsics), axis=-1)
        write_capture(folder / name, dataclasses.replace(capture, depth_mm=distance))
    declare(folder, 10.0, *right)
    preset = Path("p.toml")
    preset.write_text('[[sources]]  # mine\nkind = "folder"\npath = "own"\n')
    assert main(["captures", "check", "p.toml", "--fix-units"]) == 0
    said = capsys.readouterr().out
    assert "p.toml: depth_is_along_ray = true" in said
    assert preset.read_text().startswith("[[sources]]  # mine\ndepth_is_along_ray = true\n")
    source = open_source(load_preset(preset).sources[0])
    for entry in source.entries():
        error = source.load(entry).depth_mm - right[entry.capture_id].depth_mm
        assert np.abs(error).max() < 0.11, "two roundings to 0.1 mm"


@pytest.mark.parametrize("sizes", [(1.0, 0.001), (0.45, 0.45)], ids=["several", "an odd one"])
def test_scans_that_no_unit_is_right_for_are_measured_one_by_one(
    sizes: tuple[float, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A new preset must not give one unit to scans of which some have another."""
    for name in ("a", "b"):
        (tmp_path / "scans").mkdir(exist_ok=True)
        (tmp_path / "scans" / f"{name}.obj").touch()

    def inspected(
        config: SourceConfig, entries: Sequence[CaptureEntry], _: object
    ) -> list[Inspected]:
        found = []
        for entry, size in zip(entries, sizes, strict=True):
            face = FaceFigures(0, 0, 500, 140 * size * config.unit_mm, 150, 0.5, 0.9, None)
            wrong = None if 0.62 <= size * config.unit_mm <= 1.6 else size * config.unit_mm
            error = None if wrong is None else WrongUnitError("so", wrong)
            found.append(Inspected(entry, 9, 9, 0.9, "neutral", config.unit_mm, face, error))
        return found

    monkeypatch.setattr(fixing, "inspected_with_progress", inspected)
    out = tmp_path / "p.toml"
    assert main(["new", str(tmp_path / "scans"), "--out", str(out), "--fix-units"]) == 0
    said = capsys.readouterr().out
    assert "unit_mm = 0 measures each scan by the distance of its eyes" in said
    assert "no usual unit is right for all scans: unit_mm = 0.0" in said
    assert load_preset(out).sources[0].unit_mm == 0.0
    sizes = (0.001, 0.0011)
    assert main(["new", str(tmp_path / "scans"), "--out", str(out), "--fix-units", "--force"]) == 0
    assert "looked at 2 of 2 captures: faces 140 to 154 mm wide" in capsys.readouterr().out
    assert load_preset(out).sources[0].unit_mm == 1000.0


def test_without_a_preset_a_layouts_factor_is_said(
    toys: None, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("a-0", "b-0")):
        capture = read_capture(faces / name)
        metres = dataclasses.replace(capture, depth_mm=capture.depth_mm / 1000)
        write_frame(tmp_path / "set", f"P{number}_smile_000.toy", metres)
    argv = ["captures", "check", str(tmp_path / "set")]
    assert main(argv) == 1
    assert "depth_factor = 1000 in the table of its source" in capsys.readouterr().out
    assert main([*argv, "--fix-units"]) == 0
    said = capsys.readouterr().out
    assert "write into the [[sources]] table of a preset: depth_factor = 1000.0" in said
    capture = dataclasses.replace(read_capture(faces / "c-0"))
    write_frame(tmp_path / "set", "P9_smile_000.toy", capture)
    assert main([*argv, "--fix-units"]) == 1
    assert "not fixed: the captures do not agree on one unit" in capsys.readouterr().out


def test_a_sheet_shows_good_and_bad(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a-0" / "depth.png").unlink()
    declare(folder, 100.0, "c-0")
    assert main(["captures", "show", "own", "--out", "sheet.png"]) == 0
    assert "written: sheet.png" in capsys.readouterr().out
    picture = np.asarray(Image.open("sheet.png"))
    assert picture.shape[0] > 2 * 240
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000
    assert main(["captures", "show", "own", "--out", "sheet.png", "--limit", "1"]) == 0
    assert "1 of 3 captures, evenly drawn" in capsys.readouterr().out


def test_registering_reads_a_capture_in_the_unit_of_its_face(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said, for this run; nothing is written."""
    right = captures_of(folder)["a-0"]
    declare(folder, 100.0, "a-0")
    before = (folder / "a-0" / "capture.json").read_bytes()
    settings = settings_of_one(folder / "a-0", SourceConfig(), "", None, LandmarkConfig())
    assert settings.depth_factor == pytest.approx(0.001)
    said = capsys.readouterr().out
    assert said.startswith("fixed: the face of a-0 would be 1")
    assert "depth_unit_mm is not 100, but 0.1" in said
    found = load_capture(folder / "a-0", settings)
    np.testing.assert_allclose(found.depth_mm, right.depth_mm, rtol=1e-6)
    assert (folder / "a-0" / "capture.json").read_bytes() == before


def test_a_new_preset_has_the_unit_and_the_choices_of_a_layout(
    toys: None, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("a-0", "b-0", "b-1")):
        capture = read_capture(faces / name)
        metres = dataclasses.replace(capture, depth_mm=capture.depth_mm / 1000)
        write_frame(tmp_path / "set", f"P{number // 2}_smile_00{number}.toy", metres)
    preset = tmp_path / "set.toml"
    assert main(["new", str(tmp_path / "set"), "--out", str(preset), "--fix-units"]) == 0
    said = capsys.readouterr().out
    assert "Toy set: 3 frames (3 .toy), kind toy" in said
    assert "the files have 1000 times the unit that they were read with" in said
    text = preset.read_text()
    (source,) = tomllib.loads(text)["sources"]
    assert source == {
        "kind": "toy",
        "path": "set",
        "depth_factor": 1000.0,
        "licence": "Toy set",
        "frames": {"take": "all"},
    }
    assert "with whom the terms of Toy set are agreed:\n# toys.example\n" in text
    assert "# Which frames of the 2 sequences: all, or one of the others." in text
    for line in re.findall(r"^# (frames = \{.*\})", text, re.MULTILINE):
        take = tomllib.loads(line)["frames"]
        from_table(FramesConfig, take, "test")
    assert len(re.findall(r"^# frames = ", text, re.MULTILINE)) == 3


def test_a_new_preset_of_captures_puts_their_files_right(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = captures_of(folder)
    declare(folder, 100.0, "b-0")
    assert main(["new", "own", "--fix-units"]) == 0
    assert "b-0/capture.json: depth_unit_mm = 0.1" in capsys.readouterr().out
    np.testing.assert_array_equal(captures_of(folder)["b-0"].depth_mm, right["b-0"].depth_mm)
    assert "depth_factor" not in Path("own.toml").read_text()
