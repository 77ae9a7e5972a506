"""Arrays of numbers in MATLAB's files of version 5 (which -v6 and -v7 write), without belief.

SciPy reads such files as well, but takes the memory that they declare, raises whatever occurs, and
holds a large array twice. Here what is declared is held against the bytes that are there, other
variables are skipped unread, and a large array is read into its own place.

Layout: MathWorks, "MAT-File Format", level 5.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import can_be_made, opened_regular
from fg3d_builder.records import Array

_HEADER_BYTES = 128
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
_NUMBERS |= {12: "i8", 13: "u8"}
"""Types of stored numbers."""

_MATRIX, _PACKED = 14, 15
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
_CLASSES |= {14: "i8", 15: "u8"}
"""Types of arrays; MATLAB stores their numbers in a smaller type where none is changed by it."""

_OTHER_CLASSES = {1: "a cell array", 2: "a struct", 3: "an object", 4: "text", 5: "a sparse array"}
_COMPLEX = 0x800
_LONGEST_NAME = 4096
_MOST_AXES = 32
_PIECE = 1 << 16
_WORD = 8
_DEFLATE = 1040
"""Deflate makes at most 1032 bytes of one."""


def read_mat5(path: Path, names: Iterable[str], limit_bytes: int) -> dict[str, Array]:
    """Return those of some variables that a file has.

    Parameters
    ----------
    path : Path
    names : iterable of str
        Variables that are wanted; all others are skipped.
    limit_bytes : int
        Of the file, and of the wanted arrays together.

    Returns
    -------
    dict of str to array
        In Fortran's order, of at least two axes, and of the type that MATLAB would show.

    Raises
    ------
    ValueError
        No such file, one of version 4 or 7.3, one that is cut short or damaged, a wanted variable
        that is no array of real numbers, or more than `limit_bytes`. Names file and variable.
    """
    try:
        with opened_regular(path, "unreadable_model") as file:
            return _Reader(path, file, frozenset(names), limit_bytes).arrays()
    except CaptureError as error:
        raise ValueError(error.message) from None


class _Head(NamedTuple):
    """What stands before an array's numbers."""

    name: str
    kind: int
    complex: bool
    shape: tuple[int, ...]


