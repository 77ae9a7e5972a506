"""Small data sets in the published layouts: heads of the embedded model, and photos of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from fg3d_builder.captures.scan import render_scan
from fg3d_builder.config import SourceConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import save_model
from fg3d_builder.fgnet.networks.architectures import NetworkConfig, build_network
from fg3d_builder.fgnet.parity import answering_network
from fg3d_builder.fgnet.trained import DESCRIPTION_NAME, SCHEMA
from fg3d_builder.fgnet.training.checkpoint import Progress, save_checkpoint
from fg3d_builder.fgnet.training.settings import TrainConfig
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.files.mesh_io import mesh_with_texture
from fg3d_builder.files.obj_writer import write_textured_obj
from fg3d_builder.files.sealed_object import write_sealed_object
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.rendering.shading import srgb_from_linear
from fg3d_builder.testsets.mesh_files import SEVEN_POINTS

TEXTURE_SIZE = 512
LIGHT = np.array([0.2, 0.4, 0.9])
NETWORK = TrainConfig(
    network=NetworkConfig(size=32, base_channels=4, levels=2, view_set="3"), precision="float32"
)


def head(model: FaceModel, seed: int) -> Array:
    """The (n, 3) shape of somebody, mm, upright."""
    rng = np.random.default_rng(seed)
    return model.shape(rng.normal(size=len(model.id_sd)) * model.id_sd)


def seven_points(model: FaceModel, shape: Array) -> Array:
    """The (7, 3) points that data sets mark on scans, on a shape of the model."""
    return model.embedded("ibug68", SEVEN_POINTS).points(shape, model.triangles)


def lit_texture(model: FaceModel, shape: Array) -> Array:
    """Albedo under a soft light from the front, over the model's chart."""
    normals = vertex_normals(shape, model.triangles)
    light = 0.35 + 0.65 * np.clip(normals @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
    color = model.albedo() * light[:, None]
    u, v = model.uv.T
    flat = np.stack([u * TEXTURE_SIZE - 0.5, (1 - v) * TEXTURE_SIZE - 0.5, np.ones(len(u))], axis=1)
    seen = rasterize(
        1000.0 * flat, model.triangles, np.eye(3), TEXTURE_SIZE, TEXTURE_SIZE, cull_back_faces=False
    )
    return srgb_from_linear(interpolate(seen, model.triangles, color))


def write_scan(path: Path, model: FaceModel, shape: Array, unit_mm: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    texture = lit_texture(model, shape)
    write_textured_obj(path, shape / unit_mm, model.triangles, model.uv, texture, unit_mm)


def write_photo(path: Path, model: FaceModel, shape: Array, pitch: float, yaw: float) -> None:
    """Photograph a head from 550 mm; the focal length is the image's diagonal, as is guessed."""
    mesh = mesh_with_texture(shape, model.triangles, model.uv, lit_texture(model, shape))
    size = (480, 360)
    focal = float(np.hypot(*size))
    config = SourceConfig(kind="scan", unit_mm=1.0, image_size=size, focal_px=focal)
    rgb, _, _ = render_scan(config, (pitch, yaw), mesh)
    write_bytes(path, encode_png(rgb))


def write_florence(folder: Path, model: FaceModel, subjects: int) -> None:
    for i in range(1, subjects + 1):
        path = folder / f"subject_{i:02d}" / "Model/frontal1/obj" / f"1109201504{i}.obj"
        write_scan(path, model, head(model, i))


def write_now(folder: Path, model: FaceModel, subjects: int) -> None:
    """Scans turned to their side, in metres, with landmarks and without any colour."""
    listed = []
    turn = rotation_from_angles(20.0, 30.0, 80.0)
    for i in range(1, subjects + 1):
        name, shape = f"FaMoS_{i:03d}_TA", head(model, i)
        turned = shape @ turn.T + [10.0, 20.0, 30.0]
        scan = folder / "scans" / name / "natural_head_rotation.000001.obj"
        scan.parent.mkdir(parents=True)
        lines = [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in turned]
        lines += [f"f {a} {b} {c}" for a, b, c in model.triangles + 1]
        scan.write_text("\n".join(lines) + "\n")
        points = seven_points(model, turned)
        write_picked_points(
            folder / "scans_lmks_onlypp" / name / f"{scan.stem}_picked_points.pp", points
        )
        for kind, yaw in (("multiview_neutral", 20.0), ("selfie", 0.0)):
            listed.append(f"{name}/{kind}/IMG_{i:04d}.jpg")
            if kind == "multiview_neutral":
                path = folder / "iphone_pictures" / listed[-1]
                write_photo(path, model, shape, 0.0, yaw)
    (folder / "imagepathsvalidation.txt").write_text("\n".join(listed) + "\n")


def write_picked_points(path: Path, points: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        f' <point x="{x:.5f}" y="{y:.5f}" z="{z:.5f}" name="{i}" active="1"/>'
        for i, (x, y, z) in enumerate(points)
    ]
    head_lines = ["<!DOCTYPE PickedPoints>", "<PickedPoints>", " <DocumentData>"]
    head_lines += ['  <DataFileName name="scan.obj"/>', '  <templateName name=""/>']
    text = [*head_lines, " </DocumentData>", *rows, "</PickedPoints>"]
    path.write_text("\n".join(text) + "\n")


def write_stirling(folder: Path, model: FaceModel, subjects: int) -> None:
    lines = ["photo,subject,yaw"]
    for i in range(1, subjects + 1):
        # Upper and lower case as it comes, like the data base itself.
        name = f"F100{i}" if i % 2 else f"m100{i}"
        shape = head(model, i)
        group = f"{name[0].upper()}_3D_N"
        write_scan(folder / group / f"{name}_N.obj", model, shape)
        points = seven_points(model, shape)
        path = folder / "annotations" / group / f"{name}_N.lnd"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"{k} {x:.4f} {y:.4f} {z:.4f}" for k, (x, y, z) in enumerate(points, start=1)]
        path.write_text("\n".join(rows) + "\n")
        for side, yaw in (("left", 45.0), ("right", -45.0)):
            photo = f"photos/{name}_{side}.png"
            write_photo(folder / photo, model, shape, 0.0, yaw)
            lines.append(f"{photo},{name},{yaw:g}")
    (folder / "photos.csv").write_text("\n".join(lines) + "\n")


def write_training(folder: Path, model: FaceModel, answers: bool) -> Path:
    """A checkpoint with what prediction needs: untrained (it answers with the fit), or random."""
    folder.mkdir(parents=True)
    file = folder / "facemodel.h5"
    save_model(model, file)
    torch.manual_seed(3)
    network = answering_network(NETWORK) if answers else build_network(NETWORK.network)
    identity = {"content_sha256": "", "topology_hash": model.topology_hash}
    save_checkpoint(folder / "checkpoint.pt", NETWORK, identity, Progress(), {"network": network})
    about = {"name": model.name, "topology_hash": model.topology_hash, "sha256": file_sha256(file)}
    value = {"schema": SCHEMA, "content_sha256": "", "facemodel": about}
    write_sealed_object(folder / DESCRIPTION_NAME, {**value, "crop_margin": 1.25, "image_size": 64})
    return folder / "checkpoint.pt"


def landmark_vertices(model: FaceModel, ibug: tuple[int, ...] = SEVEN_POINTS) -> dict[str, int]:
    """The vertices nearest to iBUG's points on the model."""
    points = model.embedded("ibug68", ibug).points(model.mean, model.triangles)
    near = np.linalg.norm(model.mean[None] - points[:, None], axis=2).argmin(axis=1)
    return {str(p): int(v) for p, v in zip(ibug, near, strict=True)}


def write_mesh_landmarks(path: Path, vertex_index: dict[str, int], mirrored: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    value = {"schema": "fg3d-mesh-landmarks-1", "vertex_index": vertex_index, "mirrored": mirrored}
    path.write_text(json.dumps(value))
