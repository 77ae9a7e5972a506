"""The outline of a face in the picture: where its visible surface ends and the rest begins.

What the camera can see of a mesh faces it. The outline is the outer border of all triangles
that face the camera, projected: partly the mesh's own rim, partly the occluding contour, where
the surface turns away (the far cheek of a turned head, the jaw over the neck). Where one part
of the contour passes behind another, the outline changes over at their crossing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from fg3d_builder.errors import CaptureError
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import border_edges, signed_areas
from fg3d_builder.records import Array

SAME_PX = 1e-6
"""Crossings so near each other are one."""

MIN_SEGMENT_PX = 0.01
"""Crossings nearer than this to the outline's last point are left out."""


@dataclass(frozen=True)
class Outline:
    """A closed polygon in the image.

    Attributes
    ----------
    vertex : (k,) int64
        Index of the model's vertex at each corner; -1 at crossings of two contour lines.
    points_px : (k, 2) float64
        Their positions; the polygon closes from the last to the first.
    depth_mm : (k,) float64
        Depth of the face there; at crossings that of the nearer line.
    """

    vertex: Array
    points_px: Array
    depth_mm: Array


def face_outline(vertices_cam_mm: Array, triangles: Array, intrinsics: Array) -> Outline:
    """Find the outline of a face mesh as the camera sees it.

    Parameters
    ----------
    vertices_cam_mm : (n, 3) float
        Camera frame.
    triangles : (m, 3) int
        Counter-clockwise from outside.
    intrinsics : (3, 3) float

    Raises
    ------
    CaptureError
        ``"no_outline"``: a vertex is behind the camera, or nothing faces it.
    """
    points = px_from_cam(vertices_cam_mm, intrinsics)
    if not np.all(np.isfinite(points)):
        raise CaptureError("no_outline", "the registered face reaches behind the camera")
    front = triangles[signed_areas(points[triangles]) < 0]
    if len(front) == 0:
        raise CaptureError("no_outline", "no part of the registered face looks at the camera")
    segments = border_edges(front)
    best: tuple[Array, Array, Array] | None = None
    most = 0.0
    for start in _leftmost_of_parts(points, front):
        found = _walk(points, vertices_cam_mm[:, 2], segments, start)
        area = polygon_area(found[1])
        if area > most:
            best, most = found, area
    if best is None:
        raise CaptureError("no_outline", "the outline of the registered face does not close")
    return _cleaned(*_unpinched(*best))


def polygon_area(points: Array) -> float:
    """Return the area of a closed polygon (k, 2), 0 for fewer than three corners."""
    x, y = points[:, 0], points[:, 1]
    return abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))) / 2.0


def _leftmost_of_parts(points: Array, triangles: Array) -> list[int]:
    """The leftmost vertex of every connected part that is at least 1 % of the whole."""
    edges = triangles[:, [0, 1, 1, 2]].reshape(-1, 2)
    size = len(points)
    graph = sp.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(size, size))
    part = connected_components(graph, directed=False)[1]
    weight = np.bincount(part[triangles[:, 0]])
    starts = []
    for label in np.flatnonzero(weight > 0.01 * len(triangles)):
        members = np.flatnonzero(part == label)
        starts.append(int(members[np.argmin(points[members, 0])]))
    return starts


