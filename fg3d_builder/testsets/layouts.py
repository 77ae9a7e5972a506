"""The way to a protocol by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from fg3d_builder.errors import ConfigError
from fg3d_builder.testsets.florence import read_florence
from fg3d_builder.testsets.now import listed_images, read_now
from fg3d_builder.testsets.records import PROTOCOL_NAMES, Protocol
from fg3d_builder.testsets.stirling import listed_photos, read_stirling

_READERS: dict[str, Callable[[Path, list[str], float | None], Protocol]] = {
    "florence": read_florence,
    "now": read_now,
    "stirling": read_stirling,
}


def open_protocol(
    name: str,
    folder: Path,
    *,
    subjects: Sequence[str] = ("*",),
    unit_mm: float | None = None,
) -> Protocol:
    """Read a data set in its published layout.

    Parameters
    ----------
    name : str
        One of `PROTOCOL_NAMES`.
    folder : Path
        See the module of the protocol and docs/protocols.md.
    subjects : sequence of str
        Patterns (``subject_0*``) of the subjects to take; all by default.
    unit_mm : float, optional
        Length of the scans' unit, 0 to find it from the eye corners; left out: the data set's.

    Raises
    ------
    ConfigError
        Unknown protocol; nothing there; an index file that is missing or broken; no subject
        of these names. What is missing of single subjects is recorded in the protocol.
    """
    if name not in _READERS:
        raise ConfigError(f"protocol '{name}'; known are {', '.join(PROTOCOL_NAMES)}")
    if unit_mm is not None and not 0 <= unit_mm < float("inf"):
        raise ConfigError(f"unit of the scans: {unit_mm} mm, wanted a positive length or 0")
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    there = _subjects(name, folder)
    wanted = [s for s in there if any(fnmatchcase(s, pattern) for pattern in subjects)]
    if not wanted:
        found = f"there are {', '.join(there[:5])}, ..." if there else "there is none"
        raise ConfigError(f"{folder}: no subject like {', '.join(subjects)}; {found}")
    protocol = _READERS[name](folder, wanted, unit_mm)
    images = tuple(sorted(protocol.images, key=lambda image: image.image_id))
    return replace(protocol, images=images, missing=tuple(sorted(protocol.missing)))


def _subjects(name: str, folder: Path) -> list[str]:
    if name == "florence":
        found = {p.name for p in folder.glob("subject_*") if p.is_dir()}
    elif name == "now":
        found = {path.split("/", maxsplit=1)[0] for path in listed_images(folder)}
    else:
        found = {photo.subject for photo in listed_photos(folder)}
    return sorted(found)
