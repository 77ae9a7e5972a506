"""Pixels of HEIF files, by pillow-heif where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np

from fg3d_builder.errors import CaptureError, MissingDependencyError
from fg3d_builder.files.images import MAX_PIXELS
from fg3d_builder.records import Array

EXTRA = "phones"
_UNREADABLE_ERRORS = (
    ValueError, OSError, EOFError, SyntaxError, RuntimeError, TypeError, LookupError, MemoryError,
)  # fmt: skip


def heif_pictures(data: bytes, name: str) -> tuple[Array, Array]:
    """Decode the primary picture of a HEIF file and its depth image, both as they are shown.

    Parameters
    ----------
    data : bytes
    name : str
        Of the file, for messages.

    Returns
    -------
    rgb : (H, W, 3) uint8
    depth : (h, w) uint8 or uint16
        Stored numbers.

    Raises
    ------
    CaptureError
        ``unreadable_image``, or ``no_depth`` where there is no depth image.
    MissingDependencyError
        pillow-heif is not installed.
    """
    try:
        import pillow_heif
    except ImportError:
        raise MissingDependencyError(
            f"{name}: HEIC photos need the package pillow-heif: pip install 'fg3d-builder[{EXTRA}]'"
        ) from None
    try:
        opened = pillow_heif.open_heif(data, convert_hdr_to_8bit=True)
        _check_size(opened, name)
        depths = opened.info.get("depth_images") or []
        if not depths:
            raise CaptureError("no_depth", f"{name}: no depth image in it")
        _check_size(depths[0], name)
        stored = np.asarray(depths[0])
        rgb = np.asarray(opened)
    except _UNREADABLE_ERRORS as error:
        text = f"{name}: no HEIF picture, or a damaged one ({error})"
        raise CaptureError("unreadable_image", text) from None
    if stored.ndim == 3:
        stored = stored[..., 0]
    if rgb.ndim == 2:
        rgb = np.repeat(rgb[..., None], 3, axis=2)
    if rgb.dtype != np.uint8 or stored.dtype.kind != "u":
        text = f"{name}: pixels of types {rgb.dtype} and {stored.dtype}"
        raise CaptureError("unreadable_image", text)
    return np.ascontiguousarray(rgb[..., :3]), stored


def _check_size(image: Any, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        text = f"{name}: {width} x {height} pixels, at most {MAX_PIXELS / 1e6:.0f} million are read"
        raise CaptureError("unreadable_image", text)
