"""Folders that are there completely or not at all, whenever the process is killed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fg3d_builder.errors import ConfigError
from fg3d_builder.files.atomic import PART_SUFFIX, remove_abandoned
from fg3d_builder.files.locks import exclusive
from fg3d_builder.files.sealed import DAMAGED_SUFFIX


@contextmanager
def whole_folder(out: Path, request: str) -> Iterator[Path]:
    """Give a folder to fill, which becomes `out` when the block ends without an error.

    It lies beside `out` and is named after the request, so that the same request finds what an
    interrupted run of it has left there, and another one does not. What is in it has to be
    written file by file with `fg3d_builder.files.atomic`, or be made again. A second process
    with the same `out` waits for the first one.

    Parameters
    ----------
    out : Path
        Must not be there yet, or be an empty folder; may be a link to either.
    request : str
        Identity of all that decides the content; part of a folder's name.

    Raises
    ------
    ConfigError
        `out` holds files, or is a folder that cannot be replaced.
    OSError
    """
    refuse_taken(out)
    out = _replaceable(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = out.with_name(f".{out.name}.lock")
    with exclusive(lock):
        try:
            refuse_taken(out)  # by who was there first
            folder = unfinished_folder(out, request)
            folder.mkdir(exist_ok=True)
            remove_abandoned(folder)
            try:
                yield folder
            except BaseException:
                with contextlib.suppress(OSError):  # there is something to go on with
                    folder.rmdir()
                raise
            _remove_leavings(folder)
            if out.is_dir():
                out.rmdir()
            folder.rename(out)
        finally:
            # While it is held: afterwards, or by one who gave up waiting, it were another's.
            with contextlib.suppress(OSError):
                lock.unlink()


def _replaceable(out: Path) -> Path:
    """Return where a folder is or will be, whatever links lead there.

    Raises `ConfigError` before the work where a folder could not take its place after it.
    """
    place = Path(os.path.realpath(out))
    if place.is_mount() or place == Path.cwd():
        why = "is where a disk is mounted" if place.is_mount() else "is where this command runs"
        raise ConfigError(f"{out} {why}; name a folder in it that is not there yet")
    return place


def _remove_leavings(folder: Path) -> None:
    """Delete what runs that were killed left half written, and what was set aside as damaged."""
    for pattern in (f".*{PART_SUFFIX}", f"*{DAMAGED_SUFFIX}"):
        for path in folder.rglob(pattern):
            if path.is_file():  # folders are called after captures and subjects
                path.unlink()


def unfinished_folder(out: Path, request: str) -> Path:
    """Return where a request's folder is filled."""
    return out.with_name(f"{out.name}.unfinished-{request}")


def refuse_taken(out: Path) -> None:
    """Raise `ConfigError` where a folder holds files already."""
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"{out} holds files already; name another folder, or remove it first")
