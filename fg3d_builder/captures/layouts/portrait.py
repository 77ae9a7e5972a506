"""Portrait photos of iPhones: HEIC, or JPEG with further pictures, with depth and calibration.

::

    anna/IMG_0001.HEIC
    ben_smile.jpg

See docs/captures/phones.md.
"""

from __future__ import annotations

from pathlib import Path

from fg3d_builder.captures.aligned_depth import DepthCamera, depth_on_colour, intrinsics_of_size
from fg3d_builder.captures.layouts.apple_depth import (
    AppleDepth,
    describes_depth,
    read_apple_depth,
)
from fg3d_builder.captures.layouts.layout import Frame, Item, Layout
from fg3d_builder.captures.layouts.person_names import (
    expression_of,
    person_of,
    recording_names,
    recordings_below,
)
from fg3d_builder.captures.layouts.turned_pixels import (
    QUARTER_TURNS,
    turned_camera,
    turned_image,
)
from fg3d_builder.captures.plausibility import check_camera
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.files.exif import exif_of
from fg3d_builder.files.heif_images import EXTRA, heif_pictures
from fg3d_builder.files.heif_items import heif_depth
from fg3d_builder.files.images import decoded_rgb
from fg3d_builder.files.jpeg_parts import further_pictures, xmp_of
from fg3d_builder.records import Array

UNREADABLE = "unreadable_image"
HEIF_SUFFIXES = (".heic", ".heif")
SUFFIXES = (*HEIF_SUFFIXES, ".jpg", ".jpeg")

_MAX_BYTES = 2**28
_NO_DEPTH = "no depth beside the picture: an ordinary photo, or one that lost it by being edited"


def find(root: Path) -> list[Item]:
    """List all photos."""
    files = recordings_below(root, lambda name: name.lower().endswith(SUFFIXES))
    names = recording_names(root, files)
    return [
        Item(name, person_of(root, file), (file,), expression_of(root, file))
        for file, name in zip(files, names, strict=True)
    ]


def frame(item: Item) -> Frame:
    """Read a photo and its depth, both upright.

    Raises
    ------
    CaptureError
        ``missing_file``, ``unreadable_image``, ``no_depth``, ``missing_field``, ``bad_field``,
        ``size_mismatch``, ``orientation_tag``, or ``refused`` for depth that is relative.
    MissingDependencyError
        A HEIC photo, and pillow-heif is not installed.
    """
    path = item.files[0]
    data = read_regular(path, UNREADABLE, _MAX_BYTES)
    is_heif = data[4:8] == b"ftyp"
    rgb, stored, about, turns = (_heif if is_heif else _jpeg)(data, path)
    if about.accuracy != "absolute":
        found = about.accuracy or "not told"
        raise CaptureError(
            "refused",
            f"{path}: the depth's field 'Accuracy' is '{found}': only absolute depth, as of the "
            "face camera and of LiDAR, is in metres; that of two lenses is not",
        )
    size = rgb.shape[:2]
    try:
        intrinsics = intrinsics_of_size(*turned_camera(about.intrinsics, about.size, turns), size)
        camera = DepthCamera(intrinsics_of_size(intrinsics, size, stored.shape))
    except ValueError as problem:
        text = f"{path}: the picture, its depth and the camera's reference size: {problem}"
        raise CaptureError(
            "size_mismatch", f"{text}; a photo that was cut cannot be used"
        ) from None
    check_camera(intrinsics, size[1], size[0], path)
    depth_mm = depth_on_colour(about.depth_mm(stored), camera, intrinsics, *size)
    return Frame(rgb, depth_mm, intrinsics)


def _heif(data: bytes, path: Path) -> tuple[Array, Array, AppleDepth, int]:
    """Return colour and stored depth as shown, their description, and by how much they turned."""
    try:
        depth = heif_depth(data)
    except ValueError as problem:
        raise CaptureError(UNREADABLE, f"{path}: no HEIF file, or {problem}") from None
    if depth is None:
        raise CaptureError("no_depth", f"{path}: {_NO_DEPTH}")
    if depth.mirrored:
        text = f"{path}: the picture is shown mirrored; export it unmirrored"
        raise CaptureError("orientation_tag", text)
    about = read_apple_depth(depth.xmp, str(path))
    rgb, stored = heif_pictures(data, str(path))
    return rgb, stored, about, depth.quarter_turns


def _jpeg(data: bytes, path: Path) -> tuple[Array, Array, AppleDepth, int]:
    try:
        pictures = further_pictures(data)
    except ValueError as problem:
        raise CaptureError(UNREADABLE, f"{path}: {problem}") from None
    for picture in pictures:
        xmp = xmp_of(picture)
        if describes_depth(xmp):
            turns = QUARTER_TURNS[exif_of(data, str(path)).orientation - 1]
            rgb = decoded_rgb(data, str(path))
            stored = decoded_rgb(picture, f"{path}: its depth image")[..., 0]
            rgb, stored = (turned_image(image, turns) for image in (rgb, stored))
            return rgb, stored, read_apple_depth(xmp, str(path)), turns
    if not data.startswith(b"\xff\xd8"):
        decoded_rgb(data, str(path))  # says what is wrong with it
    raise CaptureError("no_depth", f"{path}: {_NO_DEPTH}")


LAYOUT = Layout(
    kind="portrait",
    title="iPhone portrait photos",
    expects="PERSON/*.HEIC, or PERSON_smile.heic; JPEG as well",
    find=find,
    frame=frame,
    extra=EXTRA,
    suffixes=SUFFIXES,
    common=True,
)
