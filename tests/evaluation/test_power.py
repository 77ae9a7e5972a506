"""Intervals and detectable effects against simulated experiments whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fg3d_builder.evaluation import (
    compare_paired,
    detectable_difference,
    seeds_error,
    seeds_interval,
)
from fg3d_builder.evaluation.comparison import SeedsError
from fg3d_builder.evaluation.power import scatter_of_estimates

REPEATS = 1500


def drawn(
    rng: np.random.Generator,
    runs: int,
    subjects: int,
    effect: float = 0.0,
    by_subject: float = 1.0,
    by_run: float = 0.3,
    rest: float = 0.5,
) -> np.ndarray:
    """Differences (runs, subjects) about an effect."""
    return (
        effect
        + by_subject * rng.standard_normal(subjects)
        + by_run * rng.standard_normal((runs, 1))
        + rest * rng.standard_normal((runs, subjects))
    )


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("runs", [3, 6])
def test_intervals_over_seeds_hold_the_truth_as_often_as_they_say(paired: bool, runs: int) -> None:
    """95 % of 1,500: 93.3 to 96.7 with three standard errors. Welch's is a little wider."""
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(REPEATS):
        luck = 2.0 * rng.standard_normal(runs) if paired else np.zeros(runs)
        a = 5.0 + luck + 0.3 * rng.standard_normal(runs)
        b = 6.0 + luck + 0.4 * rng.standard_normal(runs)
        low, high = seeds_interval(a, b, paired=paired)
        held += low <= -1.0 <= high
    assert 0.933 < held / REPEATS < (0.967 if paired else 0.98)


def test_pairs_cancel_the_luck_that_runs_of_a_seed_share() -> None:
    a = np.array([1.0, 2.0, 3.0])
    b = a + np.array([0.9, 1.0, 1.1])
    low, high = seeds_interval(a, b, paired=True)
    half = stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    assert (low, high) == pytest.approx((-1.0 - half, -1.0 + half))
    assert seeds_interval(a, b)[1] > 0.0  # Welch's: the runs scatter by more than that
    assert np.isnan(seeds_error(a[:1], b[:1], paired=True)).all()


def test_the_interval_over_subjects_holds_the_truth_nearly_as_often_as_it_says() -> None:
    """The percentile bootstrap of 21 subjects is known to be a little narrow: 93 %."""
    rng = np.random.default_rng(12)
    names = [f"s{i:02d}" for i in range(21)]
    held = 0
    for _ in range(400):
        difference = rng.standard_normal(21)
        found = compare_paired(difference, np.zeros(21), names, resamples=800)
        held += found.low <= 0.0 <= found.high
    assert 0.89 < held / 400 < 0.97


@pytest.mark.parametrize(
    ("runs", "by_run", "rest"),
    [(1, 0.0, 0.0), (3, 0.05, 0.5), (3, 0.3, 0.5), (6, 0.3, 0.5), (3, 1.0, 0.2)],
)
def test_the_detectable_effect_is_found_in_four_of_five_experiments(
    runs: int, by_run: float, rest: float
) -> None:
    """Both intervals, as `reproduction.statistics.judge` draws them, of the effect promised.

    The scatter is known here. Where subjects decide, where runs do, and where both.
    """
    rng = np.random.default_rng(13)
    subjects = 21
    effect = detectable_difference(*with_scatter(runs, subjects, by_run, rest))
    found = 0
    for _ in range(REPEATS):
        values = drawn(rng, runs, subjects, effect, 1.0, by_run, rest)
        means = values.mean(axis=0)
        bootstrap = 1.959964 * means.std() / np.sqrt(subjects)
        seen = means.mean() > bootstrap
        if runs > 1:
            low, _ = seeds_interval(values.mean(axis=1), np.zeros(runs), paired=True)
            seen &= low > 0.0
        found += seen
    assert found / REPEATS == pytest.approx(0.8, abs=0.035)


def with_scatter(
    runs: int, subjects: int, by_run: float, rest: float
) -> tuple[np.ndarray, SeedsError]:
    """Differences whose sample variances are exactly the wanted ones, and the median estimate of
    the runs' error.
    """
    rng = np.random.default_rng(14)
    noise = rng.standard_normal((runs, subjects))
    noise -= noise.mean(axis=0)
    noise -= noise.mean(axis=1, keepdims=True)
    if runs > 1:
        noise *= rest / np.sqrt((noise**2).sum() / ((runs - 1) * (subjects - 1)))

    def standard(count: int, sd: float) -> np.ndarray:
        values = rng.standard_normal(count)
        return sd * (values - values.mean()) / values.std(ddof=1) if count > 1 else np.zeros(1)

    # Means over runs scatter by their own part and a share of the rest; means over subjects, too.
    of_subject = standard(subjects, np.sqrt(1.0 + rest**2 / runs))
    of_run = standard(runs, np.sqrt(by_run**2 + rest**2 / subjects))
    values = noise + of_subject + of_run[:, None]
    error, freedom = seeds_error(values.mean(axis=1), np.zeros(runs), paired=True)
    # An estimate at its median, of what is the true error here.
    median = scatter_of_estimates(0.5, freedom) if runs > 1 else 1.0
    return values, SeedsError(float(error * median), freedom)


def test_the_effect_is_estimated_from_few_runs_to_within_a_half() -> None:
    rng = np.random.default_rng(15)
    truth = detectable_difference(*with_scatter(6, 21, 0.2, 0.5))
    estimates = []
    for _ in range(300):
        values = drawn(rng, 6, 21, 0.4, 1.0, 0.2, 0.5)
        error = seeds_error(values.mean(axis=1), np.zeros(6), paired=True)
        estimates.append(detectable_difference(values, error))
    assert np.median(estimates) == pytest.approx(truth, rel=0.1)
    low, high = np.quantile(estimates, [0.1, 0.9])
    assert truth / 1.5 < low < truth < high < truth * 1.5


def test_one_run_by_hand() -> None:
    """(1.96 sqrt((u - 1) / u) + 0.84) standard errors."""
    values = np.array([[1.0, 2.0, 3.0, 6.0]])
    error = values.std(ddof=1) / 2.0
    found = detectable_difference(values, seeds_error(np.zeros(1), np.zeros(1)))
    wanted = (1.959964 * np.sqrt(0.75) + 0.841621) * error
    assert found == pytest.approx(wanted, rel=1e-5)


def test_more_subjects_and_more_runs_see_less() -> None:
    effects = [
        detectable_difference(*with_scatter(runs, subjects, 0.3, 0.5))
        for runs, subjects in ((3, 20), (3, 80), (6, 80), (12, 320))
    ]
    assert effects == sorted(effects, reverse=True)


def test_without_scatter_everything_is_seen() -> None:
    values = np.full((2, 3), 0.5)
    assert detectable_difference(values, seeds_error(np.zeros(2), np.ones(2))) == 0.0


def test_what_cannot_be_compared_is_refused() -> None:
    for values in (np.ones((2, 1)), np.ones(3), np.array([[1.0, np.nan]])):
        with pytest.raises(ValueError, match="two subjects"):
            detectable_difference(values, SeedsError(0.1, 2.0))
