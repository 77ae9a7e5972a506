"""Closing the openings of a template, so that it becomes one sheet with one border."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from fg3d_builder.geometry.meshes import directed_edges
from fg3d_builder.records import Array


class Patch(NamedTuple):
    """Surface that closes one opening; every new vertex is a linear function of the rim.

    Attributes
    ----------
    weights : (k, n) sparse float64
        New vertices as combinations of the old ones; rows sum to 1.
    bulge_mm : (k,) float64
        Height of the new vertices along +z on the shape that the patch was made for.
    opening : (n,) float64
        Linear functional of the old vertices' y: the mean height of the opening, 1 on the
        shape the patch was made for. The bulge scales with it, so that it vanishes under
        closed lids.
    triangles : (m, 3) int32
        New vertices are numbered from n.
    """

    weights: sp.csr_matrix
    bulge_mm: Array
    opening: Array
    triangles: Array

    def extend(self, field: Array) -> Array:
        """Return the (k, 3) values at the new vertices of a (n, 3) position or displacement."""
        values = np.asarray(self.weights @ field)
        values[:, 2] += self.bulge_mm * float(self.opening @ field[:, 1])
        return values


def border_loops(triangles: Array) -> list[Array]:
    """Return the closed border polylines of a mesh, longest first.

    Each follows the direction of its triangles' edges: around a hole of a front-facing
    sheet it runs clockwise as seen from outside.

    Raises
    ------
    ValueError
        Two borders meet in one vertex.
    """
    directed = {(a, b) for a, b in directed_edges(triangles).tolist()}
    border = sorted((a, b) for a, b in directed if (b, a) not in directed)
    following = dict(border)
    if len(following) != len(border):
        raise ValueError("borders of the mesh meet in a vertex")
    loops = []
    while following:
        loop = [min(following)]
        while (after := following.pop(loop[-1])) != loop[0]:
            loop.append(after)
        loops.append(np.array(loop, dtype=np.int32))
    return sorted(loops, key=lambda one: (-len(one), int(one[0])))


def close_opening(vertices: Array, loop: Array, rows: int) -> Patch:
    """Fill an eye- or mouth-shaped hole with `rows` rows of vertices between its two rims.

    Parameters
    ----------
    vertices : (n, 3) float64
        Object frame, mm.
    loop : (p,) int
        One of `border_loops`. Its corners are its vertices of least and largest x.
    rows : int
        Number of rows of new vertices between the upper and the lower rim.
    """
    n = len(vertices)
    x = vertices[loop, 0]
    loop = np.roll(loop, -int(np.argmin(x)))
    last = int(np.argmax(vertices[loop, 0]))
    upper, lower = loop[: last + 1], np.append(loop[0], loop[last:][::-1])
    columns = len(upper) - 2
    upper_weights, lower_weights = _selected(upper, upper, n), _selected(lower, upper, n)
    blend = np.arange(1, rows + 1) / (rows + 1)
    weights = sp.vstack([(1 - t) * upper_weights + t * lower_weights for t in blend]).tocsr()
    lines = [upper]
    for row in range(rows):
        middle = n + row * columns + np.arange(columns)
        lines.append(np.concatenate([upper[:1], middle, upper[-1:]]))
    lines.append(lower)
    triangles = [t for above, below in pairwise(lines) for t in _strip(above, below)]
    height = np.asarray((upper_weights - lower_weights).mean(axis=0)).ravel()
    opening = height / float(height @ vertices[:, 1])
    return Patch(weights, np.zeros(rows * columns), opening, np.array(triangles, dtype=np.int32))


def stitched(
    upper: list[int], lower: list[int], at_upper: Array, at_lower: Array
) -> list[list[int]]:
    """Triangles between two rows of vertices from left to right, the upper row first.

    Parameters
    ----------
    upper, lower : list of int
        Vertices; the rows may share their ends.
    at_upper, at_lower : (k,) float
        Rising places of the vertices, in step with which the rows are joined. May be longer
        than the rows.
    """
    triangles, i, j = [], 0, 0
    while i < len(upper) - 1 or j < len(lower) - 1:
        at_end = i == len(upper) - 1
        if at_end or (j < len(lower) - 1 and at_lower[j + 1] <= at_upper[i + 1]):
            corners = [upper[i], lower[j], lower[j + 1]]
            j += 1
        else:
            corners = [upper[i], lower[j], upper[i + 1]]
            i += 1
        if len(set(corners)) == 3:
            triangles.append(corners)
    return triangles


def heights_on_surface(points_xy: Array, vertices: Array, triangles: Array) -> Array:
    """Return the (k,) greatest z of a mesh above each of (k, 2) points; NaN beside it."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    area = _cross(b - a, c - a)
    keep = np.abs(area) > 1e-9
    a, b, c, area = a[keep], b[keep], c[keep], area[keep]
    p = points_xy[:, None, :]
    v = _cross(p - a[None, :, :2], (c - a)[None]) / area
    w = _cross((b - a)[None], p - a[None, :, :2]) / area
    inside = (v >= -1e-9) & (w >= -1e-9) & (v + w <= 1 + 1e-9)
    z = a[:, 2] + v * (b - a)[:, 2] + w * (c - a)[:, 2]
    best = np.where(inside, z, -np.inf).max(axis=1)
    return np.where(np.isfinite(best), best, np.nan)


def _cross(a: Array, b: Array) -> Array:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def _selected(line: Array, like: Array, vertex_count: int) -> sp.csr_matrix:
    """Matrix that samples polyline `line` at the inner vertices of a line as long as `like`."""
    at = np.linspace(0, len(line) - 1, len(like))[1:-1]
    low = np.minimum(at.astype(int), len(line) - 2)
    part = at - low
    rows = np.arange(len(at))
    return sp.csr_matrix(
        (
            np.concatenate([1 - part, part]),
            (np.tile(rows, 2), np.concatenate([line[low], line[low + 1]])),
        ),
        shape=(len(at), vertex_count),
    )


def _strip(upper: Array, lower: Array) -> list[list[int]]:
    """Triangles between two polylines whose vertices are evenly spaced."""
    at_upper, at_lower = (np.arange(len(line)) / (len(line) - 1) for line in (upper, lower))
    return stitched(upper.tolist(), lower.tolist(), at_upper, at_lower)
