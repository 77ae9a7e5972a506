"""Reading image files without believing them.

Image libraries return a partly grey picture for a file that was cut off while it was copied;
a training set must not swallow one. Every reader here fails loudly instead.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Array

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DECODING_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, zlib.error),
    Image.DecompressionBombError,
)


def read_rgb(path: Path) -> Array:
    """Read a colour image as (H, W, 3) uint8, exactly as its pixels are stored.

    An orientation tag is not applied: depth and intrinsics belong to the stored pixels.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``unreadable_image``.
    """
    image = _decoded(path)
    if image.mode not in ("RGB", "RGBA", "L", "P"):
        raise _unreadable(path, f"expected 8-bit colour, found mode {image.mode}")
    return np.array(image.convert("RGB"))


def read_uint16(path: Path) -> Array:
    """Read a 16-bit greyscale PNG as (H, W) uint16.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``unreadable_image``.
    """
    image = _decoded(path)
    # Pillow before version 11 opens 16-bit greyscale PNGs in its 32-bit integer mode.
    if image.mode not in ("I;16", "I"):
        raise _unreadable(path, f"expected 16-bit greyscale, found mode {image.mode}")
    return np.array(image).astype(np.uint16)


def png_problem(data: bytes) -> str:
    """Return what is wrong with the container of a PNG, ``""`` where it is whole.

    Checks every chunk's length and CRC and that the last one is IEND, which no decoder
    at hand does reliably.
    """
    if not data.startswith(PNG_SIGNATURE):
        return "not a PNG file"
    position = len(PNG_SIGNATURE)
    while position < len(data):
        if position + 12 > len(data):
            return "truncated inside a chunk header"
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        end = position + 12 + length
        if end > len(data):
            return f"truncated inside a {kind.decode('latin-1')} chunk"
        (crc,) = struct.unpack(">I", data[end - 4 : end])
        if zlib.crc32(data[position + 4 : end - 4]) != crc:
            return f"wrong checksum of a {kind.decode('latin-1')} chunk"
        if kind == b"IEND":
            return ""
        position = end
    return "truncated: the IEND chunk is missing"


def _decoded(path: Path) -> Image.Image:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CaptureError("missing_file", f"{path}: file not found") from None
    except OSError as error:
        raise _unreadable(path, error.strerror or "cannot be read") from None
    if path.suffix.lower() == ".png" and (problem := png_problem(data)):
        raise _unreadable(path, problem)
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except UnidentifiedImageError:
        raise _unreadable(path, "not an image file") from None
    except _DECODING_ERRORS as error:
        raise _unreadable(path, str(error)) from None
    return image


def _unreadable(path: Path, problem: str) -> CaptureError:
    return CaptureError("unreadable_image", f"{path}: {problem}")
