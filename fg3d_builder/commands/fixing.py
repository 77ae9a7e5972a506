"""Puts units and kinds of depth right: in captures' files, in a preset, or in words."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from fg3d_builder.captures import CaptureEntry
from fg3d_builder.captures.inspection import Inspected, inspect, inspect_all
from fg3d_builder.captures.opening import source_of_one
from fg3d_builder.captures.unit_fixes import Fix, find_fix
from fg3d_builder.commands.preset_edit import set_in_source
from fg3d_builder.config import LandmarkConfig, SourceConfig
from fg3d_builder.errors import ConfigError

T = TypeVar("T")

_PATIENCE_S = 5.0

_ROUNDS = 3
"""A unit, then depth along the ray, which is only seen once the unit is right, then all is well."""


def inspected_with_progress(
    config: SourceConfig,
    entries: Sequence[CaptureEntry],
    landmarks: LandmarkConfig,
    workers: int = 1,
) -> list[Inspected]:
    """Inspect captures of a source; where that takes long, a bar says how far it is."""
    found = inspect_all(config, entries, landmarks, workers)
    return list(progress(found, len(entries), "check"))


def progress(work: Iterable[T], count: int, what: str) -> Iterator[T]:
    """Show how far work is once it takes a while; rarely, where the output is no terminal."""
    from tqdm import tqdm

    pause_s = 0.1 if sys.stderr.isatty() else 10.0
    yield from tqdm(
        work, total=count, unit="capture", desc=what, delay=_PATIENCE_S, mininterval=pause_s
    )


def settled(
    source: SourceConfig,
    look: Callable[[SourceConfig], list[Inspected]],
    preset: Path | None = None,
    number: int = 0,
    told: bool = True,
) -> tuple[SourceConfig, list[Inspected]]:
    """Inspect a source, and again with every fix that its captures agree on; print each.

    Parameters
    ----------
    source : SourceConfig
    look : callable
        Inspects the captures of such a source.
    preset : Path, optional
        File that has the source, and gets the fix.
    number : int
        Of the source in it.
    told : bool
        Say what to write into a preset where there is none.

    Returns
    -------
    source : SourceConfig
        With the fixes.
    inspected : list of Inspected
        As they are with them.
    """
    inspected = look(source)
    for _ in range(_ROUNDS):
        try:
            fix = find_fix(source, inspected)
        except ConfigError as problem:
            print(f"not fixed: {problem}")
            break
        if fix is None:
            break
        print(f"fixed: {fix.says}")
        _write(fix, preset, number, told)
        source = fix.applied(source)
        inspected = look(source)
    return source, inspected


def settings_of_one(
    path: Path, config: SourceConfig, kind: str, frame: int | None, landmarks: LandmarkConfig
) -> SourceConfig:
    """Return the settings that read one capture with the unit that its face has; print changes.

    Nothing is written. What is wrong besides is left to whoever loads it.

    `kind` and `frame` choose the source and the frame where a file does not tell them.
    """
    from fg3d_builder.landmarks import open_detector

    detector = open_detector(landmarks)
    for _ in range(_ROUNDS):
        source, entry = source_of_one(path, config, kind, frame)
        inspected = inspect(source, entry, detector).inspected
        try:
            fix = find_fix(replace(config, kind=source.name), [inspected])
        except ConfigError as problem:
            print(f"not fixed: {problem}")
            break
        if fix is None:
            break
        print(f"fixed: {fix.says}; {fix.line}, for this run")
        config = fix.for_one(config, inspected.unit_mm)
    return config


def _write(fix: Fix, preset: Path | None, number: int, told: bool) -> None:
    """Write a fix where it belongs, and say where."""
    if fix.locations:
        for file in fix.rewrite():
            print(f"  {file}: depth_unit_mm = {fix.value:g}")
    elif preset is not None and set_in_source(preset, number, fix.setting, fix.value):
        print(f"  {preset}: {fix.line}")
    elif told:
        print(f"  write into the [[sources]] table of a preset: {fix.line}")
