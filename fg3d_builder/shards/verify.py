"""Checks a dataset from its bytes up to its meaning, and names what is wrong."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fg3d_builder.facemodel.model import PARTS, FaceModel, topology_hash
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.files.encoding import decode_image
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.records import Array
from fg3d_builder.shards.manifest import MODEL_NAME, TOPOLOGY_NAME, shard_names
from fg3d_builder.shards.reader import read_manifest
from fg3d_builder.shards.rows import rms_length
from fg3d_builder.shards.schema import (
    CAPTURED,
    FIELDS,
    FROM_DETECTED,
    FROM_PROJECTED,
    SCHEMA,
    Field,
)
from fg3d_builder.shards.split import split_of

_COARSE_TOLERANCE_MM = 2e-3
"""Single precision of shapes, coefficients and a stored root mean square."""


@dataclass(frozen=True)
class VerifyReport:
    """Outcome of `verify_dataset`.

    Attributes
    ----------
    problems : tuple of str
        One sentence each, beginning with the file at fault; empty for a good dataset.
    shards, samples, shapes : int
        How many were checked.
    content_sha256 : str
        The manifest's; equal for datasets of equal content.
    """

    problems: tuple[str, ...]
    shards: int
    samples: int
    shapes: int
    content_sha256: str

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class _Problems:
    """Collects sentences, with the file's name in front of each."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def check(self, condition: Any, name: str, sentence: str) -> bool:
        if not condition:
            self.found.append(f"{name}: {sentence}")
        return bool(condition)


def verify_dataset(dataset: str | os.PathLike[str], model: FaceModel | None = None) -> VerifyReport:
    """Check a dataset.

    Files against their SHA-256; presence, counts, shapes, dtypes and units of every field;
    finite values; indices; images; rotations; crop against camera; visible vertices against
    the picture; the coarse shape against the stored size of ``delta_S`` (where the face
    model is in the dataset or given); subjects against the split;
    rejected captures are in no shard; new shapes are in the training split alone, with parts
    of other subjects of that split.

    Parameters
    ----------
    dataset : path
        Folder with ``manifest.json``.
    model : FaceModel, optional
        For a dataset without a copy of its face model.
    """
    folder = Path(dataset)
    problems = _Problems()
    try:
        manifest = read_manifest(folder)
        _check_files(folder, manifest, problems)
        model = _model(folder, manifest, model, problems)
        _check_split(manifest, problems)
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = str(error) if isinstance(error, (OSError, ValueError)) else f"broken: {error!r}"
        return VerifyReport((*problems.found, f"manifest.json: {text}"), 0, 0, 0, "")
    damaged = {line.split(":")[0] for line in problems.found}
    samples = shapes = 0
    sound = [entry for entry in manifest["shards"] if entry["file"] not in damaged]
    members = _members(folder, sound, complete=len(sound) == len(manifest["shards"]))
    for entry in sound:
        try:
            _check_shard(folder / entry["file"], entry, manifest, model, members, problems)
        except (OSError, ValueError, KeyError, IndexError) as error:
            problems.check(False, entry["file"], f"cannot be read: {error}")
        samples, shapes = samples + entry["samples"], shapes + entry["shapes"]
    return VerifyReport(
        tuple(problems.found),
        len(manifest["shards"]),
        samples,
        shapes,
        manifest["content_sha256"],
    )


def _check_files(folder: Path, manifest: dict[str, Any], problems: _Problems) -> None:
    listed = [entry["file"] for entry in manifest["shards"]]
    for entry in (*manifest["shards"], *manifest["files"]):
        path = folder / entry["file"]
        if problems.check(path.is_file(), entry["file"], "is missing"):
            same = file_sha256(path) == entry["sha256"]
            problems.check(same, entry["file"], "SHA-256 differs from the manifest's")
    for name in shard_names(folder):
        problems.check(name in listed, name, "is not in the manifest")
    problems.check(listed, "manifest.json", "there are no shards: no capture was registered")
    problems.check(manifest["shard_schema"] == SCHEMA, "manifest.json", "unknown shard schema")
    for name, count in Counter(listed).items():
        problems.check(count == 1, name, "is listed twice in the manifest")


