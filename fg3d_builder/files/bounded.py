"""Reading files of unknown origin without believing them.

Only regular files are opened: a named pipe would wait for ever, and a device may do anything. No
more memory is taken than the file's own size and a stated limit allow, whatever it declares.
"""

from __future__ import annotations

import json
import math
import os
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, BinaryIO, Literal

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Array

_LONGEST_NAME = 255
"""Bytes of a file's name on usual systems."""

_LONGEST_SHOWN = 60

MAX_JSON_BYTES = 16 * 2**20
"""A description with 478 landmarks has some 20 kB; Python's objects take ten times the text."""

MAX_ARRAY_ELEMENTS = 200_000_000
"""Elements of an array in a file; as many as the pixels of an image may be."""

MAX_ARCHIVE_BYTES = 2 * 2**30
"""Of all arrays of an archive, unpacked."""

_MOST_PLACES = 1 << 40
"""Of an array, with lengths of zero taken for one."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextmanager
def opened_regular(path: Path, code: str) -> Iterator[BinaryIO]:
    """Open a regular file for reading bytes.

    Parameters
    ----------
    path : Path
    code : str
        Of the error, where the file is there but cannot be read.

    Raises
    ------
    CaptureError
        ``missing_file`` where nothing is there; `code` for anything else than a readable regular
        file.
    """
    try:
        # The kind is looked at before opening, which alone rewinds a tape or blocks on a pipe, and
        # again afterwards, in case that the file was exchanged in between.
        _only_regular(path, os.stat(path).st_mode, code)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        raise CaptureError("missing_file", f"{path}: file not found") from None
    except OSError as error:
        raise CaptureError(code, f"{path}: {error.strerror or error}") from None
    except ValueError as error:  # a name with a zero byte or half a surrogate pair
        raise CaptureError(code, f"{path}: no file can be called so ({error})") from None
    with os.fdopen(descriptor, "rb") as file:
        _only_regular(path, os.fstat(descriptor).st_mode, code)
        try:
            yield file
        except OSError as error:  # the disk fails under it
            raise CaptureError(code, f"{path}: {error.strerror or error}") from None


def read_regular(path: Path, code: str, limit: int) -> bytes:
    """Return the bytes of a regular file of at most `limit` bytes.

    Raises
    ------
    CaptureError
        As `opened_regular`; `code` for a file that is larger.
    """
    with opened_regular(path, code) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise CaptureError(code, f"{path}: {_mb(size)}, at most {_mb(limit)} are read")
        return file.read(size)


def file_within(folder: Path, name: str, named_by: str) -> Path:
    """Return the path of a file that another file names, which must be within a folder.

    A capture that is handed on must not make whoever reads it open files elsewhere.

    Parameters
    ----------
    folder : Path
        That of the file that names it.
    name : str
        Relative to `folder`, with either kind of slash.
    named_by : str
        File and field that name it, for the message.

    Raises
    ------
    CaptureError
        ``outside_folder`` for an absolute name and for one that leaves the folder, by ``..`` or by
        a symbolic link; ``bad_field`` for what is no name of a file.
    """
    plain = name.replace("\\", "/")
    if not plain.strip() or not _may_name_files(plain):
        shown = repr(name) if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]!r}..."
        raise CaptureError("bad_field", f"{named_by} names the file {shown}, which is no file name")
    pure = PurePosixPath(plain)
    absolute = pure.is_absolute() or bool(PureWindowsPath(plain).drive)
    path = folder / plain
    if not absolute and ".." not in pure.parts:
        # `os.path.realpath` ends also where links go in circles.
        inside = Path(os.path.realpath(folder))
        if Path(os.path.realpath(path)).is_relative_to(inside):
            return path
    beside = pure.name and (folder / pure.name).is_file()
    hint = f"; '{pure.name}' is there, name it so" if beside and absolute else ""
    raise CaptureError(
        "outside_folder",
        f"{named_by} names the file '{name}', which is outside of {folder}; only files within "
        f"that folder are read{hint}",
    )


def read_json_object(path: Path, code: str = "bad_json") -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises
    ------
    CaptureError
        ``missing_file``, or `code`: no JSON in UTF-8, no object, a field given twice, larger than
        `MAX_JSON_BYTES` or nested too deeply.
    """
    return json_object(read_regular(path, code, MAX_JSON_BYTES), str(path), code)


