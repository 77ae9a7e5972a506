"""Whether a capture's camera, picture and depth can belong together; each check names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.exif import UPRIGHT, read_exif
from fg3d_builder.geometry.camera import field_of_view_deg, resolution_factor
from fg3d_builder.records import Array

FIELD_OF_VIEW_DEG = (0.5, 165.0)
"""Across the image's diagonal: from a face cut out of a large photo to the widest lens without
distortion."""

PIXEL_ASPECT = 2.0
"""Largest ratio of the two focal lengths: pictures are stretched to a square, but no further."""

FARTHEST_MM = 1e6
"""Depth beyond a kilometre is none: sensors write huge numbers where they saw nothing. What a
head cannot be seen at with the capture's own camera is left out later, see `believable_depth`."""

_SHOWN = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "upside down, mirrored",
    5: "turned by 90 degrees, mirrored",
    6: "turned by 90 degrees clockwise",
    7: "turned by 90 degrees, mirrored",
    8: "turned by 90 degrees anticlockwise",
}


def check_camera(intrinsics: Array, width: int, height: int, file: Path) -> None:
    """Raise where a camera cannot have taken an image of this size.

    Parameters
    ----------
    intrinsics : (3, 3) float
    width, height : int
        Of the colour image, pixels.
    file : Path
        Where the intrinsics are from.

    Raises
    ------
    CaptureError
        ``bad_field``: the principal point is outside the image, the field of view is none that
        a camera has, or the two focal lengths are far apart.
    """
    fx, fy, cx, cy = (float(intrinsics[k]) for k in ((0, 0), (1, 1), (0, 2), (1, 2)))
    size = f"the image has {width} x {height} pixels"
    if not (-0.5 <= cx <= width - 0.5 and -0.5 <= cy <= height - 0.5):
        text = f"the principal point (cx, cy) = ({cx:g}, {cy:g}) is outside the image: {size}"
        if cx > 0 and cy > 0:
            fit = f"{2 * cx + 1:.0f} x {2 * cy + 1:.0f}"
            text += f", the intrinsics fit one of about {fit}"
            factor = resolution_factor(intrinsics, width, height)
            if factor is not None:
                text += f": divide all four by {factor:.3g}"
        raise CaptureError("bad_field", f"{file}: field 'intrinsics': {text}")
    view = field_of_view_deg(intrinsics, width, height)
    low, high = FIELD_OF_VIEW_DEG
    if not low <= view <= high:
        raise CaptureError(
            "bad_field",
            f"{file}: field 'intrinsics': with fx {fx:g} and fy {fy:g} the camera sees {view:.2g} "
            f"degrees across the diagonal, expected {low:g} to {high:g}: {size}",
        )
    if max(fx / fy, fy / fx) > PIXEL_ASPECT:
        raise CaptureError(
            "bad_field",
            f"{file}: field 'intrinsics': fx {fx:g} and fy {fy:g} differ by more than a factor of "
            f"{PIXEL_ASPECT:g}: no camera's pixels are so far from square",
        )


def check_upright_pixels(colour_file: Path) -> None:
    """Raise where an orientation tag says that a picture is to be shown turned.

    Depth and intrinsics cannot be turned with it: nobody knows whether they belong to the pixels
    as they are stored, or as they are shown.

    Raises
    ------
    CaptureError
        ``orientation_tag``.
    """
    refuse_turned(read_exif(colour_file).orientation, colour_file)


def refuse_turned(tag: int, colour_file: object) -> None:
    """Raise for a picture with such an orientation tag, see `check_upright_pixels`."""
    if tag != UPRIGHT:
        raise CaptureError(
            "orientation_tag",
            f"{colour_file}: its EXIF orientation tag is {tag}, to be shown {_SHOWN[tag]}: turn "
            "the pixels of colour and depth, and the intrinsics, so that the face is upright, and "
            "remove the tag",
        )


def without_far_depth(depth_mm: Array) -> Array:
    """Set depth (H, W) beyond `FARTHEST_MM` to NaN, in place; return it."""
    with np.errstate(invalid="ignore"):
        depth_mm[depth_mm > FARTHEST_MM] = np.nan
    return depth_mm
