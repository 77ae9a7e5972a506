"""Landmarks, contour lines, parts and masks of a donor, carried over to another face sheet."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from fg3d_builder.facemodel.model import PARTS, Embedding
from fg3d_builder.facemodel.showing import nearest_on_surface
from fg3d_builder.facemodel.transfer.correspondence import BentDonor, Correspondence
from fg3d_builder.geometry.meshes import surface_points, undirected_edges
from fg3d_builder.landmarks.edges import IBUG, MEDIAPIPE, MEDIAPIPE_CURVES
from fg3d_builder.records import Array

_LIPS_REACH_MM = 30.0
_LINE_WIDTH_MM = 3.0
_LINE_BESIDE_MM = 4.0
_ON_DONOR_MM = 3.0
UPPER_INNER_LIP, LOWER_INNER_LIP = slice(11, 20), slice(1, 10)
"""Points of MediaPipe's inner lips that are on the upper and on the lower lip."""

_OUTER_LIPS = MEDIAPIPE_CURVES["outer_lips"].points
_INNER_LIPS = MEDIAPIPE_CURVES["inner_lips"].points
_LIPS = {
    MEDIAPIPE: (
        (*_OUTER_LIPS[11:20], *_INNER_LIPS[UPPER_INNER_LIP]),
        (*_OUTER_LIPS[1:10], *_INNER_LIPS[LOWER_INNER_LIP]),
    ),
    IBUG: ((49, 50, 51, 52, 53, 61, 62, 63), (55, 56, 57, 58, 59, 65, 66, 67)),
}
"""Points of the upper and of the lower lip, without the corners of the mouth."""


class Sheet(NamedTuple):
    """A closed face sheet of a file.

    Attributes
    ----------
    vertices_mm : (n, 3) float64
    triangles : (m, 3) int32
    file_triangles : int
        So many of the first triangles are the file's; the others close openings.
    mouth_rims : (u,) and (l,) int32
        Upper and lower rim of the mouth's opening; empty where the lips are one surface.
    """

    vertices_mm: Array
    triangles: Array
    file_triangles: int
    mouth_rims: tuple[Array, Array]

    @property
    def closes(self) -> Array:
        """(n,) vertices that no triangle of the file has."""
        out = np.ones(len(self.vertices_mm), dtype=bool)
        out[self.triangles[: self.file_triangles]] = False
        return out

    def spots(self, points_mm: Array, allowed: Array | None = None) -> tuple[Array, Array]:
        """Return triangle (k,) and barycentric (k, 3) of the nearest places on the file's part."""
        of_file = np.arange(len(self.triangles)) < self.file_triangles
        if allowed is not None and np.any(allowed & of_file):
            of_file &= allowed
        found = nearest_on_surface(points_mm, self.vertices_mm, self.triangles, of_file)
        return found.triangle, found.barycentric

    def nearest(self, points_mm: Array) -> Array:
        """Return the nearest places (k, 3) on the file's part, mm."""
        return surface_points(self.vertices_mm, self.triangles, *self.spots(points_mm))


def carried_embedding(scheme: str, sheet: Sheet, bent: BentDonor) -> Embedding:
    """Return the places of the donor's points of a scheme on the sheet.

    A point of one lip comes to that lip, also where both touch.
    """
    known = bent.donor.embeddings[scheme]
    points = surface_points(bent.points_mm, bent.donor.triangles, known.triangle, known.barycentric)
    triangle, barycentric = sheet.spots(points)
    for numbers, allowed in zip(_LIPS[scheme], _lip_sides(sheet), strict=True):
        rows = np.flatnonzero(np.isin(known.point_index, numbers))
        triangle[rows], barycentric[rows] = sheet.spots(points[rows], allowed)
    return Embedding(known.point_index.copy(), triangle.astype(np.int32), barycentric)


def with_vertices(embedding: Embedding, sheet: Sheet, places: dict[int, Array]) -> Embedding:
    """Return an embedding with some points at other places: number -> (3,) position, mm."""
    if not places:
        return embedding
    triangle, barycentric = sheet.spots(np.array(list(places.values())))
    others = embedding.subset(np.setdiff1d(embedding.point_index, list(places)))
    number = np.concatenate([others.point_index, np.array(list(places), np.int32)])
    order = np.argsort(number, kind="stable")
    return Embedding(
        number[order].astype(np.int32),
        np.concatenate([others.triangle, triangle])[order].astype(np.int32),
        np.concatenate([others.barycentric, barycentric])[order],
    )


def _lip_sides(sheet: Sheet) -> tuple[Array | None, Array | None]:
    """(m,) triangles nearer, over the surface, to the upper than to the lower rim; the others."""
    if not len(sheet.mouth_rims[0]):
        return None, None
    upper, lower = (rim[1:-1] for rim in sheet.mouth_rims)
    of_file = sheet.triangles[: sheet.file_triangles]
    above, below = lip_sides(sheet.vertices_mm, of_file, upper, lower)
    corners = sheet.triangles
    return np.all(above[corners], axis=1), np.all(below[corners], axis=1)


