"""The interface of capture sources, and the code that sources on disk share."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fg3d_builder.captures.neighbours import Neighbours, file_stats
from fg3d_builder.config import SourceConfig, digest
from fg3d_builder.errors import ConfigError
from fg3d_builder.records import Capture

LONGEST_ID = 100
"""Characters of an id: file names made of one end far below the usual limit of 255 bytes."""


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
        Folder, file or seed that it comes from, for people to read.
    files : tuple of str
        Further files that it is read from, where the source knows them all.
    expression : str
        ``""`` where it is not known before the capture is loaded.
    sequence : str
        As its own files or names call the sequence that it is a frame of; ``""`` for none.
    frame : int
        Number in its sequence.
    """

    capture_id: str
    subject_id: str
    location: str
    files: tuple[str, ...] = ()
    expression: str = ""
    sequence: str = ""
    frame: int = 0


class CaptureSource(Protocol):
    """A place that captures come from.

    Attributes
    ----------
    name : str
        ``"folder"``, ``"scan"``, ``"synthetic"`` or the kind of a layout; becomes
        `Capture.source`.
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
    """Turn any name into an id for file names, keeping different names different.

    At most `LONGEST_ID` letters, digits, ``.``, ``_`` and ``-``. The name may be one that Python
    made of bytes in no encoding, as `os.fsdecode` does.
    """
    clean = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".-") or "_"
    if clean == name and len(name) <= LONGEST_ID:
        return clean
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{clean[: LONGEST_ID - 7]}-{mark}"


def plain_text(text: str, longest: int) -> str:
    """Return the one form in which a name or tag counts, whoever wrote it.

    White space around it is dropped and runs of blanks become one, characters that do not show are
    dropped, and Unicode's composed form (NFC) is taken: else one person could be in training
    and test. Upper and lower case stay different, as they are in the names of many collections.

    Raises
    ------
    ValueError
        Nothing is left, more than `longest` characters, or such as no file can hold.
    """
    shown = "".join(c for c in text if unicodedata.category(c) != "Cf")
    name = unicodedata.normalize("NFC", shown).strip()
    if not name:
        raise ValueError("an empty text")
    if len(name) > longest:
        raise ValueError(f"{len(name)} characters, {longest} at most")
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name):
        raise ValueError("control characters, a line break or half a surrogate pair in it")
    return " ".join(name.split())


def subject_of_name(name: str) -> str:
    """Return the subject that a scan's folder or file is named after, as an id."""
    try:
        return safe_id(plain_text(name, len(name)))
    except ValueError:
        return safe_id(name)


def folder_contents(folder: Path) -> list[Path]:
    """List what is in a folder, in no order; nothing where it cannot be read.

    Captures in it are listed anyway by their own folder, and fail with a reason when they are
    loaded.
    """
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def fingerprint(
    location: str, files: tuple[str, ...] = (), neighbours: Neighbours | None = None
) -> str:
    """Digest of names, sizes and times of the files of a capture, see `CaptureEntry`.

    Of a folder, all files in it; of a file, also its neighbours that differ only in their
    suffix, and the images beside it that may be its texture, see `Neighbours`, unless the further
    `files` are given. A location that is no path, such as a seed, stands for itself. What cannot
    be read counts as absent. Who asks for many captures at once hands in `neighbours`, which
    remembers what is in their folders.
    """
    if files:
        return digest(location, file_stats([Path(location), *map(Path, files)]))
    path = Path(location)
    if os.path.isdir(path):  # unlike the methods of `Path`, these never raise
        there = folder_contents(path)
    elif os.path.isfile(path):
        folder = (neighbours or Neighbours()).of(path)
        names, in_common = folder.belonging(path)
        there = [path.parent / name for name in names]
        if in_common:
            return digest(location, file_stats(sorted(there)), folder.common_identity())
    else:
        return digest(location)
    return digest(location, file_stats(sorted(there)))
