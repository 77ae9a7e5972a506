"""Damaged PNG files: whatever is lost or changed, wrong pixels never come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.images import read_rgb, read_uint16

RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (9, 11, 3), dtype=np.uint8)
DEPTH = RANDOM.integers(0, 2**16, (9, 11), dtype=np.uint16)


def pixels_or_failure(path: Path, data: bytes) -> np.ndarray | None:
    """Pixels of `data` as a PNG, or None where reading fails as it should."""
    path.write_bytes(data)
    try:
        return read_rgb(path)
    except CaptureError as error:
        if error.code == "unreadable_image" and str(path) in error.message:
            return None
        raise


def test_pixels_come_back(tmp_path: Path) -> None:
    (tmp_path / "color.png").write_bytes(encode_png(COLOUR))
    (tmp_path / "depth.png").write_bytes(encode_png(DEPTH))
    assert np.array_equal(read_rgb(tmp_path / "color.png"), COLOUR)
    assert np.array_equal(read_uint16(tmp_path / "depth.png"), DEPTH)


def test_no_cut_gives_wrong_pixels(tmp_path: Path) -> None:
    whole = encode_png(COLOUR)
    read = [pixels_or_failure(tmp_path / "cut.png", whole[:k]) for k in range(len(whole))]
    # Only the last chunk's four bytes of checksum may be missing: no pixel depends on them.
    assert all(pixels is None for pixels in read[:-4])
    assert all(np.array_equal(pixels, COLOUR) for pixels in read[-4:])


@pytest.mark.parametrize("bit", [1, 128])
def test_no_flipped_bit_gives_wrong_pixels(tmp_path: Path, bit: int) -> None:
    whole = encode_png(COLOUR)
    for k in range(len(whole)):
        harmed = bytearray(whole)
        harmed[k] ^= bit
        pixels = pixels_or_failure(tmp_path / "flip.png", bytes(harmed))
        # The last chunk, 12 bytes without pixels, is not checked to the last bit.
        assert pixels is None or (k >= len(whole) - 12 and np.array_equal(pixels, COLOUR))


def test_a_jpeg_named_png_is_refused(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "color.jpg")
    (tmp_path / "color.jpg").rename(tmp_path / "color.png")
    with pytest.raises(CaptureError, match=r"color\.png: not a PNG file"):
        read_rgb(tmp_path / "color.png")


@pytest.mark.parametrize("binary", [True, False])
def test_a_portable_pixmap_comes_back(tmp_path: Path, binary: bool) -> None:
    height, width = COLOUR.shape[:2]
    numbers = " ".join(map(str, COLOUR.ravel()))
    head = f"{'P6' if binary else 'P3'}\n# a comment\n{width} {height}\n255\n"
    data = head.encode() + (COLOUR.tobytes() if binary else numbers.encode())
    np.testing.assert_array_equal(pixels_or_failure(tmp_path / "color.ppm", data), COLOUR)
    for cut in range(len(head) // 2, len(data) - 1):
        assert pixels_or_failure(tmp_path / "cut.ppm", data[:cut]) is None
    (tmp_path / "huge.ppm").write_bytes(b"P6\n9999 9999\n255\n" + bytes(99))
    with pytest.raises(CaptureError, match="pixels declared"):
        read_rgb(tmp_path / "huge.ppm")
    (tmp_path / "color.tif").write_bytes(data)
    with pytest.raises(CaptureError, match=r"color\.tif: not an image file"):
        read_rgb(tmp_path / "color.tif")
