"""Ground truth of a scan: the registered template and the set C, made once and kept on disk.

Each scan gets ``SUBJECT.product`` and ``SUBJECT.png`` to check it by eye. A file is used again only
for the same scan, face model and settings. A scan that cannot be registered is kept, too, with the
reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fg3d_builder.captures.source import safe_id
from fg3d_builder.config import digest
from fg3d_builder.errors import CaptureError
from fg3d_builder.evaluation import Correspondence, dace, interocular_mm, outer_eye_corners
from fg3d_builder.files.products import SUFFIX
from fg3d_builder.records import Array
from fg3d_builder.testsets.kept import kept
from fg3d_builder.testsets.records import ProtocolScan
from fg3d_builder.testsets.registered import PairTests, RegisteredSurface, register_surface
from fg3d_builder.testsets.setup import Setup, mesh_digest
from fg3d_builder.testsets.surfaces import (
    UprightSurface,
    pose_of_scan,
    read_shape,
    upright_surface,
)

STAGE = "test-set-truth-2"
"""Raise the number when the same input gives another truth."""


class GroundTruth(NamedTuple):
    """What reconstructions of one subject are compared with.

    Attributes
    ----------
    key : str
        Digest of everything that it depends on.
    scan_key : str
        Digest of the scan's files.
    surface : UprightSurface
        The raw scan.
    registered : RegisteredSurface
        The registered template; its `members` are the set C.
    interocular_mm : float
        ``d``.
    """

    key: str
    scan_key: str
    surface: UprightSurface
    registered: RegisteredSurface
    interocular_mm: float

    def dace(self, vertices_mm: Array, pairs: Correspondence) -> float:
        """Return the DACE (Eq. 20) of a reconstruction, by pairs of it with the scan."""
        scan = self.surface.scan
        return dace(vertices_mm, self.surface.scan_mm, pairs, scan, self.interocular_mm).value


def ground_truth(scan: ProtocolScan, folder: Path, setup: Setup) -> GroundTruth:
    """Return the ground truth of a scan, made now or kept in a folder before.

    Raises
    ------
    CaptureError
        No ground truth, and why.
    """
    scan_key = mesh_digest(scan.mesh_file) if scan.mesh_file.is_file() else "absent"
    given = scan.landmarks
    points = None if given is None else [given.ibug.tolist(), given.points.tolist()]
    key = digest(setup.model_key, setup.config, scan_key, scan.unit_mm, points)
    path = folder / f"{safe_id(scan.subject)}{SUFFIX}"
    found = kept(path, STAGE, key, RegisteredSurface, lambda: _registered(scan, path, setup))
    between_eyes = interocular_mm(found.vertices_mm, outer_eye_corners(setup.model))
    surface = upright_surface(read_shape(scan.mesh_file), found.upright_from_file)
    return GroundTruth(key, scan_key, surface, found, between_eyes)


def _registered(scan: ProtocolScan, path: Path, setup: Setup) -> RegisteredSurface:
    """Register a scan and check the result against the landmarks that came with it."""
    model, config, given = setup.model, setup.config, scan.landmarks
    mesh = read_shape(scan.mesh_file)
    surface = upright_surface(mesh, pose_of_scan(scan, mesh, model))
    found = register_surface(
        setup,
        surface,
        scan.subject,
        PairTests(config.max_distance_mm, config.max_normal_deg, seen_only=True),
        lambda capture, _: setup.detector.detect(capture),
        path.with_suffix(".png"),
    )
    if given is None:
        return found
    wanted = surface.upright_from_file.cam_from_obj(given.points)
    there = model.embedded("ibug68", given.ibug).points(found.vertices_mm, model.triangles)
    mean = float(np.linalg.norm(there - wanted, axis=1).mean())
    if mean > config.max_landmark_mm:
        raise CaptureError(
            "wrong_registration",
            f"{scan.subject}: the registered template is {mean:.1f} mm off the landmarks "
            f"that came with the scan, {config.max_landmark_mm:g} mm are allowed",
        )
    return found
