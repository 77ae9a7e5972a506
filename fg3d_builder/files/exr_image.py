"""One channel of an OpenEXR image, by the OpenEXR package where it is installed."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from fg3d_builder.errors import CaptureError, MissingDependencyError
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.records import Array

EXTRA = "exr"
UNREADABLE = "unreadable_image"
_MAGIC = b"\x76\x2f\x31\x01"
_MAX_BYTES = 2**28
_MAX_PIXELS = 2**25
_MAX_ATTRIBUTES = 1000
_PREFERRED = ("Z", "Y", "V", "R")
"""Names of the channel that holds depth, where there are several."""


def read_exr_channel(path: Path) -> Array:
    """Read the only channel of an image, or that which holds depth, as (H, W) float32.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``unreadable_image``.
    MissingDependencyError
        The package is not installed.
    """
    try:
        import OpenEXR
    except ImportError:
        raise MissingDependencyError(
            f"{path}: EXR images need the package OpenEXR: pip install 'fg3d-builder[{EXTRA}]'"
        ) from None
    data = read_regular(path, UNREADABLE, _MAX_BYTES)
    width, height = _size(data, path)
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = {name: channel.pixels for name, channel in file.channels().items()}
    except Exception as error:  # the library has its own, without a common base
        raise CaptureError(
            UNREADABLE, f"{path}: no EXR image, or a damaged one ({error})"
        ) from None
    name = next((one for one in (*_PREFERRED, *channels) if one in channels), "")
    pixels = np.asarray(channels.get(name))
    if pixels.shape != (height, width) or pixels.dtype.kind != "f":
        text = f"expected {width} x {height} real numbers, found {pixels.dtype} of {pixels.shape}"
        raise CaptureError(UNREADABLE, f"{path}: {text}")
    return pixels.astype(np.float32)


def _size(data: bytes, path: Path) -> tuple[int, int]:
    """Return width and height, by the header, before the library takes memory for them."""
    if not data.startswith(_MAGIC):
        raise CaptureError(UNREADABLE, f"{path}: no EXR image")
    at = 8
    for _ in range(_MAX_ATTRIBUTES):
        name_end = data.find(b"\0", at, at + 256)
        type_end = data.find(b"\0", name_end + 1, name_end + 257)
        if name_end <= at or type_end < 0 or type_end + 5 > len(data):
            break
        name, size = data[at:name_end], struct.unpack_from("<i", data, type_end + 1)[0]
        at = type_end + 5
        if name == b"dataWindow" and size == 16 and at + 16 <= len(data):
            left, top, right, bottom = struct.unpack_from("<4i", data, at)
            width, height = right - left + 1, bottom - top + 1
            if width < 1 or height < 1 or width * height > _MAX_PIXELS:
                text = f"{width} x {height} pixels, at most {_MAX_PIXELS} are read"
                raise CaptureError(UNREADABLE, f"{path}: {text}")
            return width, height
        if size < 0:
            break
        at += size
    raise CaptureError(UNREADABLE, f"{path}: its header has no size")
