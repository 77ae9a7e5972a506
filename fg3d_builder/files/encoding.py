"""Pictures in memory to PNG and JPEG bytes, and back.

OpenCV encodes all and decodes PNG. JPEG is decoded by simplejpeg: the same pixels, a tenth faster,
into an array that is there already, and with an error where a picture is damaged, of which OpenCV
makes a grey one. A machine that only trains may lack it; OpenCV stands in there.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fg3d_builder.records import Array

try:
    import simplejpeg
except ModuleNotFoundError:
    simplejpeg = None

_JPEG_BEGINS = b"\xff\xd8\xff"


def encode_png(pixels: Array, *, quick: bool = False) -> bytes:
    """Encode (H, W, 3) uint8 RGB, (H, W) uint8 or (H, W) uint16 pixels as PNG, without loss.

    `quick`: in half the time; photos take up to a tenth more bytes.
    """
    level = (cv2.IMWRITE_PNG_COMPRESSION, 1 if quick else 3)
    strategy = (cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE) if quick else ()
    return _encoded(".png", pixels, (*level, *strategy))


def encode_jpeg(rgb: Array, quality: int = 95) -> bytes:
    """Encode (H, W, 3) uint8 RGB as JPEG with colour at full resolution (4:4:4)."""
    full_colour = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    return _encoded(".jpg", rgb, (cv2.IMWRITE_JPEG_QUALITY, quality, *full_colour))


def decode_image(data: Array | bytes, out: Array | None = None) -> Array:
    """Decode an image to (H, W, 3) RGB uint8.

    Parameters
    ----------
    data : bytes or (k,) uint8
        The encoded file.
    out : (H, W, 3) uint8, optional
        Contiguous; takes the pixels, and is returned. A new array without it.

    Raises
    ------
    ValueError
        The bytes are no image, a damaged one, or one of another size than `out`.
    """
    if simplejpeg is not None and bytes(data[:3]) == _JPEG_BEGINS:
        return _decoded_jpeg(data, out)
    pixels = _pixels(np.frombuffer(data, np.uint8))
    if pixels is None:
        raise ValueError(f"{len(data)} bytes that are no image")
    if out is not None:
        _check_size(pixels.shape, out)
    # A tenth of the time that copying a reversed view takes.
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels if out is None else out))


def _pixels(coded: Array) -> Array | None:
    """Return BGR pixels; None for what is no image."""
    try:
        return cv2.imdecode(coded, cv2.IMREAD_COLOR) if len(coded) else None
    except cv2.error:  # declares more pixels than OpenCV makes room for
        return None


def _decoded_jpeg(data: Array | bytes, out: Array | None) -> Array:
    try:
        if out is not None:
            height, width, *_ = simplejpeg.decode_jpeg_header(data)
            _check_size((height, width, 3), out)
        decoded = simplejpeg.decode_jpeg(data, "RGB", buffer=out)  # a view of `out`, if given
        return np.asarray(decoded if out is None else out)
    except ValueError as error:
        raise ValueError(f"{len(data)} bytes that are no image: {error}") from None


def _check_size(shape: tuple[int, ...], out: Array) -> None:
    if shape != out.shape:
        raise ValueError(f"an image of {shape[1]} x {shape[0]} pixels, wanted {out.shape[1::-1]}")


def _encoded(suffix: str, pixels: Array, options: Sequence[int]) -> bytes:
    stored = np.ascontiguousarray(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        stored = cv2.cvtColor(stored, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(suffix, stored, options)
    if not done:
        raise ValueError(f"pixels of shape {pixels.shape} cannot be written as {suffix}")
    return bytes(data)
