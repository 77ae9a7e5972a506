"""BIWI Kinect head pose frames: 24 sequences of 20 people who turn their heads.

::

    hpdb/01/rgb.cal, depth.cal
    hpdb/01/frame_00003_rgb.png
    hpdb/01/frame_00003_depth.bin
    hpdb/01/frame_00003_pose.txt       not read
    hpdb/01.obj                        not read
    hpdb/02/...

See docs/captures/biwi.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from fg3d_builder.captures.camera_json import LARGEST_SIDE, check_pose
from fg3d_builder.captures.json_fields import bad_field
from fg3d_builder.captures.layouts.found_files import distinct
from fg3d_builder.captures.layouts.layout import Frame, Item, Layout
from fg3d_builder.captures.layouts.person_names import SEX_OF_LETTER
from fg3d_builder.captures.layouts.rgbd_rig import Rig, check_size, read_colour, straight_frame
from fg3d_builder.captures.lens import Lens
from fg3d_builder.captures.source import folder_contents
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.files.run_length_depth import read_run_length_depth
from fg3d_builder.records import Array

_PEOPLE = {
    "01": "F01", "02": "F02", "03": "F03", "04": "F04", "05": "F05", "06": "F06", "07": "M01",
    "08": "M02", "09": "M03", "10": "M04", "11": "M05", "12": "M06", "13": "M07", "14": "M08",
    "15": "F03", "16": "M09", "17": "M10", "18": "F05", "19": "M11", "20": "M12", "21": "F02",
    "22": "M01", "23": "M13", "24": "M14",
}  # fmt: skip
"""Who is in which sequence, as the set's own list has it: four people were recorded twice."""

_FRAME = re.compile(r"frame_(\d{1,9})_(rgb\.png|depth\.bin)", re.IGNORECASE)
_DEEPEST = 3
_NUMBERS = 27
_MAX_BYTES = 2**16


def find(root: Path) -> list[Item]:
    """List the frames of all folders that hold any."""
    items = [item for folder, inside in _sequences(root, 0) for item in _frames(folder, inside)]
    paths = [item.files[0].relative_to(root) for item in items]
    names = distinct([item.name for item in items], paths)
    return [replace(item, name=name) for item, name in zip(items, names, strict=True)]


def _sequences(folder: Path, depth: int) -> Iterator[tuple[Path, dict[int, set[str]]]]:
    inside: dict[int, set[str]] = {}
    folders = []
    for path in folder_contents(folder):
        match = _FRAME.fullmatch(path.name)
        if match:
            inside.setdefault(int(match[1]), set()).add(path.name)
        elif depth < _DEEPEST and os.path.isdir(path) and not path.name.startswith("."):
            folders.append(path)
    if inside:
        yield folder, inside
        return
    for inner in sorted(folders):
        yield from _sequences(inner, depth + 1)


def _frames(folder: Path, inside: dict[int, set[str]]) -> Iterator[Item]:
    sequence = folder.resolve().name
    cameras = (folder / "rgb.cal", folder / "depth.cal")
    subject = _PEOPLE.get(sequence, sequence)
    sex = SEX_OF_LETTER[subject[0]] if sequence in _PEOPLE else ""
    for number, names in sorted(inside.items()):
        stem = min(names).rsplit("_", 1)[0]
        files = [
            next((folder / n for n in sorted(names) if n.lower().endswith(end)), folder / usual)
            for end, usual in (("rgb.png", f"{stem}_rgb.png"), ("depth.bin", f"{stem}_depth.bin"))
        ]
        yield Item(
            name=f"{sequence}-{stem}",
            subject=subject,
            files=(*files, *cameras),
            sequence=sequence,
            frame=number,
            sex=sex,
        )


def read_frame(item: Item) -> Frame:
    """Read colour and depth, and bring the depth onto the colour.

    Raises
    ------
    CaptureError
        ``missing_file``, ``unreadable_image``, ``size_mismatch``, ``bad_field``.
    """
    colour_file, depth_file, colour_cal, depth_cal = item.files
    colour, depth = read_calibration(colour_cal), read_calibration(depth_cal)
    # Either camera's pose is that of the world in the camera; the world is the depth camera's.
    rotation = colour[1] @ depth[1].T
    rig = Rig(
        file=colour_cal,
        colour=colour[0],
        depth=depth[0],
        rotation=rotation,
        translation_mm=colour[2] - rotation @ depth[2],
    )
    rgb, steps = read_colour(colour_file), read_run_length_depth(depth_file)
    check_size(colour_file, rgb.shape[:2], colour[0].size, colour_cal)
    check_size(depth_file, steps.shape, depth[0].size, depth_cal)
    return straight_frame(rgb, steps, rig, aligned=False)


def read_calibration(path: Path) -> tuple[Lens, Array, Array]:
    """Read a ``.cal`` file.

    The matrix of the camera, four coefficients of its lens, rotation and translation in mm, and
    width and height: 27 numbers.

    Returns
    -------
    lens : Lens
    rotation : (3, 3) float64
        ``camera_from_world``.
    translation_mm : (3,) float64

    Raises
    ------
    CaptureError
        ``missing_file`` or ``bad_field``.
    """
    words = read_regular(path, "bad_field", _MAX_BYTES).decode("ascii", "replace").split()
    if len(words) != _NUMBERS:
        problem = f"expected {_NUMBERS} numbers, found {len(words)} words"
        raise CaptureError("bad_field", f"{path}: {problem}")
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError as error:
        raise CaptureError("bad_field", f"{path}: {error}") from None
    if not (np.abs(numbers) < 1e9).all():
        raise CaptureError("bad_field", f"{path}: a number is not finite, or huge")
    matrix, rotation = numbers[:9].reshape(3, 3), numbers[13:22].reshape(3, 3)
    straight = matrix * [[1, 0, 1], [0, 1, 1], [0, 0, 0]] + np.diag([0, 0, 1])
    if not np.array_equal(matrix, straight) or min(matrix[0, 0], matrix[1, 1]) <= 0:
        raise bad_field(path, "camera matrix", "fx 0 cx, 0 fy cy, 0 0 1", matrix.ravel().tolist())
    width, height = numbers[25:]
    sides = numbers[25:]
    if (sides % 1).any() or sides.min() < 1 or sides.max() > LARGEST_SIDE:
        raise bad_field(path, "size", "whole numbers of pixels", [width, height])
    check_pose(rotation, numbers[22:25], path, ("rotation", "translation"))
    coefficients = np.concatenate([numbers[9:13], np.zeros(4)])
    return Lens(matrix, (int(height), int(width)), coefficients), rotation, numbers[22:25]


LAYOUT = Layout(
    kind="biwi",
    title="BIWI Kinect head pose",
    expects="01/frame_00003_rgb.png, 01/frame_00003_depth.bin, 01/rgb.cal, 01/depth.cal",
    find=find,
    frame=read_frame,
    suffixes=(".bin",),
    terms="docs/captures/biwi.md",
)
