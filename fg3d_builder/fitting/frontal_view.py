"""Landmarks that do not drift with the view: detected anew in a picture from straight ahead.

A landmark detector errs differently in every view. On heads turned by 25 to 45 degrees its points
lie 3 to 6 mm beside those that it finds on the same face from the front, and all of the fit
follows them: the mesh turns on the face, and with it the pose of Eq. 11 and ``S*``. An RGB-D
frame can be looked at from elsewhere. So the measured surface, with the image as its texture, is
rendered from straight ahead; what the camera did not see there is filled with its mirror image,
the detector is asked again, and what it finds is carried back along the surface.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fitting.robust_alignment import align_robust
from fg3d_builder.geometry.camera import at_nearest_pixel, px_from_cam
from fg3d_builder.geometry.meshes import compact_triangles
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.records import Array, Capture, Landmarks, Pose
from fg3d_builder.rendering.depth_surface import DepthSurface
from fg3d_builder.rendering.rasterizer import interpolate, rasterize

SIZE_PX, DISTANCE_MM, PX_PER_MM = 512, 550.0, 1.85
"""The picture's side, the distance that it is taken from, and its scale at the face: the whole
head with a margin, at about what landmark networks see of a face."""

REACH_MM = 200.0
"""Half the side of the box around the face that is rendered."""

HOLE_PX = 61
"""Holes in the face up to so wide, seen by the camera from neither side, are painted over."""

ROUNDS = 2
"""The first picture is taken with the drifting landmarks' pose: the second is straight."""

MAX_SHIFT = 0.15
"""Of the size of the face: points that move by more, in the median, are those of something else."""

BACKGROUND = (120, 120, 120)


class FrontalView(NamedTuple):
    """A face from straight ahead.

    Attributes
    ----------
    rgb : (S, S, 3) uint8
    points_cam_mm : (S, S, 3) float32
        The capture's surface at each pixel, in its camera frame; NaN where it was not seen.
    """

    rgb: Array
    points_cam_mm: Array


def frontal_landmarks(
    model: FaceModel,
    capture: Capture,
    landmarks: Landmarks,
    surface: DepthSurface,
    detector: LandmarkDetector,
) -> Landmarks:
    """Detect the landmarks of a capture anew in its frontal view.

    Parameters
    ----------
    model : FaceModel
        Says what "straight ahead" is. One without an embedding of the landmarks' scheme leaves
        them as they are.
    capture : Capture
    landmarks : Landmarks
        As detected in the capture's own image.
    surface : DepthSurface
    detector : LandmarkDetector
        The one that found them.

    Returns
    -------
    Landmarks
        In the capture's image. Points that the capture shows no surface of have no confidence;
        where the frontal view shows no face, or another one, all are as they were.
    """
    found = landmarks
    for _ in range(ROUNDS):
        pose = pose_of_landmarks(model, found, surface)
        if pose is None:
            return landmarks
        view = frontal_view(capture, surface, pose)
        try:
            seen = detector.detect(replace(capture, rgb=view.rgb))
        except CaptureError:
            return landmarks
        found = _carried_back(seen, view, surface.intrinsics)
        if not _same_face(landmarks, found):
            return landmarks
    return found


def pose_of_landmarks(model: FaceModel, landmarks: Landmarks, surface: DepthSurface) -> Pose | None:
    """Align the mean face to the landmarks on the surface; None with too few of them there."""
    embedding = model.embeddings.get(landmarks.scheme)
    if embedding is None:
        return None
    index = embedding.point_index
    lifted, _, ok = surface.lookup(landmarks.points_px[index])
    ok &= (landmarks.confidence[index] > 0) & np.isfinite(lifted).all(axis=1)
    if ok.sum() < max(6, 0.25 * len(index)):
        return None
    points = embedding.points(model.mean, model.triangles)
    weights = landmarks.confidence[index][ok].astype(np.float64)
    return align_robust(points[ok], lifted[ok], weights, True, 1.0)


def frontal_view(capture: Capture, surface: DepthSurface, pose: Pose) -> FrontalView:
    """Render a capture's surface from straight ahead of the face at `pose`."""
    points_obj = pose.obj_from_cam(surface.vertices_cam_mm)
    near = np.all(np.abs(points_obj) < REACH_MM, axis=1)
    kept = surface.triangles[near[surface.triangles].all(axis=1)]
    used, triangles = compact_triangles(kept, len(points_obj))
    seen_from = points_obj[used] * [1.0, -1.0, -1.0] + [0.0, 0.0, DISTANCE_MM]
    focal, middle = PX_PER_MM * DISTANCE_MM, (SIZE_PX - 1) / 2.0
    camera = np.array([[focal, 0.0, middle], [0.0, focal, middle], [0.0, 0.0, 1.0]])
    fragments = rasterize(seen_from, triangles, camera, SIZE_PX, SIZE_PX)
    covered = fragments.triangle >= 0
    attributes = np.hstack([surface.vertex_px[used], surface.vertices_cam_mm[used]])
    drawn = interpolate(fragments, triangles, attributes, np.float32)
    colours = cv2.remap(
        capture.rgb, drawn[..., 0], drawn[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    points = np.where(covered[..., None], drawn[..., 2:], np.float32(np.nan))
    return FrontalView(_filled(colours, covered), points)


def _filled(colours: Array, covered: Array) -> Array:
    """Fill what is not `covered` (S, S) with the mirrored half, then paint over small holes."""
    # The outermost pixels of a surface are mixed with what is behind it.
    sure = cv2.erode(covered.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    mirrored = ~sure & sure[:, ::-1]
    out = np.where(mirrored[..., None], colours[:, ::-1], colours)
    known = sure | mirrored
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (HOLE_PX, HOLE_PX))
    whole = cv2.morphologyEx(known.astype(np.uint8), cv2.MORPH_CLOSE, disc) > 0
    out[~whole] = BACKGROUND
    return np.asarray(cv2.inpaint(out, (whole & ~known).astype(np.uint8), 3, cv2.INPAINT_TELEA))


def _carried_back(found: Landmarks, view: FrontalView, intrinsics: Array) -> Landmarks:
    """Take landmarks of the frontal view to the pixels of the capture that show them."""
    x, y = found.points_px.astype(np.float32).T[:, :, None]
    lifted = cv2.remap(
        view.points_cam_mm, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan
    )[:, 0].astype(np.float64)
    on_surface = np.isfinite(lifted).all(axis=1)
    px = found.points_px.copy()
    px[on_surface] = px_from_cam(lifted[on_surface], intrinsics)
    confidence = np.where(on_surface, found.confidence, 0.0)
    return replace(found, points_px=px, confidence=confidence)


def _same_face(before: Landmarks, after: Landmarks) -> bool:
    """Whether the points with confidence are about where they were."""
    both = (before.confidence > 0) & (after.confidence > 0)
    if both.sum() < 6:
        return False
    size = float(np.ptp(before.points_px[both], axis=0).max())
    shift = np.linalg.norm(after.points_px[both] - before.points_px[both], axis=1)
    return float(np.median(shift)) < MAX_SHIFT * size
