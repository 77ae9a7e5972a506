"""One 3x4 affine map per vertex: optimal-step nonrigid ICP (Amberg et al. 2007) with Eq. 9.

In normalised template coordinates ``h_i = (x_i, y_i, z_i, 1)``, centred and divided by
`LENGTH_MM`, the unknown ``Y`` (4n, 3) holds each vertex's deviation from the identity, so that
vertex i is at ``v_i + h_i Y_i``. Minimised is ::

    sum_edges(ij)  s_ij^2 |(Y_i - Y_j) G|^2        stiffness, G = diag(1, 1, 1, gamma)
  + sum_vertices   w_i   |h_i Y_i - (u_i - v_i)|^2  closest points (and prior)
  + sum_points     w_p   |sum_c b_pc h_c Y_c - e_p|^2   embedded edge points, Eq. 9

Each coordinate (column of ``Y``) is a system of its own. Without Eq. 9 all three share one
matrix; Eq. 9 enters x and y only, so x and y share one matrix and z has another with the same
pattern. The pattern is fixed at construction and the values are filled in by precomputed
index maps, which costs milliseconds against the factorisation's hundreds.
"""

from __future__ import annotations

import numpy as np

from fg3d_builder.facemodel.model import Embedding
from fg3d_builder.geometry.meshes import undirected_edges
from fg3d_builder.numerics.sparse_solver import SparseFactor, analyze, lower_pattern
from fg3d_builder.records import Array
from fg3d_builder.registration.deformation import LENGTH_MM, RIDGE, Targets

_ROWS, _COLUMNS = np.tril_indices(4)


class AffineMaps:
    """The deformation as published, and the reference for `membrane`.

    Parameters
    ----------
    vertices_mm : (n, 3) float64
        Template in the frame whose x and y Eq. 9 is to constrain (the camera's).
    triangles : (m, 3) int
    points : Embedding
        Surface points of Eq. 9; may be empty.
    rotation_weight : float
        ``gamma``, weight of the translation against the linear part.
    solver : str
        Backend, see `analyze`.

    Attributes
    ----------
    lower : (4n, 4n) csc_matrix
        Lower triangle of the pattern.
    edges : (k, 2) int32
        The mesh edges, in the order in which stiffness is given.
    """

    def __init__(
        self,
        vertices_mm: Array,
        triangles: Array,
        points: Embedding,
        rotation_weight: float,
        solver: str,
    ) -> None:
        n = len(vertices_mm)
        normalised = (vertices_mm - vertices_mm.mean(axis=0)) / LENGTH_MM
        self._homogeneous = np.concatenate([normalised, np.ones((n, 1))], axis=1)
        self.edges = undirected_edges(triangles)
        self._diagonal_g = np.array([1.0, 1.0, 1.0, rotation_weight**2])
        self._corners = triangles[points.triangle].reshape(-1, 3)
        # (p, 3, 4): the row of an embedded point in the three blocks of its corners.
        self._point_rows = points.barycentric[:, :, None] * self._homogeneous[self._corners]
        self._outer = self._homogeneous[:, _ROWS] * self._homogeneous[:, _COLUMNS]
        self._build_pattern(n)
        self._analysis = analyze(self.lower, solver)
        self._factor: SparseFactor | None = None

    def solve(self, stiffness: Array, targets: Targets) -> Array:
        """Return the maps ``Y`` (4n, c)."""
        values = self.matrix_values(stiffness, targets)
        self._factor = self._analysis.factor(values, reuse=self._factor)
        return self._factor.solve(self.right_hand_side(targets))

    def _build_pattern(self, n: int) -> None:
        """Number the entries of the lower triangle; find where each term's numbers go."""
        size = 4 * n
        low, high = self.edges[:, 0].astype(np.int64), self.edges[:, 1].astype(np.int64)
        component = np.arange(4)
        vertex = 4 * np.arange(n, dtype=np.int64)[:, None]
        diagonal = (vertex + _COLUMNS) * size + vertex + _ROWS
        mesh = (4 * low[:, None] + component) * size + 4 * high[:, None] + component
        row = (4 * self._corners[:, :, None].astype(np.int64) + component).reshape(-1, 12)
        p_row = np.broadcast_to(row[:, :, None], (len(row), 12, 12))
        p_column = np.broadcast_to(row[:, None, :], (len(row), 12, 12))
        keep = p_row >= p_column
        points = p_column[keep] * size + p_row[keep]
        self.lower, positions = lower_pattern(size, diagonal, mesh, points)
        self._at_diagonal, self._at_mesh, self._at_points = positions
        self._keep_points = keep
        self._at_pure = self._at_diagonal[:, _ROWS == _COLUMNS]

    def matrix_values(self, stiffness: Array, targets: Targets) -> Array:
        """Return the (nnz,) values of `lower` for the stiffness ``s`` (k,) of the edges."""
        n = len(self._homogeneous)
        values = np.zeros(self.lower.nnz)
        squared = stiffness**2
        values[self._at_mesh] = -squared[:, None] * self._diagonal_g
        degree = np.bincount(self.edges[:, 0], squared, n)
        degree += np.bincount(self.edges[:, 1], squared, n)
        values[self._at_diagonal] = targets.weights[:, None] * self._outer
        values[self._at_pure] += degree[:, None] * self._diagonal_g + RIDGE
        if targets.point_weights is not None and len(targets.point_weights):
            rows = self._point_rows.reshape(-1, 12)
            blocks = targets.point_weights[:, None, None] * rows[:, :, None] * rows[:, None, :]
            values += np.bincount(self._at_points, blocks[self._keep_points], len(values))
        return values

    def right_hand_side(self, targets: Targets) -> Array:
        """Return the (4n, c) right-hand side."""
        side = self._homogeneous[:, :, None] * targets.pulls_mm[:, None, :]
        if targets.point_weights is not None and targets.point_offsets_mm is not None:
            pull = targets.point_weights[:, None] * targets.point_offsets_mm
            np.add.at(side, self._corners, self._point_rows[..., None] * pull[:, None, None, :])
        return np.asarray(side.reshape(-1, side.shape[2]))

    def offsets_mm(self, solution: Array) -> Array:
        """Return the (n, c) vertex displacements ``h_i Y_i`` of a solution (4n, c)."""
        maps = solution.reshape(len(self._homogeneous), 4, -1)
        return np.einsum("na,nac->nc", self._homogeneous, maps)

    def stiffness_energy(self, solution: Array, stiffness: Array) -> float:
        """Return the stiffness term of a solution (4n, c), mm^2."""
        maps = solution.reshape(len(self._homogeneous), 4, -1)
        difference = maps[self.edges[:, 0]] - maps[self.edges[:, 1]]
        per_edge = np.einsum("eac,a->e", difference**2, self._diagonal_g)
        return float(stiffness**2 @ per_edge)
