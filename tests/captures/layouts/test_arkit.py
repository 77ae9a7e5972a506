"""Depth in .npy with pictures and cameras, as people's scripts lay them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.drill.portrait_files import jpeg
from fg3d_builder.captures.layouts.arkit import find, frame
from fg3d_builder.captures.layouts.turned_pixels import turned_camera, turned_image
from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Array
from tests.captures.layouts.phone_writers import png, shot

COLOUR = shot(288, 384)
DEPTH = shot(96, 128)
EXACT = DEPTH.depth_mm.repeat(3, axis=0).repeat(3, axis=1)
K = COLOUR.intrinsics
FOUR = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
COLUMNS = K.T.tolist()


def write(place: Path, stem: str = "0001", depth: Array | None = None, camera: Any = FOUR) -> None:
    place.mkdir(parents=True, exist_ok=True)
    metres = (DEPTH.depth_mm / 1000.0).astype(np.float32) if depth is None else depth
    np.save(place / f"{stem}.npy", metres)
    (place / f"{stem}.png").write_bytes(png(COLOUR.rgb))
    (place / "intrinsics.json").write_text(json.dumps(camera))


def test_a_frame_is_exact(tmp_path: Path) -> None:
    write(tmp_path / "anna/smile")
    write(tmp_path / "anna/smile", "0002")
    first, second = find(tmp_path)
    assert (first.name, first.subject, first.expression) == ("anna-smile-0001", "anna", "smile")
    assert (first.sequence, first.frame, second.frame) == ("anna/smile", 1, 2)
    read = frame(first)
    np.testing.assert_array_equal(read.rgb, COLOUR.rgb)
    np.testing.assert_allclose(read.depth_mm, EXACT, rtol=3e-7)
    np.testing.assert_allclose(read.intrinsics, K, rtol=1e-12)


@pytest.mark.parametrize(
    "camera",
    [
        {"intrinsics": FOUR},
        {"intrinsics": K.tolist()},
        {"intrinsics": COLUMNS},
        {"K": [value for row in K.tolist() for value in row], "width": 288, "height": 384},
        {
            "intrinsicMatrix": [[2 * v for v in row[:2]] + [row[2]] for row in COLUMNS[:2]]
            + [[2 * K[0, 2] + 0.5, 2 * K[1, 2] + 0.5, 1]],
            "intrinsicMatrixReferenceDimensions": {"width": 576, "height": 768},
        },
        {"camera_matrix": K.tolist(), "imageResolution": [288, 384]},
    ],
)
def test_cameras_in_several_spellings(tmp_path: Path, camera: Any) -> None:
    write(tmp_path / "anna", camera=camera)
    np.testing.assert_allclose(frame(find(tmp_path)[0]).intrinsics, K, rtol=1e-9)


def test_a_matrix_in_text_and_a_camera_above(tmp_path: Path) -> None:
    write(tmp_path / "anna")
    (tmp_path / "anna/intrinsics.json").unlink()
    np.savetxt(tmp_path / "intrinsics.txt", K)
    np.testing.assert_allclose(frame(find(tmp_path)[0]).intrinsics, K, rtol=1e-9)
    other = K + np.diag([1.0, 1.0, 0.0])
    np.savetxt(tmp_path / "anna/0001.txt", other.T)  # the frame's own comes first
    np.testing.assert_allclose(frame(find(tmp_path)[0]).intrinsics, other, rtol=1e-9)


@pytest.mark.parametrize(
    ("depth_name", "colour_name"),
    [
        ("0003_depth.npy", "0003.jpg"),
        ("depth_0003.npy", "rgb_0003.jpg"),
        ("depth/0003.npy", "rgb/0003.jpg"),
        ("0003_depth.npy", "0003_color.png"),
        ("depth/0003.npy", "images/0003.png"),
    ],
)
def test_names_of_pairs(tmp_path: Path, depth_name: str, colour_name: str) -> None:
    place = tmp_path / "anna"
    write(place)
    (place / depth_name).parent.mkdir(exist_ok=True)
    (place / colour_name).parent.mkdir(exist_ok=True)
    (place / "0001.npy").rename(place / depth_name)
    (place / "0001.png").unlink()
    picture = png(COLOUR.rgb) if colour_name.endswith("png") else jpeg(COLOUR.rgb)
    (place / colour_name).write_bytes(picture)
    np.save(place / "0003_confidence.npy", np.zeros((4, 4)))
    (item,) = find(tmp_path)
    assert (item.name, item.subject, item.frame) == ("anna-0003", "anna", 3)
    np.testing.assert_allclose(frame(item).depth_mm, EXACT, rtol=3e-7)


def test_half_precision_and_a_third_axis(tmp_path: Path) -> None:
    half = (DEPTH.depth_mm / 1000.0).astype(np.float16)[..., None]
    write(tmp_path / "anna", depth=half)
    # Half precision holds 11 bits: 0.12 mm below half a metre.
    np.testing.assert_allclose(frame(find(tmp_path)[0]).depth_mm, EXACT, atol=0.13)


@pytest.mark.parametrize(
    ("damage", "code", "text"),
    [
        (lambda p: (p / "0001.png").unlink(), "missing_file", r"0001\.jpg"),
        (lambda p: (p / "intrinsics.json").unlink(), "missing_file", r"intrinsics\.json"),
        (lambda p: np.save(p / "0001.npy", np.ones((8, 8), int)), "unreadable_image", "metres in"),
        (lambda p: np.save(p / "0001.npy", np.ones(8)), "unreadable_image", "a 2D array"),
        (lambda p: np.save(p / "0001.npy", np.ones((8, 8))), "size_mismatch", "8 x 8"),
        (lambda p: (p / "0001.npy").write_bytes(b"x"), "unreadable_image", r"0001\.npy"),
        (
            lambda p: (p / "intrinsics.json").write_text('{"fx": 1}'),
            "missing_field",
            r"json: field 'fy'",
        ),
        (lambda p: (p / "intrinsics.json").write_text("{}"), "missing_field", "'fx', 'fy'"),
        (
            lambda p: (p / "intrinsics.json").write_text('{"K": [1, 2, 3, 4, 5, 6, 7, 8, 9]}'),
            "bad_field",
            "a pinhole camera's matrix",
        ),
        (
            lambda p: (p / "0001.txt").write_text("1 2\n3 4\n"),
            "bad_field",
            r"0001\.txt: expected three rows",
        ),
        (lambda p: (p / "0001.txt").write_text("a b c\n"), "bad_field", "expected numbers"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, damage: Any, code: str, text: str) -> None:
    write(tmp_path / "anna")
    damage(tmp_path / "anna")
    with pytest.raises(CaptureError, match=text) as caught:
        frame(find(tmp_path)[0])
    assert caught.value.code == code


def write_tagged(place: Path, orientation: int, turns: int, noted: bool, lying_depth: bool) -> None:
    """A picture as the sensor has it, turned clockwise by `turns`, tagged to be turned back."""
    back = 4 - turns
    camera, size = turned_camera(K, COLOUR.rgb.shape[:2], back)
    metres = (DEPTH.depth_mm / 1000.0).astype(np.float32)
    table = {"K": camera.tolist()} | ({"width": size[1], "height": size[0]} if noted else {})
    write(place, depth=turned_image(metres, back) if lying_depth else metres, camera=table)
    (place / "0001.png").unlink()
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg(turned_image(COLOUR.rgb, back), 98, exif=exif.tobytes())
    (place / "0001.jpg").write_bytes(data)


@pytest.mark.parametrize(("orientation", "turns"), [(6, 3), (8, 1)])
@pytest.mark.parametrize("noted", [False, True])
def test_a_lying_frame_is_turned_where_shapes_agree(
    tmp_path: Path, orientation: int, turns: int, noted: bool
) -> None:
    write_tagged(tmp_path / "anna", orientation, turns, noted, True)
    read = frame(find(tmp_path)[0])
    assert np.abs(read.rgb.astype(float) - COLOUR.rgb).mean() < 3
    np.testing.assert_allclose(read.depth_mm, EXACT, rtol=3e-7)
    np.testing.assert_allclose(read.intrinsics, K, rtol=1e-9)


@pytest.mark.parametrize(
    ("orientation", "turns", "lying_depth"), [(6, 3, False), (3, 2, True), (2, 0, True)]
)
def test_a_tag_is_refused_where_nobody_knows(
    tmp_path: Path, orientation: int, turns: int, lying_depth: bool
) -> None:
    write_tagged(tmp_path / "anna", orientation, turns, True, lying_depth)
    with pytest.raises(CaptureError, match=f"orientation tag is {orientation}") as caught:
        frame(find(tmp_path)[0])
    assert caught.value.code == "orientation_tag"


def test_a_tag_is_refused_where_the_camera_is_that_of_the_shown_picture(tmp_path: Path) -> None:
    write_tagged(tmp_path / "anna", 6, 3, True, True)
    (tmp_path / "anna/intrinsics.json").write_text(json.dumps(FOUR))
    with pytest.raises(CaptureError, match="orientation tag is 6"):
        frame(find(tmp_path)[0])