def _members(
    folder: Path, shards: list[dict[str, Any]], complete: bool
) -> dict[str, dict[str, str]]:
    """By split: capture id to subject. Empty where shards are missing, for then nobody knows."""
    found: dict[str, dict[str, str]] = {}
    for entry in shards if complete else ():
        try:
            with h5py.File(folder / entry["file"], "r") as file:
                tables = (file[f"captures/{x}_id"].asstr()[()] for x in ("capture", "subject"))
                found.setdefault(entry["split"], {}).update(zip(*tables, strict=True))
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # what is wrong with that shard is said where it is checked
    return found


def _model(
    folder: Path, manifest: dict[str, Any], model: FaceModel | None, problems: _Problems
) -> FaceModel | None:
    wanted = manifest["facemodel"]["topology_hash"]
    with h5py.File(folder / TOPOLOGY_NAME, "r") as file:
        count, triangles = int(file.attrs["vertex_count"]), file["triangles"][()]
    inside = len(triangles) and triangles.min() >= 0 and triangles.max() < count
    problems.check(inside, TOPOLOGY_NAME, "a triangle names a vertex that does not exist")
    same = topology_hash(count, triangles) == wanted
    problems.check(same, TOPOLOGY_NAME, "topology hash differs from the manifest's")
    if model is None and (folder / MODEL_NAME).is_file():
        model = load_model(folder / MODEL_NAME)
    if model is not None:
        fits = model.topology_hash == wanted
        problems.check(fits, MODEL_NAME, "topology hash differs from the manifest's")
        return model if fits else None
    return None


def _check_split(manifest: dict[str, Any], problems: _Problems) -> None:
    settings = manifest["config"]["shards"]
    for split, content in manifest["splits"].items():
        shards = [s for s in manifest["shards"] if s["split"] == split]
        for name in ("samples", "captures"):
            total = sum(s[name] for s in shards)
            fits = total == content[name]
            problems.check(
                fits, "manifest.json", f"{split} says {content[name]} {name}, {total} are"
            )
    for shard in manifest["shards"]:
        for subject in shard["subjects"]:
            right = split_of(subject, settings["test_fraction"], settings["split_salt"])
            sentence = f"subject '{subject}' belongs to the {right} split"
            problems.check(right == shard["split"], shard["file"], sentence)


