"""The control mesh: MakeHuman's head with its holes closed, as triangles over base vertices.

The base mesh folds into the eye sockets and the mouth. Both folds are cut off: an eye gets a
patch between its lid margins, the lips are joined by a seam behind their contact line. Every
control vertex is a linear combination of base vertices, so shape targets and facial actions
reach the finished mesh through one sparse matrix.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from fg3d_builder.facemodel.patches import stitched
from fg3d_builder.geometry.meshes import directed_edges
from fg3d_builder.heads.makehuman import BaseMesh
from fg3d_builder.records import Array


@dataclass(frozen=True)
class ControlMesh:
    """Triangles and the matrix that places their vertices.

    Attributes
    ----------
    triangles : (m, 3) int64
        Counter-clockwise from outside.
    from_base : (c, v) csr_matrix
        Control vertices from base vertices; rows sum to 1.
    eye : (c,) int8
        1 on the left eye's patch including its margin, 2 on the right one's, else 0.
    eye_inner : (c,) bool
        Vertices between the margins.
    mouth : (c,) bool
        Vertices where the lips touch, and the seam behind them.
    seam : (c,) bool
        Vertices of the row that joins the lips.
    base_vertex : (c,) int64
        The base vertex that each control vertex is; -1 for the vertices of the patches.
    """

    triangles: Array
    from_base: sp.csr_matrix
    eye: Array
    eye_inner: Array
    mouth: Array
    seam: Array
    base_vertex: Array


class QuadMesh:
    """Walks over a quad mesh: edge loops, flood fills, neighbours."""

    def __init__(self, quads: Array) -> None:
        self.quads = quads
        self.edge_quads: dict[tuple[int, int], list[int]] = defaultdict(list)
        self.neighbours: dict[int, set[int]] = defaultdict(set)
        self.vertex_quads: dict[int, list[int]] = defaultdict(list)
        for q, corners in enumerate(quads.tolist()):
            for j in range(4):
                a, b = corners[j], corners[(j + 1) % 4]
                self.edge_quads[_edge(a, b)].append(q)
                self.neighbours[a].add(b)
                self.neighbours[b].add(a)
                self.vertex_quads[a].append(q)

    def loop(self, first: int, second: int) -> list[int]:
        """Follow the edge loop through an edge until it closes.

        Raises
        ------
        ValueError
            It runs into an irregular vertex and does not close.
        """
        path = [first, second]
        while True:
            behind, here = path[-2:]
            touching = set(self.edge_quads[_edge(behind, here)])
            ahead = [
                w
                for w in self.neighbours[here]
                if w != behind and not touching & set(self.edge_quads[_edge(here, w)])
            ]
            if len(self.neighbours[here]) != 4 or len(ahead) != 1:
                raise ValueError(f"the edge loop from {first} ends at vertex {here}")
            if ahead[0] == first:
                return path
            path.append(ahead[0])

    def inside(self, loop: list[int], seed: int) -> set[int]:
        """Quads that a flood from vertex `seed` reaches without crossing `loop`."""
        wall = {_edge(a, b) for a, b in zip(loop, [*loop[1:], loop[0]], strict=True)}
        reached, front = set(self.vertex_quads[seed]), list(self.vertex_quads[seed])
        while front:
            corners = self.quads[front.pop()].tolist()
            for j in range(4):
                edge = _edge(corners[j], corners[(j + 1) % 4])
                if edge in wall:
                    continue
                new = [q for q in self.edge_quads[edge] if q not in reached]
                reached.update(new)
                front.extend(new)
        return reached

    def next_ring(self, loop: list[int], removed: set[int]) -> list[int]:
        """Return the neighbour on the removed side of every vertex of a loop."""
        ring = []
        for vertex in loop:
            candidates = [
                w
                for w in self.neighbours[vertex]
                if w not in loop and set(self.edge_quads[_edge(vertex, w)]) <= removed
            ]
            if len(candidates) != 1:
                raise ValueError(f"vertex {vertex} of a loop has no single inner neighbour")
            ring.append(candidates[0])
        return ring


def build_control_mesh(
    base: BaseMesh, shape_mm: Array, keep: Array, loops: Mapping[str, Any]
) -> ControlMesh:
    """Cut, close and triangulate the head.

    Parameters
    ----------
    base : BaseMesh
    shape_mm : (v, 3) float
        An average adult, symmetric; decides diagonals and which way the patches run.
    keep : (q,) bool
        Quads of the skin that belong to head, neck and shoulders.
    loops : mapping
        The recipe's table: base vertices that tell where the loops of the base mesh run, and
        the number of rows of an eye patch. An edge of the last loop of the left eye's lids
        that is kept and of the loop along which the lips are joined (``eye_margin``,
        ``mouth_margin``), a vertex of the left eye socket and of the mouth cavity
        (``eye_inside``, ``mouth_inside``), ``eye_rows``.
    """
    mesh = QuadMesh(base.quads)
    builder = _Builder(len(base.vertices_mm))

    margin = mesh.loop(*loops["eye_margin"])
    removed = mesh.inside(margin, loops["eye_inside"])
    removed_right = mesh.inside(base.mirror[margin].tolist(), int(base.mirror[loops["eye_inside"]]))
    # The margin moves to the place of the next ring, which is on the eyeball.
    ring = mesh.next_ring(margin, removed)
    outline = _halved(margin, shape_mm)
    for side, label in (((lambda v: v), 1), ((lambda v: int(base.mirror[v])), 2)):
        for vertex, source in zip(margin, ring, strict=True):
            builder.place(side(vertex), {side(source): 1.0})
        first, upper, last, lower = outline
        mapped = (side(first), [side(v) for v in upper], side(last), [side(v) for v in lower])
        if label == 2:
            mapped = (mapped[2], mapped[1][::-1], mapped[0], mapped[3][::-1])
        builder.eye_patch(mapped, loops["eye_rows"], label)

    margin = mesh.loop(*loops["mouth_margin"])
    inside = mesh.inside(margin, loops["mouth_inside"])
    near = mesh.next_ring(margin, inside)
    deep = mesh.next_ring(near, inside - _quads_between(mesh, margin, near))
    start = int(np.argmin(shape_mm[margin, 0]))
    end = margin.index(int(base.mirror[margin[start]]))
    upper, lower = _arcs(len(margin), start, end, shape_mm[margin, 1])
    builder.mouth.update(margin)
    builder.mouth_patch(margin, deep, upper, lower, shape_mm)

    removed = removed | removed_right | inside
    kept = [q for q in np.flatnonzero(keep).tolist() if q not in removed]
    return builder.finish(base.quads[kept].tolist(), shape_mm)


class _Builder:
    def __init__(self, base_count: int) -> None:
        self.base_count = base_count
        self.placed: dict[int, dict[int, float]] = {}
        self.eye: dict[int, int] = {}
        self.eye_inner: set[int] = set()
        self.mouth: set[int] = set()
        self.seam: set[int] = set()
        self.patches: list[list[int]] = []
        self.next_index = base_count

    def place(self, vertex: int, weights: dict[int, float]) -> None:
        self.placed[vertex] = weights

    def new(self, weights: dict[int, float]) -> int:
        self.placed[self.next_index] = weights
        self.next_index += 1
        return self.next_index - 1

    def eye_patch(
        self, outline: tuple[int, list[int], int, list[int]], rows: int, label: int
    ) -> None:
        first, upper, last, lower = outline
        columns = []
        for above, below in zip(upper, lower, strict=True):
            column = [above]
            for r in range(1, rows + 1):
                t = r / (rows + 1)
                new = self.new(_mix(self.placed[above], 1 - t, self.placed[below], t))
                self.eye_inner.add(new)
                column.append(new)
            columns.append([*column, below])
        for column in columns:
            self.eye.update(dict.fromkeys(column, label))
        self.eye.update({first: label, last: label})
        for r in range(rows + 1):
            self.patches.append([first, columns[0][r + 1], columns[0][r]])
            self.patches.append([last, columns[-1][r], columns[-1][r + 1]])
            for left, right in itertools.pairwise(columns):
                self.patches.append([left[r], left[r + 1], right[r + 1], right[r]])

    def mouth_patch(
        self,
        margin: list[int],
        deep: list[int],
        upper: list[int],
        lower: list[int],
        shape_mm: Array,
    ) -> None:
        """Join the lips by one row of vertices, two rings deeper than the margin.

        `upper` and `lower` are positions in the loop from the right corner to the left one,
        both included. The lips have different numbers of vertices, so the row has the upper
        lip's and is stitched to the lower one's. Towards the corners, where the deeper ring
        is wider than the mouth, the row comes forward to the margin.
        """
        at_upper = _arc_length(shape_mm[[margin[i] for i in upper]])
        at_lower = _arc_length(shape_mm[[margin[i] for i in lower]])
        row = [margin[upper[0]]]
        for i, t in zip(upper[1:-1], at_upper[1:-1], strict=True):
            j = int(np.searchsorted(at_lower, t, side="right")) - 1
            part = (t - at_lower[j]) / (at_lower[j + 1] - at_lower[j])
            depth = min(1.0, 5.0 * t * (1 - t))
            weights: dict[int, float] = {}
            for ring, share in ((deep, depth), (margin, 1 - depth)):
                below = _mix({ring[lower[j]]: 1.0}, 1 - part, {ring[lower[j + 1]]: 1.0}, part)
                weights = _mix(weights, 1.0, _mix({ring[i]: 1.0}, 0.5, below, 0.5), share)
            row.append(self.new(weights))
        row.append(margin[upper[-1]])
        self.seam.update(row[1:-1])
        self.mouth.update(row)
        above = [margin[i] for i in upper]
        below_row = [margin[i] for i in lower]
        self.patches.append([row[0], row[1], above[1]])
        self.patches.append([row[-1], above[-2], row[-2]])
        for k in range(1, len(row) - 2):
            self.patches.append([above[k], row[k], row[k + 1], above[k + 1]])
        half_row, half_lower = len(row) // 2, len(lower) // 2
        left = stitched(row[: half_row + 1], below_row[: half_lower + 1], at_upper, at_lower)
        right = stitched(
            row[: half_row - 1 : -1], below_row[: half_lower - 1 : -1], at_upper, at_lower
        )
        self.patches += left + [[a, c, b] for a, b, c in right]

    def finish(self, polygons: list[list[int]], shape_mm: Array) -> ControlMesh:
        polygons = [*polygons, *self.patches]
        used = sorted({v for p in polygons for v in p})
        number = {v: i for i, v in enumerate(used)}
        rows, columns, values = [], [], []
        for v in used:
            for source, weight in self.placed.get(v, {v: 1.0}).items():
                rows.append(number[v])
                columns.append(source)
                values.append(weight)
        from_base = sp.csr_matrix((values, (rows, columns)), (len(used), self.base_count))
        points = from_base @ shape_mm
        triangles = np.array(
            [t for p in polygons for t in _triangulated([number[v] for v in p], points)]
        )
        _check_orientation(triangles)
        return ControlMesh(
            triangles=triangles,
            from_base=from_base,
            eye=np.array([self.eye.get(v, 0) for v in used], dtype=np.int8),
            eye_inner=np.array([v in self.eye_inner for v in used]),
            mouth=np.array([v in self.mouth for v in used]),
            seam=np.array([v in self.seam for v in used]),
            base_vertex=np.array([v if v < self.base_count else -1 for v in used]),
        )


def _edge(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


def _mix(a: dict[int, float], wa: float, b: dict[int, float], wb: float) -> dict[int, float]:
    out: dict[int, float] = defaultdict(float)
    for weights, factor in ((a, wa), (b, wb)):
        for source, weight in weights.items():
            out[source] += factor * weight
    return dict(out)


def _halved(loop: list[int], shape_mm: Array) -> tuple[int, list[int], int, list[int]]:
    """Halve a loop at its corners: (first, upper, last, lower).

    The corners are the two opposite vertices that are farthest apart in x. Upper and lower
    run from `first` (smaller x) to `last` and have equal length.
    """
    half = len(loop) // 2
    if len(loop) != 2 * half:
        raise ValueError("a loop with an odd number of vertices cannot be halved")
    x = shape_mm[loop, 0]
    start = int(np.argmin(x - np.roll(x, -half)))
    upper, lower = _arcs(len(loop), start, (start + half) % len(loop), shape_mm[loop, 1])
    ends = [loop[start], loop[(start + half) % len(loop)]]
    return ends[0], [loop[i] for i in upper[1:-1]], ends[1], [loop[i] for i in lower[1:-1]]


def _arcs(count: int, start: int, end: int, height: Array) -> tuple[list[int], list[int]]:
    """Both ways around a loop from position `start` to `end`, the higher one first."""
    one = [(start + k) % count for k in range((end - start) % count + 1)]
    other = [(start - k) % count for k in range((start - end) % count + 1)]
    return (one, other) if height[one].mean() > height[other].mean() else (other, one)


def _arc_length(points: Array) -> Array:
    """Arc length along a polyline, from 0 to 1, made symmetric about its middle."""
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    share = length / length[-1]
    return np.asarray((share + 1 - share[::-1]) / 2)


def _quads_between(mesh: QuadMesh, ring: list[int], inner: list[int]) -> set[int]:
    """Quads that touch both of two neighbouring rings."""
    outer_quads = {q for v in ring for q in mesh.vertex_quads[v]}
    return outer_quads & {q for v in inner for q in mesh.vertex_quads[v]}


def _triangulated(polygon: list[int], points: Array) -> list[list[int]]:
    """Cut a quad along its shorter diagonal; ties go by distance from the middle plane."""
    if len(polygon) == 3:
        return [polygon]
    a, b, c, d = polygon
    one, other = np.linalg.norm(points[a] - points[c]), np.linalg.norm(points[b] - points[d])
    if abs(one - other) < 1e-6:
        outer = int(np.argmax(np.abs(points[polygon, 0])))
        one_first = outer in (0, 2)
    else:
        one_first = bool(one < other)
    return [[a, b, c], [a, c, d]] if one_first else [[b, c, d], [b, d, a]]


def _check_orientation(triangles: Array) -> None:
    """Check that every edge is used at most once in each direction."""
    directed = directed_edges(triangles)
    if len(np.unique(directed, axis=0)) != len(directed):
        raise ValueError("the control mesh is not consistently oriented")
