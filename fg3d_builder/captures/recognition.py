"""What a folder holds that a build can read: folders of captures, scans."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fg3d_builder.captures.folder import COLOUR_FILES, DEPTH_FILES, DESCRIPTION
from fg3d_builder.config import SourceConfig
from fg3d_builder.files.mesh_io import MESH_SUFFIXES

DEEPEST = 3
"""Folders within folders that are looked into."""

EXPECTED = (
    f"expected a folder for each capture, with {DESCRIPTION}, {COLOUR_FILES[0]} and "
    f"{DEPTH_FILES[0]} in it (docs/captures.md), or scans ({', '.join(MESH_SUFFIXES)})"
)


@dataclass(frozen=True)
class Found:
    """Captures or scans that lie side by side in one folder.

    Attributes
    ----------
    kind : str
        ``"folder"`` for captures, ``"scan"`` for scans, as in `SourceConfig.kind`.
    root : Path
        The folder that the source reads.
    names : tuple of str
        Folders of captures; folders or stems of scans; sorted.
    everything : bool
        The folder holds nothing else that the source would take for a capture or scan.
    suffixes : dict of str to int
        How many files of each suffix the scans have.
    left_out : tuple of str
        Meshes beside folders of captures: rather references than people.
    """

    kind: str
    root: Path
    names: tuple[str, ...]
    everything: bool
    suffixes: dict[str, int]
    left_out: tuple[str, ...] = ()

    @property
    def include(self) -> tuple[str, ...]:
        """Patterns that take these and nothing else."""
        return ("*",) if self.everything else tuple(glob.escape(name) for name in self.names)

    @property
    def captures(self) -> tuple[str, ...]:
        """Names of the folders of captures; none where these are scans."""
        return self.names if self.kind == "folder" else ()

    def source(self) -> SourceConfig:
        """Return the source that reads all of it."""
        return SourceConfig(kind=self.kind, path=str(self.root), include=self.include, unit_mm=0.0)

    @property
    def says(self) -> str:
        """What it is, with its number."""
        if self.kind == "folder":
            return counted(len(self.names), "capture")
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(self.suffixes.items()))
        return f"{counted(len(self.names), 'scan')} ({kinds})"


def recognise(folder: Path) -> list[Found]:
    """Look for captures and scans in a folder and the folders in it, `DEEPEST` deep.

    A folder that is itself a capture is found as the only one of its parent. Hidden files and
    links to folders are not followed.

    Raises
    ------
    OSError
        The folder cannot be read.
    """
    if is_capture(folder):
        own = folder.resolve()
        return [Found("folder", own.parent, (own.name,), everything=False, suffixes={})]
    return list(_below(folder, DEEPEST))


def is_capture(folder: Path) -> bool:
    """Whether a folder looks like one capture, be it whole or not."""
    return any((folder / name).is_file() for name in (DESCRIPTION, *DEPTH_FILES, *COLOUR_FILES))


def contents(folder: Path) -> str:
    """Say what is in a folder that nothing was recognised in, in a few words."""
    files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    kinds = Counter(path.suffix.lower() or "without suffix" for path in files if path.is_file())
    ordered = sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0]))
    parts = [f"{count:,} {kind}" for kind, count in ordered[:4]]
    folders = sum(path.is_dir() for path in files)
    if folders:
        parts.append(counted(folders, "folder"))
    return ", ".join(parts) or "nothing"


def counted(count: int, what: str) -> str:
    """Return a number with what it counts, ``"1 scan"`` or ``"2 scans"``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _below(folder: Path, deepest: int) -> Iterator[Found]:
    """Yield what lies in a folder, then what lies in those of its folders that are neither."""
    seen = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    folders = [path for path in seen if path.is_dir() and not path.is_symlink()]
    captures = [path for path in folders if is_capture(path)]
    others = [path for path in folders if path not in set(captures)]
    meshes = {path: _meshes(path) for path in others}
    scanned = [path for path in others if meshes[path]]
    own = [path for path in seen if _is_mesh(path)]
    rest = [path for path in others if not meshes[path]]
    if captures:
        names = tuple(path.name for path in captures)
        left_out, own = tuple(path.name for path in own), []
        yield Found("folder", folder, names, len(captures) == len(folders), {}, left_out)
    if scanned or own:
        names = tuple(sorted({path.name for path in scanned} | {path.stem for path in own}))
        files = [*own, *(file for path in scanned for file in meshes[path])]
        suffixes = dict(Counter(path.suffix.lower() for path in files))
        yield Found("scan", folder, names, len(scanned) == len(folders), suffixes)
    if deepest > 1:
        for path in rest:
            yield from _below(path, deepest - 1)


def _meshes(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if _is_mesh(path)]


def _is_mesh(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.suffix.lower() in MESH_SUFFIXES and path.is_file() and not hidden
