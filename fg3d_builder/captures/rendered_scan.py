"""From a mesh, as it was read, to a rendered capture: the steps that all scans share."""

from __future__ import annotations

import logging

import numpy as np

from fg3d_builder.captures.clay import clay, has_colour
from fg3d_builder.captures.scan_posture import scan_unit_mm, upright_scan
from fg3d_builder.captures.scan_view import render_scan
from fg3d_builder.captures.sensor import apply_sensor
from fg3d_builder.captures.source import CaptureEntry
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.textured_mesh import TexturedMesh
from fg3d_builder.records import Capture

log = logging.getLogger("fg3d")


def view_name(scan_id: str, view: tuple[float, float]) -> str:
    """Return the id of the capture that one view, (pitch, yaw) in degrees, of a scan makes."""
    return f"{scan_id}_pitch{view[0]:g}_yaw{view[1]:g}"


def ready_scan(mesh: TexturedMesh, unit_mm: float, name: str) -> tuple[TexturedMesh, float]:
    """Turn a scan upright, give it colours where it has none, and find its unit.

    Parameters
    ----------
    mesh : TexturedMesh
    unit_mm : float
        As declared; 0 finds it.
    name : str
        Of the scan's file, for messages.

    Returns
    -------
    mesh : TexturedMesh
    unit_mm : float

    Raises
    ------
    CaptureError
        ``wrong_unit`` (see `upright_scan`) or ``no_unit`` (see `scan_unit_mm`).
    """
    mesh = upright_scan(mesh, unit_mm, name)
    if not has_colour(mesh):
        log.warning("%s: no colours in it; it is shown as shaded clay", name)
        mesh = clay(mesh)
    return mesh, unit_mm or scan_unit_mm(mesh, name)


def rendered_scan(
    config: SourceConfig,
    mesh: TexturedMesh,
    view: tuple[float, float],
    entry: CaptureEntry,
    name: str,
) -> Capture:
    """Render one view, (pitch, yaw) in degrees, of a ready scan as a sensor would see it.

    Parameters
    ----------
    config : SourceConfig
        Camera, sensor, licence and the scan's true unit.
    mesh : TexturedMesh
    view : tuple of float
    entry : CaptureEntry
    name : str
        Of the scan's file, for messages.

    Raises
    ------
    CaptureError
        ``no_depth``: nothing is in view.
    """
    rgb, depth_mm, intrinsics = render_scan(config, view, mesh)
    if not np.isfinite(depth_mm).any():
        raise CaptureError("no_depth", f"{name}: nothing of the scan is in view")
    depth_mm = apply_sensor(depth_mm, rgb, intrinsics, config.sensor, entry.capture_id)
    return Capture(
        capture_id=entry.capture_id,
        subject_id=entry.subject_id,
        source=config.kind,
        rgb=rgb,
        depth_mm=depth_mm,
        intrinsics=intrinsics,
        licence=config.licence,
    )
