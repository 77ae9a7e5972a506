"""Binary archives of the C++ library cereal, as far as they hold matrices, lists and texts.

Numbers lie in the order of bytes of the machine that wrote them, which is little endian; nothing
in the file says what follows. Lists begin with their length (uint64), texts too; an Eigen matrix
with its rows and columns (int32), its numbers column after column; an OpenCV matrix with rows,
columns and type (int32) and whether it is in one piece (one byte), its numbers row after row. An
optional value begins with a byte that is 1 where there is none.
"""

from __future__ import annotations

import struct

import numpy as np

from fg3d_builder.errors import printable
from fg3d_builder.records import Array

_MOST_NUMBERS = 400_000_000
_LONGEST_TEXT = 1 << 16
_CV_TYPES: dict[int, np.dtype] = {5: np.dtype("<f4"), 6: np.dtype("<f8")}


class CerealArchive:
    """The bytes of an archive, read from the start on.

    Parameters
    ----------
    data : bytes
    where : str
        File, for messages.
    """

    def __init__(self, data: bytes, where: str) -> None:
        self.where = where
        self.place = 0
        self._data = data

    @property
    def left(self) -> int:
        """Bytes that have not been read."""
        return len(self._data) - self.place

    def wrong(self, field: str, problem: str) -> ValueError:
        """Return the error for a field."""
        return ValueError(f"{self.where}: field '{field}': {problem} (byte {self.place})")

    def number(self, form: str, field: str) -> int:
        """Return an integer; `form` as in ``struct``."""
        data = self._take(struct.calcsize(form), field)
        return int(struct.unpack(form, data)[0])

    def flag(self, field: str) -> bool:
        """Return a byte that is 0 or 1."""
        value = self.number("<B", field)
        if value > 1:
            raise self.wrong(field, f"expected 0 or 1, found {value}")
        return bool(value)

    def text(self, field: str) -> str:
        """Return a text that can be printed; bytes that are no UTF-8 become question marks."""
        length = self.number("<Q", field)
        if length > _LONGEST_TEXT:
            raise self.wrong(field, f"a text of {length} bytes")
        return printable(self._take(length, field).decode("utf-8", "replace"))

    def length(self, field: str, item_bytes: int) -> int:
        """Return the length of a list whose items have at least so many bytes each."""
        length = self.number("<Q", field)
        if length * item_bytes > self.left:
            raise self.wrong(field, f"declares {length} items, {self.left} bytes are left")
        return length

    def rows(self, field: str, dtype: str, width: int) -> Array:
        """Return a list of arrays of numbers as (n, width)."""
        kind = np.dtype(dtype)
        length = self.length(field, width * kind.itemsize)
        data = self._take(length * width * kind.itemsize, field)
        return np.frombuffer(data, kind).reshape(length, width)

    def eigen_shape(self, field: str) -> tuple[int, int]:
        """Return rows and columns of the matrix that comes next, and do not go on."""
        place = self.place
        shape = self._shape(field)
        self.place = place
        return shape

    def eigen_matrix(self, field: str) -> Array:
        """Return an Eigen matrix of floats (rows, columns)."""
        rows, columns = self._shape(field)
        data = self._take(4 * rows * columns, field)
        return np.frombuffer(data, "<f4").reshape(columns, rows).T

    def opencv_matrix(self, field: str) -> Array:
        """Return an OpenCV matrix of floats or doubles (rows, columns)."""
        rows, columns = self._shape(field)
        kind = self.number("<i", field)
        if not rows * columns:
            self.flag(field)
            return np.zeros((rows, columns))
        if kind not in _CV_TYPES:
            raise self.wrong(field, f"expected floats or doubles, found OpenCV's type {kind}")
        self.flag(field)  # in one piece or row after row, which is the same in a file
        dtype = _CV_TYPES[kind]
        data = self._take(dtype.itemsize * rows * columns, field)
        return np.frombuffer(data, dtype).reshape(rows, columns)

    def _shape(self, field: str) -> tuple[int, int]:
        rows, columns = self.number("<i", field), self.number("<i", field)
        if rows < 0 or columns < 0 or rows * columns > _MOST_NUMBERS:
            raise self.wrong(field, f"a matrix of {rows} rows and {columns} columns")
        return rows, columns

    def _take(self, count: int, field: str) -> bytes:
        if count > self.left:
            raise self.wrong(field, f"ends {count - self.left} bytes early")
        data = self._data[self.place : self.place + count]
        self.place += count
        return data
