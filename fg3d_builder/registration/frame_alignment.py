"""How the cameras of several captures of one face stand to each other.

A face is nearly round, and the errors of a depth camera stay with the camera: closest points alone
let two frames turn less than the head did, by 0.5 to 0.8 degrees over 40. What is painted on the
skin turns with it. So a frame's pose is fitted to two things at once: the planes at the closest
points of its depth, and the details of its image - brows, eyes, lips, spots - against those that
the other frames show at the same places of the surface. Details are the logarithm of the
luminance without what changes slowly over the face, which is light more than skin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.numerics.robust import GemanMcClure
from fg3d_builder.records import Array, Pose
from fg3d_builder.registration.nonrigid_icp import DataTerm, NonrigidIcp

DETAIL_MM = 6.0
"""Standard deviation of the blur whose difference to the image is its detail."""

HEAD_MM = 150.0
"""Depth that is further from the face belongs to something behind or before it."""

DARKEST = 8.0
"""Grey levels added before the logarithm: noise of dark pixels is no detail."""

MIN_COSINE = 0.4
"""Between surface and line of sight, for details."""

STEPS, SETTLED_MM = 20, 2e-3
"""Gauss-Newton steps of a pose at most, and the motion of a vertex that ends them."""

SWEEPS = 2
"""The first takes the frames in one after the other; the next aligns each to all others."""

_LEAST_SIGMA_MM, _LEAST_SIGMA = 0.05, 0.01


class FrameDetails(NamedTuple):
    """What is painted on the skin, and its slopes per pixel, all (H, W) float32.

    Attributes
    ----------
    values : (H, W) float32
    slope_x, slope_y : (H, W) float32
    """

    values: Array
    slope_x: Array
    slope_y: Array

    @staticmethod
    def of(rgb: Array, depth_mm: Array, distance_mm: float, focal_px: float) -> FrameDetails:
        """Take the details of a colour image (H, W, 3) uint8 of a face at `distance_mm`.

        Pixels without depth, or with one far from the face, take no part.
        """
        grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY).astype(np.float32)
        tone: Array = cv2.GaussianBlur(np.log(grey + DARKEST), (0, 0), 0.7)
        with np.errstate(invalid="ignore"):
            face: Array = (np.abs(depth_mm - distance_mm) < HEAD_MM).astype(np.float32)
        sigma_px = max(1.0, DETAIL_MM * focal_px / distance_mm)
        share = cv2.GaussianBlur(face, (0, 0), sigma_px)
        slow = cv2.GaussianBlur(tone * face, (0, 0), sigma_px) / np.maximum(share, 1e-3)
        values = (tone - slow) * face
        slopes = [cv2.Scharr(values, -1, 1 - axis, axis) / 32.0 for axis in (0, 1)]
        return FrameDetails(values, np.asarray(slopes[0]), np.asarray(slopes[1]))


class AlignedFrame(NamedTuple):
    """A frame whose pose is sought.

    Attributes
    ----------
    icp : NonrigidIcp
        Set up at its first pose: closest points, camera and model.
    details : FrameDetails
    vertices_cam_mm : (n, 3) float64
        The face as registered to this frame alone.
    confidence : (n,) float64
    """

    icp: NonrigidIcp
    details: FrameDetails
    vertices_cam_mm: Array
    confidence: Array


class Surface(NamedTuple):
    """What some frames show together, in the common frame.

    Attributes
    ----------
    vertices_mm : (n, 3) float64
    confidence : (n,) float64
        0 where none of the frames sees the vertex.
    details : (n,) float64
    detail_weights : (n,) float64
    """

    vertices_mm: Array
    confidence: Array
    details: Array
    detail_weights: Array


def align_frames(frames: Sequence[AlignedFrame]) -> list[Pose]:
    """Return the rigid ``cam_from_common`` of each frame; the first camera is the common frame.

    Each frame starts where the vertices that it shares with the first one say.
    """
    first = frames[0]
    poses = [Pose(1.0, np.eye(3), np.zeros(3))]
    poses += [_pose_by_vertices(first, frame) for frame in frames[1:]]
    for sweep in range(SWEEPS):
        for i in range(1, len(frames)):
            # In the first sweep only what has its place already.
            others = [k for k in range(len(frames)) if k != i and (sweep > 0 or k < i)]
            together = shown_together([frames[k] for k in others], [poses[k] for k in others])
            poses[i] = aligned(frames[i], poses[i], together)
    return poses


def _pose_by_vertices(first: AlignedFrame, frame: AlignedFrame) -> Pose:
    weights = first.confidence * frame.confidence * first.icp.model.reliable
    return align_similarity(first.vertices_cam_mm, frame.vertices_cam_mm, weights, True)


def shown_together(frames: Sequence[AlignedFrame], poses: Sequence[Pose]) -> Surface:
    """Average vertices by confidence and details by how straight they are seen."""
    n = len(frames[0].confidence)
    vertices, confidence = np.zeros((n, 3)), np.zeros(n)
    for frame, pose in zip(frames, poses, strict=True):
        vertices += frame.confidence[:, None] * pose.obj_from_cam(frame.vertices_cam_mm)
        confidence += frame.confidence
    seen = confidence > 0
    vertices[seen] /= confidence[seen, None]
    vertices[~seen] = poses[0].obj_from_cam(frames[0].vertices_cam_mm)[~seen]
    details, weights = np.zeros(n), np.zeros(n)
    for frame, pose in zip(frames, poses, strict=True):
        here = pose.cam_from_obj(vertices)
        straight = _straightness(frame, here)
        details += straight * _at(frame.details.values, frame, here)
        weights += straight
    details /= np.maximum(weights, 1e-9)
    return Surface(vertices, confidence, details, weights)


def aligned(frame: AlignedFrame, pose: Pose, surface: Surface) -> Pose:
    """Fit the pose of a frame to its depth and its details, by Gauss-Newton steps.

    Both kinds of residuals count by the area of the surface and by the inverse square of their own
    scale, found robustly at every step.
    """
    frame.icp.exclude_foreign(
        len(frame.icp.config.levels) - 1, pose.cam_from_obj(surface.vertices_mm)
    )
    for _ in range(STEPS):
        here = pose.cam_from_obj(surface.vertices_mm)
        middle = here[surface.confidence > 0].mean(axis=0)
        rows, residual, weights = _depth_rows(frame.icp.data_term(here), here, surface)
        by_depth = _normal_equations(rows, residual, weights, here - middle, _LEAST_SIGMA_MM)
        rows, residual, weights = _detail_rows(frame, here, surface)
        by_detail = _normal_equations(rows, residual, weights, here - middle, _LEAST_SIGMA)
        system = by_depth[0] + by_detail[0]
        system += 1e-9 * np.trace(system) * np.eye(6)
        step = np.linalg.solve(system, by_depth[1] + by_detail[1])
        turn = Rotation.from_rotvec(step[:3]).as_matrix()
        shift = turn @ (pose.translation_mm - middle) + middle + step[3:]
        pose = Pose(pose.scale, turn @ pose.rotation, shift)
        if np.abs(pose.cam_from_obj(surface.vertices_mm) - here).max() < SETTLED_MM:
            break
    return pose


def _depth_rows(data: DataTerm, here: Array, surface: Surface) -> tuple[Array, Array, Array]:
    """Directions (n, 3), distances (n,) along them and weights (n,) of the closest points."""
    weights = data.weights * (surface.confidence > 0)
    distance = np.einsum("nd,nd->n", data.normals_cam, data.targets_mm - here)
    return data.normals_cam, distance, weights


def _detail_rows(frame: AlignedFrame, here: Array, surface: Surface) -> tuple[Array, Array, Array]:
    """Change of a detail per mm (n, 3), differences (n,) and weights (n,)."""
    camera = frame.icp.edges.intrinsics
    weights = frame.icp.base_weight * frame.icp.model.reliable * _straightness(frame, here)
    weights = weights * (surface.detail_weights > 0)
    slope_x = _at(frame.details.slope_x, frame, here) * camera[0, 0] / here[:, 2]
    slope_y = _at(frame.details.slope_y, frame, here) * camera[1, 1] / here[:, 2]
    along_z = -(slope_x * here[:, 0] + slope_y * here[:, 1]) / here[:, 2]
    difference = surface.details - _at(frame.details.values, frame, here)
    return np.stack([slope_x, slope_y, along_z], axis=1), difference, weights


def _normal_equations(
    rows: Array, residual: Array, weights: Array, arms: Array, least: float
) -> tuple[Array, Array]:
    """Weigh residuals by their own scale; (6, 6) and (6,) of turning about the middle, moving."""
    used = weights > 0
    if not used.any():
        return np.zeros((6, 6)), np.zeros(6)
    sigma = max(least, 1.4826 * float(np.median(np.abs(residual[used]))))
    robust = weights[used] / sigma**2 * GemanMcClure(3.0 * sigma).weight(residual[used] ** 2)
    motion = np.hstack([np.cross(arms[used], rows[used]), rows[used]])
    weighted = motion.T * robust
    return weighted @ motion, weighted @ residual[used]


def _straightness(frame: AlignedFrame, here: Array) -> Array:
    """Cosine (n,) of the surface to the line of sight where this frame sees it straight, else 0."""
    normals = vertex_normals(here, frame.icp.model.triangles)
    cosine = -np.einsum("nd,nd->n", normals, here) / np.linalg.norm(here, axis=1)
    seen = (frame.confidence > 0) & (cosine > MIN_COSINE)
    return np.where(seen, cosine, 0.0)


def _at(image: Array, frame: AlignedFrame, here: Array) -> Array:
    """Interpolate an image (H, W) where the camera sees points (n, 3); its border continues."""
    px = np.nan_to_num(px_from_cam(here, frame.icp.edges.intrinsics), nan=-1e6).astype(np.float32)
    found = cv2.remap(
        image, px[:, :1], px[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(found[:, 0], dtype=np.float64)
