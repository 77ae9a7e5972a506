"""RealSense pictures, written as Open3D's recorder, the viewer and scripts write them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from fg3d_builder.captures.layout_source import LayoutSource
from fg3d_builder.captures.layouts.realsense import LAYOUT, read_rig
from fg3d_builder.captures.lens import Lens
from fg3d_builder.config import FramesConfig, SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Array, Capture
from tests.captures.layouts.rgbd_scene import View, seen_by, straight_lens

COLOUR = straight_lens(120, 160, 150.0)
DEPTH = straight_lens(100, 140, 110.0)
ROTATION = Rotation.from_rotvec([0.004, -0.006, 0.003]).as_matrix()
TRANSLATION_MM = np.array([14.9, 0.1, 0.4])
"""``colour_from_depth``, as a D435's."""


def write_picture(file: Path, pixels: Array) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    quality = {"quality": 98, "subsampling": 0} if file.suffix == ".jpg" else {}
    Image.fromarray(pixels).save(file, **quality)


def steps(view: View, unit_mm: float = 1.0) -> Array:
    return np.rint(np.nan_to_num(view.depth_mm) / unit_mm).astype(np.uint16)


def intrinsics(lens: Lens, **more: Any) -> dict[str, Any]:
    """As ``rs2_intrinsics`` of pyrealsense2."""
    K = lens.intrinsics
    return {"width": lens.size[1], "height": lens.size[0], "fx": K[0, 0], "fy": K[1, 1],
            "ppx": K[0, 2], "ppy": K[1, 2], "model": "distortion.brown_conrady",
            "coeffs": [0.0] * 5, **more}  # fmt: skip


def both_cameras(**more: Any) -> dict[str, Any]:
    return {
        "color": intrinsics(COLOUR, model="distortion.inverse_brown_conrady"),
        "depth": intrinsics(DEPTH),
        # librealsense: column by column, metres
        "depth_to_color": {
            "rotation": ROTATION.T.ravel().tolist(),
            "translation": (TRANSLATION_MM / 1000).tolist(),
        },
        "depth_scale": 0.001,
        **more,
    }


