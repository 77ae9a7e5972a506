"""Blinks that close: MakeHuman's blink, corrected so that the lids of a given face meet.

The facial action moves every vertex by a fixed offset, made for eyes of one size and shape. On
others the lids stay apart or pass each other. Here both lid margins, at full activation, are
moved to the line halfway between them, and the skin around follows smoothly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg

from fg3d_builder.geometry.meshes import undirected_edges
from fg3d_builder.records import Array

BLINKS = {"eyeBlinkLeft": 1, "eyeBlinkRight": 2}
"""Labels of the eyes in `HeadSource.eye` that the actions close."""

REACH_MM = 14.0
"""Skin that is further from the lid margin stays as the action has it."""


def closing_blinks(
    face_mm: Array, actions_mm: Array, names: Sequence[str], triangles: Array, eye: Array
) -> Array:
    """Return facial actions whose blinks close the eyes of a face.

    Parameters
    ----------
    face_mm : (n, 3) float
        Neutral.
    actions_mm : (n, 3, e) float
        Offsets at full activation.
    names : sequence of str
        Of the e actions.
    triangles : (m, 3) int
    eye : (n,) int
        Labels of what lies between the lids: 1 left, 2 right, 0 elsewhere.

    Returns
    -------
    (n, 3, e) float, of the actions' dtype
    """
    out = actions_mm.copy()
    edges = undirected_edges(triangles)
    for name, label in BLINKS.items():
        if name in names:
            number = list(names).index(name)
            closed = face_mm + actions_mm[..., number]
            ring = lid_margin(edges, eye == label)
            out[..., number] += spread(face_mm, edges, ring, meeting(face_mm, closed, ring))
    return out


def lid_margin(edges: Array, inside: Array) -> Array:
    """Return the vertices around those `inside` (n,), by the mesh edges (k, 2)."""
    first, second = edges.T
    from_first = second[inside[first] & ~inside[second]]
    from_second = first[inside[second] & ~inside[first]]
    return np.unique(np.concatenate([from_first, from_second]))


def meeting(open_mm: Array, closed_mm: Array, ring: Array) -> Array:
    """Return the (r, 3) offsets that bring both lids of a closed eye to one line.

    Parameters
    ----------
    open_mm, closed_mm : (n, 3) float
        Before and at the action's full activation.
    ring : (r,) int
        Lid margin.
    """
    margin = open_mm[ring]
    ends = margin[:, 0].argmin(), margin[:, 0].argmax()
    along = margin[ends[1]] - margin[ends[0]]
    share = (margin - margin[ends[0]]) @ along / (along @ along)
    above = (margin - margin[ends[0]] - share[:, None] * along)[:, 1] > 0
    above[list(ends)] = True
    below = ~above
    below[list(ends)] = True
    halves = [_curve(share[half], closed_mm[ring][half]) for half in (above, below)]
    upper, lower = (curve(share) for curve in halves)
    seam = 0.5 * (upper + lower)
    return np.asarray(seam - np.where(above[:, None], upper, lower))


def _curve(share: Array, points_mm: Array):  # type: ignore[no-untyped-def]
    """Piecewise linear curve through points (k, 3) at shares (k,) of the eye's width."""
    order = np.argsort(share)

    def at(where: Array) -> Array:
        return np.stack(
            [np.interp(where, share[order], points_mm[order, axis]) for axis in range(3)], axis=1
        )

    return at


def spread(face_mm: Array, edges: Array, ring: Array, offsets_mm: Array) -> Array:
    """Continue the offsets (r, 3) of a ring of vertices harmonically over the mesh.

    They end `REACH_MM` away from the ring.

    Returns
    -------
    (n, 3) float64
    """
    n = len(face_mm)
    away = np.linalg.norm(face_mm[:, None] - face_mm[ring][None], axis=2).min(axis=1)
    first, second = edges.T
    ones = np.ones(len(edges))
    adjacency = sp.coo_matrix((ones, (first, second)), shape=(n, n))
    adjacency = (adjacency + adjacency.T).tocsr()
    laplacian = sp.diags(np.asarray(adjacency.sum(axis=1)).ravel()) - adjacency
    fixed = away >= REACH_MM
    fixed[ring] = True
    out = np.zeros((n, 3))
    out[ring] = offsets_mm
    free = np.flatnonzero(~fixed)
    side = -(laplacian[free][:, ring] @ offsets_mm)
    solve = scipy.sparse.linalg.factorized(laplacian[free][:, free].tocsc())
    out[free] = np.stack([solve(side[:, axis]) for axis in range(3)], axis=1)
    return out
