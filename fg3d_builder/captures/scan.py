"""Textured head scans, rendered into RGB-D captures."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from fg3d_builder.captures.rendered_scan import ready_scan, rendered_scan, view_name
from fg3d_builder.captures.scan_parts import mended, turned_outward
from fg3d_builder.captures.scan_posture import OUTER_EYE_CORNERS_MM, scan_unit_mm
from fg3d_builder.captures.scan_view import camera_of, render_scan, scan_camera, scan_center
from fg3d_builder.captures.source import (
    CaptureEntry,
    folder_contents,
    matching,
    safe_id,
    source_folder,
    subject_of_name,
)
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.files.mesh_io import MESH_SUFFIXES, TexturedMesh, read_mesh
from fg3d_builder.records import Capture

__all__ = [
    "OUTER_EYE_CORNERS_MM",
    "ScanSource",
    "camera_of",
    "read_scan",
    "render_scan",
    "scan_camera",
    "scan_center",
    "scan_unit_mm",
    "turned_outward",
]


@dataclass(frozen=True)
class _View:
    mesh_file: Path
    pitch_deg: float
    yaw_deg: float


class ScanSource:
    """Scans in one folder: a folder each, or a mesh file each; one capture per view.

    The subject is the folder's name (or the file's, for a mesh directly in the path). Scans
    have y up and z out of the face, as in the object frame, or are turned so. Of files that
    differ only in their suffix, obj is preferred to glb and glb to ply.
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
                entries.append(CaptureEntry(scan_id, subject, str(path), expression="neutral"))
                continue
            for pitch, yaw in config.views:
                capture_id = view_name(scan_id, (pitch, yaw))
                self._views[capture_id] = _View(path, pitch, yaw)
                entries.append(CaptureEntry(capture_id, subject, str(path), expression="neutral"))
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
            ``wrong_unit`` (see `upright_scan`), ``no_unit`` (see `scan_unit_mm`) or ``no_depth``
            (nothing in view).
        """
        if entry.capture_id in self._missing:
            kinds = ", ".join(MESH_SUFFIXES)
            raise CaptureError("missing_file", f"{entry.location}: no {kinds} file in it")
        view = self._views[entry.capture_id]
        mesh, unit_mm = self._mesh(view.mesh_file)
        config = replace(self._config, unit_mm=unit_mm)
        angles_deg = (view.pitch_deg, view.yaw_deg)
        capture = rendered_scan(config, mesh, angles_deg, entry, str(view.mesh_file))
        return replace(capture, unit_mm=self._declared_mm or None)

    @property
    def _declared_mm(self) -> float:
        return self._config.unit_mm * self._config.depth_factor

    def _mesh(self, path: Path) -> tuple[TexturedMesh, float]:
        """Views of one scan come one after the other: keep the last mesh."""
        if self._last is None or self._last[0] != path:
            self._last = (path, *ready_scan(read_scan(path), self._declared_mm, str(path)))
        return self._last[1], self._last[2]


def read_scan(path: Path, colours: bool = True) -> TexturedMesh:
    """Read a mesh, see `read_mesh`, and mend it, see `mended`."""
    return mended(read_mesh(path, colours))


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
    by_stem = {file.stem: file for file in own}
    for name in matching(list(by_stem), include):
        found.append((subject_of_name(name), safe_id(name), by_stem[name]))
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
