"""A unit is put right only where every face that it concerns says the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fg3d_builder.captures import CaptureEntry
from fg3d_builder.captures.folder import rewrite_depth_unit
from fg3d_builder.captures.inspection import FaceFigures, Inspected
from fg3d_builder.captures.unit_fixes import find_fix
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError, ConfigError, WrongUnitError

FOLDER = SourceConfig(kind="folder", path="x")
LAYOUT = replace(FOLDER, kind="toy")
SCAN = replace(FOLDER, kind="scan")


def seen(
    size: float,
    unit_mm: float | None = None,
    name: str = "a",
    along_ray: bool | None = None,
    code: str = "",
) -> Inspected:
    """A capture whose face is `size` times as large as it should be."""
    face = FaceFigures(0, 0, 500 * size, 140 * size, 150, 0.5, 0.9, along_ray)
    error: CaptureError | None = CaptureError(code, "so") if code else None
    if not 0.62 <= size <= 1.6:
        error = WrongUnitError("so", size)
    entry = CaptureEntry(name, "anna", f"/captures/{name}")
    return Inspected(entry, 9, 9, 0.9, "neutral", unit_mm, face, error)


def test_nothing_is_wrong() -> None:
    assert find_fix(FOLDER, [seen(1.0, 1.0), seen(0.9, 1.0)]) is None
    assert find_fix(LAYOUT, []) is None
    failed = Inspected(CaptureEntry("a", "", "/a"), error=CaptureError("no_face", "none"))
    assert find_fix(LAYOUT, [failed]) is None


@pytest.mark.parametrize(
    ("declared", "sizes", "unit"),
    [
        (1.0, [0.00095, 0.0011, 0.001], 1000.0),
        (1000.0, [980.0, 1080.0], 1.0),
        (1.0, [0.1, 0.09], 10.0),
        (1.0, [4.1, 3.8, 4.0], 0.25),
        (1.0, [7.9, 8.3, 8.1], 0.125),
        (1.0, [9.8, 10.3, 10.1], 0.1),
        (1.0, [0.0394, 0.04], 25.4),
    ],
)
def test_the_unit_that_all_faces_ask_for(declared: float, sizes: list[float], unit: float) -> None:
    captures = [seen(size, declared, f"c{k}") for k, size in enumerate(sizes)]
    fix = find_fix(FOLDER, captures)
    assert fix is not None
    assert (fix.setting, fix.value) == ("depth_unit_mm", unit)
    assert fix.locations == tuple(f"/captures/c{k}" for k in range(len(sizes)))
    scans = find_fix(replace(SCAN, unit_mm=declared), [seen(size) for size in sizes])
    assert scans is not None
    assert scans.line == f"unit_mm = {unit!r}"
    layout = find_fix(LAYOUT, [seen(size) for size in sizes])
    assert layout is not None
    assert layout.setting == "depth_factor"
    assert layout.value == pytest.approx(unit / declared)


def test_two_units_that_both_pass_are_said() -> None:
    fix = find_fix(FOLDER, [seen(9.0, 1.0)])
    assert fix is not None
    assert "0.1, though 0.125 would pass as well" in fix.says


def test_captures_that_are_right_keep_their_unit_in_a_folder_and_stop_a_setting_for_all() -> None:
    captures = [seen(1.0, 1.0, "good"), seen(1000.0, 1000.0, "bad")]
    fix = find_fix(FOLDER, captures)
    assert fix is not None
    assert fix.locations == ("/captures/bad",)
    with pytest.raises(ConfigError, match=r"bad would be right with .*good would not"):
        find_fix(LAYOUT, captures)


def test_faces_that_disagree_fix_nothing() -> None:
    with pytest.raises(ConfigError, match="do not agree"):
        find_fix(FOLDER, [seen(1000.0, 1000.0), seen(1000.0, 1000.0), seen(25.0, 1000.0, "odd")])


def test_no_unit_in_use() -> None:
    with pytest.raises(ConfigError, match=r"no unit that is in use .* are the intrinsics"):
        find_fix(FOLDER, [seen(2.0, 1.0)])


def test_scans_in_an_odd_unit_or_in_several_are_to_be_measured() -> None:
    """They are rendered: no intrinsics of theirs can be wrong."""
    remedy = "unit_mm = 0 measures each scan by the distance of its eyes"
    with pytest.raises(ConfigError, match=f"no unit that is in use .*{remedy}") as odd:
        find_fix(SCAN, [seen(2.0), seen(2.1)])
    assert "intrinsics" not in str(odd.value)
    with pytest.raises(ConfigError, match=rf"do not agree .*{remedy}.*\[\[sources\]\] table"):
        find_fix(SCAN, [seen(1.0, name="good"), seen(0.001, name="metres")])


def test_a_factor_that_is_there_already_counts() -> None:
    """The files say 0.1, read with a factor of 1000; true is 1, so the file is to say 0.001."""
    fix = find_fix(replace(FOLDER, depth_factor=1000.0), [seen(100.0, 100.0)])
    assert fix is not None
    assert fix.value == pytest.approx(0.001)
    layout = find_fix(replace(LAYOUT, depth_factor=10.0), [seen(10.0)])
    assert layout is not None
    assert layout.value == 1.0
    config = fix.for_one(replace(FOLDER, depth_factor=1.0), 100.0)
    assert config.depth_factor == pytest.approx(1e-5)


def test_depth_along_the_ray() -> None:
    wrong = seen(1.0, along_ray=True, code="depth_along_ray")
    fix = find_fix(LAYOUT, [wrong, seen(1.0)])
    assert fix is not None
    assert fix.line == "depth_is_along_ray = true"
    assert fix.applied(LAYOUT).depth_is_along_ray
    assert find_fix(replace(LAYOUT, depth_is_along_ray=True), [wrong]) is None
    with pytest.raises(ConfigError, match="right for both"):
        find_fix(LAYOUT, [wrong, seen(1.0, along_ray=False, name="b")])


def test_only_the_number_in_a_description_changes(tmp_path: Path) -> None:
    text = '{"note": {"depth_unit_mm" : 7},\n\t"subject": "anna",  "depth_unit_mm":1e3}\n'
    file = tmp_path / "capture.json"
    file.write_text(text)
    assert rewrite_depth_unit(tmp_path, 0.25) == file
    assert file.read_text() == text.replace("1e3", "0.25")
    assert [f.name for f in tmp_path.iterdir()] == ["capture.json"]


def test_a_description_behind_a_link_is_changed_itself(tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    real.write_text(json.dumps({"depth_unit_mm": 1}))
    (tmp_path / "capture.json").symlink_to(real)
    assert rewrite_depth_unit(tmp_path, 1000.0) == real
    assert (tmp_path / "capture.json").is_symlink()
    assert json.loads(real.read_text()) == {"depth_unit_mm": 1000.0}


def test_a_description_that_cannot_be_changed_stays(tmp_path: Path) -> None:
    file = tmp_path / "capture.json"
    for text, words in (('{"depth_unit_mm": "1"}', "a finite number"), ("{", "no valid JSON")):
        file.write_text(text)
        with pytest.raises(CaptureError, match=words):
            rewrite_depth_unit(tmp_path, 1.0)
        assert file.read_text() == text
