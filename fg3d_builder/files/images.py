"""Reading image files without believing them.

Image libraries return a partly grey picture for a file that was cut off while it was copied;
a training set must not swallow one. Every reader here fails loudly instead.
"""

from __future__ import annotations

import io
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.records import Array

MAX_PIXELS = 150_000_000
"""Of one image; a file of a few kilobytes may declare any number."""

MAX_IMAGE_BYTES = 2**30

FORMATS = ("BMP", "JPEG", "PNG", "TGA", "TIFF", "WEBP")
"""What is decoded, whatever a file's name says: Pillow also knows formats that run programs."""

_OF_SUFFIX = {".png": ("PNG",), ".ppm": ("PPM",)}
"""What a file called so must be; a picture of the old portable formats has to be called so."""

_MOST_PIXELS_PER_BYTE = {"PNG": 1040 * 8, "PPM": 8}
"""Deflate makes at most 1032 bytes of one, and a byte holds at most eight pixels."""

_COLOUR_MODES = ("RGB", "RGBA", "L", "LA", "P", "PA")

_UNREADABLE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    OverflowError,
    zlib.error,
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
    if image.mode not in _COLOUR_MODES:
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


def decoded_rgb(data: bytes, name: str) -> Array:
    """Decode the bytes of an image to (H, W, 3) uint8; alpha is dropped.

    Parameters
    ----------
    data : bytes
    name : str
        Says in messages where they are from.

    Raises
    ------
    CaptureError
        ``unreadable_image``.
    """
    image = _decoded_bytes(data, name, FORMATS)
    if image.mode not in _COLOUR_MODES:
        raise _unreadable(name, f"expected 8-bit colour, found mode {image.mode}")
    return np.array(image.convert("RGB"))


def _decoded(path: Path) -> Image.Image:
    formats = _OF_SUFFIX.get(path.suffix.lower(), FORMATS)
    data = read_regular(path, "unreadable_image", MAX_IMAGE_BYTES)
    return _decoded_bytes(data, str(path), formats)


def _decoded_bytes(data: bytes, name: str, formats: tuple[str, ...]) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images, where the limit here is `MAX_PIXELS`, and of damaged
            # descriptions that no pixel depends on.
            warnings.simplefilter("ignore")
            # Check the sums of a PNG first: decoding alone takes some damaged files.
            with Image.open(io.BytesIO(data), formats=formats) as image:
                _check_size(image, len(data), name)
                image.verify()
            image = Image.open(io.BytesIO(data), formats=formats)
            image.load()
    except UnidentifiedImageError:
        only = f"a {formats[0]} file" if len(formats) == 1 else ""
        wanted = only or f"an image file ({', '.join(formats)})"
        raise _unreadable(name, f"not {wanted}") from None
    except Image.DecompressionBombError:
        limit = f"more than the {MAX_PIXELS / 1e6:.0f} million pixels declared that are read"
        raise _unreadable(name, limit) from None
    except _UNREADABLE_ERRORS as error:
        raise _unreadable(name, getattr(error, "strerror", None) or str(error)) from None
    return image


def _check_size(image: Image.Image, size: int, name: str) -> None:
    """Refuse, before any pixel is decoded, what is too large or cannot be in the file."""
    pixels = image.width * image.height
    text = f"{image.width} x {image.height} pixels declared"
    if pixels > MAX_PIXELS:
        raise _unreadable(name, f"{text}, at most {MAX_PIXELS / 1e6:.0f} million are read")
    densest = _MOST_PIXELS_PER_BYTE.get(image.format or "")
    if densest is not None and pixels > densest * size:
        raise _unreadable(name, f"{text}, which {size} bytes cannot hold")


def _unreadable(name: object, problem: str) -> CaptureError:
    return CaptureError("unreadable_image", f"{name}: {problem}")
