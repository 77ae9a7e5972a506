"""Constrained Delaunay triangulation of points in a plane.

Qhull gives the Delaunay triangulation; edges that must be in it and are not are put in one
after the other: the triangles that such an edge crosses are removed, and the hollow on either
side of it is filled by the recursion of Anglada (1997), which keeps the triangulation
Delaunay but for the edges that were asked for.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay

from fg3d_builder.geometry.meshes import directed_edges, signed_areas
from fg3d_builder.records import Array

Fan = dict[int, int]
"""The triangles at a vertex ``a``: ``fan[b] == c`` for each (a, b, c), positively oriented."""


def constrained_delaunay(points: Array, edges: Array) -> Array:
    """Triangulate the convex hull of some points, with given edges.

    Parameters
    ----------
    points : (k, 2) float
        All different.
    edges : (e, 2) int
        That do not cross each other. An edge through further points is there in pieces.

    Returns
    -------
    triangles : (m, 3) int32
        Positively oriented: from x towards y.

    Raises
    ------
    ValueError
        Two points coincide, or two edges cross.
    """
    points = np.asarray(points, dtype=np.float64)
    found = Delaunay(points)
    if len(found.coplanar):
        raise ValueError(f"points {found.coplanar[:, [0, 2]].tolist()} coincide")
    triangles = _oriented(points, found.simplices)
    missing = _missing(triangles, edges, len(points))
    if len(missing) == 0:
        return triangles
    fans = _fans(triangles, len(points))
    place = [(float(x), float(y)) for x, y in points]
    fixed = {(min(a, b), max(a, b)) for a, b in np.asarray(edges).tolist()}
    for a, b in missing.tolist():
        _insert(place, fans, fixed, a, b)
    return np.array(
        [(a, b, c) for a, fan in enumerate(fans) for b, c in fan.items() if a < b and a < c],
        dtype=np.int32,
    )


def split_by_edges(triangles: Array, edges: Array) -> Array:
    """Return the (m,) number of the part that each triangle belongs to.

    Triangles are in one part where a way leads from one to the other across none of the
    `edges` (e, 2).
    """
    count = int(triangles.max()) + 1
    sides = np.sort(directed_edges(triangles), axis=1)
    key = sides[:, 0] * count + sides[:, 1]
    walls = np.sort(np.asarray(edges, dtype=np.int64), axis=1)
    order = np.argsort(key, kind="stable")
    twice = np.flatnonzero(key[order[1:]] == key[order[:-1]])
    open_ = ~np.isin(key[order[twice]], walls[:, 0] * count + walls[:, 1])
    one, other = order[twice[open_]] // 3, order[twice[open_] + 1] // 3
    size = len(triangles)
    graph = coo_matrix((np.ones(len(one)), (one, other)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1])


def _oriented(points: Array, triangles: Array) -> Array:
    area = signed_areas(points[triangles])
    turned = np.where((area < 0)[:, None], triangles[:, [0, 2, 1]], triangles)
    # Qhull cuts cocircular points into triangles of which some may be flat on the hull.
    return np.asarray(turned[area != 0], dtype=np.int32)


def _missing(triangles: Array, edges: Array, count: int) -> Array:
    sides = np.sort(directed_edges(triangles), axis=1)
    wanted = np.sort(np.asarray(edges, dtype=np.int64).reshape(-1, 2), axis=1)
    there = np.isin(wanted[:, 0] * count + wanted[:, 1], sides[:, 0] * count + sides[:, 1])
    return wanted[~there]


def _fans(triangles: Array, count: int) -> list[Fan]:
    fans: list[Fan] = [{} for _ in range(count)]
    for a, b, c in triangles.tolist():
        _add(fans, a, b, c)
    return fans


def _add(fans: list[Fan], a: int, b: int, c: int) -> None:
    fans[a][b], fans[b][c], fans[c][a] = c, a, b


def _remove(fans: list[Fan], a: int, b: int, c: int) -> None:
    del fans[a][b], fans[b][c], fans[c][a]


def _insert(
    place: list[tuple[float, float]],
    fans: list[Fan],
    fixed: set[tuple[int, int]],
    a: int,
    b: int,
) -> None:
    """Put the edge a-b in, in pieces where it passes through further points."""
    while a != b and b not in fans[a] and a not in fans[b]:
        end, left, right, crossed = _crossed(place, fans, fixed, a, b)
        for triangle in crossed:
            _remove(fans, *triangle)
        _fill(place, fans, left, a, end)
        _fill(place, fans, right[::-1], end, a)
        a = end


def _crossed(
    place: list[tuple[float, float]],
    fans: list[Fan],
    fixed: set[tuple[int, int]],
    a: int,
    b: int,
) -> tuple[int, list[int], list[int], list[tuple[int, int, int]]]:
    """Walk from a towards b; the vertices left and right of the way and the triangles on it."""
    right, left = -1, -1
    for u, v in fans[a].items():
        side = _side(place, a, b, u)
        if side == 0 and _ahead(place, a, b, u):
            return u, [], [], []
        if side < 0 < _side(place, a, b, v):
            right, left = u, v
    if right < 0:
        raise ValueError(f"no triangle at point {a} is in the direction of point {b}")
    lefts, rights, crossed = [left], [right], [(a, right, left)]
    while True:
        if (min(left, right), max(left, right)) in fixed:
            raise ValueError(f"the edges {(a, b)} and {(left, right)} cross")
        tip = fans[left][right]
        crossed.append((left, right, tip))
        side = 0.0 if tip == b else _side(place, a, b, tip)
        if side == 0:
            return tip, lefts, rights, crossed
        if side > 0:
            left = tip
            lefts.append(tip)
        else:
            right = tip
            rights.append(tip)


def _fill(
    place: list[tuple[float, float]], fans: list[Fan], chain: list[int], a: int, b: int
) -> None:
    """Fill the hollow left of a-b that the chain of vertices from a to b bounds."""
    if not chain:
        return
    at = 0
    for i in range(1, len(chain)):
        if _in_circle(place, a, b, chain[at], chain[i]):
            at = i
    _fill(place, fans, chain[:at], a, chain[at])
    _fill(place, fans, chain[at + 1 :], chain[at], b)
    _add(fans, a, b, chain[at])


def _side(place: list[tuple[float, float]], a: int, b: int, c: int) -> float:
    (ax, ay), (bx, by), (cx, cy) = place[a], place[b], place[c]
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)


def _ahead(place: list[tuple[float, float]], a: int, b: int, c: int) -> bool:
    (ax, ay), (bx, by), (cx, cy) = place[a], place[b], place[c]
    return (bx - ax) * (cx - ax) + (by - ay) * (cy - ay) > 0


def _in_circle(place: list[tuple[float, float]], a: int, b: int, c: int, d: int) -> bool:
    """Tell whether d is inside the circle through the positively oriented a, b, c."""
    dx, dy = place[d]
    (ax, ay), (bx, by), (cx, cy) = ((place[i][0] - dx, place[i][1] - dy) for i in (a, b, c))
    aa, bb, cc = ax * ax + ay * ay, bx * bx + by * by, cx * cx + cy * cy
    return aa * (bx * cy - by * cx) - bb * (ax * cy - ay * cx) + cc * (ax * by - ay * bx) > 0
