"""From errors by row and seed to conclusions: means, spreads, and which order holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fg3d_builder.evaluation import (
    compare_paired,
    detectable_difference,
    seed_spread,
    seeds_error,
    seeds_interval,
    subject_means,
    yaw_table,
)
from fg3d_builder.evaluation.comparison import PairedComparison, SeedSpread
from fg3d_builder.records import Array
from fg3d_builder.reproduction.tables import Claim, Column, Recipe, Row

REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided"
MISSING = "not run"
WORDS = (REPRODUCED, NOT_REPRODUCED, UNDECIDED, MISSING)

LEAST_SHARE = 0.1
"""Of the paper's difference: networks that are closer together have hardly moved from what both
began with, and their order, however sure, says nothing of the paper's."""


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
    paired : bool
        Whether that interval is of the differences of runs with the same seed.
    detectable : float
        Difference that this test sees at a power of 80 %, a share of the mean error of the worse
        row; NaN where a row is missing.
    stated : float
        Difference that the paper states, as such a share; NaN where it states none.
    """

    claim: Claim
    word: str
    why: str
    comparison: PairedComparison | None
    seeds_agree: int
    seeds: int
    over_seeds: tuple[float, float]
    paired: bool = False
    detectable: float = float("nan")
    stated: float = float("nan")


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
    paired: bool = False,
    stated: float = float("nan"),
) -> Verdict:
    """Compare two rows.

    Subjects are what was drawn from the world, seeds what was drawn in training: an order holds
    if both leave no doubt of it. Over subjects it is a bootstrap interval of the mean difference,
    errors averaged over seeds; over seeds the interval of the difference of the runs' means,
    see `seeds_error`. A single seed shows nothing about other runs, and `why` says so. Rows that
    are closer together than `LEAST_SHARE` of what the paper states are not ordered.

    Where no order is found, `why` says which difference this test sees, and whether that is
    enough for the paper's.

    Parameters
    ----------
    claim : Claim
    better, worse : mapping of seed to (s,) float
        Errors of both rows; seeds that only one of them has are left out. The 3DMM fit has the
        same errors for every seed.
    subjects : (s,) str
    yaw_deg : (s,) float
    paired : bool
        Runs of the same seed begin with the same weights, see `starts_alike`.
    stated : float
        By which share the paper's row `better` is below its row `worse`; NaN if it does not say.
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
    over_seeds = seeds_interval(low_means, high_means, paired=paired)
    by_run = [subject_means((better[s] - worse[s])[chosen], names) for s in seeds]
    spread = seeds_error(low_means, high_means, paired)
    seen = detectable_difference(np.array(by_run), spread) / found.mean_b
    if found.low <= 0.0 <= found.high:
        word, why = UNDECIDED, "the interval over subjects holds 0"
    elif over_seeds[0] <= 0.0 <= over_seeds[1]:
        word, why = UNDECIDED, "other runs could turn it"
    elif abs(found.difference) < LEAST_SHARE * stated * found.mean_b:  # never of a stated NaN
        share = abs(found.difference) / found.mean_b
        word, why = (
            UNDECIDED,
            f"they are {100 * share:.2g} % apart, less than a tenth of the paper's",
        )
    else:
        word = REPRODUCED if found.difference < 0 else NOT_REPRODUCED
        why = "the order of the paper" if found.difference < 0 else "the opposite order"
        why += ", by one run of each row" if len(seeds) == 1 else ""
    if word == UNDECIDED:
        why += f"; {power_text(seen, stated)}"
    agree = int(np.sum(low_means < high_means))
    return Verdict(claim, word, why, found, agree, len(seeds), over_seeds, paired, seen, stated)


def power_text(seen: float, stated: float) -> str:
    """Say what a test would have found.

    Parameters
    ----------
    seen : float
        Difference that it sees at a power of 80 %, a share of the worse row's error.
    stated : float
        The paper's, as such a share; NaN where there is none.
    """
    text = f"this test sees {100 * seen:.1f} % or more"
    if np.isnan(stated):
        return text
    enough = "which would do for" if seen <= stated else "which is more than"
    return f"{text}, {enough} the paper's {100 * stated:.1f} %"


def starts_alike(one: Recipe | None, other: Recipe | None) -> bool:
    """Whether runs of one seed begin with the same weights: networks of the same layers.

    The order of samples and how their colours are perturbed are functions of the seed for all.
    Parameters of networks that differ in a layer are drawn otherwise from there on.
    """
    if one is None or other is None:
        return False
    return (one.network, one.view_set) == (other.network, other.view_set)


def stated_gap(better: Row, worse: Row, column: Column) -> float:
    """Return by which share the paper's row is below another; NaN where it does not state both."""
    low, high = (row.paper.get(column.title) for row in (better, worse))
    return float("nan") if low is None or high is None else 1.0 - low / high
