"""What a dataset has cost to make, stage by stage: the manifest's ``costs``.

Times and memory differ from build to build and say nothing of the content: they are no part of
what identifies a dataset.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

COSTS = "costs"
"""Name of the manifest's member; manifests of earlier versions have none."""

COSTED = (
    *("facemodel", "captures", "landmarks", "fitting", "registration", "views", "donors"),
    *("transform", "shards", "manifest", "sheets", "counts", "examples"),
)
"""Kinds of work that costs are stated of, in the order of a build."""

_ROUNDING_S = 0.002


@dataclass(frozen=True)
class Cost:
    """What one task has cost.

    Attributes
    ----------
    processor_s : float
        Seconds of processor, user's and system's, of its process and of those that it started.
    wall_s : float
        Seconds by the clock.
    peak_mb : float, optional
        Most memory that its process had at once, in 10^6 bytes: resident pages, also those that
        it shares with the process that it was forked from. None where the system does not say.
    """

    processor_s: float
    wall_s: float
    peak_mb: float | None

    def plus(self, other: Cost) -> Cost:
        """Return the cost of both, one done after the other."""
        peaks = [cost.peak_mb for cost in (self, other) if cost.peak_mb is not None]
        return Cost(
            self.processor_s + other.processor_s,
            self.wall_s + other.wall_s,
            max(peaks, default=None),
        )


@dataclass(frozen=True)
class CostRow:
    """What all tasks of one kind have cost together; a row of the manifest.

    Attributes
    ----------
    stage : str
        One of `COSTED`.
    captures : int
        Captures that it was done for; for "transform" those that get new shapes, for "examples"
        those that are drawn.
    unknown : int
        How many of them were done by tasks that left no costs, as those of earlier versions: the
        sums leave them out.
    processor_s, wall_s : float
        Sums over the tasks; tasks run side by side.
    peak_mb : float, optional
        The largest of any task; None where none is known.
    processor_s_per_sample : float, optional
        Seconds of processor for each sample of the dataset; what is not known is taken to cost as
        much for each capture as what is. None where nothing is known.
    """

    stage: str
    captures: int
    unknown: int
    processor_s: float
    wall_s: float
    peak_mb: float | None
    processor_s_per_sample: float | None


def cost_table(spent: Iterable[tuple[str, int, Cost | None]], samples: int) -> list[dict[str, Any]]:
    """Sum up the costs of tasks in the manifest's rows.

    Parameters
    ----------
    spent : iterable of (stage, captures, cost)
        Of each task; the cost is None where it is not known.
    samples : int
        Samples of the dataset.
    """
    found: dict[str, list[tuple[int, Cost | None]]] = {}
    for stage, captures, cost in spent:
        found.setdefault(stage, []).append((captures, cost))
    return [asdict(_summed(stage, found[stage], samples)) for stage in COSTED if stage in found]


def _summed(stage: str, tasks: Sequence[tuple[int, Cost | None]], samples: int) -> CostRow:
    known = [cost for _, cost in tasks if cost is not None]
    captures = sum(number for number, _ in tasks)
    unknown = sum(number for number, cost in tasks if cost is None)
    processor_s = round(sum(cost.processor_s for cost in known), 3)
    return CostRow(
        stage,
        captures,
        unknown,
        processor_s,
        round(sum(cost.wall_s for cost in known), 3),
        max((round(c.peak_mb, 1) for c in known if c.peak_mb is not None), default=None),
        _per_sample(processor_s, captures, unknown, samples),
    )


def _per_sample(processor_s: float, captures: int, unknown: int, samples: int) -> float | None:
    if samples == 0 or unknown == captures:
        return None
    return round(processor_s * captures / (captures - unknown) / samples, 6)


def wrong_costs(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Say what cannot be true of a manifest's costs; nothing where it has none.

    Raises
    ------
    TypeError, KeyError
        A row is no row of costs.
    """
    rows = [CostRow(**row) for row in manifest.get(COSTS, ())]
    names = [row.stage for row in rows]
    if names != [stage for stage in COSTED if stage in names]:
        yield "costs are not those of the stages, one each, in their order"
    samples = sum(split["samples"] for split in manifest["splits"].values())
    for row in rows:
        values = [getattr(row, field.name) for field in fields(row)[1:]]
        if not all(value is None or (math.isfinite(value) and value >= 0) for value in values):
            yield f"costs of {row.stage} hold a value that is no cost"
        elif row.unknown > row.captures:
            yield f"costs of {row.stage}: {row.unknown} of {row.captures} captures are unknown"
        elif not _same(row, _per_sample(row.processor_s, row.captures, row.unknown, samples)):
            yield f"costs of {row.stage}: seconds a sample are not those of its sums"


def _same(row: CostRow, wanted: float | None) -> bool:
    found = row.processor_s_per_sample
    if found is None or wanted is None:
        return found is wanted
    return math.isclose(found, wanted, rel_tol=1e-6, abs_tol=_ROUNDING_S * 1e-3)
