"""BP4D-Spontaneous: sequences of textured meshes, one for each person and task.

Frames are chosen by the source's ``frames``. Where the set's tables of action units are there, the
frame of a sequence that most of them occur in is its peak.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fg3d_builder.captures.layouts.found_files import files_below, names_once
from fg3d_builder.captures.layouts.layout import Item, Layout
from fg3d_builder.captures.layouts.named_texture import PICTURES, read_pictured
from fg3d_builder.captures.layouts.person_names import SEX_OF_LETTER
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.records import Array

_FILE = re.compile(r"(\d{2,6})\.(obj|wrl|mtl|jpg|png|bmp)|[FM]\d{3}_T\d{1,2}\.csv", re.IGNORECASE)
_SUBJECT = re.compile(r"[FM]\d{3}", re.IGNORECASE)
_TASK = re.compile(r"T\d{1,2}", re.IGNORECASE)

_MESHES = (".obj", ".wrl")

OCCURRENCES = "AU_OCC"
"""Folder of the tables of action units, one for each sequence."""

FIRST_FRAME = 1
"""Number in these tables of the frame whose files are numbered 0."""

MAX_BYTES = 2**24


class Occurrences(NamedTuple):
    """How many action units occur in frames: file numbers (n,) and counts (n,)."""

    frames: Array
    counts: Array


def find(folder: Path) -> list[Item]:
    """List all frames of all sequences.

    Raises
    ------
    ConfigError
        A table of action units cannot be read.
    """
    frames: dict[Path, dict[str, Path]] = {}
    tables: dict[str, Path] = {}
    for file in files_below(folder, _FILE.fullmatch):
        if file.suffix.lower() == ".csv":
            if file.parent.name.upper() == OCCURRENCES:
                tables.setdefault(file.stem.upper().replace("_", "-"), file)
        elif _TASK.fullmatch(file.parent.name) and _SUBJECT.fullmatch(file.parent.parent.name):
            frames.setdefault(file.with_suffix(""), {})[file.suffix.lower()] = file
    meshes = {stem: files for stem, files in frames.items() if files.keys() & set(_MESHES)}
    stems = list(meshes)
    names = names_once(folder, stems, [f"{_sequence(stem)}-{stem.name}" for stem in stems])
    peaks = _peaks(stems, tables)
    return [
        Item(
            name=name,
            subject=stem.parent.parent.name.upper(),
            files=_files(meshes[stem]),
            expression=stem.parent.name.upper(),
            sequence=_sequence(stem),
            frame=int(stem.name),
            peak=stem in peaks,
            sex=SEX_OF_LETTER[stem.parent.parent.name[0].upper()],
        )
        for stem, name in zip(stems, names, strict=True)
    ]


def read_occurrences(file: Path) -> Occurrences:
    """Read a table of action units: frame, then 0, 1 or 9 (unknown) for each unit.

    Raises
    ------
    ConfigError
        No such table; the message names file and line.
    """
    try:
        text = read_regular(file, "bad_labels", MAX_BYTES).decode("ascii", "replace")
    except CaptureError as error:
        raise ConfigError(error.message) from None
    lines = text.splitlines()
    frames, counts = [], []
    for number, line in enumerate(lines[1:], start=2):  # the first names the units
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")]
        if not all(cell.isdecimal() and len(cell) <= 9 for cell in cells) or len(cells) < 2:
            raise ConfigError(f"{file}: line {number}: expected a frame and numbers 0, 1 or 9")
        if not set(cells[1:]) <= {"0", "1", "9"}:
            raise ConfigError(f"{file}: line {number}: an action unit is not 0, 1 or 9")
        frames.append(int(cells[0]) - FIRST_FRAME)
        counts.append(cells[1:].count("1"))
    return Occurrences(np.array(frames, dtype=np.int64), np.array(counts, dtype=np.int64))


def peak_frame(table: Occurrences, there: Iterable[int]) -> int | None:
    """Return the frame that most units occur in: the middle of the longest stretch of such.

    Parameters
    ----------
    table : Occurrences
    there : iterable of int
        Frames that have a mesh.

    Returns
    -------
    int or None
        None where no unit occurs in any of them.
    """
    known = np.isin(table.frames, np.fromiter(there, dtype=np.int64))
    frames, first = np.unique(table.frames[known], return_index=True)
    counts = table.counts[known][first]
    if not len(counts) or not counts.max():
        return None
    highest = frames[counts == counts.max()]
    runs = np.split(highest, np.flatnonzero(np.diff(highest) > 1) + 1)
    longest = max(runs, key=len)
    return int(longest[len(longest) // 2])


def _sequence(stem: Path) -> str:
    return f"{stem.parent.parent.name}-{stem.parent.name}".upper()


def _peaks(stems: list[Path], tables: dict[str, Path]) -> set[Path]:
    sequences: dict[str, dict[int, Path]] = {}
    for stem in stems:
        sequences.setdefault(_sequence(stem), {})[int(stem.name)] = stem
    found = set()
    for name, frames in sequences.items():
        if name in tables:
            peak = peak_frame(read_occurrences(tables[name]), frames)
            if peak is not None:
                found.add(frames[peak])
    return found


def _files(files: dict[str, Path]) -> tuple[Path, ...]:
    """Return the mesh of a frame, its materials and its picture."""
    mesh = next(files[suffix] for suffix in _MESHES if suffix in files)
    others = [files[s] for s in (".mtl", *PICTURES) if s in files]
    return (mesh, *others)


LAYOUT = Layout(
    kind="bp4d",
    title="BP4D-Spontaneous",
    expects="F001/T1/0000.obj (or .wrl) with 0000.jpg, and AU_OCC/F001_T1.csv where there is one",
    find=find,
    mesh=read_pictured,
    suffixes=(".obj", ".wrl"),
    terms="docs/captures/bp4d.md",
)
