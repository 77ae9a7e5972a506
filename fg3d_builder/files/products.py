"""Stage products on disk: the records and failures of one chunk of captures in one file.

A product is a sealed HDF5 file, see `fg3d_builder.files.sealed`: it is known to be whole before
libhdf5 sees any of it, and any HDF5 tool can still open it. Nothing in a product depends on when,
where or by which process it was written: equal records give equal bytes.
"""

from __future__ import annotations

import dataclasses
import io
import json
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import h5py
import numpy as np

from fg3d_builder.files.encoding import decode_image, encode_png
from fg3d_builder.files.sealed import (
    BLOCK,
    damaged,
    has_full_length,
    read_sealed,
    write_sealed,
)
from fg3d_builder.records import Array, Failure

SCHEMA = "fg3d-product-1"
_SINGLE_AT_REST = frozenset({"vertices_cam_mm", "shape_obj_mm", "coarse_obj_mm"})
"""Per-vertex fields of double precision in solvers that are stored in single precision."""

_PACK_FROM_BYTES = 100_000

T = TypeVar("T")


@dataclass(frozen=True)
class Product(Generic[T]):
    """Content of a product.

    Attributes
    ----------
    records : dict of str to T
        Records by capture id, in the chunk's order.
    failures : tuple of Failure
    """

    records: dict[str, T]
    failures: tuple[Failure, ...]


