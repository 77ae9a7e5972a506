"""The contour term E_cont (Eq. 10): holds the visible outline of the face to the detected one.

The jaw landmarks of a scheme like iBUG's follow the outline, not the skin. The template's
outline points come from landmark marching (`fg3d_builder.facemodel.contour`), anew for every
solve; each is paired with the nearest point of the detected polyline. Eq. 10 pulls it to that
point. Here it is pulled to the line through that point: as the pairs are renewed the minimum is
the same, but a contour point may slide along the outline, which Eq. 10 leaves open.

Only schemes whose jaw marches take part. MediaPipe's jaw is a line on its 3D mesh, hidden
behind the cheek on a turned head, and as a line on the skin it is too rough to register to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fg3d_builder.facemodel.contour import (
    JAWS,
    NO_JAW,
    ContourLines,
    contour_lines,
    marched_points,
    match_contour,
)
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import cam_from_px, px_from_cam
from fg3d_builder.records import Array, Landmarks, Pose


class ContourPull(NamedTuple):
    """Lines in the camera's x and y that template vertices are drawn to.

    Attributes
    ----------
    vertex : (c,) int64
        A vertex may occur more than once.
    target_mm : (c, 2) float64
        A point of the line, at the vertex's current depth.
    normal : (c, 2) float64
        Unit normal of the line.
    confidence : (c,) float64
    """

    vertex: Array
    target_mm: Array
    normal: Array
    confidence: Array

    def residual_mm(self, xy_mm: Array) -> Array:
        """Return the (c,) signed distances of vertices at (c, 2) from their lines."""
        return np.asarray(((xy_mm - self.target_mm) * self.normal).sum(axis=1))


@dataclass(frozen=True)
class ContourPoints:
    """A model's contour lines and the contour that was detected.

    Attributes
    ----------
    lines : ContourLines
    polyline_px : (p, 2) float64
        In order; fewer than two points leave the term out.
    confidence : (p,) float64
    pose : Pose
        Pose of the coarse fit: decides where "outwards" is in the picture.
    intrinsics : (3, 3) float64
    """

    lines: ContourLines
    polyline_px: Array
    confidence: Array
    pose: Pose
    intrinsics: Array

    @staticmethod
    def of(model: FaceModel, landmarks: Landmarks, pose: Pose, intrinsics: Array) -> ContourPoints:
        """Take the detected outline of schemes that have one; may be empty."""
        jaw = JAWS.get(landmarks.scheme, NO_JAW)
        points = np.array(jaw.points if jaw.marches else (), dtype=int)
        px = landmarks.points_px[points].astype(np.float64)
        known = np.all(np.isfinite(px), axis=1)
        confidence = np.where(known, landmarks.confidence[points], 0.0)
        lines = contour_lines(model)
        if len(lines.vertices) == 0:
            px, confidence = px[:0], confidence[:0]
        return ContourPoints(lines, np.nan_to_num(px), confidence, pose, intrinsics)

    def pull(self, vertices_cam_mm: Array) -> ContourPull:
        """March, and pair the outline's vertices with the detected contour (Eq. 10)."""
        if len(self.polyline_px) < 2:
            none = np.zeros(0)
            return ContourPull(np.zeros(0, np.int64), none.reshape(0, 2), none.reshape(0, 2), none)
        points = vertices_cam_mm[self.lines.vertices]
        row = marched_points(self.lines, points, self.pose)
        px = px_from_cam(points[row], self.intrinsics)
        pair = match_contour(row, px, self.polyline_px, self.confidence)
        target = cam_from_px(pair.target_px, points[pair.row, 2], self.intrinsics)[:, :2]
        # From pixels to millimetres a direction shrinks by the focal lengths, a normal grows.
        normal = pair.normal_px * np.diag(self.intrinsics)[:2]
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        return ContourPull(self.lines.vertices[pair.row], target, normal, pair.weight)
