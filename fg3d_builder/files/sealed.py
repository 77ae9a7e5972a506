"""Files that carry their own seal, so that nothing damaged is ever believed.

A seal is the SHA-256 of what it covers, inside the file itself. Files of bytes begin with a block
of 512 bytes that names the SHA-256 and the length of everything behind it (HDF5 calls such a
block the user block and leaves it alone; zip archives allow one as well). JSON files are an
object with two members, ``sha256`` and ``content``; the hash is that of the file's name and the
content, so that one sound file does not pass for another.

A reader that finds a seal broken sets the file aside under another name and raises
`DamagedFileError`: whoever needs the file finds it missing from then on and makes it again.
`seal_problem` looks without moving anything: for files that belong to a person or to a dataset.
So does every reader inside an `only_looking` block.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from fg3d_builder.files.atomic import replacing, write_bytes, write_json
from fg3d_builder.files.bounded import each_once
from fg3d_builder.files.hashes import BLOCK_BYTES, sha256

BLOCK = 512
"""Bytes before the content of a sealed file of bytes; HDF5's smallest user block."""

T = TypeVar("T")

DAMAGED_SUFFIX = ".damaged"
"""Ends the names of files that were set aside; such a file is never read."""


class DamagedFileError(Exception):
    """A file does not fit its seal and was set aside.

    Attributes
    ----------
    path : Path
        Where the file was. Nothing is there any more, unless it could not be moved, or another
        process has made it again meanwhile.
    """

    def __init__(self, path: Path, why: str, kept: str = "") -> None:
        end = f"cannot be set aside: {kept}" if kept else "was set aside"
        super().__init__(f"{path} is damaged ({why}) and {end}")
        self.path = path
        self._about = why, kept

    def __reduce__(self) -> tuple[type[DamagedFileError], tuple[Path, str, str]]:
        return (type(self), (self.path, *self._about))


_looked_at: ContextVar[list[DamagedFileError] | None] = ContextVar("looked_at", default=None)


@contextlib.contextmanager
def only_looking() -> Iterator[list[DamagedFileError]]:
    """Leave damaged files where they are while the block runs.

    Yields
    ------
    list of DamagedFileError
        Grows by one whenever a reader in the block finds a file damaged; the error is raised too.
    """
    found: list[DamagedFileError] = []
    token = _looked_at.set(found)
    try:
        yield found
    finally:
        _looked_at.reset(token)


def damaged(path: Path, why: str, seen: os.stat_result | None = None) -> DamagedFileError:
    """Set a file aside, see `set_aside`, and return the error to raise.

    In an `only_looking` block the file stays.
    """
    met = _looked_at.get()
    if met is not None:
        met.append(DamagedFileError(path, why, "it was only looked at"))
        return met[-1]
    try:
        set_aside(path, seen)
    except OSError as error:
        return DamagedFileError(path, why, error.strerror or str(error))
    return DamagedFileError(path, why)


def set_aside(path: Path, seen: os.stat_result | None = None) -> None:
    """Rename a file, so that it is kept for a look but never read again.

    Only the last one of a name is kept. A file that another process has set aside meanwhile is
    no error; nor is one that was made again since: it stays, where `seen` tells the file that
    was read.
    """
    with contextlib.suppress(FileNotFoundError):
        if seen is None or os.path.samestat(seen, path.stat()):
            os.replace(path, path.with_name(path.name + DAMAGED_SUFFIX))


def write_sealed(path: Path, schema: str, body: bytes) -> None:
    """Write `body` behind its seal, whole or not at all.

    Parameters
    ----------
    path : Path
    schema : str
        One word that says what kind of file this is.
    body : bytes
    """
    write_bytes(path, _block(schema, sha256(body), len(body)) + body)


def seal(path: Path, schema: str) -> None:
    """Put a seal before the content of a finished file, of any size.

    libhdf5 reads a file that it wrote without a user block behind one as well: it takes the
    addresses in it from where the block ends.
    """
    with (
        replacing(path) as temporary,
        path.open("rb") as content,
        temporary.open("wb") as sealed,
    ):
        sealed.write(bytes(BLOCK))
        digester, length = hashlib.sha256(), 0
        while part := content.read(BLOCK_BYTES):
            digester.update(part)
            sealed.write(part)
            length += len(part)
        sealed.seek(0)
        sealed.write(_block(schema, digester.hexdigest(), length))


def read_sealed(path: Path, schema: str) -> bytes:
    """Return a sealed file of bytes, its block included, after checking the seal.

    Raises
    ------
    FileNotFoundError
    DamagedFileError
        The file is cut short, changed, of another schema or without a seal; it was set aside.
    """
    data, seen = _read(path)
    why = data_problem(data, schema)
    if why:
        raise damaged(path, why, seen)
    return data


