"""Features of several faces fused into one, in the gradient domain of the mesh.

Every donor's face is a displacement field from the host's. A fused face is the displacement
whose gradient is, at each place, the gradient of the donor that owns it, and which vanishes
where the face is the host's own::

    sum_edges(ij) c_ij |(d_i - d_j) - sum_p m_p,ij (d^p_i - d^p_j)|^2 + sum_i k_i |d_i|^2

with cotangent weights ``c`` and masks ``m`` that are a smooth partition of unity. So a donor's
nose keeps its form but sits where the host's cheeks allow, and no seam remains: differences of
position between donors are spread instead of cut. The matrix depends on the model alone and is
factored once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numba
import numpy as np
import scipy.sparse as sp

from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.geometry.meshes import undirected_edges, vertex_areas
from fg3d_builder.numerics.sparse_solver import SparseFactor, analyze
from fg3d_builder.records import Array
from fg3d_builder.transform.donors import DONATED_PARTS

BLEND_MM = 6.0
"""Width over which one part's mask fades into the next."""

HOLD_MM = 12.0
"""The host's own region gives way to a displacement over about this length."""

MIN_COTANGENT = 1e-3
"""Slivers would make the smoothness indefinite."""


class PartBlender:
    """Fuses faces of one model.

    Parameters
    ----------
    model : FaceModel
    solver : str
        Sparse backend, see `fg3d_builder.numerics.sparse_solver.analyze`.

    Attributes
    ----------
    masks : dict of str to (n,) float64
        By part of `DONATED_PARTS`, in [0, 1]; the rest to 1 is the host's.
    """

    def __init__(self, model: FaceModel, solver: str) -> None:
        n = model.vertex_count
        edges, weights = cotangent_weights(model.mean, model.triangles)
        self._edges, self._weights = edges, weights
        laplacian = _laplacian(edges, weights, n)
        # Vertices without a triangle have no neighbour to follow.
        mass = np.maximum(vertex_areas(model.mean, model.triangles), 1e-6)
        labels = np.stack([model.parts == PARTS.index(p) for p in DONATED_PARTS], axis=1)
        self._mass = mass
        self._smooth = _factor(laplacian * BLEND_MM**2, mass, solver)
        spread = self.faded(labels)
        self.masks = dict(zip(DONATED_PARTS, spread.T, strict=True))
        own = 1.0 - spread.sum(axis=1)
        # Held where the host owns the place, almost free where donors do.
        hold = mass * np.maximum(own, 0.0) ** 2 / HOLD_MM**2
        self._system = _factor(laplacian, hold + 1e-9 * mass, solver)

    def faded(self, values: Array) -> Array:
        """Return values (n,) or (n, c) in [0, 1] with borders of the width of `BLEND_MM`."""
        weighted = (self._mass * values.T).T
        return np.clip(self._smooth.solve(weighted), 0.0, 1.0)

    def blend(self, host_mm: Array, donors_mm: Mapping[str, Array]) -> Array:
        """Return the (n, 3) fused shape.

        Parameters
        ----------
        host_mm : (n, 3) float64
            Neutral face, object frame.
        donors_mm : mapping of part to (n, 3) float64
            Neutral faces in the host's frame and scale; a part that is missing is the host's.
        """
        side = np.zeros_like(host_mm)
        for part, shape in donors_mm.items():
            _add_gradients(side, self._edges, self._weights, self.masks[part], shape - host_mm)
        return np.asarray(host_mm + self._system.solve(side))


@numba.njit(cache=True, nogil=True)
def _add_gradients(side, edges, weights, mask, moved):  # type: ignore[no-untyped-def]
    """Add the divergence (n, 3) of a displacement's masked and weighted gradient."""
    for e in range(len(edges)):
        i, j = edges[e, 0], edges[e, 1]
        weight = weights[e] * 0.5 * (mask[i] + mask[j])
        if weight == 0.0:
            continue
        for axis in range(3):
            pull = weight * (moved[i, axis] - moved[j, axis])
            side[i, axis] += pull
            side[j, axis] -= pull


def cotangent_weights(vertices: Array, triangles: Array) -> tuple[Array, Array]:
    """Return the (k, 2) edges of a mesh and their (k,) weights ``(cot a + cot b) / 2``.

    With them ``sum w_ij |f_i - f_j|^2`` is the Dirichlet energy of a function on the surface,
    whatever the tessellation. Weights below `MIN_COTANGENT` (obtuse pairs) are raised to it.
    """
    edges = undirected_edges(triangles)
    n = len(vertices)
    keys = edges[:, 0].astype(np.int64) * n + edges[:, 1]
    weights = np.zeros(len(edges))
    for corner in range(3):
        a, b, c = (triangles[:, (corner + i) % 3].astype(np.int64) for i in range(3))
        u, v = vertices[b] - vertices[a], vertices[c] - vertices[a]
        across = np.linalg.norm(np.cross(u, v), axis=1)
        cotangent = np.einsum("md,md->m", u, v) / np.maximum(across, 1e-12)
        key = np.minimum(b, c) * n + np.maximum(b, c)
        np.add.at(weights, np.searchsorted(keys, key), 0.5 * cotangent)
    return edges, np.maximum(weights, MIN_COTANGENT)


def _laplacian(edges: Array, weights: Array, n: int) -> sp.csc_matrix:
    first, second = edges.T
    off = sp.coo_matrix((-weights, (second, first)), shape=(n, n))
    degree = np.bincount(first, weights, n) + np.bincount(second, weights, n)
    return (off + sp.diags(degree)).tocsc()


def _factor(lower: sp.csc_matrix, diagonal: Array, solver: str) -> SparseFactor:
    matrix = (lower + sp.diags(diagonal)).tocsc()
    matrix.sort_indices()
    return analyze(matrix, solver, supernodal=False).factor(matrix.data)
