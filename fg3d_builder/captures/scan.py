"""Textured head scans, rendered into RGB-D captures."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fg3d_builder.captures.background import plain_background
from fg3d_builder.captures.clay import clay, has_colour
from fg3d_builder.captures.mesh_view import view_mesh
from fg3d_builder.captures.sensor import apply_sensor
from fg3d_builder.captures.source import (
    CaptureEntry,
    folder_contents,
    matching,
    safe_id,
    source_folder,
    subject_of_name,
)
from fg3d_builder.config import LandmarkConfig, SourceConfig
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.files.mesh_io import MESH_SUFFIXES, TexturedMesh, read_mesh
from fg3d_builder.geometry.camera import cam_from_px, intrinsics_matrix
from fg3d_builder.geometry.meshes import triangle_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array, Capture, Pose
from fg3d_builder.rendering.shading import srgb_from_linear

OUTER_EYE_CORNERS_MM = 90.0
"""Mean distance of the outer eye corners of adults (biocular breadth), the yardstick for
scans of unknown unit; adults differ by about 4 mm (standard deviation)."""
_FACE_BELOW_TOP_MM = 130.0
_MEDIAPIPE_OUTER_CORNERS = (33, 263)

log = logging.getLogger("fg3d")


@dataclass(frozen=True)
class _View:
    mesh_file: Path
    pitch_deg: float
    yaw_deg: float


class ScanSource:
    """Scans in one folder: a folder each, or a mesh file each; one capture per view.

    The subject is the folder's name (or the file's, for a mesh directly in the path). Scans
    have y up and z out of the face, as in the object frame. Of files that differ only in
    their suffix, obj is preferred to glb and glb to ply.
    """

    name = "scan"

    def __init__(self, config: SourceConfig) -> None:
        self._config = config
        if len(set(config.views)) < len(config.views):
            raise ConfigError(f"sources.views: {config.views} names a view twice")
        self._views: dict[str, _View] = {}
        self._missing: dict[str, Path] = {}
        entries = []
        for subject, scan_id, path in _scans(source_folder(config), config.include):
            if path.is_dir():
                self._missing[scan_id] = path
                entries.append(CaptureEntry(scan_id, subject, str(path)))
                continue
            for pitch, yaw in config.views:
                capture_id = f"{scan_id}_pitch{pitch:g}_yaw{yaw:g}"
                self._views[capture_id] = _View(path, pitch, yaw)
                entries.append(CaptureEntry(capture_id, subject, str(path)))
        self._entries = sorted(entries, key=lambda e: e.capture_id)
        self._last: tuple[Path, TexturedMesh, float] | None = None

    def entries(self) -> list[CaptureEntry]:
        """List every view of every scan, and folders without a mesh."""
        return list(self._entries)

    def load(self, entry: CaptureEntry) -> Capture:
        """Render one view.

        Raises
        ------
        CaptureError
            ``missing_file``, ``unreadable_mesh``, ``unreadable_image`` (a texture),
            ``no_unit`` (see `scan_unit_mm`) or ``no_depth`` (nothing in view).
        """
        if entry.capture_id in self._missing:
            kinds = ", ".join(MESH_SUFFIXES)
            raise CaptureError("missing_file", f"{entry.location}: no {kinds} file in it")
        view = self._views[entry.capture_id]
        mesh, unit_mm = self._mesh(view.mesh_file)
        config = replace(self._config, unit_mm=unit_mm)
        rgb, depth_mm, intrinsics = render_scan(config, (view.pitch_deg, view.yaw_deg), mesh)
        if not np.isfinite(depth_mm).any():
            raise CaptureError("no_depth", f"{view.mesh_file}: nothing of the scan is in view")
        depth_mm = apply_sensor(depth_mm, rgb, intrinsics, config.sensor, entry.capture_id)
        return Capture(
            capture_id=entry.capture_id,
            subject_id=entry.subject_id,
            source=self.name,
            rgb=rgb,
            depth_mm=depth_mm,
            intrinsics=intrinsics,
            licence=config.licence,
        )

    def _mesh(self, path: Path) -> tuple[TexturedMesh, float]:
        """Views of one scan come one after the other: keep the last mesh."""
        if self._last is None or self._last[0] != path:
            mesh = read_scan(path)
            if not has_colour(mesh):
                log.warning("%s: no colours in it; it is shown as shaded clay", path)
                mesh = clay(mesh)
            unit_mm = self._config.unit_mm or scan_unit_mm(mesh, str(path))
            self._last = (path, mesh, unit_mm)
        return self._last[1], self._last[2]


def read_scan(path: Path, colours: bool = True) -> TexturedMesh:
    """Read a mesh, see `read_mesh`; one that is inside out gets its triangles turned."""
    return turned_outward(read_mesh(path, colours))


def turned_outward(mesh: TexturedMesh) -> TexturedMesh:
    """Turn all triangles of a mesh whose normals point to its middle rather than away from it."""
    normals = triangle_normals(mesh.vertices, mesh.triangles)
    centers = mesh.vertices[mesh.triangles].mean(axis=1)
    if np.einsum("md,md->", normals, centers - centers.mean(axis=0)) >= 0:
        return mesh
    return replace(mesh, triangles=mesh.triangles[:, ::-1], uv_triangles=mesh.uv_triangles[:, ::-1])


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


def scan_unit_mm(mesh: TexturedMesh, name: str) -> float:
    """Measure the length of a scan's unit by the distance of its outer eye corners.

    The scan is rendered from the front, MediaPipe finds the corners, the rendered depth
    lifts them, and their distance is taken for `OUTER_EYE_CORNERS_MM`.

    Raises
    ------
    CaptureError
        ``no_unit`` where no face is found or a corner is beside the scan.
    """
    from fg3d_builder.landmarks import open_detector

    used = mesh.vertices[np.unique(mesh.triangles)]
    # A guess that fits any head, with or without shoulders, into the picture.
    guess_mm = 350.0 / float(np.max(np.ptp(used, axis=0)))
    config = SourceConfig(kind="scan", unit_mm=guess_mm, distance_mm=700.0)
    rgb, depth_mm, intrinsics = render_scan(config, (0.0, 0.0), mesh)
    frontal = Capture("unit", "", "scan", rgb, depth_mm, intrinsics)
    try:
        found = open_detector(LandmarkConfig(detector="mediapipe")).detect(frontal)
    except CaptureError as error:
        raise CaptureError(
            "no_unit", f"{name}: unit_mm is 0 and no face was found to measure: {error.message}"
        ) from None
    corners_px = found.points_px[list(_MEDIAPIPE_OUTER_CORNERS)]
    column, row = np.clip(np.rint(corners_px).astype(int), 0, np.array(depth_mm.shape)[::-1] - 1).T
    corners = cam_from_px(corners_px, depth_mm[row, column], intrinsics)
    distance = float(np.linalg.norm(corners[0] - corners[1]))
    if not distance > 0:
        raise CaptureError("no_unit", f"{name}: unit_mm is 0 and an eye corner is off the scan")
    return guess_mm * OUTER_EYE_CORNERS_MM / distance


def _scans(root: Path, include: tuple[str, ...]) -> list[tuple[str, str, Path]]:
    """List (subject id, scan id, mesh file, or folder where there is no mesh)."""
    if root.is_file():
        return [(subject_of_name(root.stem), safe_id(root.stem), root)]
    own = _mesh_files(root)
    found = []
    folders = [f for f in folder_contents(root) if os.path.isdir(f)]
    if len(own) == 1 and not any(_mesh_files(f) for f in folders):
        # A folder that holds one mesh is the scan of the subject that it is named after.
        name = root.resolve().name
        return [(subject_of_name(name), safe_id(name), own[0])]
    for name in matching([f.stem for f in own], include):
        file = next(f for f in own if f.stem == name)
        found.append((subject_of_name(name), safe_id(name), file))
    for name in matching([f.name for f in folders], include):
        files = _mesh_files(root / name)
        for file in files:
            scan_id = name if len(files) == 1 else f"{name}-{file.stem}"
            found.append((subject_of_name(name), safe_id(scan_id), file))
        if not files:
            found.append((subject_of_name(name), safe_id(name), root / name))
    return found


def _mesh_files(folder: Path) -> list[Path]:
    """Mesh files of a folder, one per stem, sorted."""
    best: dict[str, Path] = {}
    for suffix in MESH_SUFFIXES:
        for file in sorted(folder_contents(folder)):
            hidden = file.name.startswith(".")
            if file.suffix.lower() == suffix and os.path.isfile(file) and not hidden:
                best.setdefault(file.stem, file)
    return [best[stem] for stem in sorted(best)]
