"""A small dataset of made-up rows of the toy model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from toy_build import INTRINSICS, build_model, toy_capture

from fg3d_builder.config import BuildConfig, FitConfig, ShardConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import load_model, save_model
from fg3d_builder.files.atomic import write_json
from fg3d_builder.fitting.landmark_fit import fit_landmarks
from fg3d_builder.records import Capture, CoarseFit, Failure, Registration
from fg3d_builder.shards.manifest import make_manifest, shard_name
from fg3d_builder.shards.rows import capture_row, captured_view, sample_image, shape_row
from fg3d_builder.shards.schema import FROM_DETECTED, SampleImage
from fg3d_builder.shards.split import split_of
from fg3d_builder.shards.writer import ShardWriter, write_topology

SETTINGS = ShardConfig(samples_per_shard=2, image_size=64, test_fraction=0.4, split_salt="toy")
CONFIG = BuildConfig(name="toy", shards=SETTINGS)
FAILURE = Failure("s9-0", "s9", "landmarks", "no_face", "no face found", "failures/s9-0.png")


def toy_records(
    model: FaceModel, subject: int, number: int
) -> tuple[Capture, CoarseFit, Registration]:
    """A capture, its fit from landmarks, and a made-up registration near that fit."""
    capture = toy_capture(model, subject, number)
    assert capture.landmarks is not None
    initial = fit_landmarks(model, capture.landmarks, INTRINSICS, FitConfig())
    rng = np.random.default_rng([9, subject, number])
    shape = initial.shape_obj_mm + rng.normal(size=initial.shape_obj_mm.shape)
    error = rng.uniform(0, 1, len(shape))
    error[::5] = np.nan
    registration = Registration(
        topology_hash=model.topology_hash,
        vertices_cam_mm=initial.pose.cam_from_obj(shape),
        pose=initial.pose,
        shape_obj_mm=shape,
        coarse_obj_mm=initial.shape_obj_mm,
        alpha_id=initial.alpha_id,
        alpha_exp=initial.alpha_exp,
        visible=model.reliable,
        confidence=np.where(model.reliable, rng.uniform(size=len(shape)), 0.0),
        surface_error_mm=error,
        landmark_error_px=1.5,
        quality=0.5 + 0.1 * number,
        converged=True,
    )
    return capture, initial, registration


def base_image(
    model: FaceModel,
    capture: Capture,
    initial: CoarseFit,
    registration: Registration,
    settings: ShardConfig,
) -> SampleImage:
    """The sample that shows a capture as it was taken."""
    view = captured_view(model, capture, initial, registration, settings)
    return sample_image(view, initial, FROM_DETECTED, settings.image_format)


def write_toy_dataset(folder: Path, licence: str = "CC0", image_format: str = "jpeg") -> FaceModel:
    """Write shards, topology, model and manifest of five subjects with two captures each."""
    model_file = folder / "model.h5"
    save_model(build_model(), model_file)
    model = load_model(model_file)
    dataset = folder / "dataset"
    settings = ShardConfig(**{**SETTINGS.__dict__, "image_format": image_format})
    for split in ("train", "test"):
        chosen = [
            (subject, number)
            for subject in range(5)
            for number in range(2)
            if split_of(f"s{subject}", settings.test_fraction, settings.split_salt) == split
        ]
        for shard, start in enumerate(range(0, len(chosen), settings.samples_per_shard)):
            writer = ShardWriter(split, image_format, model)
            for subject, number in chosen[start : start + settings.samples_per_shard]:
                capture, initial, registration = toy_records(model, subject, number)
                image = base_image(model, capture, initial, registration, settings)
                row = writer.add_capture(capture_row(capture, registration))
                writer.add_shape(shape_row(registration), row, [image])
            writer.write(dataset / shard_name(split, shard))
    write_topology(dataset / "topology.h5", model)
    if licence == "CC0":
        (dataset / "facemodel.h5").write_bytes(model_file.read_bytes())
    manifest = make_manifest(dataset, CONFIG, model, model_file, [FAILURE])
    write_json(dataset / "manifest.json", manifest)
    return model
