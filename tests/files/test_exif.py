"""What cameras note down is read, and damage is no obstacle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.exif import UPRIGHT, Exif, read_exif, shown_upright

PIXELS = np.random.default_rng(5).integers(0, 256, (24, 17, 3)).astype(np.uint8)


def save(path: Path, orientation: object, focal: object = None) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    if focal is not None:
        exif.get_ifd(0x8769)[0xA405] = focal
    Image.fromarray(PIXELS).save(path, exif=exif)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_every_orientation_is_read_and_undone(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    path = save(tmp_path / f"photo{suffix}", orientation, 28)
    assert read_exif(path) == Exif(orientation, 28.0)
    with Image.open(path) as image:
        stored = np.array(image.convert("RGB"))
        wanted = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(shown_upright(stored, orientation), wanted)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_what_is_no_orientation_counts_as_none(tmp_path: Path, orientation: int) -> None:
    assert read_exif(save(tmp_path / "photo.jpg", orientation)).orientation == UPRIGHT


def test_a_photo_without_notes(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "plain.png")
    assert read_exif(tmp_path / "plain.png") == Exif(UPRIGHT, None)


def test_damaged_notes_never_crash(tmp_path: Path) -> None:
    whole = save(tmp_path / "photo.jpg", 6, 28).read_bytes()
    start = whole.index(b"Exif")
    length = int.from_bytes(whole[start - 2 : start], "big")
    rng = np.random.default_rng(11)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(start + 6, start + length - 2, 3):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "damaged.jpg").write_bytes(damaged)
        found = read_exif(tmp_path / "damaged.jpg")
        assert found.orientation in range(1, 9)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    for name, code in (("text.jpg", "unreadable_image"), ("none.jpg", "missing_file")):
        with pytest.raises(CaptureError, match=name) as caught:
            read_exif(tmp_path / name)
        assert caught.value.code == code


def by_sensor(path: Path, *, unit: int, per_unit: float, height: int = 4000) -> float | None:
    """The focal length of a photo by a 50 mm lens on a sensor of 6000 x 4000 pixels."""
    exif = Image.Exif()
    inner = exif.get_ifd(0x8769)
    inner[0x920A], inner[0xA210] = 50.0, unit
    inner[0xA20E] = inner[0xA20F] = per_unit
    inner[0xA002], inner[0xA003] = 6000, height
    Image.fromarray(PIXELS).save(path, exif=exif)
    return read_exif(path).focal_35_mm


@pytest.mark.parametrize(("unit", "per_unit"), [(2, 254 * 25.4), (3, 2540.0), (4, 254.0)])
def test_a_focal_length_without_equivalent_is_told_by_the_sensor(
    tmp_path: Path, unit: int, per_unit: float
) -> None:
    """254 pixels a millimetre: 23.6 x 15.7 mm, on which lenses have 1.52 times their length."""
    found = by_sensor(tmp_path / "photo.jpg", unit=unit, per_unit=per_unit)
    assert found == pytest.approx(50 * 36 / (6000 / 254), rel=1e-3)


def test_a_sensor_of_no_possible_size_says_nothing(tmp_path: Path) -> None:
    assert by_sensor(tmp_path / "photo.jpg", unit=3, per_unit=2.54) is None
    assert by_sensor(tmp_path / "photo.jpg", unit=9, per_unit=2540.0) is None
    assert by_sensor(tmp_path / "photo.jpg", unit=3, per_unit=2540.0, height=0) is None
