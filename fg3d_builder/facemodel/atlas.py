"""A chart of several pieces for a mesh that comes without one, by xatlas."""

from __future__ import annotations

import numpy as np

from fg3d_builder.errors import MissingDependencyError
from fg3d_builder.records import Array


def atlas(vertices: Array, triangles: Array) -> Array:
    """Lay a whole head out in several charts, for textures; networks want one (`facemodel.chart`).

    Quads are to be split before: charts end between the two triangles of some of them.

    Parameters
    ----------
    vertices : (n, 3) float
    triangles : (m, 3) int

    Returns
    -------
    (m, 3, 2) float64
        Coordinates in [0, 1] of the triangles' corners, v up. Charts do not overlap.

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
    _, corners, uv = xatlas.parametrize(
        np.ascontiguousarray(vertices, dtype=np.float32), triangles.astype(np.uint32)
    )
    return np.asarray(uv[corners], dtype=np.float64)
