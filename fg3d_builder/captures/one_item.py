"""Which item of which layout a file or folder is, when it is named alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fg3d_builder.captures.layout_search import Fit, told_apart
from fg3d_builder.captures.layouts.known import LAYOUTS
from fg3d_builder.captures.layouts.layout import Item, Layout
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.files.mesh_io import MESH_SUFFIXES

_UP = 2
"""Folders above that may be the set's own, where a kind is given; else the nearest alone."""


class OneItem(NamedTuple):
    """An item with the source that has it.

    Attributes
    ----------
    kind : str
        Kind of the source.
    root : Path
        Folder of the source.
    name : str
        Id of the item within it.
    """

    kind: str
    root: Path
    name: str


def item_at(path: Path, kind: str = "", frame: int | None = None) -> OneItem | None:
    """Find the item that a file or folder belongs to; None where no layout knows it.

    Meshes of the general formats are left to the kind ``"scan"`` unless a kind is given.

    Parameters
    ----------
    path : Path
    kind : str
        Ask this layout alone; there must be an item then.
    frame : int, optional
        Number of the frame, where there are several.

    Raises
    ------
    CaptureError
        ``missing_file``: nothing of that kind is there.
    ConfigError
        Several are there, or more than one layout knows it.
    """
    fit = None if not kind and _has_mesh(path) else fit_at(path, kind)
    if fit is None:
        return None
    return OneItem(fit.layout.kind, fit.root, _only(path, fit, frame).name)


def fit_at(path: Path, kind: str = "") -> Fit | None:
    """Find all items of a file or folder, of the nearest folder that has them; see `item_at`.

    Raises
    ------
    CaptureError, ConfigError
        As `item_at`.
    """
    wanted = [layout for name, layout in LAYOUTS.items() if kind in ("", name)]
    fits = [fit for layout in wanted for fit in _fits(path, layout, _UP if kind else 1)]
    if not fits:
        if kind:
            layout = LAYOUTS[kind]
            raise CaptureError(
                "missing_file", f"{path}: nothing of {layout.title}; expected {layout.expects}"
            )
        return None
    fits = told_apart(path, fits)
    if len(fits) > 1:
        kinds = ", ".join(fit.layout.kind for fit in fits)
        raise ConfigError(f"{path} holds files of several kinds, {kinds}; name one of them")
    return fits[0]


def _fits(path: Path, layout: Layout, up: int) -> Iterator[Fit]:
    """Yield what is at the path, of the nearest folder that has it."""
    here = Path(os.path.abspath(path))
    parents = list(here.parents)[: up if here.is_file() else up - 1]
    for root in ([] if here.is_file() else [here]) + parents:
        if root == root.parent:  # nobody's set is a whole disk
            return
        items = tuple(item for item in layout.find(root) if _is_of(item, here))
        if items:
            yield Fit(layout, root, items)
            return


def _is_of(item: Item, path: Path) -> bool:
    files = [Path(os.path.abspath(file)) for file in item.files]
    return any(file == path or path in file.parents for file in files)


def _only(path: Path, fit: Fit, frame: int | None) -> Item:
    items, title = fit.items, fit.layout.title
    if frame is not None:
        items = tuple(item for item in items if item.frame == frame)
    if len(items) == 1:
        return items[0]
    numbers = sorted(item.frame for item in fit.items)
    if len(set(numbers)) == len(fit.items):
        raise ConfigError(
            f"{path} holds {len(numbers)} frames ({title}), numbered {numbers[0]} to "
            f"{numbers[-1]}; name one with --frame, or build a dataset of all: fg3d new"
        )
    raise ConfigError(
        f"{path} holds {len(items) or len(numbers)} captures ({title}); name the file of one of "
        f"them, such as {fit.items[0].files[0]}, or build a dataset of all: fg3d new"
    )


def _has_mesh(path: Path) -> bool:
    if path.is_dir():
        return any(_has_mesh(file) for file in path.iterdir() if file.is_file())
    return path.suffix.lower() in MESH_SUFFIXES
