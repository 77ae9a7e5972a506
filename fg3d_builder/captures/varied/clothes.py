"""Clothes below a bust that ends at the chest, for cameras far enough away to see it end."""

from __future__ import annotations

import numpy as np

from fg3d_builder.captures.varied.worn import Solid
from fg3d_builder.geometry.meshes import border_edges
from fg3d_builder.records import Array

_HANGING_MM = 900.0
_CHEST_Y_MM = -150.0
"""Borders below it are the bust's; those above are the face's."""


def hanging_clothes(vertices_obj_mm: Array, triangles: Array, albedo: Array) -> Solid:
    """Return cloth that hangs straight down from where a bust ends.

    Parameters
    ----------
    vertices_obj_mm : (n, 3) float
        Head, neck and shoulders.
    triangles : (m, 3) int
    albedo : (n, 3) float
        Linear RGB; the cloth goes on in the colour of the border.
    """
    edges = border_edges(triangles)
    edges = edges[(vertices_obj_mm[edges, 1] < _CHEST_Y_MM).all(axis=1)]
    ends = vertices_obj_mm[edges]
    below = ends - [0.0, _HANGING_MM, 0.0]
    along = ends[:, 1] - ends[:, 0]
    # Each edge of a border runs with its triangle to the left: outwards is down cross along.
    normals = np.cross(np.array([0.0, -1.0, 0.0]), along)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    first = 4 * np.arange(len(edges))
    one = (first[:, None, None] + np.array([[0, 2, 1], [1, 2, 3]])).reshape(-1, 3)
    return Solid(
        np.concatenate([ends, below], axis=1).reshape(-1, 3),
        np.concatenate([one, one[:, ::-1]]),
        np.repeat(normals, 4, axis=0),
        np.tile(albedo[edges], (1, 2, 1)).reshape(-1, 3),
    )