def lip_sides(
    vertices_mm: Array,
    triangles: Array,
    upper: Array,
    lower: Array,
    reach_mm: float = _LIPS_REACH_MM,
) -> tuple[Array, Array]:
    """Return the vertices (n,) that may belong to the upper lip, and those to the lower one.

    Near the mouth those are nearer, over the surface, to the `upper` vertices than to the
    `lower` ones, or the other way round; what is further than `reach_mm` from both is both.
    """
    graph = edge_graph(vertices_mm, triangles)
    to_upper, to_lower = (
        dijkstra(graph, directed=False, indices=rim, min_only=True, limit=reach_mm)
        for rim in (upper, lower)
    )
    far = np.isinf(to_upper) & np.isinf(to_lower)
    return (to_upper < to_lower) | far, (to_lower < to_upper) | far


def edge_graph(vertices_mm: Array, triangles: Array) -> sp.csr_matrix:
    """(n, n) lengths of a mesh's edges, each once."""
    edges = undirected_edges(triangles)
    length = np.linalg.norm(vertices_mm[edges[:, 0]] - vertices_mm[edges[:, 1]], axis=1)
    size = len(vertices_mm)
    return sp.csr_matrix((np.maximum(length, 1e-6), (edges[:, 0], edges[:, 1])), shape=(size, size))


def carried_lines(sheet: Sheet, bent: BentDonor) -> tuple[Array, ...]:
    """Return the donor's contour lines as paths along the sheet's edges.

    A line that leaves the sheet ends at its border; one that is beside it is left out.
    """
    edges = undirected_edges(sheet.triangles[: sheet.file_triangles])
    points = sheet.vertices_mm
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    file_vertices = np.flatnonzero(~sheet.closes)
    nearest = cKDTree(points[file_vertices])
    edge_mm = float(np.median(length))
    lines = []
    for line in bent.donor.contour_lines:
        dense = _dense(bent.points_mm[line])
        at = sheet.nearest(dense)
        on_sheet = np.linalg.norm(at - dense, axis=1) < _LINE_BESIDE_MM
        on_sheet &= np.cumsum(~on_sheet) == np.cumsum(~on_sheet)[np.argmax(on_sheet)]
        if on_sheet.sum() < 2:
            continue
        way = at[on_sheet]
        aside = cKDTree(way).query(points)[0]
        width = max(_LINE_WIDTH_MM, edge_mm)
        cost = length * (1.0 + (aside[edges].sum(axis=1) / width) ** 2)
        graph = sp.csr_matrix((cost, (edges[:, 0], edges[:, 1])), shape=(len(points),) * 2)
        start, end = (int(file_vertices[nearest.query(way[i])[1]]) for i in (0, -1))
        path = _path(graph, start, end)
        if len(path) > 1:
            lines.append(np.array(path, dtype=np.int32))
    return tuple(lines)


def carried_parts(places: Correspondence, bent: BentDonor) -> Array:
    """(n,) uint8 part of each vertex: that of most of its place on the donor."""
    donor = bent.donor
    label = np.zeros(len(bent.points_mm), dtype=np.int64)
    label[: donor.vertex_count] = donor.parts
    each = np.eye(len(PARTS))[label]
    return places.carried(each, bent.head.triangles).argmax(axis=1).astype(np.uint8)


def carried_masks(places: Correspondence, bent: BentDonor, closes: Array) -> tuple[Array, Array]:
    """(n,) rigid and (n,) reliable vertices; none that closes an opening or is off the donor."""
    donor = bent.donor
    both = np.zeros((len(bent.points_mm), 2))
    both[: donor.vertex_count] = np.column_stack([donor.rigid, donor.reliable])
    share = places.carried(both, bent.head.triangles)
    reliable = (share[:, 1] > 0.5) & ~closes & (places.distance_mm < _ON_DONOR_MM)
    return reliable & (share[:, 0] > 0.5), reliable


def _dense(line_mm: Array, step_mm: float = 1.0) -> Array:
    """Points along a polyline, its own among them."""
    pieces = [line_mm[:1]]
    for a, b in pairwise(line_mm):
        count = max(1, round(float(np.linalg.norm(b - a)) / step_mm))
        pieces.append(a + (b - a) * (np.arange(1, count + 1) / count)[:, None])
    return np.concatenate(pieces)


def _path(graph: sp.csr_matrix, start: int, end: int) -> list[int]:
    before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)[1]
    path = [end]
    while path[-1] != start:
        previous = int(before[path[-1]])
        if previous < 0:
            return []
        path.append(previous)
    return path[::-1]
