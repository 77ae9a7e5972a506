"""Reads a data set in its published layout."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from fg3d_builder.captures.source import safe_id
from fg3d_builder.errors import CaptureError, ConfigError, sentence
from fg3d_builder.testsets import florence, now, stirling
from fg3d_builder.testsets.records import Protocol, ProtocolImage, ProtocolScan, Unusable

LAYOUTS = {"florence": florence, "now": now, "stirling": stirling}
"""Modules that list the images in a folder, with subjects as the data set names them, and find a
subject's scan."""


def open_protocol(
    name: str, folder: Path, *, subjects: Sequence[str] = ("*",), unit_mm: float = 1.0
) -> Protocol:
    """Read a data set in its published layout.

    Parameters
    ----------
    name : str
        ``"florence"``, ``"now"`` or ``"stirling"``.
    folder : Path
        See the module of the layout and docs/protocols.md.
    subjects : sequence of str
        Patterns (``subject_0*``) of the subjects to take; all by default.
    unit_mm : float
        Length of the scans' unit; 0 finds it from the eye corners.

    Raises
    ------
    ConfigError
        Unknown protocol; nothing there; an index file that is missing or broken; no subject
        of these names. What is missing of single subjects is recorded in the protocol.
    """
    if name not in LAYOUTS:
        raise ConfigError(f"protocol '{name}'; known are {', '.join(LAYOUTS)}")
    if not 0 <= unit_mm < float("inf"):
        raise ConfigError(f"unit of the scans: {unit_mm} mm, wanted a positive length or 0")
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    layout = LAYOUTS[name]
    try:
        listed: list[ProtocolImage] = sorted(
            layout.list_images(folder), key=lambda image: image.image_id
        )
    except OSError as error:  # a list may name what no system can have, or what nobody may read
        raise ConfigError(f"{folder}: the list of images: {sentence(error)}") from None
    wanted = wanted_subjects(folder, {image.subject for image in listed}, subjects)
    scans: dict[str, ProtocolScan] = {}
    without_scan: dict[str, CaptureError] = {}
    for subject in wanted:
        try:
            mesh_file, landmarks = layout.find_scan(folder, subject)
        except CaptureError as error:
            without_scan[subject] = error
        except OSError as error:  # a name that no system can have, a folder that nobody may read
            without_scan[subject] = CaptureError("missing_file", f"{folder}: {sentence(error)}")
        else:
            key = safe_id(subject)
            scans[key] = ProtocolScan(key, mesh_file, unit_mm, landmarks)
    images: list[ProtocolImage] = []
    missing: set[Unusable] = set()
    for image in listed:
        if image.subject not in wanted:
            continue
        photo, problem = image.photo, without_scan.get(image.subject)
        if problem is None and photo is not None and not os.path.isfile(photo):
            problem = CaptureError("missing_file", f"{photo}: file not found")
        named = replace(image, subject=safe_id(image.subject))
        if problem is None:
            images.append(named)
        else:
            # Views of a scan that is not there are no images: the subject counts once.
            lost = named.subject if photo is None else named.image_id
            missing.add(Unusable(lost, named.subject, problem.code, problem.message))
    return Protocol(name, scans, tuple(images), tuple(sorted(missing)))


def wanted_subjects(folder: Path, there: Collection[str], patterns: Sequence[str]) -> list[str]:
    """Return the subjects of a data set whose names match one of some patterns, sorted.

    Raises
    ------
    ConfigError
        None does.
    """
    names = sorted(there)
    wanted = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if not wanted:
        found = f"there are {', '.join(names[:5])}, ..." if names else "there is none"
        raise ConfigError(f"{folder}: no subject like {', '.join(patterns)}; {found}")
    return wanted
