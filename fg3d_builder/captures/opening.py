"""Opens the source of captures that a configuration describes."""

from __future__ import annotations

from collections.abc import Callable

from fg3d_builder.captures.source import CaptureSource
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import ConfigError


def open_source(config: SourceConfig) -> CaptureSource:
    """Open the source that a configuration describes.

    Raises
    ------
    ConfigError
        Unknown kind, missing folder, or a folder without captures.
    """
    from fg3d_builder.captures.folder import FolderSource
    from fg3d_builder.captures.scan import ScanSource
    from fg3d_builder.captures.synthetic import SyntheticSource

    kinds: dict[str, Callable[[SourceConfig], CaptureSource]] = {
        "folder": FolderSource,
        "scan": ScanSource,
        "synthetic": SyntheticSource,
    }
    if config.kind not in kinds:
        choices = ", ".join(kinds)
        raise ConfigError(f"sources.kind: unknown kind '{config.kind}'; known are {choices}")
    source = kinds[config.kind](config)
    if not source.entries():
        where = f" in {config.path} matching {', '.join(config.include)}" if config.path else ""
        raise ConfigError(f"the {config.kind} source has no captures{where}")
    return source
