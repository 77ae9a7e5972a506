"""All layouts that are read, by the kind that presets call them."""

from __future__ import annotations

from fg3d_builder.captures.layouts import (
    arkit,
    biwi,
    bosphorus,
    bp4d,
    bu3dfe,
    casia3d,
    facescape,
    florence,
    frgc,
    headspace,
    kinect,
    portrait,
    realsense,
    realsense_ply,
    record3d,
    standardcyborg,
    synthhuman,
)
from fg3d_builder.captures.layouts.layout import Layout

_ALL: tuple[Layout, ...] = (
    frgc.LAYOUT,
    bu3dfe.LAYOUT,
    casia3d.LAYOUT,
    bp4d.LAYOUT,
    bosphorus.LAYOUT,
    record3d.LAYOUT,
    portrait.LAYOUT,
    arkit.LAYOUT,
    standardcyborg.LAYOUT,
    synthhuman.LAYOUT,
    realsense.LAYOUT,
    realsense_ply.LAYOUT,
    kinect.LAYOUT,
    biwi.LAYOUT,
    florence.LAYOUT,
    headspace.LAYOUT,
    facescape.LAYOUT,
)

LAYOUTS: dict[str, Layout] = {layout.kind: layout for layout in _ALL}
"""In the order of `config.LAYOUT_KINDS`."""