def check_sealed(path: Path, schema: str) -> None:
    """Check the seal of a file of any size, block by block.

    Raises
    ------
    FileNotFoundError
    DamagedFileError
        As `read_sealed`.
    """
    seen = path.stat()
    why = seal_problem(path, schema)
    if why:
        raise damaged(path, why, seen)


def seal_problem(path: Path, schema: str) -> str:
    """Say what is wrong with a sealed file of bytes, of any size; empty where nothing is.

    The file stays where it is.

    Raises
    ------
    FileNotFoundError
    """
    with path.open("rb") as file:
        head = _header(file.read(BLOCK), schema)
        digester, length = hashlib.sha256(), 0
        while head and (part := file.read(BLOCK_BYTES)):
            digester.update(part)
            length += len(part)
    return _problem(head, schema, length, digester.hexdigest())


def data_problem(data: bytes, schema: str) -> str:
    """Say what is wrong with the bytes of a sealed file; empty where nothing is."""
    body = memoryview(data)[BLOCK:]
    return _problem(_header(data[:BLOCK], schema), schema, len(body), sha256(body))


def stated_sha256(path: Path, schema: str) -> str:
    """Return the SHA-256 of the content as a file's seal states it, without checking it.

    Raises
    ------
    FileNotFoundError
    DamagedFileError
        There is no seal of this kind.
    """
    with path.open("rb") as file:
        head = _header(file.read(BLOCK), schema)
    if head is None:
        raise damaged(path, f"no seal of '{schema}'")
    return head[0]


def has_full_length(path: Path, schema: str) -> bool:
    """Tell cheaply, without reading the content, whether a sealed file is there whole."""
    try:
        with path.open("rb") as file:
            head = _header(file.read(BLOCK), schema)
        return head is not None and path.stat().st_size == BLOCK + head[1]
    except OSError:
        return False


def write_sealed_json(path: Path, value: Any, within: str = "") -> None:
    """Write JSON with its seal, whole or not at all; equal values give equal bytes.

    Parameters
    ----------
    path : Path
    value : JSON value
    within : str
        Name of its folder, where files of that name in other folders say something else.
    """
    write_json(path, {"sha256": sealed_sha256(path.name, value, within), "content": value})


def read_sealed_json(path: Path, within: str = "") -> Any:
    """Return what `write_sealed_json` wrote, after checking the seal.

    Raises
    ------
    FileNotFoundError
    DamagedFileError
        The file is no JSON, without a seal, changed, or another; it was set aside.
    """
    data, seen = _read(path)
    try:
        value = json.loads(data, object_pairs_hook=each_once)
        if not isinstance(value, dict) or set(value) != {"sha256", "content"}:
            raise damaged(path, "no seal", seen)
        found = sealed_sha256(path.name, value["content"], within)
    except (ValueError, RecursionError):
        raise damaged(path, "no JSON", seen) from None
    if value["sha256"] != found:
        raise damaged(path, "its seal does not fit its content and name", seen)
    return value["content"]


def read_sealed_as(path: Path, make: Callable[[Any], T], within: str = "") -> T:
    """Return what `make` makes of what `write_sealed_json` wrote.

    Raises
    ------
    FileNotFoundError
    DamagedFileError
        As `read_sealed_json`; or `make` misses something: another version wrote it.
    """
    value = read_sealed_json(path, within)
    try:
        return make(value)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        why = f"not what this version writes: {type(error).__name__}: {error}"
        raise damaged(path, why) from None


def sealed_sha256(name: str, value: Any, within: str = "") -> str:
    """Return the seal of a JSON value in a file of some name."""
    return json_sha256([within, name, value])


def json_sha256(value: Any) -> str:
    """Return the SHA-256 of a JSON value: sorted keys, no spaces, so that layout is free."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode())


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    with path.open("rb") as file:
        return file.read(), os.fstat(file.fileno())


def _block(schema: str, content_sha256: str, length: int) -> bytes:
    text = f"{schema} sha256={content_sha256} bytes={length}\n"
    return text.encode().ljust(BLOCK, b"\0")


def _problem(head: tuple[str, int] | None, schema: str, length: int, content_sha256: str) -> str:
    if head is None:
        return f"no seal of '{schema}'"
    if head[1] != length:
        return f"{length} bytes, its seal says {head[1]}"
    return "" if head[0] == content_sha256 else "its content does not fit its seal"


def _header(block: bytes, schema: str) -> tuple[str, int] | None:
    """Return (SHA-256, length of the body) from a block, or None."""
    words = block.rstrip(b"\0").decode("ascii", "replace").split()
    if len(words) != 3 or words[0] != schema or not words[1].startswith("sha256="):
        return None
    length = words[2].removeprefix("bytes=")
    return (words[1].removeprefix("sha256="), int(length)) if length.isdecimal() else None
