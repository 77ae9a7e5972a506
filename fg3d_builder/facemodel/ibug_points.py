"""Points of the 68 that the annotations define by others, not by a spot of skin.

The two middle points of the nose's bridge stand at thirds of the way from its root to its tip
(27 to 30), and the jaw points at even steps along the outline of a face that is seen from the
front, from the height of the outer eye corners on one side to the other (Sagonas et al., "300
faces in-the-wild challenge", 2016).
"""

from __future__ import annotations

import numpy as np

from fg3d_builder.geometry.smoothing import smooth_normals
from fg3d_builder.landmarks.edges import MEDIAPIPE_RIDGE
from fg3d_builder.records import Array

BRIDGE = (28, 29)
JAW = tuple(range(17))
OUTER_EYE_CORNERS = (36, 45)

_TOWARDS_CHIN = (0.0, 0.4, 0.8, 1.0)
_STILL_SEEN = (0.20, 0.25, 0.33, 0.50)
"""Where a detector sees the outline of frontal heads: how much the skin still faces the camera
(cosine), from the ears (0) to the chin (1); medians of six textured heads."""


def bridge_points(ridge_mm: Array) -> Array:
    """Return the (2, 3) points `BRIDGE`, given the (6, 3) points `MEDIAPIPE_RIDGE` of a face."""
    assert len(ridge_mm) == len(MEDIAPIPE_RIDGE)
    return _even(ridge_mm, ridge_mm, 4)[1:3]


def outline_points(
    vertices_mm: Array, triangles: Array, lines: tuple[Array, ...], eye_corners_mm: Array
) -> Array | None:
    """Return the (17, 3) points `JAW` of a face, None where its lines do not tell.

    Parameters
    ----------
    vertices_mm : (n, 3) float64
        Object frame.
    triangles : (m, 3) int
    lines : tuple of (p,) int
        17 contour lines, see `FaceModel.contour_lines`, one through each jaw point.
    eye_corners_mm : (2, 3) float64
        The outer corners, the subject's right one first.
    """
    if len(lines) != len(JAW):
        return None
    facing = smooth_normals(vertices_mm, triangles)[:, 2]
    middle = len(JAW) // 2
    edge = []
    for number, line in enumerate(lines):
        seen = np.interp(1 - abs(number - middle) / middle, _TOWARDS_CHIN, _STILL_SEEN)
        edge.append(_first_below(vertices_mm[line], facing[line] - seen))
    outline = np.array(edge)
    halves = []
    for half, corner in ((outline[: middle + 1], 0), (outline[middle:][::-1], 1)):
        line = _from_height(half, eye_corners_mm[corner, 1])
        halves.append(_even(line, line[:, :2], middle + 1))
    return np.concatenate([halves[0], halves[1][-2::-1]])


def _first_below(points: Array, values: Array) -> Array:
    """Place along a polyline where values first fall below 0; its end where they do not."""
    below = np.flatnonzero(values < 0)
    if not len(below):
        return np.asarray(points[-1])
    at = int(below[0])
    if at == 0:
        return np.asarray(points[0])
    share = values[at - 1] / (values[at - 1] - values[at])
    return np.asarray(points[at - 1] + share * (points[at] - points[at - 1]))


def _from_height(half: Array, y_mm: float) -> Array:
    """Let a polyline that comes down begin at a height: cut, or gone on straight upwards."""
    first = int(np.argmax(half[:, 1] < y_mm))
    if first == 0:
        return np.vstack([[half[0, 0], y_mm, half[0, 2]], half])
    a, b = half[first - 1], half[first]
    return np.vstack([a + (a[1] - y_mm) / (a[1] - b[1]) * (b - a), half[first:]])


def _even(line: Array, seen: Array, count: int) -> Array:
    """(count, 3) points of a polyline (p, 3) at even steps of that line as it is `seen`."""
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(seen, axis=0), axis=1))])
    at = np.linspace(0.0, length[-1], count)
    return np.column_stack([np.interp(at, length, line[:, axis]) for axis in range(3)])
