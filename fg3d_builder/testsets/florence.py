"""MICC Florence 2D/3D: every subject's textured scan is rendered from 21 sides.

::

    FOLDER/subject_01/Model/frontal1/obj/110920150452.obj   one mesh, with its mtl and image
    FOLDER/subject_01/Model/frontal2/obj/...                read where there is no frontal1
    FOLDER/subject_02/...

Pitch and yaw of the views are those that the paper states (Sec. 7.1: pitches of -20, 0 and 20
degrees, yaws of -45 to 45 by 15 degrees); it refers to PRNet for the protocol. Image size and
camera are ours, see `ProtocolConfig`: the paper does not state them.
"""

from __future__ import annotations

from pathlib import Path

from fg3d_builder.captures.layouts.florence import (
    SCANS,
    scan_folder,
    scan_meshes,
    subject_folders,
)
from fg3d_builder.captures.source import safe_id
from fg3d_builder.errors import CaptureError
from fg3d_builder.testsets.mesh_files import only_mesh
from fg3d_builder.testsets.records import ProtocolImage

PITCHES_DEG = (-20.0, 0.0, 20.0)
"""Sec. 7.1 of the paper."""

YAWS_DEG = (-45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0)
"""Sec. 7.1 of the paper."""


def list_images(folder: Path) -> list[ProtocolImage]:
    """List the views of every subject, with ids such as ``subject_01/pitch-20_yaw+45``."""
    return [
        ProtocolImage(
            f"{safe_id(subject.name)}/pitch{pitch:+03.0f}_yaw{yaw:+03.0f}",
            subject.name,
            None,
            pitch,
            yaw,
        )
        for subject in subject_folders(folder)
        for pitch in PITCHES_DEG
        for yaw in YAWS_DEG
    ]


def find_scan(folder: Path, subject: str) -> tuple[Path, None]:
    """Return the one mesh of the first scan that there is; it comes without landmarks.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``ambiguous_scan``.
    """
    for scan in SCANS:
        found = scan_meshes(folder / subject, scan)
        if found:
            return only_mesh(found, scan_folder(folder / subject, scan)), None
    wanted = " or ".join(f"Model/{scan}/obj/*.obj" for scan in SCANS)
    raise CaptureError("missing_file", f"{folder / subject}: no {wanted}")