class _Reader:
    def __init__(self, path: Path, file: BinaryIO, names: frozenset[str], limit: int) -> None:
        self._path, self._file, self._names, self._limit = path, file, names, limit
        self._size = os.fstat(file.fileno()).st_size
        self._taken = 0
        self._order: Literal["<", ">"] = "<"

    def arrays(self) -> dict[str, Array]:
        if self._size > self._limit:
            most = f"{self._limit / 1e6:.0f} MB"
            raise ValueError(f"{self._path}: {self._size / 1e6:.0f} MB, at most {most} are read")
        self._order = self._byte_order(self._file.read(_HEADER_BYTES))
        found: dict[str, Array] = {}
        place = _HEADER_BYTES
        while place < self._size:
            self._file.seek(place)
            kind, length = self._tag(self._file.read(8))
            end = place + 8 + length
            if end > self._size:
                raise ValueError(f"{self._path}: is cut short, or no MATLAB file of version 5")
            self._variable(kind, length, found)
            # Packed variables alone are not filled up to whole words.
            place = end if kind == _PACKED else end + -end % 8
        return found

    def _byte_order(self, head: bytes) -> Literal["<", ">"]:
        if head.startswith((b"MATLAB 7.3", b"\x89HDF")) or head[124:128] == b"\x00\x02IM":
            how = "save it in MATLAB with -v7"
            raise ValueError(f"{self._path}: is of MATLAB's version 7.3, which is not read; {how}")
        if head[124:128] == b"\x00\x01IM":
            return "<"
        if head[124:128] == b"\x01\x00MI":
            return ">"
        raise ValueError(f"{self._path}: no MATLAB file of version 5 (-v6 or -v7)")

    def _tag(self, data: bytes) -> tuple[int, int]:
        if len(data) < 8:
            raise ValueError(f"{self._path}: is cut short")
        kind, length = struct.unpack(f"{self._order}II", data)
        return kind, length

    def _variable(self, kind: int, length: int, found: dict[str, Array]) -> None:
        """Read a variable if it is wanted; the file stands behind its tag."""
        stream: _Stored | _Unpacked = _Stored(self._file, length)
        try:
            if kind == _PACKED:
                stream = _Unpacked(self._file, length)
                kind, _ = self._tag(stream.read(8))
            if kind != _MATRIX:
                return
            head = self._head(stream)
            if head is None or head.name not in self._names:
                return
            if head.name in found:
                raise _DamagedError("is there twice")
            found[head.name] = self._numbers(stream, head)
        except (_DamagedError, zlib.error) as error:
            name = "" if isinstance(error, zlib.error) else error.name
            what = f"variable '{name}'" if name else "a variable"
            raise ValueError(f"{self._path}: {what} is damaged: {error}") from None

    def _head(self, stream: _Stored | _Unpacked) -> _Head | None:
        flags = self._element(stream, 16)
        if len(flags) != 8:
            return None  # MATLAB keeps something of its own there, without a name
        (word,) = struct.unpack(f"{self._order}I", flags[:4])
        axes = self._element(stream, 4 * _MOST_AXES)
        shape = struct.unpack(f"{self._order}{len(axes) // 4}i", axes[: len(axes) // 4 * 4])
        name = self._element(stream, _LONGEST_NAME).decode("latin-1")
        return _Head(name, word & 0xFF, bool(word & _COMPLEX), shape)

    def _element(self, stream: _Stored | _Unpacked, most: int) -> bytes:
        """Read a short element of any type."""
        _, length, within = self._element_tag(stream)
        if within is not None:
            return within[:length]
        if length > most:
            raise _DamagedError(f"a head of {length} bytes")
        data = stream.read(length)
        stream.read(-length % 8)
        return data

    def _element_tag(self, stream: _Stored | _Unpacked) -> tuple[int, int, bytes | None]:
        """Return type, length, and the data themselves where they stand in the tag."""
        data = stream.read(8)
        kind, length = self._tag(data)
        if kind >> 16:
            if kind >> 16 > 4:
                raise _DamagedError("a short element of more than 4 bytes")
            return kind & 0xFFFF, kind >> 16, data[4:]
        return kind, length, None

    def _numbers(self, stream: _Stored | _Unpacked, head: _Head) -> Array:
        try:
            return self._array(stream, head)
        except _DamagedError as error:
            raise _DamagedError(str(error), head.name) from None

    def _array(self, stream: _Stored | _Unpacked, head: _Head) -> Array:
        if head.kind not in _CLASSES or head.complex:
            found = "complex" if head.kind in _CLASSES else _OTHER_CLASSES.get(head.kind, "unknown")
            raise _DamagedError(f"expected an array of real numbers, it is {found}")
        if len(head.shape) < 2 or min(head.shape) < 0 or not can_be_made(head.shape):
            raise _DamagedError(f"shape {head.shape}")
        kind, length, within = self._element_tag(stream)
        if kind not in _NUMBERS:
            raise _DamagedError(f"numbers of the unknown type {kind}")
        stored = np.dtype(_NUMBERS[kind]).newbyteorder(self._order)
        count = math.prod(head.shape)  # of Python's integers, which cannot overflow
        if count * stored.itemsize != length:
            raise _DamagedError(f"shape {head.shape}, {length} bytes of {stored}")
        shown = np.dtype(_CLASSES[head.kind])
        self._taken += count * max(stored.itemsize, shown.itemsize)
        if self._taken > self._limit:
            raise _DamagedError(f"more than {self._limit / 1e6:.0f} MB are declared up to it")
        if within is not None:
            flat = np.frombuffer(within[:length], stored)
        else:
            if length > stream.most_left():
                raise _DamagedError(f"{length} bytes are declared, fewer are there")
            flat = np.empty(count, stored)
            stream.fill(flat.view("u1").data)
        stream.finish()
        with np.errstate(invalid="ignore"):
            return flat.astype(shown, copy=False).reshape(head.shape, order="F")


class _DamagedError(Exception):
    """A variable cannot be read."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class _Stored:
    """The bytes of a variable as the file has them."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file, self._left = file, length

    def most_left(self) -> int:
        return self._left

    def read(self, count: int) -> bytes:
        data = bytearray(count)
        self.fill(memoryview(data))
        return bytes(data)

    def fill(self, view: memoryview) -> None:
        if len(view) > self._left:
            raise _DamagedError("its parts are longer than it is")
        self._left -= len(view)
        while len(view):
            count = self._file.readinto(view)  # type: ignore[attr-defined]
            if not count:
                raise _DamagedError("is cut short")
            view = view[count:]

    def finish(self) -> None:
        """Nothing follows that would say whether what was read is sound."""


class _Unpacked:
    """The bytes of a variable that is packed."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file, self._left = file, length
        self._unpack = zlib.decompressobj()
        self._waiting = b""

    def most_left(self) -> int:
        return _DEFLATE * (self._left + len(self._waiting) + _PIECE)

    def read(self, count: int) -> bytes:
        data = bytearray(count)
        self.fill(memoryview(data))
        return bytes(data)

    def fill(self, view: memoryview) -> None:
        while len(view):
            if not self._waiting and self._left:
                self._waiting = self._file.read(min(_PIECE, self._left))
                self._left -= len(self._waiting)
                if not self._waiting:
                    raise _DamagedError("is cut short")
            data = self._unpack.decompress(self._waiting, len(view))
            ended = not data and not self._unpack.unconsumed_tail and not self._left
            self._waiting = self._unpack.unconsumed_tail
            if ended or (self._unpack.eof and not data):
                raise _DamagedError("is cut short")
            view[: len(data)] = data
            view = view[len(data) :]

    def finish(self) -> None:
        """Read what fills up the last word, and hold the sum at the end against what was read."""
        while not self._unpack.eof:
            if not self._waiting:
                self._waiting = self._file.read(min(_PIECE, self._left))
                self._left -= len(self._waiting)
                if not self._waiting:
                    raise _DamagedError("is cut short")
            if len(self._unpack.decompress(self._waiting, _WORD)) == _WORD:
                raise _DamagedError("is longer than its numbers")
            self._waiting = self._unpack.unconsumed_tail
