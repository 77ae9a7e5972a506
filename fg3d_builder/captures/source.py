"""The interface of capture sources, and the code that sources on disk share."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fg3d_builder.config import SourceConfig, digest
from fg3d_builder.errors import ConfigError
from fg3d_builder.records import Capture

_IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")


@dataclass(frozen=True)
class CaptureEntry:
    """One capture that a source offers, before it is loaded.

    Attributes
    ----------
    capture_id : str
        Unique within the source: letters, digits, ``.``, ``_``, ``-``.
    subject_id : str
        ``""`` where the capture's own description of it cannot be read.
    location : str
        Folder, mesh file or seed that it comes from, for people to read.
    """

    capture_id: str
    subject_id: str
    location: str


class CaptureSource(Protocol):
    """A place that captures come from.

    Attributes
    ----------
    name : str
        ``"folder"``, ``"scan"`` or ``"synthetic"``; becomes `Capture.source`.
    """

    @property
    def name(self) -> str:
        """Kind of the source."""
        ...

    def entries(self) -> list[CaptureEntry]:
        """List all captures, sorted by capture id, without loading them.

        Captures that cannot be loaded are listed as well, so that they end as recorded
        failures rather than by being overlooked.
        """
        ...

    def load(self, entry: CaptureEntry) -> Capture:
        """Load one capture.

        Raises
        ------
        CaptureError
            Names the file and the field at fault.
        """
        ...


def source_folder(config: SourceConfig) -> Path:
    """Return the path of a source on disk.

    Raises
    ------
    ConfigError
        No path given, or nothing there.
    """
    if not config.path:
        raise ConfigError(f"sources.path: the {config.kind} source needs a folder")
    path = Path(config.path)
    if not path.exists():
        raise ConfigError(f"sources.path: {path} does not exist")
    return path


def matching(names: list[str], patterns: tuple[str, ...]) -> list[str]:
    """Return the sorted `names` that match one of the shell `patterns`; hidden names never do."""
    seen = [n for n in names if not n.startswith(".")]
    return sorted(n for n in seen if any(fnmatch.fnmatchcase(n, p) for p in patterns))


def safe_id(name: str) -> str:
    """Turn any name into an id for file names, keeping different names different."""
    clean = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".-") or "_"
    if clean == name:
        return clean
    return f"{clean}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def fingerprint(location: str) -> str:
    """Digest of names, sizes and times of the files at a capture's location.

    Of a folder, all files in it; of a file, also its neighbours that differ only in their
    suffix, and the images beside it, which may be its texture. A location that is no path,
    such as a seed, stands for itself.
    """
    path = Path(location)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.is_file())
    elif path.is_file():
        files = sorted(
            p
            for p in path.parent.iterdir()
            if p.is_file() and (p.stem == path.stem or p.suffix.lower() in _IMAGE_SUFFIXES)
        )
    else:
        return digest(location)
    stats = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return digest(location, stats)
