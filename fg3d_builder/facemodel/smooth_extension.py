"""Smooth fields over a mesh from what is known at some places: bending and stretching energies."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from fg3d_builder.geometry.meshes import vertex_areas
from fg3d_builder.numerics.sparse_solver import analyze
from fg3d_builder.records import Array

# Cotangents of obtuse corners are negative, those of needles without bound.
_COTANGENTS = (0.02, 10.0)
_LEAST_AREA_MM2 = 0.05


def stiffness(vertices_mm: Array, triangles: Array) -> sp.csr_matrix:
    """Return the (n, n) matrix of the Dirichlet energy with cotangent weights."""
    n = len(vertices_mm)
    total = sp.csr_matrix((n, n))
    for corner in range(3):
        i, j, k = (triangles[:, (corner + s) % 3] for s in range(3))
        to_j, to_k = vertices_mm[j] - vertices_mm[i], vertices_mm[k] - vertices_mm[i]
        sine = np.linalg.norm(np.cross(to_j, to_k), axis=1)
        cotangent = np.einsum("md,md->m", to_j, to_k) / np.maximum(sine, 1e-9)
        weight = 0.5 * np.clip(cotangent, *_COTANGENTS)
        total = total + sp.coo_matrix((weight, (j, k)), shape=(n, n))
    both = (total + total.T).tocsr()
    return (sp.diags(np.asarray(both.sum(axis=1)).ravel()) - both).tocsr()


def smoothness(
    vertices_mm: Array, triangles: Array, bending_mm: float, stretching_mm: float
) -> sp.csr_matrix:
    """Return the matrix ``Q`` of a smoothness energy ``d^T Q d`` in mm^2 per squared unit of d.

    ``bending_mm^4 |Laplacian d|^2 + stretching_mm^2 |grad d|^2``, integrated over the surface:
    against data with weight 1 per area, detail finer than these lengths is smoothed away.

    Parameters
    ----------
    vertices_mm : (n, 3) float64
    triangles : (m, 3) int
    bending_mm, stretching_mm : float
    """
    first = stiffness(vertices_mm, triangles)
    area = np.maximum(vertex_areas(vertices_mm, triangles), _LEAST_AREA_MM2)
    second = first.T @ sp.diags(1.0 / area) @ first
    return (bending_mm**4 * second + stretching_mm**2 * first).tocsr()


def extended(energy: sp.csr_matrix, known: Array, values: Array) -> Array:
    """Return the (n, ...) field of least energy with given values at some vertices.

    Parameters
    ----------
    energy : (n, n) csr_matrix
        See `smoothness`; positive definite once the known vertices are fixed.
    known : (s,) int
        Vertices, each once.
    values : (s, ...) float64
    """
    n = energy.shape[0]
    free = np.setdiff1d(np.arange(n), known)
    flat = values.reshape(len(known), -1)
    out = np.zeros((n, flat.shape[1]))
    out[known] = flat
    if len(free):
        rows = energy[free]
        out[free] = solved(rows[:, free], np.asarray(-(rows[:, known] @ flat)))
    return out.reshape(n, *values.shape[1:])


def solved(matrix: sp.csr_matrix, right_hand_side: Array) -> Array:
    """Return ``A^-1 b`` for a symmetric positive definite matrix and (n, k) right-hand sides."""
    lower = sp.tril(matrix, format="csc")
    lower.sort_indices()
    return analyze(lower).factor(lower.data).solve(right_hand_side)
