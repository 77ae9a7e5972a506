"""What a folder holds that a build can read: folders of captures, scans, research sets, sensors."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fg3d_builder.captures.folder import COLOUR_FILES, DEPTH_FILES, DESCRIPTION
from fg3d_builder.captures.layout_search import DEEPEST, Fit, Search, search, told_apart
from fg3d_builder.captures.layouts.known import LAYOUTS
from fg3d_builder.captures.opening import open_source
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.files.mesh_io import MESH_SUFFIXES
from fg3d_builder.wording import counted

EXPECTED = (
    f"expected a folder for each capture, with {DESCRIPTION}, {COLOUR_FILES[0]} and "
    f"{DEPTH_FILES[0]} in it, scans ({', '.join(MESH_SUFFIXES)}), or the files of a set or "
    "sensor as they come (docs/captures.md)"
)

_MOST_TOLD = 3
"""Layouts whose problems a message names."""


@dataclass(frozen=True)
class Found:
    """Captures or scans that lie side by side in one folder, or below it in a known layout.

    Attributes
    ----------
    kind : str
        ``"folder"`` for captures, ``"scan"`` for scans, or that of a layout, as in
        `SourceConfig.kind`.
    root : Path
        The folder that the source reads.
    names : tuple of str
        Folders of captures; folders or stems of scans; names in a layout; sorted.
    everything : bool
        The folder holds nothing else that the source would take for a capture or scan.
    suffixes : dict of str to int
        How many files of each suffix the scans have.
    left_out : tuple of str
        Meshes beside folders of captures: rather references than people.
    notes : tuple of str
        What else there is to say, in sentences.
    """

    kind: str
    root: Path
    names: tuple[str, ...]
    everything: bool
    suffixes: dict[str, int]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

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
        unit_mm = 0.0 if self.kind == "scan" else SourceConfig().unit_mm
        return SourceConfig(
            kind=self.kind, path=str(self.root), include=self.include, unit_mm=unit_mm
        )

    @property
    def says(self) -> str:
        """What it is, with its number."""
        if self.kind == "folder":
            return counted(len(self.names), "capture")
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(self.suffixes.items()))
        layout = LAYOUTS.get(self.kind)
        if layout is not None:
            what = "scan" if layout.mesh else "frame"
            return f"{layout.title}: {counted(len(self.names), what)} ({kinds}), kind {self.kind}"
        return f"{counted(len(self.names), 'scan')} ({kinds})"


def recognise(folder: Path, kind: str = "") -> list[Found]:
    """Look for what a build can read in a folder and the folders in it, `DEEPEST` deep.

    A folder that is itself a capture is found as the only one of its parent. Hidden files and
    links to folders are not followed. Where files have the names of a layout, it comes before
    the general kinds, folders with a ``capture.json`` before it.

    Parameters
    ----------
    folder : Path
    kind : str
        Look for this kind alone.

    Raises
    ------
    OSError
        The folder cannot be read.
    ConfigError
        Two layouts want the same files, or nothing was found since a set's own list of files
        cannot be read.
    """
    if (folder / DESCRIPTION).is_file() and kind in ("", "folder"):
        return [_own_folder(folder)]
    layouts = [layout for name, layout in LAYOUTS.items() if kind in ("", name)]
    looked = search(folder, layouts) if layouts else Search()
    general = [] if kind in LAYOUTS else list(_general(folder))
    general = [one for one in general if kind in ("", one.kind)]
    described = [one for one in general if _described(one)]
    fits = told_apart(folder, [fit for fit in looked.fits if not _within(fit, described)])
    if not kind:
        fits = _without_common(fits, looked.problems)
    found = [_of_layout(fit, general) for fit in fits]
    claimed = set().union(*(fit.main_files for fit in fits)) if fits else set()
    found += [one for one in general if one in described or not claimed & _files_of(one)]
    if not found and looked.problems:
        why = "; ".join(looked.problems[:_MOST_TOLD])
        raise ConfigError(f"{folder} holds {contents(folder)}; {EXPECTED}; {why}")
    return found


def _without_common(fits: Sequence[Fit], problems: list[str]) -> list[Fit]:
    """Leave out layouts of common names where nothing can be read as that."""
    left = []
    for fit in fits:
        if fit.layout.common and fit.problem:
            problems.append(f"as {fit.layout.kind}: {fit.problem}")
        else:
            left.append(fit)
    return left


def _general(folder: Path) -> Iterator[Found]:
    """Yield folders of captures and scans, whatever their names."""
    if is_capture(folder):
        yield _own_folder(folder)
    else:
        yield from _below(folder, DEEPEST)


def _own_folder(folder: Path) -> Found:
    own = folder.resolve()
    return Found("folder", own.parent, (own.name,), everything=False, suffixes={})


def _described(found: Found) -> bool:
    """Whether these are captures, one of which has a description."""
    return any((found.root / name / DESCRIPTION).is_file() for name in found.captures)


def _within(fit: Fit, described: Sequence[Found]) -> bool:
    """Whether files of a fit lie in folders of captures that are told by their descriptions."""
    folders = [os.path.abspath(one.root / name) + os.sep for one in described for name in one.names]
    return any(file.startswith(tuple(folders)) for file in fit.main_files) if folders else False


def _files_of(found: Found) -> set[str]:
    """Return the files that captures or scans are told by."""
    if found.kind == "scan":
        entries = open_source(found.source()).entries()
        return {os.path.abspath(entry.location) for entry in entries}
    names = (*COLOUR_FILES, *DEPTH_FILES)
    return {os.path.abspath(found.root / one / name) for one in found.names for name in names}


def _of_layout(fit: Fit, general: Sequence[Found]) -> Found:
    """Describe what follows a layout, and what of its files other kinds would read as well."""
    kind = fit.layout.kind
    suffixes = Counter(item.files[0].suffix.lower() for item in fit.items)
    names = tuple(sorted(item.name for item in fit.items))
    found = Found(kind, fit.root, names, everything=True, suffixes=dict(suffixes))
    notes = []
    for other in general:
        files = _files_of(other)
        shared = files & fit.main_files
        if shared and not _described(other):
            beside = len(files - fit.main_files) if other.kind == "scan" else 0
            left = f"; {counted(beside, 'mesh')} beside are left out" if beside else ""
            notes.append(
                f'kind "{other.kind}" would read these files as well; their names are those of '
                f"{fit.layout.title}, so they are taken as that{left}"
            )
    return replace(found, notes=tuple(notes))


def is_capture(folder: Path) -> bool:
    """Whether a folder looks like one capture, be it whole or not."""
    return any((folder / name).is_file() for name in (DESCRIPTION, *DEPTH_FILES, *COLOUR_FILES))


def contents(folder: Path) -> str:
    """Say what is in a folder that nothing was recognised in, in a few words."""
    files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    kinds = Counter(path.suffix.lower() or "without suffix" for path in files if path.is_file())
    ordered = sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0]))
    parts = [f"{count:,} {kind}" for kind, count in ordered[:4]]
    folders = [path for path in files if path.is_dir()]
    links = sum(path.is_symlink() for path in folders)
    if len(folders) > links:
        parts.append(counted(len(folders) - links, "folder"))
    if links:
        parts.append(f"{counted(links, 'link')} to folders, which are not followed")
    return ", ".join(parts) or "nothing"


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
