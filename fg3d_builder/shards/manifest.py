"""The manifest: what a dataset consists of, how it was made, and what is not in it, and why."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py

from fg3d_builder.config import BuildConfig, digest, to_table
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.hashes import file_sha256, sha256
from fg3d_builder.records import Failure
from fg3d_builder.review.decisions import Rejection
from fg3d_builder.shards.schema import FIELDS, SCHEMA, SPLITS

MANIFEST_SCHEMA = "fg3d-manifest-2"
MANIFEST_NAME = "manifest.json"
TOPOLOGY_NAME = "topology.h5"
MODEL_NAME = "facemodel.h5"

_PACKAGES = ["numpy", "scipy", "numba", "opencv-python", "h5py", "scikit-sparse", "open3d"]
_PACKAGES += ["trimesh", "mediapipe", "face-alignment", "anny", "torch", "luigi"]
_FREE_LICENCES = ("cc0", "mit", "apache", "bsd", "cc by 4", "cc by 3", "cc-by-4", "cc-by-3")


def may_be_shared(licence: str) -> bool:
    """Return whether a face model of this licence may be copied into a dataset."""
    return licence.lower().startswith(_FREE_LICENCES)


def make_manifest(
    dataset: Path,
    config: BuildConfig,
    model: FaceModel,
    model_file: Path,
    failures: Sequence[Failure],
    rejected: Sequence[Rejection] = (),
    accepted: Sequence[str] = (),
    augmentation_failures: Sequence[Failure] = (),
) -> dict[str, Any]:
    """Describe a folder's shards in JSON values: equal datasets have equal manifests.

    Parameters
    ----------
    dataset : Path
        Holds the shards, ``topology.h5`` and, where its licence allows, ``facemodel.h5``.
    config : BuildConfig
    model : FaceModel
    model_file : Path
        The file that `model` was read from.
    failures : sequence of Failure
    rejected : sequence of Rejection
        Registrations that were left out.
    accepted : sequence of str
        Ids of captures that are in the dataset by a person's verdict, below the threshold.
    augmentation_failures : sequence of Failure
        Captures that could not be turned, and shapes that could not be made.
    """
    shards = [describe_shard(dataset / name) for name in shard_names(dataset)]
    extra = [n for n in (TOPOLOGY_NAME, MODEL_NAME) if (dataset / n).is_file()]
    files = [{"file": name, "sha256": file_sha256(dataset / name)} for name in extra]
    content = [(s["file"], s["sha256"]) for s in shards] + [(f["file"], f["sha256"]) for f in files]
    return {
        "schema": MANIFEST_SCHEMA,
        "shard_schema": SCHEMA,
        "fields": [asdict(field) for field in FIELDS],
        "shards": shards,
        "files": files,
        "content_sha256": sha256(json.dumps(content).encode()),
        "splits": {split: _split(shards, split) for split in SPLITS},
        "facemodel": {
            "name": model.name,
            "licence": model.licence,
            "topology_hash": model.topology_hash,
            "sha256": file_sha256(model_file),
            "file": MODEL_NAME if MODEL_NAME in extra else "",
        },
        "config": to_table(config),
        "config_digest": digest(config),
        "versions": package_versions(),
        "failures": [asdict(f) for f in sorted(failures, key=lambda f: f.capture_id)],
        "augmentation_failures": [asdict(f) for f in augmentation_failures],
        "rejected": [asdict(r) for r in sorted(rejected, key=lambda r: r.capture_id)],
        "accepted": sorted(accepted),
    }


def describe_shard(path: Path) -> dict[str, Any]:
    """Return name, hash, split and counts of one shard."""
    with h5py.File(path, "r") as file:
        subjects = sorted({s.decode() for s in file["captures/subject_id"][()]})
        return {
            "file": path.name,
            "sha256": file_sha256(path),
            "split": str(file.attrs["split"]),
            "samples": len(file["samples/sample_id"]),
            "shapes": len(file["shapes/shape_source"]),
            "captures": len(file["captures/capture_id"]),
            "subjects": subjects,
        }


def shard_names(dataset: Path) -> list[str]:
    """Return the names of the shard files in a folder, training shards first."""
    return [p.name for split in SPLITS for p in sorted(dataset.glob(f"{split}-*.h5"))]


def shard_name(split: str, number: int) -> str:
    """Return the file name of a shard."""
    return f"{split}-{number:05d}.h5"


def package_versions() -> dict[str, str]:
    """Return the versions of Python, of the packages that results depend on, and our own.

    ``fg3d-builder-source`` is a hash of the package's source files, which names the code also
    where that was no release.
    """
    versions = {"python": platform.python_version(), "fg3d-builder-source": _source_hash()}
    for name in ("fg3d-builder", *_PACKAGES):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = ""
    return versions


def _source_hash() -> str:
    package = Path(__file__).resolve().parents[1]
    files = sorted(package.rglob("*.py"))
    parts = [(str(f.relative_to(package)), file_sha256(f)) for f in files]
    return sha256(json.dumps(parts).encode())[:16]


def _split(shards: list[dict[str, Any]], split: str) -> dict[str, Any]:
    chosen = [s for s in shards if s["split"] == split]
    return {
        "subjects": sorted({name for s in chosen for name in s["subjects"]}),
        "captures": sum(s["captures"] for s in chosen),
        "shapes": sum(s["shapes"] for s in chosen),
        "samples": sum(s["samples"] for s in chosen),
    }
