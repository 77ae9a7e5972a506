"""Checks a dataset from its bytes up to its meaning, and names what is wrong."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fg3d_builder.facemodel.model import PARTS, FaceModel, topology_hash
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.files.encoding import decode_image
from fg3d_builder.files.hdf5_checks import check_declared
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.shards.derived_manifest import made_by
from fg3d_builder.shards.manifest import (
    MANIFEST_NAME,
    MODEL_NAME,
    TOPOLOGY_NAME,
    read_manifest,
    shard_counts,
    shard_names,
)
from fg3d_builder.shards.problems import Problems, Remedy, repair_sentences
from fg3d_builder.shards.rows import rms_length, sample_seed
from fg3d_builder.shards.schema import (
    CAPTURED,
    FIELDS,
    FROM_DETECTED,
    FROM_PROJECTED,
    SCHEMA,
    Field,
)
from fg3d_builder.shards.verify_manifest import (
    check_fields,
    check_files,
    check_model_named,
    check_split,
)

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
    repair : tuple of str
        What to run about the problems, a sentence for each kind; empty for a good dataset.
    """

    problems: tuple[str, ...]
    shards: int
    samples: int
    shapes: int
    content_sha256: str
    repair: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_dataset(dataset: str | os.PathLike[str], model: FaceModel | None = None) -> VerifyReport:
    """Check a dataset.

    The manifest against its seal and itself; files against their SHA-256; presence, counts,
    shapes, dtypes and units of every field; finite values; indices; names, each of which is there
    once; images; rotations; crop
    against camera; visible vertices against the picture; the coarse shape against the stored
    size of ``delta_S`` (where the face model is in the dataset or given); subjects against the
    split; rejected captures are in no shard; new shapes are in the training split alone, with
    parts of other subjects of that split. What does not fit its SHA-256 is not opened.

    Parameters
    ----------
    dataset : path
        Folder with ``manifest.json``.
    model : FaceModel, optional
        For a dataset without a copy of its face model.
    """
    folder, problems = Path(dataset), Problems()
    try:
        manifest = read_manifest(folder)
    except FileNotFoundError as error:
        problems.check(False, MANIFEST_NAME, str(error), Remedy.BUILD)
        report = _report(folder, problems)
        # Elsewhere there is nothing of a dataset, and nothing to repair.
        there = shard_names(folder) or (Path(os.path.realpath(folder)).parent / "work").is_dir()
        return report if there else replace(report, repair=())
    except (OSError, ValueError) as error:
        problems.check(False, MANIFEST_NAME, str(error), Remedy.BUILD)
        return _report(folder, problems)
    try:
        check_files(folder, manifest, problems)
        check_fields(manifest, problems)
        model = _model(folder, manifest, model, problems)
        check_split(manifest, problems)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        text = str(error) if isinstance(error, (OSError, ValueError)) else f"broken: {error!r}"
        problems.check(False, MANIFEST_NAME, text, Remedy.REMOVE_AND_BUILD)
        return _report(folder, problems, by=made_by(manifest))
    shards = manifest["shards"]
    damaged = problems.files()
    sound = [entry for entry in shards if entry["file"] not in damaged]
    # Where shards are missing nobody knows who is in a split.
    members = _members(folder, sound) if len(sound) == len(shards) else {}
    if members:
        names = [name for found in members.values() for name in found]
        once = len(set(names)) == sum(entry["captures"] for entry in sound)
        problems.check(once, MANIFEST_NAME, "a capture is in the dataset twice")
    for entry in sound:
        try:
            with h5py.File(folder / entry["file"], "r") as file:
                check_declared(file, entry["file"], math.inf)
                _ShardCheck(file, entry, manifest, problems).run(model, members)
        except (OSError, ValueError, KeyError, IndexError) as error:
            problems.check(False, entry["file"], f"cannot be read: {error}")
    samples, shapes = (sum(entry[name] for entry in sound) for name in ("samples", "shapes"))
    content = manifest["content_sha256"]
    counts = len(shards), samples, shapes
    return _report(folder, problems, *counts, content, by=made_by(manifest))


