"""How small a difference a comparison of two methods can see.

An interval that holds 0 says that a difference was not found. Whether one of the size that matters
would have been found depends on how many subjects and training runs there are, and how much they
scatter. The errors of both methods are taken to be

``difference(run r, subject s) = effect + subject_s + run_r + rest_rs``,

all parts normal. A comparison finds an effect where the intervals over subjects and over runs both
leave out 0.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, stats

from fg3d_builder.evaluation.comparison import SeedsError
from fg3d_builder.records import Array

POWER = 0.8
"""Chance at which an effect counts as one that can be seen."""

_QUANTILES = 400
"""Of the chi-squared distribution, over which the power is averaged."""


def detectable_difference(
    differences: Array, seeds: SeedsError, power: float = POWER, confidence: float = 0.95
) -> float:
    """Return the effect that both intervals together leave out 0 for at a chance of `power`.

    Parameters
    ----------
    differences : (k, u) float
        Subjects' mean errors of one method less those of the other, by training run.
    seeds : SeedsError
        Of the difference of the means over runs, as it is estimated from them. Three runs scatter
        less than their distribution more often than not: it is taken to be at the median of
        what such estimates are. For a single run the interval over subjects decides alone.
    power : float
        In (0, 1).
    confidence : float
        Of both intervals, in (0, 1).

    Returns
    -------
    float
        In the differences' unit, at least 0; as well known as the scatter of the subjects and of
        the runs, which are few.

    Raises
    ------
    ValueError
        Fewer than two subjects, or differences that are not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2 or not np.all(np.isfinite(values)):
        raise ValueError(f"{values.shape} differences; wanted finite ones of two subjects or more")
    runs, subjects = values.shape
    # What the runs share of a subject, and beside it what they do not, is the subjects' scatter.
    over_subjects = float(values.mean(axis=0).var(ddof=1)) / subjects
    bootstrap = np.sqrt(over_subjects * (subjects - 1) / subjects)  # its draws are of these alone
    least = float(stats.norm.ppf(0.5 + confidence / 2)) * bootstrap
    if runs < 2:
        spread, bounds = np.sqrt(over_subjects), np.array([least])
    else:
        error = seeds.error / scatter_of_estimates(0.5, seeds.freedom)
        spread = np.sqrt(max(over_subjects + error**2 - _rest(values), over_subjects))
        part = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
        estimated = error * scatter_of_estimates(part, seeds.freedom)
        bounds = np.maximum(least, stats.t.ppf(0.5 + confidence / 2, seeds.freedom) * estimated)
    if spread == 0.0:
        return float(bounds.max())

    def lacking(effect: float) -> float:
        return float(stats.norm.cdf((effect - bounds) / spread).mean()) - power

    return float(optimize.brentq(lacking, 0.0, float(bounds.max()) + 10.0 * spread))


def scatter_of_estimates(part: Array | float, freedom: float) -> Array:
    """Quantiles of a standard error's estimates, in units of what they estimate.

    Parameters
    ----------
    part : float or array of float
        In (0, 1).
    freedom : float
        Degrees of freedom of the estimate.
    """
    return np.asarray(np.sqrt(stats.chi2.ppf(part, freedom) / freedom))


def _rest(values: Array) -> float:
    """Variance of the mean by what belongs neither to a run nor to a subject: counted twice."""
    runs, subjects = values.shape
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    return float(np.sum(rest**2)) / ((runs - 1) * (subjects - 1)) / (runs * subjects)
