"""Members of zip archives of unknown origin, of no more bytes than a stated limit."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import opened_regular

_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, OSError)


@contextmanager
def opened_zip(path: Path, code: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive for reading.

    Raises
    ------
    CaptureError
        ``missing_file``, or `code`: no archive, or a damaged one.
    """
    with opened_regular(path, code) as file:
        try:
            archive = zipfile.ZipFile(file)
        except _DAMAGE as error:
            raise _damaged(path, code, error) from None
        except (NotImplementedError, RuntimeError) as error:
            raise CaptureError(code, f"{path}: {error}") from None
        with archive:
            yield archive


def member_bytes(archive: zipfile.ZipFile, name: str, limit: int, path: Path, code: str) -> bytes:
    """Return the bytes of a member, whose check sum is verified.

    Parameters
    ----------
    archive : ZipFile
    name : str
    limit : int
        Largest size, unpacked.
    path : Path
        Of the archive, for messages.
    code : str
        Of the error.

    Raises
    ------
    CaptureError
        ``missing_file`` where there is no such member, or `code`.
    """
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise CaptureError("missing_file", f"{path}: '{name}' is not in it") from None
    if member.file_size > limit:
        text = f"{path}: '{name}' has {member.file_size} bytes, at most {limit} are read"
        raise CaptureError(code, text)
    try:
        with archive.open(member) as stored:
            data = stored.read(member.file_size)
            stored.read(1)  # the sum is verified at the end
    except _DAMAGE as error:
        raise _damaged(path, code, error, name) from None
    except (NotImplementedError, RuntimeError) as error:  # another compression; a password
        raise CaptureError(code, f"{path}: '{name}': {error}") from None
    if len(data) != member.file_size:
        raise CaptureError(code, f"{path}: '{name}' ends after {len(data)} bytes")
    return data


def _damaged(path: Path, code: str, error: Exception, name: str = "") -> CaptureError:
    where = f"{path}: '{name}'" if name else str(path)
    return CaptureError(code, f"{where}: no zip archive, or a damaged one ({error})")
