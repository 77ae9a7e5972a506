"""Which layouts the files below a folder follow, by a first look at their names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fg3d_builder.captures.layouts.layout import Item, Layout
from fg3d_builder.errors import CaptureError, ConfigError, MissingDependencyError, sentence

DEEPEST = 3
"""Folders within folders that may be a set's own."""

_LOOKED_DEEPER = 3
"""Further levels whose names are looked at: sets have their files in folders of folders."""

_MOST_NAMES, _MOST_OF_FOLDER = 4000, 400
"""Names that are looked at, in all and of one folder."""


@dataclass(frozen=True)
class Fit:
    """A folder whose files follow a layout.

    Attributes
    ----------
    layout : Layout
    root : Path
    items : tuple of Item
    """

    layout: Layout
    root: Path
    items: tuple[Item, ...]

    @property
    def main_files(self) -> set[str]:
        """Absolute names of the main file of every item."""
        return {os.path.abspath(item.files[0]) for item in self.items}


@dataclass
class Search:
    """What a look at a folder finds.

    Attributes
    ----------
    fits : list of Fit
        The topmost folders for each layout.
    problems : list of str
        What layouts said whose own lists cannot be read.
    """

    fits: list[Fit] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def search(folder: Path, layouts: Iterable[Layout]) -> Search:
    """Look for files in any of some layouts in a folder and those in it, `DEEPEST` deep.

    Some thousand names are looked at; of these alone it is told which layouts are asked. Hidden
    names and links to folders are not followed.
    """
    names = _Names(folder)
    found = Search()
    for layout in layouts:
        found.fits += _topmost(folder, layout, names, DEEPEST, found.problems)
    return found


def told_apart(folder: Path, fits: list[Fit]) -> list[Fit]:
    """Return the fits that do not want the same files.

    Of two that do, one is left where the first of these files can be read as that alone.

    Raises
    ------
    ConfigError
        Names both, and what each expects.
    """
    left = list(fits)
    for number, one in enumerate(fits):
        for other in fits[number + 1 :]:
            shared = one.main_files & other.main_files
            if not shared or one not in left or other not in left:
                continue
            first = min(shared)
            readable = [fit for fit in (one, other) if _reads(fit, first)]
            if len(readable) != 1:
                kinds = " and ".join(
                    f"{fit.layout.kind} ({fit.layout.title}: {fit.layout.expects})"
                    for fit in (one, other)
                )
                raise ConfigError(
                    f"{folder}: its files fit more than one layout, {kinds}; say which it is with "
                    "--kind"
                )
            left.remove(other if readable[0] is one else one)
    return left


def _reads(fit: Fit, file: str) -> bool:
    """Whether a file can be read as the layout has it."""
    item = next(item for item in fit.items if os.path.abspath(item.files[0]) == file)
    read = fit.layout.frame or fit.layout.mesh
    try:
        if read is not None and not item.refusal:
            read(item)
    except (CaptureError, MissingDependencyError):
        return False
    return True


class _Names:
    """The folders of a bounded part of a tree, and the names of the files in each."""

    def __init__(self, root: Path) -> None:
        self.inner: dict[Path, list[Path]] = {}
        self._files: dict[Path, set[str]] = {}
        left = _MOST_NAMES
        level = [root]
        for _ in range(DEEPEST + _LOOKED_DEEPER):
            below: list[Path] = []
            for folder in level:
                if left <= 0:
                    break
                left -= self._look(folder, min(left, _MOST_OF_FOLDER))
                below += self.inner[folder]
            level = below

    def has(self, folder: Path, ends: tuple[str, ...]) -> bool:
        """Whether a file was seen in a folder, or below it, whose name ends so."""
        if any(seen.endswith(ends) for seen in self._files.get(folder, ())):
            return True
        return any(self.has(inner, ends) for inner in self.inner.get(folder, ()))

    def _look(self, folder: Path, most: int) -> int:
        folders, files, count = [], set(), 0
        try:
            with os.scandir(folder) as listing:
                for entry in listing:
                    if count >= most:
                        break
                    if entry.name.startswith("."):
                        continue
                    count += 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(folder / entry.name)
                    else:
                        files.add(entry.name.lower())
        except OSError:  # a folder that cannot be read holds nothing to recognise
            pass
        self.inner[folder], self._files[folder] = sorted(folders), files
        return count


def _topmost(
    folder: Path, layout: Layout, names: _Names, deepest: int, problems: list[str]
) -> Iterator[Fit]:
    if layout.suffixes and not names.has(folder, layout.suffixes):
        return
    try:
        items = tuple(layout.find(folder))
    except (CaptureError, ConfigError, OSError) as error:
        problems.append(f"{layout.kind}: {sentence(error)}")
        return
    if items:
        yield Fit(layout, folder, items)
    elif deepest > 0:
        for inner in names.inner.get(folder, ()):
            yield from _topmost(inner, layout, names, deepest - 1, problems)
