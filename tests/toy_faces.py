"""A small smooth face and captures of it whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fg3d_builder.facemodel.model import Embedding, FaceModel, check_model
from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array, Capture, CoarseFit, Landmarks, Pose
from fg3d_builder.rendering.rasterizer import rasterize

INTRINSICS = intrinsics_matrix(900.0, 900.0, 319.5, 239.5)
HEIGHT, WIDTH = 480, 640


def bump(points: Array, centre: tuple[float, float], radius: float) -> Array:
    """Gaussian of the distance to a centre in the xy plane."""
    return np.exp(-((points[:, :2] - centre) ** 2).sum(axis=1) / radius**2)


def toy_model(columns: int = 37, rows: int = 47) -> FaceModel:
    """A face-like cap with a nose and eye sockets, 4 identity and 1 expression directions."""
    x, y = np.meshgrid(np.linspace(-66, 66, columns), np.linspace(-84, 84, rows))
    flat = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    z = 70 * np.sqrt(np.maximum(0.05, 1 - (flat[:, 0] / 90) ** 2 - (flat[:, 1] / 118) ** 2))
    z += 16 * np.exp(-((flat[:, 0] / 12) ** 2) - ((flat[:, 1] + 4) / 20) ** 2)
    z -= 5 * (bump(flat, (32, 30), 16) + bump(flat, (-32, 30), 16))
    mean = np.stack([flat[:, 0], flat[:, 1], z - 40], axis=1)
    number = np.arange(x.size).reshape(rows, columns)
    a, b = number[:-1, :-1].ravel(), number[:-1, 1:].ravel()
    c, d = number[1:, :-1].ravel(), number[1:, 1:].ravel()
    triangles = np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)]).astype(np.int32)
    width = np.stack([mean[:, 0] / 40, np.zeros(len(mean)), -np.abs(mean[:, 0]) / 60], 1)
    length = np.stack([np.zeros(len(mean)), mean[:, 1] / 40, np.zeros(len(mean))], 1)
    nose = bump(mean, (0, -4), 20)[:, None] * [0.0, 0.2, 1.0]
    cheeks = (bump(mean, (38, -15), 25) + bump(mean, (-38, -15), 25))[:, None] * [0.0, 0, 1]
    mouth = bump(mean, (0, -50), 22)[:, None] * [0.0, -1.0, 0.4]
    zero = np.zeros((len(mean), 3, 0))
    reliable = (mean[:, 0] / 58) ** 2 + (mean[:, 1] / 76) ** 2 < 1
    embedding = _edge_points(mean, triangles)
    model = FaceModel(
        name="toy",
        licence="none",
        mean=mean,
        triangles=triangles,
        id_basis=np.stack([width, length, nose, cheeks], axis=2),
        id_sd=np.array([2.0, 2.0, 1.5, 1.5]),
        exp_basis=mouth[:, :, None],
        exp_sd=np.array([4.0]),
        exp_names=("open",),
        exp_lower=np.array([0.0]),
        exp_upper=np.array([8.0]),
        albedo_mean=np.full((len(mean), 3), 0.5),
        albedo_basis=zero,
        albedo_sd=np.zeros(0),
        uv=(flat[:, :2] - flat[:, :2].min(0)) / np.ptp(flat[:, :2], axis=0),
        embeddings={"ibug68": embedding},
        edge_points={"ibug68": embedding.point_index},
        parts=np.zeros(len(mean), np.uint8),
        rigid=reliable & (mean[:, 1] > -20),
        reliable=reliable,
    )
    check_model(model)
    return model


def _edge_points(mean: Array, triangles: Array) -> Embedding:
    """Forty points around eyes and mouth, at the centres of the nearest triangles."""
    angle = np.linspace(0, 2 * np.pi, 13)[:-1]
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    around = np.linspace(0, 2 * np.pi, 17)[:-1]
    lips = np.stack([22 * np.cos(around), -48 + 8 * np.sin(around)], axis=1)
    wanted = np.concatenate([[32, 30] + 13 * circle, [-32, 30] + 13 * circle, lips])
    centres = mean[triangles].mean(axis=1)[:, :2]
    nearest = np.argmin(((wanted[:, None] - centres[None]) ** 2).sum(axis=2), axis=1)
    third = np.full((len(wanted), 3), 1.0 / 3.0)
    return Embedding(np.arange(len(wanted), dtype=np.int32), nearest.astype(np.int32), third)


@dataclass(frozen=True)
class Scene:
    """A capture of a known face, its landmarks and a coarse fit to start from."""

    capture: Capture
    landmarks: Landmarks
    coarse: CoarseFit
    truth_cam_mm: Array
    pose: Pose


def make_scene(
    model: FaceModel,
    shape_obj_mm: Array,
    yaw: float = 0.0,
    noise_mm: float = 0.0,
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Scene:
    """Render `shape_obj_mm`; the coarse fit is the mean, in a pose that is off by `shift_mm`."""
    pose = Pose(1.0, rotation_from_angles(2.0, yaw, 1.0), np.array([3.0, -2.0, 550.0]))
    truth = pose.cam_from_obj(shape_obj_mm)
    depth = rasterize(truth, model.triangles, INTRINSICS, HEIGHT, WIDTH).depth_mm
    depth = depth + noise_mm * np.random.default_rng(0).standard_normal(depth.shape)
    points = model.embeddings["ibug68"].points(truth, model.triangles)
    landmarks = Landmarks("ibug68", px_from_cam(points, INTRINSICS), np.ones(len(points)), "toy")
    start = Pose(1.0, pose.rotation, pose.translation_mm + shift_mm)
    k, e = len(model.id_sd), len(model.exp_sd)
    coarse = CoarseFit(np.zeros(k), np.zeros(e), start, model.mean, 0.0, 0.0, True, 1)
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    capture = Capture("toy-0", "toy", "test", rgb, depth.astype(np.float32), INTRINSICS)
    return Scene(capture, landmarks, coarse, truth, pose)
