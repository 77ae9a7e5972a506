"""Files of a research set below a folder, and names for them that are used once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

DEEPEST = 6
"""Folders within the folder that is looked into; the sets' own trees are four deep at most."""


def files_below(folder: Path, wanted: Callable[[str], object]) -> list[Path]:
    """Return the files whose name is wanted, folder by folder, each sorted.

    Hidden ones are left out, and links to folders are not followed.

    Parameters
    ----------
    folder : Path
    wanted : callable
        Takes a file's name, and returns what is true for files to list.
    """
    found = []
    start = len(folder.parts)
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if len(here.parts) - start >= DEEPEST:
            folders.clear()
        found += [here / n for n in sorted(names) if not n.startswith(".") and wanted(n)]
    return found


def names_once(folder: Path, files: Sequence[Path], names: Sequence[str]) -> list[str]:
    """Return the files' names, with those of the folders that they are in where two are the same.

    Parameters
    ----------
    folder : Path
        That all of them are below.
    files : sequence of Path
    names : sequence of str
        Of the files.
    """
    often = Counter(names)
    found = []
    for file, name in zip(files, names, strict=True):
        parts = file.relative_to(folder).parent.parts if often[name] > 1 else ()
        found.append("-".join([*parts, name]))
    return found


def distinct(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Return names, or the paths (relative, each once) of those that several have."""
    often = Counter(names)
    return [
        name if often[name] == 1 else path.as_posix()
        for name, path in zip(names, paths, strict=True)
    ]
