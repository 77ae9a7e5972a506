"""Face profiling (Zhu et al. 2019), the baseline of Table 3: no depth channel, no inpainting.

The mesh of full-view augmentation, except that nothing is known behind the face: beside the face
an anchor has the depth of the outline's nearest point, and away from it the anchors are on one
plane that faces the camera, at the outline's mean depth.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from fg3d_builder.config import FullViewConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.image_mesh import ImageMesh, flat_mesh, lifted
from fg3d_builder.records import Array, Capture, Registration

FALL_OFF = 0.25
"""Distance from the face over which its depth fades to the plane's, in sizes of the face."""


def profiling_mesh(
    model: FaceModel, capture: Capture, registration: Registration, config: FullViewConfig
) -> ImageMesh:
    """Make a mesh of a picture without looking at its depth channel.

    Raises
    ------
    CaptureError
        ``"no_outline"``.
    """
    flat = flat_mesh(model, capture, registration, config)
    depth = flat.depth_mm.copy()
    anchors = flat.points_px[flat.first_anchor :]
    depth[flat.first_anchor :] = profiled_depth(
        anchors, flat.points_px[flat.outline], flat.depth_mm[flat.outline]
    )
    return lifted(model, capture, registration, flat, depth)


def profiled_depth(points_px: Array, outline_px: Array, outline_mm: Array) -> Array:
    """Return (k,) depths, mm, of points around an outline."""
    away, nearest = cKDTree(outline_px).query(points_px)
    size = float(np.max(np.ptp(outline_px, axis=0)))
    plane = float(outline_mm.mean())
    fading = np.exp(-away / (FALL_OFF * size))
    return np.asarray(plane + fading * (outline_mm[nearest] - plane))