def write_json(file: Path, table: dict[str, Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(table, indent=4))
    return file


def open3d_recording(folder: Path, frames: int = 2) -> View:
    """As ``realsense_recorder.py --record_imgs`` of Open3D."""
    view = seen_by(COLOUR)
    K = COLOUR.intrinsics
    table = {"width": 160, "height": 120, "intrinsic_matrix": K.T.ravel().tolist()}
    write_json(folder / "camera_intrinsic.json", table)
    for k in range(frames):
        write_picture(folder / f"color/{k:06d}.jpg", view.rgb)
        write_picture(folder / f"depth/{k:06d}.png", steps(view) + np.uint16(k))
    return view


def unaligned(folder: Path, **more: Any) -> View:
    """Both cameras, each with its own picture, in one folder; returns what the colour sees."""
    write_json(folder / "intrinsics.json", both_cameras(**more))
    turn = ROTATION.T
    depth_view = seen_by(DEPTH, ROTATION, TRANSLATION_MM)
    assert np.allclose(turn @ ROTATION, np.eye(3))
    write_picture(folder / "depth_3.png", steps(depth_view))
    view = seen_by(COLOUR)
    write_picture(folder / "color_3.png", view.rgb)
    return view


def captures(root: Path, **changes: Any) -> list[Capture]:
    config = SourceConfig(kind="realsense", path=str(root), licence="CC0", **changes)
    source = LayoutSource(config, LAYOUT)
    return [source.load(entry) for entry in source.entries()]


def error_of(root: Path) -> str:
    with pytest.raises(CaptureError) as caught:
        captures(root)
    return f"{caught.value.code}: {caught.value.message}"


def test_open3d_recorder(tmp_path: Path) -> None:
    view = open3d_recording(tmp_path / "anna")
    found = captures(tmp_path)
    assert [c.capture_id for c in found] == ["anna-0", "anna-1"]
    assert {c.subject_id for c in found} == {"anna"}
    assert {c.expression for c in found} == {"neutral"}
    for k, capture in enumerate(found):
        np.testing.assert_array_equal(capture.intrinsics, COLOUR.intrinsics)
        # Steps of a millimetre; JPEG of quality 98.
        assert np.abs(capture.depth_mm - k - view.depth_mm).max() <= 0.5
        assert np.abs(capture.rgb.astype(int) - view.rgb).mean() < 1.5


def test_depth_scales(tmp_path: Path) -> None:
    view = open3d_recording(tmp_path, 1)
    file = tmp_path / "camera_intrinsic.json"
    table = json.loads(file.read_text())
    write_picture(tmp_path / "depth/000000.png", steps(view, 0.1))  # as a D405
    for scale in (0.0001, 10000):
        write_json(file, {**table, "depth_scale": scale})
        assert np.abs(captures(tmp_path)[0].depth_mm - view.depth_mm).max() <= 0.05 + 1e-4
    write_json(file, {**table, "depth_scale": 1.0})
    assert "camera_intrinsic.json: field 'depth_scale'" in error_of(tmp_path)


def test_another_camera_is_reprojected(tmp_path: Path) -> None:
    view = unaligned(tmp_path / "ben" / "smile")
    (capture,) = captures(tmp_path)
    assert (capture.capture_id, capture.subject_id) == ("ben-smile-3", "ben")
    assert capture.expression == "smile"
    np.testing.assert_array_equal(capture.rgb, view.rgb)
    error = np.abs(capture.depth_mm - view.depth_mm)[view.head]
    # Steps of a millimetre and interpolation on a surface that curves by its bumps.
    assert np.nanmedian(error) < 0.4
    assert np.nanquantile(error, 0.95) < 1.5
    assert np.isfinite(capture.depth_mm[view.head]).mean() > 0.85
    # The wall behind the head is hidden from the colour camera where the head is.
    assert np.nanmax(capture.depth_mm[view.head]) < 1100


def test_reading_the_rotation_by_rows_is_noticeably_wrong(tmp_path: Path) -> None:
    """Column by column is what librealsense writes: `rs2_transform_point_to_point`."""
    view = unaligned(tmp_path)
    right = np.nanmedian(np.abs(captures(tmp_path)[0].depth_mm - view.depth_mm)[view.head])
    table = both_cameras()
    table["depth_to_color"]["rotation"] = ROTATION.ravel().tolist()
    write_json(tmp_path / "intrinsics.json", table)
    wrong = np.nanmedian(np.abs(captures(tmp_path)[0].depth_mm - view.depth_mm)[view.head])
    assert wrong > 3 * right
    nested = ROTATION.tolist()
    table["depth_to_color"]["rotation"] = nested
    write_json(tmp_path / "intrinsics.json", table)
    assert "depth_to_color.rotation': expected nine numbers" in error_of(tmp_path)


@pytest.mark.parametrize("model", ["brown_conrady", "inverse_brown_conrady"])
def test_a_colour_lens_is_undone(tmp_path: Path, model: str) -> None:
    """A D455's colour camera bends; depth was aligned to the bent pixels."""
    bend = np.array([-0.0565, 0.0688, -0.0007, 0.0004, -0.0222, 0, 0, 0])
    lens = replace(COLOUR, coefficients=3 * bend, scaled_tangential=model.startswith("inv"))
    coeffs = (3 * bend[:5]).tolist()
    table = intrinsics(COLOUR, model=f"distortion.{model}", coeffs=coeffs)
    write_json(tmp_path / "camera.json", table)
    view = seen_by(lens)
    write_picture(tmp_path / "color.png", view.rgb)
    write_picture(tmp_path / "depth.png", steps(view))
    (capture,) = captures(tmp_path)
    straight = seen_by(COLOUR)
    inner = np.zeros(straight.head.shape, bool)
    inner[12:-12, 12:-12] = True
    error = np.abs(capture.rgb.astype(int) - straight.rgb).max(axis=-1)
    assert np.quantile(error[inner], 0.95) <= 3
    assert np.quantile(np.abs(view.rgb.astype(int) - straight.rgb)[inner], 0.95) > 12
    depth_error = np.abs(capture.depth_mm - straight.depth_mm)[straight.head & inner]
    assert np.nanmedian(depth_error) < 0.4
    assert np.nanquantile(depth_error, 0.95) < 1.5


def test_names_of_one_folder(tmp_path: Path) -> None:
    view = seen_by(COLOUR)
    for names in (
        ("color_000001.png", "depth_000001.png"),
        ("00001-color.png", "00001-depth.png"),
        ("frame-1.color.jpg", "frame-1.depth.png"),
        ("rs-save-to-disk-output-Color.png", "rs-save-to-disk-output-Depth.png"),
        ("rgb/1305031102.175304.png", "depth/1305031102.175304.png"),
        ("color_000001.jpg", "aligned_depth_to_color_000001.png"),
        ("color_1280x720_7_1690012.5.png", "depth_640x576_7_1690013.0.png"),
        ("color.png", "depth.png"),
        ("color00000.jpg", "depth00000.png"),  # Open3D's realsense.py
        ("ColorImage_17.png", "DepthImage_17.png"),
        ("rgb/frame0001.jpg", "depth/frame0001.png"),
    ):
        folder = tmp_path / names[0].split(".")[0].replace("/", "-")
        write_json(folder / "person/intrinsics.json", intrinsics(COLOUR))
        write_picture(folder / "person" / names[0], view.rgb)
        write_picture(folder / "person" / names[1], steps(view))
        write_picture(folder / "person" / "depth_vis_000001.png", view.rgb)
        (capture,) = captures(folder)
        assert capture.subject_id == "person"
        assert np.abs(capture.depth_mm - view.depth_mm).max() <= 0.5


def test_whether_depth_is_aligned_must_be_known(tmp_path: Path) -> None:
    """Both cameras of one size: the name or a field says where depth lies."""
    table = both_cameras(depth=intrinsics(COLOUR))
    view = seen_by(COLOUR)
    write_json(tmp_path / "intrinsics.json", table)
    write_picture(tmp_path / "color_1.png", view.rgb)
    write_picture(tmp_path / "depth_1.png", steps(view))
    assert error_of(tmp_path).startswith("missing_field: ")
    assert "field 'aligned'" in error_of(tmp_path)
    write_json(tmp_path / "intrinsics.json", {**table, "aligned": True})
    assert np.abs(captures(tmp_path)[0].depth_mm - view.depth_mm).max() <= 0.5
    write_json(tmp_path / "intrinsics.json", {**table, "aligned": False})
    assert np.nanmax(np.abs(captures(tmp_path)[0].depth_mm - view.depth_mm)) > 100
    write_json(tmp_path / "intrinsics.json", table)
    (tmp_path / "depth_1.png").rename(tmp_path / "aligned_depth_1.png")
    assert np.abs(captures(tmp_path)[0].depth_mm - view.depth_mm).max() <= 0.5


def test_raw_numbers_of_the_viewer(tmp_path: Path) -> None:
    """A snapshot: colours instead of depth in the png, the numbers in .raw, sizes in a csv."""
    view = unaligned(tmp_path)
    (tmp_path / "depth_3.png").unlink()
    (tmp_path / "color_3.png").rename(tmp_path / "shot_Color.png")
    depth_view = seen_by(DEPTH, ROTATION, TRANSLATION_MM)
    write_picture(tmp_path / "shot_Depth.png", depth_view.rgb)
    (tmp_path / "shot_Depth.raw").write_bytes(steps(depth_view).astype("<u2").tobytes())
    csv = tmp_path / "shot_Depth_metadata.csv"
    text = (
        "Frame Info: \nType,Depth\nFormat,Z16\nFrame Number,93\nTimestamp (ms),1553.71\n"
        "Resolution x,140\nResolution y,100\nBytes per pixel,2\n\nIntrinsic:,\n"
        "Fx,110.000000\nFy,111.1\nPPx,71.000000\nPPy,47.0\nDistorsion,Brown Conrady\n"
    )
    csv.write_text(text)
    (capture,) = captures(tmp_path)
    assert np.nanmedian(np.abs(capture.depth_mm - view.depth_mm)[view.head]) < 0.4
    csv.write_text(text.replace("x,140", "x,14000"))
    assert "shot_Depth.raw: 28000 bytes" in error_of(tmp_path)
    csv.write_text(text.replace("Resolution x,140", ""))
    assert "shot_Depth_metadata.csv: field 'Resolution x' is missing" in error_of(tmp_path)


def test_frames_and_sequences(tmp_path: Path) -> None:
    open3d_recording(tmp_path / "anna", 5)
    chosen = captures(tmp_path, frames=FramesConfig("every", 2))
    assert [c.capture_id for c in chosen] == ["anna-0", "anna-2", "anna-4"]
    (item, *_) = LAYOUT.find(tmp_path)
    assert (item.sequence, item.frame) == ("anna", 0)
    assert [file.name for file in item.files] == ["000000.jpg", "000000.png",
                                                  "camera_intrinsic.json"]  # fmt: skip


def test_recordings_whose_names_run_together_stay_apart(tmp_path: Path) -> None:
    view = seen_by(COLOUR)
    for folder, name in (
        ("anna-1", "color_2.png"),
        ("anna", "color_1_2.png"),
        ("ben", "color_2.png"),
    ):
        write_picture(tmp_path / folder / name, view.rgb)
        write_picture(tmp_path / folder / name.replace("color", "depth"), steps(view))
    found = LayoutSource(SourceConfig(kind="realsense", path=str(tmp_path)), LAYOUT).entries()
    ids = {entry.capture_id: entry.subject_id for entry in found}
    assert len(ids) == 3
    assert ids["ben-2"] == "ben"
    assert set(ids.values()) == {"anna", "anna-1", "ben"}


def test_tags_are_words_for_expressions_or_folders(tmp_path: Path) -> None:
    for folder in ("anna", "anna/smile_2", "anna/2024-05-18", "anna/a/b"):
        write_picture(tmp_path / folder / "color_1.png", np.zeros((4, 4, 3), np.uint8))
        write_picture(tmp_path / folder / "depth_1.png", np.ones((4, 4), np.uint16))
    found = {item.name: item.expression for item in LAYOUT.find(tmp_path)}
    assert found == {
        "anna-1": "neutral",
        "anna-smile_2-1": "smile",
        "anna-2024-05-18-1": "2024-05-18",
        "anna-a-b-1": "a-b",
    }


def test_pictures_alone_are_no_recording(tmp_path: Path) -> None:
    write_picture(tmp_path / "anna" / "color_1.png", seen_by(COLOUR).rgb)
    assert LAYOUT.find(tmp_path) == []
    write_json(tmp_path / "anna" / "camera.json", intrinsics(COLOUR))
    assert [item.name for item in LAYOUT.find(tmp_path)] == ["anna-1"]  # depth is missing


def test_frames_by_time_come_in_order(tmp_path: Path) -> None:
    """Names with several numbers, as TUM's tools write them: seconds and their fraction."""
    view = seen_by(COLOUR)
    write_json(tmp_path / "camera.json", intrinsics(COLOUR))
    for name in ("1305031102.175304", "1305031101.999999", "1305031103.000001"):
        write_picture(tmp_path / "rgb" / f"{name}.png", view.rgb)
        write_picture(tmp_path / "depth" / f"{name}.png", steps(view))
    items = LAYOUT.find(tmp_path)
    assert [(item.name, item.frame) for item in items] == [
        ("1305031101-999999", 0),
        ("1305031102-175304", 1),
        ("1305031103-1", 2),
    ]


def test_broken_recordings_are_named(tmp_path: Path) -> None:
    view = open3d_recording(tmp_path, 1)
    camera, depth = tmp_path / "camera_intrinsic.json", tmp_path / "depth/000000.png"
    table = json.loads(camera.read_text())

    camera.write_text("{")
    assert "bad_json" in error_of(tmp_path)
    write_json(camera, {**table, "width": 1280})
    assert "size_mismatch" in error_of(tmp_path)
    assert "000000.jpg: has 160 x 120 pixels" in error_of(tmp_path)
    write_json(camera, {**table, "intrinsic_matrix": table["intrinsic_matrix"][:8]})
    assert "camera_intrinsic.json: field 'intrinsic_matrix'" in error_of(tmp_path)
    rows = COLOUR.intrinsics.ravel().tolist()
    write_json(camera, {**table, "intrinsic_matrix": rows})
    assert "expected fx, 0, 0, 0, fy, 0, cx, cy, 1" in error_of(tmp_path)
    camera.unlink()
    assert "no file describes the cameras; known are camera_intrinsic.json" in error_of(tmp_path)
    write_json(camera, table)

    write_picture(depth, view.rgb)
    assert "000000.png: expected 16-bit greyscale" in error_of(tmp_path)
    write_picture(depth, steps(view)[::2])
    assert "tells nothing of the depth camera" in error_of(tmp_path)
    depth.unlink()
    assert "missing_file" in error_of(tmp_path)
    assert "the depth picture beside 000000.jpg" in error_of(tmp_path)


def test_broken_descriptions_are_named(tmp_path: Path) -> None:
    def message(**changes: Any) -> str:
        with pytest.raises(CaptureError) as caught:
            read_rig(write_json(tmp_path / "x.json", both_cameras(**changes)))
        return caught.value.message

    assert "field 'color.fx'" in message(color=intrinsics(COLOUR, fx=-3))
    assert "field 'depth.ppy'" in message(depth=intrinsics(DEPTH, ppy="a"))
    assert "field 'depth.width'" in message(depth=intrinsics(DEPTH, width=1e9))
    assert "field 'color': expected an object" in message(color=3)
    fish = intrinsics(COLOUR, model="distortion.ftheta", coeffs=[0.1] * 5)
    assert "field 'color.model': expected one of none" in message(color=fish)
    assert "field 'color.coeffs'" in message(color=intrinsics(COLOUR, coeffs=[1, 2]))
    pose = {"rotation": [1, 0, 0, 0, 1, 0, 0, 0, 1], "translation": [15, 0, 0]}
    assert "between two cameras of a device" in message(depth_to_color=pose)
    assert "expected a rotation" in message(depth_to_color={**pose, "rotation": [1] * 9})
    assert "field 'aligned'" in message(aligned="yes")
    del pose["translation"]
    assert "field 'depth_to_color.translation' is missing" in message(depth_to_color=pose)
