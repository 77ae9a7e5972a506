"""Microsoft's SynthHuman: rendered people with exact depth, one picture of each.

::

    rgb_0000000.png  depth_0000000.exr (centimetres along z)  cam_0000000.txt (intrinsics)

See docs/captures/synthhuman.md.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from fg3d_builder.captures.layouts.camera_files import read_matrix_text
from fg3d_builder.captures.layouts.layout import Frame, Item, Layout
from fg3d_builder.captures.layouts.person_names import below, recordings_below
from fg3d_builder.captures.plausibility import FARTHEST_MM, check_camera
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.exr_image import EXTRA, read_exr_channel
from fg3d_builder.files.images import read_rgb

MM_PER_CM = 10.0

_NAME = re.compile(r"rgb_(\d{7})\.png")


def find(root: Path) -> list[Item]:
    """List all samples; everybody is there once, so the number is the person."""
    return [_item(root, file) for file in recordings_below(root, _NAME.fullmatch)]


def frame(item: Item) -> Frame:
    """Read a sample.

    Raises
    ------
    CaptureError
        ``missing_file``, ``unreadable_image``, ``bad_field`` or ``size_mismatch``.
    MissingDependencyError
        The package OpenEXR is not installed.
    """
    colour_file, depth_file, camera_file = item.files
    rgb = read_rgb(colour_file)
    depth_cm = read_exr_channel(depth_file)
    if depth_cm.shape != rgb.shape[:2]:
        (height, width), (other_height, other_width) = rgb.shape[:2], depth_cm.shape
        text = f"depth has {other_width} x {other_height} pixels, colour {width} x {height}"
        raise CaptureError("size_mismatch", f"{depth_file}: {text}")
    intrinsics = read_matrix_text(camera_file)[-1]
    check_camera(intrinsics, rgb.shape[1], rgb.shape[0], camera_file)
    with np.errstate(invalid="ignore", over="ignore"):
        depth_mm = MM_PER_CM * depth_cm
        depth_mm[~((depth_mm > 0) & (depth_mm < FARTHEST_MM))] = np.nan
    return Frame(rgb, depth_mm, intrinsics)


def _item(root: Path, file: Path) -> Item:
    match = _NAME.fullmatch(file.name)
    assert match is not None
    number = match[1]
    names = (f"depth_{number}.exr", f"cam_{number}.txt")
    return Item(
        name="-".join([*below(root, file)[:-1], number]),
        subject=number,
        files=(file, *(file.with_name(name) for name in names)),
    )


LAYOUT = Layout(
    kind="synthhuman",
    title="SynthHuman",
    expects="rgb_0000000.png, depth_0000000.exr, cam_0000000.txt",
    find=find,
    frame=frame,
    extra=EXTRA,
    suffixes=(".exr",),
    terms="docs/captures/synthhuman.md",
)
