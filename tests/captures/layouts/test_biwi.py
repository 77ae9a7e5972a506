"""BIWI Kinect frames, written as the set has them."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from fg3d_builder.captures.layout_source import LayoutSource
from fg3d_builder.captures.layouts.biwi import LAYOUT, read_calibration
from fg3d_builder.captures.lens import Lens
from fg3d_builder.config import FramesConfig, SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.run_length_depth import read_run_length_depth
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array, Capture
from tests.captures.layouts.rgbd_scene import View, seen_by

# A quarter of the set's own resolution.
DEPTH = Lens(intrinsics_matrix(143.954, 143.954, 80, 60), (120, 160))
COLOUR = Lens(intrinsics_matrix(129.42, 129.42, 80, 60.125), (120, 160))
ROTATION = Rotation.from_rotvec([-0.015065, 0.009261, -0.004394]).as_matrix()
TRANSLATION_MM = np.array([-24.0198, 5.8896, -13.2308])
"""``colour_from_depth`` of sequence 12."""


def write_depth(file: Path, depth_mm: Array) -> None:
    """The set's C++ sample in the other direction: runs of nothing and runs of int16."""
    flat = np.rint(np.nan_to_num(depth_mm)).astype("<i2").ravel()
    edges = np.flatnonzero(np.diff(np.r_[0, (flat > 0).astype(int), 0]))
    data = struct.pack("<ii", depth_mm.shape[1], depth_mm.shape[0])
    last = 0
    for start, end in edges.reshape(-1, 2):
        data += struct.pack("<ii", start - last, end - start) + flat[start:end].tobytes()
        last = end
    if last < len(flat):
        data += struct.pack("<ii", len(flat) - last, 0)
    file.write_bytes(data)


def calibration(lens: Lens, rotation: Array, translation_mm: Array) -> str:
    def rows(matrix: Array) -> str:
        return "".join(" ".join(f"{x:.9g}" for x in row) + " \n" for row in matrix)

    bend, move = lens.coefficients[None, :4], np.asarray(translation_mm)[None]
    size = f"{lens.size[1]} {lens.size[0]}\n"
    return "\n".join([rows(lens.intrinsics), rows(bend), rows(rotation), rows(move), size])


def write_sequence(folder: Path, frames: tuple[int, ...] = (3,), colour: Lens = COLOUR) -> View:
    folder.mkdir(parents=True)
    view = seen_by(colour)
    seen = seen_by(DEPTH, ROTATION, TRANSLATION_MM)
    depth = np.where(seen.head | (seen.depth_mm < 1190), seen.depth_mm, np.nan)  # holes
    (folder / "rgb.cal").write_text(calibration(colour, ROTATION, TRANSLATION_MM))
    (folder / "depth.cal").write_text(calibration(DEPTH, np.eye(3), np.zeros(3)))
    for number in frames:
        stem = folder / f"frame_{number:05d}"
        Image.fromarray(view.rgb).save(f"{stem}_rgb.png")
        write_depth(Path(f"{stem}_depth.bin"), depth)
        Path(f"{stem}_pose.txt").write_text("1 0 0 \n0 1 0 \n0 0 1 \n\n43.4 -30.7 906.8\n")
    return view


def captures(root: Path, **changes: Any) -> list[Capture]:
    source = LayoutSource(SourceConfig(kind="biwi", path=str(root), **changes), LAYOUT)
    return [source.load(entry) for entry in source.entries()]


def error_of(root: Path) -> str:
    with pytest.raises(CaptureError) as caught:
        captures(root)
    return f"{caught.value.code}: {caught.value.message}"


def test_depth_is_brought_onto_the_colour(tmp_path: Path) -> None:
    view = write_sequence(tmp_path / "hpdb" / "12")
    (tmp_path / "hpdb" / "12.obj").write_text("v 0 0 0\n")
    (capture,) = captures(tmp_path)
    assert (capture.capture_id, capture.subject_id) == ("12-frame_00003", "M06")
    assert capture.sex == "male"
    np.testing.assert_array_equal(capture.rgb, view.rgb)
    np.testing.assert_array_equal(capture.intrinsics, COLOUR.intrinsics)
    error = np.abs(capture.depth_mm - view.depth_mm)[view.head]
    assert np.isfinite(error).mean() > 0.85
    # Whole millimetres, and the bumps of the surface between pixels 4 mm apart.
    assert np.nanmedian(error) < 0.5
    assert np.nanquantile(error, 0.9) < 2.0


def test_a_bent_colour_image_is_made_straight(tmp_path: Path) -> None:
    bend = np.array([0.2, -0.3, 0.002, -0.001, 0, 0, 0, 0])
    write_sequence(tmp_path / "01", colour=replace(COLOUR, coefficients=bend))
    (capture,) = captures(tmp_path)
    straight = seen_by(COLOUR)
    error = np.abs(capture.rgb.astype(int) - straight.rgb).max(axis=-1)[10:-10, 10:-10]
    assert np.quantile(error, 0.95) <= 3


