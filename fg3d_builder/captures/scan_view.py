"""How a scan is rendered: where the camera stands, and what it sees."""

from __future__ import annotations

import numpy as np

from fg3d_builder.captures.background import plain_background
from fg3d_builder.captures.mesh_view import view_mesh
from fg3d_builder.config import SourceConfig
from fg3d_builder.files.mesh_io import TexturedMesh
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array, Pose
from fg3d_builder.rendering.shading import srgb_from_linear

_FACE_BELOW_TOP_MM = 130.0


def scan_center(mesh: TexturedMesh, unit_mm: float) -> Array:
    """Return the (3,) point that the camera looks at, in scan units.

    The middle of the bounding box of all triangles, or the height 130 mm below the top of the
    scan where that is higher: with neck and shoulders the middle is below the face.
    """
    used = mesh.vertices[np.unique(mesh.triangles)]
    center = (used.min(axis=0) + used.max(axis=0)) / 2.0
    center[1] = max(center[1], used[:, 1].max() - _FACE_BELOW_TOP_MM / unit_mm)
    return np.asarray(center)


def scan_camera(
    config: SourceConfig, view: tuple[float, float], mesh: TexturedMesh
) -> tuple[Pose, Array]:
    """Return the camera of a view: ``pose.cam_from_obj(mesh.vertices)`` is what it sees.

    `scan_center` is on the optical axis, `config.distance_mm` from the camera, and the scan
    turns about it.

    Parameters
    ----------
    config : SourceConfig
        Needs a positive ``unit_mm``; `scan_unit_mm` measures it.
    view : (pitch, yaw) in degrees
        See `fg3d_builder.geometry.pose`.
    mesh : TexturedMesh

    Returns
    -------
    pose : Pose
        ``cam_from_scan``; its scale is the unit's length in mm.
    intrinsics : (3, 3) float64

    Raises
    ------
    ValueError
        ``unit_mm`` is not positive.
    """
    if not config.unit_mm > 0:
        raise ValueError(f"unit_mm: the camera needs a known unit, found {config.unit_mm}")
    rotation = rotation_from_angles(view[0], view[1], 0.0)
    center = config.unit_mm * (scan_center(mesh, config.unit_mm) @ rotation.T)
    translation = np.array([0.0, 0.0, config.distance_mm]) - center
    return Pose(config.unit_mm, rotation, translation), camera_of(config)


def camera_of(config: SourceConfig) -> Array:
    """Return the (3, 3) intrinsics of a rendered source: axis through the image's middle."""
    height, width = config.image_size
    return intrinsics_matrix(
        config.focal_px, config.focal_px, (width - 1) / 2.0, (height - 1) / 2.0
    )


def render_scan(
    config: SourceConfig, view: tuple[float, float], mesh: TexturedMesh
) -> tuple[Array, Array, Array]:
    """Render a view of a scan before a plain background that has no depth.

    Returns
    -------
    rgb : (H, W, 3) uint8
    depth_mm : (H, W) float32
        Depth without noise; NaN on the background.
    intrinsics : (3, 3) float64
    """
    pose, intrinsics = scan_camera(config, view, mesh)
    height, width = config.image_size
    seen = view_mesh(mesh, pose.cam_from_obj(mesh.vertices), intrinsics, height, width)
    behind = (1.0 - seen.coverage[:, :, None]) * plain_background(height, width)
    return srgb_from_linear(seen.rgb_linear + behind), seen.depth_mm, intrinsics
