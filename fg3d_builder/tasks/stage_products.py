"""Which products of a stage are there, which captures failed at it, what was broken off.

Seen from a listing of the stage's folder and the first block of each product. Nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from fg3d_builder.files.products import SUFFIX, is_complete
from fg3d_builder.files.sealed import DAMAGED_SUFFIX
from fg3d_builder.layout import CHUNK_STAGES, BuildLayout
from fg3d_builder.pipeline.augmentation import capture_of
from fg3d_builder.pipeline.dataset import DonorDraws
from fg3d_builder.records import Failure
from fg3d_builder.tasks.base import if_there
from fg3d_builder.tasks.chunk_tasks import DROPPED_SUFFIX
from fg3d_builder.tasks.chunks import Index
from fg3d_builder.tasks.facts import read_facts
from fg3d_builder.tasks.isolation import SUFFIX as JOURNAL_SUFFIX
from fg3d_builder.tasks.isolation import suspects_in
from fg3d_builder.tasks.time_left import Work


class ChunkProduct(NamedTuple):
    """What a stage is to make of one chunk.

    Attributes
    ----------
    path : Path
        Of the product.
    captures : frozenset of str
        Ids of the captures that it is about.
    """

    path: Path
    captures: frozenset[str]


@dataclass
class StageProducts:
    """What there is of a stage.

    Attributes
    ----------
    work : Work
        Captures of the chunks that are done, and of all.
    dropped : int
        Captures of those done chunks whose products a lean build has dropped.
    failures : list of Failure
        By capture id; their pictures are absolute paths.
    working : list of str
        Captures that a process is or was at work on.
    damaged : list of Path
        Products cut short, and files that a build has set aside.
    """

    work: Work
    dropped: int = 0
    failures: list[Failure] = field(default_factory=list)
    working: list[str] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)


def expected_products(
    layout: BuildLayout, index: Index, drawn: DonorDraws | None
) -> dict[str, list[ChunkProduct]]:
    """List what a build makes of its chunks, by stage.

    New shapes are listed once it is known who gives parts to whom (`drawn`).
    """
    captures = [(chunk.name + SUFFIX, frozenset(chunk.capture_ids)) for chunk in index.chunks]
    found = {}
    for stage in CHUNK_STAGES:
        folder = layout.stage_folder(stage)
        found[stage] = [ChunkProduct(folder / name, ids) for name, ids in captures]
    if drawn is not None:
        found["transform"] = []
        for chunk in index.chunks:
            draws, identity = drawn.of_captures(chunk.capture_ids, index.capture_keys)
            path = layout.transformed(chunk.name, identity)
            found["transform"].append(ChunkProduct(path, frozenset(draws)))
    return found


def stage_products(folder: Path, expected: Iterable[ChunkProduct]) -> StageProducts:
    """Look at the folder of a stage.

    Parameters
    ----------
    folder : Path
    expected : iterable of ChunkProduct
        What is to be there.
    """
    names, failed = _names(folder), _failed(folder)
    found = StageProducts(Work(0, 0))
    done = total = 0
    for path, captures in expected:
        total += len(captures)
        stem = path.name.removesuffix(SUFFIX)
        dropped = stem + DROPPED_SUFFIX in names
        whole = path.name in names and is_complete(path)
        if path.name in names and not whole:
            # A lean build that runs may have dropped it since the folder was listed.
            dropped = dropped or path.with_suffix(DROPPED_SUFFIX).is_file()
            if path.is_file():
                found.damaged.append(path)
        if stem + JOURNAL_SUFFIX in names:
            found.working += suspects_in(path.with_suffix(JOURNAL_SUFFIX))
        if not (whole or dropped) or f"{stem}.json" not in names:
            continue
        done += len(captures)
        found.dropped += 0 if whole else len(captures)
        if captures & failed:
            found.failures += _failures(path.with_suffix(".json"), folder)
    found.work = Work(done, total)
    found.damaged += [folder / name for name in sorted(names) if name.endswith(DAMAGED_SUFFIX)]
    found.failures.sort(key=lambda failure: failure.capture_id)
    return found


def _failures(facts: Path, folder: Path) -> list[Failure]:
    known = if_there(lambda: read_facts(facts))
    failures = () if known is None else known.failures
    return [replace(one, picture=str(folder / one.picture)) for one in failures]


def _failed(folder: Path) -> frozenset[str]:
    """Return the captures of which there is a picture of a failure, still true or not."""
    pictures = _names(folder / "failures")
    return frozenset(capture_of(name.removesuffix(".png")) for name in pictures)


def _names(folder: Path) -> frozenset[str]:
    return frozenset(os.listdir(folder)) if folder.is_dir() else frozenset()
