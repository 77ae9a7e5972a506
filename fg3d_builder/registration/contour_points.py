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

from typing import NamedTuple

import numpy as np

from fg3d_builder.facemodel.contour import DetectedContour
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import cam_from_px
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


class ContourPoints(NamedTuple):
    """The detected contour, and the pose that outlines are judged by.

    Attributes
    ----------
    contour : DetectedContour
        Without a polyline where the term is left out.
    pose : Pose
        Pose of the coarse fit: decides where "outwards" is in the picture.
    """

    contour: DetectedContour
    pose: Pose

    @staticmethod
    def of(model: FaceModel, landmarks: Landmarks, pose: Pose, intrinsics: Array) -> ContourPoints:
        """Take the detected outline of schemes whose jaw marches; may be empty."""
        contour = DetectedContour.of(model, landmarks, intrinsics)
        if not contour.marches:
            contour = contour._replace(polyline_px=np.zeros((0, 2)), confidence=np.zeros(0))
        return ContourPoints(contour, pose)

    def uncovered(self, foreign: Array) -> ContourPoints:
        """Leave out what was detected on a mask (H, W) of what hides the face."""
        return self._replace(contour=self.contour.uncovered(foreign))

    def pull(self, vertices_cam_mm: Array) -> ContourPull:
        """March, and pair the outline's vertices with the detected contour (Eq. 10)."""
        if not self.contour.exists:
            none = np.zeros(0)
            return ContourPull(np.zeros(0, np.int64), none.reshape(0, 2), none.reshape(0, 2), none)
        vertices, camera = self.contour.lines.vertices, self.contour.intrinsics
        points = vertices_cam_mm[vertices]
        pair = self.contour.match(points, self.pose)
        target = cam_from_px(pair.target_px, points[pair.row, 2], camera)[:, :2]
        # From pixels to millimetres a direction shrinks by the focal lengths, a normal grows.
        normal = pair.normal_px * np.diag(camera)[:2]
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        return ContourPull(vertices[pair.row], target, normal, pair.weight)
