"""The fast deformation: one affine map for the whole face and a displacement per vertex.

In normalised template coordinates ``x_i`` (3), vertex i is displaced by ``d_i = x_i A + t_i``
and minimised is, for each coordinate, ::

    sum_edges(ij)  s_ij^2 |t_i - t_j|^2           stiffness; A is free
  + sum_vertices   w_i   |d_i - u_i|^2            closest points (and prior)
  + sum_points     w_p   |sum_c b_pc d_c - e_p|^2  embedded edge points, Eq. 9

On a face, per-vertex affine maps amount to the same. There a relief of wave number k costs
``k^2 (k L)^2 / (1 + (k L)^2)`` with L = 100 mm, the unit of the normalised coordinates: for
all that fits on a face this is the membrane's ``k^2``, and anything larger is affine. The
matrix has n rows instead of 4n and the mesh's own edges as its pattern, points of Eq. 9
included, so its analysis serves every capture with the same triangles; A is eliminated.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.linalg import cho_factor, cho_solve

from fg3d_builder.facemodel.model import Embedding, topology_hash
from fg3d_builder.geometry.meshes import undirected_edges
from fg3d_builder.numerics.sparse_solver import (
    SparseFactor,
    SymbolicAnalysis,
    analyze,
    lower_pattern,
)
from fg3d_builder.records import Array
from fg3d_builder.registration.deformation import LENGTH_MM, RIDGE, Targets


class Membrane:
    """One affine map for the whole face and a displacement per vertex; see the module.

    Parameters
    ----------
    vertices_mm : (n, 3) float64
        Template in the frame whose x and y Eq. 9 is to constrain (the camera's).
    triangles : (m, 3) int
    points : Embedding
        Surface points of Eq. 9; may be empty.
    solver : str
        Backend, see `analyze`.

    Attributes
    ----------
    edges : (k, 2) int32
        Mesh edges, in the order in which stiffness is given.
    """

    def __init__(
        self, vertices_mm: Array, triangles: Array, points: Embedding, solver: str
    ) -> None:
        self._pattern = shared_pattern(triangles, len(vertices_mm), solver)
        self.edges = self._pattern.edges
        self._normalised = (vertices_mm - vertices_mm.mean(axis=0)) / LENGTH_MM
        self._corners = triangles[points.triangle]
        self._barycentric = points.barycentric
        self._at_points = self._pattern.positions(self._corners)
        self._factor: SparseFactor | None = None

    def solve(self, stiffness: Array, targets: Targets) -> Array:
        """Return the unknowns (n + 3, c): ``t`` above ``A``."""
        values = self._pattern.values(stiffness, targets.weights + RIDGE)
        side = targets.pulls_mm
        x = self._normalised
        # N X of the data terms' matrix N, which is the system's without the stiffness.
        data_x = targets.weights[:, None] * x
        if targets.point_weights is not None and targets.point_offsets_mm is not None:
            weighted = targets.point_weights[:, None] * self._barycentric
            blocks = weighted[:, :, None] * self._barycentric[:, None, :]
            values += self._pattern.scattered(self._at_points, blocks)
            side = side + self._spread(weighted, targets.point_offsets_mm)
            point_x = np.einsum("pc,pcd->pd", self._barycentric, x[self._corners])
            data_x = data_x + self._spread(weighted, point_x)
        self._factor = self._pattern.analysis.factor(values, reuse=self._factor)
        solved = self._factor.solve(np.concatenate([side, data_x], axis=1))
        columns = side.shape[1]
        solved_side, solved_x = solved[:, :columns], solved[:, columns:]
        # The Schur complement of A: three equations.
        schur = x.T @ data_x - data_x.T @ solved_x + RIDGE * np.eye(3)
        affine = cho_solve(cho_factor(schur), x.T @ side - data_x.T @ solved_side)
        return np.concatenate([solved_side - solved_x @ affine, affine])

    def offsets_mm(self, solution: Array) -> Array:
        """Return the (n, c) vertex displacements of a solution (n + 3, c)."""
        return np.asarray(solution[:-3] + self._normalised @ solution[-3:])

    def stiffness_energy(self, solution: Array, stiffness: Array) -> float:
        """Return the stiffness term of a solution (n + 3, c), mm^2."""
        difference = solution[self.edges[:, 0]] - solution[self.edges[:, 1]]
        return float(stiffness**2 @ (difference**2).sum(axis=1))

    def _spread(self, weighted: Array, at_points: Array) -> Array:
        """Sum (p, 3) corner weights times (p, c) values at points into (n, c) vertices."""
        out = np.zeros((len(self._normalised), at_points.shape[1]))
        np.add.at(out, self._corners, weighted[:, :, None] * at_points[:, None, :])
        return out


class Pattern(NamedTuple):
    """A mesh's edges as the lower triangle of a sparse matrix, analysed.

    Attributes
    ----------
    edges : (k, 2) int32
    keys : (k + n,) int64
        Column times n plus row of each entry, ascending.
    at_diagonal, at_edges : (n,), (k,) int64
        Their positions among the entries.
    analysis : SymbolicAnalysis
    """

    edges: Array
    keys: Array
    at_diagonal: Array
    at_edges: Array
    analysis: SymbolicAnalysis

    def values(self, stiffness: Array, diagonal: Array) -> Array:
        """Return the entries of the graph Laplacian with weights ``s^2``, plus a diagonal.

        `stiffness` ``s`` (k,) is that of each edge, `diagonal` (n,).
        """
        n = len(diagonal)
        squared = stiffness**2
        degree = np.bincount(self.edges[:, 0], squared, n)
        degree += np.bincount(self.edges[:, 1], squared, n)
        values = np.zeros(len(self.keys))
        values[self.at_edges] = -squared
        values[self.at_diagonal] = degree + diagonal
        return values

    def laplacian(self, stiffness: Array) -> sp.csr_matrix:
        """Return the whole graph Laplacian with weights ``s^2``.

        `stiffness` ``s`` (k,) is that of each edge.
        """
        n, squared = len(self.at_diagonal), stiffness**2
        low, high = self.edges.T
        across = sp.csr_matrix((squared, (low, high)), shape=(n, n))
        across = across + across.T
        return (sp.diags(np.asarray(across.sum(axis=1)).ravel()) - across).tocsr()

    def positions(self, corners: Array) -> Array:
        """Return the (p, 3, 3) positions of triangles' 3 x 3 blocks; -1 above the diagonal."""
        row, column = corners[:, :, None].astype(np.int64), corners[:, None, :].astype(np.int64)
        at = np.searchsorted(self.keys, column * len(self.at_diagonal) + row)
        return np.where(row >= column, at, -1)

    def scattered(self, positions: Array, blocks: Array) -> Array:
        """Return the entries of a sum of blocks (p, 3, 3) at `positions`."""
        lower = positions >= 0
        return np.bincount(positions[lower], blocks[lower], len(self.keys))


_PATTERNS = 4
"""Topologies whose analysis is kept: a dataset has one."""


def shared_pattern(triangles: Array, vertex_count: int, solver: str) -> Pattern:
    """Return the pattern of a mesh; analysed once per process and topology."""
    key = _Topology(topology_hash(vertex_count, triangles), vertex_count, triangles)
    return _pattern(key, solver)


class _Topology:
    """Triangles that compare by their hash."""

    def __init__(self, name: str, vertex_count: int, triangles: Array) -> None:
        self.name, self.vertex_count, self.triangles = name, vertex_count, triangles

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Topology) and self.name == other.name


@lru_cache(maxsize=_PATTERNS)
def _pattern(topology: _Topology, solver: str) -> Pattern:
    n = topology.vertex_count
    edges = undirected_edges(topology.triangles)
    diagonal = np.arange(n, dtype=np.int64) * (n + 1)
    below = edges[:, 0].astype(np.int64) * n + edges[:, 1]
    lower, (at_diagonal, at_edges) = lower_pattern(n, diagonal, below)
    columns = np.repeat(np.arange(n), np.diff(lower.indptr))
    analysis = analyze(lower, solver, supernodal=False)
    return Pattern(edges, columns * n + lower.indices, at_diagonal, at_edges, analysis)
