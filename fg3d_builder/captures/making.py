"""Captures of people who have their own reader: made of arrays, by the rules of the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from fg3d_builder.captures.depth_values import z_depth_mm
from fg3d_builder.captures.json_fields import LONGEST_TEXT
from fg3d_builder.captures.plausibility import check_camera, without_far_depth
from fg3d_builder.captures.source import plain_text
from fg3d_builder.errors import CaptureError
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import SEXES, Array, Capture, Landmarks

LANDMARK_COUNTS = {"ibug68": 68, "mediapipe478": 478}
FARTHEST_PX = 1e6
"""Landmarks may lie beside the image, but not this far from it."""


def make_capture(
    rgb: ArrayLike,
    depth_mm: ArrayLike,
    intrinsics: ArrayLike | Sequence[float],
    subject: str,
    expression: str = "neutral",
    licence: str = "unknown",
    landmarks: Landmarks | None = None,
    sex: str = "",
) -> Capture:
    """Make a capture of arrays, checked as captures in files are.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
        Red, green, blue (OpenCV reads blue first).
    depth_mm : (H, W) array of real numbers
        Millimetres along the camera's z axis, on the pixels of `rgb`; 0, negative and not finite
        numbers stand for no depth.
    intrinsics : (3, 3) float, or the four numbers fx, fy, cx, cy
        Pixels of `rgb`, the centre of the top left one being (0, 0).
    subject : str
        Who it is; training and test set are divided by subject.
    expression, licence : str
        Free tags.
    landmarks : Landmarks, optional
        For the detector "annotation".
    sex : str
        One of `SEXES`, or ``""`` where it is not known.

    Returns
    -------
    Capture
        Named by the folder that `write_capture` writes it to.

    Raises
    ------
    CaptureError
        ``bad_field``, ``size_mismatch`` or ``no_depth``; the message names the argument.
    """
    camera = _array(intrinsics, "intrinsics").astype(np.float64)
    if camera.shape == (4,):
        camera = intrinsics_matrix(*(float(number) for number in camera))
    depth = _array(depth_mm, "depth_mm")
    if depth.ndim == 2 and camera.shape == (3, 3):
        depth = without_far_depth(z_depth_mm(depth, camera))
    colour = np.ascontiguousarray(_array(rgb, "rgb"))
    capture = Capture(
        "capture", subject, "folder", colour, depth, camera, expression, licence, landmarks, sex=sex
    )
    check_capture(capture, Path("make_capture"))
    return capture


def check_capture(capture: Capture, where: Path) -> None:
    """Raise where files of this capture would be refused when they are read.

    Parameters
    ----------
    capture : Capture
    where : Path
        For messages.

    Raises
    ------
    CaptureError
        ``bad_field``, ``size_mismatch`` or ``no_depth``.
    """
    rgb, depth_mm, camera = capture.rgb, capture.depth_mm, capture.intrinsics
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
        raise _bad(where, "rgb", "an (H, W, 3) array of uint8", _kind_of(rgb))
    if depth_mm.ndim != 2 or depth_mm.dtype.kind not in "fiu":
        raise _bad(where, "depth_mm", "an (H, W) array of real numbers", _kind_of(depth_mm))
    if depth_mm.shape != rgb.shape[:2]:
        sizes = [f"{image.shape[1]} x {image.shape[0]}" for image in (depth_mm, rgb)]
        raise CaptureError(
            "size_mismatch", f"{where}: depth_mm is {sizes[0]} pixels, rgb {sizes[1]}"
        )
    if camera.shape != (3, 3) or not np.isfinite(camera).all():
        raise _bad(where, "intrinsics", "a (3, 3) matrix, or fx, fy, cx, cy", _kind_of(camera))
    if camera[0, 0] <= 0 or camera[1, 1] <= 0:
        found = f"fx {camera[0, 0]:g}, fy {camera[1, 1]:g}"
        raise _bad(where, "intrinsics", "positive focal lengths", found)
    skewed = intrinsics_matrix(camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2])
    if not np.array_equal(camera, skewed):
        raise _bad(where, "intrinsics", "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]", "another matrix")
    check_camera(camera, rgb.shape[1], rgb.shape[0], where)
    if not (np.isfinite(depth_mm) & (depth_mm > 0)).any():
        raise CaptureError("no_depth", f"{where}: depth_mm has no depth up to a kilometre")
    for name in ("subject_id", "expression", "licence"):
        _check_text(getattr(capture, name), name.removesuffix("_id"), where)
    if capture.sex not in ("", *SEXES):
        raise _bad(where, "sex", f"one of {', '.join(SEXES)}", repr(capture.sex)[:60])
    if capture.landmarks is not None:
        _check_landmarks(capture.landmarks, where)


def _check_text(text: str, name: str, where: Path) -> None:
    try:
        plain_text(text, LONGEST_TEXT)
    except (ValueError, TypeError) as problem:
        raise _bad(where, name, f"a text, not {problem}", repr(text)[:60]) from None


def _check_landmarks(landmarks: Landmarks, where: Path) -> None:
    count = LANDMARK_COUNTS.get(landmarks.scheme)
    if count is None:
        schemes = ", ".join(LANDMARK_COUNTS)
        raise _bad(where, "landmarks.scheme", f"one of {schemes}", landmarks.scheme)
    points, confidence = landmarks.points_px, landmarks.confidence
    if points.shape != (count, 2) or not (np.abs(points) <= FARTHEST_PX).all():
        wanted = f"({count}, 2) pixels within {FARTHEST_PX:.0e} of the image's corner"
        raise _bad(where, "landmarks.points_px", wanted, _kind_of(points))
    if confidence.shape != (count,) or not ((confidence >= 0) & (confidence <= 1)).all():
        wanted = f"{count} numbers in [0, 1]"
        raise _bad(where, "landmarks.confidence", wanted, _kind_of(confidence))


def _array(value: ArrayLike, name: str) -> Array:
    try:
        found = np.asarray(value)
    except ValueError:  # lists of different lengths
        found = np.zeros(0, dtype=object)
    if found.dtype.kind not in "fiu":
        raise _bad(Path("make_capture"), name, "an array of real numbers", _kind_of(found))
    return found


def _kind_of(array: Array) -> str:
    return f"{array.dtype} of shape {array.shape}"


def _bad(where: Path, name: str, wanted: str, found: str) -> CaptureError:
    return CaptureError("bad_field", f"{where}: '{name}': expected {wanted}, found {found}")
