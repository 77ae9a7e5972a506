"""Stage products on disk: the records and failures of one chunk of captures in one file.

A product is a sealed file, see `fg3d_builder.files.sealed`. Behind the seal are

* 8 bytes, little-endian: the length of the table;
* the table, JSON: what the product is, its failures, and for each record its numbers, its texts
  and where its arrays are;
* the arrays, one behind the other.

A chunk has thousands of small fields: as one table they are read in a millisecond, where HDF5
takes 0.2 ms for each. Nothing in a product depends on when, where or by which process it was
written: equal records give equal bytes.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
import zlib
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

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

SCHEMA = "fg3d-product-2"

SUFFIX = ".product"
"""Ends the names of products."""

_SINGLE_AT_REST = frozenset({"vertices_cam_mm", "shape_obj_mm", "coarse_obj_mm"})
"""Per-vertex fields of double precision in solvers that are stored in single precision."""

_PICTURES = frozenset({"rgb"})
"""Fields that are stored as PNG."""

_DEFLATED = frozenset({"depth_mm"})
"""Fields that are worth compressing: sensors measure in steps, depth takes a quarter of its size.
Vertices keep four fifths of theirs."""

_LENGTH_BYTES = 8

_UNREADABLE = (
    *(AttributeError, KeyError, OverflowError, TypeError, ValueError, zlib.error),
    SyntaxError,  # numpy's, of some names that are no type
)
"""Raised by records of another version, or of a writer that is none of ours."""

T = TypeVar("T")


@dataclass(frozen=True)
class Product(Generic[T]):
    """Content of a product.

    Attributes
    ----------
    records : dict of str to T
        Records by capture id, in the chunk's order. Nobody writes into their arrays.
    failures : tuple of Failure
    """

    records: dict[str, T]
    failures: tuple[Failure, ...]

    @property
    def array_bytes(self) -> int:
        """Memory that the records' arrays and images take."""
        return sum(map(_array_bytes, self.records.values()))

    def only(self, names: Collection[str]) -> Product[T]:
        """Leave out the records of other captures."""
        return Product({i: r for i, r in self.records.items() if i in names}, self.failures)


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
    arrays = _Arrays()
    table = {
        "stage": stage,
        "digest": digest,
        "name": path.name,
        "failures": [dataclasses.asdict(failure) for failure in failures],
        "records": {name: _stored_record(record, arrays) for name, record in records.items()},
    }
    text = json.dumps(table, separators=(",", ":")).encode()
    length = len(text).to_bytes(_LENGTH_BYTES, "little")
    write_sealed(path, SCHEMA, b"".join([length, text, *arrays.parts]))


def read_product(
    path: Path, stage: str, digest: str, kind: type[T], only: Collection[str] | None = None
) -> Product[T]:
    """Read a product of records of type `kind`, after checking that it is whole.

    `only`: ids of captures; records of others are left out, which saves decoding them. The arrays
    cannot be written into.

    `stage` and `digest` are those that it has to state.

    Raises
    ------
    FileNotFoundError
    DamagedFileError
        Damaged, or written by another stage or configuration, or under another name: nothing at
        this path is of use to anybody. The file was set aside.
    """
    table, arrays = _opened(path)
    other = _other(table, stage=stage, digest=digest, name=path.name)
    if other:
        raise damaged(path, other)
    try:
        stored = table["records"]
        names = stored if only is None else [name for name in stored if name in only]
        records = {name: _record(stored[name], kind, arrays) for name in names}
        failures = tuple(Failure(**row) for row in table["failures"])
    except _UNREADABLE as error:
        raise damaged(path, f"a record cannot be read: {error}") from None
    return Product(records, failures)


