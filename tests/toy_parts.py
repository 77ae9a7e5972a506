"""Small datasets of chosen people, with turned views and new shapes, that `fg3d verify` passes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from toy_models import toy_model
from toy_shards import toy_rows

from fg3d_builder.config import BuildConfig, ShardConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import load_model, save_model
from fg3d_builder.files.atomic import write_json
from fg3d_builder.records import Failure
from fg3d_builder.review.decisions import Rejection
from fg3d_builder.shards.manifest import make_manifest, read_manifest, shard_name
from fg3d_builder.shards.schema import FIELDS, CaptureRow, SampleImage, ShapeRow
from fg3d_builder.shards.split import split_of
from fg3d_builder.shards.writer import ShardWriter, write_topology

SIZE = 48
VIEWS = (("view+00+00", 0.0), ("view+00-30", -30.0))


def write_toy_part(
    folder: Path,
    subjects: Sequence[str],
    *,
    name: str = "toy",
    salt: str = "toy",
    test: float = 0.0,
    captures: int = 2,
    per_shard: int = 3,
    new_shapes: int = 1,
    failed: Sequence[tuple[str, str]] = (),
    rejected: Sequence[tuple[str, str]] = (),
    size: int = SIZE,
    model: FaceModel | None = None,
    seed: str = "",
    model_inside: bool = True,
) -> Path:
    """Write a dataset: ``captures`` captures of each subject, each in two views.

    Every training capture has `new_shapes` new shapes with the nose of the next training subject.
    What is in a picture, and S*, follow from `seed` and the sample's name. `failed` and `rejected`
    are pairs of capture and subject that are in no shard. Without `model_inside` the face model
    lies beside the dataset, as where its licence is narrow.
    """
    folder.mkdir(parents=True)
    model_file = folder / "facemodel.h5" if model_inside else folder.with_suffix(".model.h5")
    save_model(model or toy_model(), model_file)
    face = load_model(model_file)
    out = {capture for capture, _ in (*failed, *rejected)}
    split = {subject: split_of(subject, test, salt) for subject in subjects}
    training = [subject for subject in subjects if split[subject] == "train"]
    for where in ("train", "test"):
        chosen = [
            (f"{subject}-{number}", subject)
            for subject in subjects
            for number in range(captures)
            if split[subject] == where and f"{subject}-{number}" not in out
        ]
        for number, start in enumerate(range(0, len(chosen), per_shard)):
            writer = ShardWriter(where, "png", face)
            for capture, subject in chosen[start : start + per_shard]:
                sources, donors = ["capture"], [""]
                if where == "train" and len(training) > 1:
                    sources += [f"transform-{i}" for i in range(new_shapes)]
                    other = training[(training.index(subject) + 1) % len(training)]
                    donors = [f"{other}-{i}" for i in range(captures) if f"{other}-{i}" not in out]
                _add(writer, face, capture, subject, sources, donors[0], size, seed)
            writer.write(folder / shard_name(where, number))
    write_topology(folder / "topology.h5", face)
    settings = ShardConfig(
        samples_per_shard=per_shard, image_size=size, test_fraction=test, split_salt=salt
    )
    manifest = make_manifest(
        folder,
        BuildConfig(name=name, shards=settings),
        face,
        model_file,
        [Failure(c, s, "landmarks", "no_face", "no face found") for c, s in failed],
        [Rejection(c, s, 0.01, "low_quality", "0.01 < 0.08") for c, s in rejected],
    )
    write_json(folder / "manifest.json", manifest)
    return folder


def _add(
    writer: ShardWriter,
    face: FaceModel,
    capture: str,
    subject: str,
    sources: Sequence[str],
    donor: str,
    size: int,
    seed: str,
) -> None:
    row = replace(_rows(face, seed + capture, size)[0], capture_id=capture, subject_id=subject)
    at = writer.add_capture(row)
    for source in sources:
        made = [_rows(face, f"{seed}{capture}{source}{view}", size) for view, _ in VIEWS]
        donors = "{}" if source == "capture" else json.dumps({"nose": donor})
        shape = replace(made[0][1], shape_source=source, donors=donors)
        images = [
            replace(image, name=view, view_deg=np.array([0.0, yaw]), painted=abs(yaw) / 100)
            for (view, yaw), (_, _, image) in zip(VIEWS, made, strict=True)
        ]
        writer.add_shape(shape, at, images)


_made: dict[tuple[bytes, str, int], tuple[CaptureRow, ShapeRow, SampleImage]] = {}
"""Photos that were drawn already: several datasets show the same people."""


def _rows(face: FaceModel, name: str, size: int) -> tuple[CaptureRow, ShapeRow, SampleImage]:
    key = face.id_basis.tobytes(), name, size
    if key not in _made:
        _made[key] = toy_rows(face, name, size)
    return _made[key]


def everything(dataset: Path) -> dict[str, dict[str, Any]]:
    """Every field of every sample as stored, by its id; with the split and the image's bytes."""
    found = {}
    for shard in read_manifest(dataset)["shards"]:
        with h5py.File(dataset / shard["file"], "r") as file:
            columns = {f.path: file[f.path][()] for f in FIELDS}
        offset = columns["samples/image_offset"]
        for row in range(len(columns["samples/sample_id"])):
            rows = {
                "samples": row,
                "shapes": columns["samples/shape_index"][row],
                "captures": columns["samples/capture_index"][row],
            }
            sample = {
                path: column[rows[path.split("/")[0]]]
                for path, column in columns.items()
                if not path.endswith(("_index", "image_bytes", "image_offset"))
            }
            image = columns["samples/image_bytes"][offset[row] : offset[row + 1]].tobytes()
            name = sample["samples/sample_id"].decode()
            found[name] = {**sample, "image": image, "split": shard["split"]}
    return found


def same(a: dict[str, Any], b: dict[str, Any], but: Sequence[str] = ()) -> bool:
    """Whether two samples are equal, bit by bit, in all fields but some."""
    assert set(a) == set(b)
    return all(
        np.asarray(a[path]).tobytes() == np.asarray(b[path]).tobytes()
        if isinstance(a[path], np.ndarray | np.generic)
        else a[path] == b[path]
        for path in a
        if path not in but
    )
