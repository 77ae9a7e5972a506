"""From the control mesh to the working mesh: Loop surface, even vertex spacing, clean border.

The surface is Loop's. Its vertices are a subset of the twice-subdivided control mesh: an edge
is split only where it is long, so that a forehead of 12 mm quads and a mouth corner of 1 mm
quads end up with similar resolution. The face is then cut out along a smooth closed curve.
Everything is linear in the control vertices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from fg3d_builder.heads.subdivision import loop_step, numbered_edges, split_triangles
from fg3d_builder.records import Array


@dataclass(frozen=True)
class Refined:
    """A triangle mesh and the matrix that makes its vertices from those of another mesh.

    Attributes
    ----------
    triangles : (m, 3) int64
    matrix : (n, c) csr_matrix
    origin : (n,) int64
        Vertex of the other mesh that a vertex descends from; -1 for new vertices.
    """

    triangles: Array
    matrix: sp.csr_matrix
    origin: Array


def refine(
    triangles: Array, points_mm: Array, longest_mm: float, longest_again_mm: Array
) -> Refined:
    """Split long edges once or twice and put every vertex on Loop's surface.

    Parameters
    ----------
    triangles : (m, 3) int
    points_mm : (c, 3) float
        Vertices, from which edge lengths are measured.
    longest_mm : float
        Edges longer than this are split in the first step.
    longest_again_mm : (c,) float
        The longest edge around every vertex in the second step.
    """
    count = len(points_mm)
    first, edges, triangle_edges = loop_step(triangles, count)
    points = first @ points_mm
    middle = count + np.arange(len(edges))
    length = np.linalg.norm(points_mm[edges[:, 0]] - points_mm[edges[:, 1]], axis=1)
    full = split_triangles(triangles, triangle_edges, np.ones(len(edges), bool), middle, length)
    partial = split_triangles(triangles, triangle_edges, length > longest_mm, middle, length)

    # A new edge that only the partial mesh has is not an edge of the uniform one: it stays.
    second, fine_edges, _ = loop_step(full, len(points))
    current, partial_edges = numbered_edges(partial)
    fine_length = np.linalg.norm(points[current[:, 0]] - points[current[:, 1]], axis=1)
    key, fine_key = (e[:, 0] * len(points) + e[:, 1] for e in (current, fine_edges))
    place = np.minimum(np.searchsorted(fine_key, key), len(fine_key) - 1)
    known = fine_key[place] == key
    longest = np.concatenate([longest_again_mm, longest_again_mm[edges].mean(axis=1)])
    split = known & (fine_length > longest[current].mean(axis=1))
    out = split_triangles(partial, partial_edges, split, len(points) + place, fine_length)
    used, numbered = np.unique(out, return_inverse=True)
    matrix = (second @ first)[used]
    return Refined(numbered.reshape(-1, 3), matrix.tocsr(), np.where(used < count, used, -1))


def cut_along(triangles: Array, field: Array, points_mm: Array, snap: float) -> Refined:
    """Cut a mesh along the zero line of a field.

    A vertex slides along an edge to a zero crossing within the share `snap` of that edge; the
    remaining crossings become new vertices. Afterwards no triangle has
    vertices on both sides.

    Parameters
    ----------
    triangles : (m, 3) int
    field : (n,) float
        Negative inside.
    points_mm : (n, 3) float
        Used to choose diagonals.
    snap : float
        Share of an edge, below 0.5.

    Returns
    -------
    Refined
        Its `matrix` is (n + k, n): the moved and the new vertices.
    """
    n = len(field)
    all_edges, triangle_edges = numbered_edges(triangles)
    edges = all_edges[field[all_edges[:, 0]] * field[all_edges[:, 1]] < 0]
    share = field[edges[:, 0]] / (field[edges[:, 0]] - field[edges[:, 1]])

    slide_to = np.full(n, -1)
    slide_by = np.full(n, np.inf)
    for near, far, t in ((0, 1, share), (1, 0, 1 - share)):
        for vertex, other, part in zip(edges[:, near], edges[:, far], t, strict=True):
            if part < min(snap, slide_by[vertex]):
                slide_by[vertex], slide_to[vertex] = part, other
    slid = slide_to >= 0
    part = np.where(slid, slide_by, 0.0)
    rows = np.arange(n)
    moved = sp.coo_matrix(
        (
            np.concatenate([1 - part, part[slid]]),
            (np.concatenate([rows, rows[slid]]), np.concatenate([rows, slide_to[slid]])),
        ),
        shape=(n, n),
    ).tocsr()

    value = np.where(slid, 0.0, field)
    ends = value[all_edges]
    split = ends[:, 0] * ends[:, 1] < 0
    new = all_edges[split]
    t = ends[split, 0] / (ends[split, 0] - ends[split, 1])
    k = len(new)
    inserted = sp.coo_matrix(
        (
            np.concatenate([1 - t, t]),
            (np.tile(np.arange(k), 2), np.concatenate([new[:, 0], new[:, 1]])),
        ),
        shape=(k, n),
    ).tocsr()
    number = np.full(len(all_edges), -1)
    number[split] = n + np.arange(k)
    length = np.linalg.norm(points_mm[all_edges[:, 0]] - points_mm[all_edges[:, 1]], axis=1)
    out = split_triangles(triangles, triangle_edges, split, number, length)
    origin = np.concatenate([np.arange(n), np.full(k, -1)])
    return Refined(out, sp.vstack([moved, inserted @ moved]).tocsr(), origin)
