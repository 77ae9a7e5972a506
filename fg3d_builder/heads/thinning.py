"""Fewer vertices for a symmetric mesh: quadric edge collapse (Garland and Heckbert 1997).

Vertices are only dropped, never moved: whatever is known at the vertices stays known at those
that remain.
"""

from __future__ import annotations

import heapq

import numpy as np

from fg3d_builder.geometry.meshes import border_edges, normalized, triangle_normals
from fg3d_builder.records import Array

_BORDER_WEIGHT = 4.0
# A collapse may turn no triangle by more than this cosine says, and leave none flatter.
_LEAST_COSINE = 0.5
_LEAST_ROUNDNESS = 0.12
# Short edges go first where all is flat; mm^2 of error per mm^2 of edge.
_LENGTH_SHARE = 1e-4


def thinned(
    points_mm: Array,
    triangles: Array,
    mirror: Array,
    locked: Array,
    importance: Array,
    count: int,
    longest_mm: float,
) -> tuple[Array, Array]:
    """Drop vertices of a mesh that is its own mirror image; the rest is one as well.

    One half is thinned, with its middle line as a border, and mirrored. A vertex of a border
    goes along the border only.

    Parameters
    ----------
    points_mm : (n, 3) float64
        x is 0 on the middle line, and no triangle reaches across.
    triangles : (m, 3) int
    mirror : (n,) int
        Partner of every vertex; itself on the middle line.
    locked : (n,) bool
        Vertices that stay.
    importance : (n,) float64
        Positive; a squared error counts in this proportion.
    count : int
        Wanted number of vertices; more are left where nothing else may be dropped.
    longest_mm : float
        No edge becomes longer.

    Returns
    -------
    kept : (u,) int64
        Sorted.
    triangles : (k, 3) int32
        Over all n vertices.
    """
    middle = mirror == np.arange(len(mirror))
    half = triangles[points_mm[triangles, 0].mean(axis=1) > 0]
    quadrics = _quadrics(points_mm, triangles)
    work = _Collapse(points_mm, half, quadrics, locked, importance, longest_mm)
    total = len(np.unique(triangles))
    while total > count:
        dropped = work.drop_cheapest()
        if dropped < 0:
            break
        total -= 1 if middle[dropped] else 2
    left = work.triangles()
    both = np.concatenate([left, mirror[left][:, [0, 2, 1]]])
    return np.unique(both), both.astype(np.int32)