def _check_shard(
    path: Path,
    entry: dict[str, Any],
    manifest: dict[str, Any],
    model: FaceModel | None,
    members: dict[str, dict[str, str]],
    problems: _Problems,
) -> None:
    name = path.name
    with h5py.File(path, "r") as file:
        wanted = {
            "schema": SCHEMA,
            "split": entry["split"],
            "topology_hash": manifest["facemodel"]["topology_hash"],
        }
        for key, value in wanted.items():
            found = file.attrs.get(key)
            problems.check(found == value, name, f"{key} is '{found}', wanted '{value}'")
        before = len(problems.found)
        sizes = {"N": entry["samples"], "C": entry["captures"], "S": entry["shapes"]}
        sizes |= {"N+1": sizes["N"] + 1, "n": int(file.attrs["vertex_count"])}
        sizes["ceil(n/8)"] = -(-sizes["n"] // 8)
        for field in FIELDS:
            _check_field(file, field, sizes, name, problems)
        if len(problems.found) > before:
            return  # what follows relies on the fields
        subjects = {s.decode() for s in file["captures/subject_id"][()]}
        same = subjects == set(entry["subjects"])
        problems.check(same, name, "its subjects differ from the manifest's")
        captures = {c.decode() for c in file["captures/capture_id"][()]}
        for rejection in manifest["rejected"]:
            out = rejection["capture_id"] not in captures
            problems.check(out, name, f"holds the rejected capture '{rejection['capture_id']}'")
        _check_images(file, manifest, name, problems)
        _check_poses(file, name, problems)
        _check_augmentation(file, entry["split"], members, name, problems)
        _check_shapes(file, model, name, problems)


def _check_augmentation(
    file: h5py.File, split: str, members: dict[str, dict[str, str]], name: str, problems: _Problems
) -> None:
    """Check what is said of views and new shapes, and that parts stay within their split."""
    samples, shapes = file["samples"], file["shapes"]
    known = np.isin(samples["initial_source"][()], (FROM_DETECTED, FROM_PROJECTED))
    problems.check(known.all(), name, "samples/initial_source is neither 0 nor 1")
    painted = samples["painted"][()]
    inside = np.all((painted >= 0) & (painted <= 1))
    problems.check(inside, name, "samples/painted is no share from 0 to 1")
    maker = shapes["capture_index"][()]
    same = samples["capture_index"][()] == maker[samples["shape_index"][()]]
    problems.check(same.all(), name, "a sample's shape was made from another capture than itself")
    subjects = file["captures/subject_id"].asstr()[()][maker]
    sources, donors = (shapes[field].asstr()[()] for field in ("shape_source", "donors"))
    for i, (source, text, subject) in enumerate(zip(sources, donors, subjects, strict=True)):
        if source != CAPTURED:
            problems.check(split == "train", name, f"shape {i}: '{source}' in the {split} split")
        wrong = _wrong_donors(source, text, subject, members.get(split))
        problems.check(not wrong, name, f"shape {i}: {wrong}")


def _wrong_donors(source: str, text: str, subject: str, members: dict[str, str] | None) -> str:
    """Say what is wrong with a shape's provenance, ``""`` where nothing is.

    `members`: capture id to subject of the shape's split; None where it is not known.
    """
    try:
        donors = json.loads(text)
    except ValueError:
        return "donors are no JSON"
    if not isinstance(donors, dict) or not all(isinstance(v, str) for v in donors.values()):
        return "donors are no table of captures"
    if (source == CAPTURED) == bool(donors):
        return f"'{source}' has {len(donors)} donors"
    unknown = sorted(set(donors) - set(PARTS))
    if unknown:
        return f"donors give '{unknown[0]}', which is no part of a face"
    if members is None:
        return ""
    strangers = sorted(set(donors.values()) - set(members))
    if strangers:
        return f"donor '{strangers[0]}' is no capture of the same split"
    own = subject in {members[name] for name in donors.values()}
    return f"subject '{subject}' is its own donor" if own else ""


def _check_field(
    file: h5py.File, field: Field, sizes: dict[str, int], name: str, problems: _Problems
) -> None:
    if not problems.check(field.path in file, name, f"{field.path} is missing"):
        return
    data = file[field.path]
    dtype = "str" if h5py.check_string_dtype(data.dtype) else data.dtype.str
    problems.check(dtype == field.dtype, name, f"{field.path} is {dtype}, wanted {field.dtype}")
    # Letters without a size of their own (k, e, B) take it from the first field that uses them.
    fits = len(data.shape) == len(field.shape) and all(
        found == (want if isinstance(want, int) else sizes.setdefault(want, found))
        for found, want in zip(data.shape, field.shape, strict=True)
    )
    wanted = ", ".join(f"{s}={sizes.get(str(s), s)}" for s in field.shape)
    problems.check(fits, name, f"{field.path} has shape {data.shape}, wanted ({wanted})")
    unit = data.attrs.get("unit", "")
    problems.check(unit == field.unit, name, f"{field.path} has unit '{unit}'")
    if data.dtype.kind == "f" and field.name != "surface_error_mm":
        finite = all(np.isfinite(data[i : i + 256]).all() for i in range(0, len(data), 256))
        problems.check(finite, name, f"{field.path} is not finite everywhere")
    rows = {"capture_index": "C", "shape_index": "S"}.get(field.name)
    if rows:
        inside = np.all((data[()] >= 0) & (data[()] < sizes[rows]))
        problems.check(inside, name, f"{field.path} names a row that does not exist")


def _check_images(
    file: h5py.File, manifest: dict[str, Any], name: str, problems: _Problems
) -> None:
    size = manifest["config"]["shards"]["image_size"]
    offset, data = file["samples/image_offset"][()], file["samples/image_bytes"]
    ordered = offset[0] == 0 and np.all(np.diff(offset) > 0) and offset[-1] == len(data)
    if not problems.check(ordered, name, "samples/image_offset does not divide the image bytes"):
        return
    for i in range(len(offset) - 1):
        try:
            shape = decode_image(data[offset[i] : offset[i + 1]]).shape
            fits = shape == (size, size, 3)
            problems.check(fits, name, f"image {i} is {shape}, wanted ({size}, {size}, 3)")
        except ValueError as error:
            problems.check(False, name, f"image {i}: {error}")


def _check_poses(file: h5py.File, name: str, problems: _Problems) -> None:
    samples = file["samples"]
    for prefix in ("", "initial_"):
        rotation, scale = samples[f"{prefix}rotation"][()], samples[f"{prefix}scale"][()]
        product = rotation @ rotation.transpose(0, 2, 1)
        proper = np.allclose(product, np.eye(3), atol=1e-6) and np.all(np.linalg.det(rotation) > 0)
        problems.check(proper, name, f"samples/{prefix}rotation holds a matrix that is no rotation")
        problems.check(np.all(scale > 0), name, f"samples/{prefix}scale is not positive")
    base = np.all(samples["view_deg"][()] == 0, axis=1)
    camera = file["captures/intrinsics"][()][samples["capture_index"][()]]
    product = samples["px_crop_from_px"][()] @ camera
    same = np.allclose(product[base], samples["intrinsics"][()][base], rtol=1e-9, atol=1e-9)
    problems.check(same, name, "samples/intrinsics is not px_crop_from_px times the capture's")


def _check_shapes(file: h5py.File, model: FaceModel | None, name: str, problems: _Problems) -> None:
    samples, shapes = file["samples"], file["shapes"]
    side = _image_side(file)
    for i, row in enumerate(samples["shape_index"][()]):
        shape = shapes["shape_obj_mm"][row].astype(np.float64)
        visible = np.unpackbits(samples["visible"][i], count=len(shape)).astype(bool)
        camera = samples["scale"][i] * shape @ samples["rotation"][i].T
        pixels = px_from_cam(camera + samples["translation_mm"][i], samples["intrinsics"][i])
        share = _share_inside(pixels[visible], side)
        problems.check(share > 0.5, name, f"sample {i}: {share:.0%} of what is visible is in view")
    if model is None:
        return
    for i in range(len(shapes["shape_obj_mm"])):
        coarse = model.shape(shapes["alpha_id"][i], shapes["alpha_exp"][i])
        found = rms_length(shapes["shape_obj_mm"][i] - coarse)
        stored = float(shapes["delta_rms_mm"][i])
        sentence = f"shape {i}: delta_S is {found:.4f} mm by its coefficients, not {stored:.4f}"
        problems.check(abs(found - stored) < _COARSE_TOLERANCE_MM, name, sentence)


def _image_side(file: h5py.File) -> int:
    begin, end = file["samples/image_offset"][:2]
    return int(decode_image(file["samples/image_bytes"][begin:end]).shape[0])


def _share_inside(pixels: Array, side: int) -> float:
    if len(pixels) == 0:
        return 0.0
    return float(np.mean(np.all((pixels > -0.5) & (pixels < side - 0.5), axis=1)))
