"""Tests whether one method is better than another, paired by subject.

Samples of one subject are views of one face and nearly repeat each other; subjects are what was
drawn independently. All inference is therefore over subjects' means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from fg3d_builder.records import Array

# Numbers of resampled rows that are in memory at once.
_RESAMPLES_AT_ONCE = 1 << 22


class PairedComparison(NamedTuple):
    """Method A less method B, over subjects; negative differences favour A.

    Attributes
    ----------
    subjects : int
    mean_a, mean_b : float
        Means of the subjects' means.
    difference : float
        ``mean_a - mean_b``.
    low, high : float
        Percentile bootstrap interval of the difference over subjects.
    a_better, b_better : int
        Subjects; ties are neither.
    sign_p : float
        Two-sided sign test without ties.
    wilcoxon_p : float
        Two-sided signed-rank test; 1 where no subject differs.
    """

    subjects: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    a_better: int
    b_better: int
    sign_p: float
    wilcoxon_p: float


class SeedSpread(NamedTuple):
    """A figure over repetitions with different seeds.

    Attributes
    ----------
    seeds : int
    mean, low, high : float
        Mean, smallest and largest.
    sd : float
        Sample standard deviation (divided by ``seeds - 1``); NaN for a single seed.
    """

    seeds: int
    mean: float
    sd: float
    low: float
    high: float


class SeedsError(NamedTuple):
    """Standard error of a difference of means over training runs, and how well it is known.

    Attributes
    ----------
    error : float
        NaN for a single run.
    freedom : float
        Degrees of freedom of its estimate.
    """

    error: float
    freedom: float


def subject_means(errors: Array, subjects: Sequence[str] | Array) -> Array:
    """Return the (u,) mean errors of the subjects of samples (s,), sorted by subject."""
    values = np.asarray(errors, dtype=np.float64)
    names = np.asarray(subjects, dtype=str)
    if values.ndim != 1 or values.shape != names.shape or len(values) == 0:
        raise ValueError(f"{names.shape} subjects for {values.shape} errors")
    if not np.all(np.isfinite(values)):
        raise ValueError("errors must be finite; leave a failed sample out for both methods")
    _, number = np.unique(names, return_inverse=True)
    return np.asarray(np.bincount(number, values) / np.bincount(number))


def compare_paired(
    errors_a: Array,
    errors_b: Array,
    subjects: Sequence[str] | Array,
    seed: int = 0,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> PairedComparison:
    """Compare two methods on the same samples.

    Parameters
    ----------
    errors_a, errors_b : (s,) float
        The same samples in the same order.
    subjects : (s,) str
        Subject of each sample.
    seed : int
        Seeds the bootstrap; equal seeds give equal intervals.
    resamples : int
    confidence : float
        Coverage of the interval, in (0, 1).

    Raises
    ------
    ValueError
        Different counts, errors that are not finite, or fewer than two subjects.
    """
    if np.shape(errors_a) != np.shape(errors_b):
        raise ValueError(f"{np.shape(errors_a)} and {np.shape(errors_b)} errors cannot be paired")
    if not (0.0 < confidence < 1.0 and resamples >= 1):
        raise ValueError(f"{resamples} resamples at a confidence of {confidence}")
    a, b = subject_means(errors_a, subjects), subject_means(errors_b, subjects)
    if len(a) < 2:
        raise ValueError("a comparison needs two subjects, as one says nothing about others")
    difference = a - b
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(_bootstrap_means(difference, seed, resamples), [tail, 100.0 - tail])
    better, worse = int(np.sum(difference < 0)), int(np.sum(difference > 0))
    sign_p = float(stats.binomtest(better, better + worse).pvalue) if better + worse else 1.0
    wilcoxon_p = float(stats.wilcoxon(difference).pvalue) if better + worse else 1.0
    return PairedComparison(
        subjects=len(a),
        mean_a=float(a.mean()),
        mean_b=float(b.mean()),
        difference=float(difference.mean()),
        low=float(low),
        high=float(high),
        a_better=better,
        b_better=worse,
        sign_p=sign_p,
        wilcoxon_p=wilcoxon_p,
    )


def seed_spread(values: Sequence[float] | Array) -> SeedSpread:
    """Summarise one figure, such as an NME, over runs with different seeds.

    `values` are those of the runs, (r,).
    """
    known = np.asarray(values, dtype=np.float64)
    if known.ndim != 1 or len(known) == 0 or not np.all(np.isfinite(known)):
        raise ValueError("wanted one finite figure per seed")
    sd = float(known.std(ddof=1)) if len(known) > 1 else float("nan")
    return SeedSpread(len(known), float(known.mean()), sd, float(known.min()), float(known.max()))


def seeds_error(a: Array, b: Array, paired: bool = False) -> SeedsError:
    """Return the standard error of the difference of two methods' means over seeds.

    Parameters
    ----------
    a, b : (k,) float
        Mean error of each method for each seed; of a method without seeds all are equal.
    paired : bool
        The same seed means the same initial weights and order of samples for both, and luck that
        they share cancels: Student's test of the differences. Else Welch's, which keeps more
        degrees of freedom.
    """
    count = len(a)
    if count < 2:
        return SeedsError(float("nan"), float("nan"))
    rows = (np.subtract(a, b),) if paired else (a, b)
    parts = np.array([np.var(row, ddof=1) / count for row in rows])
    total = float(parts.sum())
    freedom = total**2 / float(np.sum(parts**2 / (count - 1))) if total > 0.0 else count - 1.0
    return SeedsError(float(np.sqrt(total)), freedom)


def seeds_interval(
    a: Array, b: Array, confidence: float = 0.95, paired: bool = False
) -> tuple[float, float]:
    """Return the interval of the difference of two methods' means over seeds.

    Parameters
    ----------
    a, b, paired
        See `seeds_error`.
    confidence : float

    Returns
    -------
    (float, float)
        Bounds of ``a - b``; NaN for a single seed.
    """
    difference = float(np.mean(a) - np.mean(b))
    error, freedom = seeds_error(a, b, paired)
    half = float(stats.t.ppf(0.5 + confidence / 2, freedom) * error)
    return (difference - half, difference + half)


def _bootstrap_means(values: Array, seed: int, resamples: int) -> Array:
    """Return the (resamples,) means of draws with replacement."""
    random = np.random.default_rng(seed)
    at_once = max(1, _RESAMPLES_AT_ONCE // len(values))
    means = np.empty(resamples)
    for start in range(0, resamples, at_once):
        stop = min(start + at_once, resamples)
        draw = random.integers(0, len(values), size=(stop - start, len(values)))
        means[start:stop] = values[draw].mean(axis=1)
    return means
