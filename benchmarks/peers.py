"""Public nonrigid ICP, run as its authors ship it: trimesh's Amberg and Sumner variants."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import trimesh

from fg3d_builder.records import Array


class PeerTask(NamedTuple):
    """What a public nonrigid ICP is given; camera frame, mm.

    Attributes
    ----------
    start_cam_mm : (n, 3) float64
        Template, already aligned to the target.
    triangles : (m, 3) int32
    target_cam_mm : (v, 3) float64
        Vertices of the triangulated depth image.
    target_triangles : (t, 3) int32
    landmark_triangle : (k,) int32
        Template triangle of each landmark, with `landmark_barycentric` (k, 3).
    landmark_barycentric : (k, 3) float64
    landmarks_cam_mm : (k, 3) float64
        Detected landmarks lifted to the target.
    """

    start_cam_mm: Array
    triangles: Array
    target_cam_mm: Array
    target_triangles: Array
    landmark_triangle: Array
    landmark_barycentric: Array
    landmarks_cam_mm: Array


def amberg(task: PeerTask) -> Array:
    """Return the (n, 3) result of `trimesh.registration.nricp_amberg`, default schedule."""
    return _run(trimesh.registration.nricp_amberg, task)


def sumner(task: PeerTask) -> Array:
    """Return the (n, 3) result of `trimesh.registration.nricp_sumner`, default schedule."""
    return _run(trimesh.registration.nricp_sumner, task)


PEERS: dict[str, Callable[[PeerTask], Array]] = {
    "trimesh amberg": amberg,
    "trimesh sumner": sumner,
}


def aligned_mean(mean_obj_mm: Array, task: PeerTask) -> PeerTask:
    """Replace the start by the model's mean, moved by a similarity of its landmarks alone.

    What a user of a public nonrigid ICP without a 3DMM would begin with.
    """
    corners = mean_obj_mm[task.triangles[task.landmark_triangle]]
    points = np.einsum("kc,kcd->kd", task.landmark_barycentric, corners)
    matrix, _, _ = trimesh.registration.procrustes(
        points, task.landmarks_cam_mm, reflection=False, scale=True
    )
    return task._replace(start_cam_mm=trimesh.transform_points(mean_obj_mm, matrix))


def _run(method: Callable[..., Array], task: PeerTask) -> Array:
    # process=False: merging or dropping vertices would change the numbering.
    source = trimesh.Trimesh(task.start_cam_mm, task.triangles, process=False)
    target = trimesh.Trimesh(task.target_cam_mm, task.target_triangles, process=False)
    landmarks = (task.landmark_triangle, task.landmark_barycentric)
    moved = method(source, target, landmarks, task.landmarks_cam_mm)
    return np.asarray(moved, dtype=np.float64)
