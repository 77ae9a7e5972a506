"""Every reader of the product with a small valid file, what it may raise, and what makes sense.

A reader either gives what the file held, or values that make sense, or the error that it
documents with the file's name in it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.drill import (
    layout_readers_a,
    layout_readers_c,
    layout_readers_d,
    model_readers_bfm,
    model_readers_flame,
)
from benchmarks.drill.inputs import (
    ascii_ply,
    capture_maker,
    copy_of,
    dataset_copy,
    depth_picture,
    landmarks_maker,
    mesh_maker,
    now_maker,
    obj_maker,
    picture_maker,
    preset_maker,
    review_maker,
    settings_maker,
    stirling_maker,
    vertices_maker,
    world_model,
)
from benchmarks.drill.layout_readers_b import readers as readers_b
from benchmarks.drill.mutate_bytes import Random
from benchmarks.drill.mutate_hdf5 import odd_model
from benchmarks.drill.sense import (
    any_value,
    equal,
    wrong_capture,
    wrong_image,
    wrong_landmarks,
    wrong_manifest,
    wrong_mesh,
    wrong_model,
    wrong_preset,
    wrong_protocol,
    wrong_review,
    wrong_settings,
    wrong_verification,
)
from benchmarks.drill.site import Site
from fg3d_builder.captures.folder import read_capture, read_landmarks
from fg3d_builder.config import load_preset
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.fgnet.training.checkpoint import read_checkpoint
from fg3d_builder.fgnet.training.settings import read_settings
from fg3d_builder.files.images import read_rgb, read_uint16
from fg3d_builder.files.mesh_io import read_mesh
from fg3d_builder.files.products import read_product
from fg3d_builder.files.sealed import DamagedFileError, read_sealed_json
from fg3d_builder.records import Registration
from fg3d_builder.review.review_list import read_review_list
from fg3d_builder.shards.reader import ShardReader, read_manifest
from fg3d_builder.shards.verify import verify_dataset
from fg3d_builder.testsets import open_protocol
from fg3d_builder.testsets.mesh_files import read_mesh_landmarks


@dataclass(frozen=True)
class Reader:
    """A reader with a valid input.

    Attributes
    ----------
    name : str
    form : str
        See `mutate.FORMS`.
    make : callable
        Writes the input into an empty folder; returns the file to mutate.
    read : callable
        Reads that file.
    errors : tuple of exception types
        That it documents.
    wrong : callable
        Says what is wrong with a value that was read, ``""`` where nothing is; its second
        argument is what the valid file gives.
    mutate : callable or None
        A mutation of its own, which changes the file in its place, for one case in two.
    """

    name: str
    form: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    errors: tuple[type[Exception], ...]
    wrong: Callable[[Any, Any], str]
    mutate: Callable[[Path, Random], None] | None = None


def _read_registrations(site: Site) -> Callable[[Path], Any]:
    from fg3d_builder.tasks.finding import layout_of

    layout = layout_of(load_preset(site.preset), site.reference)
    digest = layout.stage_digest("registration")
    return lambda path: read_product(path, "registration", digest, Registration).records


def _read_samples(path: Path) -> Any:
    reader = ShardReader(path.parent, "train")
    found = [reader[i] for i in range(len(reader))]
    reader.close()
    return found


def all_readers(site: Site, checkpoint: Path | None = None) -> list[Reader]:
    """Return every reader."""
    capture, config = (CaptureError,), (ConfigError,)
    own = (DamagedFileError, ValueError)

    def protocol(name: str) -> Callable[[Path], Any]:
        def read(path: Path) -> Any:
            return open_protocol(name, _base(path, name))

        return read

    def of_capture(path: Path) -> Any:
        return read_capture(path.parent, "x")

    readers = [
        Reader(
            "capture.json",
            "json",
            capture_maker("capture.json"),
            of_capture,
            capture,
            wrong_capture,
        ),
        Reader("landmarks.json", "json", landmarks_maker, read_landmarks, capture, wrong_landmarks),
        Reader(
            "depth.npy",
            "npy",
            capture_maker("depth.npy", "npy"),
            of_capture,
            capture,
            wrong_capture,
        ),
        Reader("depth.png", "png", depth_picture, read_uint16, capture, wrong_image),
        Reader("color.png", "png", picture_maker("a.png"), read_rgb, capture, wrong_image),
        Reader("color.jpg", "picture", picture_maker("a.jpg"), read_rgb, capture, wrong_image),
        Reader("photo.tiff", "picture", picture_maker("a.tiff"), read_rgb, capture, wrong_image),
        Reader("photo.webp", "picture", picture_maker("a.webp"), read_rgb, capture, wrong_image),
        Reader("mesh.obj", "text", obj_maker("mesh.obj"), read_mesh, capture, wrong_mesh),
        Reader(
            "mesh.mtl",
            "text",
            obj_maker("mesh.mtl"),
            lambda path: read_mesh(path.with_suffix(".obj")),
            capture,
            wrong_mesh,
        ),
        Reader("ascii.ply", "text", ascii_ply, read_mesh, capture, wrong_mesh),
        Reader("binary.ply", "mixed", mesh_maker("mesh.ply"), read_mesh, capture, wrong_mesh),
        Reader("mesh.glb", "glb", mesh_maker("mesh.glb"), read_mesh, capture, wrong_mesh),
        Reader("textured.glb", "glb", mesh_maker("mesh.glb", True), read_mesh, capture, wrong_mesh),
        Reader("preset.toml", "text", preset_maker(site), load_preset, config, wrong_preset),
        Reader("settings.toml", "text", settings_maker, read_settings, config, wrong_settings),
        Reader("review.csv", "text", review_maker, read_review_list, config, wrong_review),
        Reader(
            "NoW list",
            "text",
            now_maker("imagepathsvalidation.txt"),
            protocol("now"),
            config,
            wrong_protocol,
        ),
        Reader(
            "NoW points",
            "text",
            now_maker("scans_lmks_onlypp/anna/head_picked_points.pp"),
            protocol("now"),
            config,
            wrong_protocol,
        ),
        Reader(
            "Stirling table",
            "text",
            stirling_maker("photos.csv"),
            protocol("stirling"),
            config,
            wrong_protocol,
        ),
        Reader(
            "Stirling points",
            "text",
            stirling_maker("annotations/F_3D_N/F1001_N.lnd"),
            protocol("stirling"),
            config,
            wrong_protocol,
        ),
        Reader(
            "method's landmarks", "json", vertices_maker, read_mesh_landmarks, config, any_value
        ),
        Reader(
            "face model file",
            "binary",
            lambda folder: world_model(site, folder),
            load_model,
            (ValueError,),
            wrong_model,
            odd_model,
        ),
        Reader(
            "face model of a build",
            "binary",
            copy_of(site, r"^work/facemodel-"),
            load_model,
            own,
            equal,
        ),
        Reader(
            "product",
            "binary",
            copy_of(site, r"^work/registration-.*product$"),
            _read_registrations(site),
            own,
            equal,
        ),
        *(
            Reader(name, "json", copy_of(site, rf"^work/{name}-"), read_sealed_json, own, equal)
            for name in ("index", "config", "decisions", "draws", "verdicts", "plan")
        ),
        Reader(
            "manifest",
            "json",
            dataset_copy(site, "manifest.json"),
            lambda path: read_manifest(path.parent),
            own,
            equal,
        ),
        Reader(
            "manifest, verify",
            "json",
            dataset_copy(site, "manifest.json"),
            lambda path: (verify_dataset(path.parent), _json_or_none(path)),
            (),
            wrong_manifest,
        ),
        Reader(
            "shard, verify",
            "binary",
            dataset_copy(site, "train-00000.h5"),
            lambda path: verify_dataset(path.parent),
            (),
            wrong_verification,
        ),
        Reader(
            "topology, verify",
            "binary",
            dataset_copy(site, "topology.h5"),
            lambda path: verify_dataset(path.parent),
            (),
            wrong_verification,
        ),
        Reader(
            "face model of a dataset, verify",
            "binary",
            dataset_copy(site, "facemodel.h5"),
            lambda path: verify_dataset(path.parent),
            (),
            wrong_verification,
        ),
    ]
    readers += layout_readers_d.readers()
    readers += layout_readers_a.readers()
    readers += readers_b()
    readers += layout_readers_c.readers()
    readers += model_readers_bfm.readers()
    readers += model_readers_flame.readers()
    if checkpoint is not None:
        readers.append(
            Reader(
                "checkpoint",
                "binary",
                lambda folder: Path(shutil.copyfile(checkpoint, folder / checkpoint.name)),
                read_checkpoint,
                own,
                equal,
            )
        )
    return readers


def _base(path: Path, name: str) -> Path:
    """Return the folder of a test set that a file is in."""
    marks = {"now": "imagepathsvalidation.txt", "stirling": "photos.csv"}
    return next(folder for folder in path.parents if (folder / marks[name]).is_file())


def _json_or_none(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
