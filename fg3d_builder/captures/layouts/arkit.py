"""Frames of ARKit or AVFoundation that a script saved: depth as .npy, a picture, intrinsics.

::

    anna/0001.npy  0001.jpg           beside each other, or 0001_depth.npy
    anna/depth/0001.npy  rgb/0001.png in folders beside each other
    anna/intrinsics.json              or .txt, or one for each frame: 0001.json, 0001.txt

See docs/captures/phones.md.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from fg3d_builder.captures.aligned_depth import DepthCamera, depth_on_colour, intrinsics_of_size
from fg3d_builder.captures.layouts.camera_files import read_camera
from fg3d_builder.captures.layouts.layout import Frame, Item, Layout
from fg3d_builder.captures.layouts.person_names import below, expression_of, recordings_below
from fg3d_builder.captures.layouts.turned_pixels import (
    QUARTER_TURNS,
    turned_camera,
    turned_image,
)
from fg3d_builder.captures.plausibility import check_camera, check_upright_pixels
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import read_npy
from fg3d_builder.files.exif import read_exif
from fg3d_builder.files.images import read_rgb
from fg3d_builder.records import Array

UNREADABLE = "unreadable_image"
MM_PER_M = 1000.0
CAMERA_NAMES = ("intrinsics.json", "intrinsics.txt", "camera.json", "calibration.json")

_OFF_MIDDLE = 0.15
"""So far, in widths and heights, may the principal point be from the middle of a picture as stored.
In one of 4:3, that of the picture as shown is 0.17 off."""

_DEPTH_WORD = re.compile(r"(?:^depth[_-]?)|(?:[_-]?depth$)", re.IGNORECASE)
_COLOUR_FOLDERS = ("rgb", "color", "colour", "image", "images")
_COLOUR_WORDS = ("", "_rgb", "_color", "_colour", "-rgb", "-color")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".PNG")
_OTHER = re.compile(r"conf|normal|mask|pose|vert|land", re.IGNORECASE)


def find(root: Path) -> list[Item]:
    """List the depth files, each with its picture and its camera."""
    files = recordings_below(root, lambda name: name.endswith(".npy") and not _OTHER.search(name))
    items = [_item(root, file) for file in files if not _OTHER.search(file.parent.name)]
    often = Counter(item.sequence for item in items)
    return [item if often[item.sequence] > 1 else replace(item, sequence="") for item in items]


def frame(item: Item) -> Frame:
    """Read a frame.

    Raises
    ------
    CaptureError
        ``missing_file``, ``unreadable_image``, ``bad_json``, ``missing_field``, ``bad_field``,
        ``size_mismatch`` or ``orientation_tag``.
    """
    depth_file, colour_file, camera_file = item.files
    depth_m = read_npy(depth_file, UNREADABLE)
    if depth_m.ndim == 3 and 1 in (depth_m.shape[0], depth_m.shape[2]):
        depth_m = depth_m.reshape([n for n in depth_m.shape if n != 1] or [1, 1])
    if depth_m.ndim != 2 or 0 in depth_m.shape or depth_m.dtype.kind != "f":
        text = f"{depth_m.dtype} of shape {depth_m.shape}"
        wanted = "a 2D array of metres in floating point"
        raise CaptureError(UNREADABLE, f"{depth_file}: expected {wanted}, found {text}")
    rgb = read_rgb(colour_file)
    camera, noted = read_camera(camera_file)
    turns = _turns(colour_file, rgb.shape[:2], depth_m.shape, camera, noted)
    camera, size = turned_camera(camera, noted or rgb.shape[:2], turns)
    rgb, depth_m = (turned_image(image, turns) for image in (rgb, depth_m))
    height, width = rgb.shape[:2]
    try:
        intrinsics = intrinsics_of_size(camera, size, (height, width))
        depth_camera = DepthCamera(intrinsics_of_size(intrinsics, (height, width), depth_m.shape))
    except ValueError as problem:
        text = f"{depth_file}: depth, picture and the camera's size: {problem}"
        raise CaptureError("size_mismatch", text) from None
    check_camera(intrinsics, width, height, camera_file)
    with np.errstate(invalid="ignore", over="ignore"):
        depth_mm = MM_PER_M * depth_m.astype(np.float64)
        depth_mm[~(depth_mm > 0) | np.isinf(depth_mm)] = np.nan
    return Frame(
        rgb, depth_on_colour(depth_mm, depth_camera, intrinsics, height, width), intrinsics
    )


def _turns(
    colour_file: Path,
    stored: tuple[int, int],
    depth: tuple[int, ...],
    camera: Array,
    noted: tuple[int, int] | None,
) -> int:
    """Return the quarter turns anticlockwise that the picture's orientation tag asks for.

    They are made where shapes tell that depth and camera belong to the pixels as stored, which are
    of another shape than the pixels as shown. Any other tag is refused, as nobody knows.
    """
    turns = QUARTER_TURNS[read_exif(colour_file).orientation - 1]
    if turns in (1, 3) and _same_shape(depth, stored):
        middle = np.array([camera[1, 2] / stored[0], camera[0, 2] / stored[1]])
        central = bool(np.abs(middle - 0.5).max() < _OFF_MIDDLE)
        if _same_shape(noted, stored) if noted else central:
            return turns
    check_upright_pixels(colour_file)
    return 0


def _same_shape(size: tuple[int, ...], other: tuple[int, int]) -> bool:
    """Whether both are wide, or both are high."""
    return (size[1] - size[0]) * (other[1] - other[0]) > 0


def _item(root: Path, file: Path) -> Item:
    stem = _DEPTH_WORD.sub("", file.stem) or file.stem
    in_folder = file.parent.name.lower() == "depth"
    home = file.parent.parent if in_folder else file.parent
    folders = list(below(root, file)[:-1])
    if in_folder and folders:
        folders.pop()
    folders = folders or [home.resolve().name]
    number = re.search(r"(\d{1,9})$", stem)
    return Item(
        name="-".join([*folders, stem]),
        subject=folders[0],
        files=(file, _picture(home, file, stem), _camera(root, home, file, stem)),
        expression=expression_of(root, file),
        sequence="/".join(folders),
        frame=int(number[1]) if number else 0,
    )


def _picture(home: Path, file: Path, stem: str) -> Path:
    """Return the picture of a depth file; where none is, the path that it would have."""
    places = [file.parent, *(home / name for name in _COLOUR_FOLDERS)]
    names = [f"{stem}{word}{suffix}" for word in _COLOUR_WORDS for suffix in _SUFFIXES]
    names += [f"{word[1:]}_{stem}{s}" for word in _COLOUR_WORDS[1:4] for s in _SUFFIXES]
    candidates = [place / name for place in places for name in names]
    return next((one for one in candidates if one.is_file()), file.parent / f"{stem}.jpg")


def _camera(root: Path, home: Path, file: Path, stem: str) -> Path:
    """Return the camera's file: the frame's own, or that of its folder or one above it."""
    own = [
        place / f"{stem}{suffix}" for place in (file.parent, home) for suffix in (".json", ".txt")
    ]
    top = root if root.is_dir() else root.parent
    above = [home, *(one for one in home.parents if one.is_relative_to(top))]
    shared = [place / name for place in above for name in CAMERA_NAMES]
    found = (one for one in (*own, *shared) if one.is_file())
    return next(found, home / CAMERA_NAMES[0])


LAYOUT = Layout(
    kind="arkit",
    title="ARKit depth in .npy",
    expects="PERSON/0001.npy (metres), PERSON/0001.jpg, PERSON/intrinsics.json",
    find=find,
    frame=frame,
    suffixes=(".npy",),
    common=True,
)
