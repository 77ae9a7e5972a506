"""Meshes and the landmarks on them, as files of published sets and of other methods hold them.

Landmarks are MeshLab's picked points, FG2018's lists, or a method's table of vertices.

NoW and Stirling/ESRC (as annotated for the FG2018 competition) mark the same seven points in the
same order: eye corners from the subject's right to its left, the bottom of the nose, the corners
of the mouth from right to left.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.evaluation.scan_to_mesh import SEVEN_POINTS
from fg3d_builder.files.bounded import read_json_object, read_regular
from fg3d_builder.records import Array
from fg3d_builder.testsets.records import GivenLandmarks

MESH_LANDMARKS_SCHEMA = "fg3d-mesh-landmarks-1"
MIN_LANDMARKS = 7
_POINTS = {str(point) for point in range(68)}
_LAST_VERTEX = np.iinfo(np.int32).max
_MAX_BYTES = 2**20

FARTHEST = 1e9
"""Coordinates beyond are no landmarks of a face in any unit."""

FIRST_INNER = 17
"""iBUG's points below it are on the jaw line, where they move with the view."""


class MeshLandmarks(NamedTuple):
    """Landmark vertices of a topology.

    Attributes
    ----------
    ibug : (k,) int64
        Ascending, without the jaw line.
    vertex : (k,) int64
    mirrored : bool
        The method's frame is left-handed.
    """

    ibug: Array
    vertex: Array
    mirrored: bool


def only_mesh(found: Sequence[Path], where: Path) -> Path:
    """Return the one file of `found`; `CaptureError` ``ambiguous_scan`` for several."""
    if len(found) > 1:
        names = ", ".join(sorted(path.relative_to(where).as_posix() for path in found))
        raise CaptureError("ambiguous_scan", f"{where}: wanted one, got {names}")
    return found[0]


def read_picked_points(path: Path) -> GivenLandmarks:
    """Read seven points from a file of MeshLab's picked points, ``*.pp``, as NoW has them.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``bad_landmarks``, naming file and field.
    """
    try:
        root = ElementTree.fromstring(_text(path))
    except (ElementTree.ParseError, ValueError) as error:  # also names of unknown encodings
        raise _bad(path, f"no XML ({error})") from None
    return _seven_points(path, [[p.get(axis, "") for axis in "xyz"] for p in root.iter("point")])


def only_picked_points(folder: Path, mesh: Path) -> Path:
    """Return the file of points that were picked on a mesh.

    It is named after the mesh, ``MESH_picked_points.pp`` as MeshLab suggests or ``MESH.pp``;
    where there is none of these names, it is the only ``*.pp`` of the folder, whatever its name.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``ambiguous_scan``.
    """
    named = [folder / f"{mesh.stem}{ending}" for ending in ("_picked_points.pp", ".pp")]
    for path in named:
        if path.is_file():
            return path
    found = sorted(path for path in folder.glob("*.pp") if path.is_file())
    if not found:
        raise CaptureError("missing_file", f"{named[0]}: file not found, nor any other *.pp there")
    return only_mesh(found, folder)


def read_point_list(path: Path) -> GivenLandmarks:
    """Read seven points from a file ``*.lnd`` with a line ``number x y z`` for each.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``bad_landmarks``, naming file and line.
    """
    points: list[list[str]] = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 4 or words[0] != str(len(points) + 1):
            raise _bad(path, f"line {number}: '{line}', wanted '{len(points) + 1} x y z'")
        points.append(words[1:])
    return _seven_points(path, points)


def read_mesh_landmarks(path: Path) -> MeshLandmarks:
    """Read the landmark vertices of another method's topology.

    ``{"schema": "fg3d-mesh-landmarks-1", "vertex_index": {"36": 2088, ...}, "mirrored": false}``:
    the vertex, counted from 0, at each of iBUG's points (0 to 67), for seven points or more
    without those of the jaw line. ``mirrored`` declares a left-handed frame.

    Raises
    ------
    ConfigError
        Not there or wrong; names file and field.
    """
    try:
        value = read_json_object(path)
    except CaptureError as error:
        if error.code != "missing_file":
            raise ConfigError(error.message) from None
        raise ConfigError(
            f"{path}: not found; it says which vertices of the meshes are landmarks, see "
            "docs/protocols.md"
        ) from None
    if value.get("schema") != MESH_LANDMARKS_SCHEMA:
        raise ConfigError(f"{path}: schema: wanted '{MESH_LANDMARKS_SCHEMA}'")
    known = {"schema": "", "vertex_index": {}, "mirrored": False}
    for name, given in value.items():
        if name not in known:
            raise ConfigError(f"{path}: unknown field '{name}'")
        if type(given) is not type(known[name]):
            wanted = type(known[name]).__name__
            raise ConfigError(f"{path}: {name}: expected {wanted}, found {str(given)[:60]!r}")
    found: dict[int, int] = {}
    for point, vertex in value.get("vertex_index", {}).items():
        if point not in _POINTS:
            raise ConfigError(
                f"{path}: vertex_index: '{point[:60]}' is none of iBUG's points 0 to 67"
            )
        if type(vertex) is not int or not 0 <= vertex <= _LAST_VERTEX:
            raise ConfigError(f"{path}: vertex_index: {point}: {str(vertex)[:60]} is no vertex")
        found[int(point)] = vertex
    inner = sorted(point for point in found if point >= FIRST_INNER)
    if len(inner) < MIN_LANDMARKS:
        raise ConfigError(
            f"{path}: vertex_index: wanted at least {MIN_LANDMARKS} points from {FIRST_INNER} on; "
            f"got {len(inner)}"
        )
    point_at: dict[int, int] = {}
    for point in inner:
        if found[point] in point_at:
            raise ConfigError(
                f"{path}: vertex_index: points {point_at[found[point]]} and {point} are both at "
                f"vertex {found[point]}; each has a vertex of its own"
            )
        point_at[found[point]] = point
    vertices = np.array([found[p] for p in inner], dtype=np.int64)
    return MeshLandmarks(np.array(inner, dtype=np.int64), vertices, value.get("mirrored", False))


def _text(path: Path) -> str:
    data = read_regular(path, "bad_landmarks", _MAX_BYTES)
    return data.decode("utf-8", "replace").lstrip("\ufeff \n\r\t")


def _seven_points(path: Path, points: list[list[str]]) -> GivenLandmarks:
    rows = []
    for number, words in enumerate(points):
        try:
            rows.append([float(word) for word in words])
        except ValueError:
            rows.append([float("nan")] * 3)
        if not (np.abs(rows[-1]) <= FARTHEST).all():
            raise _bad(
                path, f"point {number}: {words} are no finite coordinates up to {FARTHEST:.0e}"
            )
    if len(rows) != len(SEVEN_POINTS):
        raise _bad(path, f"{len(rows)} points, wanted {len(SEVEN_POINTS)}")
    return GivenLandmarks(np.array(SEVEN_POINTS), np.array(rows))


def _bad(path: Path, problem: str) -> CaptureError:
    return CaptureError("bad_landmarks", f"{path}: {problem}")
