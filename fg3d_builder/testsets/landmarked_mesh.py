"""A reconstruction as NoW wants it: a mesh, and its seven landmarks in a file beside it.

::

    FOLDER/SUBJECT/CHALLENGE/IMAGE.obj    or .ply
    FOLDER/SUBJECT/CHALLENGE/IMAGE.npy    7 x 3 coordinates in the mesh's frame; or
    FOLDER/SUBJECT/CHALLENGE/IMAGE.txt    seven lines "x, y, z"

That is the layout that the challenge's page and the README of its evaluation describe: seven rows
in the order of `SEVEN_POINTS`, no line break behind the last line of a ``.txt``, no colours behind
the coordinates of an ``.obj``'s vertices.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.evaluation import ScanSurface
from fg3d_builder.evaluation.scan_to_mesh import SEVEN_POINTS
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.bounded import read_npy, read_regular
from fg3d_builder.files.obj_writer import write_polygon_obj
from fg3d_builder.records import Array
from fg3d_builder.testsets.mesh_files import FARTHEST
from fg3d_builder.testsets.records import GivenLandmarks

LANDMARK_SUFFIXES = (".npy", ".txt")

MAX_OFF_SURFACE = 0.15
"""How far a landmark may be from the surface of its mesh, of the outer eye corners' distance."""

_MAX_BYTES = 2**16


def write_landmarked_mesh(path: Path, vertices: Array, triangles: Array, landmarks: Array) -> None:
    """Write a mesh and its seven landmarks.

    Parameters
    ----------
    path : Path
        Of the ``.obj``; the landmarks get the same name with ``.npy``.
    vertices : (n, 3) float
        mm; four decimals are written.
    triangles : (m, 3) int
    landmarks : (7, 3) float
        In the order of `SEVEN_POINTS`.
    """
    write_polygon_obj(path, vertices, triangles)
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(landmarks, dtype=np.float64))
    write_bytes(path.with_suffix(".npy"), buffer.getvalue())


def read_seven_landmarks(path: Path) -> GivenLandmarks:
    """Read the seven landmarks of a reconstruction from an ``.npy`` or ``.txt`` file.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``bad_landmarks``, naming the file.
    """
    if path.suffix == ".npy":
        rows = read_npy(path, "bad_landmarks")
    else:
        text = read_regular(path, "bad_landmarks", _MAX_BYTES).decode("utf-8", "replace")
        rows = _rows(path, text)
    if rows.shape != (len(SEVEN_POINTS), 3):
        shape = " x ".join(map(str, rows.shape))
        raise CaptureError("bad_landmarks", f"{path}: {shape} numbers, wanted 7 x 3")
    points = rows.astype(np.float64)
    if not (np.abs(points) <= FARTHEST).all():
        raise CaptureError(
            "bad_landmarks", f"{path}: a coordinate is not finite or beyond {FARTHEST:.0e}"
        )
    return GivenLandmarks(np.array(SEVEN_POINTS), points)


def check_on_surface(given: GivenLandmarks, mesh: ScanSurface, name: str) -> None:
    """Refuse landmarks that are not on their mesh, as those of another mesh or unit.

    Raises
    ------
    CaptureError
        ``bad_landmarks``.
    """
    place = {int(number): row for row, number in enumerate(given.ibug)}
    across = np.linalg.norm(given.points[place[36]] - given.points[place[45]])
    away = mesh.closest(given.points).distance_mm
    worst = int(away.argmax())
    if away[worst] > MAX_OFF_SURFACE * across:
        raise CaptureError(
            "bad_landmarks",
            f"{name}: landmark {given.ibug[worst]} is {away[worst]:.4g} units from the mesh, the "
            f"outer eye corners are {across:.4g} apart; the landmarks are of another mesh or unit",
        )


def _rows(path: Path, text: str) -> Array:
    lines = [line for line in text.splitlines() if line.strip()]
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = [float(word) for word in line.replace(",", " ").split()]
        except ValueError:
            row = []
        if len(row) != 3:
            raise CaptureError("bad_landmarks", f"{path}: line {number}: wanted 'x, y, z'")
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(len(rows), 3)
