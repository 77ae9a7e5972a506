"""FRGC v2: range images in text, and the picture of the next number."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.captures.layouts.frgc import LAYOUT
from fg3d_builder.captures.opening import open_source
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array
from tests.captures.layouts.scan_writers import abs_text, seen_head, write_frgc

CAMERA = intrinsics_matrix(610.0, 610.0, 63.2, 48.1)


@pytest.fixture(scope="module")
def seen() -> tuple[Array, Array]:
    return seen_head(96, 128, CAMERA, 900.0)


@pytest.mark.parametrize("packed", [False, True])
def test_round_trip(tmp_path: Path, seen: tuple[Array, Array], packed: bool) -> None:
    points, rgb = seen
    write_frgc(tmp_path / "nd1/Fall2003range", "04201d302", "04201d303", packed, points, rgb)
    source = open_source(SourceConfig(kind="frgc", path=str(tmp_path), licence="FRGC"))
    (entry,) = source.entries()
    assert (entry.capture_id, entry.subject_id) == ("04201d302", "04201")
    capture = source.load(entry)
    assert (capture.source, capture.expression, capture.licence) == ("frgc", "unlabelled", "FRGC")
    np.testing.assert_array_equal(capture.rgb, rgb)
    # Six decimals, then single precision: 900 mm have steps of 6e-5.
    np.testing.assert_allclose(capture.depth_mm, points[..., 2], rtol=0, atol=4e-5)
    np.testing.assert_allclose(capture.intrinsics, CAMERA, rtol=1e-6)


def test_names_and_pictures(tmp_path: Path, seen: tuple[Array, Array]) -> None:
    points, rgb = seen
    spring, fall = tmp_path / "Spring2004range", tmp_path / "Fall2003range"
    write_frgc(spring, "02463d08", "02463d09", False, points, rgb)
    write_frgc(spring, "02463d652", "02463d652", True, points, rgb)
    write_frgc(fall, "04202d99", "04202d100", True, points, rgb)
    write_frgc(fall, "04202d99", "04202d100", False, points, rgb)
    (fall / "04202d345.jpg").write_bytes(b"")
    found = LAYOUT.find(tmp_path)
    assert [item.name for item in found] == ["04202d99", "02463d08", "02463d652"]
    assert [item.subject for item in found] == ["04202", "02463", "02463"]
    assert found[0].files[0].name == "04202d99.abs"
    for item in found:
        assert LAYOUT.frame is not None
        np.testing.assert_array_equal(LAYOUT.frame(item).rgb, rgb)
    write_frgc(spring, "04202d99", "04202d100", False, points, rgb)
    names = [item.name for item in LAYOUT.find(tmp_path)]
    assert names[0] == "Fall2003range-04202d99"


def test_labels_of_ones_own(tmp_path: Path, seen: tuple[Array, Array]) -> None:
    for number in (302, 304, 306):
        write_frgc(tmp_path, f"04201d{number}", f"04201d{number + 1}", False, *seen)
    table = "name,expression,refused\n04201d302,happiness,\n04201d304,,hair over the face\n"
    (tmp_path / "labels.csv").write_text(table)
    first, second, third = LAYOUT.find(tmp_path)
    assert [i.expression for i in (first, second, third)] == ["happiness", *2 * ["unlabelled"]]
    assert [i.refusal for i in (first, second, third)] == ["", "hair over the face", ""]
    for text, problem in (
        ("name,mood\n", "expected the columns"),
        ("name,expression\n04201d302\n", "line 2: 1 cells, wanted 2"),
        ("name,expression\n04201d302,a\n04201d302,b\n", "there twice"),
        ("name,expression\n04201d999,a\n", "no scan is called '04201d999'"),
        ('name,expression\n"04201d302,a\n', "labels.csv: line"),
    ):
        (tmp_path / "labels.csv").write_text(text)
        with pytest.raises(ConfigError, match=problem):
            LAYOUT.find(tmp_path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text.replace("96 rows", "96 lines"), "expected three lines"),
        (lambda text: text.replace("96 rows", "97 rows"), "numbers, wanted 4 planes of 12416"),
        (lambda text: text.replace("96 rows", "95 rows"), "more than 4 planes of 12160"),
        (lambda text: text.replace("96 rows", "900000000 rows"), "at most"),
        (lambda text: text.replace("96 rows", "9600 rows"), "too small for"),
        (lambda text: text[: len(text) // 2], "numbers, wanted"),
        (lambda text: text.replace("0 0 0", "0 2 0", 1), "neither 0 nor 1"),
        (lambda text: text.replace("-999999.000000", "one", 1), "no number"),
        (lambda text: text.replace("-999999.000000", "9" * 99, 1), "more than 60 digits"),
        (lambda text: "", "expected three lines"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_broken_range_images_are_named(
    tmp_path: Path, seen: tuple[Array, Array], change, problem: str, packed: bool
) -> None:
    file = write_frgc(tmp_path, "04201d302", "04201d303", packed, *seen)
    data = change(abs_text(seen[0])).encode()
    file.write_bytes(gzip.compress(data) if packed else data)
    (item,) = LAYOUT.find(tmp_path)
    assert LAYOUT.frame is not None
    if packed and "too small" in problem:
        problem = "numbers, wanted"  # a packed file may hold a thousand times its size
    with pytest.raises(CaptureError, match=problem) as caught:
        LAYOUT.frame(item)
    assert caught.value.code == "unreadable_image"
    assert str(file) in caught.value.message


def test_what_is_missing_or_cut_off_is_named(tmp_path: Path, seen: tuple[Array, Array]) -> None:
    file = write_frgc(tmp_path, "04201d302", "04201d303", True, *seen)
    (item,) = LAYOUT.find(tmp_path)
    assert LAYOUT.frame is not None
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CaptureError, match="cut off"):
        LAYOUT.frame(item)
    file.write_bytes(whole)
    picture = tmp_path / "04201d303.ppm"
    pixels = picture.read_bytes()
    picture.write_bytes(pixels[:-7])
    with pytest.raises(CaptureError, match=r"d303\.ppm") as caught:
        LAYOUT.frame(item)
    assert caught.value.code == "unreadable_image"
    picture.unlink()
    with pytest.raises(CaptureError, match=r"04201d302\.ppm nor 04201d303\.ppm") as caught:
        LAYOUT.frame(item)
    assert caught.value.code == "missing_file"
