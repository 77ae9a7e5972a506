"""Landmarks that data sets give on their scans: MeshLab's picked points, and FG2018's lists.

NoW and Stirling/ESRC (as annotated for the FG2018 competition) mark the same seven points in the
same order: eye corners from the subject's right to its left, the bottom of the nose, the corners
of the mouth from right to left.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.testsets.records import GivenLandmarks

SEVEN_POINTS = (36, 39, 42, 45, 33, 48, 54)
"""iBUG's numbers of the seven points, in the order of the files."""


def read_picked_points(path: Path) -> GivenLandmarks:
    """Read seven points from a MeshLab file ``*_picked_points.pp``, as NoW has them.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``bad_landmarks``, naming file and field.
    """
    text = _text(path)
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise _bad(path, f"no XML ({error})") from None
    rows = []
    for number, point in enumerate(root.iter("point")):
        values = []
        for axis in "xyz":
            value = point.get(axis)
            if value is None:
                raise _bad(path, f"point {number}: no attribute '{axis}'")
            values.append(_number(path, value, f"point {number}: {axis}"))
        rows.append(values)
    return _seven(path, rows)


def read_point_list(path: Path) -> GivenLandmarks:
    """Read seven points from a file ``*.lnd`` with a line ``number x y z`` for each.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``bad_landmarks``, naming file and line.
    """
    rows: list[list[float]] = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 4 or words[0] != str(len(rows) + 1):
            raise _bad(path, f"line {number}: '{line}', wanted '{len(rows) + 1} x y z'")
        rows.append([_number(path, word, f"line {number}") for word in words[1:]])
    return _seven(path, rows)


def _text(path: Path) -> str:
    if not path.is_file():
        raise CaptureError("missing_file", f"{path}: file not found")
    return path.read_text(encoding="utf-8", errors="replace").lstrip("\ufeff \n\r\t")


def _number(path: Path, text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise _bad(path, f"{where}: '{text}' is no finite number")
    return value


def _seven(path: Path, rows: list[list[float]]) -> GivenLandmarks:
    if len(rows) != len(SEVEN_POINTS):
        raise _bad(path, f"{len(rows)} points, wanted {len(SEVEN_POINTS)}")
    return GivenLandmarks(np.array(SEVEN_POINTS), np.array(rows, dtype=np.float64))


def _bad(path: Path, problem: str) -> CaptureError:
    return CaptureError("bad_landmarks", f"{path}: {problem}")
