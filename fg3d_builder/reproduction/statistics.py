"""From errors by row and seed to conclusions: means, spreads, and which order holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fg3d_builder.evaluation import (
    compare_paired,
    seed_spread,
    seeds_interval,
    subject_means,
    yaw_table,
)
from fg3d_builder.evaluation.comparison import PairedComparison, SeedSpread
from fg3d_builder.records import Array
from fg3d_builder.reproduction.tables import Claim, Column

REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided"
MISSING = "not run"
WORDS = (REPRODUCED, NOT_REPRODUCED, UNDECIDED, MISSING)


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
        How many of how many pairs of runs with the same seed are in the paper's order.
    over_seeds : (float, float)
        95 % interval of the difference over runs; NaN for a single seed.
    """

    claim: Claim
    word: str
    why: str
    comparison: PairedComparison | None
    seeds_agree: int
    seeds: int
    over_seeds: tuple[float, float]


def column_mean(errors: Array, yaw_deg: Array, column: Column) -> float:
    """Mean over the samples of a column; NaN where there are none.

    `errors` (s,) are those of samples, `yaw_deg` (s,) says how far each is turned.
    """
    table = yaw_table(errors, yaw_deg)
    if column.yaw_deg is None:
        return table.all.mean
    rows = (*table.intervals, table.beyond)
    return next(row.mean for row in rows if (row.low_deg, row.high_deg) == column.yaw_deg)


def spread_over_seeds(means: Sequence[float]) -> SeedSpread | None:
    """Summarise the means of runs; None where there is none, or a mean over no samples."""
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

    Subjects are what was drawn from the world, seeds what was drawn in training: an order holds
    if both leave no doubt of it. Over subjects it is a bootstrap interval of the mean difference,
    errors averaged over seeds; over seeds Welch's interval of the difference of the runs' means.
    A single seed shows nothing about other runs, and `why` says so.

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
        lacking = "no run of both rows is finished" if not seeds else "fewer than two subjects"
        return Verdict(claim, MISSING, lacking, None, 0, len(seeds), (np.nan, np.nan))
    low = np.mean([better[seed][chosen] for seed in seeds], axis=0)
    high = np.mean([worse[seed][chosen] for seed in seeds], axis=0)
    found = compare_paired(low, high, names)
    low_means, high_means = (
        np.array([subject_means(row[seed][chosen], names).mean() for seed in seeds])
        for row in (better, worse)
    )
    over_seeds = seeds_interval(low_means, high_means)
    if found.low <= 0.0 <= found.high:
        word, why = UNDECIDED, "the interval over subjects holds 0"
    elif over_seeds[0] <= 0.0 <= over_seeds[1]:
        word, why = UNDECIDED, "other runs could turn it"
    else:
        word = REPRODUCED if found.difference < 0 else NOT_REPRODUCED
        why = "the order of the paper" if found.difference < 0 else "the opposite order"
        why += ", by one run of each row" if len(seeds) == 1 else ""
    agree = int(np.sum(low_means < high_means))
    return Verdict(claim, word, why, found, agree, len(seeds), over_seeds)
