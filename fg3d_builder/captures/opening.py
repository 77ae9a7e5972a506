"""Opens the source of captures that a configuration describes."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fg3d_builder.captures.source import CaptureEntry, CaptureSource
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.records import Capture


def open_source(config: SourceConfig) -> CaptureSource:
    """Open the source that a configuration describes.

    Raises
    ------
    ConfigError
        Unknown kind, missing folder, or a folder without captures.
    """
    from fg3d_builder.captures.folder import FolderSource
    from fg3d_builder.captures.layout_source import LayoutSource
    from fg3d_builder.captures.layouts.known import LAYOUTS
    from fg3d_builder.captures.scan import ScanSource
    from fg3d_builder.captures.synthetic import SyntheticSource

    kinds: dict[str, Callable[[SourceConfig], CaptureSource]] = {
        "folder": FolderSource,
        "scan": ScanSource,
        "synthetic": SyntheticSource,
    }
    if config.kind in LAYOUTS:
        source: CaptureSource = LayoutSource(config, LAYOUTS[config.kind])
    elif config.kind in kinds:
        source = kinds[config.kind](config)
    else:
        choices = ", ".join([*kinds, *LAYOUTS])
        raise ConfigError(f"sources.kind: unknown kind '{config.kind}'; known are {choices}")
    if not source.entries():
        where = f" in {config.path} matching {', '.join(config.include)}" if config.path else ""
        raise ConfigError(f"the {config.kind} source has no captures{where}")
    return source


def load_capture(
    path: Path, config: SourceConfig, kind: str = "", frame: int | None = None
) -> Capture:
    """Load one capture; see `source_of_one`.

    Raises
    ------
    CaptureError
        Nothing is there, or it cannot be read.
    ConfigError
        The path holds several, or more than one layout fits it.
    """
    source, entry = source_of_one(path, config, kind, frame)
    return source.load(entry)


def source_of_one(
    path: Path, config: SourceConfig, kind: str = "", frame: int | None = None
) -> tuple[CaptureSource, CaptureEntry]:
    """Return a source with its entry for one capture.

    Parameters
    ----------
    path : Path
        Folder with ``capture.json``; a mesh file, or a folder with one, of which the first view is
        taken; or a file or folder of a research set or sensor.
    config : SourceConfig
        How it is read; its `kind` and `path` are set here.
    kind : str
        Of the source, where it is to be no other.
    frame : int, optional
        Number of the frame, for files that hold several.

    Raises
    ------
    CaptureError
        ``missing_file``: nothing is there, or nothing of that kind.
    ConfigError
        The path holds several, or more than one layout fits it.
    """
    from fg3d_builder.captures.one_item import item_at

    if not os.path.exists(path):
        raise CaptureError("missing_file", f"{path} does not exist")
    if kind == "folder" or (not kind and os.path.lexists(path / "capture.json")):
        if not os.path.lexists(path / "capture.json"):
            raise CaptureError("missing_file", f"{path}: no capture.json in it")
        found = replace(config, kind="folder", path=str(path), include=("*",))
    else:
        item = item_at(path, kind, frame) if kind != "scan" else None
        found = replace(config, kind="scan", path=str(path))
        if item is not None:
            include = (glob.escape(item.name),)
            found = replace(config, kind=item.kind, path=str(item.root), include=include)
    source = open_source(found)
    return source, source.entries()[0]
