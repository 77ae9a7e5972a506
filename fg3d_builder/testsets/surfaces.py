"""Scans and reconstructed meshes as an evaluation needs them: upright, in millimetres, seamless."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fg3d_builder.captures.scan import read_scan, scan_unit_mm
from fg3d_builder.errors import CaptureError
from fg3d_builder.evaluation import ScanSurface
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.mesh_io import TexturedMesh
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.records import Array, Pose
from fg3d_builder.testsets.records import GivenLandmarks, ProtocolScan

log = logging.getLogger("fg3d")

_SIZE_MM = (80.0, 1500.0)
"""Extent that a scan of a face, a head or a bust has in its largest direction."""


class UprightSurface(NamedTuple):
    """A raw surface in its upright frame: millimetres, x to the subject's left, y up, z out.

    Attributes
    ----------
    mesh : TexturedMesh
        In that frame, with the vertices of the file.
    upright_from_file : Pose
        The scale is the length of the file's unit.
    scan : ScanSurface
        Without seams: vertices at one place count as one.
    triangles : (t, 3) int64
        Triangles of `scan`.
    file_vertex : (w,) int64
        A vertex of the file for each vertex of `scan`.
    """

    mesh: TexturedMesh
    upright_from_file: Pose
    scan: ScanSurface
    triangles: Array
    file_vertex: Array

    @property
    def scan_mm(self) -> Array:
        """(w, 3) vertices of `scan`."""
        return np.asarray(self.mesh.vertices[self.file_vertex])


def upright_surface(mesh: TexturedMesh, upright_from_file: Pose) -> UprightSurface:
    """Bring a mesh into its upright frame and close the seams of its texture."""
    moved = replace(mesh, vertices=upright_from_file.cam_from_obj(mesh.vertices))
    file_vertex, number = _coinciding(mesh.vertices)
    triangles = number[mesh.triangles]
    a, b, c = triangles.T
    triangles = triangles[(a != b) & (b != c) & (c != a)]
    if len(triangles) == 0:
        raise CaptureError("unreadable_mesh", "every triangle of the mesh is degenerate")
    scan = ScanSurface(moved.vertices[file_vertex], triangles)
    return UprightSurface(moved, upright_from_file, scan, triangles, file_vertex)


def open_surface(scan: ProtocolScan, model: FaceModel) -> UprightSurface:
    """Read a scan and bring it upright, or raise `CaptureError`."""
    mesh = read_scan(scan.mesh_file)
    return upright_surface(mesh, pose_of_scan(scan, mesh, model))


def read_shape(path: Path) -> TexturedMesh:
    """Read a scan for its shape: with its colours, or without where their files are missing."""
    try:
        return read_scan(path)
    except CaptureError as error:
        if error.code != "missing_file":
            raise
        mesh = read_scan(path, colours=False)
        log.warning("%s; it is taken without colours", error.message)
        return mesh


def pose_of_scan(scan: ProtocolScan, mesh: TexturedMesh, model: FaceModel) -> Pose:
    """Return ``upright_from_file`` of a scan.

    Scans without landmarks are taken to be upright as they are, as in every scan source. Given
    landmarks turn the scan so that they agree best with those of the model's mean. An unknown
    unit is found from the given landmarks, else from detected eye corners.

    Raises
    ------
    CaptureError
        ``no_unit``, ``implausible_size`` or ``bad_landmarks``.
    """
    name = str(scan.mesh_file)
    if scan.landmarks is None:
        pose = Pose(scan.unit_mm or scan_unit_mm(mesh, name), np.eye(3), np.zeros(3))
    else:
        pose = pose_by_landmarks(scan.landmarks, model, scan.unit_mm, name)
    used = mesh.vertices[np.unique(mesh.triangles)]
    extent = float(pose.scale * np.ptp(used, axis=0).max())
    low, high = _SIZE_MM
    if not low <= extent <= high:
        raise CaptureError(
            "implausible_size",
            f"{name}: with a unit of {pose.scale:g} mm the scan is {extent:.4g} mm large, wanted "
            f"{low:g} to {high:g} mm; set another unit with --unit-mm",
        )
    return pose


def pose_by_landmarks(given: GivenLandmarks, model: FaceModel, unit_mm: float, name: str) -> Pose:
    """Return the similarity that takes landmarks best to those of the model's mean.

    `unit_mm` fixes the scale; 0 leaves it free. Raises `CaptureError` ``bad_landmarks`` for points
    that coincide or are on a line.
    """
    target = model.embedded("ibug68", given.ibug).points(model.mean, model.triangles)
    try:
        if unit_mm == 0:
            return align_similarity(given.points, target)
        rigid = align_similarity(unit_mm * given.points, target, fix_scale=True)
    except ValueError as error:
        raise CaptureError("bad_landmarks", f"{name}: {error}") from None
    return Pose(unit_mm, rigid.rotation, rigid.translation_mm)


def _coinciding(vertices: Array) -> tuple[Array, Array]:
    """Return the first vertex of every place, and for each vertex the number of its place."""
    _, first, number = np.unique(vertices, axis=0, return_index=True, return_inverse=True)
    # In the file's order, so that a mesh without seams keeps its numbers.
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order].astype(np.int64), rank[number.ravel()]
