"""The file's own chart for a face sheet, where it is one chart; else a new one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from fg3d_builder.facemodel.chart import balanced_chart, relax_chart
from fg3d_builder.facemodel.patches import border_loops
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.geometry.meshes import signed_areas, vertex_adjacency
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import interpolate, rasterize

MAP_SIZE = 256
MAX_LOSS_MM = 0.1
"""What displacements may lose on a map of that size."""

_SHAPES = 6
_SAME = 1e-6
_RELAXED_RINGS = 3
_ROUNDS, _EXPONENT, _DETAIL = 16, 0.25, 0.75
"""For a new chart: so maps of 256 x 256 lose least of shapes, see `benchmarks.model_import`."""


class SheetChart(NamedTuple):
    """A chart of a sheet.

    Attributes
    ----------
    uv : (n, 2) float64
    own : bool
        It is the file's.
    loss_mm : float
        What displacements lose on a map, see `map_loss_mm`.
    """

    uv: Array
    own: bool
    loss_mm: float


def sheet_chart(
    source: ModelSource,
    sheet_vertex: Array,
    vertices_mm: Array,
    triangles: Array,
    weights: sp.csr_matrix,
    displacements_mm: Array,
) -> SheetChart:
    """Return the file's own chart, or a new one.

    The file's counts if it is one chart of the sheet, without flips and overlaps, and if maps on
    it lose little, or less than on a new one.

    Parameters
    ----------
    source : ModelSource
    sheet_vertex : (n,) int32
        The file's vertex of each vertex; -1 for the last ones, which close openings.
    vertices_mm : (n, 3) float64
    triangles : (m, 3) int32
    weights : (k, n - k) sparse float64
        The vertices that close openings as combinations of the others.
    displacements_mm : (n, 3, s) float64
        Typical shapes less the mean.
    """
    own = _own_chart(source, sheet_vertex, weights)
    known = np.inf
    if own is not None:
        own = _opened(own, vertices_mm, triangles, sheet_vertex < 0)
        if is_one_chart(own, triangles):
            known = map_loss_mm(own, triangles, displacements_mm)
            if known <= MAX_LOSS_MM:
                return SheetChart(own, True, known)
    new = balanced_chart(vertices_mm, triangles, _ROUNDS, _EXPONENT, _DETAIL)
    loss = map_loss_mm(new, triangles, displacements_mm)
    if own is not None and known < loss:
        return SheetChart(own, True, known)
    return SheetChart(new, False, loss)


def typical_displacements_mm(basis: Array, sd: Array) -> Array:
    """Return (n, 3, 6) displacements by random coefficients, the same in every run.

    `basis` is (n, 3, k), millimetres per unit of a coefficient, `sd` (k,) the coefficients'
    deviation.
    """
    random = np.random.default_rng(0)
    return np.asarray(basis @ (sd[:, None] * np.abs(random.standard_normal((len(sd), _SHAPES)))))


def map_loss_mm(
    uv: Array, triangles: Array, displacements_mm: Array, size: int = MAP_SIZE
) -> float:
    """Return how far displacements are off that went to a map and back, mm.

    Linear within triangles at the texels' centres, bilinear at the vertices. 95th percentile
    over all vertices that have texels of the chart on all sides, and all displacements. Infinite
    where a chart is so small that none of them has.

    Parameters
    ----------
    uv : (n, 2) float64
    triangles : (m, 3) int
    displacements_mm : (n, 3, s) float64
    size : int
        Texels of the map along each side.
    """
    px = np.column_stack([uv[:, 0], 1.0 - uv[:, 1]]) * size - 0.5
    # Seen flat, at a constant depth: no perspective.
    flat = np.column_stack([2.0 * px, np.full(len(px), 2.0)])
    seen = rasterize(flat, triangles, np.eye(3), size, size, False)
    values = displacements_mm.reshape(len(uv), -1)
    texels = interpolate(seen, triangles, values)
    column, row = np.clip(np.floor(px).astype(int), 0, size - 2).T
    right, down = (px - np.column_stack([column, row])).T
    read = np.zeros_like(values)
    inside = np.ones(len(uv), dtype=bool)
    for y, x, share in (
        (row, column, (1 - down) * (1 - right)),
        (row, column + 1, (1 - down) * right),
        (row + 1, column, down * (1 - right)),
        (row + 1, column + 1, down * right),
    ):
        read += share[:, None] * texels[y, x]
        inside &= seen.triangle[y, x] >= 0
    if not displacements_mm.size:
        return 0.0
    if not inside.any():
        return np.inf
    lost = np.linalg.norm((read - values).reshape(displacements_mm.shape), axis=1)
    return float(np.quantile(lost[inside], 0.95))


def is_one_chart(uv: Array, triangles: Array) -> bool:
    """Tell whether a chart (n, 2) of a disk lies in [0, 1] without flips and overlaps."""
    areas = signed_areas(uv[triangles])
    if areas.min() <= 0 or uv.min() < 0 or uv.max() > 1:
        return False
    # Without flips, the chart of a disk overlaps itself only where its border crosses itself.
    return not _crosses_itself(uv[border_loops(triangles)[0]])


def _crosses_itself(ring: Array) -> bool:
    """Tell whether two sides of a closed polygon (p, 2) cross."""
    a, b = ring, np.roll(ring, -1, axis=0)

    def side(points: Array) -> Array:
        """(p, k) on which side of each of the polygon's sides points (k, 2) are."""
        along, to = (b - a)[:, None], points[None] - a[:, None]
        return np.sign(along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0])

    apart = side(a) * side(b)
    return bool(np.any((apart < 0) & (apart.T < 0)))


def _own_chart(source: ModelSource, sheet_vertex: Array, weights: sp.csr_matrix) -> Array | None:
    """The file's chart at the sheet's vertices; None without one, and across seams."""
    if source.uv is None:
        return None
    of_file = sheet_vertex[sheet_vertex >= 0]
    on_sheet = np.zeros(len(source.mean), dtype=bool)
    on_sheet[of_file] = True
    corners = source.polygons
    whole = np.all(on_sheet[corners] | (corners < 0), axis=1)
    vertex, place = corners[whole].ravel(), source.uv[whole].reshape(-1, 2)
    vertex, place = vertex[vertex >= 0], place[vertex >= 0]
    uv = np.full((len(source.mean), 2), np.nan)
    uv[vertex] = place
    if np.abs(uv[vertex] - place).max(initial=0.0) > _SAME or np.isnan(uv[of_file]).any():
        return None
    return np.vstack([uv[of_file], weights @ uv[of_file]])


def _opened(uv: Array, vertices_mm: Array, triangles: Array, closes: Array) -> Array:
    """Lay out anew what closes openings, which are slits in many charts, and what is around."""
    if not closes.any() or signed_areas(uv[triangles]).min() > 0:
        return uv
    free = closes.astype(float)
    joined = vertex_adjacency(triangles, len(uv))
    for _ in range(_RELAXED_RINGS):
        free = np.minimum(free + joined @ free, 1.0)
    inner = free > 0
    inner[border_loops(triangles)[0]] = False
    return relax_chart(uv, vertices_mm, triangles, inner)
