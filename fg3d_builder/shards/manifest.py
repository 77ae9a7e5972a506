"""The manifest: what a dataset consists of, how it was made, and what is not in it, and why.

It is plain JSON with a seal among its members (`fg3d_builder.files.sealed_object`). Shards and
the face model are sealed files (`fg3d_builder.files.sealed`); the manifest says how long every
file is, so that what is missing or cut short is seen without reading, and its SHA-256.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py

from fg3d_builder.config import BuildConfig, digest, to_table
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import SCHEMA as MODEL_SCHEMA
from fg3d_builder.files.hashes import file_sha256, sha256
from fg3d_builder.files.sealed import check_sealed, stated_sha256
from fg3d_builder.files.sealed_object import (
    read_sealed_object,
    with_seal,
    write_sealed_object,
)
from fg3d_builder.records import Failure
from fg3d_builder.review.decisions import Rejection
from fg3d_builder.shards.costs import COSTS, Cost, cost_table
from fg3d_builder.shards.schema import BUILT_SPLITS, FIELDS, SCHEMA, SPLITS

MANIFEST_SCHEMA = "fg3d-manifest-3"
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

    What they have cost is added by `state_costs`, once it is known.

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

    Raises
    ------
    DamagedFileError
        A shard or face model file does not fit its seal; it was set aside.
    """
    check_sealed(model_file, MODEL_SCHEMA)
    facemodel = {
        "name": model.name,
        "licence": model.licence,
        "topology_hash": model.topology_hash,
        "sha256": file_sha256(model_file),
    }
    members = {
        "config": to_table(config),
        "config_digest": digest(config),
        "failures": [asdict(f) for f in sorted(failures, key=lambda f: f.capture_id)],
        "augmentation_failures": [asdict(f) for f in augmentation_failures],
        "rejected": [asdict(r) for r in sorted(rejected, key=lambda r: r.capture_id)],
        "accepted": sorted(accepted),
        COSTS: [],
    }
    return describe_dataset(dataset, facemodel, members)


def describe_dataset(
    dataset: Path, facemodel: Mapping[str, Any], members: Mapping[str, Any]
) -> dict[str, Any]:
    """Describe a folder's files, whoever wrote them, and seal the whole.

    Parameters
    ----------
    dataset : Path
        See `make_manifest`.
    facemodel : mapping
        Name, licence, topology hash and SHA-256 of the face model.
    members : mapping
        What the files do not tell: configuration, failures and so on.

    Raises
    ------
    DamagedFileError
        A shard or face model file does not fit its seal; it was set aside.
    """
    shards = [describe_shard(dataset / name) for name in shard_names(dataset)]
    files = []
    if (dataset / TOPOLOGY_NAME).is_file():
        files.append(_described(dataset / TOPOLOGY_NAME))
    if (dataset / MODEL_NAME).is_file():
        files.append(_described(dataset / MODEL_NAME, MODEL_SCHEMA))
    manifest = {
        "schema": MANIFEST_SCHEMA,
        "shard_schema": SCHEMA,
        "fields": [asdict(field) for field in FIELDS],
        "shards": shards,
        "files": files,
        "content_sha256": content_sha256(shards, files),
        "splits": split_contents(shards),
        "facemodel": {
            **facemodel,
            "file": MODEL_NAME if (dataset / MODEL_NAME).is_file() else "",
        },
        "versions": package_versions(),
        **members,
    }
    return with_seal(manifest)


def state_costs(dataset: Path, spent: Iterable[tuple[str, int, Cost | None]]) -> None:
    """Let a dataset's manifest say what the dataset has cost to make.

    Parameters
    ----------
    dataset : Path
    spent : iterable of (stage, captures, cost)
        Of each task, see `cost_table`.

    Raises
    ------
    FileNotFoundError, ValueError
        See `read_manifest`.
    """
    manifest = read_manifest(dataset)
    samples = sum(split["samples"] for split in manifest["splits"].values())
    table = cost_table(spent, samples)
    if manifest.get(COSTS) != table:
        write_sealed_object(dataset / MANIFEST_NAME, {**manifest, COSTS: table})


