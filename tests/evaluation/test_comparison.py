from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fg3d_builder.evaluation import compare_paired, seed_spread, seeds_interval, subject_means

NAMES = ["ann", "bob", "cem", "dia", "eva", "fay", "gus", "hal"]


def _two_methods(
    seed: int, effect: float, subjects: int = 20, views: int = 5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Subjects differ much, methods differ by subject about an effect, views repeat."""
    rng = np.random.default_rng(seed)
    names = np.repeat([f"s{i:03d}" for i in range(subjects)], views)
    face = np.repeat(rng.uniform(1, 3, subjects), views)
    own = np.repeat(effect + 0.1 * rng.normal(size=subjects), views)
    noise = 0.02 * rng.normal(size=(2, len(names)))
    return face + own + noise[0], face + noise[1], names


@settings(max_examples=20, deadline=None)
@given(counts=st.lists(st.integers(1, 6), min_size=2, max_size=8), seed=st.integers(0, 1000))
def test_subjects_count_alike_however_many_samples_they_have(counts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = np.repeat(NAMES[: len(counts)], counts)
    errors = rng.random(len(names))
    order = rng.permutation(len(names))
    found = subject_means(errors[order], names[order])
    expected = [errors[names == name].mean() for name in NAMES[: len(counts)]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_figures_of_a_known_comparison() -> None:
    a = np.array([1.0, 3.0, 2.0, 5.0, 4.0])
    b = np.array([2.0, 4.0, 3.0, 4.0, 4.0])
    names = ["ann", "ann", "bob", "cem", "dia"]
    found = compare_paired(a, b, names, seed=1)
    # Differences by subject: -1, -1, +1, 0.
    assert found.subjects == 4
    assert (found.mean_a, found.mean_b) == (pytest.approx(13 / 4), pytest.approx(14 / 4))
    assert found.difference == pytest.approx(-0.25)
    assert (found.a_better, found.b_better) == (2, 1)
    assert found.sign_p == pytest.approx(1.0)  # 2 of 3: nothing is less extreme
    assert found.low <= found.difference <= found.high


def test_bootstrap_interval_is_that_of_scipy_within_its_noise() -> None:
    a, b, names = _two_methods(3, -0.05)
    found = compare_paired(a, b, names, seed=5, resamples=20_000)
    difference = subject_means(a, names) - subject_means(b, names)
    expected = stats.bootstrap(
        (difference,), np.mean, n_resamples=20_000, method="percentile", rng=7
    ).confidence_interval
    assert found.low == pytest.approx(expected.low, abs=0.002)
    assert found.high == pytest.approx(expected.high, abs=0.002)
    assert found.wilcoxon_p == pytest.approx(float(stats.wilcoxon(difference).pvalue))
    better = int((difference < 0).sum())
    assert found.sign_p == pytest.approx(
        2 * stats.binom.cdf(20 - max(better, 20 - better), 20, 0.5)
    )


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        a, b, names = _two_methods(seed, 0.07, subjects=30, views=3)
        found = compare_paired(a, b, names, seed=seed, resamples=500)
        covered += found.low <= 0.07 <= found.high
    # Percentile intervals of 30 subjects cover a little less than the 190 they name.
    assert 178 <= covered <= 198


def test_repeating_views_adds_no_certainty() -> None:
    a, b, names = _two_methods(4, -0.03)
    once = compare_paired(a, b, names, seed=0)
    many = compare_paired(np.tile(a, 9), np.tile(b, 9), np.tile(names, 9), seed=0)
    np.testing.assert_allclose(once, many, rtol=1e-9, atol=1e-12)


def test_swapping_methods_swaps_the_result() -> None:
    a, b, names = _two_methods(6, -0.1)
    one, two = compare_paired(a, b, names, seed=2), compare_paired(b, a, names, seed=2)
    assert one.difference == pytest.approx(-two.difference)
    assert (one.low, one.high) == (pytest.approx(-two.high), pytest.approx(-two.low))
    assert (one.a_better, one.b_better) == (two.b_better, two.a_better)
    assert one.sign_p == pytest.approx(two.sign_p)
    assert one.wilcoxon_p == pytest.approx(two.wilcoxon_p)
    assert one.high < 0
    assert one.wilcoxon_p < 0.01


def test_equal_seeds_give_equal_intervals() -> None:
    a, b, names = _two_methods(7, 0.0)
    assert compare_paired(a, b, names, seed=3) == compare_paired(a, b, names, seed=3)
    other = compare_paired(a, b, names, seed=4)
    assert other.low != compare_paired(a, b, names, seed=3).low


def test_equal_methods_do_not_differ() -> None:
    a, _, names = _two_methods(8, 0.0)
    found = compare_paired(a, a, names)
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)
    assert (found.a_better, found.b_better, found.sign_p, found.wilcoxon_p) == (0, 0, 1.0, 1.0)


def test_what_cannot_be_compared_is_refused() -> None:
    a, b, names = _two_methods(9, 0.0)
    with pytest.raises(ValueError, match="cannot be paired"):
        compare_paired(a, b[:-1], names)
    with pytest.raises(ValueError, match="subjects for"):
        compare_paired(a, b, names[:-1])
    with pytest.raises(ValueError, match="needs two subjects"):
        compare_paired(a[:5], b[:5], names[:5])
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite"):
            compare_paired(np.r_[bad, a[1:]], b, names)
    with pytest.raises(ValueError, match="confidence"):
        compare_paired(a, b, names, confidence=1.0)


def test_spread_over_seeds() -> None:
    found = seed_spread([3.0, 4.0, 8.0])
    assert (found.seeds, found.mean, found.low, found.high) == (3, 5.0, 3.0, 8.0)
    assert found.sd == pytest.approx(np.sqrt(7.0))
    single = seed_spread([2.0])
    assert np.isnan(single.sd)
    for bad in ([], [np.nan, 1.0], [[1.0]]):
        with pytest.raises(ValueError, match="per seed"):
            seed_spread(bad)


def test_interval_over_seeds() -> None:
    """Against Welch's formulas by hand: variances 1 and 4, three runs each."""
    low, high = seeds_interval(np.array([1.0, 2.0, 3.0]), np.array([5.0, 7.0, 9.0]))
    half = 3.1824463052842638 * np.sqrt(5.0 / 3.0)  # t at 97.5 % for 3 degrees of freedom
    freedom = (5.0 / 3.0) ** 2 / ((1.0 / 3.0) ** 2 / 2 + (4.0 / 3.0) ** 2 / 2)
    assert freedom == pytest.approx(2.9411764705882355)
    assert (low + high) / 2 == pytest.approx(-5.0)
    assert half < (high - low) / 2 < 1.02 * half  # a little below 3 degrees of freedom
    assert seeds_interval(np.array([1.0, 1.0]), np.array([2.0, 2.0])) == (-1.0, -1.0)
    assert np.isnan(seeds_interval(np.array([1.0]), np.array([2.0]))).all()
