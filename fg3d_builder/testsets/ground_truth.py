"""Ground truth of a scan: the registered template and the set C, made once and kept on disk.

Each scan gets ``SCAN.h5`` and ``SCAN.png`` to check it by eye. A file is used again only for the
same scan, face model and settings, and is written as a whole or not at all. A scan that cannot be
registered is kept likewise, with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from fg3d_builder.captures.scan import read_scan
from fg3d_builder.captures.source import safe_id
from fg3d_builder.config import digest
from fg3d_builder.errors import CaptureError
from fg3d_builder.evaluation import Correspondence, Places, interocular_mm, outer_eye_corners
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.atomic import replacing, write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.mesh_io import TexturedMesh
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.records import Array, Pose
from fg3d_builder.testsets.identity import mesh_digest
from fg3d_builder.testsets.records import ProtocolConfig, ProtocolScan
from fg3d_builder.testsets.registered import (
    PairTests,
    RegisteredSurface,
    RegistrationError,
    register_surface,
)
from fg3d_builder.testsets.surfaces import (
    UprightSurface,
    model_landmarks,
    pose_of_scan,
    upright_surface,
)

SCHEMA = "fg3d-protocol-truth-1"
"""Raise the number when the same input gives another truth."""


class GroundTruth(NamedTuple):
    """What reconstructions of one subject are compared with.

    Attributes
    ----------
    key : str
        Of everything that it depends on.
    scan_key : str
        Of the scan's files.
    surface : UprightSurface
        The raw scan.
    registered_mm : (n, 3) float64
        The registered template in the scan's upright frame.
    members : Correspondence
        The set C, from vertices of the template to places on `surface.scan`.
    interocular_mm : float
        ``d``.
    quality : float
    landmark_mm : float
        Mean distance of the template's points to the landmarks that came with the scan; NaN
        where none did.
    """

    key: str
    scan_key: str
    surface: UprightSurface
    registered_mm: Array
    members: Correspondence
    interocular_mm: float
    quality: float
    landmark_mm: float

    @property
    def scan_mm(self) -> Array:
        """(w, 3) vertices of the seamless raw scan, upright, that `members` refers to."""
        return np.asarray(self.surface.mesh.vertices[self.surface.file_vertex])


class GroundTruths:
    """The ground truths of a protocol's scans.

    Parameters
    ----------
    folder : Path
        Where they are kept.
    model : FaceModel
    model_key : str
        See `model_digest`.
    config : ProtocolConfig
    detector : LandmarkDetector
        Finds landmarks in the rendered scan.
    """

    def __init__(
        self,
        folder: Path,
        model: FaceModel,
        model_key: str,
        config: ProtocolConfig,
        detector: LandmarkDetector,
    ) -> None:
        self._folder, self._model, self._model_key = folder, model, model_key
        self._config, self._detector = config, detector

    def get(self, scan: ProtocolScan) -> GroundTruth:
        """Return the ground truth of a scan, made now or before.

        Raises
        ------
        CaptureError
            No ground truth, and why.
        """
        scan_key = mesh_digest(scan.mesh_file) if scan.mesh_file.is_file() else "absent"
        key = self._key(scan, scan_key)
        path = self._folder / f"{safe_id(scan.scan_id)}.h5"
        if not _is_of(path, key):
            self._make(scan, key, path)
        return self._read(scan, key, scan_key, path)

    def _key(self, scan: ProtocolScan, scan_key: str) -> str:
        given = scan.landmarks
        points = None if given is None else [given.ibug.tolist(), given.points.tolist()]
        settings = (SCHEMA, self._model_key, self._config)
        return digest(settings, scan_key, scan.unit_mm, points)

    def _make(self, scan: ProtocolScan, key: str, path: Path) -> None:
        """Register the scan and write what was found, or why nothing was."""
        picture = path.with_suffix(".png")
        try:
            mesh = read_scan(scan.mesh_file)
            surface = self._surface(scan, mesh)
            limits = (self._config.max_distance_mm, self._config.max_normal_deg)
            found = register_surface(
                *(self._model, surface, scan.scan_id, self._config),
                PairTests(*limits, seen_only=True),
                lambda capture, _: self._detector.detect(capture),
            )
            write_bytes(picture, encode_png(found.picture))
            landmark_mm = self._landmark_mm(scan, surface, found)
        except RegistrationError as failure:
            write_bytes(picture, encode_png(failure.picture))
            _write_failure(path, key, failure.error)
        except CaptureError as error:
            _write_failure(path, key, error)
        else:
            corners = outer_eye_corners(self._model)
            between_eyes = interocular_mm(found.vertices_mm, corners)
            _write(path, key, surface.upright_from_file, found, between_eyes, landmark_mm)

    def _surface(self, scan: ProtocolScan, mesh: TexturedMesh) -> UprightSurface:
        name = str(scan.mesh_file)
        pose = pose_of_scan(mesh, scan.unit_mm, scan.landmarks, self._model, name)
        return upright_surface(mesh, pose)

    def _landmark_mm(
        self, scan: ProtocolScan, surface: UprightSurface, found: RegisteredSurface
    ) -> float:
        given = scan.landmarks
        if given is None:
            return float("nan")
        wanted = surface.upright_from_file.cam_from_obj(given.points)
        there = model_landmarks(self._model, found.vertices_mm, given.ibug)
        mean = float(np.linalg.norm(there - wanted, axis=1).mean())
        limit = self._config.max_landmark_mm
        if mean > limit:
            raise CaptureError(
                "wrong_registration",
                f"{scan.scan_id}: the registered template lies {mean:.1f} mm off the landmarks "
                f"that came with the scan, {limit:g} mm are allowed",
            )
        return mean

    def _read(self, scan: ProtocolScan, key: str, scan_key: str, path: Path) -> GroundTruth:
        with h5py.File(path, "r") as file:
            if file.attrs["code"]:
                raise CaptureError(str(file.attrs["code"]), str(file.attrs["message"]))
            pose = Pose(
                float(file.attrs["unit_mm"]), file["rotation"][()], file["translation_mm"][()]
            )
            registered = file["registered_mm"][()]
            index, corners = file["template_vertex"][()], file["scan_corners"][()]
            barycentric = file["scan_barycentric"][()]
            numbers = {n: float(file.attrs[n]) for n in ("interocular_mm", "quality")}
            landmark_mm = float(file.attrs["landmark_mm"])
        surface = upright_surface(read_scan(scan.mesh_file), pose)
        source = Places.at_vertices(index, len(registered))
        target = Places(corners, barycentric, surface.scan.vertex_count)
        return GroundTruth(
            key=key,
            scan_key=scan_key,
            surface=surface,
            registered_mm=registered,
            members=Correspondence.of(source, target),
            landmark_mm=landmark_mm,
            **numbers,
        )


def _is_of(path: Path, key: str) -> bool:
    """Whether a file is there, whole, and made from the same input."""
    if not path.is_file():
        return False
    try:
        with h5py.File(path, "r") as file:
            return file.attrs.get("schema", "") == SCHEMA and file.attrs.get("key", "") == key
    except OSError:  # cut off by something that does not write as we do: made anew
        return False


def _write(
    path: Path,
    key: str,
    pose: Pose,
    found: RegisteredSurface,
    between_eyes_mm: float,
    landmark_mm: float,
) -> None:
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(schema=SCHEMA, key=key, code="", message="", unit_mm=pose.scale)
        file.attrs.update(
            interocular_mm=between_eyes_mm, quality=found.quality, landmark_mm=landmark_mm
        )
        members = found.members
        for name, values, meaning in (
            ("rotation", pose.rotation, "upright frame from the frame of the scan's file"),
            ("translation_mm", pose.translation_mm, "mm"),
            ("registered_mm", found.vertices_mm, "mm, upright frame"),
            ("template_vertex", members.source.vertex_index, "the set C: vertex of the template"),
            ("scan_corners", members.target.corners, "vertices of the scan without its seams"),
            ("scan_barycentric", members.target.barycentric, "place in that triangle"),
        ):
            file.create_dataset(name, data=values).attrs["meaning"] = meaning


def _write_failure(path: Path, key: str, error: CaptureError) -> None:
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(schema=SCHEMA, key=key, code=error.code, message=error.message)