def _walk(points: Array, depth: Array, segments: Array, start: int) -> tuple[Array, Array, Array]:
    """Vertices (-1 at crossings), positions and depths of the polygon; none if it is open."""
    order = np.argsort(segments.ravel(), kind="stable")
    ends = segments.ravel()[order]
    first = np.searchsorted(ends, np.arange(len(points) + 1))
    node, place, near = _walk_outside(points, depth, segments, order // 2, first, start)
    return node, place, near


@numba.njit(cache=True)
def _walk_outside(points, depth, segments, incident, first, start):  # type: ignore[no-untyped-def]
    """Walk along the segments, at every junction turning to the outside as far as possible.

    The leftmost point is outside; from there on the outside stays to one hand. On the way
    along a segment the first other segment that crosses it is a junction as well.
    """
    limit = 4 * len(segments) + 16
    node = np.full(limit, -1)
    place = np.zeros((limit, 2))
    near = np.zeros(limit)
    count = 0
    here_x, here_y = points[start]
    back_x, back_y = -1.0, 0.0
    vertex, on, across = start, -1, -1
    # The segment walked on, and its end behind: rounding must not make the way back the best.
    last, came = -1, -1
    while count < limit:
        node[count] = vertex
        place[count, 0], place[count, 1] = here_x, here_y
        if vertex >= 0:
            near[count] = depth[vertex]
        else:
            near[count] = min(
                _depth_at(points, depth, segments[on], here_x, here_y),
                _depth_at(points, depth, segments[across], here_x, here_y),
            )
        count += 1
        # Choose the segment (and the end of it) that comes first when turning from behind.
        best, chosen, target = 10.0, -1, -1
        if vertex >= 0:
            for k in range(first[vertex], first[vertex + 1]):
                s = incident[k]
                if s == last:
                    continue
                other = segments[s, 0] + segments[s, 1] - vertex
                turn = _turn(back_x, back_y, points[other, 0] - here_x, points[other, 1] - here_y)
                if turn < best:
                    best, chosen, target = turn, s, other
        else:
            for s in (on, across):
                for e in range(2):
                    other = segments[s, e]
                    if s == on and other == came:
                        continue
                    dx, dy = points[other, 0] - here_x, points[other, 1] - here_y
                    turn = _turn(back_x, back_y, dx, dy)
                    if turn < best:
                        best, chosen, target = turn, s, other
        if chosen < 0:
            break
        skip_a = across if vertex < 0 and chosen == on else -1
        skip_b = on if vertex < 0 and chosen == across else -1
        goal_x, goal_y = points[target, 0], points[target, 1]
        dx, dy = goal_x - here_x, goal_y - here_y
        nearest, crossed = 1.0, -1
        a0, a1 = segments[chosen]
        for s in range(len(segments)):
            b0, b1 = segments[s]
            if s in (chosen, skip_a, skip_b):
                continue
            if b0 in (a0, a1) or b1 in (a0, a1):
                continue
            t = _crossing(here_x, here_y, dx, dy, points[b0], points[b1])
            if t < nearest:
                nearest, crossed = t, s
        back_x, back_y = -dx, -dy
        last, came = chosen, a0 + a1 - target
        if crossed >= 0:
            here_x, here_y = here_x + nearest * dx, here_y + nearest * dy
            vertex, on, across = -1, chosen, crossed
        else:
            here_x, here_y = goal_x, goal_y
            vertex = target
            if vertex == start:
                return node[:count], place[:count], near[:count]
    return node[:0], place[:0], near[:0]


@numba.njit(cache=True)
def _turn(back_x, back_y, x, y):  # type: ignore[no-untyped-def]
    """Angle in (0, 2 pi] from the way back to the way (x, y)."""
    angle = np.arctan2(back_x * y - back_y * x, back_x * x + back_y * y)
    return angle if angle > 1e-12 else angle + 2.0 * np.pi


@numba.njit(cache=True)
def _crossing(x, y, dx, dy, a, b):  # type: ignore[no-untyped-def]
    """Part of the way (dx, dy) from (x, y) at which the segment a-b is met; 2 where never."""
    ex, ey = b[0] - a[0], b[1] - a[1]
    across = dx * ey - dy * ex
    if across == 0.0:
        return 2.0
    t = ((a[0] - x) * ey - (a[1] - y) * ex) / across
    s = ((a[0] - x) * dy - (a[1] - y) * dx) / across
    return t if t > 0.0 and 0.0 <= s <= 1.0 else 2.0


@numba.njit(cache=True)
def _depth_at(points, depth, segment, x, y):  # type: ignore[no-untyped-def]
    """Depth of a segment over the image point (x, y) on it; inverse depth is linear there."""
    a, b = points[segment[0]], points[segment[1]]
    dx, dy = b[0] - a[0], b[1] - a[1]
    square = dx * dx + dy * dy
    t = ((x - a[0]) * dx + (y - a[1]) * dy) / square if square > 0 else 0.0
    return 1.0 / ((1.0 - t) / depth[segment[0]] + t / depth[segment[1]])


def _unpinched(vertex: Array, points: Array, depth: Array) -> tuple[Array, Array, Array]:
    """Cut off the smaller part wherever the outline comes back to a corner.

    Rough surfaces have triangles that hang on the rest by one vertex, and contour lines that
    cross where they crossed before; a polygon that touches itself there is no border for a
    triangulation.
    """
    name = _names(vertex, points)
    keep = np.arange(len(vertex))
    while True:
        at: dict[int, int] = {}
        for place, corner in enumerate(name[keep]):
            if corner in at:
                break
            at[int(corner)] = place
        else:
            return vertex[keep], points[keep], depth[keep]
        first = at[int(corner)]
        loop = keep[first:place]
        rest = np.concatenate([keep[:first], keep[place:]])
        keep = loop if polygon_area(points[loop]) > polygon_area(points[rest]) else rest


def _names(vertex: Array, points: Array) -> Array:
    """Number corners (k,): by their vertex, and crossings, which have none, by their place."""
    crossing = np.flatnonzero(vertex < 0)
    name = vertex.copy()
    place = np.rint(points[crossing] / SAME_PX).astype(np.int64)
    number = np.unique(place, axis=0, return_inverse=True)[1].reshape(-1)
    name[crossing] = int(vertex.max(initial=0)) + 1 + number
    return name


def _cleaned(vertex: Array, points: Array, depth: Array) -> Outline:
    """Leave out crossings that coincide with a neighbour."""
    keep = np.ones(len(vertex), dtype=bool)
    for step in (1, -1):
        away = np.linalg.norm(points - np.roll(points, step, axis=0), axis=1)
        keep &= (vertex >= 0) | (away > MIN_SEGMENT_PX)
    return Outline(vertex[keep], points[keep], depth[keep])
