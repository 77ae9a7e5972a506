"""A folder of made-up captures of the toy model, and a preset that builds a dataset of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from toy_models import labelled, toy_model

from fg3d_builder.captures.folder import write_capture
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import save_model
from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Capture, Landmarks, Pose
from fg3d_builder.rendering.rasterizer import interpolate, rasterize

HEIGHT, WIDTH = 240, 320
INTRINSICS = intrinsics_matrix(450.0, 450.0, 159.5, 119.5)


def build_model() -> FaceModel:
    """The toy model with parts, and its points under the name of MediaPipe as well.

    A model without MediaPipe's points would be rendered and shown to the detector, which
    finds no face in an ellipsoid.
    """
    model = labelled(toy_model())
    both = {**model.embeddings, "mediapipe478": model.embeddings["ibug68"]}
    return dataclasses.replace(model, embeddings=both)


def report_text(out: Path) -> str:
    """All pages of a build's report, one after the other."""
    pages = sorted((out / "report").glob("*.html"))
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def toy_capture(model: FaceModel, subject: int, number: int, still: bool = False) -> Capture:
    """Render one subject in one pose, with landmarks of the "ibug68" scheme.

    `still`: with the expression of the subject's first capture.
    """
    rng = np.random.default_rng([7, subject])
    alpha_id = model.id_sd * rng.normal(size=len(model.id_sd))
    rng = np.random.default_rng([8, subject, number])
    alpha_exp = rng.uniform(0, 0.5, len(model.exp_sd))
    if still:
        first = np.random.default_rng([8, subject, 0])
        alpha_exp = first.uniform(0, 0.5, len(model.exp_sd))
    pose = Pose(1.0, rotation_from_angles(*rng.uniform(-12, 12, 3)), np.array([0.0, 0.0, 550.0]))
    vertices = pose.cam_from_obj(model.shape(alpha_id, alpha_exp))
    fragments = rasterize(vertices, model.triangles, INTRINSICS, HEIGHT, WIDTH)
    normals = vertex_normals(vertices, model.triangles)
    shade = np.clip(-interpolate(fragments, model.triangles, normals)[..., 2:], 0, 1)
    noise = rng.normal(size=(HEIGHT, WIDTH, 3)) * 3
    # Skin is red and the background blue, so that they differ where no light falls, too.
    skin = np.array([70.0, 45.0, 35.0]) + shade * [160.0, 145.0, 135.0]
    rgb = np.where((fragments.triangle >= 0)[..., None], skin, [25.0, 45.0, 80.0])
    rgb = np.clip(rgb + noise, 0, 255).astype(np.uint8)
    depth = fragments.depth_mm + 0.3 * rng.normal(size=(HEIGHT, WIDTH)).astype(np.float32)
    embedding = model.embeddings["ibug68"]
    points, confidence = np.zeros((68, 2)), np.zeros(68)
    surface = embedding.points(vertices, model.triangles)
    points[embedding.point_index] = px_from_cam(surface, INTRINSICS)
    confidence[embedding.point_index] = 1.0
    return Capture(
        capture_id=f"s{subject}-{number}",
        subject_id=f"s{subject}",
        source="folder",
        rgb=rgb,
        depth_mm=depth,
        intrinsics=INTRINSICS,
        licence="CC0",
        landmarks=Landmarks("ibug68", points, confidence, "annotation"),
    )


def write_toy_build(
    folder: Path,
    subjects: int = 3,
    captures: int = 2,
    more: str = "",
    shapes: int = 0,
    still: bool = False,
) -> Path:
    """Write model, captures and preset into a folder; return the preset's path.

    `shapes`: new shapes under each training capture. `still`: subjects keep their expression.
    """
    model = build_model()
    save_model(model, folder / "model.h5")
    for subject in range(subjects):
        for number in range(captures):
            capture = toy_capture(model, subject, number, still)
            write_capture(folder / "captures" / capture.capture_id, capture)
    preset = folder / "toy.toml"
    preset.write_text(
        f"""
name = "toy"
chunk_size = 2
max_failure_rate = 0.0

[facemodel]
model = "model.h5"

[landmarks]
detector = "annotation"

[registration]
levels = [
  {{ stiffness = 50.0, edge_weight = 5.0, iterations = 2 }},
  {{ stiffness = 5.0, edge_weight = 2.0, iterations = 2 }},
]

[fullview]
yaw_steps_deg = [30.0]
pitch_steps_deg = []

[transform]
shapes_per_capture = {shapes}

[shards]
image_size = 64
samples_per_shard = 3
test_fraction = 0.4
split_salt = "toy"

[[sources]]
kind = "folder"
path = "captures"
{more}
""",
        encoding="utf-8",
    )
    return preset