def json_object(
    data: bytes, where: str, code: str = "bad_json", encoding: str = "utf-8-sig"
) -> dict[str, Any]:
    """Return the JSON object that some bytes are, a part of a file or a whole one.

    Parameters
    ----------
    data : bytes
    where : str
        File, and part of it, for messages.
    code : str
    encoding : str
        ``"utf-8"`` where a byte order mark is an error.

    Raises
    ------
    CaptureError
        `code`: no JSON in UTF-8, no object, a field given twice, or nested too deeply.
    """
    try:
        table = json.loads(data.decode(encoding), object_pairs_hook=each_once)
    except UnicodeDecodeError as error:
        raise CaptureError(code, f"{where}: no text in UTF-8, byte {error.start}") from None
    except RecursionError:
        raise CaptureError(code, f"{where}: nested too deeply") from None
    except ValueError as error:
        raise CaptureError(code, f"{where}: no valid JSON: {error}") from None
    if not isinstance(table, dict):
        raise CaptureError(code, f"{where}: expected an object, found {type(table).__name__}")
    return table


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a table of a JSON object's members, as ``object_pairs_hook``.

    Raises
    ------
    ValueError
        A member is there twice; Python would take the last, and a seal cover that one alone.
    """
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"field '{twice}' is there twice")
    return table


def _may_name_files(name: str) -> bool:
    """Whether a system could have a file of that name."""
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        return False
    return all(len(part.encode()) <= _LONGEST_NAME for part in name.split("/"))


def read_npy(path: Path, code: str) -> Array:
    """Return the array of real numbers in an ``npy`` file.

    Its header is held against the size of the file before any memory is taken.

    Raises
    ------
    CaptureError
        ``missing_file``, or `code`: no such file, other elements than real numbers (objects would
        be code to run), more of them than `MAX_ARRAY_ELEMENTS`, or than are there.
    """
    with opened_regular(path, code) as file:
        shape, fortran_order, dtype = npy_header(file, path, code)
        if dtype.kind not in "fiu":
            found = "Python objects" if dtype.hasobject else f"elements of type {dtype}"
            raise CaptureError(code, f"{path}: expected an array of real numbers, found {found}")
        count = math.prod(shape)  # of Python's integers, which cannot overflow
        if count > MAX_ARRAY_ELEMENTS:
            text = f"{path}: declares {count} elements, at most {MAX_ARRAY_ELEMENTS} are read"
            raise CaptureError(code, text)
        there = os.fstat(file.fileno()).st_size - file.tell()
        if there < count * dtype.itemsize:
            raise CaptureError(
                code,
                f"{path}: declares {count} elements, {count * dtype.itemsize} bytes, but {there} "
                "are there",
            )
        flat = np.fromfile(file, dtype=dtype, count=count)
    return flat.reshape(shape, order="F" if fortran_order else "C")


def read_npz(path: Path, code: str) -> dict[str, Array]:
    """Return the arrays of numbers and names in an ``npz`` archive, by name.

    Raises
    ------
    CaptureError
        ``missing_file``, or `code`: no such archive, other elements than numbers and texts, more
        than `MAX_ARCHIVE_BYTES` in all, or more than are there.
    """
    found: dict[str, Array] = {}
    total = 0
    with opened_regular(path, code) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                for member in archive.infolist():
                    with archive.open(member) as stored:
                        where = Path(f"{path}: {member.filename}")
                        shape, fortran_order, dtype = npy_header(stored, where, code)
                        count = math.prod(shape)
                        size = count * dtype.itemsize
                        total += size
                        if dtype.hasobject or total > MAX_ARCHIVE_BYTES:
                            text = f"{size} bytes of {dtype}, at most {_mb(MAX_ARCHIVE_BYTES)}"
                            raise CaptureError(code, f"{where}: {text} of numbers are read")
                        if size > member.file_size:
                            text = f"{size} bytes declared, {member.file_size} are there"
                            raise CaptureError(code, f"{where}: {text}")
                        flat = np.frombuffer(stored.read(size), dtype, count)
                        order: Literal["F", "C"] = "F" if fortran_order else "C"
                        found[member.filename.removesuffix(".npy")] = flat.reshape(
                            shape, order=order
                        )
        except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError) as error:
            raise CaptureError(
                code, f"{path}: no npz archive, or a damaged one ({error})"
            ) from None
        except (NotImplementedError, RuntimeError) as error:  # another compression; a password
            raise CaptureError(code, f"{path}: {error}") from None
    return found


def npy_header(file: IO[bytes], path: Path, code: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, whether in Fortran's order, and element type of an ``npy`` file at its start.

    Raises
    ------
    CaptureError
        `code`: no such file.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(file)
        else:  # version 3 is for field names beyond Latin-1
            raise ValueError(f"format version {version[0]}.{version[1]}")
        whole = all(type(length) is int and length >= 0 for length in shape)
        if not whole or (0 in shape and not can_be_made(shape)):
            raise ValueError(f"shape {shape}")
    except Exception as error:  # numpy evaluates the text of the header, which may be anything
        text = f"{path}: no npy file, or a damaged one ({type(error).__name__}: {error})"
        raise CaptureError(code, text) from None
    return shape, fortran_order, dtype


def can_be_made(shape: tuple[int, ...]) -> bool:
    """Whether NumPy can make arrays of a shape: also an empty one's other lengths have a limit."""
    return math.prod(max(length, 1) for length in shape) <= _MOST_PLACES


def _only_regular(path: Path, mode: int, code: str) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise CaptureError(code, f"{path}: is {kind}, wanted a file")


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
