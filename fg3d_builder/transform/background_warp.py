"""The background follows a face that changed its outline (Eq. 16).

Minimised over the anchors' new places in the picture is ::

    sum_i FaceContour(i) |x_i - target_i|^2
  + sum_i ImageBorder(i) |x_i - source_i|^2
  + sum_ij Connect(i, j) w_ij |(x_i - x_j) - (source_i - source_j)|^2

The first and the last term are the paper's, squared: the outline has given places, the rest
keeps its arrangement. Outline and image border are met exactly, so that the warped background
still fills the picture and joins the face. A strong move alone would fold triangles over; where
one folds (or shrinks to almost nothing) its edges are stiffened and the system is solved again.
Where a fold remains, parts of the outline that met in a corner moved apart or past each other (a
jaw line in front of a neck): the outline's corners there are released.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.geometry.meshes import signed_areas, undirected_edges
from fg3d_builder.numerics.sparse_solver import SparseFactor, analyze, lower_pattern
from fg3d_builder.records import Array

LEAST_AREA = 0.1
"""Share of its own area below which a triangle counts as folded."""

STIFFENING = 4.0
ROUNDS = 18
PATIENCE = 6
"""Rounds of stiffening before corners of the outline are released."""


class Warp(NamedTuple):
    """A warped background.

    Attributes
    ----------
    points_px : (v, 2) float64
    folded : int
        Triangles that are still turned over or crushed; 0 for a warp that can be used.
    rounds : int
        Solves that it took.
    yielded : (v,) bool
        Fixed points that are not where they were wanted.
    """

    points_px: Array
    folded: int
    rounds: int
    yielded: Array


class Background:
    """A background mesh, some of whose points are held; what all its warps share is found once.

    Parameters
    ----------
    source_px : (v, 2) float64
    triangles : (m, 3) int
        Points in none of them stay where they are, unless fixed.
    fixed : (v,) bool
        Outline of the face, and image border.
    solver : str
        Sparse backend, see `fg3d_builder.numerics.sparse_solver.analyze`.
    """

    def __init__(self, source_px: Array, triangles: Array, fixed: Array, solver: str) -> None:
        self._source_px, self._triangles, self._fixed = source_px, triangles, fixed
        self._solver = solver
        self._edges = edges = undirected_edges(triangles)
        self._in_mesh = np.zeros(len(source_px), dtype=bool)
        self._in_mesh[triangles.ravel()] = True
        self._area = signed_areas(source_px[triangles])
        # Short edges keep their arrangement more firmly than long ones.
        length = np.linalg.norm(source_px[edges[:, 0]] - source_px[edges[:, 1]], axis=1)
        self._weights = 1.0 / np.maximum(length, 1e-3)
        self._system = _DisplacementSystem(edges, self._in_mesh & ~fixed, solver)
        self._first = self._system.factor(self._weights)

    def warped(self, fixed_px: Array, may_yield: Array) -> Warp:
        """Move the free points of the mesh after those whose place is known.

        Parameters
        ----------
        fixed_px : (v, 2) float64
            Where the fixed points go; read at those only.
        may_yield : (v,) bool
            Fixed points that may stay away from there if nothing else prevents a fold.
        """
        source_px, triangles, edges, area = (
            self._source_px,
            self._triangles,
            self._edges,
            self._area,
        )
        held = self._fixed.copy()
        system, weights, factor = self._system, self._weights, self._first
        for rounds in range(1, ROUNDS + 1):
            moved = np.where(held[:, None], fixed_px - source_px, 0.0)
            moved[system.free] = system.solve(factor, weights, moved)
            points = source_px + moved
            folded = signed_areas(points[triangles]) * np.sign(area) < LEAST_AREA * np.abs(area)
            if not folded.any():
                break
            weights = _stiffened(weights, edges, triangles[folded], len(source_px))
            if rounds % PATIENCE == 0:
                corners = np.unique(triangles[folded])
                held[corners[may_yield[corners]]] = False
                system = _DisplacementSystem(edges, self._in_mesh & ~held, self._solver)
                weights = self._weights
            factor = system.factor(weights)
        return Warp(points, int(folded.sum()), rounds, self._fixed & ~held)


class _DisplacementSystem:
    """Harmonic displacements of the free points; analysed once, factorised for many weights."""

    def __init__(self, edges: Array, is_free: Array, solver: str) -> None:
        free = np.flatnonzero(is_free)
        number = np.full(len(is_free), -1)
        number[free] = np.arange(len(free))
        self._edges, self.free = edges, free
        self._ends = number[edges]
        self._inner = np.flatnonzero((self._ends >= 0).all(axis=1))
        low = self._ends[self._inner].min(axis=1)
        high = self._ends[self._inner].max(axis=1)
        n = len(free)
        lower, (self._at_diagonal, self._at_inner) = lower_pattern(
            n, np.arange(n) * (n + 1), low * n + high
        )
        self._analysis = analyze(lower, solver, supernodal=False, ordering="amd")

    def factor(self, weights: Array) -> SparseFactor:
        """Factorise the system for weights (e,) of the edges."""
        n = len(self.free)
        degree = np.zeros(n)
        for mine in self._ends.T:
            known = mine >= 0
            degree += np.bincount(mine[known], weights[known], n)
        values = np.zeros(n + len(self._at_inner))
        values[self._at_diagonal] = degree
        values[self._at_inner] = -weights[self._inner]
        return self._analysis.factor(values)

    def solve(self, factor: SparseFactor, weights: Array, moved_px: Array) -> Array:
        """Return the (f, 2) displacements of the free points, given those of the others."""
        n = len(self.free)
        side = np.zeros((n, 2))
        for here, there in ((0, 1), (1, 0)):
            mine, other = self._ends[:, here], self._ends[:, there]
            border = (mine >= 0) & (other < 0)
            pull = weights[border, None] * moved_px[self._edges[border, there]]
            for axis in range(2):
                side[:, axis] += np.bincount(mine[border], pull[:, axis], n)
        return factor.solve(side)


def _stiffened(weights: Array, edges: Array, folded: Array, count: int) -> Array:
    keys = edges[:, 0].astype(np.int64) * count + edges[:, 1]
    stiff = undirected_edges(folded)
    out = weights.copy()
    out[np.searchsorted(keys, stiff[:, 0].astype(np.int64) * count + stiff[:, 1])] *= STIFFENING
    return out
