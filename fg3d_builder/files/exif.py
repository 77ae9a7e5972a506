"""What a camera has noted down in a photo: which way up it was held, and its focal length."""

from __future__ import annotations

import io
import math
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image

from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Array

FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
"""Diagonal of the 35 mm film that cameras state their equivalent focal length for."""

SENSOR_MM = (1.0, 100.0)
"""Sides that a sensor may have; notes that say otherwise are wrong."""

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
            focal = _number(inner.get(ExifTags.Base.FocalLengthIn35mmFilm)) or _by_sensor(inner)
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


def _by_sensor(notes: Mapping[int, object]) -> float:
    """Return the equivalent focal length by the lens's own and the size of the sensor, mm.

    Cameras with interchangeable lenses may note these down in place of the equivalent; 0 where
    they do not. The sensor's pixels are those of the picture as it was taken, whose size is noted
    down beside them, so that a picture that was reduced since has the same focal length.
    """
    focal_mm = _number(notes.get(ExifTags.Base.FocalLength))
    unit_mm = _SENSOR_UNITS_MM.get(_number(notes.get(ExifTags.Base.FocalPlaneResolutionUnit, 2)))
    pixels = (
        (ExifTags.Base.ExifImageWidth, ExifTags.Base.FocalPlaneXResolution),
        (ExifTags.Base.ExifImageHeight, ExifTags.Base.FocalPlaneYResolution),
    )
    sides_mm = [
        _number(notes.get(count)) * unit_mm / _number(notes.get(in_unit))
        for count, in_unit in pixels
        if unit_mm and _number(notes.get(in_unit))
    ]
    if len(sides_mm) < 2 or not all(SENSOR_MM[0] < side < SENSOR_MM[1] for side in sides_mm):
        return 0.0
    return focal_mm * FILM_DIAGONAL_MM / math.hypot(*sides_mm)


_SENSOR_UNITS_MM = {2.0: 25.4, 3.0: 10.0, 4.0: 1.0, 5.0: 1e-3}
"""Lengths that EXIF numbers as units of a sensor's resolution."""


def _number(value: object) -> float:
    """Return a positive finite number, or 0 for anything else that a file may hold."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0
