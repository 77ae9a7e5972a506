"""A toy face with known albedo in known light, and the capture and registration of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import toy_models

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array, Capture, Pose, Registration
from fg3d_builder.rendering.rasterizer import interpolate, rasterize, visible_vertices
from fg3d_builder.rendering.shading import Light, phong, srgb_from_linear

HEIGHT, WIDTH = 320, 280
INTRINSICS = intrinsics_matrix(620.0, 620.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2)
SKIN = np.array([0.45, 0.27, 0.2])


@dataclass(frozen=True)
class LitFace:
    """A capture, its perfect registration, and what it was made of."""

    capture: Capture
    registration: Registration
    albedo: Array
    light: Light
    colors_linear: Array
    normals_cam: Array
    view: Array


def skin_model(components: int = 5) -> FaceModel:
    """The toy face with skin: redder cheeks and lips, and an albedo basis."""
    model = toy_models.toy_model()
    x, y = model.mean[:, 0], model.mean[:, 1]
    lips = np.exp(-((x / 24) ** 2) - ((y + 42) / 8) ** 2)[:, None]
    cheeks = sum(np.exp(-(((x - s) / 18) ** 2) - ((y + 5) / 18) ** 2) for s in (-42, 42))
    mean = SKIN * (1 - lips * [0.2, 0.5, 0.45]) * (1 - cheeks[:, None] * [0.05, 0.15, 0.15])
    rng = np.random.default_rng(5)
    basis = [np.tile(SKIN, (len(mean), 1))]
    for _ in range(components - 1):
        wave = np.cos(rng.uniform(0.02, 0.06) * x + rng.uniform(0.02, 0.06) * y + rng.uniform(0, 6))
        basis.append(wave[:, None] * rng.uniform(0.3, 1.0, 3) * SKIN)
    sd = np.array([0.25, 0.08, 0.06, 0.05, 0.04])[:components]
    return replace(
        model,
        albedo_mean=mean,
        albedo_basis=np.stack(basis, axis=2)[..., :components],
        albedo_sd=sd,
    )


def toy_light(
    direction: tuple[float, float, float] = (0.5, -0.4, -0.8), **changes: object
) -> Light:
    """A lamp in front of the face, camera frame."""
    values = {
        "ambient": np.array([0.45, 0.44, 0.43]),
        "directional": np.array([0.6, 0.62, 0.64]),
        "direction": np.array(direction) / np.linalg.norm(direction),
        "specular": 0.06,
        "shininess": 14.0,
    }
    return Light(**{**values, **changes})  # type: ignore[arg-type]


def lit_face(
    model: FaceModel,
    albedo: Array,
    light: Light,
    yaw_deg: float = 10.0,
    noise: float = 0.0,
    gain: Array | float = 1.0,
) -> LitFace:
    """Render the mean shape with this albedo in this light before a grey wall."""
    pose = Pose(1.0, rotation_from_angles(0.0, yaw_deg, 0.0), np.array([0.0, 0.0, 520.0]))
    vertices = pose.cam_from_obj(model.mean)
    normals = vertex_normals(vertices, model.triangles)
    view = -vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    colors = phong(albedo, normals, view, light) * gain
    fragments = rasterize(vertices, model.triangles, INTRINSICS, HEIGHT, WIDTH)
    covered = fragments.triangle >= 0
    linear = np.full((HEIGHT, WIDTH, 3), 0.7)
    linear[covered] = interpolate(fragments, model.triangles, colors)[covered]
    rng = np.random.default_rng(3)
    linear = linear + noise * rng.standard_normal(linear.shape)
    capture = Capture(
        capture_id="toy",
        subject_id="toy",
        source="toy",
        rgb=srgb_from_linear(linear),
        depth_mm=np.where(covered, fragments.depth_mm, 900.0).astype(np.float32),
        intrinsics=INTRINSICS,
    )
    seen = visible_vertices(vertices, model.triangles, normals, INTRINSICS, HEIGHT, WIDTH)
    registration = registration_of(model, vertices, pose, seen)
    return LitFace(capture, registration, albedo, light, colors, normals, view)


def registration_of(model: FaceModel, vertices: Array, pose: Pose, seen: Array) -> Registration:
    """Perfect registration: these vertices, and full confidence where they are seen."""
    return Registration(
        topology_hash=model.topology_hash,
        vertices_cam_mm=vertices,
        pose=pose,
        shape_obj_mm=model.mean,
        coarse_obj_mm=model.mean,
        alpha_id=np.zeros(len(model.id_sd)),
        alpha_exp=np.zeros(len(model.exp_sd)),
        visible=seen,
        confidence=seen.astype(float),
        surface_error_mm=np.zeros(len(vertices)),
        landmark_error_px=0.0,
        quality=1.0,
        converged=True,
    )
