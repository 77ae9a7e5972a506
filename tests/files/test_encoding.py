"""Pictures go through their encodings; what is no picture, or a damaged one, is said to be so."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from fg3d_builder.files import encoding
from fg3d_builder.files.encoding import decode_image, encode_jpeg, encode_png
from fg3d_builder.records import Array


def picture(seed: int, height: int = 48, width: int = 64) -> Array:
    """Smooth colours and some noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (6, 8, 3))
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(smooth + rng.normal(size=smooth.shape), 0, 255).astype(np.uint8)


def test_png_is_what_it_was() -> None:
    rgb = picture(1)
    np.testing.assert_array_equal(decode_image(encode_png(rgb)), rgb)
    np.testing.assert_array_equal(decode_image(np.frombuffer(encode_png(rgb), np.uint8)), rgb)


def test_jpeg_is_near_what_it_was() -> None:
    rgb = picture(2)
    off = decode_image(encode_jpeg(rgb)).astype(float) - rgb
    assert np.sqrt(np.mean(off**2)) < 2.0  # grey levels, at quality 95


def test_both_decoders_give_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    coded = [encode_jpeg(picture(seed)) for seed in range(20)]
    quick = [decode_image(data) for data in coded]
    monkeypatch.setattr(encoding, "simplejpeg", None)
    for data, pixels in zip(coded, quick, strict=True):
        np.testing.assert_array_equal(decode_image(data), pixels)


@pytest.mark.parametrize("encode", [encode_jpeg, encode_png])
@pytest.mark.parametrize("is_there", [True, False])
def test_pixels_come_into_the_array_that_is_given(
    encode, is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_there:
        monkeypatch.setattr(encoding, "simplejpeg", None)
    coded, batch = encode(picture(3)), np.zeros((3, 48, 64, 3), np.uint8)
    assert np.shares_memory(decode_image(coded, batch[1]), batch)
    np.testing.assert_array_equal(batch[1], decode_image(coded))
    assert not batch[0].any()
    assert not batch[2].any()
    for shape in ((64, 48, 3), (50, 70, 3), (20, 20, 3)):
        with pytest.raises(ValueError, match="64 x 48 pixels, wanted"):
            decode_image(coded, np.zeros(shape, np.uint8))


def test_what_is_no_image_is_refused() -> None:
    for data in (b"", bytes(30), b"\xff\xd8\xff", encode_jpeg(picture(4))[:100]):
        with pytest.raises(ValueError, match="no image"):
            decode_image(data)


def test_a_picture_that_declares_more_pixels_than_there_is_room_for_is_refused() -> None:
    coded = bytearray(encode_png(picture(6)))
    coded[16:24] = struct.pack(">II", 40_000, 40_000)
    coded[29:33] = struct.pack(">I", zlib.crc32(coded[12:29]))
    with pytest.raises(ValueError, match="no image"):
        decode_image(bytes(coded))


def test_a_jpeg_with_a_hole_is_refused() -> None:
    coded = np.frombuffer(encode_jpeg(picture(5)), np.uint8).copy()
    coded[len(coded) // 2 : len(coded) // 2 + 100] = 0
    with pytest.raises(ValueError, match="no image"):
        decode_image(coded)
    with pytest.raises(ValueError, match="no image"):
        decode_image(coded[:-50])
