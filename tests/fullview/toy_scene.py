"""A toy face before a wall, as seen by a camera, registered without error."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import toy_models

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array, Capture, CoarseFit, Pose, Registration
from fg3d_builder.rendering.rasterizer import interpolate, rasterize

HEIGHT, WIDTH = 240, 200
INTRINSICS = intrinsics_matrix(520.0, 520.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2)
WALL_MM = 1500.0


class ToyScene(NamedTuple):
    """A capture and what the pipeline makes of it."""

    model: FaceModel
    capture: Capture
    registration: Registration
    initial: CoarseFit


@functools.lru_cache(maxsize=8)
def toy_scene(pitch_deg: float = 0.0, yaw_deg: float = 0.0) -> ToyScene:
    """Render the mean toy face, painted in a smooth pattern, before a wall."""
    model = toy_models.toy_model()
    pose = Pose(1.0, rotation_from_angles(pitch_deg, yaw_deg, 0.0), np.array([0.0, 0.0, 620.0]))
    vertices = pose.cam_from_obj(model.mean)
    depth, rgb = photograph(model, vertices, INTRINSICS, HEIGHT, WIDTH)
    capture = Capture("toy", "toy", "test", rgb, depth, INTRINSICS)
    n, zero = len(vertices), np.zeros(0)
    registration = Registration(
        topology_hash=model.topology_hash,
        vertices_cam_mm=vertices,
        pose=pose,
        shape_obj_mm=model.mean,
        coarse_obj_mm=model.mean,
        alpha_id=zero,
        alpha_exp=zero,
        visible=np.ones(n, dtype=bool),
        confidence=np.ones(n),
        surface_error_mm=np.zeros(n),
        landmark_error_px=0.0,
        quality=1.0,
        converged=True,
    )
    initial = CoarseFit(zero, zero, pose, model.mean, 0.0, 0.0, True, 1)
    return ToyScene(model, capture, registration, initial)


def photograph(
    model: FaceModel, vertices_cam: Array, intrinsics: Array, height: int, width: int
) -> tuple[Array, Array]:
    """Depth and a picture of the face whose colours are a smooth function of the object point."""
    fragments = rasterize(vertices_cam, model.triangles, intrinsics, height, width)
    column, row = np.meshgrid(np.arange(width), np.arange(height))
    wall = 90.0 + 40.0 * np.stack(
        [np.sin(column / 17.0), np.cos(row / 23.0), np.sin((column + row) / 31.0)], axis=-1
    )
    rgb = np.where(
        (fragments.triangle >= 0)[..., None],
        interpolate(fragments, model.triangles, skin(model.mean)),
        wall,
    )
    depth = np.where(fragments.triangle >= 0, fragments.depth_mm, WALL_MM)
    return depth.astype(np.float32), np.rint(rgb).astype(np.uint8)


def skin(points_obj: Array) -> Array:
    """Colours (n, 3) in 0 to 255 that vary over centimetres."""
    x, y, z = points_obj.T / 14.0
    return np.asarray(
        150.0 + 50.0 * np.stack([np.sin(x + 0.3 * y), np.cos(y - 0.2 * z), np.sin(z + x)], axis=1)
    )


def facing_share(model: FaceModel, vertices_cam: Array) -> Array:
    """Cosine (n,) of the angle at which the camera sees each vertex."""
    normals = vertex_normals(vertices_cam, model.triangles)
    toward = -vertices_cam / np.linalg.norm(vertices_cam, axis=1, keepdims=True)
    return np.asarray(np.einsum("nd,nd->n", normals, toward))
