"""A colour and a depth camera of one device, and frames of their pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fg3d_builder.captures.aligned_depth import DepthCamera, depth_on_colour
from fg3d_builder.captures.frame_pairs import raw_sizes
from fg3d_builder.captures.layouts.layout import Frame
from fg3d_builder.captures.lens import Lens
from fg3d_builder.captures.plausibility import check_camera, check_upright_pixels
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.files.images import MAX_PIXELS, read_rgb, read_uint16
from fg3d_builder.records import Array


@dataclass(frozen=True)
class Rig:
    """What a recorder says about its two cameras.

    Attributes
    ----------
    file : Path
        Where it is from, for messages.
    colour : Lens
    depth : Lens or None
        None where depth is on the colour's pixels, or nobody knows.
    rotation, translation_mm : (3, 3) and (3,) float64, or None
        ``colour_from_depth``.
    unit_mm : float
        Length of a step of the depth pictures.
    aligned : bool or None
        Whether depth is on the colour's pixels, where the recorder says so.
    """

    file: Path
    colour: Lens
    depth: Lens | None = None
    rotation: Array | None = None
    translation_mm: Array | None = None
    unit_mm: float = 1.0
    aligned: bool | None = None


def rig_frame(
    colour_file: Path,
    depth_file: Path,
    rig_of: Callable[[tuple[int, int], tuple[int, int]], Rig],
    named_aligned: bool = False,
) -> Frame:
    """Read a pair of pictures; both are made straight and depth is brought onto the colour.

    Parameters
    ----------
    colour_file, depth_file : Path
    rig_of : callable
        Describes the cameras for the sizes (height, width) of colour and depth.
    named_aligned : bool
        The depth's name says that it is on the colour's pixels.

    Raises
    ------
    CaptureError
        ``missing_file``, ``unreadable_image``, ``orientation_tag``, ``size_mismatch``,
        ``missing_field`` or ``bad_field``.
    """
    rgb, steps = read_colour(colour_file), _read_steps(depth_file)
    rig = rig_of((rgb.shape[0], rgb.shape[1]), (steps.shape[0], steps.shape[1]))
    check_size(colour_file, rgb.shape[:2], rig.colour.size, rig.file)
    aligned = _is_aligned(steps.shape, rgb.shape[:2], rig, depth_file, named_aligned)
    if not aligned:
        _check_depth_camera(rig, steps.shape, depth_file)
    return straight_frame(rgb, steps, rig, aligned)


def read_colour(file: Path) -> Array:
    """Read a colour picture (H, W, 3) uint8 that is upright as it is stored."""
    rgb = read_rgb(file)
    check_upright_pixels(file)
    return rgb


def straight_frame(rgb: Array, steps: Array, rig: Rig, aligned: bool) -> Frame:
    """Make both pictures of one rig straight and bring depth onto the colour.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    steps : (h, w) int
        Of `Rig.unit_mm`; what is not positive is no depth.
    rig : Rig
    aligned : bool
        Depth is on the colour's pixels.
    """
    height, width = rgb.shape[:2]
    check_camera(rig.colour.intrinsics, width, height, rig.file)
    depth_mm = np.where(steps > 0, steps * np.float32(rig.unit_mm), np.float32(np.nan))
    if not aligned or rig.colour.distorts:
        camera = DepthCamera(rig.colour.intrinsics, lens=rig.colour)
        if not aligned:
            assert rig.depth is not None
            assert rig.rotation is not None
            assert rig.translation_mm is not None
            check_camera(rig.depth.intrinsics, steps.shape[1], steps.shape[0], rig.file)
            camera = DepthCamera(rig.depth.intrinsics, rig.rotation, rig.translation_mm, rig.depth)
        depth_mm = depth_on_colour(depth_mm, camera, rig.colour.intrinsics, height, width)
    return Frame(rig.colour.straight_image(rgb), depth_mm, rig.colour.intrinsics)


def _check_depth_camera(rig: Rig, size: tuple[int, int], file: Path) -> None:
    if rig.depth is None:
        raise CaptureError(
            "size_mismatch",
            f"{file}: depth is {_words(size)} pixels, the colour is not, and {rig.file} tells "
            "nothing of the depth camera",
        )
    check_size(file, size, rig.depth.size, rig.file)
    if rig.rotation is None or rig.translation_mm is None:
        raise CaptureError(
            "missing_field",
            f"{rig.file}: where the depth camera is beside the colour camera is missing",
        )


def _is_aligned(
    size: tuple[int, int], colour_size: tuple[int, int], rig: Rig, file: Path, named: bool
) -> bool:
    if size != colour_size:
        if named or rig.aligned:
            raise CaptureError(
                "size_mismatch",
                f"{file}: depth is {_words(size)} pixels, said to be those of the colour, which "
                f"are {_words(colour_size)}",
            )
        return False
    if rig.aligned is not None:
        return rig.aligned
    if named or rig.depth is None or rig.depth.size not in (size, (0, 0)):
        return True
    raise CaptureError(
        "missing_field",
        f"{rig.file}: field 'aligned' is missing: colour and depth both have {_words(size)} "
        "pixels and both cameras are described, so nobody can tell whether depth is on the "
        'colour\'s pixels: add "aligned": true or false',
    )


def _read_steps(file: Path) -> Array:
    if file.suffix.lower() != ".raw":
        return read_uint16(file)
    width, height = _raw_size(raw_sizes(file))
    data = read_regular(file, "unreadable_image", 2 * MAX_PIXELS)
    if len(data) != 2 * width * height:
        raise CaptureError(
            "unreadable_image",
            f"{file}: {len(data)} bytes, {raw_sizes(file).name} says {width} x {height} pixels "
            "of two bytes",
        )
    return np.frombuffer(data, "<u2").reshape(height, width)


def _raw_size(file: Path) -> tuple[int, int]:
    """Return width and height from the list that RealSense's viewer writes beside raw numbers."""
    text = read_regular(file, "bad_field", 2**20).decode("utf-8", "replace")
    rows = dict(line.split(",", 1) for line in text.splitlines() if "," in line)
    found = []
    for name in ("Resolution x", "Resolution y"):
        if name not in rows:
            raise CaptureError("missing_field", f"{file}: field '{name}' is missing")
        word = rows[name].strip().rstrip(",")
        if not (word.isdecimal() and 0 < len(word) <= 5 and int(word)):
            shown = f"expected a whole number of pixels, found {word[:20]!r}"
            raise CaptureError("bad_field", f"{file}: field '{name}': {shown}")
        found.append(int(word))
    return found[0], found[1]


def check_size(
    file: Path, size: tuple[int, int], declared: tuple[int, int], description: Path
) -> None:
    """Raise ``size_mismatch`` where a picture is of another size than its camera's, if declared."""
    if declared not in (size, (0, 0)):
        raise CaptureError(
            "size_mismatch",
            f"{file}: has {_words(size)} pixels, the camera in {description} {_words(declared)}",
        )


def _words(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"
