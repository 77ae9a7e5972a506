"""REALY's 85 key points on a topology: read, written, and carried to the face model.

A file of key points is a JSON list ``[[triangle, a, b], ...]``: the triangle's number in the
topology's obj, counted from 0, and the weights of its first and second corner; the third corner
has the rest. The first 68 points are iBUG's; where on a face the other 17 are, only the files of
the benchmark's own topologies say. So they are carried: the face model is registered to such a
topology, and each point goes to the closest place on the registered model. Of iBUG's points, the
model's own places are taken: a registration slides along smooth skin by millimetres.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fg3d_builder.config import digest
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.evaluation import ScanSurface
from fg3d_builder.evaluation.regional_error import KEY_POINT_COUNT
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import surface_points
from fg3d_builder.records import Array, Capture, Landmarks, Pose
from fg3d_builder.testsets.kept import kept
from fg3d_builder.testsets.mesh_files import FIRST_INNER
from fg3d_builder.testsets.mesh_method import STAGE, TRANSFER_TESTS
from fg3d_builder.testsets.method_meshes import degenerate_triangles, read_method_mesh
from fg3d_builder.testsets.plausible_landmarks import plausible_pose
from fg3d_builder.testsets.records import GivenLandmarks
from fg3d_builder.testsets.registered import RegisteredSurface, register_surface
from fg3d_builder.testsets.setup import Setup
from fg3d_builder.testsets.surfaces import upright_surface

IBUG_COUNT = 68

MAX_CARRIED_MM = 8.0
"""A key point this far from the registered model is not on it."""

_MAX_BYTES = 2**20
_WEIGHT_SLACK = 1e-4


class KeyPointPlaces(NamedTuple):
    """Where the 85 key points are on a topology.

    Attributes
    ----------
    triangle : (85,) int64
    barycentric : (85, 3) float64
    """

    triangle: Array
    barycentric: Array

    def points(self, vertices: Array, triangles: Array) -> Array:
        """Return the (85, 3) key points of a mesh of the topology."""
        return surface_points(vertices, triangles, self.triangle, self.barycentric)


def read_key_points(path: Path) -> KeyPointPlaces:
    """Read a topology's key points.

    Raises
    ------
    ConfigError
        Not there, or no list of 85 places on triangles; names file and point.
    """
    try:
        value = json.loads(read_regular(path, "bad_landmarks", _MAX_BYTES))
    except CaptureError as error:
        missing = error.code == "missing_file"
        raise ConfigError(f"{path}: not found" if missing else error.message) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: no JSON ({error})") from None
    if not isinstance(value, list) or len(value) != KEY_POINT_COUNT:
        count = len(value) if isinstance(value, list) else "no list of"
        raise ConfigError(f"{path}: {count} key points, wanted {KEY_POINT_COUNT}")
    triangle, weights = [], []
    for number, row in enumerate(value):
        numbers = (
            isinstance(row, list)
            and len(row) == 3
            and all(type(entry) in (int, float) for entry in row)
        )
        if not numbers or row[0] != int(row[0]) or not 0 <= row[0] < 2**31:
            raise ConfigError(f"{path}: key point {number}: wanted [triangle, a, b]")
        a, b = float(row[1]), float(row[2])
        if not (min(a, b, 1.0 - a - b) >= -_WEIGHT_SLACK and max(a, b) <= 1.0 + _WEIGHT_SLACK):
            raise ConfigError(
                f"{path}: key point {number}: weights {a:g}, {b:g} leave the triangle"
            )
        triangle.append(int(row[0]))
        weights.append([a, b, 1.0 - a - b])
    return KeyPointPlaces(np.array(triangle), np.array(weights))


def write_key_points(path: Path, places: KeyPointPlaces) -> None:
    """Write key points as the benchmark reads them."""
    rows = [
        [int(triangle), float(weights[0]), float(weights[1])]
        for triangle, weights in zip(places.triangle, places.barycentric, strict=True)
    ]
    write_bytes(path, json.dumps(rows).encode())


def checked_key_points(
    places: KeyPointPlaces, vertices: Array, triangles: Array, model: FaceModel, where: Path
) -> Array:
    """Return the (85, 3) key points of a mesh, which have to fit a face.

    Parameters
    ----------
    places : KeyPointPlaces
    vertices : (n, 3) float
    triangles : (m, 3) int
    model : FaceModel
    where : Path
        The file of the key points, for messages.

    Raises
    ------
    CaptureError
        ``bad_landmarks`` for triangles that are not there or have no area, and for points in a
        wrong order; ``mirrored_mesh``.
    """
    if places.triangle.max() >= len(triangles):
        raise CaptureError(
            "bad_landmarks",
            f"{where}: key point {int(places.triangle.argmax())} is on triangle "
            f"{places.triangle.max()}, the mesh has {len(triangles)}; it is of another topology",
        )
    flat = degenerate_triangles(vertices, triangles)[places.triangle]
    if flat.any():
        first = int(np.flatnonzero(flat)[0])
        raise CaptureError(
            "bad_landmarks",
            f"{where}: key point {first} is on triangle {places.triangle[first]}, which has no "
            "area",
        )
    points = places.points(vertices, triangles)
    plausible_pose(inner_landmarks(points), model, where.stem, where.name)
    return points


def inner_landmarks(points: Array) -> GivenLandmarks:
    """Return iBUG's points without the jaw line, of 85 key points."""
    inner = np.arange(FIRST_INNER, IBUG_COUNT)
    return GivenLandmarks(inner, np.asarray(points)[inner])


