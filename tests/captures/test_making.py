"""Captures made of arrays: as the page shows it, and refused by the rules of the files."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.captures import make_capture, read_capture, write_capture
from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Array, Capture, Landmarks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "captures.md"
CAMERA = (60.0, 62.0, 31.5, 23.5)


def picture() -> Array:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def test_the_lines_of_the_page_write_a_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line]) == 3
    depth_mm = np.full((48, 64), 512, np.uint16)
    depth_mm[0] = 0
    monkeypatch.chdir(tmp_path)
    fx, fy, cx, cy = CAMERA
    exec(code, {"rgb": picture(), "depth_mm": depth_mm, "fx": fx, "fy": fy, "cx": cx, "cy": cy})
    found = read_capture(Path("my_captures/anna-001"))
    assert (found.capture_id, found.subject_id, found.expression) == ("anna-001", "anna", "smile")
    np.testing.assert_array_equal(found.rgb, picture())
    assert np.isnan(found.depth_mm[0]).all()
    assert (found.depth_mm[1:] == 512).all()
    np.testing.assert_array_equal(found.intrinsics, [[60, 0, 31.5], [0, 62, 23.5], [0, 0, 1]])


def test_what_is_no_depth_in_any_form_is_none_when_read_back(tmp_path: Path) -> None:
    depth = np.full((48, 64), 512.0)
    depth[0, :4] = [np.inf, -3.0, 2e6, np.nan]
    capture = make_capture(picture(), depth, np.diag([60.0, 60.0, 1.0]), "anna")
    for form in ("png", "npy"):
        write_capture(tmp_path / "a", replace(capture, depth_mm=depth), depth_format=form)
        found = read_capture(tmp_path / "a").depth_mm
        assert np.isnan(found[0, :4]).all()
        assert (found[1:] == 512).all()


def test_sex_is_written_where_it_is_known(tmp_path: Path) -> None:
    depth = np.full((48, 64), 512.0)
    for name, sex in (("a", "female"), ("b", "other"), ("c", "")):
        write_capture(tmp_path / name, make_capture(picture(), depth, CAMERA, name, sex=sex))
        assert read_capture(tmp_path / name).sex == sex
    assert '"sex"' not in (tmp_path / "c" / "capture.json").read_text()


def test_sequence_and_frame_are_written(tmp_path: Path) -> None:
    capture = make_capture(picture(), np.full((48, 64), 512.0), CAMERA, "anna")
    write_capture(tmp_path / "a", capture, sequence="walk", frame=12)
    text = (tmp_path / "a" / "capture.json").read_text()
    assert '"sequence": "walk"' in text
    assert '"frame": 12' in text
    with pytest.raises(ValueError, match="frame"):
        write_capture(tmp_path / "b", capture, frame=-1)


def _made(**changes: object) -> Capture:
    good: dict[str, object] = {
        "rgb": picture(),
        "depth_mm": np.full((48, 64), 512.0),
        "intrinsics": CAMERA,
        "subject": "anna",
    }
    return make_capture(**{**good, **changes})  # type: ignore[arg-type]


def _points(count: int, value: float = 5.0, confidence: float = 1.0) -> Landmarks:
    return Landmarks("ibug68", np.full((count, 2), value), np.full(count, confidence), "x")


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda: _made(rgb=picture() / 255.0), "bad_field", "rgb"),
        (lambda: _made(rgb=picture()[..., 0]), "bad_field", "rgb"),
        (lambda: _made(rgb="face.png"), "bad_field", "rgb"),
        (lambda: _made(depth_mm=np.full((24, 32), 512.0)), "size_mismatch", "32 x 24"),
        (lambda: _made(depth_mm=picture()), "bad_field", "depth_mm"),
        (lambda: _made(depth_mm=[[1.0], [2.0, 3.0]]), "bad_field", "depth_mm"),
        (lambda: _made(depth_mm=np.zeros((48, 64))), "no_depth", "depth_mm"),
        (lambda: _made(intrinsics=(60.0, 60.0)), "bad_field", "intrinsics"),
        (lambda: _made(intrinsics=(60.0, np.nan, 31.5, 23.5)), "bad_field", "intrinsics"),
        (lambda: _made(intrinsics=(60.0, -60.0, 31.5, 23.5)), "bad_field", "positive"),
        (lambda: _made(intrinsics=(60.0, 60.0, 315.0, 235.0)), "bad_field", "principal point"),
        (lambda: _made(intrinsics=np.eye(3) * 60 + 0.5), "bad_field", "another matrix"),
        (lambda: _made(subject=" "), "bad_field", "subject"),
        (lambda: _made(subject=7), "bad_field", "subject"),
        (lambda: _made(expression="a\nb"), "bad_field", "expression"),
        (lambda: _made(sex="Female"), "bad_field", "sex"),
        (lambda: _made(licence="x" * 301), "bad_field", "licence"),
        (lambda: _made(landmarks=_points(67)), "bad_field", "landmarks.points_px"),
        (lambda: _made(landmarks=_points(68, np.nan)), "bad_field", "landmarks.points_px"),
        (lambda: _made(landmarks=_points(68, 5.0, 2.0)), "bad_field", "landmarks.confidence"),
        (
            lambda: _made(landmarks=replace(_points(68), scheme="dlib")),
            "bad_field",
            "landmarks.scheme",
        ),
    ],
)
def test_what_files_must_not_hold_is_refused(
    make: Callable[[], Capture], code: str, words: str
) -> None:
    with pytest.raises(CaptureError) as caught:
        make()
    assert caught.value.code == code
    assert words in caught.value.message


def test_nothing_is_written_of_a_capture_that_could_not_be_read(tmp_path: Path) -> None:
    spoiled = replace(_made(), subject_id="\n")
    with pytest.raises(CaptureError, match="subject"):
        write_capture(tmp_path / "a", spoiled)
    assert not (tmp_path / "a").exists()
