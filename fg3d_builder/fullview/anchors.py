"""Anchors of the background: where the picture around a face is held.

A square lattice over the picture and a margin around it, thinned out by powers of two with
the distance from the face. Its positions depend on the face's outline, the size of the
picture and the configuration alone.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial import cKDTree

from fg3d_builder.config import FullViewConfig
from fg3d_builder.fullview.outline import Outline
from fg3d_builder.records import Array

LEVELS = 4
"""Lattice spacings: the finest one, and each twice the one before."""

CLEARANCE = 0.55
"""Anchors keep this part of the spacing away from the outline, so that no triangle is flat."""


class Anchors(NamedTuple):
    """Anchors outside of the face's outline.

    Attributes
    ----------
    points_px : (a, 2) float64
        Rows of the lattice from the top, in each from the left.
    border : (a,) bool
        On the border of the margin, that is, of the whole mesh.
    spacing_px : float
        Spacing of the finest lattice.
    """

    points_px: Array
    border: Array
    spacing_px: float


def place_anchors(outline: Outline, height: int, width: int, config: FullViewConfig) -> Anchors:
    """Lay the lattice and keep its points outside of the outline.

    Parameters
    ----------
    outline : Outline
    height, width : int
        Size of the picture in pixels. Its border, half a pixel outside the centres of its first
        and last pixels, is on lines of the coarsest lattice.
    config : FullViewConfig
    """
    low, high = outline.points_px.min(axis=0), outline.points_px.max(axis=0)
    face_px = float(np.max(high - low))
    spacing = face_px * config.anchor_spacing
    x, coarse_x = _lines(width, low[0], high[0], spacing, face_px * config.margin)
    y, coarse_y = _lines(height, low[1], high[1], spacing, face_px * config.margin)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    coarseness = np.minimum(coarse_x[None, :], coarse_y[:, None])
    outside = ~_inside(outline, grid, spacing)
    bands = face_px * np.asarray(config.anchor_bands)
    keep = np.zeros_like(outside)
    border_points = cKDTree(_dense(outline, spacing))
    for level in range(LEVELS):
        # Lattices end where their band does; from there on the distance does not matter.
        end = float(bands[level]) if level < len(bands) else np.inf
        mine = outside & (coarseness == level)
        # Beyond the band's end distances may be infinite.
        bound = np.nextafter(end, np.inf)
        away = border_points.query(grid[mine], distance_upper_bound=bound)[0]
        keep[mine] = (np.searchsorted(bands, away) <= level) & (away > CLEARANCE * spacing)
    border = np.zeros_like(keep)
    border[[0, -1], :] = border[:, [0, -1]] = True
    # Corners stay whatever the lattice: they span the mesh.
    keep[np.ix_([0, -1], [0, -1])] = True
    return Anchors(grid[keep], border[keep], spacing)


def _lines(
    size: int, low: float, high: float, spacing: float, margin: float
) -> tuple[Array, Array]:
    """Return positions of the lattice's lines along one axis, and the coarsest lattice of each.

    The picture is divided evenly, and the same steps go on over the margin.
    """
    block = 2 ** (LEVELS - 1)
    cells = block * max(1, round(size / (spacing * block)))
    step = size / cells
    before = block * int(np.ceil((max(0.0, -0.5 - low) + margin) / (step * block)))
    after = block * int(np.ceil((max(0.0, high - size + 0.5) + margin) / (step * block)))
    number = np.arange(-before, cells + after + 1)
    coarsest = np.zeros(len(number), dtype=int)
    for level in range(1, LEVELS):
        coarsest[number % 2**level == 0] = level
    return -0.5 + step * number, coarsest


def _dense(outline: Outline, spacing: float) -> Array:
    """Return points (d, 2) of the outline at most half the spacing apart.

    Distances to them are those to the outline to a sixteenth of the spacing.
    """
    a = outline.points_px
    along = np.roll(a, -1, axis=0) - a
    pieces = np.maximum(1, np.ceil(np.linalg.norm(along, axis=1) / (0.5 * spacing))).astype(int)
    start = np.repeat(np.arange(len(a)), pieces)
    share = np.arange(len(start)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return np.asarray(a[start] + along[start] * (share / pieces[start])[:, None])


def _inside(outline: Outline, grid: Array, spacing: float) -> Array:
    """Tell which lattice points are inside; exact for those at least `spacing` / 8 away."""
    fine = 8.0
    scale = fine / spacing
    start = grid[0, 0]
    size = np.ceil((grid[-1, -1] - start) * scale).astype(int) + 2
    mask = np.zeros((size[1], size[0]), np.uint8)
    polygon = np.round((outline.points_px - start) * scale).astype(np.int32)
    cv2.fillPoly(mask, [polygon], 1)
    at = np.round((grid - start) * scale).astype(int)
    return mask[at[..., 1], at[..., 0]] > 0
