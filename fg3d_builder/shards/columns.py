"""Rows of a shard's columns, and what a shard says of its captures and shapes without its bulk."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fg3d_builder.files.hdf5_checks import check_declared
from fg3d_builder.records import Array
from fg3d_builder.shards.schema import CAPTURED, FIELDS, SCHEMA
from fg3d_builder.shards.writer import ShardHead

_DENSE = 4
"""Rows of which every fourth is wanted are read as one block: HDF5 is slow with single rows."""


def open_shard(path: Path) -> h5py.File:
    """Open a shard for reading, after a look at what it declares.

    Raises
    ------
    FileNotFoundError, OSError
    ValueError
        It leads elsewhere or declares more than is there, see `check_declared`; it has another
        schema, or a column is missing.
    """
    file = h5py.File(path, "r")
    try:
        check_declared(file, str(path), math.inf)
        found = file.attrs.get("schema")
        if found != SCHEMA:
            raise ValueError(f"{path}: schema is '{found}', this version reads '{SCHEMA}'")
        missing = [field.path for field in FIELDS if field.path not in file]
        missing += [
            name for name in ("split", "topology_hash", "vertex_count") if name not in file.attrs
        ]
        if missing:
            raise ValueError(f"{path}: {missing[0]} is missing")
    except BaseException:
        file.close()
        raise
    return file


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn whatever HDF5 says of a damaged file into a `ValueError` that names the file.

    What is read before a file is held against its SHA-256 may be anything.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise ValueError(
            f"{path}: cannot be read ({error}); `fg3d verify {path.parent}` says how to repair "
            "the dataset"
        ) from error


def head_of(file: h5py.File) -> ShardHead:
    """Return what a shard says of all its rows."""
    return ShardHead(
        str(file.attrs["split"]),
        str(file["samples/image_bytes"].attrs["format"]),
        str(file.attrs["topology_hash"]),
        int(file.attrs["vertex_count"]),
    )


def rows_of(data: h5py.Dataset, rows: Array) -> Any:
    """Return some rows of a column: an array as stored, or a list of texts.

    Parameters
    ----------
    data : h5py.Dataset
    rows : (k,) int array
        Rising.
    """
    source: Any = data.asstr() if h5py.check_string_dtype(data.dtype) else data
    if not len(rows):
        found = source[:0]
    else:
        first, last = int(rows[0]), int(rows[-1]) + 1
        if last - first <= _DENSE * len(rows):
            block = source[first:last]
            found = block if last - first == len(rows) else block[rows - first]
        else:
            found = source[rows]
    return found.tolist() if source is not data else found


def images_of(file: h5py.File, rows: Array) -> list[bytes]:
    """Return the encoded images of some samples, by rising rows."""
    offset, data = file["samples/image_offset"], file["samples/image_bytes"]
    begins, ends = offset[:-1][rows], offset[1:][rows]
    found: list[bytes] = []
    # Runs of neighbours are read at once.
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    for run in np.split(np.arange(len(rows)), breaks):
        if len(run):
            start = int(begins[run[0]])
            block = data[start : int(ends[run[-1]])].tobytes()
            found += [block[begins[i] - start : ends[i] - start] for i in run]
    return found


@dataclass(frozen=True)
class ShardContent:
    """What a shard holds of whom.

    Attributes
    ----------
    path : Path
    head : ShardHead
    captures, subjects, licences : list of str
        Ids and licences, by row of ``captures/``.
    maker : (S,) int array
        Row of the capture that each shape was made from.
    sources : list of str
        ``shape_source`` by row of ``shapes/``.
    donors : list of dict
        By row of ``shapes/``: part of the face to capture id.
    sample_shape : (N,) int array
        Row of the shape that each sample shows.
    image_bytes : (N,) int array
        Length of each encoded image.
    """

    path: Path
    head: ShardHead
    captures: list[str]
    subjects: list[str]
    licences: list[str]
    maker: Array
    sources: list[str]
    donors: list[dict[str, str]]
    sample_shape: Array
    image_bytes: Array

    def is_new(self, shape: int) -> bool:
        """Whether a row of ``shapes/`` is a shape that was transformed, not registered."""
        return self.sources[shape] != CAPTURED

    @property
    def new_shapes(self) -> int:
        """How many of its shapes were transformed."""
        return sum(source != CAPTURED for source in self.sources)


def read_content(path: Path) -> ShardContent:
    """Read what a shard holds of whom; no images and no shapes.

    Raises
    ------
    FileNotFoundError
    ValueError
        See `open_shard`; or the file is damaged, donors are no table, rows do not exist.
    """
    with naming(path), open_shard(path) as file:
        content = ShardContent(
            path=path,
            head=head_of(file),
            captures=texts(file, "captures/capture_id"),
            subjects=texts(file, "captures/subject_id"),
            licences=texts(file, "captures/licence"),
            maker=file["shapes/capture_index"][()],
            sources=texts(file, "shapes/shape_source"),
            donors=[_donors(text, path) for text in texts(file, "shapes/donors")],
            sample_shape=file["samples/shape_index"][()],
            image_bytes=np.diff(file["samples/image_offset"][()]),
        )
        of_sample = file["samples/capture_index"][()]
    _check_rows(path, "shapes/capture_index", content.maker, len(content.captures))
    _check_rows(path, "samples/shape_index", content.sample_shape, len(content.sources))
    if not np.array_equal(of_sample, content.maker[content.sample_shape]):
        raise ValueError(f"{path}: a sample's shape was made from another capture than itself")
    return content


def texts(file: h5py.File, path: str) -> list[str]:
    """Return a whole column of texts."""
    found: list[str] = file[path].asstr()[()].tolist()
    return found


def numbers_of(values: Sequence[int] | Array) -> Array:
    """Return row numbers as an array, also where there are none.

    `values` has one axis.
    """
    return np.asarray(values, np.int64).reshape(-1)


def _donors(text: str, path: Path) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise ValueError(f"{path}: shapes/donors: {text[:80]!r} is no table of captures")
    return found


def _check_rows(path: Path, field: str, rows: Array, count: int) -> None:
    if len(rows) and not (rows.min() >= 0 and rows.max() < count):
        raise ValueError(f"{path}: {field} names a row that does not exist")
