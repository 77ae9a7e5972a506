"""How far a build is, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from fg3d_builder.files.sealed import DamagedFileError, read_sealed_json
from fg3d_builder.layout import STAGES, BuildLayout
from fg3d_builder.tasks.chunks import Chunk

_VERBS = {
    "captures": "loaded",
    "landmarks": "landmarks",
    "fitting": "fitted",
    "registration": "registered",
}

_SAMPLED = 16
"""Chunks whose times the estimate is made from."""


def progress_line(layout: BuildLayout, chunks: Sequence[Chunk], workers: int) -> str:
    """Say how many captures each stage has behind it, and how long the rest will take.

    The estimate is the mean time of a capture in each stage so far, times the captures that
    the stage still has before it, over the number of workers.
    """
    total = sum(len(chunk.entries) for chunk in chunks)
    parts, remaining, known = [], 0.0, True
    for stage in STAGES:
        folder = layout.stage_folder(stage)
        # One listing instead of a look at every file: builds may have ten thousands of chunks.
        present = {path.name for path in folder.glob("*.h5")} if folder.is_dir() else set()
        done = [chunk for chunk in chunks if layout.product(stage, chunk.name).name in present]
        captures = sum(len(chunk.entries) for chunk in done)
        seconds = [
            s for c in done[-_SAMPLED:] for s in read_seconds(layout, stage, c.name).values()
        ]
        parts.append(f"{_VERBS[stage]} {captures}/{total}")
        if seconds:
            remaining += (total - captures) * sum(seconds) / len(seconds)
        known = known and bool(seconds)
    line = ", ".join(parts)
    return f"{line}, about {_duration(remaining / max(workers, 1))} left" if known else line


def read_seconds(layout: BuildLayout, stage: str, chunk: str) -> dict[str, float]:
    """Return the seconds that each capture of a chunk took; empty where nothing is recorded."""
    try:
        table = read_sealed_json(layout.seconds(stage, chunk))
    except (OSError, DamagedFileError):
        return {}
    return {str(name): float(value) for name, value in table.items()}


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