def test_people_who_came_twice_are_one(tmp_path: Path) -> None:
    for number in range(1, 25):
        write_sequence(tmp_path / f"{number:02d}")
    subject = {item.sequence: item.subject for item in LAYOUT.find(tmp_path)}
    assert len(subject) == 24
    assert len(set(subject.values())) == 20
    assert sum(name.startswith("F") for name in set(subject.values())) == 6
    twice = [("03", "15"), ("05", "18"), ("02", "21"), ("07", "22")]
    assert all(subject[a] == subject[b] for a, b in twice)


def test_frames_of_sequences(tmp_path: Path) -> None:
    write_sequence(tmp_path / "01", (3, 4, 10, 200))
    chosen = captures(tmp_path, frames=FramesConfig("every", 2))
    assert [c.capture_id for c in chosen] == ["01-frame_00003", "01-frame_00010"]
    items = LAYOUT.find(tmp_path / "01")  # a sequence alone
    assert [item.frame for item in items] == [3, 4, 10, 200]
    assert {item.subject for item in items} == {"F01"}


def test_runs(tmp_path: Path) -> None:
    """By hand: 4 x 2 pixels, three without depth, two with, three without."""
    file = tmp_path / "frame_00001_depth.bin"
    data = struct.pack("<iiii2hii", 4, 2, 3, 2, 700, 701, 3, 0)
    file.write_bytes(data)
    np.testing.assert_array_equal(read_run_length_depth(file), [[0, 0, 0, 700], [701, 0, 0, 0]])

    def message(changed: bytes) -> str:
        file.write_bytes(changed)
        with pytest.raises(CaptureError) as caught:
            read_run_length_depth(file)
        return caught.value.message

    assert "ends before width and height" in message(data[:7])
    assert "ends before lengths of the runs at pixel 5" in message(data[:-8])
    assert "2 depths declared at byte 16 of 18" in message(data[:18])
    assert "a run of 2 pixels at pixel 7 of 8" in message(data[:8] + b"\7" + data[9:])
    assert "lengths of the runs at pixel 0 are -1 and 2" in message(
        data[:8] + b"\xff\xff\xff\xff" + data[12:]
    )
    assert "1000000 x 1000000 pixels declared" in message(struct.pack("<ii", 10**6, 10**6))
    assert "0 x 5 pixels declared" in message(struct.pack("<ii", 0, 5))
    assert "4 bytes behind the last pixel" in message(data + b"abcd")
    assert "two runs of no pixels" in message(struct.pack("<iiii", 4, 2, 0, 0) * 3)


def test_broken_files_are_named(tmp_path: Path) -> None:
    write_sequence(tmp_path / "01")
    depth_cal, depth = tmp_path / "01/depth.cal", tmp_path / "01/frame_00003_depth.bin"
    text, data = depth_cal.read_text(), depth.read_bytes()
    # A published one, of kronihias/head-pose-estimation.
    depth_cal.write_text(
        "575.816 0 320 \n0 575.816 240 \n0 0 1 \n\n0 0 0 0 \n\n"
        "1 0 0 \n0 1 0 \n0 0 1 \n\n0 0 0 \n\n640 480\n"
    )
    lens, rotation, translation_mm = read_calibration(depth_cal)
    np.testing.assert_array_equal(lens.intrinsics, intrinsics_matrix(575.816, 575.816, 320, 240))
    assert lens.size == (480, 640)
    assert not lens.distorts
    np.testing.assert_array_equal(rotation, np.eye(3))
    assert not translation_mm.any()
    assert "frame_00003_depth.bin: has 160 x 120 pixels" in error_of(tmp_path)

    for wrong, words in (
        (text.rsplit("\n", 2)[0][:-3], "depth.cal: expected 27 numbers"),
        (text.replace("143.954", "abc", 1), "depth.cal: could not convert string"),
        (text.replace("143.954", "-5", 1), "field 'camera matrix'"),
        (text.replace("160 120", "1e6 120"), "field 'size'"),
        (text.replace("1 0 0", "2 0 0"), "field 'rotation': expected a rotation"),
        (text.replace("143.954", "nan", 1), "not finite"),
    ):
        depth_cal.write_text(wrong)
        assert words in error_of(tmp_path)
    depth_cal.unlink()
    assert error_of(tmp_path).startswith("missing_file")
    assert "depth.cal: file not found" in error_of(tmp_path)
    depth_cal.write_text(text)
    depth.write_bytes(data[:1000])
    assert "frame_00003_depth.bin: " in error_of(tmp_path)
    depth.unlink()
    assert "frame_00003_depth.bin: file not found" in error_of(tmp_path)
