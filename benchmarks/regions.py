"""Regions of a face model that benchmarks report on, the same for every model.

They come from MediaPipe's points embedded in the model, so that models with different
meshes are compared over the same skin.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, cKDTree

from fg3d_builder.facemodel import FaceModel
from fg3d_builder.facemodel.model import PARTS, Embedding
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.landmarks.edges import MEDIAPIPE, MEDIAPIPE_CURVES, MEDIAPIPE_OF_IBUG
from fg3d_builder.records import Array

INNER = np.array(MEDIAPIPE_OF_IBUG[17:])
"""MediaPipe's numbers of the 51 inner iBUG points, in iBUG's order: all but the jaw."""

HULL_MARGIN_MM = 10.0
CURVE_MARGIN_MM = 5.0
_CURVES = {
    "eyes": ("right_eye", "left_eye"),
    "brows": ("right_brow_upper", "right_brow_lower", "left_brow_upper", "left_brow_lower"),
    "lips": ("outer_lips", "inner_lips"),
}


def inner_landmarks(model: FaceModel) -> Embedding:
    """Return the embedding of the 51 points (fewer where the model lacks one)."""
    return model.embeddings[MEDIAPIPE].subset(INNER)


def narrow_face(model: FaceModel) -> Array:
    """Return the (n,) mask of the narrow face: brows to chin pad, cheek to cheek.

    Reliable vertices of the mean that face forwards (normal within 75 degrees of +z) and lie,
    seen from the front, within `HULL_MARGIN_MM` of the convex hull of the 51 inner landmarks.
    """
    points = inner_landmarks(model).points(model.mean, model.triangles)
    hull = ConvexHull(points[:, :2]).equations
    outside_mm = (model.mean[:, :2] @ hull[:, :2].T + hull[:, 2]).max(axis=1)
    forwards = vertex_normals(model.mean, model.triangles)[:, 2] > np.cos(np.radians(75.0))
    near = points[:, 2].min() - 10.0
    return (outside_mm <= HULL_MARGIN_MM) & forwards & model.reliable & (model.mean[:, 2] > near)


def outer_face(model: FaceModel) -> Array:
    """Return the (n,) mask of cheeks, forehead and chin: the reliable face without features."""
    smooth = np.isin(model.parts, [PARTS.index("rest"), PARTS.index("cheeks")])
    return smooth & model.reliable


def feature_regions(model: FaceModel) -> dict[str, Array]:
    """Return (n,) masks within the narrow face: ``eyes``, ``brows``, ``lips`` and ``nose``.

    Eyes, brows and lips are what lies within `CURVE_MARGIN_MM` of MediaPipe's curves on the
    mean; the nose is the model's own part.
    """
    narrow = narrow_face(model)
    embedding = model.embeddings[MEDIAPIPE]
    place = dict(
        zip(
            embedding.point_index.tolist(),
            embedding.points(model.mean, model.triangles),
            strict=True,
        )
    )
    regions = {}
    for name, curves in _CURVES.items():
        lines = []
        for curve in (MEDIAPIPE_CURVES[c] for c in curves):
            points = [place[p] for p in curve.points if p in place]
            lines.append(_sampled(np.array(points), curve.closed))
        distance, _ = cKDTree(np.concatenate(lines)).query(model.mean)
        regions[name] = narrow & (distance <= CURVE_MARGIN_MM)
    regions["nose"] = narrow & (model.parts == PARTS.index("nose"))
    return regions


def _sampled(points: Array, closed: bool) -> Array:
    """Points every twentieth of a segment along a polyline."""
    ends = np.concatenate([points, points[:1]]) if closed else points
    share = np.linspace(0.0, 1.0, 20)[:, None, None]
    return np.asarray(ends[:-1] * (1 - share) + ends[1:] * share).reshape(-1, 3)
