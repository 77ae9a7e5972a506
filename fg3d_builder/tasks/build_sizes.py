"""How much room a build's folder takes, and for what."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fg3d_builder.layout import STAGE_VERSIONS, BuildFolder

LISTS = "lists and plans"
"""What is in ``work/`` and no stage's."""

_KINDS = (*STAGE_VERSIONS, "donors", "augmentation-report")


class Room(NamedTuple):
    """How many files there are of something, and their bytes."""

    files: int
    bytes: int


class BuildSizes(NamedTuple):
    """What lies in a build's folder.

    Attributes
    ----------
    datasets : dict of str to Room
        By the folder's name, the newest complete one (where there is one) first.
    stages : dict of str to Room
        What is in ``work/``: stage products by their stage, in the order of the stages, of
        present and earlier settings together; then all else as `LISTS`.
    report : Room
    """

    datasets: dict[str, Room]
    stages: dict[str, Room]
    report: Room


def is_build(folder: Path) -> bool:
    """Whether a folder is that of a build."""
    return BuildFolder(folder).work.is_dir()


def build_sizes(root: Path) -> BuildSizes:
    """Add up the files of a build, also of one that runs."""
    layout = BuildFolder(root)
    newest = layout.dataset_link.resolve().name if layout.dataset_link.exists() else ""
    folders = sorted(root.glob("dataset-*"), key=lambda folder: (folder.name != newest, folder))
    kinds: dict[str, list[Room]] = defaultdict(list)
    for entry in layout.work.iterdir():
        # NAME-DIGEST or NAME-DIGEST.SUFFIX; a kind may have a hyphen in its name.
        kind = entry.name.rpartition("-")[0]
        kinds[kind if kind in _KINDS else LISTS].append(room(entry))
    return BuildSizes(
        {folder.name: room(folder) for folder in folders},
        {kind: _sum(kinds[kind]) for kind in (*_KINDS, LISTS) if kind in kinds},
        room(layout.report),
    )


def room(path: str | os.PathLike[str]) -> Room:
    """Add up a file, or all files in a folder; what vanishes meanwhile counts nothing."""
    if not os.path.isdir(path) or os.path.islink(path):
        with suppress(FileNotFoundError):
            return Room(1, os.lstat(path).st_size)
        return Room(0, 0)
    files, total = 0, 0
    # Strings, not paths: of large builds a hundred thousand files are added up.
    for at, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(at, name)).st_size
                files += 1
    return Room(files, total)


def _sum(rooms: list[Room]) -> Room:
    return Room(sum(r.files for r in rooms), sum(r.bytes for r in rooms))
