"""Opens the source of captures that a configuration describes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from fg3d_builder.captures.source import CaptureSource
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


def load_capture(path: Path, scan: SourceConfig) -> Capture:
    """Load a capture folder, or render the first view of a scan.

    Parameters
    ----------
    path : Path
        Folder with ``capture.json``; or a mesh file, or a folder with one.
    scan : SourceConfig
        How a scan is rendered; its `kind` and `path` are set here.

    Raises
    ------
    CaptureError
        Nothing is there, or it cannot be read.
    """
    from fg3d_builder.captures.folder import read_capture

    if not os.path.exists(path):
        raise CaptureError("missing_file", f"{path} does not exist")
    if os.path.lexists(path / "capture.json"):
        return read_capture(path)
    source = open_source(dataclasses.replace(scan, kind="scan", path=str(path)))
    return source.load(source.entries()[0])
