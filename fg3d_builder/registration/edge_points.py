"""The edge points of E_edge (Eq. 9): points of the template, and where they were detected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fg3d_builder.facemodel.model import Embedding, FaceModel
from fg3d_builder.geometry.camera import cam_from_px, px_from_cam
from fg3d_builder.geometry.meshes import triangle_normals
from fg3d_builder.numerics.weighted import weighted_rms
from fg3d_builder.records import Array, Landmarks


@dataclass(frozen=True)
class EdgePoints:
    """Embedded edge points with their detected 2D positions (Eq. 9).

    Attributes
    ----------
    embedding : Embedding
    points_px : (p, 2) float64
    confidence : (p,) float64
    intrinsics : (3, 3) float64
    """

    embedding: Embedding
    points_px: Array
    confidence: Array
    intrinsics: Array

    @staticmethod
    def of(model: FaceModel, landmarks: Landmarks, intrinsics: Array) -> EdgePoints:
        """Pair the model's edge points with what the detector found; may be empty."""
        whole = model.embeddings.get(landmarks.scheme)
        if whole is None:
            none = np.zeros(0, dtype=np.int32)
            whole = Embedding(none, none, np.zeros((0, 3)))
        wanted = model.edge_points.get(landmarks.scheme, np.zeros(0, dtype=np.int32))
        chosen = whole.subset(wanted)
        index = chosen.point_index
        return EdgePoints(
            chosen, landmarks.points_px[index], landmarks.confidence[index], intrinsics
        )

    def residual_px(self, vertices_cam_mm: Array, triangles: Array) -> Array:
        """Return (p,) pixel distances of embedded to detected points."""
        points = self.embedding.points(vertices_cam_mm, triangles)
        return np.asarray(
            np.linalg.norm(px_from_cam(points, self.intrinsics) - self.points_px, axis=1)
        )

    def lifted_mm(self, vertices_cam_mm: Array, triangles: Array) -> Array:
        """Return the detected points (p, 2), lifted to the embedded points' current depth."""
        depth = self.embedding.points(vertices_cam_mm, triangles)[:, 2]
        return cam_from_px(self.points_px, depth, self.intrinsics)[:, :2]

    def rms_px(self, vertices_cam_mm: Array, triangles: Array) -> float:
        """Return the confidence-weighted RMS of `residual_px`; NaN where nothing has weight."""
        return weighted_rms(self.residual_px(vertices_cam_mm, triangles), self.confidence)

    def facing(self, vertices_cam_mm: Array, triangles: Array) -> Array:
        """Return the (p,) bool mask of points whose triangle faces the camera."""
        corners = triangles[self.embedding.triangle]
        normals = triangle_normals(vertices_cam_mm, corners)
        return np.einsum("pd,pd->p", normals, vertices_cam_mm[corners[:, 0]]) < 0
