"""Where the camera saw nothing: the 3DMM's posterior plus the residual of the seen part.

On the unseen side nonrigid ICP has stiffness alone. What the seen part implies for the rest is the
3DMM's conditional mean given it. The residual between that face and the registered one is known
where the depth supports the registration; from there a screened membrane continues it ::

    sum_edges(ij) |e_i - e_j|^2 + sum_seen h_i |e_i - d_i|^2 + sum_unseen A_i k |e_i|^2

so that there is no seam, and so that a residual fades over `FADE_MM` into the 3DMM's face.
"""

from __future__ import annotations

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.meshes import vertex_areas
from fg3d_builder.records import Array
from fg3d_builder.registration.membrane import shared_pattern

FADE_MM = 40.0
"""Distance from what was seen over which the residual falls to 1/e."""

HOLD = 30.0
"""Weight of a fully supported vertex against that of an edge: it moves by 1e-2 of what its
neighbours would have it move, and unsupported vertices among supported ones are bridged."""


def completed(
    model: FaceModel,
    vertices_cam_mm: Array,
    posterior_cam_mm: Array,
    support: Array,
    solver: str,
) -> Array:
    """Replace what is not supported by the 3DMM's face plus the continued residual.

    Parameters
    ----------
    model : FaceModel
    vertices_cam_mm : (n, 3) float64
        Registered, also where nothing was seen.
    posterior_cam_mm : (n, 3) float64
        The 3DMM's face given the supported vertices.
    support : (n,) float64
        In [0, 1]: how well depth or landmarks hold each vertex; those with 0 are replaced.
    solver : str
        Backend, see `analyze`.

    Returns
    -------
    (n, 3) float64
    """
    pattern = shared_pattern(model.triangles, model.vertex_count, solver)
    # The sum over the edges of a regular triangulation is sqrt(3) times the integral of the
    # squared gradient, whatever the edges' length.
    screening = np.sqrt(3.0) / FADE_MM**2 * vertex_areas(posterior_cam_mm, model.triangles)
    hold = HOLD * support
    diagonal = hold + np.where(support > 0, 0.0, screening)
    factor = pattern.analysis.factor(pattern.values(np.ones(len(pattern.edges)), diagonal))
    residual = vertices_cam_mm - posterior_cam_mm
    return np.asarray(posterior_cam_mm + factor.solve(hold[:, None] * residual))
