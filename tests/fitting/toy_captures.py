"""Subjects of the toy model with known truth, and what a camera and a detector see of them."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Capture, CoarseFit, Landmarks, Pose
from fg3d_builder.rendering.rasterizer import rasterize

HEIGHT, WIDTH = 480, 640
INTRINSICS = intrinsics_matrix(900.0, 900.0, 319.5, 239.5)
DISTANCE_MM = 600.0
PX_PER_MM = 900.0 / DISTANCE_MM
"""Size of a subject in the image, roughly: its face is some centimetres nearer."""


def subject(model: FaceModel, seed: int) -> tuple[np.ndarray, np.ndarray, Pose]:
    rng = np.random.default_rng(seed)
    alpha_id = model.id_sd * rng.normal(size=len(model.id_sd))
    alpha_exp = rng.uniform(0, 1, len(model.exp_sd))
    angles = rng.uniform([-15, -35, -20], [15, 35, 20])
    shift = np.array([*rng.uniform(-60, 60, 2), DISTANCE_MM])
    return alpha_id, alpha_exp, Pose(1.0, rotation_from_angles(*angles), shift)


def seen_landmarks(
    model: FaceModel, vertices_cam: np.ndarray, noise_px: float = 0.0, seed: int = 0
) -> Landmarks:
    """The model's 51 inner points; the jaw has no confidence."""
    embedding = model.embeddings["ibug68"]
    px = np.full((68, 2), np.nan)
    px[embedding.point_index] = px_from_cam(
        embedding.points(vertices_cam, model.triangles), INTRINSICS
    )
    px += np.random.default_rng(seed).normal(size=px.shape) * noise_px
    return Landmarks("ibug68", px, np.isfinite(px[:, 0]).astype(float), "test")


def shape_error_mm(model: FaceModel, fit: CoarseFit, shape: np.ndarray) -> float:
    return float(np.linalg.norm(fit.shape_obj_mm - shape, axis=1)[model.reliable].mean())


def angle_deg(a: Pose, b: Pose) -> float:
    return float(np.degrees(Rotation.from_matrix(a.rotation.T @ b.rotation).magnitude()))


def capture_of(
    model: FaceModel, vertices_cam: np.ndarray, noise_mm: float = 0.0, seed: int = 0
) -> Capture:
    depth = rasterize(vertices_cam, model.triangles, INTRINSICS, HEIGHT, WIDTH).depth_mm
    depth = depth + noise_mm * np.random.default_rng(seed).normal(size=depth.shape)
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return Capture("c", "s", "test", rgb, depth.astype(np.float32), INTRINSICS)
