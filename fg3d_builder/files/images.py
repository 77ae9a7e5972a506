"""Reading image files without believing them.

Image libraries return a partly grey picture for a file that was cut off while it was copied;
a training set must not swallow one. Every reader here fails loudly instead.
"""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Array

_UNREADABLE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    zlib.error,
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


def _decoded(path: Path) -> Image.Image:
    formats = ["PNG"] if path.suffix.lower() == ".png" else None
    try:
        data = path.read_bytes()
        # Check the sums of a PNG first: decoding alone takes some damaged files.
        Image.open(io.BytesIO(data), formats=formats).verify()
        image = Image.open(io.BytesIO(data))
        image.load()
    except FileNotFoundError:
        raise CaptureError("missing_file", f"{path}: file not found") from None
    except UnidentifiedImageError:
        raise _unreadable(path, f"not {'a PNG' if formats else 'an image'} file") from None
    except _UNREADABLE_ERRORS as error:
        raise _unreadable(path, getattr(error, "strerror", None) or str(error)) from None
    return image


def _unreadable(path: Path, problem: str) -> CaptureError:
    return CaptureError("unreadable_image", f"{path}: {problem}")
