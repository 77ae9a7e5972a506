"""How a template may deform: the interface that nonrigid ICP uses.

A deformation knows the stiffness term and turns the weighted targets of one iteration into
displacements. There are two: one affine map per vertex (`affine_maps`, the reference) and one
affine map for the face with a displacement per vertex (`membrane`, the fast one).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from fg3d_builder.records import Array

LENGTH_MM = 100.0
"""Unit of the normalised coordinates: about the size of a face, so that linear part and
translation of an affine map weigh alike."""

RIDGE = 1e-9
"""Keeps what no term determines (a flat template's normal direction) at the identity."""


class Targets(NamedTuple):
    """The quadratic data terms of some of the coordinates (c of them).

    Attributes
    ----------
    weights : (n,) float64
        Summed over all terms that pull vertices one by one.
    pulls_mm : (n, c) float64
        Sum over those terms of weight times wanted displacement.
    point_weights : (p,) float64 or None
        Weights of the embedded points of Eq. 9; None leaves it out.
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
