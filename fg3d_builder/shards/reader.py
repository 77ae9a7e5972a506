"""Reads a dataset sample by sample, from any number of worker processes."""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

import h5py
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.files.encoding import decode_image
from fg3d_builder.files.hdf5_checks import check_declared
from fg3d_builder.records import Array
from fg3d_builder.shards.manifest import MODEL_NAME, missing_files, read_manifest
from fg3d_builder.shards.schema import FIELDS


class Sample(TypedDict):
    """One training sample; arrays, numbers and text only, so that loaders can stack it.

    Units and frames: `fg3d_builder.shards.schema.FIELDS`. ``delta_obj_mm`` is
    ``shape_obj_mm - coarse_obj_mm``; ``confidence`` lies in [0, 1].
    """

    sample_id: str
    capture_id: str
    subject_id: str
    shape_source: str
    donors: str
    image: Array
    view_deg: Array
    px_crop_from_px: Array
    intrinsics: Array
    scale: float
    rotation: Array
    translation_mm: Array
    shape_obj_mm: Array
    coarse_obj_mm: Array
    delta_obj_mm: Array
    confidence: Array
    visible: Array
    initial_alpha_id: Array
    initial_alpha_exp: Array
    initial_scale: float
    initial_rotation: Array
    initial_translation_mm: Array
    initial_source: int
    painted: float
    quality: float
    seed: int


_COLUMNS = {field.name: field.path for field in FIELDS if field.name in Sample.__annotations__}
"""Columns that a sample is read from; of cameras the last, which is that of its own image."""


class Registered(NamedTuple):
    """What a sample is measured against, without its image; as in `Sample`."""

    sample_id: str
    subject_id: str
    rotation: Array
    shape_obj_mm: Array
    confidence: Array


class StoredShape(NamedTuple):
    """One ground-truth shape and where it comes from; units and frames as in `Sample`."""

    capture_id: str
    subject_id: str
    expression: str
    shape_source: str
    shape_obj_mm: Array
    confidence: Array


class CaptureFacts(NamedTuple):
    """What is known of the capture behind a sample; see `FIELDS`."""

    subject_id: str
    expression: str
    licence: str


