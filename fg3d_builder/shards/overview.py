"""What a dataset is: whose faces, how many, under which licences, how large, made how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fg3d_builder.records import Array
from fg3d_builder.shards.columns import naming, open_shard, texts
from fg3d_builder.shards.manifest import described_files, missing_files, read_manifest
from fg3d_builder.shards.part import Part
from fg3d_builder.shards.schema import CAPTURED, FROM_DETECTED, SPLITS
from fg3d_builder.shards.split import rule_of

_SHARES = {"lowest": 0.0, "5%": 0.05, "median": 0.5, "95%": 0.95, "highest": 1.0}
"""Quantiles that stand for a distribution."""


def overview(dataset: Path) -> dict[str, Any]:
    """Describe a dataset in JSON values, without decoding an image.

    Everything is counted in the shards that are there; where some are missing or cut short,
    ``missing`` names them and they are not counted.

    Parameters
    ----------
    dataset : Path
        Folder with ``manifest.json``.

    Returns
    -------
    dict
        ``views`` counts samples by the name of their view, ``fits`` by where the landmarks of
        `SampleImage.initial_source` come from; ``sources``, ``licences`` and ``expressions`` count
        captures; ``bytes`` adds up the files, ``a_sample`` without topology and face model;
        distributions (``quality``, ``landmark_error_px``, ``surface_error_mm``, ``painted``) are
        quantiles.

    Raises
    ------
    FileNotFoundError
        No manifest there.
    ValueError
        A manifest that does not fit its seal, or a shard that cannot be read as one.
    """
    manifest = read_manifest(dataset)
    missing = missing_files(dataset)
    counts = _Counts()
    for entry in manifest["shards"]:
        if entry["file"] not in missing:
            path = dataset / entry["file"]
            with naming(path), open_shard(path) as file:
                counts.add(file, entry)
    derived = manifest.get("derived")
    model = manifest["facemodel"]
    return {
        "dataset": str(dataset),
        "content_sha256": manifest["content_sha256"],
        "missing": missing,
        "made_by": "build" if derived is None else derived["by"],
        "parts": [] if derived is None else [_part(part) for part in derived["parts"]],
        "split_rule": _rule(manifest),
        **counts.told(manifest, missing),
        "facemodel": {**model, "vertices": counts.vertices, **counts.coefficients},
        "failures": _by_code(manifest["failures"]),
        "augmentation_failures": _by_code(manifest["augmentation_failures"]),
        "rejected": _by_code(manifest["rejected"]),
        "accepted": len(manifest["accepted"]),
        "config": manifest["config"],
        "config_digest": manifest["config_digest"],
        "versions": manifest["versions"],
    }


def licences(parts: Iterable[Part]) -> dict[str, int]:
    """Return how many captures of some datasets are under each licence."""
    found: Counter[str] = Counter()
    for part in parts:
        for content in part.contents:
            rows = zip(content.captures, content.licences, strict=True)
            found.update(licence for name, licence in rows if name not in part.left_out)
    return dict(sorted(found.items()))


class _Counts:
    """Adds up what shards hold."""

    def __init__(self) -> None:
        self._of_captures = {n: Counter[str]() for n in ("source", "expression", "licence")}
        self._views: Counter[str] = Counter()
        self._fits: Counter[str] = Counter()
        self._formats: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._splits: dict[str, Counter[str]] = {}
        self._subjects: dict[str, set[str]] = {}
        self._values: dict[str, list[Array]] = {}
        self.vertices = 0
        self.coefficients = {"identity": 0, "expression": 0}

    def add(self, file: h5py.File, entry: Mapping[str, Any]) -> None:
        """Count a shard."""
        for name, counter in self._of_captures.items():
            counter.update(texts(file, f"captures/{name}"))
        names = texts(file, "samples/sample_id")
        self._views.update(name.split("/")[-2] if name.count("/") > 1 else "?" for name in names)
        detected = int((file["samples/initial_source"][()] == FROM_DETECTED).sum())
        self._fits.update({"detected": detected, "projected": len(names) - detected})
        self._formats[str(file["samples/image_bytes"].attrs["format"])] += len(names)
        new = sum(source != CAPTURED for source in texts(file, "shapes/shape_source"))
        split = self._splits.setdefault(entry["split"], Counter())
        subjects = texts(file, "captures/subject_id")
        self._subjects.setdefault(entry["split"], set()).update(subjects)
        shapes = len(file["shapes/shape_obj_mm"])
        split.update(captures=len(subjects), shapes=shapes, new_shapes=new, samples=len(names))
        for path in ("captures/quality", "captures/landmark_error_px", "captures/surface_error_mm"):
            self._values.setdefault(path.split("/")[1], []).append(file[path][()])
        self._values.setdefault("painted", []).append(file["samples/painted"][()])
        self.vertices = int(file.attrs["vertex_count"])
        self.coefficients["identity"] = file["shapes/alpha_id"].shape[1]
        self.coefficients["expression"] = file["shapes/alpha_exp"].shape[1]
        images = file["samples/image_bytes"].id.get_storage_size()
        stored = sum(column.id.get_storage_size() for column in file["shapes"].values())
        self._bytes.update(images=images, shapes=stored, rest=entry["bytes"] - images - stored)

    def told(self, manifest: Mapping[str, Any], missing: list[str]) -> dict[str, Any]:
        """Return all that was counted."""
        splits = {
            name: {
                "subjects": len(self._subjects.get(name, ())),
                **{
                    table: self._splits.get(name, Counter())[table]
                    for table in ("captures", "shapes", "new_shapes", "samples")
                },
            }
            for name in SPLITS
            if name in manifest["splits"]
        }
        samples = sum(split["samples"] for split in splits.values())
        beside = {
            entry["file"]: entry["bytes"]
            for entry in manifest["files"]
            if entry["file"] not in missing
        }
        in_shards = sum(self._bytes.values())
        settings = manifest["config"]["shards"]
        return {
            "subjects": len(set().union(*self._subjects.values())),
            **{
                table: sum(split[table] for split in splits.values())
                for table in ("captures", "shapes", "new_shapes", "samples")
            },
            "splits": splits,
            **{f"{name}s": dict(sorted(c.items())) for name, c in self._of_captures.items()},
            "views": dict(sorted(self._views.items())),
            "fits": dict(self._fits),
            **{name: _quantiles(values) for name, values in self._values.items()},
            "image": {"size_px": settings["image_size"], "formats": dict(self._formats)},
            "bytes": {
                **{name: self._bytes[name] for name in ("images", "shapes", "rest")},
                **beside,
                "total": in_shards + sum(beside.values()),
                "a_sample": round(in_shards / samples) if samples else 0,
            },
            "files": len(described_files(manifest)) - len(missing),
        }


def _rule(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    rule = rule_of(manifest)
    return None if rule is None else rule.table()


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    told = ("name", "content_sha256", "captures", "shapes", "samples", "left_out")
    renamed = {name: len(part[name]) for name in ("renamed_captures", "renamed_subjects")}
    return {**{name: part[name] for name in told}, **renamed}


def _by_code(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    return dict(Counter(str(row["code"]) for row in rows).most_common())


def _quantiles(values: list[Array]) -> dict[str, float | None]:
    """Return quantiles of what is known; None where nothing is."""
    every = np.concatenate(values)
    known = every[np.isfinite(every)]
    if not len(known):
        return dict.fromkeys(_SHARES)
    found = np.quantile(known, list(_SHARES.values()))
    return {name: round(float(value), 4) for name, value in zip(_SHARES, found, strict=True)}
