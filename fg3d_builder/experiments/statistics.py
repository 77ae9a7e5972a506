"""From errors by row and seed to what can be said: means, spreads, and which order holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fg3d_builder.evaluation import compare_paired, seed_spread, yaw_table
from fg3d_builder.evaluation.comparison import PairedComparison, SeedSpread
from fg3d_builder.experiments.tables import Claim, Column
from fg3d_builder.records import Array

REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided"
MISSING = "not run"


class Verdict(NamedTuple):
    """Whether an order of the paper holds here.

    Attributes
    ----------
    claim : Claim
    word : str
        `REPRODUCED`, `NOT_REPRODUCED`, `UNDECIDED` or `MISSING`.
    why : str
        A sentence with the figures.
    comparison : PairedComparison, optional
        ``better - worse`` over subjects, errors averaged over seeds; None where a row is missing.
    seeds_agree, seeds : int
        How many of how many pairs of trainings with the same seed are in the paper's order.
    """

    claim: Claim
    word: str
    why: str
    comparison: PairedComparison | None
    seeds_agree: int
    seeds: int


def column_mean(errors: Array, yaw_deg: Array, column: Column) -> float:
    """Mean over the samples of a column; NaN where there are none."""
    table = yaw_table(errors, yaw_deg)
    if column.yaw_deg is None:
        return table.all.mean
    rows = (*table.intervals, table.beyond)
    return next(row.mean for row in rows if (row.low_deg, row.high_deg) == column.yaw_deg)


def spread_over_seeds(means: Sequence[float]) -> SeedSpread | None:
    """Summarise the means of trainings; None where there is none, or a mean over no samples."""
    return seed_spread(means) if len(means) and np.all(np.isfinite(means)) else None


def in_column(yaw_deg: Array, column: Column) -> Array:
    """Return which samples (s,) bool belong to a column."""
    if column.yaw_deg is None:
        return np.ones(len(yaw_deg), dtype=bool)
    # The intervals' own rule for angles on a border, sample by sample.
    marks = [column_mean(np.zeros(1), yaw_deg[i : i + 1], column) for i in range(len(yaw_deg))]
    return np.isfinite(marks)


def judge(
    claim: Claim,
    better: Mapping[int, Array],
    worse: Mapping[int, Array],
    subjects: Sequence[str] | Array,
    yaw_deg: Array,
) -> Verdict:
    """Compare two rows.

    Subjects are what was drawn from the world, seeds what was drawn in training; an order holds
    if it is clear over the former (the interval of the mean difference, errors averaged over
    seeds, leaves out 0) and no training contradicts it (every seed's means have that order).

    Parameters
    ----------
    claim : Claim
    better, worse : mapping of seed to (s,) float
        Errors of both rows; seeds that only one of them has are left out. The 3DMM fit has the
        same errors for every seed.
    subjects : (s,) str
    yaw_deg : (s,) float
    """
    chosen = in_column(yaw_deg, claim.column)
    seeds = sorted(set(better) & set(worse))
    names = np.asarray(subjects)[chosen]
    if not seeds or len(set(names.tolist())) < 2:
        lacking = "no training of both rows is finished" if not seeds else "fewer than two subjects"
        return Verdict(claim, MISSING, lacking, None, 0, len(seeds))
    low = np.mean([better[seed][chosen] for seed in seeds], axis=0)
    high = np.mean([worse[seed][chosen] for seed in seeds], axis=0)
    found = compare_paired(low, high, names)
    signs = [
        np.sign(compare_paired(better[s][chosen], worse[s][chosen], names, resamples=1).difference)
        for s in seeds
    ]
    agree = sum(sign < 0 for sign in signs)
    if found.low <= 0.0 <= found.high:
        word, why = UNDECIDED, "the interval holds 0"
    elif any(sign != np.sign(found.difference) for sign in signs):
        word, why = UNDECIDED, "the trainings contradict each other"
    else:
        word = REPRODUCED if found.difference < 0 else NOT_REPRODUCED
        why = "the order of the paper" if found.difference < 0 else "the opposite order"
    return Verdict(claim, word, why, found, agree, len(seeds))
