"""A depth for every anchor of the background (Eq. 12).

    sum_i Mask_i |d_i - Depth_i| + s sum_ij Connect_ij |d_i - d_j|

in one sparse system over the anchors, with the depths of the face's outline given. ``|.|`` is
Huber's: quadratic for small differences, so that the depth between two known places is an
even slope, and linear for large ones, so that a wrong measurement or the edge of a head bends
nothing around it. Iteratively reweighted least squares minimise it.

``Depth`` is not the raw measurement. Pixels at depth discontinuities, where sensors report points
in the air, count as hollow. And a room is far behind a head: turned as it is, it would leave the
picture and pull a sheet of smeared pixels behind it. Measurements next to the face (hair, ears,
neck, shoulders) keep their depth; those further back than a slope that falls away from the
outline are brought forward to that slope, at most a head's depth behind the outline.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial import cKDTree

from fg3d_builder.config import FullViewConfig
from fg3d_builder.geometry.camera import at_nearest_pixel
from fg3d_builder.numerics.robust import Huber
from fg3d_builder.numerics.sparse_solver import analyze, lower_pattern
from fg3d_builder.records import Array

MAX_STEP_SHARE = 0.02
"""Depths within three by three pixels that differ by more than this part of their value are
a discontinuity."""


STRIDE_SPACING = 8.0
"""Pixels between anchors that are looked at."""


class Completion(NamedTuple):
    """Solution of Eq. 12.

    Attributes
    ----------
    depth_mm : (k,) float64
        Depth of every point.
    energy : (i,) float64
        After each iteration; falls.
    converged : bool
        The last iteration moved no depth by more than the tolerance.
    """

    depth_mm: Array
    energy: Array
    converged: bool


def complete_depth(
    edges: Array,
    fixed_mm: Array,
    measured_mm: Array,
    config: FullViewConfig,
    solver: str = "cholmod",
) -> Completion:
    """Solve Eq. 12.

    Parameters
    ----------
    edges : (e, 2) int
        ``Connect``: pairs of connected points, each once. Every point is connected to one
        with a fixed or measured depth.
    fixed_mm : (k,) float
        Depths that are given, NaN for the others.
    measured_mm : (k,) float
        ``Depth`` where ``Mask`` is 1, NaN where it is 0. Not used where a depth is fixed.
    config : FullViewConfig
    solver : str
        Sparse backend, see `fg3d_builder.numerics.sparse_solver.analyze`.
    """
    data_kernel, bend_kernel = Huber(config.data_knee_mm), Huber(config.smooth_knee_mm)
    free = ~np.isfinite(fixed_mm)
    data = np.flatnonzero(free & np.isfinite(measured_mm))
    target = measured_mm[data]
    data_weight = np.ones(len(data))
    edge_weight = np.full(len(edges), config.smoothness)
    depth = np.where(free, 0.0, fixed_mm)
    system = _System(edges, free, solver)
    energies: list[float] = []
    converged = False
    while len(energies) < config.depth_iterations and not converged:
        before = depth[free]
        depth = system.solved(edge_weight, data, data_weight, target, depth)
        misfit = (depth[data] - target) ** 2
        bend = (depth[edges[:, 0]] - depth[edges[:, 1]]) ** 2
        energy = data_kernel.loss(misfit).sum() + config.smoothness * bend_kernel.loss(bend).sum()
        energies.append(0.5 * float(energy))
        step = np.max(np.abs(depth[free] - before), initial=0.0)
        converged = bool(step < config.depth_tolerance_mm)
        data_weight = data_kernel.weight(misfit)
        edge_weight = config.smoothness * bend_kernel.weight(bend)
    return Completion(depth, np.array(energies), converged)


def reliable_depth(depth_mm: Array, radius_px: float) -> Array:
    """Return (H, W) float32 depths without pixels near discontinuities; NaN there.

    Parameters
    ----------
    depth_mm : (H, W) float
    radius_px : float
        How near. With half the distance of the anchors, an anchor beside the edge of a head
        is hollow, and Eq. 12 rounds the edge off where the lattice would make teeth of it.
    """
    known = np.isfinite(depth_mm) & (depth_mm > 0)
    depth = np.where(known, depth_mm, 0).astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    farthest = cv2.dilate(depth, kernel)
    nearest = cv2.erode(np.where(known, depth, np.float32(np.inf)), kernel)
    rough = known & (farthest - nearest > MAX_STEP_SHARE * depth)
    size = 2 * max(1, round(radius_px)) - 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    flat = known & (cv2.dilate(rough.astype(np.uint8), disc) == 0)
    return np.where(flat, depth, np.float32(np.nan))


def depth_of_anchors(depth_mm: Array, points_px: Array, spacing_px: float) -> Array:
    """Return ``Depth`` of Eq. 12 at anchors (k,), NaN where ``Mask`` is 0.

    Large images are thinned out to `STRIDE_SPACING` pixels between anchors, which is all that an
    anchor needs.
    """
    stride = max(1, int(spacing_px / STRIDE_SPACING))
    thin = np.ascontiguousarray(depth_mm[::stride, ::stride])
    reliable = reliable_depth(thin, 0.5 * spacing_px / stride)
    return at_nearest_pixel(reliable, points_px / stride, np.nan)


def brought_near(
    measured_mm: Array,
    points_px: Array,
    outline_px: Array,
    outline_mm: Array,
    focal_px: float,
    config: FullViewConfig,
) -> Array:
    """Return (k,) depths that keep within a head's surroundings; NaN stays NaN.

    The allowed distance behind or before the outline's nearest point is `config.step_mm` at
    the outline and grows with the distance from it, at first by `config.max_slope`, at most by
    `config.reach_mm`.

    Parameters
    ----------
    measured_mm : (k,) float64
        Depths at `points_px`; NaN where none was measured.
    points_px : (k, 2) float64
    outline_px : (o, 2) float64
    outline_mm : (o,) float64
        Depths of the face's outline, all known.
    focal_px : float
        Takes distances in the image to millimetres, at the depth of the nearest outline point.
    config : FullViewConfig
    """
    away_px, nearest = cKDTree(outline_px).query(points_px)
    base = outline_mm[nearest]
    away_mm = away_px * base / focal_px
    room = config.step_mm + config.reach_mm * (
        1.0 - np.exp(-config.max_slope * away_mm / config.reach_mm)
    )
    return np.clip(measured_mm, base - room, base + room)


class _System:
    """Weighted squares of Eq. 12's differences over one graph, in the depths that are free."""

    def __init__(self, edges: Array, free: Array, solver: str) -> None:
        number = np.where(free, np.cumsum(free) - 1, -1)
        self._free, self._number, self._count = free, number, int(free.sum())
        self._edges, ends = edges, number[edges]
        self._both = (ends >= 0).all(axis=1)
        low, high = np.sort(ends[self._both], axis=1).T
        diagonal = np.arange(self._count) * (self._count + 1)
        lower, (self._at_diagonal, self._at_edge) = lower_pattern(
            self._count, diagonal, low * self._count + high
        )
        self._size = lower.nnz
        # Every depth is held by one that is given, so that the matrix is positive definite.
        self._analysis = analyze(lower, solver, supernodal=False, ordering="amd")

    def solved(
        self, edge_weight: Array, data: Array, data_weight: Array, target: Array, depth: Array
    ) -> Array:
        """Return depths (k,) with the least sum of squares; those that are not free stay."""
        number, count, edges = self._number, self._count, self._edges
        right, diagonal = np.zeros(count), np.zeros(count)
        # Without any entry `bincount` counts in integers, hence the sums.
        right += np.bincount(number[data], data_weight * target, count)
        diagonal += np.bincount(number[data], data_weight, count)
        for mine, theirs in ((0, 1), (1, 0)):
            has = number[edges[:, mine]] >= 0
            diagonal += np.bincount(number[edges[has, mine]], edge_weight[has], count)
            given = has & ~self._free[edges[:, theirs]]
            pull = edge_weight[given] * depth[edges[given, theirs]]
            right += np.bincount(number[edges[given, mine]], pull, count)
        values = np.zeros(self._size)
        values[self._at_diagonal] = diagonal
        values[self._at_edge] = -edge_weight[self._both]
        out = depth.copy()
        out[self._free] = self._analysis.factor(values).solve(right)
        return out
