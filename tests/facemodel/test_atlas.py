"""Several charts for a mesh without one: all of it is laid out, without overlaps."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.facemodel.atlas import atlas
from fg3d_builder.geometry.meshes import signed_areas, split_polygons
from fg3d_builder.records import Array

pytest.importorskip("xatlas")


def sphere_of_quads(rows: int = 9, columns: int = 16) -> tuple[Array, Array]:
    """A band of a sphere in quads, and triangles at its ends."""
    lift = np.linspace(-1.2, 1.2, rows)
    turn = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    points = [[np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)] for e in lift for a in turn]
    points += [[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]]
    low, high = len(points) - 2, len(points) - 1
    quads = []
    for row in range(rows - 1):
        for column in range(columns):
            a, b = row * columns + column, row * columns + (column + 1) % columns
            quads.append([a, b, b + columns, a + columns])
    last = (rows - 1) * columns
    for column in range(columns):
        following = (column + 1) % columns
        quads.append([low, following, column, -1])
        quads.append([high, last + column, last + following, -1])
    return 90.0 * np.array(points), np.array(quads, dtype=np.int32)


def test_every_triangle_has_its_place() -> None:
    vertices, polygons = sphere_of_quads()
    triangles = split_polygons(polygons)
    uv = atlas(vertices, triangles)
    assert uv.shape == (len(triangles), 3, 2)
    assert np.all((uv >= 0) & (uv <= 1))
    corner = vertices[triangles]
    surface = np.linalg.norm(
        np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1
    )
    # Charts keep the surface's areas up to one scale, and together they fit into the square.
    areas = np.abs(signed_areas(uv))
    share = areas / surface
    np.testing.assert_allclose(share, np.median(share), rtol=0.3)
    assert 0.3 < areas.sum() <= 1.0
