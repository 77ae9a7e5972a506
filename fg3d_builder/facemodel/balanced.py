"""A chart whose scale is even: fine features get their share of the texture."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg

from fg3d_builder.facemodel.chart import disk_chart, mean_value_weights
from fg3d_builder.geometry.meshes import border_edges, signed_areas, triangle_areas
from fg3d_builder.records import Array


def balanced_chart(
    vertices: Array, triangles: Array, rounds: int = 8, exponent: float = 0.5
) -> Array:
    """Flatten a sheet into a circle with less stretch than mean-value coordinates alone.

    Yoshizawa, Belyaev and Seidel (2004): where the chart is stretched, the weights that tie a
    vertex to its neighbours grow, and the linear system is solved again. All weights stay
    positive and the border convex, so no triangle can flip. Rounds stop early where the total
    stretch no longer falls.

    Returns
    -------
    (n, 2) float64
        In [0, 1].
    """
    uv = disk_chart(vertices, triangles)
    weights = mean_value_weights(vertices, triangles)
    free = np.ones(len(vertices), dtype=bool)
    free[np.unique(border_edges(triangles))] = False
    area = triangle_areas(vertices, triangles)
    best, least = uv, _stretch(vertices, triangles, uv, area)[1]
    for _ in range(rounds):
        per_vertex, _ = _stretch(vertices, triangles, uv, area)
        weights = (weights @ sp.diags(per_vertex**-exponent)).tocsr()
        uv = _solved(weights, uv, free)
        total = _stretch(vertices, triangles, uv, area)[1]
        if total >= least or np.any(signed_areas(uv[triangles]) <= 0):
            break
        best, least = uv, total
    return best


def _solved(weights: sp.csr_matrix, uv: Array, free: Array) -> Array:
    inner, outer = np.flatnonzero(free), np.flatnonzero(~free)
    total = np.asarray(weights.sum(axis=1)).ravel()
    matrix = sp.diags(total[inner]) - weights[inner][:, inner]
    solve = scipy.sparse.linalg.factorized(matrix.tocsc())
    right = weights[inner][:, outer] @ uv[outer]
    out = uv.copy()
    out[inner] = np.column_stack([solve(right[:, 0]), solve(right[:, 1])])
    return out


def _stretch(vertices: Array, triangles: Array, uv: Array, area: Array) -> tuple[Array, float]:
    """L2 stretch (Sander et al. 2001) per vertex and in total, for equal overall area."""
    p = [vertices[triangles[:, i]] for i in range(3)]
    q = [uv[triangles[:, i]] for i in range(3)]
    flat = signed_areas(uv[triangles])
    grad_s = sum(p[i] * (q[(i + 1) % 3] - q[(i + 2) % 3])[:, 1:2] for i in range(3))
    grad_t = sum(p[i] * (q[(i + 2) % 3] - q[(i + 1) % 3])[:, 0:1] for i in range(3))
    square = ((grad_s**2).sum(axis=1) + (grad_t**2).sum(axis=1)) / (4 * flat**2) / 2
    share = np.zeros(len(vertices))
    weight = np.zeros(len(vertices))
    for corner in range(3):
        share += np.bincount(triangles[:, corner], weights=area * square, minlength=len(vertices))
        weight += np.bincount(triangles[:, corner], weights=area, minlength=len(vertices))
    return np.sqrt(share / weight), float(np.sqrt((area * square).sum() / area.sum()))
