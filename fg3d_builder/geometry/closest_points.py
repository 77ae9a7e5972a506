"""Exact closest points on raw scans: among their vertices, or on their triangles.

An index is built once per scan and asked for every reconstruction of it. Triangles are found
without tables over space: a triangle whose corners are within ``r`` of its centroid cannot be
nearer to a point than the centroid less ``r``, so going through centroids by distance may stop
as soon as that bound passes the nearest triangle found. Triangles are kept in classes of like
``r``, since a single long one would otherwise loosen the bound of all.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from scipy.spatial import cKDTree

from fg3d_builder.records import Array

_FIRST_NEIGHBOURS = 8
# Candidate triangles that are looked at together; bounds the memory of a query.
_CANDIDATES_AT_ONCE = 1 << 19
# Below this ratio of height to length a triangle's normal is noise: its edges take its place.
SLIVER = 1e-9


class Closest(NamedTuple):
    """Closest points of a scan.

    Attributes
    ----------
    points_mm : (k, 3) float64
    distance_mm : (k,) float64
    corners : (k, 3) int64
        Vertices of the triangle; three times the same where vertices were asked for.
    barycentric : (k, 3) float64
    """

    points_mm: Array
    distance_mm: Array
    corners: Array
    barycentric: Array


class Scan(Protocol):
    """What Eq. 20 needs of a raw scan."""

    @property
    def vertex_count(self) -> int:
        """Vertices of the scan."""

    def closest(self, points_mm: Array) -> Closest:
        """Find the closest points of (k, 3) points."""


class ScanVertices:
    """A scan as the set of its vertices, as the paper has it.

    Parameters
    ----------
    vertices_mm : (n, 3) float

    Raises
    ------
    ValueError
        For no vertices or vertices that are not finite.
    """

    def __init__(self, vertices_mm: Array) -> None:
        self._vertices = checked_points(vertices_mm, "scan")
        self._tree = cKDTree(self._vertices)

    @property
    def vertex_count(self) -> int:
        """Vertices of the scan."""
        return len(self._vertices)

    def closest(self, points_mm: Array) -> Closest:
        """Find the nearest vertices of (k, 3) points."""
        distance, index = self._tree.query(checked_points(points_mm, "points", may_be_empty=True))
        corners = np.repeat(np.asarray(index, dtype=np.int64)[:, None], 3, axis=1)
        weights = np.tile([1.0, 0.0, 0.0], (len(index), 1))
        return Closest(self._vertices[index], np.asarray(distance), corners, weights)


class ScanSurface:
    """A scan as a surface of triangles.

    Parameters
    ----------
    vertices_mm : (n, 3) float
        Vertices that no triangle uses may be anything.
    triangles : (m, 3) int
        In any orientation; degenerate ones count as the segment or point that they are.

    Raises
    ------
    ValueError
        For no triangles, vertices that do not exist or are not finite.
    """

    def __init__(self, vertices_mm: Array, triangles: Array) -> None:
        vertices = np.asarray(vertices_mm, dtype=np.float64)
        faces = np.asarray(triangles)
        if faces.ndim != 2 or faces.shape[1] != 3 or len(faces) == 0:
            raise ValueError(f"scan: wanted (m, 3) triangles, m > 0, got shape {faces.shape}")
        if vertices.ndim != 2 or vertices.shape[1] != 3:
            raise ValueError(f"scan: wanted (n, 3) vertices, got shape {vertices.shape}")
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise ValueError(f"scan: triangles name vertices beyond the {len(vertices)} there are")
        self._count = len(vertices)
        self._faces = faces.astype(np.int64)
        self._soup = vertices[self._faces]
        if not np.all(np.isfinite(self._soup)):
            raise ValueError("scan: triangles have vertices that are not finite")
        centroid = self._soup.mean(axis=1)
        radius = np.linalg.norm(self._soup - centroid[:, None], axis=2).max(axis=1)
        self._classes = _radius_classes(centroid, radius)

    @property
    def vertex_count(self) -> int:
        """Vertices of the scan."""
        return self._count

    def closest(self, points_mm: Array) -> Closest:
        """Find the closest points of the triangles for (k, 3) points."""
        points = checked_points(points_mm, "points", may_be_empty=True)
        squared = np.full(len(points), np.inf)
        triangle = np.zeros(len(points), dtype=np.int64)
        weights = np.zeros((len(points), 3))
        for group in self._classes:
            self._search(group, points, squared, triangle, weights)
        found = np.einsum("kc,kcd->kd", weights, self._soup[triangle])
        return Closest(found, np.sqrt(squared), self._faces[triangle], weights)

    def _search(
        self, group: _RadiusClass, points: Array, squared: Array, triangle: Array, weights: Array
    ) -> None:
        """Update each point's nearest triangle from one class, in place."""
        active = np.arange(len(points))
        known, wanted = 0, _FIRST_NEIGHBOURS
        while len(active) and known < len(group.triangle):
            last = min(wanted, len(group.triangle))
            unfinished = []
            for rows in np.array_split(active, -(-len(active) * last // _CANDIDATES_AT_ONCE)):
                apart, near = group.tree.query(points[rows], k=np.arange(known + 1, last + 1))
                # Where even the best case is farther than the nearest so far, nothing is gained.
                hopeful = apart - group.radius < np.sqrt(squared[rows])[:, None]
                row, column = np.nonzero(hopeful)
                self._improve(
                    rows[row],
                    group.triangle[near[row, column]],
                    points,
                    squared,
                    triangle,
                    weights,
                )
                more = apart[:, -1] - group.radius < np.sqrt(squared[rows])
                unfinished.append(rows[more])
            active = np.concatenate(unfinished)
            known, wanted = last, 2 * last

    def _improve(
        self,
        rows: Array,
        candidates: Array,
        points: Array,
        squared: Array,
        triangle: Array,
        weights: Array,
    ) -> None:
        """Compare points `rows` with the triangles `candidates` one to one; keep the nearest."""
        if len(rows) == 0:
            return
        barycentric = closest_on_triangles(points[rows], self._soup[candidates])
        foot = np.einsum("kc,kcd->kd", barycentric, self._soup[candidates])
        length = ((foot - points[rows]) ** 2).sum(axis=1)
        # Of several candidates of one point, the nearest comes first.
        order = np.lexsort((length, rows))
        first = order[np.unique(rows[order], return_index=True)[1]]
        first = first[length[first] < squared[rows[first]]]
        squared[rows[first]] = length[first]
        triangle[rows[first]] = candidates[first]
        weights[rows[first]] = barycentric[first]


class _RadiusClass(NamedTuple):
    """Triangles of like size: their numbers, the tree over their centroids, largest radius."""

    triangle: Array
    tree: cKDTree
    radius: float


def _radius_classes(centroid: Array, radius: Array) -> list[_RadiusClass]:
    """Split triangles by the powers of two of their radii, small and most frequent first."""
    typical = max(float(np.median(radius)), float(np.finfo(np.float64).tiny))
    level = np.ceil(np.log2(np.maximum(radius / typical, 1.0))).astype(int)
    classes = []
    for number in np.unique(level):
        member = np.flatnonzero(level == number)
        classes.append(_RadiusClass(member, cKDTree(centroid[member]), float(radius[member].max())))
    return classes


def closest_on_triangles(points: Array, corners: Array) -> Array:
    """Return the (k, 3) barycentric coordinates of the closest points, one triangle per point.

    Parameters
    ----------
    points : (k, 3) float64
    corners : (k, 3, 3) float64
        Corner c of triangle k is ``corners[k, c]``; any triangle, also a degenerate one.
    """
    best = np.zeros((len(points), 3))
    least = np.full(len(points), np.inf)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        along = corners[:, end] - corners[:, start]
        offset = points - corners[:, start]
        length = _dot(along, along)
        share = np.divide(_dot(offset, along), length, out=np.zeros_like(length), where=length > 0)
        share = np.clip(share, 0.0, 1.0)
        away = offset - share[:, None] * along
        squared = _dot(away, away)
        nearer = squared < least
        least[nearer] = squared[nearer]
        best[nearer] = 0.0
        best[nearer, start] = 1.0 - share[nearer]
        best[nearer, end] = share[nearer]
    inside, coordinates = _foot_of_perpendicular(points, corners)
    best[inside] = coordinates[inside]
    return best


def _foot_of_perpendicular(points: Array, corners: Array) -> tuple[Array, Array]:
    """Whether (k,) and where (k, 3) the perpendicular onto each plane meets its triangle."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    offset = points - corners[:, 0]
    normal = np.cross(first, second)
    area = _dot(normal, normal)
    longest = np.maximum(_dot(first, first), _dot(second, second))
    proper = area > (SLIVER * longest) ** 2
    divisor = np.where(proper, area, 1.0)
    v = _dot(np.cross(offset, second), normal) / divisor
    w = _dot(np.cross(first, offset), normal) / divisor
    coordinates = np.stack([1.0 - v - w, v, w], axis=1)
    return proper & np.all(coordinates >= 0.0, axis=1), coordinates


def _dot(a: Array, b: Array) -> Array:
    return np.einsum("kd,kd->k", a, b)


def checked_points(points_mm: Array, what: str, may_be_empty: bool = False) -> Array:
    """Return points (n, 3) as float64.

    Raises
    ------
    ValueError
        Another shape, none unless there may be, or some that are not finite; begins with `what`.
    """
    points = np.asarray(points_mm, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not (may_be_empty or len(points)):
        raise ValueError(f"{what}: wanted (n, 3) points, got shape {points.shape}")
    if not np.all(np.isfinite(points)):
        raise ValueError(f"{what}: {np.sum(~np.isfinite(points).all(axis=1))} are not finite")
    return points
