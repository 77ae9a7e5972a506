"""The edge points of E_edge (Eq. 9): points of the template, and where they were detected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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


class ClosedLids(NamedTuple):
    """The edge points of one closed eye.

    Attributes
    ----------
    rows : (2, k) int64
        The points on its upper lid, and those on its lower lid that they meet.
    eye : Eyelids
        With a seam.
    """

    rows: Array
    eye: Eyelids


@dataclass(frozen=True)
class EdgePoints:
    """Embedded edge points with their detected 2D positions (Eq. 9).

    Attributes
    ----------
    embedding : Embedding
    points_px : (p, 2) float64
    confidence : (p,) float64
    intrinsics : (3, 3) float64
    lids : tuple of ClosedLids
    """

    embedding: Embedding
    points_px: Array
    confidence: Array
    intrinsics: Array
    lids: tuple[ClosedLids, ...] = ()

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
            _closed_lids(index, eyes),
        )

    @property
    def meets(self) -> Array:
        """(p,) bool: points on the lids of closed eyes."""
        mask = np.zeros(len(self.points_px), dtype=bool)
        for closed in self.lids:
            mask[closed.rows] = True
        return mask

    def between_lids(self, model: FaceModel) -> Array:
        """Return the (n,) mask of vertices between lids that meet, and `LID_EDGE_MM` around."""
        points = self.embedding.points(model.mean, model.triangles)[:, :2]
        inside = np.zeros(model.vertex_count, dtype=bool)
        for closed in self.lids:
            upper, lower = closed.rows
            outline = points[np.concatenate([upper, lower[::-1]])]
            inside |= signed_distance(model.mean[:, :2], outline) > -LID_EDGE_MM
        return inside & (model.mean[:, 2] > 0)

    def depth_mm(self, vertices_cam_mm: Array, triangles: Array) -> Array:
        """Return the (p,) depths of the embedded points; points that meet have one depth."""
        depth = self.embedding.points(vertices_cam_mm, triangles)[:, 2]
        for closed in self.lids:
            depth[closed.rows] = depth[closed.rows].mean(axis=0)
        return np.asarray(depth)

    def targets_px(self, vertices_cam_mm: Array, triangles: Array) -> Array:
        """Return (p, 2) where the points belong: the detected ones.

        Lids that meet do so on their seam next to where they are: a detector does not know where
        along a closed eye its points are.
        """
        targets = self.points_px.astype(np.float64)
        if self.lids:
            now = px_from_cam(self.embedding.points(vertices_cam_mm, triangles), self.intrinsics)
            for closed in self.lids:
                targets[closed.rows] = closed.eye.on_seam(now[closed.rows].mean(axis=0))
        return targets

    def residual_px(self, vertices_cam_mm: Array, triangles: Array) -> Array:
        """Return (p,) pixel distances of embedded to detected points."""
        points = self.embedding.points(vertices_cam_mm, triangles)
        return np.asarray(
            np.linalg.norm(
                px_from_cam(points, self.intrinsics) - self.targets_px(vertices_cam_mm, triangles),
                axis=1,
            )
        )

    def lifted_mm(self, vertices_cam_mm: Array, triangles: Array) -> Array:
        """Return the detected points (p, 2), lifted to the embedded points' current depth."""
        depth = self.depth_mm(vertices_cam_mm, triangles)
        return cam_from_px(self.targets_px(vertices_cam_mm, triangles), depth, self.intrinsics)[
            :, :2
        ]

    def rms_px(self, vertices_cam_mm: Array, triangles: Array) -> float:
        """Return the confidence-weighted RMS of `residual_px`; NaN where nothing has weight."""
        return weighted_rms(self.residual_px(vertices_cam_mm, triangles), self.confidence)

    def facing(self, vertices_cam_mm: Array, triangles: Array) -> Array:
        """Return the (p,) bool mask of points whose triangle faces the camera."""
        corners = triangles[self.embedding.triangle]
        normals = triangle_normals(vertices_cam_mm, corners)
        return np.einsum("pd,pd->p", normals, vertices_cam_mm[corners[:, 0]]) < 0


def _closed_lids(numbers: Array, eyes: tuple[Eyelids, ...]) -> tuple[ClosedLids, ...]:
    """Return the lids of closed eyes with the rows of their points among `numbers`."""
    row = {int(number): i for i, number in enumerate(numbers)}
    found = []
    for eye in eyes:
        if eye.is_closed:
            pairs = np.stack([eye.pairs.upper, eye.pairs.lower]).T.tolist()
            known = [[row[a], row[b]] for a, b in pairs if a in row and b in row]
            if known:
                found.append(ClosedLids(np.array(known).T, eye))
    return tuple(found)
