"""CASIA-3D FaceV1: scans of a laser scanner in VRML, of which those from the front are used."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from fg3d_builder.captures.clay import clay, has_colour
from fg3d_builder.captures.layouts.found_files import files_below, names_once
from fg3d_builder.captures.layouts.labels import UNLABELLED, labelled
from fg3d_builder.captures.layouts.layout import Item, Layout
from fg3d_builder.captures.layouts.named_texture import scan_with_picture
from fg3d_builder.captures.scan_posture import frontal_face, upright_scan
from fg3d_builder.errors import CaptureError, MissingDependencyError
from fg3d_builder.files.textured_mesh import TexturedMesh
from fg3d_builder.landmarks.face_pose import face_angles_deg

_SCAN = re.compile(r"(\d{3})-(\d{3})\.wrl", re.IGNORECASE)
_PICTURE = re.compile(r"\d{3}-\d{3}\.bmp", re.IGNORECASE)

FRONTAL_DEG = 15.0
"""Yaw and pitch up to which a scan is from the front: the set's other poses begin at 20 to 30
degrees, and poses of synthetic faces are measured within 5."""

log = logging.getLogger("fg3d")


def find(folder: Path) -> list[Item]:
    """List all scans, of whatever pose; that is measured when they are read.

    Raises
    ------
    ConfigError
        ``labels.csv`` cannot be read.
    """
    pictures: dict[str, Path] = {}
    for picture in files_below(folder, _PICTURE.fullmatch):
        pictures.setdefault(picture.stem, picture)
    found = files_below(folder, _SCAN.fullmatch)
    names = names_once(folder, found, [file.stem for file in found])
    items = []
    for file, name in zip(found, names, strict=True):
        beside = file.with_suffix(".bmp")
        own = beside if beside.is_file() else pictures.get(file.stem)
        files = (file,) if own is None else (file, own)
        items.append(Item(name, file.stem[:3], files, UNLABELLED))
    return labelled(folder, items)


def mesh(item: Item) -> TexturedMesh:
    """Read a scan, and turn it upright.

    Raises
    ------
    CaptureError
        As `read_mesh`; ``refused`` for a face that is turned away, or none.
    """
    name = str(item.files[0])
    picture = item.files[1] if len(item.files) > 1 else None
    scan = upright_scan(scan_with_picture(item.files[0], picture), LAYOUT.unit_mm, name)
    _check_frontal(scan, name)
    return scan


def _check_frontal(scan: TexturedMesh, name: str) -> None:
    try:
        face = frontal_face(scan if has_colour(scan) else clay(scan), LAYOUT.unit_mm, name)
    except MissingDependencyError as error:
        log.warning("%s: nobody looked whether the face is turned away: %s", name, error)
        return
    angles = None if face is None else face_angles_deg(face.capture, face.landmarks)
    if angles is None:
        raise CaptureError("refused", f"{name}: no face is seen from the front")
    pitch, yaw, _ = angles
    if max(abs(pitch), abs(yaw)) > FRONTAL_DEG:
        raise CaptureError(
            "refused",
            f"{name}: the face is turned by yaw {yaw:.0f} and pitch {pitch:.0f} degrees, frontal "
            f"scans of up to {FRONTAL_DEG:g} are used",
        )


LAYOUT = Layout(
    kind="casia3d",
    title="CASIA-3D FaceV1",
    expects="3D-Face-WRL/001/001-001.wrl, and 3D-Face-BMP/001/001-001.bmp",
    find=find,
    mesh=mesh,
    suffixes=(".wrl",),
    terms="docs/captures/casia3d.md",
)
