"""A painted toy face, photographed from anywhere, and a small dataset of such photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from toy_models import toy_model

from fg3d_builder.config import BuildConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import load_model, save_model
from fg3d_builder.files.atomic import write_json
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.shards.manifest import make_manifest, shard_name
from fg3d_builder.shards.rows import encode_image
from fg3d_builder.shards.schema import CaptureRow, SampleImage, ShapeRow
from fg3d_builder.shards.writer import ShardWriter, write_topology

DISTANCE_MM = 700.0


def paint(points_obj_mm: Array) -> Array:
    """Colours (..., 3) in [0, 1]: smooth, and the same on both sides of the face."""
    x, y, z = np.moveaxis(np.asarray(points_obj_mm), -1, 0)
    return np.stack(
        [
            0.5 + 0.3 * np.cos(x / 18.0),
            0.5 + 0.3 * np.sin(y / 15.0),
            0.5 + 0.3 * np.sin(z / 20.0 + y / 40.0),
        ],
        axis=-1,
    )


def camera(size: int) -> Array:
    """Pinhole matrix whose picture holds the toy face with some room."""
    focal, centre = 2.9 * size, (size - 1) / 2
    return np.array([[focal, 0, centre], [0, focal, centre], [0, 0, 1.0]])


def pose(pitch_deg: float, yaw_deg: float) -> tuple[Array, Array]:
    """Rotation and translation of a face in front of `camera`."""
    return rotation_from_angles(pitch_deg, yaw_deg, 0.0), np.array([4.0, -6.0, DISTANCE_MM])


def photo(
    model: FaceModel,
    shape: Array,
    rotation: Array,
    translation: Array,
    intrinsics: Array,
    size: int,
) -> Array:
    """Picture (size, size, 3) uint8 of a shape before a grey wall; the paint is on the skin."""
    cam = shape @ rotation.T + translation
    seen = rasterize(cam, model.triangles, intrinsics, size, size)
    places = interpolate(seen, model.triangles, model.mean)
    picture = np.where((seen.triangle >= 0)[..., None], paint(places), 0.35)
    return np.rint(255 * picture).astype(np.uint8)


def write_toy_shards(
    folder: Path,
    train: int = 5,
    test: int = 2,
    size: int = 64,
    model: FaceModel | None = None,
    val: int = 0,
) -> FaceModel:
    """Write a dataset of one photo per subject; fits are off by less than S* is rich."""
    model_file = folder / "facemodel.h5"
    save_model(model or toy_model(), model_file)
    face = load_model(model_file)
    counts = {"train": train, "test": test, "val": val}
    for split, count in ((split, count) for split, count in counts.items() if count):
        writer = ShardWriter(split, "png", face)
        for number in range(count):
            capture, shape, image = toy_rows(face, f"{split}{number}", size)
            writer.add_shape(shape, writer.add_capture(capture), [image])
        writer.write(folder / shard_name(split, 0))
    write_topology(folder / "topology.h5", face)
    manifest = make_manifest(folder, BuildConfig(name="toy"), face, model_file, [])
    write_json(folder / "manifest.json", manifest)
    return face


def toy_rows(model: FaceModel, subject: str, size: int) -> tuple[CaptureRow, ShapeRow, SampleImage]:
    """Rows of one photo; what S* has beyond the fit follows from the subject's name."""
    rng = np.random.default_rng(list(subject.encode()))
    alpha_id = rng.normal(size=len(model.id_sd)) * model.id_sd
    alpha_exp = np.zeros(len(model.exp_sd))
    coarse = model.shape(alpha_id, alpha_exp)
    bump = rng.normal(size=3) * 3.0
    near = np.exp(-(((model.mean - model.mean[1400]) / 40.0) ** 2).sum(axis=1))
    truth = coarse + near[:, None] * bump
    rotation, translation = pose(rng.uniform(-10, 10), rng.uniform(-20, 20))
    intrinsics = camera(size)
    picture = photo(model, truth, rotation, translation, intrinsics, size)
    seen_from = (
        (truth @ rotation.T)[:, 2] < np.median((truth @ rotation.T)[:, 2])
    ) & model.reliable
    capture = CaptureRow(
        capture_id=f"{subject}-0",
        subject_id=subject,
        source="toy",
        expression="neutral",
        licence="CC0",
        image_size=np.array([size, size]),
        intrinsics=intrinsics,
        landmark_error_px=1.0,
        surface_error_mm=0.5,
        quality=0.9,
        converged=True,
    )
    shape = ShapeRow(
        shape_source="capture",
        donors="{}",
        shape_obj_mm=truth,
        alpha_id=alpha_id,
        alpha_exp=alpha_exp,
        delta_rms_mm=float(np.sqrt(((truth - coarse) ** 2).sum(axis=1).mean())),
        confidence=np.where(seen_from, 255, 0).astype(np.uint8),
    )
    image = SampleImage(
        name="view+00+00",
        image=encode_image(picture, "png"),
        view_deg=np.zeros(2),
        px_crop_from_px=np.eye(3),
        intrinsics=intrinsics,
        scale=1.0,
        rotation=rotation,
        translation_mm=translation,
        visible=np.packbits(seen_from),
        initial_alpha_id=alpha_id,
        initial_alpha_exp=alpha_exp,
        initial_scale=1.0,
        initial_rotation=rotation,
        initial_translation_mm=translation,
        initial_source=0,
        painted=0.0,
    )
    return capture, shape, image
