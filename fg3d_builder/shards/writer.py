"""Writes one shard row by row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.atomic import replacing
from fg3d_builder.files.hdf5_writing import new_hdf5
from fg3d_builder.files.sealed import seal
from fg3d_builder.shards.rows import sample_name, sample_seed
from fg3d_builder.shards.schema import FIELDS, SCHEMA, CaptureRow, Field, SampleImage, ShapeRow

TOPOLOGY_SCHEMA = "fg3d-topology-1"


class ShardHead(NamedTuple):
    """What a shard says of all its rows.

    Attributes
    ----------
    split : str
    image_format : str
        ``"jpeg"`` or ``"png"``.
    topology_hash : str
    vertex_count : int
    """

    split: str
    image_format: str
    topology_hash: str
    vertex_count: int


def write_columns(path: Path, head: ShardHead, columns: MutableMapping[str, Any]) -> None:
    """Write a shard from whole columns, sealed; equal columns give equal bytes.

    The file is made in memory. Each column is taken out of `columns` when it is in it, so that
    no more than twice the shard's size is needed.

    Parameters
    ----------
    path : Path
    head : ShardHead
    columns : mapping of str to list or array
        By the paths of `FIELDS`; all of them.
    """
    with replacing(path) as temporary:
        with new_hdf5(temporary) as file:
            file.attrs.update(
                {
                    "schema": SCHEMA,
                    "split": head.split,
                    "topology_hash": head.topology_hash,
                    "vertex_count": head.vertex_count,
                    "units": "mm and px; pixel (0, 0) is the centre of the top-left pixel",
                }
            )
            for field in FIELDS:
                _write_field(file, field, columns.pop(field.path))
            file["samples/image_bytes"].attrs["format"] = head.image_format
        seal(temporary, SCHEMA)


class ShardWriter:
    """Collects rows and writes them as one HDF5 file, whole or not at all.

    `split` is ``"train"`` or ``"test"``; images are encoded in `image_format`, ``"jpeg"`` or
    ``"png"``; shapes belong to `model`.
    """

    def __init__(self, split: str, image_format: str, model: FaceModel) -> None:
        self._head = ShardHead(split, image_format, model.topology_hash, model.vertex_count)
        self._columns: dict[str, list[Any]] = defaultdict(list)
        self._samples = 0

    @property
    def sample_count(self) -> int:
        """Number of samples so far, also of those that are written."""
        return self._samples

    def add_capture(self, row: CaptureRow) -> int:
        """Append a capture and return its row number."""
        return self._append("captures", vars(row))

    def add_shape(self, row: ShapeRow, capture: int, images: Iterable[SampleImage]) -> int:
        """Append a shape made from the capture of a row number, and the samples that show it.

        Returns the shape's row number.
        """
        # Single precision at once: a shard's shapes are what fills the memory.
        single = np.asarray(row.shape_obj_mm, "<f4")
        about = {"capture_index": capture, "shape_obj_mm": single}
        shape = self._append("shapes", vars(row) | about)
        capture_id = self._columns["captures/capture_id"][capture]
        for image in images:
            sample_id = sample_name(capture_id, image.name, row.shape_source)
            about = {"sample_id": sample_id, "capture_index": capture, "shape_index": shape}
            self._append("samples", vars(image) | about | {"seed": sample_seed(sample_id)})
            self._samples += 1
        return shape

    def write(self, path: Path) -> None:
        """Write the file, sealed; equal rows give equal bytes. The writer is empty afterwards."""
        images = self._columns.pop("samples/image", [])
        if not images:
            raise ValueError(f"{path}: a shard without samples")
        columns: dict[str, Any] = {**self._columns}
        self._columns.clear()
        columns["samples/image_offset"] = np.cumsum([0, *map(len, images)])
        columns["samples/image_bytes"] = np.frombuffer(b"".join(images), np.uint8)
        del images
        write_columns(path, self._head, columns)

    def _append(self, table: str, values: dict[str, Any]) -> int:
        """Append a row's values to the columns of a table; return the row's number."""
        for name, value in values.items():
            column = self._columns[f"{table}/{name}"]
            column.append(value)
        return len(column) - 1


def _write_field(file: h5py.File, field: Field, values: Any) -> None:
    if field.dtype == "str":
        dataset = file.create_dataset(field.path, data=values, dtype=h5py.string_dtype())
    else:
        dataset = file.create_dataset(field.path, data=np.asarray(values, field.dtype))
    dataset.attrs["unit"] = field.unit
    dataset.attrs["shape"] = ", ".join(str(size) for size in field.shape)
    dataset.attrs["description"] = field.description


def write_topology(path: Path, model: FaceModel) -> None:
    """Write triangles, texture coordinates and region masks of the template.

    They reveal nothing of a licensed model's statistics.
    """
    with replacing(path) as temporary, new_hdf5(temporary) as file:
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
