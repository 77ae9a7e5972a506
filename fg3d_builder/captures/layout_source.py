"""A source of captures whose files lie as a research set or a sensor has them."""

from __future__ import annotations

import dataclasses

from fg3d_builder.captures.depth_values import z_depth_mm
from fg3d_builder.captures.frames import chosen_frames
from fg3d_builder.captures.layouts.layout import Item, Layout
from fg3d_builder.captures.plausibility import check_camera, without_far_depth
from fg3d_builder.captures.rendered_scan import ready_scan, rendered_scan, view_name
from fg3d_builder.captures.source import (
    CaptureEntry,
    matching,
    plain_text,
    safe_id,
    source_folder,
)
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.files.textured_mesh import TexturedMesh
from fg3d_builder.records import Capture


class LayoutSource:
    """Captures of one layout below a folder; scans make one capture for each view.

    Attributes
    ----------
    name : str
        The layout's kind.
    """

    def __init__(self, config: SourceConfig, layout: Layout) -> None:
        if layout.mesh and config.depth_is_along_ray:
            raise ConfigError(
                f'sources.depth_is_along_ray: the depth of kind "{layout.kind}" is rendered'
            )
        if layout.mesh and layout.unit_mm == 0 and config.depth_factor != 1.0:
            raise ConfigError(
                f'sources.depth_factor: the unit of scans of kind "{layout.kind}" is measured'
            )
        self.name = layout.kind
        self._config, self._layout = config, layout
        found = layout.find(source_folder(config))
        names = set(matching([item.name for item in found], config.include))
        items = [item for item in found if item.name in names]
        self._found: dict[str, tuple[Item, tuple[float, float]]] = {}
        self._entries = []
        for item in chosen_frames(items, config.frames, config.seed):
            for view in config.views if layout.mesh else ((0.0, 0.0),):
                capture_id = safe_id(item.name)
                if layout.mesh:
                    capture_id = safe_id(view_name(capture_id, view))
                self._found[capture_id] = (item, view)
                files = tuple(str(file) for file in item.files)
                entry = CaptureEntry(
                    capture_id,
                    _subject(item),
                    files[0],
                    files[1:],
                    item.expression,
                    item.sequence,
                    item.frame,
                )
                self._entries.append(entry)
        self._entries.sort(key=lambda entry: entry.capture_id)
        self._last: tuple[Item, TexturedMesh, float] | None = None

    def entries(self) -> list[CaptureEntry]:
        """List every item, whether or not it can be read."""
        return list(self._entries)

    def load(self, entry: CaptureEntry) -> Capture:
        """Read one frame, or render one view of a scan.

        Raises
        ------
        CaptureError
            What the layout's reader raises; ``refused`` for items that the layout lists but does
            not offer; ``bad_field`` for a camera that cannot have taken the picture; ``no_depth``.
        """
        item, view = self._found[entry.capture_id]
        if item.refusal:
            raise CaptureError("refused", f"{item.files[0]}: {item.refusal}")
        capture = self._frame(item) if self._layout.frame else self._view(item, view, entry)
        return dataclasses.replace(
            capture,
            capture_id=entry.capture_id,
            subject_id=entry.subject_id,
            source=self.name,
            expression=item.expression,
            sex=item.sex,
            licence=self._config.licence,
        )

    def _frame(self, item: Item) -> Capture:
        assert self._layout.frame is not None
        frame = self._layout.frame(item)
        height, width = frame.rgb.shape[:2]
        check_camera(frame.intrinsics, width, height, item.files[0])
        factor, along_ray = self._config.depth_factor, self._config.depth_is_along_ray
        depth_mm = frame.depth_mm
        if factor != 1.0 or along_ray:
            depth_mm = z_depth_mm(depth_mm, frame.intrinsics, factor, along_ray)
        depth_mm = without_far_depth(depth_mm)
        if not (depth_mm > 0).any():
            raise CaptureError("no_depth", f"{item.files[0]}: no pixel has a depth")
        return Capture(
            capture_id="",
            subject_id="",
            source=self.name,
            rgb=frame.rgb,
            depth_mm=depth_mm,
            intrinsics=frame.intrinsics,
            landmarks=frame.landmarks,
        )

    def _view(self, item: Item, view: tuple[float, float], entry: CaptureEntry) -> Capture:
        mesh, unit_mm = self._scan(item)
        config = dataclasses.replace(self._config, unit_mm=unit_mm)
        return rendered_scan(config, mesh, view, entry, str(item.files[0]))

    def _scan(self, item: Item) -> tuple[TexturedMesh, float]:
        """Views of one scan come one after the other: keep the last mesh."""
        if self._last is None or self._last[0] != item:
            assert self._layout.mesh is not None
            read, name = self._layout.mesh(item), str(item.files[0])
            unit_mm = self._layout.unit_mm * self._config.depth_factor
            self._last = (item, *ready_scan(read, unit_mm, name))
        return self._last[1], self._last[2]


def _subject(item: Item) -> str:
    try:
        return plain_text(item.subject, max(len(item.subject), 1))
    except ValueError:
        return ""