class _Collapse:
    """Half of the mesh while its vertices are dropped one by one."""

    def __init__(
        self,
        points: Array,
        triangles: Array,
        quadrics: Array,
        locked: Array,
        importance: Array,
        longest_mm: float,
    ) -> None:
        self.points, self.quadrics, self.longest = points, quadrics, longest_mm
        self.importance = importance
        self.corners = {i: tuple(t) for i, t in enumerate(triangles.tolist())}
        self.around: dict[int, set[int]] = {}
        for i, corners in self.corners.items():
            for v in corners:
                self.around.setdefault(v, set()).add(i)
        ends = border_edges(triangles)
        self.border: dict[int, set[int]] = {}
        for a, b in ends.tolist():
            self.border.setdefault(a, set()).add(b)
            self.border.setdefault(b, set()).add(a)
        fixed = locked.copy()
        fixed[self._corners_of_border(ends)] = True
        self.fixed = fixed
        self.heap: list[tuple[float, int, int]] = []
        for v in self.around:
            self._offer(v)

    def triangles(self) -> Array:
        """Return the (k, 3) triangles that are left."""
        return np.array([self.corners[i] for i in sorted(self.corners)], dtype=np.int64)

    def drop_cheapest(self) -> int:
        """Drop one vertex and return it; -1 where none may go."""
        while self.heap:
            cost, gone, into = heapq.heappop(self.heap)
            if gone not in self.around or into not in self._neighbours(gone):
                continue
            now = self._cost(gone, into)
            if now > cost * (1 + 1e-9) + 1e-12:
                heapq.heappush(self.heap, (now, gone, into))
            elif self._allowed(gone, into):
                self._drop(gone, into)
                return gone
        return -1

    def _corners_of_border(self, ends: Array) -> Array:
        """Where the middle line meets another border, or two borders touch."""
        on_middle = np.abs(self.points[ends, 0]).max(axis=1) < 1e-6
        vertices, times = np.unique(ends, return_counts=True)
        meets = np.intersect1d(np.unique(ends[on_middle]), np.unique(ends[~on_middle]))
        return np.concatenate([meets, vertices[times != 2]])

    def _neighbours(self, v: int) -> set[int]:
        return {w for i in self.around[v] for w in self.corners[i]} - {v}

    def _offer(self, v: int) -> None:
        """Queue every way in which a vertex may go."""
        if self.fixed[v]:
            return
        for w in self.border.get(v) or self._neighbours(v):
            heapq.heappush(self.heap, (self._cost(v, w), v, w))

    def _cost(self, gone: int, into: int) -> float:
        p, edge = np.append(self.points[into], 1.0), self.points[into] - self.points[gone]
        q = self.quadrics[gone] + self.quadrics[into]
        # Its normals have length 1, so that the trace of their part is the area behind it.
        area = q[0, 0] + q[1, 1] + q[2, 2]
        error = p @ q @ p / area + _LENGTH_SHARE * (edge @ edge)
        return float(self.importance[gone] * error)

    def _allowed(self, gone: int, into: int) -> bool:
        on_border = gone in self.border
        common = self._neighbours(gone) & self._neighbours(into)
        if len(common) != (1 if on_border else 2):
            return False
        far = self._neighbours(gone) - {into}
        stretch = self.points[list(far)] - self.points[into]
        if np.sqrt((stretch**2).sum(axis=1).max()) > self.longest:
            return False
        moved = [self.corners[i] for i in self.around[gone] if into not in self.corners[i]]
        before = self.points[np.array(moved)]
        after = before.copy()
        after[np.array(moved) == gone] = self.points[into]
        return _keeps_shape(before, after)

    def _drop(self, gone: int, into: int) -> None:
        for i in list(self.around[gone]):
            corners = self.corners[i]
            if into in corners:
                del self.corners[i]
                for v in corners:
                    self.around[v].discard(i)
            else:
                self.corners[i] = tuple(into if v == gone else v for v in corners)
                self.around[into].add(i)
        del self.around[gone]
        self.quadrics[into] += self.quadrics[gone]
        if gone in self.border:
            for other in self.border.pop(gone) - {into}:
                self.border[other].discard(gone)
                self.border[other].add(into)
                self.border[into].add(other)
            self.border[into].discard(gone)
        for v in (into, *self._neighbours(into)):
            self._offer(v)


def _keeps_shape(before: Array, after: Array) -> bool:
    """Whether (k, 3, 3) triangles neither turn over nor become needles."""
    numbers = np.arange(before.size // 3).reshape(-1, 3)
    old = triangle_normals(before.reshape(-1, 3), numbers)
    new = triangle_normals(after.reshape(-1, 3), numbers)
    cosine = np.einsum("ij,ij->i", normalized(old), normalized(new))
    sides = (np.roll(after, 1, axis=1) - after) ** 2
    # 1 for an equilateral triangle.
    roundness = 2 * np.sqrt(3) * np.linalg.norm(new, axis=1) / sides.sum(axis=(1, 2))
    return bool(cosine.min() > _LEAST_COSINE and roundness.min() > _LEAST_ROUNDNESS)


def _quadrics(points: Array, triangles: Array) -> Array:
    """Sum of the squared distances to the planes around a vertex as (n, 4, 4), area weighted."""
    normals = triangle_normals(points, triangles)
    area = np.linalg.norm(normals, axis=1) / 2
    out = np.zeros((len(points), 4, 4))
    _add_planes(out, triangles, points[triangles[:, 0]], normals, area)
    ends = border_edges(triangles)
    edge_normals = _normals_at(triangles, ends, normals)
    along = points[ends[:, 1]] - points[ends[:, 0]]
    across = np.cross(along, edge_normals)
    weight = _BORDER_WEIGHT * (along**2).sum(axis=1)
    _add_planes(out, ends, points[ends[:, 0]], across, weight)
    return out


def _add_planes(out: Array, members: Array, points: Array, normals: Array, weight: Array) -> None:
    unit = normalized(normals)
    plane = np.column_stack([unit, -np.einsum("ij,ij->i", unit, points)])
    product = weight[:, None, None] * plane[:, :, None] * plane[:, None, :]
    for corner in range(members.shape[1]):
        np.add.at(out, members[:, corner], product)


def _normals_at(triangles: Array, edges: Array, normals: Array) -> Array:
    """Normals of the triangles that directed edges belong to."""
    owner = {}
    for corner in range(3):
        pair = triangles[:, [corner, (corner + 1) % 3]]
        owner.update({(a, b): i for i, (a, b) in enumerate(pair.tolist())})
    return np.asarray(normals[[owner[a, b] for a, b in edges.tolist()]])
