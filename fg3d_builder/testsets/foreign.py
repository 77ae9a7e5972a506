"""Other methods take part with one mesh per image and a list of landmark vertices.

A method's folder holds ``IMAGE_ID.obj`` (or ``.ply``, ``.glb``) for every image of the protocol,
and ``landmarks.json``::

    {"schema": "fg3d-mesh-landmarks-1",
     "vertex_index": {"36": 2088, "39": 5959, "42": 10603, "45": 14472, "33": 8204, ...},
     "mirrored": false}

``vertex_index`` says which vertex (counted from 0, in the file's order) lies at which of iBUG's
points (0 to 67), seven of them or more without those of the jaw line. Units and axes are free, as
Eq. 18 aligns position, rotation and scale; only a left-handed frame has to be declared, by
``"mirrored": true``. Beside a mesh of another topology than the rest, ``IMAGE_ID.json`` may hold
landmarks of its own.

The pairs of Eq. 18 come from the project's own registration. The folder's first mesh is registered
as a scan is: rendered to an RGB-D view, its landmark vertices for landmarks. That tells where on
the method's topology each vertex of our template lies, and all meshes of that topology take it
over. From then on a mesh is measured as ours are: the same vertices of C, the same alignment, the
same nearest points. A vertex of C that the topology does not reach (a mask without forehead, say)
is left out; the share that it does reach is reported as coverage.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from fg3d_builder.captures.scan import turned_outward
from fg3d_builder.config import digest
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.evaluation import Correspondence, Places, dace
from fg3d_builder.facemodel.model import FaceModel, topology_hash
from fg3d_builder.files.atomic import replacing, write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.files.mesh_io import MESH_SUFFIXES, TexturedMesh, mesh_with_colors, read_mesh
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Array, Capture, Landmarks, Pose
from fg3d_builder.testsets.ground_truth import GroundTruth
from fg3d_builder.testsets.records import GivenLandmarks, ProtocolConfig
from fg3d_builder.testsets.registered import PairTests, RegistrationError, register_surface
from fg3d_builder.testsets.surfaces import model_landmarks, pose_by_landmarks, upright_surface

LANDMARKS_NAME = "landmarks.json"
LANDMARKS_SCHEMA = "fg3d-mesh-landmarks-1"
TRANSFER_SCHEMA = "fg3d-topology-transfer-1"
MIN_LANDMARKS = 7
MIN_COVERAGE = 0.5
"""Of the set C; less is no reconstruction of the face."""

TRANSFER_TESTS = PairTests(max_distance_mm=10.0, max_normal_deg=75.0, seen_only=False)
"""Far looser than those of C, as nothing must be left out of a method's mesh because it is hard:
only what the mesh does not reach fails them, and the rim of the mesh."""

_FIRST_INNER = 17
"""iBUG's points below it lie on the jaw line, where they move with the view."""

_MIRROR_GAIN = 0.6
"""A mirrored mesh is one whose landmarks fit so much better after reflection."""


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


class Transfer(NamedTuple):
    """Where vertices of our template lie on a mesh of another topology.

    Attributes
    ----------
    template_vertex : (t,) int64
        Ascending.
    places : Places
        On the mesh, with the vertices of its file.
    """

    template_vertex: Array
    places: Places


class Measured(NamedTuple):
    """DACE as a fraction of the interocular distance, and the share of C that was measured."""

    dace: float
    coverage: float


