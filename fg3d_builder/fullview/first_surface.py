"""Which vertices of a head the camera sees first: what hides what can be told in fewer pixels."""

from __future__ import annotations

import numpy as np

from fg3d_builder.fullview.measured_head import MeasuredHead
from fg3d_builder.geometry.camera import at_nearest_pixel, px_from_cam, scaled_intrinsics
from fg3d_builder.records import Array
from fg3d_builder.rendering.fragments import Fragments
from fg3d_builder.rendering.rasterizer import rasterize_images

COARSE = 0.5
"""Scale of the images, against the measured ones."""

BEHIND_MM = 3.0
"""A vertex so far behind the first surface is hidden."""


def coarse_fragments(
    vertices: Array, triangles: Array, measured: MeasuredHead, asked_px: Array | None = None
) -> Fragments:
    """Draw a surface in images `COARSE` times as fine as the measured ones.

    Parameters
    ----------
    vertices : (v, 3) float
    triangles : (t, 3) int
    measured : MeasuredHead
    asked_px : (k, 2) float, optional
        Places in these images; nothing is drawn outside of their box.
    """
    size = [int(np.ceil(COARSE * n)) for n in measured.head.shape]
    wanted = None
    if asked_px is not None:
        near = np.clip(np.rint(np.nan_to_num(asked_px)), 0, [size[1] - 1, size[0] - 1])
        (left, top), (right, bottom) = near.min(axis=0).astype(int), near.max(axis=0).astype(int)
        wanted = np.zeros((1, *size), dtype=bool)
        wanted[0, top : bottom + 1, left : right + 1] = True
    meshes = vertices[None], triangles[None], _camera(measured)[None]
    drawn = rasterize_images(*meshes, size[0], size[1], wanted=wanted)
    return Fragments(*(part[0] for part in drawn))


def coarse_px(places: Array, measured: MeasuredHead) -> Array:
    """Return where places (k, 3) are in these images, (k, 2)."""
    return px_from_cam(places, _camera(measured))


def is_first(places: Array, drawn: Fragments, px: Array) -> Array:
    """Tell which places (k, 3), at pixels (k, 2), nothing of what is drawn hides."""
    surface = at_nearest_pixel(drawn.depth_mm, px, -np.inf)
    with np.errstate(invalid="ignore"):
        return np.asarray(places[:, 2] <= surface + BEHIND_MM)


def _camera(measured: MeasuredHead) -> Array:
    return scaled_intrinsics(measured.intrinsics, COARSE)
