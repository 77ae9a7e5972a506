"""Rigid alignment of a registered face to a coloured, oriented point cloud in its own frame."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from fg3d_builder.fitting.robust_alignment import align_robust
from fg3d_builder.landmarks.mediapipe_detector import MediaPipeDetector
from fg3d_builder.records import Array

_PIXELS_PER_MM = 2.0


class Reference(NamedTuple):
    """Oriented points in mm, the tree over them, and where MediaPipe's points lie on them."""

    points_mm: Array
    normals: Array
    tree: cKDTree
    landmark_index: Array
    landmarks_mm: Array


class RigidResult(NamedTuple):
    """`points @ rotation.T + translation_mm` lies on the reference; unsigned distances, mm."""

    rotation: Array
    translation_mm: Array
    distance_mm: Array


def read_reference(path: str) -> Reference:
    """Read a ply of oriented coloured points in metres and find the face on it.

    The face is looked for in orthographic pictures of the cloud from all around the
    vertical, both ways up; the surest find counts.

    Raises
    ------
    ValueError
        Where no picture shows a face.
    """
    import open3d as o3d

    cloud = o3d.io.read_point_cloud(Path(path))
    points, normals = np.asarray(cloud.points) * 1000.0, np.asarray(cloud.normals)
    colours = np.rint(np.asarray(cloud.colors) * 255).astype(np.uint8)
    detector = MediaPipeDetector(0.5)
    finds = []
    for roll in (0, 180):
        for yaw in range(0, 360, 30):
            turn = Rotation.from_euler("yz", [yaw, roll], degrees=True).as_matrix()
            picture, index = _splat(points @ turn.T, normals @ turn.T, colours)
            landmarks = detector.detect_image(picture)
            if landmarks is not None:
                finds.append((float(np.mean(landmarks.confidence)), yaw, landmarks, index))
    if not finds:
        raise ValueError(f"{path}: no face found on the reference")
    _, _, landmarks, index = max(finds, key=lambda find: find[:2])
    column, row = np.rint(landmarks.points_px).astype(int).T
    inside = (row >= 0) & (row < len(index)) & (column >= 0) & (column < index.shape[1])
    hit = np.full(len(row), -1)
    hit[inside] = index[row[inside], column[inside]]
    use = np.flatnonzero((hit >= 0) & (landmarks.confidence > 0.5))
    return Reference(points, normals, cKDTree(points), use, points[hit[use]])


def surface_distance(points_mm: Array, reference: Reference) -> Array:
    """Unsigned distance of (n, 3) points to the surface that the reference samples.

    The surface near a point is the plane through the mean of the eight nearest samples
    with their mean normal; where the samples are further than 4 mm away the point lies
    beside the cloud and its distance to the nearest sample counts.
    """
    nearest, index = reference.tree.query(points_mm, k=8)
    normal = reference.normals[index].mean(axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    offset = points_mm - reference.points_mm[index].mean(axis=1)
    plane = np.abs(np.einsum("nd,nd->n", offset, normal))
    return np.where(nearest[:, 0] < 4.0, plane, nearest[:, 0])


def align_to_reference(
    points_mm: Array, landmark_index: Array, landmarks_mm: Array, reference: Reference
) -> RigidResult:
    """Move (n, 3) points onto the reference: landmarks first, then robust point-to-plane ICP.

    Parameters
    ----------
    points_mm : (n, 3) float
        Any metric frame.
    landmark_index : (k,) int
        MediaPipe's numbers of `landmarks_mm` (k, 3), points in the same frame.
    """
    common, here, there = np.intersect1d(
        landmark_index, reference.landmark_index, return_indices=True
    )
    if len(common) < 6:
        raise ValueError("fewer than six landmarks in common with the reference")
    start = align_robust(landmarks_mm[here], reference.landmarks_mm[there], fix_scale=True)
    rotation, translation = start.rotation, start.translation_mm
    for _ in range(40):
        moved = points_mm @ rotation.T + translation
        distance, index = reference.tree.query(moved)
        keep = distance < 4.0
        normal = reference.normals[index][keep]
        residual = np.einsum("nd,nd->n", reference.points_mm[index][keep] - moved[keep], normal)
        rows = np.concatenate([np.cross(moved[keep], normal), normal], axis=1)
        weight = 1.0 / (1.0 + residual**2)
        step = np.linalg.lstsq(rows.T @ (weight[:, None] * rows), rows.T @ (weight * residual))[0]
        turn = Rotation.from_rotvec(step[:3]).as_matrix()
        rotation, translation = turn @ rotation, turn @ translation + step[3:]
    moved = points_mm @ rotation.T + translation
    return RigidResult(rotation, translation, surface_distance(moved, reference))


def _splat(points: Array, normals: Array, colours: Array) -> tuple[Array, Array]:
    """Orthographic picture along +z of points that face the viewer; (H, W) point index or -1."""
    facing = np.flatnonzero(normals[:, 2] < 0)
    low = points[facing, :2].min(axis=0)
    pixel = np.rint((points[facing, :2] - low) * _PIXELS_PER_MM).astype(int)
    width, height = pixel.max(axis=0) + 1
    index = np.full((height, width), -1, dtype=np.int32)
    # Later writes win: far points first. Each point covers 3x3 pixels.
    for i in np.argsort(-points[facing, 2], kind="stable"):
        x, y = pixel[i]
        index[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = facing[i]
    picture = np.full((height, width, 3), 90, dtype=np.uint8)
    picture[index >= 0] = colours[index[index >= 0]]
    return cv2.medianBlur(picture, 3), index