def read_manifest(dataset: Path) -> dict[str, Any]:
    """Read a dataset's manifest.

    Raises
    ------
    FileNotFoundError
    ValueError
        No valid JSON, another schema, or a seal that does not fit. The file stays where it is.
    """
    path = dataset / MANIFEST_NAME
    if not path.is_file():
        inside = dataset / "dataset"
        hint = f"; there is one at {inside}" if (inside / MANIFEST_NAME).is_file() else ""
        raise FileNotFoundError(f"no dataset at {dataset}: it has no {MANIFEST_NAME}{hint}")
    return read_sealed_object(path, MANIFEST_SCHEMA)


def missing_files(dataset: Path) -> list[str]:
    """Name what is missing of a dataset, without reading more than its manifest.

    Returns
    -------
    list of str
        Files that are not there in the length that the manifest says; the manifest alone where
        there is none that can be believed.
    """
    try:
        manifest = read_manifest(dataset)
    except (FileNotFoundError, ValueError):
        return [MANIFEST_NAME]
    wanted = {entry["file"]: entry["bytes"] for entry in described_files(manifest)}
    there = {path.name: path.stat().st_size for path in dataset.iterdir() if path.is_file()}
    return [name for name, length in wanted.items() if there.get(name) != length]


def described_files(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of all files that a manifest describes, shards first."""
    return [*manifest["shards"], *manifest["files"]]


def altered_files(dataset: Path, names: Iterable[str]) -> list[str]:
    """Name those of a dataset's files whose SHA-256 is not the manifest's; reads them whole.

    Raises
    ------
    FileNotFoundError, ValueError
        See `read_manifest`; or one of the files is not there.
    """
    wanted = {e["file"]: e["sha256"] for e in described_files(read_manifest(dataset))}
    return [name for name in names if file_sha256(dataset / name) != wanted[name]]


def content_sha256(shards: Sequence[Mapping[str, Any]], files: Sequence[Mapping[str, Any]]) -> str:
    """Return what identifies a dataset: over names and contents of its files, without seals."""
    pairs = [(e["file"], e.get("content_sha256", e["sha256"])) for e in (*shards, *files)]
    return sha256(json.dumps(pairs).encode())


def describe_shard(path: Path) -> dict[str, Any]:
    """Return name, length, hashes, split and counts of one shard.

    Raises
    ------
    DamagedFileError
        It does not fit its seal; it was set aside.
    """
    about = _described(path, SCHEMA)
    with h5py.File(path, "r") as file:
        return {**about, **shard_counts(file)}


def shard_counts(file: h5py.File) -> dict[str, Any]:
    """Return what the manifest says of the content of a shard."""
    return {
        "split": str(file.attrs["split"]),
        "samples": len(file["samples/sample_id"]),
        "shapes": len(file["shapes/shape_source"]),
        "captures": len(file["captures/capture_id"]),
        "subjects": sorted({s.decode() for s in file["captures/subject_id"][()]}),
    }


def _described(path: Path, seal_schema: str = "") -> dict[str, Any]:
    """Return name, length and hashes of a file, after checking its seal where it has one."""
    about = {"file": path.name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}
    if seal_schema:
        check_sealed(path, seal_schema)
        about["content_sha256"] = stated_sha256(path, seal_schema)
    return about


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


def split_contents(shards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return subjects and counts of every split, summed over the entries of its shards.

    Those of a build are there also where they are empty.
    """
    there = {*BUILT_SPLITS, *(shard["split"] for shard in shards)}
    return {split: _split(shards, split) for split in SPLITS if split in there}


def _split(shards: Sequence[Mapping[str, Any]], split: str) -> dict[str, Any]:
    chosen = [s for s in shards if s["split"] == split]
    return {
        "subjects": sorted({name for s in chosen for name in s["subjects"]}),
        "captures": sum(s["captures"] for s in chosen),
        "shapes": sum(s["shapes"] for s in chosen),
        "samples": sum(s["samples"] for s in chosen),
    }
