"""Closes all holes of a face sheet: eyes and mouth by rows of new vertices, others without any.

New vertices are linear in those of their hole's rim, so that every mode of the model moves them
with it; what they stand out or lie back by is added to the mean.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from fg3d_builder.facemodel.patches import Patch, border_loops, close_opening, heights_on_surface
from fg3d_builder.facemodel.transfer.correspondence import BentDonor
from fg3d_builder.geometry.meshes import vertex_adjacency
from fg3d_builder.records import Array

EYE_ROWS, MOUTH_ROWS = 5, 3
_NEAR_OPENING_MM = 8.0
_LEAST_OPENING_MM = 2.0
_MORE_THAN_DONOR_MM = 3.0
_POCKET_MM = 2.0
_SHORTEST_RIM = 4
_ALL_WAYS = 60
"""Rims of up to so many vertices are closed by the least area; longer ones are zipped."""


class Closing(NamedTuple):
    """What closes the holes of a sheet of n vertices.

    Attributes
    ----------
    triangles : (t, 3) int32
        New vertices are numbered from n.
    weights : (k, n) sparse float64
        New vertices as combinations of the old ones; rows sum to 1.
    offset_mm : (k, 3) float64
        Added to the new vertices of the mean.
    opening : (k, n) sparse float64
        Relative change of the offset's z with the old vertices' y: an eyeball's bulge goes with
        the height of the opening, so that it vanishes under closed lids.
    kind : (k,) int64
        0 for an eye, 1 for the mouth.
    mouth_rims : (u,) and (l,) int32
        Upper and lower rim of the mouth; empty where it has no hole.
    """

    triangles: Array
    weights: sp.csr_matrix
    offset_mm: Array
    opening: sp.csr_matrix
    kind: Array
    mouth_rims: tuple[Array, Array]

    def of_mean(self, vertices_mm: Array) -> Array:
        """Return the (k, 3) new vertices of the shape that the holes were closed on."""
        return np.asarray(self.weights @ vertices_mm + self.offset_mm)

    def of_basis(self, basis: Array) -> Array:
        """Return the (k, 3, d) displacements of the new vertices in modes (n, 3, d)."""
        n, _, modes = basis.shape
        flat = basis.reshape(n, 3 * modes)
        moved = np.asarray(self.weights @ flat).reshape(len(self.offset_mm), 3, modes)
        moved[:, 2] += self.offset_mm[:, 2:] * np.asarray(self.opening @ basis[:, 1])
        return moved


def closed_holes(
    vertices_mm: Array,
    triangles: Array,
    bent: BentDonor,
    eyeballs: tuple[Array, Array] | None = None,
) -> Closing:
    """Close all borders of a sheet but the longest.

    Parameters
    ----------
    vertices_mm : (n, 3) float64
    triangles : (m, 3) int32
        One piece whose borders meet in no vertex.
    bent : BentDonor
        The donor on this head: its eyes say where eyes are, and how far they stand out.
    eyeballs : ((e, 3) float64, (f, 3) int), optional
        The model's own eyes, which count instead, as far as they are not far before that.
    """
    n = len(vertices_mm)
    loops = sorted(border_loops(triangles), key=lambda loop: loop_length(vertices_mm[loop]))
    eye_mm, mouth_mm = bent.from_openings_mm()
    face = (bent.points_mm, bent.donor.triangles)
    parts: list[_Part] = []
    rims = (np.zeros(0, np.int32), np.zeros(0, np.int32))
    for loop in loops[:-1]:
        places = bent.under(vertices_mm[loop])
        to_eye, to_mouth = (
            float(np.median(places.carried(values, bent.head.triangles)))
            for values in (eye_mm, mouth_mm)
        )
        shortest = min(len(side) for side in _rims(vertices_mm, loop))
        if min(to_eye, to_mouth) > _NEAR_OPENING_MM or shortest < _SHORTEST_RIM:
            parts.append(_Part(covered_rim(vertices_mm, loop, triangles)))
        elif to_eye < to_mouth:
            parts.append(_eye(vertices_mm, loop, face, eyeballs))
        else:
            parts.append(_mouth(vertices_mm, loop))
            rims = _rims(vertices_mm, loop)
    return _joined(parts, n, rims)


class _Part(NamedTuple):
    triangles: Array
    patch: Patch | None = None
    offset_mm: Array = np.zeros((0, 3))
    follows: bool = False
    kind: int = 0


def _eye(
    vertices_mm: Array,
    loop: Array,
    donor: tuple[Array, Array],
    eyeballs: tuple[Array, Array] | None,
) -> _Part:
    patch = close_opening(vertices_mm, loop, EYE_ROWS)
    flat = patch.weights @ vertices_mm
    offset = np.zeros_like(flat)
    offset[:, 2] = _bulge_mm(flat, donor)
    if eyeballs is not None:
        # What a file counts to its eyes may have lashes, which are not to stand out.
        own = _bulge_mm(flat, eyeballs)
        offset[:, 2] = np.minimum(own, offset[:, 2] + _MORE_THAN_DONOR_MM)
    upper, lower = _rims(vertices_mm, loop)
    height = float(vertices_mm[upper, 1].mean() - vertices_mm[lower, 1].mean())
    return _Part(patch.triangles, patch, offset, height > _LEAST_OPENING_MM, 0)


def _bulge_mm(flat: Array, surface: tuple[Array, Array]) -> Array:
    """(k,) how far a surface stands out along z before points (k, 3) of an eye's opening."""
    behind = np.array([5.0, 5.0, 25.0])
    corners = surface[0][surface[1]]
    low, high = flat.min(axis=0) - behind, flat.max(axis=0) + behind
    near = np.all((corners > low) & (corners < high), axis=(1, 2))
    if not near.any():
        return np.zeros(len(flat))
    ball = heights_on_surface(flat[:, :2], surface[0], surface[1][near])
    return np.maximum(np.nan_to_num(ball, nan=-np.inf) - flat[:, 2], 0.0)


