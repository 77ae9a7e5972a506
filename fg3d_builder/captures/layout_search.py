"""Which layouts the files below a folder follow, by a first look at their names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fg3d_builder.captures.layouts.layout import Item, Layout
from fg3d_builder.errors import CaptureError, ConfigError, MissingDependencyError, sentence

DEEPEST = 3
"""Folders within folders that may be a set's own."""

_LOOKED_DEEPER = 3
"""Further levels whose names are looked at: sets have their files in folders of folders."""

_TRIED = 3
"""Items of a layout that are read to see whether they are that."""

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

    @cached_property
    def main_files(self) -> frozenset[str]:
        """Absolute names of the main file of every item."""
        return frozenset(os.path.abspath(item.files[0]) for item in self.items)

    @cached_property
    def files(self) -> frozenset[str]:
        """Absolute names of all files of all items."""
        return frozenset(os.path.abspath(file) for item in self.items for file in item.files)

    @cached_property
    def problem(self) -> str:
        """Why none of some items, from first to last, can be read; empty where one can.

        What needs a package that is not there counts as readable: it says so when it is used.
        """
        usable = [item for item in self.items if not item.refusal] or list(self.items)
        problem = ""
        for number in range(min(_TRIED, len(usable))):
            try:
                self._read(usable[number * len(usable) // _TRIED])
            except CaptureError as error:
                problem = problem or error.message
            except MissingDependencyError:
                return ""
            else:
                return ""
        return problem

    def _read(self, item: Item) -> None:
        read = self.layout.frame or self.layout.mesh
        if item.refusal:
            raise CaptureError("refused", f"{item.files[0]}: {item.refusal}")
        if read is not None:
            read(item)


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

    Of two that do, a layout with names of its own comes before a common one, and else the one
    whose files can be read as that alone.

    Raises
    ------
    ConfigError
        Names both, and what each expects.
    """
    left = list(fits)
    for number, one in enumerate(fits):
        for other in fits[number + 1 :]:
            if one in left and other in left and one.files & other.files:
                left.remove(_other_than_these(folder, one, other))
    return left


def _other_than_these(folder: Path, one: Fit, other: Fit) -> Fit:
    """Return which of two fits is the wrong one."""
    if one.layout.common != other.layout.common:
        return one if one.layout.common else other
    if bool(one.problem) != bool(other.problem):
        return one if one.problem else other
    kinds = " and ".join(
        f"{fit.layout.kind} ({fit.layout.title}: {fit.layout.expects})" for fit in (one, other)
    )
    raise ConfigError(
        f"{folder}: its files fit more than one layout, {kinds}; say which it is with --kind"
    )


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

    def has(self, folder: Path, names: tuple[str, ...]) -> bool:
        """Whether a file was seen in a folder, or below it, as `Layout.suffixes` has them."""
        ends = tuple(name for name in names if name.startswith("."))
        seen = self._files.get(folder, set())
        if seen & set(names) or any(name.endswith(ends) for name in seen):
            return True
        return any(self.has(inner, names) for inner in self.inner.get(folder, ()))

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
