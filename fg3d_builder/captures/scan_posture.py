"""Which way is up in a scan, and how long its unit is, by looking for its face.

A scan has y up and z out of the face, but tools write others. Where no upright face is seen from
the front, the scan is turned to each of the 24 ways that axes can point, the usual ones first.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fg3d_builder.captures.clay import clay, has_colour
from fg3d_builder.captures.scan_view import render_scan
from fg3d_builder.config import LandmarkConfig, SourceConfig
from fg3d_builder.errors import CaptureError, MissingDependencyError, WrongUnitError
from fg3d_builder.files.mesh_io import TexturedMesh
from fg3d_builder.geometry.camera import cam_from_px
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.landmarks.face_size import (
    DECIMAL_UNITS_MM,
    FACE_WIDTH_MM,
    FaceSize,
    face_size,
    likely_unit,
    rounded,
    unit_in_words,
)
from fg3d_builder.records import Array, Capture, Landmarks

OUTER_EYE_CORNERS_MM = 90.0
"""Mean distance of the outer eye corners of adults (biocular breadth), the yardstick for
scans of unknown unit; adults differ by about 4 mm (standard deviation)."""

SCAN_MM = (80.0, 3000.0)
"""Largest extent of a scan that shows a face: from a mask to a body with a pedestal."""

_OUTER_CORNERS, _NOSE_TIP = (33, 263), 1

_GUESS_MM = 350.0
"""A largest extent that fits any head, with or without shoulders, into the picture."""

_TRIAL_MM, _TRIAL_PX, _TRIAL_FOCAL_PX = 700.0, (320, 320), 450.0
"""Distance, size and focal length of the small pictures that ways up are told by."""

log = logging.getLogger("fg3d")


class FrontalFace(NamedTuple):
    """A face seen from the front of a scan.

    Attributes
    ----------
    capture : Capture
        The rendering that it was found in.
    landmarks : Landmarks
    """

    capture: Capture
    landmarks: Landmarks

    @property
    def size(self) -> FaceSize | None:
        """Its size for the unit that was rendered with."""
        return face_size(self.capture, self.landmarks)

    @property
    def upright(self) -> bool:
        """Whether the eyes are side by side, and the nose between them and not above."""
        right, left = self.landmarks.points_px[list(_OUTER_CORNERS)]
        between = left - right
        nose = (self.landmarks.points_px[_NOSE_TIP] - right) @ between / (between @ between)
        level = between[0] > abs(between[1])
        return bool(level and 0.15 < nose < 0.85)


def upright_scan(mesh: TexturedMesh, unit_mm: float, name: str) -> TexturedMesh:
    """Turn a scan so that its face looks along z with y up, and check its unit.

    Unchanged where it does, and where no way up shows a face.

    Parameters
    ----------
    mesh : TexturedMesh
    unit_mm : float
        Length of its unit; 0 where nobody knows.
    name : str
        Of the scan, for messages.

    Raises
    ------
    WrongUnitError
        That unit makes the face, or the scan, of no size that faces have.
    CaptureError
        ``unreadable_mesh`` where the scan is a point.
    """
    large = unit_mm * _extent(mesh, name)
    believable = SCAN_MM[0] <= large <= SCAN_MM[1]
    try:
        for rotation, unit in _ways_to_look(mesh, unit_mm if believable else 0.0, name):
            turned = mesh
            if not np.array_equal(rotation, np.eye(3)):
                turned = replace(mesh, vertices=mesh.vertices @ rotation.T)
            shown = turned if has_colour(turned) else clay(turned)
            face = frontal_face(shown, unit, name)
            if face is not None and face.upright:
                if turned is not mesh:
                    log.info("%s: turned upright: %s", name, _axes_in_words(rotation))
                if unit_mm:
                    _check_unit(face.size, unit, unit_mm, name)
                return turned
    except MissingDependencyError as error:
        log.warning("%s: taken to have y up and z out of the face: %s", name, error)
    if unit_mm and not believable:
        exact = unit_mm * _GUESS_MM / large
        # Heads, busts and bodies differ in size too much to tell more than powers of ten.
        likely = min(DECIMAL_UNITS_MM, key=lambda usual: abs(np.log(usual / exact)))
        raise WrongUnitError(
            f"{name}: the scan would be {rounded(large)} mm large: unit_mm is {unit_mm:g}, but "
            f"probably {unit_in_words(likely)}",
            unit_mm / likely,
        )
    return mesh


def scan_unit_mm(mesh: TexturedMesh, name: str) -> float:
    """Measure the length of a scan's unit by the distance of its outer eye corners.

    The scan is rendered from the front, MediaPipe finds the corners, the rendered depth
    lifts them, and their distance is taken for `OUTER_EYE_CORNERS_MM`.

    Raises
    ------
    CaptureError
        ``no_unit`` where no face is found or a corner is beside the scan; ``unreadable_mesh``
        where the scan is a point.
    """
    guess_mm = _guessed_unit_mm(mesh, name)
    config = SourceConfig(kind="scan", unit_mm=guess_mm, distance_mm=_TRIAL_MM)
    rgb, depth_mm, intrinsics = render_scan(config, (0.0, 0.0), mesh)
    frontal = Capture("unit", "", "scan", rgb, depth_mm, intrinsics)
    try:
        found = _detector().detect(frontal)
    except CaptureError as error:
        raise CaptureError(
            "no_unit", f"{name}: unit_mm is 0 and no face was found to measure: {error.message}"
        ) from None
    corners_px = found.points_px[list(_OUTER_CORNERS)]
    column, row = np.clip(np.rint(corners_px).astype(int), 0, np.array(depth_mm.shape)[::-1] - 1).T
    corners = cam_from_px(corners_px, depth_mm[row, column], intrinsics)
    distance = float(np.linalg.norm(corners[0] - corners[1]))
    if not distance > 0:
        raise CaptureError("no_unit", f"{name}: unit_mm is 0 and an eye corner is off the scan")
    return guess_mm * OUTER_EYE_CORNERS_MM / distance


@lru_cache(maxsize=1)
def _detector() -> LandmarkDetector:
    from fg3d_builder.landmarks.detector import open_detector

    return open_detector(LandmarkConfig(detector="mediapipe"))


def frontal_face(mesh: TexturedMesh, unit_mm: float, name: str) -> FrontalFace | None:
    """Look for a face from the front of a scan that has colours; None where none is seen.

    Raises
    ------
    MissingDependencyError
        MediaPipe is not installed.
    """
    config = SourceConfig(
        kind="scan",
        unit_mm=unit_mm,
        distance_mm=_TRIAL_MM,
        image_size=_TRIAL_PX,
        focal_px=_TRIAL_FOCAL_PX,
    )
    rgb, depth_mm, intrinsics = render_scan(config, (0.0, 0.0), mesh)
    capture = Capture(name, "", "scan", rgb, depth_mm, intrinsics)
    try:
        return FrontalFace(capture, _detector().detect(capture))
    except CaptureError:
        return None


def _check_unit(size: FaceSize | None, rendered_mm: float, unit_mm: float, name: str) -> None:
    """Raise if the face, rendered with one unit, is implausible with the one declared."""
    if size is None:
        return
    declared = size.scaled(unit_mm / rendered_mm)
    if not declared.plausible:
        raise WrongUnitError(
            f"{name}: the face would be {rounded(declared.width_mm)} mm wide, adults' are about "
            f"{FACE_WIDTH_MM:.0f} mm: unit_mm is {unit_mm:g}, but probably "
            f"{likely_unit(unit_mm, declared.across)}",
            declared.across,
        )


def _extent(mesh: TexturedMesh, name: str) -> float:
    extent = float(np.ptp(mesh.vertices[np.unique(mesh.triangles)], axis=0).max())
    if not extent > 0:
        raise CaptureError("unreadable_mesh", f"{name}: all of its triangles lie on one point")
    return extent


def _guessed_unit_mm(mesh: TexturedMesh, name: str) -> float:
    return _GUESS_MM / _extent(mesh, name)


def _ways_to_look(
    mesh: TexturedMesh, believed_mm: float, name: str
) -> Iterator[tuple[Array, float]]:
    """Yield rotations, and units to render with: as declared, where believed, and the guess."""
    guess_mm = _guessed_unit_mm(mesh, name)
    # The guess shows no face of a whole body, the declared unit none of a head at twice its size.
    whole_body = believed_mm > 2.0 * guess_mm
    for number, rotation in enumerate(_ways_up()):
        if believed_mm and (number == 0 or whole_body):
            yield rotation, believed_mm
        if number == 0 or not whole_body:
            yield rotation, guess_mm


def _ways_up() -> Iterator[Array]:
    """Yield the 24 rotations that take axes to axes: none, z up, then all others."""
    usual = (
        np.eye(3),
        np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),  # z up, face along -y
        np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]),  # z up, face along y
    )
    yield from usual
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            rotation = np.diag(signs)[:, list(order)]
            proper = np.linalg.det(rotation) > 0
            if proper and not any(np.array_equal(rotation, known) for known in usual):
                yield rotation


def _axes_in_words(rotation: Array) -> str:
    """Name the axes of the file that point up and out of the face."""
    words = []
    for row, what in ((1, "up"), (2, "out of the face")):
        axis = int(np.abs(rotation[row]).argmax())
        sign = "-" if rotation[row, axis] < 0 else ""
        words.append(f"its {sign}{'xyz'[axis]} axis points {what}")
    return ", ".join(words)
