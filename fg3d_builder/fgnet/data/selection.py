"""Which samples of the training split a network is trained on: for ablations over the data."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from fg3d_builder.config import require
from fg3d_builder.config.constraints import Within
from fg3d_builder.records import Array
from fg3d_builder.shards.schema import CAPTURED

_TRANSFORMED = re.compile(r"transform-(\d+)")


@dataclass(frozen=True)
class SelectionConfig:
    """Part of a training split.

    transforms: at most so many transformed shapes of each capture, the first ones; 0 keeps the
        captured shapes alone, -1 all.
    limit: at most so many samples in all, 0 for no limit. Which ones follows from hashes of
        their names: a lower limit is a part of a higher one, whatever the training's seed.
    """

    transforms: Annotated[int, Within(-1, 1000)] = -1
    limit: Annotated[int, Within(0, 1_000_000_000)] = 0

    def __post_init__(self) -> None:
        require(self)


def selected(
    config: SelectionConfig, sample_ids: Sequence[str], shape_sources: Sequence[str]
) -> Array:
    """Return the numbers (k,) int64 of a split's samples to train on, ascending.

    Raises
    ------
    ValueError
        A shape source that is neither captured nor transformed, or nothing left.
    """
    kept = np.array([_is_wanted(source, config.transforms) for source in shape_sources], dtype=bool)
    number = np.flatnonzero(kept)
    if config.limit and len(number) > config.limit:
        digest = [hashlib.sha256(sample_ids[i].encode()).digest() for i in number.tolist()]
        first = sorted(range(len(number)), key=digest.__getitem__)[: config.limit]
        number = np.sort(number[first])
    if not len(number):
        raise ValueError(f"selection {config}: no sample of {len(sample_ids)} is left")
    return number.astype(np.int64)


def _is_wanted(source: str, transforms: int) -> bool:
    if source == CAPTURED or transforms < 0:
        return True
    found = _TRANSFORMED.fullmatch(source)
    if found is None:
        raise ValueError(f"unknown shape source '{source}'")
    return int(found[1]) < transforms
