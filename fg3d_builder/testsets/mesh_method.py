"""Other methods take part with one mesh per image and a list of landmark vertices.

A method's folder holds ``IMAGE_ID.obj`` (or ``.ply``, ``.glb``) for every image of the protocol,
and ``landmarks.json``, see `read_mesh_landmarks`. Units and axes are free, as Eq. 18 aligns
position, rotation and scale. A mesh of another topology than the rest may have landmarks of its
own in ``IMAGE_ID.json``.

The pairs of Eq. 18 come from the project's own registration. The folder's first mesh is registered
as a scan is: rendered to an RGB-D view, with its landmark vertices for landmarks. That gives the
place of each vertex of our template on the method's topology, for all meshes of that topology.
Each given landmark is compared with what the others expect and with the registered template; one
that is elsewhere is refused by name. From then on a mesh is measured as ours are. A vertex of C
that the topology does not reach (a mask without forehead, say) is left out; the share that it does
reach is reported as coverage.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fg3d_builder.captures.scan import turned_outward
from fg3d_builder.config import digest
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.evaluation import Correspondence, Places
from fg3d_builder.facemodel.model import topology_hash
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.files.mesh_io import MESH_SUFFIXES, TexturedMesh
from fg3d_builder.files.products import SUFFIX
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Capture, Landmarks, Pose
from fg3d_builder.testsets.ground_truth import GroundTruth
from fg3d_builder.testsets.kept import kept
from fg3d_builder.testsets.mesh_files import MeshLandmarks, read_mesh_landmarks
from fg3d_builder.testsets.method_meshes import landmarks_at_vertices, read_method_mesh
from fg3d_builder.testsets.plausible_landmarks import described, plausible_pose
from fg3d_builder.testsets.records import GivenLandmarks
from fg3d_builder.testsets.registered import PairTests, register_surface
from fg3d_builder.testsets.setup import Setup
from fg3d_builder.testsets.surfaces import upright_surface

LANDMARKS_NAME = "landmarks.json"
STAGE = "test-set-topology-3"
"""Raise the number when the same input gives another registration of a topology."""

MIN_COVERAGE = 0.5
"""Share of the set C; less is no reconstruction of the face."""

TRANSFER_TESTS = PairTests(max_distance_mm=10.0, max_normal_deg=75.0, seen_only=False)
"""Far looser than those of C, as nothing must be left out of a method's mesh because it is hard:
only what the mesh does not reach fails them, and the rim of the mesh."""


class Measured(NamedTuple):
    """DACE as a fraction of the interocular distance, and the share of C that was measured.

    Attributes
    ----------
    dace : float
    coverage : float
        In [0, 1].
    """

    dace: float
    coverage: float


class MeshMethod:
    """A folder of another method's meshes.

    Parameters
    ----------
    name : str
    folder : Path
    images : sequence of str
        Ids of the protocol's images, in its order.
    setup : Setup
    store : Path
        Where registrations of the method's topologies are kept, with a picture each.

    Raises
    ------
    ConfigError
        No folder, no readable landmarks, not one mesh for any of the images, or landmarks that
        the first of the meshes shows to be wrong.
    """

    def __init__(
        self, name: str, folder: Path, images: list[str], setup: Setup, store: Path
    ) -> None:
        if not folder.is_dir():
            raise ConfigError(f"method '{name}': no folder {folder}")
        self.name = name
        self._folder, self._setup, self._store = folder, setup, store
        self._landmarks = read_mesh_landmarks(folder / LANDMARKS_NAME)
        try:
            setup.model.embedded("ibug68", self._landmarks.ibug)
        except ValueError as error:
            raise ConfigError(f"{folder / LANDMARKS_NAME}: vertex_index: {error}") from None
        first = next((i for i in images if self._find(i) is not None), None)
        if first is None:
            raise ConfigError(
                f"method '{name}': {folder} has no mesh for any image; wanted "
                f"{images[0]}{MESH_SUFFIXES[0]} and so on"
            )
        self._first = first
        self._first_sha256 = file_sha256(self._existing(first))
        self._topologies: dict[str, Correspondence] = {}
        self._check_first()

    def _check_first(self) -> None:
        """Refuse landmarks that the first mesh shows to be wrong, before anything is measured."""
        if self._own_landmarks(self._first).is_file():
            return
        try:
            mesh = self._first_mesh
        except CaptureError:  # a failure of this image alone
            return
        try:
            self._given(self._first, mesh)
        except CaptureError as error:
            raise ConfigError(f"method '{self.name}': {error.message}") from None

    def _find(self, image_id: str) -> Path | None:
        paths = (self._folder / f"{image_id}{suffix}" for suffix in MESH_SUFFIXES)
        return next((path for path in paths if path.is_file()), None)

    def key(self, image_id: str) -> str:
        """Return a digest of all that an error on this image depends on but the truth.

        Raises
        ------
        CaptureError
            ``missing_mesh``.
        """
        own = file_sha256(self._existing(image_id)), self._points_key(image_id)
        first = self._first_sha256, self._points_key(self._first)
        return digest(STAGE, self._setup.model_key, self._setup.config, own, first)

    def measure(self, image_id: str, truth: GroundTruth) -> Measured:
        """Compare the mesh of an image with the truth.

        Raises
        ------
        CaptureError
            ``missing_mesh``, ``unreadable_mesh``, ``bad_landmarks``, ``mirrored_mesh``,
            ``low_coverage``, ``bad_mesh``, or why its topology could not be registered.
        """
        mesh = self._mesh(image_id)
        topology = self._topology(image_id, mesh)
        members = truth.registered.members
        reached, wanted = topology.source.vertex_index, members.source.vertex_index
        there = np.isin(wanted, reached)
        coverage = float(there.mean())
        if coverage < MIN_COVERAGE:
            raise CaptureError(
                "low_coverage",
                f"{self.name}: {image_id}: the mesh reaches {coverage:.0%} of the set C, wanted "
                f"{MIN_COVERAGE:.0%}",
            )
        rows = np.searchsorted(reached, wanted[there])
        pairs = Correspondence.of(topology.target.take(rows), members.target.take(there))
        try:
            return Measured(truth.dace(mesh.vertices, pairs), coverage)
        except ValueError as problem:  # all vertices at one place, say
            raise CaptureError("bad_mesh", f"{self.name}: {image_id}: {problem}") from None

    def _existing(self, image_id: str) -> Path:
        path = self._find(image_id)
        if path is None:
            kinds = ", ".join(MESH_SUFFIXES)
            raise CaptureError(
                "missing_mesh", f"{self.name}: no {self._folder / image_id} with {kinds}"
            )
        return path

    def _own_landmarks(self, image_id: str) -> Path:
        return self._folder / f"{image_id}.json"

    def _landmarks_of(self, image_id: str) -> MeshLandmarks:
        own = self._own_landmarks(image_id)
        if not own.is_file():
            return self._landmarks
        try:
            return read_mesh_landmarks(own)
        except ConfigError as error:
            raise CaptureError("bad_landmarks", str(error)) from None

    def _points_key(self, image_id: str) -> list[object]:
        landmarks = self._landmarks_of(image_id)
        return [landmarks.ibug.tolist(), landmarks.vertex.tolist(), landmarks.mirrored]

    def _mesh(self, image_id: str) -> TexturedMesh:
        """Read a mesh, right-handed and with its outside outside; colours do not matter."""
        mesh = read_method_mesh(self._existing(image_id))
        if self._landmarks_of(image_id).mirrored:
            mesh = replace(mesh, vertices=mesh.vertices * [-1.0, 1.0, 1.0])
        return turned_outward(mesh)

    def _given(self, image_id: str, mesh: TexturedMesh) -> tuple[GivenLandmarks, Pose]:
        """Return a mesh's landmarks and its ``upright_from_file``, or `CaptureError`."""
        landmarks, name = self._landmarks_of(image_id), f"{self.name} {image_id}"
        given = landmarks_at_vertices(landmarks, mesh, name)
        own = self._own_landmarks(image_id)
        where = own.name if own.is_file() else LANDMARKS_NAME
        return given, plausible_pose(given, self._setup.model, name, where)

    @cached_property
    def _first_mesh(self) -> TexturedMesh:
        return self._mesh(self._first)

    def _topology(self, image_id: str, mesh: TexturedMesh) -> Correspondence:
        """Return where the template is on a mesh; all of the first one's topology share it.

        Returns
        -------
        Correspondence
            From vertices of the template, ascending, to places on the mesh of the file.
        """
        topology, first = _topology_hash(mesh), self._first_mesh
        same = topology == _topology_hash(first)
        if same and self._points_key(image_id) == self._points_key(self._first):
            image_id, mesh = self._first, first
        key = self.key(image_id)
        if key not in self._topologies:
            path = self._store / f"{image_id.replace('/', '-')}-{topology}{SUFFIX}"
            self._topologies[key] = kept(
                path, STAGE, key, Correspondence, lambda: self._registered(image_id, mesh, path)
            )
        return self._topologies[key]

    def _registered(self, image_id: str, mesh: TexturedMesh, path: Path) -> Correspondence:
        """Register the template to a mesh by the mesh's landmark vertices."""
        model, name = self._setup.model, f"{self.name} {image_id}"
        given, pose = self._given(image_id, mesh)
        surface = upright_surface(mesh, pose)

        def projected(capture: Capture, cam_from_upright: Pose) -> Landmarks:
            px, confidence = np.zeros((68, 2)), np.zeros(68)
            points = cam_from_upright.cam_from_obj(pose.cam_from_obj(given.points))
            px[given.ibug] = px_from_cam(points, capture.intrinsics)
            confidence[given.ibug] = 1.0
            return Landmarks("ibug68", px, confidence, "landmark vertices")

        picture = path.with_suffix(".png")
        try:
            found = register_surface(self._setup, surface, name, TRANSFER_TESTS, projected, picture)
        except CaptureError as error:
            raise CaptureError(error.code, f"{error.message}; see {picture}") from None
        there = model.embedded("ibug68", given.ibug).points(found.vertices_mm, model.triangles)
        away_mm = np.linalg.norm(there - pose.cam_from_obj(given.points), axis=1)
        far = away_mm > self._setup.config.max_landmark_mm
        if far.any():
            away = dict(zip(given.ibug[far].tolist(), away_mm[far].tolist(), strict=True))
            raise CaptureError(
                "bad_landmarks",
                f"{name}: the registered template is off the vertices that were given for "
                f"{described(away)}; see {picture} and check them in {LANDMARKS_NAME}",
            )
        target = found.members.target
        places = Places(surface.file_vertex[target.corners], target.barycentric, len(mesh.vertices))
        return Correspondence.of(found.members.source, places)


def _topology_hash(mesh: TexturedMesh) -> str:
    return topology_hash(len(mesh.vertices), mesh.triangles)
