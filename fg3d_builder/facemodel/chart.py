"""Charts of a sheet by mean-value coordinates (Floater 2003): whole, in part, or balanced.

A balanced chart has an even scale, so that fine features get their share of the texture.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg

from fg3d_builder.facemodel.patches import border_loops
from fg3d_builder.geometry.meshes import (
    border_edges,
    signed_areas,
    triangle_areas,
    undirected_edges,
)
from fg3d_builder.records import Array

_LEAST_LENGTH, _LEAST_SHARE = 1e-6, 1e-9


def relax_chart(uv: Array, vertices: Array, triangles: Array, free: Array) -> Array:
    """Return (n, 2) chart coordinates in which the `free` vertices are laid out anew.

    Every free vertex becomes the mean-value combination of its neighbours, with weights from
    the 3D shape: a slit opens, areas become more like those of the surface. Without flips
    where the fixed surroundings are convex; check with `signed_areas`.

    Parameters
    ----------
    uv : (n, 2) float64
        Values of the free vertices are not used.
    vertices : (n, 3) float64
    triangles : (m, 3) int
    free : (n,) bool
        Inner vertices of the sheet.
    """
    return _laid_out(uv, mean_value_weights(vertices, triangles), free)


def disk_chart(vertices: Array, triangles: Array) -> Array:
    """Return (n, 2) coordinates in [0, 1] that map a sheet with one border into a circle.

    The border goes to the circle by arc length, the rest follows by mean-value coordinates,
    which on a convex border have no flips. Up stays up.

    Raises
    ------
    ValueError
        The mesh has no border or several, or is not one piece.
    """
    loops = border_loops(triangles)
    corners = np.unique(triangles)
    euler = len(corners) - len(undirected_edges(triangles)) + len(triangles)
    if len(loops) != 1 or euler != 1 or len(corners) != len(vertices):
        raise ValueError(f"not one sheet with one border: {len(loops)} borders, Euler {euler}")
    loop = loops[0]
    ring = vertices[loop]
    length = np.linalg.norm(np.roll(ring, -1, axis=0) - ring, axis=1)
    turn = 2 * np.pi * np.concatenate([[0.0], np.cumsum(length)[:-1]]) / length.sum()
    seen = ring[:, :2] - ring[:, :2].mean(axis=0)
    # The rotation that brings the circle closest to the border as seen from the front.
    offset = np.angle(np.sum((seen[:, 0] + 1j * seen[:, 1]) * np.exp(-1j * turn)))
    uv = np.full((len(vertices), 2), 0.5)
    uv[loop] += 0.5 * np.column_stack([np.cos(turn + offset), np.sin(turn + offset)])
    free = np.ones(len(vertices), dtype=bool)
    free[loop] = False
    return np.clip(relax_chart(uv, vertices, triangles, free), 0.0, 1.0)


def balanced_chart(
    vertices: Array,
    triangles: Array,
    rounds: int = 8,
    exponent: float = 0.5,
    detail: float = 0.0,
) -> Array:
    """Flatten a sheet into a circle with less stretch than mean-value coordinates alone.

    Yoshizawa, Belyaev and Seidel (2004): where the chart is stretched, the weights that tie a
    vertex to its neighbours grow, and the linear system is solved again. All weights stay
    positive and the border convex, so no triangle can flip. Rounds stop early where the total
    stretch no longer falls.

    Parameters
    ----------
    vertices : (n, 3) float64
    triangles : (m, 3) int
    rounds : int
        At most.
    exponent : float
        Of the stretch in the weights.
    detail : float
        0 gives every part of the surface its share by area, 1 by its number of triangles; in
        between, lengths count by that power of how fine the mesh is there.

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
    finer = _fineness(area, triangles, len(vertices)) ** detail
    best, least = uv, _stretch(vertices, triangles, uv, area, finer)[1]
    for _ in range(rounds):
        per_vertex, _ = _stretch(vertices, triangles, uv, area, finer)
        weights = (weights @ sp.diags(per_vertex**-exponent)).tocsr()
        uv = _laid_out(uv, weights, free)
        total = _stretch(vertices, triangles, uv, area, finer)[1]
        if total >= least or np.any(signed_areas(uv[triangles]) <= 0):
            break
        best, least = uv, total
    return best


