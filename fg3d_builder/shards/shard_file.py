"""One shard's file for reading rows: where its columns lie, and their values.

h5py takes 0.1 ms a value, however small. It reads here what only it can, once per file: where each
column begins, and texts. Numbers lie one behind the other in the file, as the writer leaves them:
short rows are taken from the file mapped into memory, which all processes of a machine share; long
ones (shapes, pictures) are read with one call each, which takes what it needs and no page more.
"""

from __future__ import annotations

import math
import mmap
import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from fg3d_builder.files.encoding import decode_image
from fg3d_builder.files.hdf5_checks import check_declared
from fg3d_builder.records import Array
from fg3d_builder.shards.schema import FIELDS, SCHEMA, Field

LONG_ROW_BYTES = 1024
"""Rows of at least so many bytes are read one by one, shorter ones are taken from the mapping."""

_FIELD = {field.path: field for field in FIELDS}
_NUMBERS = tuple(field for field in FIELDS if field.dtype != "str")
_INDICES = (
    ("samples/capture_index", "captures"),
    ("samples/shape_index", "shapes"),
    ("shapes/capture_index", "captures"),
)


class Place(NamedTuple):
    """Where the numbers of a column lie in the file; rows are along the first axis of `shape`.

    Attributes
    ----------
    offset : int
        Of its first byte in the file.
    dtype : dtype
    shape : tuple of int
    """

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """Length of a row."""
        return self.dtype.itemsize * math.prod(self.shape[1:])


class ShardFile:
    """Reads rows of a shard. It is opened when first used; forked processes may use it as it is.

    Columns are named by the paths of `FIELDS`. Every method raises ValueError where the file is
    no sound shard, and OSError where it cannot be read.

    Parameters
    ----------
    path : Path
    entry : mapping
        What the manifest says of it: ``bytes``, ``samples``, ``shapes``, ``captures``.
    """

    def __init__(self, path: Path, entry: Mapping[str, Any]) -> None:
        self.path, self._entry = path, entry
        self._places: dict[str, Place] = {}
        self._texts: dict[str, Array] = {}
        self._opened: _Opened | None = None

    def close(self) -> None:
        """Let go of the file; it is opened again when needed."""
        self._opened = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None, "_texts": {}}

    @property
    def vertices(self) -> int:
        """Number of vertices of a shape."""
        self._open()
        return self._places["shapes/confidence"].shape[1]

    def is_text(self, name: str) -> bool:
        """Whether a column holds texts."""
        return _FIELD[name].dtype == "str"

    def column(self, name: str) -> Array:
        """Return a column of numbers, read-only: the file's own bytes."""
        return self._open().columns[name]

    def texts(self, name: str) -> Array:
        """Return a column of texts as UTF-8 of one width (dtype ``S``); kept once it was read."""
        if name not in self._texts:
            self._open()  # checks what the file declares
            with _hdf5(self.path) as file:
                texts = file[name][:].tolist()
                for text in texts:
                    text.decode()  # what is no text is refused here, where the file is known
            # Not as objects: their counts of references change, which unshares the memory of forked
            # processes.
            self._texts[name] = np.array(texts, dtype="S")
        return self._texts[name]

    def row(self, name: str, row: int) -> Any:
        """Return one row of a column: a new array, a number, or text."""
        if self.is_text(name):
            return self.texts(name)[row].decode()
        opened, place = self._open(), self._places[name]
        if place.row_bytes < LONG_ROW_BYTES:
            value = opened.columns[name][row]
            return value.copy() if value.ndim else value.item()
        value = np.empty(place.shape[1:], place.dtype)
        self._read(value, place.offset + int(row) * place.row_bytes)
        return value

    def fill(self, name: str, rows: Array, out: Array, at: Array) -> None:
        """Put some rows (k,) of a column of numbers into the rows `at` (k,) of an array."""
        opened, place = self._open(), self._places[name]
        if out.shape[1:] != place.shape[1:]:
            raise ValueError(
                f"{self.path}: rows of {name} are {place.shape[1:]}, another shard's are "
                f"{out.shape[1:]}"
            )
        if place.row_bytes < LONG_ROW_BYTES:
            out[at] = opened.columns[name][rows]
            return
        for row, to in zip(rows.tolist(), at.tolist(), strict=True):
            self._read(out[to], place.offset + row * place.row_bytes)

    def room(self, name: str, rows: int) -> Array:
        """Return an array for so many rows of a column of numbers, not filled."""
        self._open()
        place = self._places[name]
        return np.empty((rows, *place.shape[1:]), place.dtype)

    def rows_of(self, row: Any) -> dict[str, Any]:
        """Return a sample's row, or those of many, in each table, by its name."""
        columns = self._open().columns
        return {
            "samples": row,
            "shapes": columns["samples/shape_index"][row],
            "captures": columns["samples/capture_index"][row],
        }

    def image(self, row: int, out: Array | None = None) -> Array:
        """Return the image (H, W, 3) uint8 RGB of a sample, in `out` if that is given."""
        coded = self.coded_image(row)
        try:
            return decode_image(coded, out)
        except ValueError as error:
            raise ValueError(f"{self.path}: image {row}: {error}") from None

    def coded_image(self, row: int) -> Array:
        """Return the encoded image of a sample, (k,) uint8."""
        begin, end = self._open().columns["samples/image_offset"][row : row + 2].tolist()
        coded = np.empty(end - begin, np.uint8)
        self._read(coded, self._places["samples/image_bytes"].offset + begin)
        return coded

    def _read(self, values: Array, offset: int) -> None:
        opened = self._open()
        if os.preadv(opened.descriptor, [values.data], offset) != values.nbytes:
            raise OSError(f"{self.path}: ends before byte {offset + values.nbytes}")

    def _open(self) -> _Opened:
        if self._opened is None:
            self._places = self._places or _places(self.path, self._entry)
            opened = _Opened(self.path, self._entry["bytes"], self._places)
            _check_indices(self.path, opened.columns, self._entry)
            self._opened = opened
        return self._opened


