"""Renderings of face and surround that would show a crack."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_fill_holes

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import rasterize

VIEWS = ((0, 0), (0, 45), (0, -45), (0, 90), (-25, 0), (20, -45))


def joined(model: FaceModel, alpha_id: Array | None = None) -> tuple[Array, Array]:
    """Face and surround of an identity, tied together, as one mesh."""
    around = model.surround
    assert around is not None
    face, rest = model.shape(alpha_id), around.shape(alpha_id)
    rest[around.skirt] = around.attached(face, model.triangles)
    triangles = np.concatenate([model.triangles, around.triangles + model.vertex_count])
    return np.concatenate([face, rest]), triangles


def torn_and_hidden(model: FaceModel, alpha_id: Array | None = None) -> tuple[float, float]:
    """Largest shares of a view's pixels that show an inside or a hole, and a hidden sheet."""
    points, triangles = joined(model, alpha_id)
    camera = intrinsics_matrix(1000.0, 1000.0, 200.0, 200.0)
    torn, hidden = [], []
    for pitch, yaw in VIEWS:
        posed = points @ rotation_from_angles(pitch, yaw, 0).T + [0, -20, 900.0]
        seen = rasterize(posed, triangles, camera, 400, 400).triangle
        both = rasterize(posed, triangles, camera, 400, 400, cull_back_faces=False).triangle
        alone = rasterize(posed[: model.vertex_count], model.triangles, camera, 400, 400).triangle
        covered = both >= 0
        above_cut = points[triangles, 1].min(axis=1) > -130
        inside = covered & (seen != both) & above_cut[both]
        holes = binary_fill_holes(covered) & ~covered
        torn.append((inside.sum() + holes.sum()) / covered.sum())
        over = (alone >= 0) & (seen >= len(model.triangles))
        hidden.append(over.sum() / covered.sum())
    return max(torn), max(hidden)
