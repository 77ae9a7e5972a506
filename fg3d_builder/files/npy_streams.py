"""Arrays in ``npy`` and ``npz`` files that are larger than memory, or stand beside Python objects.

`fg3d_builder.files.bounded.read_npz` takes whole archives of numbers. Here one array after the
other is read, by name, at once or a block of rows at a time; what nobody asks for is not touched.
"""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import MAX_ARRAY_ELEMENTS, npy_header, opened_regular
from fg3d_builder.records import Array

BLOCK_BYTES = 32 << 20
"""Of a block, at most, unless a row is larger."""

_MOST_BYTES = 1 << 34
"""Of an array that is read a block at a time; a quarter of an hour from a slow disk."""

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError)


class ArrayStream(NamedTuple):
    """An array of numbers that has not been read yet.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    fortran_order : bool
    file : file
        At the first of its elements.
    where : str
        File, and part of it, for messages.
    code : str
        Of errors.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    file: IO[bytes]
    where: str
    code: str

    def whole(self) -> Array:
        """Read all of it.

        Raises
        ------
        CaptureError
            It ends early, or has more elements than `MAX_ARRAY_ELEMENTS`.
        """
        count = math.prod(self.shape)
        if count > MAX_ARRAY_ELEMENTS:
            _refuse(self, f"{count} elements, at most {MAX_ARRAY_ELEMENTS} are read")
        flat = np.frombuffer(self._bytes(count * self.dtype.itemsize), self.dtype, count)
        return flat.reshape(self.shape, order="F" if self.fortran_order else "C")

    def reversed_axes(self) -> ArrayStream:
        """Return the array with its axes in reverse, which in the file is the same bytes."""
        return self._replace(shape=self.shape[::-1], fortran_order=not self.fortran_order)

    def blocks(self) -> Iterator[tuple[int, Array]]:
        """Yield the first row's number and a block of rows, along the first axis.

        Raises
        ------
        CaptureError
            As `whole`; an array in Fortran's order, of which a row is nowhere in one piece; more
            than 16 GiB.
        """
        if self.fortran_order and len(self.shape) > 1:
            _refuse(self, "its rows are not in one piece (Fortran's order)")
        row = math.prod(self.shape[1:]) * self.dtype.itemsize
        if row * self.shape[0] > _MOST_BYTES:
            _refuse(self, f"{row * self.shape[0]} bytes, at most {_MOST_BYTES} are read")
        step = max(1, BLOCK_BYTES // max(row, 1))
        if row > MAX_ARRAY_ELEMENTS:
            _refuse(self, f"{row} bytes in a row, at most {MAX_ARRAY_ELEMENTS} are read")
        for first in range(0, self.shape[0], step):
            count = min(step, self.shape[0] - first)
            data = self._bytes(count * row)
            block = np.frombuffer(data, self.dtype, count * row // self.dtype.itemsize)
            yield first, block.reshape(count, *self.shape[1:])

    def _bytes(self, count: int) -> bytes:
        try:
            data = self.file.read(count)
        except (*_DAMAGE, NotImplementedError, RuntimeError) as error:
            _refuse(self, str(error))
        if len(data) != count:
            _refuse(self, f"ends {count - len(data)} bytes early")
        return data


class ArrayArchive:
    """An open ``npz`` archive; see `opened_npz`."""

    def __init__(self, archive: zipfile.ZipFile, path: Path, code: str) -> None:
        self._archive, self._path, self._code = archive, path, code
        self.names = tuple(name.removesuffix(".npy") for name in archive.namelist())
        """Names of the arrays."""

    @contextmanager
    def stream(self, name: str) -> Iterator[ArrayStream]:
        """Open one of the arrays.

        Raises
        ------
        CaptureError
            There is none of that name, it is damaged, or it holds other things than numbers and
            texts.
        """
        where = f"{self._path}: field '{name}'"
        if name not in self.names:
            raise CaptureError(self._code, f"{where}: not in it")
        try:
            info = self._archive.getinfo(f"{name}.npy")
            file = self._archive.open(info)
        except (*_DAMAGE, KeyError, NotImplementedError, RuntimeError) as error:
            raise CaptureError(self._code, f"{where}: {error}") from None
        with file:
            yield _stream(file, info.file_size, where, self._code)

    def array(self, name: str) -> Array:
        """Read one of the arrays; see `stream`."""
        with self.stream(name) as stream:
            return stream.whole()


def array_names(path: Path) -> frozenset[str]:
    """Return the names of an archive's arrays, none where it is no archive; raises nothing."""
    if path.suffix.lower() != ".npz" or not path.is_file():
        return frozenset()
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(name.removesuffix(".npy") for name in archive.namelist())
    except (*_DAMAGE, NotImplementedError, RuntimeError):
        return frozenset()


@contextmanager
def opened_npz(path: Path, code: str) -> Iterator[ArrayArchive]:
    """Open an ``npz`` archive.

    Raises
    ------
    CaptureError
        ``missing_file``, or `code`: no archive, or a damaged one.
    """
    with opened_regular(path, code) as file:
        try:
            archive = zipfile.ZipFile(file)
        except (*_DAMAGE, NotImplementedError, RuntimeError) as error:
            text = f"{path}: no npz archive, or a damaged one ({error})"
            raise CaptureError(code, text) from None
        with archive:
            yield ArrayArchive(archive, path, code)


@contextmanager
def opened_npy(path: Path, code: str) -> Iterator[ArrayStream]:
    """Open an ``npy`` file.

    Raises
    ------
    CaptureError
        ``missing_file``, or `code`: no such file, or other things in it than numbers and texts.
    """
    with opened_regular(path, code) as file:
        yield _stream(file, os.fstat(file.fileno()).st_size, str(path), code)


def _stream(file: IO[bytes], size: int, where: str, code: str) -> ArrayStream:
    shape, fortran_order, dtype = npy_header(file, Path(where), code)
    if dtype.kind not in "fiubUS" or not dtype.itemsize:
        found = "Python objects" if dtype.hasobject else f"elements of type {dtype}"
        raise CaptureError(code, f"{where}: expected numbers, found {found}")
    declared = math.prod(shape) * dtype.itemsize
    there = size - file.tell()
    if declared > there:
        raise CaptureError(code, f"{where}: declares {declared} bytes, {there} are there")
    return ArrayStream(shape, dtype, fortran_order, file, where, code)


def _refuse(stream: ArrayStream, why: str) -> NoReturn:
    raise CaptureError(stream.code, f"{stream.where}: {why}")
