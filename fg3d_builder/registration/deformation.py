"""How a template may deform: what nonrigid ICP asks of it, and the paper's affine maps.

A deformation knows the stiffness term and turns the weighted targets of one iteration into
displacements. There are two: one affine map per vertex (this module, the reference) and one
affine map for the face with a displacement per vertex (`membrane`, the fast one).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from fg3d_builder.facemodel.model import Embedding
from fg3d_builder.numerics.sparse_solver import SparseFactor, analyze
from fg3d_builder.records import Array
from fg3d_builder.registration.normal_equations import NormalEquations


class Targets(NamedTuple):
    """The quadratic data terms of some of the coordinates (c of them).

    Attributes
    ----------
    weights : (n,) float64
        Of all terms that pull vertices one by one.
    pulls_mm : (n, c) float64
        Sum over those terms of weight times wanted displacement.
    point_weights : (p,) float64 or None
        Of the embedded points of Eq. 9; None leaves it out.
    point_offsets_mm : (p, c) float64 or None
        Wanted displacements of the embedded points.
    """

    weights: Array
    pulls_mm: Array
    point_weights: Array | None = None
    point_offsets_mm: Array | None = None


class Deformation(Protocol):
    """A family of deformations with its stiffness.

    Attributes
    ----------
    edges : (k, 2) int32
        Mesh edges, in the order in which stiffness is given.
    """

    edges: Array

    def solve(self, stiffness: Array, targets: Targets) -> Array:
        """Return the unknowns (u, c) that minimise stiffness (k,) and targets together.

        Raises
        ------
        numpy.linalg.LinAlgError
            The system has no solution.
        """
        ...

    def offsets_mm(self, solution: Array) -> Array:
        """Return the (n, c) vertex displacements of a solution."""
        ...

    def stiffness_energy(self, solution: Array, stiffness: Array) -> float:
        """Return the stiffness term of a solution, mm^2."""
        ...


class AffineMaps:
    """One affine map per vertex: optimal-step nonrigid ICP as published.

    Parameters
    ----------
    vertices_mm : (n, 3) float64
    triangles : (m, 3) int
    points : Embedding
        Of Eq. 9.
    rotation_weight : float
        ``gamma``, see `NormalEquations`.
    solver : str
        Backend, see `analyze`.
    """

    def __init__(
        self,
        vertices_mm: Array,
        triangles: Array,
        points: Embedding,
        rotation_weight: float,
        solver: str,
    ) -> None:
        self.equations = NormalEquations(vertices_mm, triangles, points, rotation_weight)
        self.edges = self.equations.edges
        self._analysis = analyze(self.equations.lower, solver)
        self._factor: SparseFactor | None = None

    def solve(self, stiffness: Array, targets: Targets) -> Array:
        """Return the maps (4n, c), see `NormalEquations`."""
        values = self.equations.matrix_values(stiffness, targets.weights, targets.point_weights)
        side = self.equations.right_hand_side(
            targets.pulls_mm, targets.point_weights, targets.point_offsets_mm
        )
        self._factor = self._analysis.factor(values, reuse=self._factor)
        return self._factor.solve(side)

    def offsets_mm(self, solution: Array) -> Array:
        """Return the (n, c) vertex displacements of maps (4n, c)."""
        return self.equations.offsets_mm(solution)

    def stiffness_energy(self, solution: Array, stiffness: Array) -> float:
        """Return the stiffness term of maps (4n, c), mm^2."""
        return self.equations.stiffness_energy(solution, stiffness)
