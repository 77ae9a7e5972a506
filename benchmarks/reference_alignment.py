"""Rigid alignment of registered vertices to an oriented point cloud in an unknown frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from fg3d_builder.records import Array


class ReferenceCloud(NamedTuple):
    """Oriented points: positions in mm and unit normals, both (p, 3)."""

    points_mm: Array
    normals: Array


class RigidResult(NamedTuple):
    """`points @ rotation.T + translation_mm` lies on the cloud; distances are unsigned, mm."""

    rotation: Array
    translation_mm: Array
    distance_mm: Array


def read_reference(path: str) -> ReferenceCloud:
    """Read a ply of oriented points in metres."""
    import open3d as o3d

    cloud = o3d.io.read_point_cloud(path)
    return ReferenceCloud(np.asarray(cloud.points) * 1000.0, np.asarray(cloud.normals))


def surface_distance(points_mm: Array, cloud: ReferenceCloud, tree: cKDTree) -> Array:
    """Unsigned distance of (n, 3) points to the surface that the cloud samples.

    The surface near a point is the plane through the mean of the eight nearest samples
    with their mean normal; where the samples are further than 4 mm away the point lies
    beside the cloud and its distance to the nearest sample counts.
    """
    nearest, index = tree.query(points_mm, k=8)
    normal = cloud.normals[index].mean(axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    offset = points_mm - cloud.points_mm[index].mean(axis=1)
    plane = np.abs(np.einsum("nd,nd->n", offset, normal))
    return np.where(nearest[:, 0] < 4.0, plane, nearest[:, 0])


def align_to_reference(points_mm: Array, normals: Array, cloud: ReferenceCloud) -> RigidResult:
    """Find the rigid motion onto the cloud by robust point-to-plane ICP from 24 starts.

    The start whose final median distance is lowest wins: the 24 rotations of the cube
    cover any difference of axis conventions and in-plane turns by 90 degrees.
    """
    tree = cKDTree(cloud.points_mm)
    subset = np.linspace(0, len(points_mm) - 1, min(len(points_mm), 1500)).astype(int)
    best: RigidResult | None = None
    for start in Rotation.create_group("O").as_matrix():
        if np.mean(normals @ start.T @ cloud.normals.mean(axis=0)) < 0:
            continue
        rotation, translation = _icp(points_mm[subset], start, cloud, tree, 25)
        distance = surface_distance(points_mm[subset] @ rotation.T + translation, cloud, tree)
        if best is None or np.median(distance) < np.median(best.distance_mm):
            best = RigidResult(rotation, translation, distance)
    assert best is not None
    rotation, translation = _icp(points_mm, best.rotation, cloud, tree, 30, best.translation_mm)
    moved = points_mm @ rotation.T + translation
    return RigidResult(rotation, translation, surface_distance(moved, cloud, tree))


def _icp(
    points: Array,
    rotation: Array,
    cloud: ReferenceCloud,
    tree: cKDTree,
    iterations: int,
    translation: Array | None = None,
) -> tuple[Array, Array]:
    if translation is None:
        translation = np.median(cloud.points_mm, axis=0) - np.median(points @ rotation.T, axis=0)
    for i in range(iterations):
        moved = points @ rotation.T + translation
        distance, index = tree.query(moved)
        limit = max(3.0, float(np.quantile(distance, 0.8))) if i < iterations // 2 else 3.0
        keep = distance < limit
        normal, offset = cloud.normals[index][keep], cloud.points_mm[index][keep] - moved[keep]
        rows = np.concatenate([np.cross(moved[keep], normal), normal], axis=1)
        residual = np.einsum("nd,nd->n", offset, normal)
        weight = 1.0 / (1.0 + (residual / 1.0) ** 2)
        damping = 1e-6 * np.eye(6)
        step = np.linalg.solve(
            rows.T @ (weight[:, None] * rows) + damping, rows.T @ (weight * residual)
        )
        turn = Rotation.from_rotvec(step[:3]).as_matrix()
        rotation, translation = turn @ rotation, turn @ translation + step[3:]
    return rotation, translation
