"""A chart of several pieces for a mesh that comes without one, by xatlas."""

from __future__ import annotations

import numpy as np

from fg3d_builder.errors import MissingDependencyError
from fg3d_builder.geometry.meshes import split_polygons
from fg3d_builder.records import Array


def atlas(vertices: Array, polygons: Array) -> Array:
    """Lay a whole head out in several charts, for textures; networks want one (`facemodel.chart`).

    Parameters
    ----------
    vertices : (n, 3) float
    polygons : (m, 3) or (m, 4) int
        -1 in the last place of triangles among quads.

    Returns
    -------
    (m, 3 or 4, 2) float64
        Coordinates in [0, 1] of the polygons' corners, v up; zeros in the fourth place of
        triangles. Charts do not overlap; the two triangles of a quad may lie on two of them,
        and then its fourth corner is that of its second triangle.

    Raises
    ------
    MissingDependencyError
        The package xatlas is not installed.
    """
    try:
        import xatlas
    except ImportError as error:
        raise MissingDependencyError(
            "a chart for a model without one needs the package xatlas: "
            "pip install 'fg3d-builder[atlas]'"
        ) from error
    triangles = split_polygons(polygons)
    _, corners, uv = xatlas.parametrize(
        np.ascontiguousarray(vertices, dtype=np.float32), triangles.astype(np.uint32)
    )
    of_triangle = uv[corners].astype(np.float64)
    if polygons.shape[1] == 3:
        return np.asarray(of_triangle)
    quad = polygons[:, 3] >= 0
    first = np.cumsum(1 + quad) - (1 + quad)
    out = np.zeros((*polygons.shape, 2))
    out[:, :3] = of_triangle[first]
    out[quad, 3] = of_triangle[first[quad] + 1, 2]
    return out