def write_product(
    path: Path,
    stage: str,
    digest: str,
    records: Mapping[str, Any],
    failures: Sequence[Failure] = (),
) -> None:
    """Write the records of one chunk, whole or not at all.

    Parameters
    ----------
    path : Path
    stage, digest : str
        Stored, as is the file's name; for `read_product` a file that has others is damaged.
    records : mapping of capture id to a dataclass of `fg3d_builder.records`
    failures : sequence of Failure
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=BLOCK) as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["stage"] = stage
        file.attrs["digest"] = digest
        file.attrs["name"] = path.name
        file.attrs["order"] = json.dumps(list(records))
        table = json.dumps([dataclasses.asdict(f) for f in failures], sort_keys=True)
        file["failures"] = np.frombuffer(table.encode(), np.uint8)
        for capture_id, record in records.items():
            _write_record(file.create_group(_group_name(capture_id)), record)
    write_sealed(path, SCHEMA, buffer.getvalue()[BLOCK:])


def read_product(
    path: Path, stage: str, digest: str, kind: type[T], only: Collection[str] | None = None
) -> Product[T]:
    """Read a product of records of type `kind`, after checking that it is whole.

    `only`: ids of captures; records of others are left out, which saves decoding them.

    Raises
    ------
    FileNotFoundError
    DamagedFileError
        Damaged, or written by another stage or configuration, or under another name: nothing at
        this path is of use to anybody. The file was set aside.
    """
    data = read_sealed(path, SCHEMA)
    with h5py.File(io.BytesIO(data), "r") as file:
        other = _other(file, stage=stage, digest=digest, name=path.name)
        if other:
            raise damaged(path, other)
        try:
            order = json.loads(file.attrs["order"])
            order = order if only is None else [name for name in order if name in only]
            records = {i: _read_record(file[_group_name(i)], kind) for i in order}
            table = json.loads(file["failures"][()].tobytes().decode())
            failures = tuple(Failure(**row) for row in table)
        except (KeyError, TypeError, ValueError) as error:  # a field of another version
            raise damaged(path, f"a record cannot be read: {error}") from None
    return Product(records, failures)


def is_product_of(path: Path, stage: str, digest: str) -> bool:
    """Tell whether a file is a sound product of a stage and a digest.

    For files whose names do not say so: one of another stage or digest stays where it is.

    Raises
    ------
    FileNotFoundError
    DamagedFileError
        It was set aside.
    """
    with h5py.File(io.BytesIO(read_sealed(path, SCHEMA)), "r") as file:
        return not _other(file, stage=stage, digest=digest)


def is_complete(path: Path) -> bool:
    """Tell cheaply whether a product is there in its full length."""
    return has_full_length(path, SCHEMA)


def _group_name(key: str) -> str:
    """Return where the record of a key is, which may be a subject's name with slashes or dots.

    To HDF5 these are groups in groups. Keys that are ids of captures stand there as they are.
    """
    name = quote(key, safe="")
    return "records/" + (name if name.strip(".") else name.replace(".", "%2E"))


def _other(file: h5py.File, **known: str) -> str:
    """Say what else a product belongs to; empty where it is the one that is wanted."""
    for name, wanted in {"schema": SCHEMA, **known}.items():
        if file.attrs.get(name) != wanted:
            return f"its {name} is '{file.attrs.get(name)}', not '{wanted}'"
    return ""


def _write_record(group: h5py.Group, record: Any) -> None:
    for item in fields(record):
        value = getattr(record, item.name)
        if value is None:
            continue
        if is_dataclass(value):
            _write_record(group.create_group(item.name), value)
        elif isinstance(value, np.ndarray):
            _write_array(group, item.name, value)
        elif isinstance(value, tuple):
            _write_rows(group, item.name, value)
        else:
            group.attrs[item.name] = value


def _write_rows(group: h5py.Group, name: str, rows: Sequence[Any]) -> None:
    """Write records of one kind: numbers as one table, others as one column per field."""
    table = [dataclasses.astuple(row) for row in rows]
    if all(isinstance(value, (int, float)) for row in table for value in row):
        group.create_dataset(name, data=np.array(table, "<f8"))
        return
    columns = group.create_group(name)
    for item, values in zip(fields(rows[0]), zip(*table, strict=True), strict=True):
        if isinstance(values[0], str):
            columns.attrs[item.name] = json.dumps(values)
        elif isinstance(values[0], bytes):
            _write_array(columns, item.name, np.frombuffer(b"".join(values), np.uint8))
            columns[item.name].attrs["lengths"] = [len(value) for value in values]
        else:
            _write_array(columns, item.name, np.array(values))


def _write_array(group: h5py.Group, name: str, value: Array) -> None:
    if name == "rgb":
        group.create_dataset(name, data=np.frombuffer(encode_png(value), np.uint8))
        return
    stored = value.astype("<f4") if name in _SINGLE_AT_REST else value
    options: dict[str, Any] = {}
    if stored.nbytes > _PACK_FROM_BYTES:
        options = {"chunks": stored.shape, "compression": "gzip", "compression_opts": 1}
    dataset = group.create_dataset(name, data=stored, shuffle=bool(options), **options)
    dataset.attrs["dtype"] = value.dtype.str


def _read_record(group: h5py.Group, kind: type[T]) -> T:
    hints = typing.get_type_hints(kind)
    return kind(**{name: _read_field(group, name, hints[name]) for name in hints})


def _read_field(group: h5py.Group, name: str, hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        if name not in group and name not in group.attrs:
            return None
        hint = next(h for h in typing.get_args(hint) if h is not type(None))
    if is_dataclass(hint):
        return _read_record(group[name], typing.cast(type, hint))
    if typing.get_origin(hint) is tuple:
        row_kind = typing.get_args(hint)[0]
        if isinstance(group[name], h5py.Group):
            return _read_columns(group[name], row_kind)
        return tuple(_row(row_kind, row) for row in group[name][()])
    if hint in (str, int, float, bool):
        return hint(group.attrs[name])
    if name == "rgb":
        return decode_image(group[name][()])
    return _read_array(group[name])


def _read_array(stored: h5py.Dataset) -> Array:
    return stored[()].astype(stored.attrs["dtype"], copy=False)


def _read_columns(group: h5py.Group, kind: type) -> tuple[Any, ...]:
    columns: list[Any] = []
    for name, hint in typing.get_type_hints(kind).items():
        if hint is str:
            columns.append(json.loads(group.attrs[name]))
        elif hint is bytes:
            data = io.BytesIO(group[name][()].tobytes())
            columns.append([data.read(length) for length in group[name].attrs["lengths"]])
        else:
            values = _read_array(group[name])
            columns.append(values.tolist() if hint in (int, float, bool) else values)
    return tuple(kind(*row) for row in zip(*columns, strict=True))


def _row(kind: type, values: Array) -> Any:
    """Make a flat record of numbers, each of the type that its field declares."""
    hints = typing.get_type_hints(kind)
    pairs = zip(fields(kind), values, strict=True)
    return kind(*(hints[f.name](value) for f, value in pairs))
