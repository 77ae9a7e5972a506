"""What a camera has noted down in a photo: which way up it was held, and its focal length."""

from __future__ import annotations

import io
import math
import struct
import warnings
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image

from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Array

UPRIGHT = 1
"""Orientation of a picture that is shown as it is stored."""


class Exif(NamedTuple):
    """Notes of a camera.

    Attributes
    ----------
    orientation : int
        1 to 8, as EXIF numbers them; `UPRIGHT` where nothing is noted.
    focal_35_mm : float or None
        Focal length that gives the same picture on 35 mm film.
    """

    orientation: int
    focal_35_mm: float | None


def read_exif(path: Path) -> Exif:
    """Read the notes in an image file; damaged ones count as absent.

    Only of a file that `fg3d_builder.files.images.read_rgb` has read: this one opens whatever is
    there, be it a pipe, and bounds nothing.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``unreadable_image``.
    """
    return _notes(path, path)


def exif_of(data: bytes, name: str) -> Exif:
    """Read the notes in the bytes of an image, as `read_exif`; `name` is for messages."""
    return _notes(io.BytesIO(data), name)


def _notes(source: Path | BinaryIO, path: object) -> Exif:
    try:
        with Image.open(source) as image, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged notes
            exif = image.getexif()
            orientation = _number(exif.get(ExifTags.Base.Orientation))
            inner = exif.get_ifd(ExifTags.IFD.Exif)
            focal = _number(inner.get(ExifTags.Base.FocalLengthIn35mmFilm))
    except FileNotFoundError:
        raise CaptureError("missing_file", f"{path}: file not found") from None
    except OSError as error:
        problem = error.strerror or str(error)
        raise CaptureError("unreadable_image", f"{path}: {problem}") from None
    except (SyntaxError, ValueError, KeyError, TypeError, struct.error):
        return Exif(UPRIGHT, None)
    turned = orientation in range(1, 9)
    return Exif(int(orientation) if turned else UPRIGHT, focal if focal > 0 else None)


def shown_upright(rgb: Array, orientation: int) -> Array:
    """Turn and mirror stored pixels (H, W, 3) as an orientation says that they are shown."""
    turned = rgb
    if orientation >= 5:  # rows of the picture are stored as columns
        turned = turned.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def _number(value: object) -> float:
    """Return a positive finite number, or 0 for anything else that a file may hold."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0