def mean_value_weights(vertices: Array, triangles: Array) -> sp.csr_matrix:
    """Return (n, n) weights ``(tan(a/2) + tan(b/2)) / |edge|``; positive, not symmetric."""
    rows, columns, values = [], [], []
    for corner in range(3):
        i, j, k = (triangles[:, (corner + s) % 3] for s in range(3))
        to_j, to_k = vertices[j] - vertices[i], vertices[k] - vertices[i]
        # Files have triangles without area as well: their weights stay finite.
        length_j = np.maximum(np.linalg.norm(to_j, axis=1), _LEAST_LENGTH)
        length_k = np.maximum(np.linalg.norm(to_k, axis=1), _LEAST_LENGTH)
        # tan(angle / 2) = sin / (1 + cos), stable for flat corners.
        sine = np.linalg.norm(np.cross(to_j, to_k), axis=1)
        both = length_j * length_k
        cosine_more = np.maximum(both + np.einsum("md,md->m", to_j, to_k), _LEAST_SHARE * both)
        half = np.maximum(sine, _LEAST_SHARE * both) / cosine_more
        rows += [i, i]
        columns += [j, k]
        values += [half / length_j, half / length_k]
    n = len(vertices)
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sp.csr_matrix(entries, shape=(n, n))


def _laid_out(uv: Array, weights: sp.csr_matrix, free: Array) -> Array:
    """Put every free vertex at the weighted mean of its neighbours; the others stay."""
    inner = np.flatnonzero(free)
    outer = np.flatnonzero(~free)
    total = np.asarray(weights.sum(axis=1)).ravel()
    laplacian = sp.diags(total[inner]) - weights[inner][:, inner]
    solve = scipy.sparse.linalg.factorized(laplacian.tocsc())
    right = weights[inner][:, outer] @ uv[outer]
    out = np.array(uv, dtype=np.float64)
    out[inner] = np.column_stack([solve(right[:, 0]), solve(right[:, 1])])
    return out


def _fineness(area: Array, triangles: Array, vertex_count: int) -> Array:
    """(m,) how many times shorter the edges around a triangle are than those of the mesh."""
    total, count = np.zeros(vertex_count), np.zeros(vertex_count)
    for corner in range(3):
        total += np.bincount(triangles[:, corner], weights=area, minlength=vertex_count)
        count += np.bincount(triangles[:, corner], minlength=vertex_count)
    around = (total / np.maximum(count, 1))[triangles].mean(axis=1)
    return np.asarray(np.sqrt(area.mean() / around))


def _stretch(
    vertices: Array, triangles: Array, uv: Array, area: Array, finer: Array
) -> tuple[Array, float]:
    """L2 stretch (Sander et al. 2001) per vertex and in total, for equal overall area.

    Lengths within triangle t count `finer[t]` times.
    """
    area = area * finer**2
    p = [vertices[triangles[:, i]] for i in range(3)]
    q = [uv[triangles[:, i]] for i in range(3)]
    flat = signed_areas(uv[triangles])
    grad_s = sum(p[i] * (q[(i + 1) % 3] - q[(i + 2) % 3])[:, 1:2] for i in range(3))
    grad_t = sum(p[i] * (q[(i + 2) % 3] - q[(i + 1) % 3])[:, 0:1] for i in range(3))
    square = ((grad_s**2).sum(axis=1) + (grad_t**2).sum(axis=1)) / (4 * flat**2) / 2
    square = square * finer**2
    share = np.zeros(len(vertices))
    weight = np.zeros(len(vertices))
    for corner in range(3):
        share += np.bincount(triangles[:, corner], weights=area * square, minlength=len(vertices))
        weight += np.bincount(triangles[:, corner], weights=area, minlength=len(vertices))
    return np.sqrt(share / weight), float(np.sqrt((area * square).sum() / area.sum()))