def read_figures(path: Path, stage: str, digest: str) -> dict[str, dict[str, Any]]:
    """Return the numbers and texts of a product's records, by capture id, and no arrays.

    For who lists thousands of captures: the table alone is read, a few kilobytes of megabytes. So
    the seal, which covers the arrays, is not checked, only that the file has its full length.

    Returns
    -------
    dict of str to dict
        As `write_product` was given them; a record within a record is a dict of its own, and what
        is None is left out.

    Raises
    ------
    FileNotFoundError
    ValueError
        No product of this stage and digest, cut short, or a table that cannot be read. The file
        stays where it is.
    """
    with path.open("rb") as file:
        file.seek(BLOCK)
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if not is_complete(path) or length > path.stat().st_size:
            raise ValueError(f"{path}: cut short, or no product")
        text = file.read(length)
    try:
        table = json.loads(text)
        other = _other(table, stage=stage, digest=digest, name=path.name)
        figures = {name: _figures(stored) for name, stored in table["records"].items()}
    except (*_UNREADABLE, RecursionError) as error:
        raise ValueError(f"{path}: its table cannot be read: {error}") from None
    if other:
        raise ValueError(f"{path}: {other}")
    return figures


def _figures(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a stored record what is kept as an array, which the table has as a list."""
    kept = {name: value for name, value in stored.items() if not isinstance(value, list)}
    return {n: _figures(v) if isinstance(v, dict) else v for n, v in kept.items()}


def is_product_of(path: Path, stage: str, digest: str) -> bool:
    """Tell whether a file is a sound product of a stage and a digest.

    For files whose names do not say so: one of another stage or digest stays where it is.

    Raises
    ------
    FileNotFoundError
    DamagedFileError
        It was set aside.
    """
    table, _ = _opened(path)
    return not _other(table, stage=stage, digest=digest)


def is_complete(path: Path) -> bool:
    """Tell cheaply whether a product is there in its full length."""
    return has_full_length(path, SCHEMA)


def _opened(path: Path) -> tuple[dict[str, Any], memoryview]:
    """Return table and arrays of a file, after checking that it is whole."""
    body = memoryview(read_sealed(path, SCHEMA))[BLOCK:]
    end = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES], "little")
    try:
        table = json.loads(bytes(body[_LENGTH_BYTES:end]))
    except (ValueError, RecursionError):
        raise damaged(path, "its table cannot be read") from None
    if not isinstance(table, dict):
        raise damaged(path, "it has no table")
    return table, body[end:]


def _other(table: Mapping[str, Any], **known: str) -> str:
    """Say what else a product belongs to; empty where it is the one that is wanted."""
    for name, wanted in known.items():
        if table.get(name) != wanted:
            return f"its {name} is '{table.get(name)}', not '{wanted}'"
    return ""


class _Stored(NamedTuple):
    """Where an array is, in the table.

    Attributes
    ----------
    start, length : int
        Its bytes, counted from the first array.
    packing : str
        ``""``, ``"deflated"`` or ``"png"``.
    dtype : str
        At rest.
    shape : list of int
    solver_dtype : str
        In memory.
    """

    start: int
    length: int
    packing: str
    dtype: str
    shape: list[int]
    solver_dtype: str


class _Arrays:
    """The arrays of a product that is being written."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._length = 0

    def add(self, name: str, value: Array) -> _Stored:
        """Append the array of a field."""
        single = name in _SINGLE_AT_REST
        stored = np.ascontiguousarray(value, "<f4" if single else None)
        packing, data = "", stored.tobytes()
        if name in _PICTURES:
            packing, data = "png", encode_png(stored, quick=True)
        elif name in _DEFLATED:
            packing, data = "deflated", _deflated(stored)
        return _Stored(
            *self.add_bytes(data), packing, stored.dtype.str, list(value.shape), value.dtype.str
        )

    def add_bytes(self, data: bytes) -> tuple[int, int]:
        """Append bytes; return where they start and how many there are."""
        self.parts.append(data)
        self._length += len(data)
        return self._length - len(data), len(data)


def _stored_record(record: Any, arrays: _Arrays) -> dict[str, Any]:
    """Return the fields of a record as they stand in the table; without those that are None."""
    found = {item.name: getattr(record, item.name) for item in fields(record)}
    return {n: _stored(n, value, arrays) for n, value in found.items() if value is not None}


def _stored(name: str, value: Any, arrays: _Arrays) -> Any:
    if is_dataclass(value):
        return _stored_record(value, arrays)
    if isinstance(value, tuple):
        return _stored_rows(value, arrays)
    if isinstance(value, np.ndarray):
        return arrays.add(name, value)
    return value.item() if isinstance(value, np.generic) else value


def _stored_rows(rows: Sequence[Any], arrays: _Arrays) -> dict[str, Any]:
    """Return records of one kind as one column per field."""
    columns: dict[str, Any] = {}
    for item in fields(rows[0]) if rows else ():
        values = [getattr(row, item.name) for row in rows]
        if isinstance(values[0], bytes):
            columns[item.name] = [arrays.add_bytes(value) for value in values]
        elif isinstance(values[0], np.ndarray):
            columns[item.name] = arrays.add(item.name, np.array(values))
        else:
            columns[item.name] = [_stored(item.name, value, arrays) for value in values]
    return columns


def _record(stored: Mapping[str, Any], kind: type[T], arrays: memoryview) -> T:
    found = {}
    for name, hint, optional in _hints(typing.cast(Hashable, kind)):
        missing = optional and name not in stored
        found[name] = None if missing else _field(stored[name], hint, arrays)
    return kind(**found)


def _field(stored: Any, hint: Any, arrays: memoryview) -> Any:
    if hint in (str, int, float, bool):
        return hint(stored)
    if is_dataclass(hint):
        return _record(stored, typing.cast(type, hint), arrays)
    if typing.get_origin(hint) is tuple:
        return _rows(stored, typing.get_args(hint)[0], arrays)
    return _array(_Stored(*stored), arrays)


def _rows(columns: Mapping[str, Any], kind: type, arrays: memoryview) -> tuple[Any, ...]:
    if not columns:
        return ()
    values: list[Any] = []
    for name, hint, _ in _hints(typing.cast(Hashable, kind)):
        stored = columns[name]
        if hint is bytes:
            values.append([bytes(_bytes_at(arrays, *place)) for place in stored])
        elif hint in (str, int, float, bool):
            values.append(map(hint, stored))
        else:
            values.append(_array(_Stored(*stored), arrays))
    return tuple(kind(*row) for row in zip(*values, strict=True))


def _bytes_at(arrays: memoryview, start: int, length: int) -> memoryview:
    if not 0 <= start <= start + length <= len(arrays):
        raise ValueError(f"bytes {start} to {start + length} of {len(arrays)}")
    return arrays[start : start + length]


def _array(stored: _Stored, arrays: memoryview) -> Array:
    data = _bytes_at(arrays, stored.start, stored.length)
    if stored.packing == "png":
        found = decode_image(np.frombuffer(data, np.uint8))
    elif stored.packing == "deflated":
        found = _inflated(data, np.dtype(stored.dtype))
    else:
        found = np.frombuffer(data, stored.dtype)
    # A copy, not a view: one small array must not keep all of the file in memory.
    found = found.astype(stored.solver_dtype).reshape(stored.shape)
    found.flags.writeable = False
    return found


def _deflated(values: Array) -> bytes:
    """Compress an array, all first bytes of its values before all second ones."""
    planes = np.frombuffer(values.tobytes(), np.uint8).reshape(-1, values.itemsize).T
    return zlib.compress(planes.tobytes(), 1)


def _inflated(data: memoryview, dtype: np.dtype[Any]) -> Array:
    planes = np.frombuffer(zlib.decompress(data), np.uint8).reshape(dtype.itemsize, -1)
    return np.frombuffer(planes.T.tobytes(), dtype)


@lru_cache(maxsize=64)
def _hints(kind: Any) -> tuple[tuple[str, Any, bool], ...]:
    """Return name and type of a record's fields, and whether they may be None."""
    found = []
    for name, hint in typing.get_type_hints(kind).items():
        optional = isinstance(hint, types.UnionType)
        if optional:
            hint = next(h for h in typing.get_args(hint) if h is not type(None))
        found.append((name, hint, optional))
    return tuple(found)


def _array_bytes(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, tuple):
        return sum(map(_array_bytes, value))
    if is_dataclass(value):
        return sum(_array_bytes(getattr(value, item.name)) for item in fields(value))
    return 0
