"""The edge points of E_edge (Eq. 9): points of the template, and where they were detected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fg3d_builder.facemodel.model import Embedding, FaceModel
from fg3d_builder.facemodel.regions import signed_distance
from fg3d_builder.geometry.camera import cam_from_px, px_from_cam
from fg3d_builder.geometry.meshes import triangle_normals
from fg3d_builder.landmarks.eyelids import Eyelids, with_lids_closed
from fg3d_builder.numerics.weighted import weighted_rms
from fg3d_builder.records import Array, Landmarks

LID_EDGE_MM = 4.0
"""Around the opening of the model's eye, what a blink presses together beside it."""


@dataclass(frozen=True)
class EdgePoints:
    """Embedded edge points with their detected 2D positions (Eq. 9).

    Attributes
    ----------
    embedding : Embedding
    points_px : (p, 2) float64
    confidence : (p,) float64
    intrinsics : (3, 3) float64
    lids : tuple of (2, k) int64
        Of each closed eye, the rows above of the points on its upper lid and of those on its lower
        lid that they meet.
    """

    embedding: Embedding
    points_px: Array
    confidence: Array
    intrinsics: Array
    lids: tuple[Array, ...] = ()

    @staticmethod
    def of(
        model: FaceModel,
        landmarks: Landmarks,
        intrinsics: Array,
        eyes: tuple[Eyelids, ...] = (),
    ) -> EdgePoints:
        """Pair the model's edge points with what the detector found; may be empty.

        The lids of eyes that are closed meet on their seam.
        """
        landmarks = with_lids_closed(landmarks, eyes)
        whole = model.embeddings.get(landmarks.scheme)
        if whole is None:
            none = np.zeros(0, dtype=np.int32)
            whole = Embedding(none, none, np.zeros((0, 3)))
        wanted = model.edge_points.get(landmarks.scheme, np.zeros(0, dtype=np.int32))
        chosen = whole.subset(wanted)
        index = chosen.point_index
        return EdgePoints(
            chosen,
            landmarks.points_px[index],
            landmarks.confidence[index],
            intrinsics,
            _meeting_rows(index, eyes),
        )

    @property
    def meets(self) -> Array:
        """(p,) bool: points on the lids of closed eyes."""
        mask = np.zeros(len(self.points_px), dtype=bool)
        for pairs in self.lids:
            mask[pairs] = True
        return mask

    def between_lids(self, model: FaceModel) -> Array:
        """Return the (n,) mask of vertices between lids that meet, and `LID_EDGE_MM` around."""
        points = self.embedding.points(model.mean, model.triangles)[:, :2]
        inside = np.zeros(model.vertex_count, dtype=bool)
        for upper, lower in self.lids:
            outline = points[np.concatenate([upper, lower[::-1]])]
            inside |= signed_distance(model.mean[:, :2], outline) > -LID_EDGE_MM
        return inside & (model.mean[:, 2] > 0)

    def depth_mm(self, vertices_cam_mm: Array, triangles: Array) -> Array:
        """Return the (p,) depths of the embedded points; points that meet have one depth."""
        depth = self.embedding.points(vertices_cam_mm, triangles)[:, 2]
        for pairs in self.lids:
            depth[pairs] = depth[pairs].mean(axis=0)
        return np.asarray(depth)

    def residual_px(self, vertices_cam_mm: Array, triangles: Array) -> Array:
        """Return (p,) pixel distances of embedded to detected points."""
        points = self.embedding.points(vertices_cam_mm, triangles)
        return np.asarray(
            np.linalg.norm(px_from_cam(points, self.intrinsics) - self.points_px, axis=1)
        )

    def lifted_mm(self, vertices_cam_mm: Array, triangles: Array) -> Array:
        """Return the detected points (p, 2), lifted to the embedded points' current depth."""
        depth = self.depth_mm(vertices_cam_mm, triangles)
        return cam_from_px(self.points_px, depth, self.intrinsics)[:, :2]

    def rms_px(self, vertices_cam_mm: Array, triangles: Array) -> float:
        """Return the confidence-weighted RMS of `residual_px`; NaN where nothing has weight."""
        return weighted_rms(self.residual_px(vertices_cam_mm, triangles), self.confidence)

    def facing(self, vertices_cam_mm: Array, triangles: Array) -> Array:
        """Return the (p,) bool mask of points whose triangle faces the camera."""
        corners = triangles[self.embedding.triangle]
        normals = triangle_normals(vertices_cam_mm, corners)
        return np.einsum("pd,pd->p", normals, vertices_cam_mm[corners[:, 0]]) < 0


def _meeting_rows(numbers: Array, eyes: tuple[Eyelids, ...]) -> tuple[Array, ...]:
    """Return the lids of closed eyes as (2, k) rows of their points among `numbers`."""
    row = {int(number): i for i, number in enumerate(numbers)}
    found = []
    for eye in eyes:
        if eye.is_closed:
            pairs = np.stack([eye.pairs.upper, eye.pairs.lower]).T.tolist()
            known = [[row[a], row[b]] for a, b in pairs if a in row and b in row]
            if known:
                found.append(np.array(known).T)
    return tuple(found)
