"""Which source of captures a command is about: a preset's, or what a folder is recognised as."""

from __future__ import annotations

import argparse
import glob
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder.commands.arguments import number
from fg3d_builder.config import (
    DETECTORS,
    LAYOUT_KINDS,
    LandmarkConfig,
    SourceConfig,
    load_preset,
)
from fg3d_builder.errors import ConfigError

if TYPE_CHECKING:
    from fg3d_builder.captures.recognition import Found

KINDS = ("folder", "scan", *LAYOUT_KINDS)
"""Kinds of sources whose captures are files."""


@dataclass(frozen=True)
class ChosenSources:
    """Sources to read, and how their faces are found.

    Attributes
    ----------
    sources : tuple of SourceConfig
    landmarks : LandmarkConfig
    preset : Path, optional
        The file that has them.
    """

    sources: tuple[SourceConfig, ...]
    landmarks: LandmarkConfig
    preset: Path | None = None


def add_source_options(command: argparse.ArgumentParser) -> None:
    """Add what `chosen_sources` reads."""
    command.add_argument(
        "source", type=Path, metavar="SOURCE", help="preset (TOML), folder or file"
    )
    add_kind_option(command)
    command.add_argument(
        "--unit-mm", type=number(0, 1e6), default=1.0, help="unit of scans; 0 finds it; default 1"
    )


def add_kind_option(command: argparse.ArgumentParser) -> None:
    """Add ``--kind``."""
    command.add_argument(
        "--kind",
        choices=KINDS,
        metavar="KIND",
        help=f"what a folder holds, where it is not recognised: {', '.join(KINDS)}",
    )


def add_detector_option(command: argparse.ArgumentParser) -> None:
    """Add ``--detector``."""
    command.add_argument(
        "--detector", choices=DETECTORS, help="of the landmarks; default: the preset's, mediapipe"
    )


def chosen_sources(options: argparse.Namespace) -> ChosenSources:
    """Return the sources that the arguments name.

    Raises
    ------
    ConfigError
        Nothing is recognised, or more than one layout fits.
    """
    path = options.source
    landmarks = LandmarkConfig()
    if path.suffix == ".toml":
        config = load_preset(path)
        sources, landmarks, preset = config.sources, config.landmarks, path
    else:
        sources, preset = recognised_sources(path, options.kind or "", options.unit_mm), None
    if getattr(options, "detector", None):
        landmarks = LandmarkConfig(detector=options.detector)
    return ChosenSources(sources, landmarks, preset)


def recognised_sources(path: Path, kind: str, unit_mm: float) -> tuple[SourceConfig, ...]:
    """Return the sources that read all of a folder, or a mesh file, and say what they are."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if not path.is_dir():
        return (_source_of_file(path, kind, unit_mm),)
    found = recognised(path, kind)
    for one in found:
        for note in one.notes:
            print(f"{one.root}: {note}")
    sources = [one.source() for one in found]
    return tuple(replace(s, unit_mm=unit_mm) if s.kind == "scan" else s for s in sources)


def _source_of_file(path: Path, kind: str, unit_mm: float) -> SourceConfig:
    """Return the source that reads a mesh, or all that a layout finds in one file."""
    from fg3d_builder.captures.one_item import fit_at
    from fg3d_builder.files.mesh_io import MESH_SUFFIXES

    if kind == "scan" or (not kind and path.suffix.lower() in MESH_SUFFIXES):
        return SourceConfig(kind="scan", path=str(path), unit_mm=unit_mm)
    fit = fit_at(path, kind) if kind != "folder" else None
    if fit is None:
        raise ConfigError(
            f"{path} is a file; expected a preset (.toml), a mesh ({', '.join(MESH_SUFFIXES)}), a "
            "file of a research set or sensor, or a folder of such (docs/captures.md)"
        )
    names = tuple(glob.escape(item.name) for item in fit.items)
    return SourceConfig(kind=fit.layout.kind, path=str(fit.root), include=names)


def recognised(folder: Path, kind: str) -> list[Found]:
    """Recognise what a folder holds, or raise with what would have been expected."""
    from fg3d_builder.captures.layouts.known import LAYOUTS
    from fg3d_builder.captures.recognition import EXPECTED, contents, recognise

    found = recognise(folder, kind)
    if not found:
        layout = LAYOUTS.get(kind)
        expected = f"expected for {layout.title}: {layout.expects}" if layout else EXPECTED
        raise ConfigError(f"{folder} holds {contents(folder)}; {expected}")
    return found
