"""MICC Florence 2D/3D: every subject's textured scan is rendered from 21 sides.

::

    FOLDER/subject_01/Model/frontal1/obj/110920150452.obj   one mesh, with its mtl and image
    FOLDER/subject_01/Model/frontal2/obj/...                read where there is no frontal1
    FOLDER/subject_02/...

Pitch and yaw of the views are those of PRNet's evaluation, which the paper follows (Sec. 7.1).
"""

from __future__ import annotations

from pathlib import Path

from fg3d_builder.captures.source import safe_id
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.mesh_io import MESH_SUFFIXES
from fg3d_builder.testsets.records import Missing, Protocol, ProtocolImage, ProtocolScan

PITCHES_DEG = (-20.0, 0.0, 20.0)
YAWS_DEG = (-45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0)
SCANS = ("frontal1", "frontal2")
UNIT_MM = 1.0


def read_florence(folder: Path, subjects: list[str], unit_mm: float | None) -> Protocol:
    """List the views of every subject.

    Parameters
    ----------
    folder : Path
    subjects : list of str
        Names of folders in `folder`.
    unit_mm : float, optional
        Of the scans; default 1.

    Returns
    -------
    Protocol
        A subject without a scan is `Missing`.
    """
    unit = UNIT_MM if unit_mm is None else unit_mm
    scans: dict[str, ProtocolScan] = {}
    images: list[ProtocolImage] = []
    missing: list[Missing] = []
    for subject in subjects:
        name = safe_id(subject)
        try:
            mesh = _scan_file(folder / subject)
        except CaptureError as error:
            missing.append(Missing(name, name, error.code, error.message))
            continue
        scans[name] = ProtocolScan(name, name, mesh, unit)
        images.extend(
            ProtocolImage(view_id(name, pitch, yaw), name, name, None, pitch, yaw)
            for pitch in PITCHES_DEG
            for yaw in YAWS_DEG
        )
    return Protocol("florence", scans, tuple(images), tuple(missing))


def view_id(subject: str, pitch_deg: float, yaw_deg: float) -> str:
    """Return the id of a rendered image, such as ``subject_01/pitch-20_yaw+45``."""
    return f"{subject}/pitch{pitch_deg:+03.0f}_yaw{yaw_deg:+03.0f}"


def _scan_file(subject: Path) -> Path:
    """Return the one mesh of the first scan that there is."""
    for scan in SCANS:
        folder = subject / "Model" / scan / "obj"
        if not folder.is_dir():
            continue
        for suffix in MESH_SUFFIXES:
            found = sorted(p for p in folder.iterdir() if p.suffix.lower() == suffix)
            if len(found) > 1:
                names = ", ".join(p.name for p in found)
                raise CaptureError("ambiguous_scan", f"{folder}: wanted one {suffix}, got {names}")
            if found:
                return found[0]
    wanted = " or ".join(f"Model/{scan}/obj/*.obj" for scan in SCANS)
    raise CaptureError("missing_file", f"{subject}: no {wanted}")
