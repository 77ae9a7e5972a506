"""Writes one shard row by row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.atomic import replacing
from fg3d_builder.records import Array
from fg3d_builder.shards.schema import FIELDS, SCHEMA, CaptureRow, Field, SampleRow, ShapeRow

TOPOLOGY_SCHEMA = "fg3d-topology-1"


class ShardWriter:
    """Collects rows and writes them as one HDF5 file, whole or not at all.

    Parameters
    ----------
    split : str
        ``"train"`` or ``"test"``.
    image_format : str
        ``"jpeg"`` or ``"png"``: how the rows' images are encoded.
    model : FaceModel
        The model that the shapes belong to.
    """

    def __init__(self, split: str, image_format: str, model: FaceModel) -> None:
        self._attributes = {
            "schema": SCHEMA,
            "split": split,
            "topology_hash": model.topology_hash,
            "vertex_count": model.vertex_count,
            "units": "mm and px; pixel (0, 0) is the centre of the top-left pixel",
        }
        self._format = image_format
        self._captures: list[CaptureRow] = []
        self._shapes: list[ShapeRow] = []
        self._samples: list[SampleRow] = []

    @property
    def sample_count(self) -> int:
        """Number of samples so far."""
        return len(self._samples)

    def add_capture(self, row: CaptureRow) -> int:
        """Append a capture and return its row number."""
        self._captures.append(row)
        return len(self._captures) - 1

    def add_shape(self, row: ShapeRow, capture_index: int) -> int:
        """Append a shape made from a capture and return its row number."""
        # Single precision at once: a shard's shapes are what fills the memory.
        shape = np.asarray(row.shape_obj_mm, "<f4")
        self._shapes.append(replace(row, capture_index=capture_index, shape_obj_mm=shape))
        return len(self._shapes) - 1

    def add_sample(self, row: SampleRow, capture_index: int, shape_index: int) -> int:
        """Append a sample of a capture that shows a shape and return its row number."""
        self._samples.append(replace(row, capture_index=capture_index, shape_index=shape_index))
        return len(self._samples) - 1

    def write(self, path: Path) -> None:
        """Write the file; equal rows give equal bytes."""
        if not self._samples:
            raise ValueError(f"{path}: a shard without samples")
        tables: dict[str, list[Any]] = {
            "captures": self._captures,
            "shapes": self._shapes,
            "samples": self._samples,
        }
        lengths = [len(row.image) for row in self._samples]
        special: dict[str, Array] = {
            "image_bytes": np.frombuffer(b"".join(r.image for r in self._samples), np.uint8),
            "image_offset": np.concatenate([[0], np.cumsum(lengths)]),
        }
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            file.attrs.update(self._attributes)
            for field in FIELDS:
                rows = tables[field.path.split("/")[0]]
                values: Any = special.get(field.name)
                if values is None:
                    values = [getattr(row, field.name) for row in rows]
                self._write_field(file, field, values)
            file["samples/image_bytes"].attrs["format"] = self._format

    def _write_field(self, file: h5py.File, field: Field, values: Any) -> None:
        if field.dtype == "str":
            dataset = file.create_dataset(field.path, data=values, dtype=h5py.string_dtype())
        else:
            dataset = file.create_dataset(field.path, data=np.asarray(values, field.dtype))
        dataset.attrs["unit"] = field.unit
        dataset.attrs["shape"] = ", ".join(str(size) for size in field.shape)
        dataset.attrs["description"] = field.description


def write_topology(path: Path, model: FaceModel) -> None:
    """Write what a dataset's user needs of the template beside its shapes.

    Triangles, texture coordinates and region masks tell nothing of a licensed model's
    statistics.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["schema"] = TOPOLOGY_SCHEMA
        file.attrs["topology_hash"] = model.topology_hash
        file.attrs["vertex_count"] = model.vertex_count
        file.attrs["model"] = model.name
        file.attrs["licence"] = model.licence
        for name, unit in (
            ("triangles", "row"),
            ("uv", "chart coordinates in [0, 1]"),
            ("parts", "label: 0 rest, 1 eyes, 2 nose, 3 mouth, 4 cheeks"),
            ("rigid", "none"),
            ("reliable", "none"),
        ):
            value = getattr(model, name)
            stored = value.astype("<f4") if name == "uv" else value
            file.create_dataset(name, data=stored).attrs["unit"] = unit
