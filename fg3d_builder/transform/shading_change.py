"""Shading of a new shape under the old light (Eq. 17).

The paper gives the face the colours ``C^t = Amb T + Dir T <n^t, l> + k_s Dir <r^t, ve>^nu``
with light and albedo of the source. An albedo per vertex would blur the skin, so the albedo is
taken from each pixel instead: solving Eq. 14 for ``T`` in the source and putting it into Eq. 17
leaves ::

    C^t = C^s shade^t / shade^s + (gloss^t - gloss^s shade^t / shade^s)

a factor and an offset that vary slowly over the face and leave pores, hair and freckles as they
are. Where neither shape nor pose changed the pixel stays as it is, exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from fg3d_builder.geometry.meshes import normalized, vertex_normals
from fg3d_builder.geometry.smoothing import smooth_normals
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import Light, shade_and_gloss

LARGEST_GAIN = 2.5
"""A pixel gets brighter or darker at most by this factor: a larger change comes from what the
light model misses (cast shadows, deep folds), not from the face."""

LARGEST_LOSS = 0.35
"""Part of a channel that a vanished glint may have been at most. A pixel with less light than
the light model's glint has none to lose: taking it off would leave a saturated stain."""

LEAST_SHADE = 0.02
"""Linear light below which nothing can be learnt of the albedo."""

FADE_COSINES = 0.15, 0.4
"""The change fades out between these cosines to the line of sight: at the outline a normal is
a guess, and any error would show as a halo."""


class ShadingChange(NamedTuple):
    """What turns the source's colours into the target's by `changed`, in linear RGB.

    Attributes
    ----------
    gain, offset : (n, 3) float64
        By vertex.
    """

    gain: Array
    offset: Array


def changed(color_linear: Array, gain: Array, offset: Array) -> Array:
    """Return ``gain * color + offset`` for (k, 3) colours in linear RGB.

    An offset that would take more than `LARGEST_LOSS` from any channel is shortened as a
    whole, so that the hue stays.
    """
    return np.asarray(_changed(color_linear, gain, offset))


@numba.njit(cache=True, nogil=True)
def _changed(color, gain, offset):  # type: ignore[no-untyped-def]
    out = np.empty_like(gain)
    for k in range(len(gain)):
        loss = 1e-6
        for i in range(3):
            loss = max(loss, -offset[k, i] / max(gain[k, i] * color[k, i], 1e-6))
        kept = min(1.0, LARGEST_LOSS / loss)
        for i in range(3):
            out[k, i] = max(gain[k, i] * color[k, i] + kept * offset[k, i], 0.0)
    return out


class ShapeShading(NamedTuple):
    """Eq. 14 at the vertices of a shape, without its albedo: ``C = shade * T + gloss``.

    Attributes
    ----------
    normals : (n, 3) float64
        Smoothed unit normals, camera frame.
    shade, gloss : (n, 3) float64
    facing : (n,) float64
        Cosine between the surface's own normal and the line of sight.
    """

    normals: Array
    shade: Array
    gloss: Array
    facing: Array


def shape_shading(vertices_cam_mm: Array, triangles: Array, light: Light) -> ShapeShading:
    """Light a shape (n, 3) in the camera frame."""
    view = normalized(-vertices_cam_mm)
    normals = smooth_normals(vertices_cam_mm, triangles)
    shade, gloss = shade_and_gloss(normals, view, light)
    facing = np.einsum("nd,nd->n", vertex_normals(vertices_cam_mm, triangles), view)
    return ShapeShading(normals, shade, gloss, facing)


def shading_change(before: ShapeShading, after: ShapeShading, weight: Array) -> ShadingChange:
    """Compute gain and offset of every vertex.

    Parameters
    ----------
    before, after : ShapeShading
        The registered shape, and the new one in the same pose, under the source's light.
    weight : (n,) float64
        In [0, 1]: how far a vertex may be changed; 0 for what is no skin.
    """
    gain = np.maximum(after.shade, LEAST_SHADE) / np.maximum(before.shade, LEAST_SHADE)
    gain = np.clip(gain, 1.0 / LARGEST_GAIN, LARGEST_GAIN)
    offset = after.gloss - gain * before.gloss
    facing = np.minimum(before.facing, after.facing)
    low, high = FADE_COSINES
    fade = (np.clip((facing - low) / (high - low), 0.0, 1.0) * weight)[:, None]
    return ShadingChange(gain**fade, fade * offset)
