"""One step of bending a mesh onto another: drawn to closest points and landmarks, smooth.

Amberg et al. (2007) with a bending energy in place of local affinities. Who takes such steps, each
less stiff than the one before, decides which closest points count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from fg3d_builder.facemodel.smooth_extension import smoothness, solved
from fg3d_builder.records import Array


class Marks(NamedTuple):
    """Places of a mesh and where they belong.

    Attributes
    ----------
    sampling : (k, n) csr_matrix
        Takes the mesh's vertices to the places, see `sampling_matrix`.
    wanted_mm : (k, 3) float64
    """

    sampling: sp.csr_matrix
    wanted_mm: Array


def sampling_matrix(
    triangle: Array, barycentric: Array, triangles: Array, count: int
) -> sp.csr_matrix:
    """Return the (k, count) matrix that takes a mesh's vertices to places on its triangles."""
    rows = np.repeat(np.arange(len(triangle)), 3)
    entries = (barycentric.ravel(), (rows, triangles[triangle].ravel()))
    return sp.csr_matrix(entries, shape=(len(triangle), count))


def bent(
    start_mm: Array,
    triangles: Array,
    closest_mm: Array,
    weight_mm2: Array,
    marks: Marks,
    trust_mm2: float | Array,
    bending_mm: float,
    stretching_mm: float,
) -> Array:
    """Return the (n, 3) vertices of a mesh that is bent as little as what draws it allows, mm.

    Parameters
    ----------
    start_mm : (n, 3) float64
        The mesh when it is not bent.
    triangles : (m, 3) int
    closest_mm : (n, 3) float64
        Where each vertex is drawn to.
    weight_mm2 : (n,) float64
        Area that a vertex stands for; 0 where nothing draws it.
    marks : Marks
    trust_mm2 : float or (k,) float64
        Area that each mark stands for.
    bending_mm, stretching_mm : float
        See `smoothness`.
    """
    pull = marks.sampling.T @ sp.diags(np.broadcast_to(trust_mm2, len(marks.wanted_mm)))
    energy = smoothness(start_mm, triangles, bending_mm, stretching_mm)
    right = weight_mm2[:, None] * (closest_mm - start_mm)
    right = right + pull @ (marks.wanted_mm - marks.sampling @ start_mm)
    system = energy + sp.diags(weight_mm2) + pull @ marks.sampling
    return np.asarray(start_mm + solved(system.tocsr(), np.asarray(right)))