def read_mesh_landmarks(path: Path) -> MeshLandmarks:
    """Read the landmark vertices of a topology.

    Raises
    ------
    ConfigError
        Not there or wrong; names file and field.
    """
    if not path.is_file():
        raise ConfigError(
            f"{path}: not found; it says which vertices of the meshes are landmarks, see "
            "docs/protocols.md"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: no JSON ({error})") from None
    if not isinstance(value, dict) or value.get("schema") != LANDMARKS_SCHEMA:
        raise ConfigError(f"{path}: schema: wanted '{LANDMARKS_SCHEMA}'")
    unknown = sorted(set(value) - {"schema", "vertex_index", "mirrored"})
    if unknown:
        raise ConfigError(f"{path}: unknown field '{unknown[0]}'")
    mirrored = value.get("mirrored", False)
    if not isinstance(mirrored, bool):
        raise ConfigError(f"{path}: mirrored: wanted true or false, got {mirrored!r}")
    table = value.get("vertex_index")
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: vertex_index: wanted a table of point to vertex")
    found: dict[int, int] = {}
    for point, vertex in table.items():
        if not (point.isdecimal() and int(point) < 68):
            raise ConfigError(f"{path}: vertex_index: '{point}' is none of iBUG's points 0 to 67")
        if not isinstance(vertex, int) or isinstance(vertex, bool) or vertex < 0:
            raise ConfigError(f"{path}: vertex_index: {point}: {vertex!r} is no vertex")
        found[int(point)] = vertex
    inner = sorted(point for point in found if point >= _FIRST_INNER)
    if len(inner) < MIN_LANDMARKS or len({found[p] for p in inner}) < len(inner):
        raise ConfigError(
            f"{path}: vertex_index: wanted at least {MIN_LANDMARKS} points from {_FIRST_INNER} on, "
            f"each at a vertex of its own; got {len(inner)}"
        )
    vertices = np.array([found[p] for p in inner], dtype=np.int64)
    return MeshLandmarks(np.array(inner, dtype=np.int64), vertices, mirrored)


class MeshMethod:
    """A folder of another method's meshes.

    Parameters
    ----------
    name : str
    folder : Path
    images : sequence of str
        Ids of the protocol's images, in its order.
    model : FaceModel
    model_key : str
        See `model_digest`.
    config : ProtocolConfig
    store : Path
        Where registrations of the method's topologies are kept, with a picture each.

    Raises
    ------
    ConfigError
        No folder, no readable landmarks, or not one mesh for any of the images.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        images: list[str],
        model: FaceModel,
        model_key: str,
        config: ProtocolConfig,
        store: Path,
    ) -> None:
        if not folder.is_dir():
            raise ConfigError(f"method '{name}': no folder {folder}")
        self.name = name
        self._folder, self._model, self._model_key = folder, model, model_key
        self._config, self._store = config, store
        self._landmarks = read_mesh_landmarks(folder / LANDMARKS_NAME)
        missing = set(self._landmarks.ibug.tolist()) - _embedded(model)
        if missing:
            raise ConfigError(
                f"{folder / LANDMARKS_NAME}: vertex_index: face model '{model.name}' has no place "
                f"for point {min(missing)}"
            )
        first = next((i for i in images if self.file(i) is not None), None)
        if first is None:
            raise ConfigError(
                f"method '{name}': {folder} has no mesh for any image; wanted "
                f"{images[0]}{MESH_SUFFIXES[0]} and so on"
            )
        self._first = first
        self._first_mesh: TexturedMesh | None = None
        self._sha256: dict[Path, str] = {}
        self._transfers: dict[str, Transfer | CaptureError] = {}

    def file(self, image_id: str) -> Path | None:
        """Return the mesh of an image, or None."""
        for suffix in MESH_SUFFIXES:
            path = self._folder / f"{image_id}{suffix}"
            if path.is_file():
                return path
        return None

    def key(self, image_id: str) -> str:
        """Return a digest of all that an error on this image depends on but the truth.

        Raises
        ------
        CaptureError
            ``missing_mesh``.
        """
        path, first = self._existing(image_id), self._existing(self._first)
        settings = (TRANSFER_SCHEMA, self._model_key, self._config)
        own = [_points_key(self._landmarks_of(i)) for i in (image_id, self._first)]
        return digest(settings, self._hash(path), self._hash(first), own)

    def measure(self, image_id: str, truth: GroundTruth) -> Measured:
        """Compare the mesh of an image with the truth.

        Raises
        ------
        CaptureError
            ``missing_mesh``, ``unreadable_mesh``, ``bad_landmarks``, ``mirrored_mesh``,
            ``low_coverage``, ``bad_mesh``, or why its topology could not be registered.
        """
        mesh = self._mesh(image_id)
        transfer = self._transfer(image_id, mesh)
        wanted = truth.members.source.vertex_index
        there = np.isin(wanted, transfer.template_vertex)
        coverage = float(there.mean())
        if coverage < MIN_COVERAGE:
            raise CaptureError(
                "low_coverage",
                f"{self.name}: {image_id}: the mesh reaches {coverage:.0%} of the set C, wanted "
                f"{MIN_COVERAGE:.0%}",
            )
        rows = np.searchsorted(transfer.template_vertex, wanted[there])
        pairs = Correspondence.of(
            _subset(transfer.places, rows), _subset(truth.members.target, there)
        )
        try:
            error = dace(
                *(mesh.vertices, truth.scan_mm, pairs, truth.surface.scan), truth.interocular_mm
            )
        except ValueError as problem:  # all vertices at one place, say
            raise CaptureError("bad_mesh", f"{self.name}: {image_id}: {problem}") from None
        return Measured(error.value, coverage)

    def _hash(self, path: Path) -> str:
        if path not in self._sha256:
            self._sha256[path] = file_sha256(path)
        return self._sha256[path]

    def _existing(self, image_id: str) -> Path:
        path = self.file(image_id)
        if path is None:
            kinds = ", ".join(MESH_SUFFIXES)
            raise CaptureError(
                "missing_mesh", f"{self.name}: no {self._folder / image_id} with {kinds}"
            )
        return path

    def _landmarks_of(self, image_id: str) -> MeshLandmarks:
        own = self._folder / f"{image_id}.json"
        if not own.is_file():
            return self._landmarks
        try:
            return read_mesh_landmarks(own)
        except ConfigError as error:
            raise CaptureError("bad_landmarks", str(error)) from None

    def _mesh(self, image_id: str) -> TexturedMesh:
        """Read a mesh, right-handed and with its outside outside; colours do not matter."""
        mesh = read_mesh(self._existing(image_id))
        mesh = mesh_with_colors(mesh.vertices, mesh.triangles)
        if self._landmarks_of(image_id).mirrored:
            mesh = replace(mesh, vertices=mesh.vertices * [-1.0, 1.0, 1.0])
        return turned_outward(mesh)

    def _transfer(self, image_id: str, mesh: TexturedMesh) -> Transfer:
        """Return where the template lies on a mesh; all of the first one's topology share it."""
        topology = _topology(mesh)
        if image_id != self._first:
            if self._first_mesh is None:
                self._first_mesh = self._mesh(self._first)
            same = _topology(self._first_mesh) == topology
            own, first = self._landmarks_of(image_id), self._landmarks_of(self._first)
            if same and _points_key(own) == _points_key(first):
                image_id, mesh = self._first, self._first_mesh
        key = self.key(image_id)
        if key not in self._transfers:
            path = self._store / f"{image_id.replace('/', '-')}-{topology}.h5"
            self._transfers[key] = self._kept(image_id, mesh, key, path)
        found = self._transfers[key]
        if isinstance(found, CaptureError):
            raise found
        return found

    def _kept(
        self, image_id: str, mesh: TexturedMesh, key: str, path: Path
    ) -> Transfer | CaptureError:
        """Return a registration from its file, or make it; a failure is not tried again."""
        found = _read_transfer(path, key)
        if found is None:
            try:
                found = self._registered(image_id, mesh, path)
            except CaptureError as error:
                return error
            _write_transfer(path, key, found)
        return found

    def _registered(self, image_id: str, mesh: TexturedMesh, path: Path) -> Transfer:
        landmarks = self._landmarks_of(image_id)
        name = f"{self.name} {image_id}"
        if landmarks.vertex.max() >= len(mesh.vertices):
            raise CaptureError(
                "bad_landmarks",
                f"{name}: landmark at vertex {landmarks.vertex.max()}, the mesh has "
                f"{len(mesh.vertices)}",
            )
        loose = landmarks.vertex[~np.isin(landmarks.vertex, mesh.triangles)]
        if len(loose):
            raise CaptureError(
                "bad_landmarks", f"{name}: landmark at vertex {loose[0]}, which no triangle uses"
            )
        given = GivenLandmarks(landmarks.ibug, mesh.vertices[landmarks.vertex])
        _check_handedness(given, self._model, name)
        pose = pose_by_landmarks(given, self._model, 0.0, name)
        surface = upright_surface(mesh, pose)
        points = pose.cam_from_obj(given.points)

        def projected(capture: Capture, cam_from_upright: Pose) -> Landmarks:
            return _projected(landmarks.ibug, points, capture, cam_from_upright)

        picture = path.with_suffix(".png")
        try:
            found = register_surface(
                *(self._model, surface, name, self._config, TRANSFER_TESTS), projected
            )
        except RegistrationError as failure:
            write_bytes(picture, encode_png(failure.picture))
            error = failure.error
            raise CaptureError(error.code, f"{error.message}; see {picture}") from None
        write_bytes(picture, encode_png(found.picture))
        target = found.members.target
        places = Places(surface.file_vertex[target.corners], target.barycentric, len(mesh.vertices))
        return Transfer(found.members.source.vertex_index, places)


def _embedded(model: FaceModel) -> set[int]:
    embedding = model.embeddings.get("ibug68")
    return set() if embedding is None else set(embedding.point_index.tolist())


def _points_key(landmarks: MeshLandmarks) -> list[object]:
    return [landmarks.ibug.tolist(), landmarks.vertex.tolist(), landmarks.mirrored]


def _topology(mesh: TexturedMesh) -> str:
    return topology_hash(len(mesh.vertices), mesh.triangles)


def _subset(places: Places, rows: Array) -> Places:
    return Places(places.corners[rows], places.barycentric[rows], places.vertex_count)


def _check_handedness(given: GivenLandmarks, model: FaceModel, name: str) -> None:
    """Raise where the landmarks fit the model far better once they are reflected."""
    target = model_landmarks(model, model.mean, given.ibug)
    residual = []
    for sign in (1.0, -1.0):
        points = given.points * [sign, 1.0, 1.0]
        try:
            pose = align_similarity(points, target)
        except ValueError as error:
            raise CaptureError("bad_landmarks", f"{name}: {error}") from None
        residual.append(np.sqrt(((pose.cam_from_obj(points) - target) ** 2).sum(axis=1).mean()))
    if residual[1] < _MIRROR_GAIN * residual[0]:
        raise CaptureError(
            "mirrored_mesh",
            f"{name}: the landmarks fit a face within {residual[0]:.1f} mm as they are and within "
            f"{residual[1]:.1f} mm reflected; say so by 'mirrored' in {LANDMARKS_NAME}, or check "
            "the vertices in it",
        )


def _projected(
    ibug: Array, points_mm: Array, capture: Capture, cam_from_upright: Pose
) -> Landmarks:
    px, confidence = np.zeros((68, 2)), np.zeros(68)
    px[ibug] = px_from_cam(cam_from_upright.cam_from_obj(points_mm), capture.intrinsics)
    confidence[ibug] = 1.0
    return Landmarks("ibug68", px, confidence, "landmark vertices")


def _write_transfer(path: Path, key: str, transfer: Transfer) -> None:
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(schema=TRANSFER_SCHEMA, key=key, vertices=transfer.places.vertex_count)
        file["template_vertex"] = transfer.template_vertex
        file["corners"] = transfer.places.corners
        file["barycentric"] = transfer.places.barycentric


def _read_transfer(path: Path, key: str) -> Transfer | None:
    if not path.is_file():
        return None
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("schema") != TRANSFER_SCHEMA or file.attrs.get("key") != key:
                return None
            places = Places(
                file["corners"][()], file["barycentric"][()], int(file.attrs["vertices"])
            )
            return Transfer(file["template_vertex"][()], places)
    except OSError:  # cut off by something that does not write as we do: made anew
        return None