class ShardReader:
    """Map-style access to one split: ``len(reader)``, ``reader[i]``.

    Files are opened when first used, in the process that uses them; a reader can be pickled
    and survives a fork. It is a torch map-style dataset without importing torch.

    Parameters
    ----------
    dataset : path
        Folder with ``manifest.json``.
    split : str
        ``"train"`` or ``"test"``.
    model : FaceModel, optional
        Needed where the dataset's face model may not be copied and hence is not in it.

    Raises
    ------
    FileNotFoundError
        No manifest there.
    ValueError
        A manifest that does not fit its seal or has another schema, files that are missing or
        cut short, no such split, or a model of another topology.
    """

    def __init__(
        self, dataset: str | os.PathLike[str], split: str, model: FaceModel | None = None
    ) -> None:
        self.folder = Path(dataset)
        self.manifest = read_manifest(self.folder)
        missing = missing_files(self.folder)
        if missing:
            raise ValueError(
                f"{self.folder}: {', '.join(missing[:5])}: missing or not as long as the manifest "
                f"says; `fg3d verify {self.folder}` says how to repair the dataset"
            )
        if split not in self.manifest["splits"]:
            known = ", ".join(self.manifest["splits"])
            raise ValueError(f"{dataset}: no split '{split}'; there are {known}")
        self.split = split
        shards = [s for s in self.manifest["shards"] if s["split"] == split]
        self._names = [s["file"] for s in shards]
        self._first = np.concatenate([[0], np.cumsum([s["samples"] for s in shards])]).astype(int)
        self._model = _checked_model(self.folder, self.manifest, model)
        self._files: dict[str, h5py.File] = {}
        self._process = os.getpid()

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, index: int) -> Sample:
        return self._sample(*self._place(index))

    def registered(self, index: int) -> Registered:
        """Return the truth of a sample; a fifth of the time that the whole sample takes."""
        file, row = self._place(index)
        samples, shapes = file["samples"], file["shapes"]
        shape_row = int(samples["shape_index"][row])
        subject = file["captures/subject_id"][int(samples["capture_index"][row])]
        return Registered(
            samples["sample_id"][row].decode(),
            subject.decode(),
            samples["rotation"][row],
            shapes["shape_obj_mm"][shape_row],
            _fraction(shapes["confidence"][shape_row]),
        )

    def capture_facts(self, index: int) -> CaptureFacts:
        """Return what is known of the capture behind a sample."""
        file, row = self._place(index)
        at = int(file["samples/capture_index"][row])
        names = (file[f"captures/{name}"][at].decode() for name in CaptureFacts._fields)
        return CaptureFacts(*names)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}

    @property
    def shards(self) -> tuple[str, ...]:
        """File names of the split's shards."""
        return tuple(self._names)

    @property
    def model(self) -> FaceModel:
        """The face model that shapes and coefficients belong to."""
        return self._model

    def names(self) -> tuple[list[str], list[str]]:
        """Return ``sample_id`` and ``shape_source`` of every sample, read as whole columns."""
        ids: list[str] = []
        sources: list[str] = []
        for name in self._names:
            file = self._open(name)
            ids += file["samples/sample_id"].asstr()[:].tolist()
            of_shape = file["shapes/shape_source"].asstr()[:]
            sources += of_shape[file["samples/shape_index"][:]].tolist()
        return ids, sources

    def shapes(self) -> Iterator[StoredShape]:
        """Yield every shape of the split once, though samples in several shards may share it."""
        seen: set[tuple[str, str]] = set()
        for name in self._names:
            file = self._open(name)
            texts = {
                field: file[field].asstr()[:].tolist()
                for field in (
                    "captures/capture_id",
                    "captures/subject_id",
                    "captures/expression",
                    "shapes/shape_source",
                )
            }
            of_capture = file["samples/capture_index"][:]
            rows, first = np.unique(file["samples/shape_index"][:], return_index=True)
            for row, sample in zip(rows.tolist(), first.tolist(), strict=True):
                capture, subject, expression = (
                    texts[f"captures/{field}"][of_capture[sample]]
                    for field in ("capture_id", "subject_id", "expression")
                )
                source = texts["shapes/shape_source"][row]
                if (capture, source) in seen:
                    continue
                seen.add((capture, source))
                shape = file["shapes/shape_obj_mm"][row]
                confidence = _fraction(file["shapes/confidence"][row])
                yield StoredShape(capture, subject, expression, source, shape, confidence)

    def close(self) -> None:
        """Close all files; they are opened again when needed."""
        for file in self._files.values():
            file.close()
        self._files = {}

    def _place(self, index: int) -> tuple[h5py.File, int]:
        """Shard and row of a sample."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        index %= len(self)
        shard = bisect_right(self._first, index) - 1
        return self._open(self._names[shard]), index - int(self._first[shard])

    def _open(self, name: str) -> h5py.File:
        if self._process != os.getpid():  # forked: the parent's handles are not ours
            self._files, self._process = {}, os.getpid()
        if name not in self._files:
            self._files[name] = h5py.File(self.folder / name, "r")
            check_declared(self._files[name], str(self.folder / name), math.inf)
        return self._files[name]

    def _sample(self, file: h5py.File, row: int) -> Sample:
        samples = file["samples"]
        rows = {
            "samples": row,
            "shapes": samples["shape_index"][row],
            "captures": samples["capture_index"][row],
        }
        found = {
            name: _value(file[path][rows[path.split("/")[0]]]) for name, path in _COLUMNS.items()
        }
        shape, at = found["shape_obj_mm"], rows["shapes"]
        coarse = self._model.shape(file["shapes/alpha_id"][at], file["shapes/alpha_exp"][at])
        coarse = coarse.astype(np.float32)
        begin, end = samples["image_offset"][row : row + 2]
        found |= {
            "image": decode_image(samples["image_bytes"][begin:end]),
            "coarse_obj_mm": coarse,
            "delta_obj_mm": shape - coarse,
            "confidence": _fraction(found["confidence"]),
            "visible": np.unpackbits(found["visible"], count=len(shape)).astype(bool),
        }
        return cast(Sample, found)


def _value(stored: Any) -> Any:
    """Text and numbers as Python's own."""
    if isinstance(stored, bytes):
        return stored.decode()
    return stored.item() if isinstance(stored, np.generic) else stored


def _fraction(stored: Array) -> Array:
    """Confidence in [0, 1] from the 8 bits of `FIELDS`."""
    return stored.astype(np.float32) / 255


def _checked_model(folder: Path, manifest: dict[str, Any], model: FaceModel | None) -> FaceModel:
    wanted = manifest["facemodel"]
    if model is None:
        if not wanted["file"]:
            raise ValueError(
                f"{folder}: the licence of face model '{wanted['name']}' keeps it out of the "
                "dataset; pass it as `model`"
            )
        model = load_model(folder / MODEL_NAME)
    if model.topology_hash != wanted["topology_hash"]:
        raise ValueError(
            f"{folder}: shapes have topology {wanted['topology_hash']}, the face model "
            f"'{model.name}' has {model.topology_hash}"
        )
    return model
