"""Cameras, photos and depth that cannot belong together are named with their file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fg3d_builder.captures.folder import read_capture, write_capture
from fg3d_builder.captures.plausibility import check_camera
from fg3d_builder.errors import CaptureError
from fg3d_builder.geometry.camera import intrinsics_matrix, scaled_intrinsics
from fg3d_builder.records import Capture

HEIGHT, WIDTH = 64, 48
CAMERA = intrinsics_matrix(60.0, 60.5, 23.0, 32.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    capture = Capture(
        capture_id="one",
        subject_id="anna",
        source="folder",
        rgb=rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8),
        depth_mm=rng.uniform(400, 500, (HEIGHT, WIDTH)).astype(np.float32),
        intrinsics=CAMERA,
    )
    write_capture(tmp_path / "one", capture, depth_format="npy")
    return tmp_path / "one"


def change(folder: Path, **fields: Any) -> None:
    file = folder / "capture.json"
    table = json.loads(file.read_text())
    table["intrinsics"].update(fields)
    file.write_text(json.dumps(table))


def failure(folder: Path) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        read_capture(folder)
    return caught.value


@pytest.mark.parametrize("factor", [2.5, 4.0, 12.0])
def test_intrinsics_of_a_larger_image_say_of_which(folder: Path, factor: float) -> None:
    camera = scaled_intrinsics(CAMERA, factor)
    names = {"fx": (0, 0), "fy": (1, 1), "cx": (0, 2), "cy": (1, 2)}
    change(folder, **{name: float(camera[place]) for name, place in names.items()})
    error = failure(folder)
    assert error.code == "bad_field"
    assert "capture.json: field 'intrinsics'" in error.message
    assert "is outside the image: the image has 48 x 64 pixels" in error.message
    assert f"about {2 * camera[0, 2] + 1:.0f} x {2 * camera[1, 2] + 1:.0f}" in error.message
    divisor = float(error.message.rsplit(" ", 1)[1])
    assert divisor == pytest.approx(factor, rel=0.02)


def test_intrinsics_of_an_image_of_another_shape(folder: Path) -> None:
    change(folder, fx=3000.0, fy=3000.0, cx=1920.0, cy=1080.0)
    error = failure(folder)
    assert "about 3841 x 2161" in error.message
    assert "divide" not in error.message


@pytest.mark.parametrize("place", [{"cx": -3.0}, {"cy": -1.0}, {"cx": 48.0}, {"cy": 63.6}])
def test_the_principal_point_is_in_the_image(folder: Path, place: dict[str, float]) -> None:
    change(folder, **place)
    assert failure(folder).code == "bad_field"


@pytest.mark.parametrize(("focal", "word"), [(1e5, "0.04"), (2.0, "degrees"), (0.01, "degrees")])
def test_no_camera_sees_so_much_or_little(folder: Path, focal: float, word: str) -> None:
    change(folder, fx=focal, fy=focal)
    error = failure(folder)
    assert error.code == "bad_field"
    assert "across the diagonal" in error.message
    assert word in error.message


def test_pixels_are_about_square(folder: Path) -> None:
    change(folder, fx=60.0, fy=600.0)
    assert "fx 60 and fy 600" in failure(folder).message


def test_right_cameras_pass() -> None:
    file = Path("capture.json")
    for factor in (0.5, 1.0, 3.0, 10.0):
        height, width = round(HEIGHT * factor), round(WIDTH * factor)
        check_camera(scaled_intrinsics(CAMERA, factor), width, height, file)
    # A face cut out of a large photo: little of the field of view, off the axis.
    check_camera(intrinsics_matrix(3000.0, 3000.0, 3.0, 250.0), 260, 260, file)
    # Wide, and stretched to a square.
    check_camera(intrinsics_matrix(90.0, 160.0, 119.0, 119.0), 240, 240, file)


@pytest.mark.parametrize("tag", range(2, 9))
@pytest.mark.parametrize("name", ["color.png", "color.jpg"])
def test_a_photo_that_is_shown_turned_is_named(folder: Path, tag: int, name: str) -> None:
    pixels = np.array(Image.open(folder / "color.png"))
    (folder / "color.png").unlink()
    exif = Image.Exif()
    exif[0x0112] = tag
    Image.fromarray(pixels).save(folder / name, exif=exif)
    error = failure(folder)
    assert error.code == "orientation_tag"
    assert f"{name}: its EXIF orientation tag is {tag}" in error.message


def test_a_tag_that_says_upright_is_fine(folder: Path) -> None:
    pixels = np.array(Image.open(folder / "color.png"))
    exif = Image.Exif()
    exif[0x0112] = 1
    Image.fromarray(pixels).save(folder / "color.png", exif=exif)
    assert read_capture(folder).rgb.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("huge", [1e7, 1e13, 3e38, np.inf])
def test_depth_beyond_a_kilometre_is_none(folder: Path, huge: float) -> None:
    depth = np.load(folder / "depth.npy")
    depth[:10] = huge
    np.save(folder / "depth.npy", depth)
    found = read_capture(folder)
    assert np.isnan(found.depth_mm[:10]).all()
    np.testing.assert_array_equal(found.depth_mm[10:], depth[10:])
    np.save(folder / "depth.npy", np.full_like(depth, huge))
    assert failure(folder).code == "no_depth"


def test_the_declared_unit_travels_with_the_capture(folder: Path) -> None:
    assert read_capture(folder).unit_mm == 1.0