class _Opened:
    """A file that is open and mapped; both end when nobody holds this object or its columns."""

    def __init__(self, path: Path, length: int, places: Mapping[str, Place]) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.descriptor)
        found = os.fstat(self.descriptor).st_size
        if found != length:
            raise ValueError(f"{path}: {found} bytes, the manifest says {length}")
        mapped = mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_READ)
        self.columns = {name: _column(mapped, place) for name, place in places.items()}


@contextmanager
def _hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a file for a look with HDF5, which raises all kinds of errors where it is damaged."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, OverflowError) as error:
        known = isinstance(error, ValueError) and str(path) in str(error)
        raise ValueError(str(error) if known else f"{path}: cannot be read: {error}") from error


def _column(mapped: mmap.mmap, place: Place) -> Array:
    count = math.prod(place.shape)
    values = np.frombuffer(mapped, place.dtype, count, place.offset)
    return values.reshape(place.shape)


def _places(path: Path, entry: Mapping[str, Any]) -> dict[str, Place]:
    """Where the columns of numbers lie, after checking that all columns are there and fit."""
    with _hdf5(path) as file:
        check_declared(file, str(path), math.inf)
        schema = file.attrs.get("schema")
        if schema != SCHEMA:
            raise ValueError(f"{path}: schema is '{schema}', wanted '{SCHEMA}'")
        vertices = int(file.attrs["vertex_count"])
        sizes = {"N": entry["samples"], "S": entry["shapes"], "C": entry["captures"]}
        sizes |= {"N+1": sizes["N"] + 1, "n": vertices, "ceil(n/8)": -(-vertices // 8)}
        for field in FIELDS:
            _check_column(path, file, field, sizes)
        return {field.path: _placed(path, file[field.path]) for field in _NUMBERS}


def _check_column(path: Path, file: h5py.File, field: Field, sizes: dict[str, int]) -> None:
    """Hold a column against its declaration; `sizes` takes up the letters that come up first."""
    data = file.get(field.path)
    if not isinstance(data, h5py.Dataset):
        raise ValueError(f"{path}: {field.path} is missing")
    dtype = "str" if h5py.check_string_dtype(data.dtype) else data.dtype.str
    named = zip(field.shape, data.shape, strict=False)
    wanted = [sizes.setdefault(s, found) if isinstance(s, str) else s for s, found in named]
    if dtype != field.dtype or list(data.shape) != wanted or len(wanted) != len(field.shape):
        shape = ", ".join(map(str, field.shape))
        raise ValueError(
            f"{path}: {field.path} is {dtype} {data.shape}, wanted {field.dtype} ({shape}) with "
            f"{', '.join(f'{letter}={sizes.get(letter)}' for letter in 'NSCn')}"
        )


def _placed(path: Path, data: h5py.Dataset) -> Place:
    offset = data.id.get_offset()
    if offset is None and data.size:
        raise ValueError(f"{path}: {data.name} is stored in pieces; the file is not as written")
    return Place(offset or 0, data.dtype, data.shape)


def _check_indices(path: Path, columns: Mapping[str, Array], entry: Mapping[str, Any]) -> None:
    """Refuse rows that refer to nothing: numpy and the file answer any index."""
    for name, table in _INDICES:
        column = columns[name]
        if len(column) and not 0 <= column.min() <= column.max() < entry[table]:
            raise ValueError(f"{path}: {name} names a row that does not exist")
    offset, whole = columns["samples/image_offset"], len(columns["samples/image_bytes"])
    if offset[0] != 0 or offset[-1] != whole or np.any(np.diff(offset) <= 0):
        raise ValueError(f"{path}: samples/image_offset does not divide the image bytes")