def carried_key_points(setup: Setup, template: Path, store: Path) -> KeyPointPlaces:
    """Return the key points of the face model, carried from a topology of the benchmark.

    Parameters
    ----------
    setup : Setup
    template : Path
        ``NAME.obj``, with its key points in ``NAME.txt``.
    store : Path
        Where the registration is kept, with a picture to check it by.

    Raises
    ------
    CaptureError
        A template that cannot be read or registered; a key point that is not on the model.
    ConfigError
        What `read_key_points` raises.
    """
    where = template.with_suffix(".txt")
    places, model = read_key_points(where), setup.model
    mesh = read_method_mesh(template)
    points = checked_key_points(places, mesh.vertices, mesh.triangles, model, where)
    given = inner_landmarks(points)
    pose = plausible_pose(given, model, template.stem, where.name)
    picture = store / f"{template.stem}.png"

    def projected(capture: Capture, cam_from_upright: Pose) -> Landmarks:
        px, confidence = np.zeros((IBUG_COUNT, 2)), np.zeros(IBUG_COUNT)
        at = cam_from_upright.cam_from_obj(pose.cam_from_obj(given.points))
        px[given.ibug] = px_from_cam(at, capture.intrinsics)
        confidence[given.ibug] = 1.0
        return Landmarks("ibug68", px, confidence, "key points")

    def registered() -> RegisteredSurface:
        surface = upright_surface(mesh, pose)
        return register_surface(setup, surface, template.stem, TRANSFER_TESTS, projected, picture)

    key = digest(setup.model_key, setup.config, file_sha256(template), file_sha256(where))
    found = kept(picture.with_suffix(".product"), STAGE, key, RegisteredSurface, registered)
    return _on_model(model, found.vertices_mm, pose.cam_from_obj(points), where)


def _on_model(
    model: FaceModel, registered_mm: Array, points_mm: Array, where: Path
) -> KeyPointPlaces:
    """Place points on the registered model; those that it knows itself are its own."""
    nearest = ScanSurface(registered_mm, model.triangles).closest(points_mm)
    triangle, barycentric = _triangle_of(model, nearest.corners, nearest.barycentric)
    own = model.embeddings["ibug68"]
    triangle[own.point_index], barycentric[own.point_index] = own.triangle, own.barycentric
    carried = np.setdiff1d(np.arange(len(points_mm)), own.point_index)
    far = carried[nearest.distance_mm[carried] > MAX_CARRIED_MM]
    if len(far):
        raise CaptureError(
            "bad_landmarks",
            f"{where}: key point {far[0]} is {nearest.distance_mm[far[0]]:.0f} mm from the "
            "registered face model",
        )
    return KeyPointPlaces(triangle, barycentric)


def _triangle_of(model: FaceModel, corners: Array, barycentric: Array) -> tuple[Array, Array]:
    """Return the numbers of the triangles with some corners, and weights in their order."""
    number = {tuple(t): i for i, t in enumerate(np.asarray(model.triangles).tolist())}
    triangle = np.array([number[tuple(row)] for row in corners.tolist()], dtype=np.int64)
    return triangle, np.array(barycentric, dtype=np.float64)