def _report(
    folder: Path, problems: Problems, *counts_and_content: Any, by: str = ""
) -> VerifyReport:
    shards, samples, shapes, content = counts_and_content or (0, 0, 0, "")
    sentences = tuple(f"{problem.file}: {problem.sentence}" for problem in problems.found)
    repair = repair_sentences(folder, problems.found, by)
    return VerifyReport(sentences, shards, samples, shapes, content, repair)


def _members(folder: Path, shards: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Return, by split, capture id to subject."""
    found: dict[str, dict[str, str]] = {}
    for entry in shards:
        try:
            with h5py.File(folder / entry["file"], "r") as file:
                tables = (file[f"captures/{x}_id"].asstr()[()] for x in ("capture", "subject"))
                found.setdefault(entry["split"], {}).update(zip(*tables, strict=True))
        except (OSError, ValueError, KeyError, TypeError):
            return {}  # the check of that shard names what is wrong with it
    return found


def _model(
    folder: Path, manifest: dict[str, Any], model: FaceModel | None, problems: Problems
) -> FaceModel | None:
    """Check template and face model; return the model, None where there is no sound one."""
    wanted = manifest["facemodel"]["topology_hash"]
    damaged = problems.files()
    if TOPOLOGY_NAME not in damaged:
        _check_topology(folder, manifest, problems)
    if model is None and (folder / MODEL_NAME).is_file() and MODEL_NAME not in damaged:
        model = load_model(folder / MODEL_NAME)
    if model is None:
        return None
    fits = model.topology_hash == wanted
    problems.check(fits, MODEL_NAME, "topology hash differs from the manifest's")
    return model if fits else None


def _check_topology(folder: Path, manifest: dict[str, Any], problems: Problems) -> None:
    wanted = manifest["facemodel"]["topology_hash"]
    with h5py.File(folder / TOPOLOGY_NAME, "r") as file:
        check_declared(file, TOPOLOGY_NAME, math.inf)
        count, triangles = int(file.attrs["vertex_count"]), file["triangles"][()]
        check_model_named(file, manifest, problems)
    inside = len(triangles) and triangles.min() >= 0 and triangles.max() < count
    problems.check(inside, TOPOLOGY_NAME, "a triangle names a vertex that does not exist")
    same = topology_hash(count, triangles) == wanted
    problems.check(same, TOPOLOGY_NAME, "topology hash differs from the manifest's")


@dataclass(frozen=True)
class _ShardCheck:
    """Checks one shard against its entry in the manifest and against itself."""

    file: h5py.File
    entry: dict[str, Any]
    manifest: dict[str, Any]
    problems: Problems

    def check(self, condition: Any, sentence: str) -> bool:
        return self.problems.check(condition, self.entry["file"], sentence)

    def run(self, model: FaceModel | None, members: Mapping[str, dict[str, str]]) -> None:
        """Check all; `members` is, by split, capture id to subject."""
        before = len(self.problems.found)
        self.header_and_columns()
        if len(self.problems.found) > before:
            return  # what follows relies on the columns
        self.members()
        self.names()
        self.images()
        self.poses()
        self.augmentation(members.get(self.entry["split"]))
        self.visible_vertices()
        if model is not None:
            self.coarse_shapes(model)

    def header_and_columns(self) -> None:
        wanted = {
            "schema": SCHEMA,
            "split": self.entry["split"],
            "topology_hash": self.manifest["facemodel"]["topology_hash"],
        }
        for key, value in wanted.items():
            found = self.file.attrs.get(key)
            self.check(found == value, f"{key} is '{found}', wanted '{value}'")
        tables = {"N": "samples", "C": "captures", "S": "shapes"}
        sizes = {letter: self.entry[table] for letter, table in tables.items()}
        sizes |= {"N+1": sizes["N"] + 1, "n": int(self.file.attrs["vertex_count"])}
        sizes["ceil(n/8)"] = -(-sizes["n"] // 8)
        for field in FIELDS:
            self.column(field, sizes)

    def column(self, field: Field, sizes: dict[str, int]) -> None:
        path = field.path
        if not self.check(path in self.file, f"{path} is missing"):
            return
        data = self.file[path]
        dtype = "str" if h5py.check_string_dtype(data.dtype) else data.dtype.str
        self.check(dtype == field.dtype, f"{path} is {dtype}, wanted {field.dtype}")
        # Letters without a size of their own (k, e, B) take it from the first field that uses them.
        fits = len(data.shape) == len(field.shape) and all(
            found == (want if isinstance(want, int) else sizes.setdefault(want, found))
            for found, want in zip(data.shape, field.shape, strict=True)
        )
        wanted = ", ".join(f"{s}={sizes.get(str(s), s)}" for s in field.shape)
        self.check(fits, f"{path} has shape {data.shape}, wanted ({wanted})")
        unit = data.attrs.get("unit", "")
        self.check(unit == field.unit, f"{path} has unit '{unit}'")
        if data.dtype.kind == "f" and field.name != "surface_error_mm":
            finite = all(np.isfinite(data[i : i + 256]).all() for i in range(0, len(data), 256))
            self.check(finite, f"{path} is not finite everywhere")
        rows = {"capture_index": "C", "shape_index": "S"}.get(field.name)
        if rows:
            inside = np.all((data[()] >= 0) & (data[()] < sizes[rows]))
            self.check(inside, f"{path} names a row that does not exist")

    def members(self) -> None:
        for name, found in shard_counts(self.file).items():
            self.check(found == self.entry[name], f"its {name} differ from the manifest's")
        captures = set(self.file["captures/capture_id"].asstr()[()])
        for rejection in self.manifest["rejected"]:
            name = rejection["capture_id"]
            self.check(name not in captures, f"holds the rejected capture '{name}'")

    def names(self) -> None:
        """Check that samples are called after what they show, each otherwise, with their seeds."""
        samples = self.file["samples"]
        captures = self.file["captures/capture_id"].asstr()[()][samples["capture_index"][()]]
        sources = self.file["shapes/shape_source"].asstr()[()][samples["shape_index"][()]]
        names = samples["sample_id"].asstr()[()]
        for name, capture, source in zip(names, captures, sources, strict=True):
            fits = name.startswith(f"{capture}/") and name.endswith(f"/{source}")
            self.check(fits, f"sample '{name}' is of capture '{capture}' and shape '{source}'")
        self.check(len(set(names)) == len(names), "two samples have the same name")
        seeds = [sample_seed(name) for name in names]
        self.check(samples["seed"][()].tolist() == seeds, "samples/seed is not that of their names")

    def images(self) -> None:
        size = self.manifest["config"]["shards"]["image_size"]
        offset, data = self.file["samples/image_offset"][()], self.file["samples/image_bytes"]
        ordered = offset[0] == 0 and np.all(np.diff(offset) > 0) and offset[-1] == len(data)
        if not self.check(ordered, "samples/image_offset does not divide the image bytes"):
            return
        for i, (begin, end) in enumerate(itertools.pairwise(offset)):
            try:
                shape = decode_image(data[begin:end]).shape
                fits = shape == (size, size, 3)
                self.check(fits, f"image {i} is {shape}, wanted ({size}, {size}, 3)")
            except ValueError as error:
                self.check(False, f"image {i}: {error}")

    def poses(self) -> None:
        samples = self.file["samples"]
        for prefix in ("", "initial_"):
            rotation, scale = samples[f"{prefix}rotation"][()], samples[f"{prefix}scale"][()]
            product = rotation @ rotation.transpose(0, 2, 1)
            orthogonal = np.allclose(product, np.eye(3), atol=1e-6)
            proper = orthogonal and np.all(np.linalg.det(rotation) > 0)
            self.check(proper, f"samples/{prefix}rotation holds a matrix that is no rotation")
            self.check(np.all(scale > 0), f"samples/{prefix}scale is not positive")
        base = np.all(samples["view_deg"][()] == 0, axis=1)
        camera = self.file["captures/intrinsics"][()][samples["capture_index"][()]]
        product = samples["px_crop_from_px"][()] @ camera
        same = np.allclose(product[base], samples["intrinsics"][()][base], rtol=1e-9, atol=1e-9)
        self.check(same, "samples/intrinsics is not px_crop_from_px times the capture's")

    def augmentation(self, members: dict[str, str] | None) -> None:
        """Check what is stored of views and new shapes, and that parts stay in their split."""
        samples, shapes, split = self.file["samples"], self.file["shapes"], self.entry["split"]
        known = np.isin(samples["initial_source"][()], (FROM_DETECTED, FROM_PROJECTED))
        self.check(known.all(), "samples/initial_source is neither 0 nor 1")
        painted = samples["painted"][()]
        inside = np.all((painted >= 0) & (painted <= 1))
        self.check(inside, "samples/painted is no share from 0 to 1")
        maker = shapes["capture_index"][()]
        same = samples["capture_index"][()] == maker[samples["shape_index"][()]]
        self.check(same.all(), "a sample's shape was made from another capture than itself")
        subjects = self.file["captures/subject_id"].asstr()[()][maker]
        sources, donors = (shapes[field].asstr()[()] for field in ("shape_source", "donors"))
        for i, (source, text, subject) in enumerate(zip(sources, donors, subjects, strict=True)):
            if source != CAPTURED:
                self.check(split == "train", f"shape {i}: '{source}' in the {split} split")
            wrong = _wrong_donors(source, text, subject, members)
            self.check(not wrong, f"shape {i}: {wrong}")

    def visible_vertices(self) -> None:
        samples, side = self.file["samples"], self.manifest["config"]["shards"]["image_size"]
        for i, row in enumerate(samples["shape_index"][()]):
            shape = self.file["shapes/shape_obj_mm"][row].astype(np.float64)
            visible = np.unpackbits(samples["visible"][i], count=len(shape)).astype(bool)
            camera = samples["scale"][i] * shape @ samples["rotation"][i].T
            pixels = px_from_cam(camera + samples["translation_mm"][i], samples["intrinsics"][i])
            inside = np.all((pixels > -0.5) & (pixels < side - 0.5), axis=1)
            share = float(inside[visible].mean()) if visible.any() else 0.0
            self.check(share > 0.5, f"sample {i}: {share:.0%} of what is visible is in view")

    def coarse_shapes(self, model: FaceModel) -> None:
        shapes = self.file["shapes"]
        for i in range(len(shapes["shape_obj_mm"])):
            coarse = model.shape(shapes["alpha_id"][i], shapes["alpha_exp"][i])
            found = rms_length(shapes["shape_obj_mm"][i] - coarse)
            stored = float(shapes["delta_rms_mm"][i])
            sentence = f"shape {i}: delta_S is {found:.4f} mm by its coefficients, not {stored:.4f}"
            self.check(abs(found - stored) < _COARSE_TOLERANCE_MM, sentence)


def _wrong_donors(source: str, text: str, subject: str, members: dict[str, str] | None) -> str:
    """Return what is wrong with a shape's provenance, ``""`` where nothing is.

    `members` is capture id to subject of the shape's split; None where it is not known.
    """
    try:
        donors = json.loads(text)
    except ValueError:
        return "donors are no JSON"
    if not isinstance(donors, dict) or not all(isinstance(v, str) for v in donors.values()):
        return "donors are no table of captures"
    if (source == CAPTURED) == bool(donors):
        return f"'{source}' has {len(donors)} donors"
    if unknown := sorted(set(donors) - set(PARTS)):
        return f"donors give '{unknown[0]}', which is no part of a face"
    if members is None:
        return ""
    if strangers := sorted(set(donors.values()) - set(members)):
        return f"donor '{strangers[0]}' is no capture of the same split"
    own = subject in {members[name] for name in donors.values()}
    return f"subject '{subject}' is its own donor" if own else ""