def _mouth(vertices_mm: Array, loop: Array) -> _Part:
    patch = close_opening(vertices_mm, loop, MOUTH_ROWS)
    columns = len(patch.bulge_mm) // MOUTH_ROWS
    # Closed lips touch: between them the patch goes back, or it had no area.
    across = np.sin(np.pi * np.arange(1, MOUTH_ROWS + 1) / (MOUTH_ROWS + 1))
    along = np.sin(np.pi * np.arange(1, columns + 1) / (columns + 1)) ** 0.5
    offset = np.zeros((len(patch.bulge_mm), 3))
    offset[:, 2] = -_POCKET_MM * np.outer(across, along).ravel()
    return _Part(patch.triangles, patch, offset, False, 1)


def _rims(vertices_mm: Array, loop: Array) -> tuple[Array, Array]:
    """Upper and lower side of an opening, as `close_opening` sees them."""
    loop = np.roll(loop, -int(np.argmin(vertices_mm[loop, 0])))
    last = int(np.argmax(vertices_mm[loop, 0]))
    return loop[: last + 1], np.append(loop[0], loop[last:][::-1])


def covered_rim(vertices_mm: Array, loop: Array, triangles: Array) -> Array:
    """Return triangles (t, 3) over a hole, without new vertices.

    Those of least area, with no edge that the mesh has already; between the two halves of the
    rim, zipped up from one end, where it is long.

    Parameters
    ----------
    vertices_mm : (n, 3) float64
    loop : (p,) int
        One of `border_loops`.
    triangles : (m, 3) int
        The mesh around the hole.
    """
    ring = loop[::-1]
    if len(ring) <= _ALL_WAYS:
        return _least_area(vertices_mm, ring, triangles)
    points = vertices_mm[ring]
    apart = np.linalg.norm(points[:, None] - points, axis=2)
    first, opposite = divmod(int(np.argmax(apart)), len(ring))
    ring = np.roll(ring, -first)
    last = (opposite - first) % len(ring)
    one, other = list(range(last + 1)), [0, *range(len(ring) - 1, last - 1, -1)]
    added = []
    while len(one) > 1 or len(other) > 1:
        a, b = ring[one[0]], ring[other[0]]
        ahead = [vertices_mm[ring[side[1]]] if len(side) > 1 else None for side in (one, other)]
        step_one = ahead[1] is None or (
            ahead[0] is not None
            and np.linalg.norm(ahead[0] - vertices_mm[b])
            <= np.linalg.norm(ahead[1] - vertices_mm[a])
        )
        side = one if step_one else other
        corners = [a, ring[side[1]], b]
        side.pop(0)
        if len(set(corners)) == 3:
            added.append(corners)
    return np.array(added, dtype=np.int32)


def _least_area(vertices_mm: Array, ring: Array, triangles: Array) -> Array:
    """Triangulation of a closed polygon in space with the least area (Barequet, Sharir 1995)."""
    k, points = len(ring), vertices_mm[ring]
    least = np.zeros((k, k))
    choice = np.zeros((k, k), dtype=int)
    there = vertex_adjacency(triangles, len(vertices_mm))[ring][:, ring].toarray() > 0
    for span in range(2, k):
        for i in range(k - span):
            j = i + span
            middle = np.arange(i + 1, j)
            area = 0.5 * np.linalg.norm(
                np.cross(points[middle] - points[i], points[j] - points[i]), axis=1
            )
            total = least[i, middle] + least[middle, j] + area
            choice[i, j] = middle[int(np.argmin(total))]
            # An edge that the mesh has already would get a third triangle.
            taken = there[i, j] and span < k - 1
            least[i, j] = np.inf if taken else total.min()
    added, open_sides = [], [(0, k - 1)]
    while open_sides:
        i, j = open_sides.pop()
        if j - i >= 2:
            m = int(choice[i, j])
            added.append([ring[i], ring[m], ring[j]])
            open_sides += [(i, m), (m, j)]
    return np.array(added, dtype=np.int32)


def _joined(parts: list[_Part], n: int, rims: tuple[Array, Array]) -> Closing:
    """Number the new vertices of all parts one after the other."""
    triangles, weights, offsets, openings, kinds = [], [], [], [], []
    following = n
    for part in parts:
        corners = part.triangles
        if part.patch is not None:
            k = part.patch.weights.shape[0]
            corners = corners + np.where(corners >= n, following - n, 0)
            following += k
            weights.append(part.patch.weights)
            offsets.append(part.offset_mm)
            opening = part.patch.opening if part.follows else np.zeros(n)
            openings.append(sp.csr_matrix(np.ones((k, 1))) @ sp.csr_matrix(opening))
            kinds.append(np.full(k, part.kind))
        triangles.append(corners)
    nothing = sp.csr_matrix((0, n))
    return Closing(
        np.concatenate([np.zeros((0, 3), np.int32), *triangles]).astype(np.int32),
        sp.vstack([nothing, *weights]).tocsr(),
        np.concatenate([np.zeros((0, 3)), *offsets]),
        sp.vstack([nothing, *openings]).tocsr(),
        np.concatenate([np.zeros(0, np.int64), *kinds]),
        rims,
    )


def loop_length(ring_mm: Array) -> float:
    """Return the length of a closed polyline (p, 3), mm."""
    return float(np.linalg.norm(np.roll(ring_mm, -1, axis=0) - ring_mm, axis=1).sum())
