from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.reproduction.statistics import (
    MISSING,
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    column_mean,
    in_column,
    judge,
    power_text,
    spread_over_seeds,
    starts_alike,
    stated_gap,
)
from fg3d_builder.reproduction.tables import NME, YAW, Claim, Column, Recipe, Row

SUBJECTS = np.array(["a", "a", "b", "b", "c", "c"])
FLAT = np.zeros(6)
CLAIM = Claim("one", "other")


def test_column_means_follow_the_papers_intervals() -> None:
    yaw = np.array([0.0, -15.0, 15.1, 30.0, 44.0, -50.0])
    errors = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert [column_mean(errors, yaw, c) for c in YAW] == [1.5, 3.5, 5.0, 6.0, 3.5]
    assert in_column(yaw, YAW[0]).tolist() == [True, True, False, False, False, False]
    assert in_column(yaw, YAW[3]).tolist() == [False] * 5 + [True]
    assert np.isnan(column_mean(errors[:1], yaw[:1], YAW[1]))


def test_spread_over_seeds() -> None:
    spread = spread_over_seeds([0.01, 0.02, 0.06])
    assert spread is not None
    assert spread.mean == pytest.approx(0.03)
    assert spread.sd == pytest.approx(np.sqrt((0.02**2 + 0.01**2 + 0.03**2) / 2))
    assert spread_over_seeds([]) is None
    assert spread_over_seeds([0.1, np.nan]) is None


def test_a_clear_order_is_reproduced_or_not() -> None:
    low, high = np.array([1.0, 1.2, 1.1, 1.3, 1.0, 1.0]), np.array([1.4, 1.6, 1.6, 1.7, 1.3, 1.5])
    found = judge(CLAIM, {0: low, 1: low}, {0: high, 1: high}, SUBJECTS, FLAT)
    assert (found.word, found.seeds_agree, found.seeds) == (REPRODUCED, 2, 2)
    assert found.comparison is not None
    # Subjects' means differ by 0.4, 0.45 and 0.4.
    assert found.comparison.difference == pytest.approx(-(0.4 + 0.45 + 0.4) / 3)
    assert (found.comparison.a_better, found.comparison.subjects) == (3, 3)
    opposite = judge(CLAIM, {0: high}, {0: low}, SUBJECTS, FLAT)
    assert (opposite.word, opposite.seeds_agree) == (NOT_REPRODUCED, 0)


def test_an_interval_around_zero_is_undecided() -> None:
    low, high = np.array([1.0, 1.0, 2.0, 2.0, 1.0, 1.0]), np.array([1.2, 1.2, 1.5, 1.5, 1.2, 1.2])
    assert judge(CLAIM, {0: low}, {0: high}, SUBJECTS, FLAT).word == UNDECIDED


def test_runs_that_contradict_each_other_are_undecided() -> None:
    better = {0: np.full(6, 1.0), 1: np.full(6, 2.1)}
    worse = {0: np.full(6, 3.0), 1: np.full(6, 2.0)}
    found = judge(CLAIM, better, worse, SUBJECTS, FLAT)
    assert found.comparison is not None
    assert found.comparison.high < 0  # on average the order is clear
    assert (found.word, found.seeds_agree) == (UNDECIDED, 1)


def test_a_single_run_is_named() -> None:
    found = judge(CLAIM, {0: np.full(6, 1.0)}, {0: np.full(6, 2.0)}, SUBJECTS, FLAT)
    assert found.word == REPRODUCED
    assert found.why.endswith("by one run of each row")


def test_rows_that_have_hardly_moved_apart_are_not_ordered() -> None:
    worse = np.full(6, 2.0)
    rows = [
        ({s: worse - gap for s in range(3)}, {s: worse for s in range(3)}) for gap in (9e-3, 0.011)
    ]
    words = [judge(CLAIM, *row, SUBJECTS, FLAT, stated=0.05).word for row in rows]
    assert words == [UNDECIDED, REPRODUCED]
    assert judge(CLAIM, *rows[0], SUBJECTS, FLAT).word == REPRODUCED  # the paper does not say


def test_seeds_of_one_row_alone_are_left_out() -> None:
    better = {0: np.full(6, 1.0), 1: np.full(6, 9.0)}
    found = judge(CLAIM, better, {0: np.full(6, 2.0)}, SUBJECTS, FLAT)
    assert (found.word, found.seeds) == (REPRODUCED, 1)
    missing = judge(CLAIM, better, {}, SUBJECTS, FLAT)
    assert (missing.word, missing.comparison) == (MISSING, None)


def test_a_claim_about_some_yaw_angles_looks_at_these_alone() -> None:
    yaw = np.array([0.0, 40.0] * 3)
    better, worse = np.array([5.0, 1.0] * 3), np.array([1.0, 2.0] * 3)
    claim = Claim("one", "other", Column("[30, 45]", "NME", (30.0, 45.0)))
    found = judge(claim, {0: better}, {0: worse}, SUBJECTS, yaw)
    assert found.word == REPRODUCED
    assert found.comparison is not None
    assert found.comparison.difference == pytest.approx(-1.0)


def _rows(
    rng: np.random.Generator, seeds: int, subjects: int, lower_by: float
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Two rows of mean error 2: runs of a seed share luck, subjects differ, and both of both."""
    face = 2.0 + 0.4 * rng.standard_normal(subjects)
    liking = 0.06 * rng.standard_normal(subjects)
    luck = 0.2 * rng.standard_normal((seeds, 1))
    own = 0.02 * rng.standard_normal((2, seeds, 1))
    noise = 0.02 * rng.standard_normal((2, seeds, subjects))
    worse = face + luck + own[0] + noise[0]
    better = face + luck + own[1] + noise[1] + liking - 2.0 * lower_by
    return dict(enumerate(better)), dict(enumerate(worse))


def _names(subjects: int) -> np.ndarray:
    return np.array([f"s{i:03d}" for i in range(subjects)])


@pytest.mark.parametrize("seeds", [3, 6])
def test_the_effect_that_a_verdict_promises_is_reproduced_in_four_of_five(seeds: int) -> None:
    """Whole verdicts of simulated experiments: the effect is the median of those promised."""
    rng = np.random.default_rng(21)
    names, flat = _names(24), np.zeros(24)

    def verdict(lower_by: float) -> tuple[str, float]:
        found = judge(CLAIM, *_rows(rng, seeds, 24, lower_by), names, flat, paired=True)
        return found.word, found.detectable

    effect = float(np.median([verdict(0.0)[1] for _ in range(60)]))
    words = [verdict(effect)[0] for _ in range(300)]
    assert NOT_REPRODUCED not in words
    assert words.count(REPRODUCED) / 300 == pytest.approx(0.8, abs=0.08)
    none = [verdict(0.0)[0] for _ in range(300)]
    assert none.count(UNDECIDED) / 300 > 0.9  # 95 %, less the bootstrap's narrowness


def test_pairs_see_what_unpaired_runs_cannot() -> None:
    better, worse = _rows(np.random.default_rng(22), 3, 24, 0.05)
    paired = judge(CLAIM, better, worse, _names(24), np.zeros(24), paired=True)
    apart = judge(CLAIM, better, worse, _names(24), np.zeros(24), paired=False)
    assert (paired.word, apart.word) == (REPRODUCED, UNDECIDED)
    assert paired.paired
    assert paired.detectable < 0.5 * apart.detectable


def test_an_undecided_order_says_what_could_have_been_seen() -> None:
    better, worse = _rows(np.random.default_rng(23), 3, 24, 0.0)
    found = judge(CLAIM, better, worse, _names(24), np.zeros(24), paired=True, stated=0.005)
    assert found.word == UNDECIDED
    wanted = f"this test sees {100 * found.detectable:.1f} % or more, which is more than"
    assert found.why.endswith(f"{wanted} the paper's 0.5 %")
    assert found.detectable > 0.005


def test_what_a_test_sees_beside_what_the_paper_states() -> None:
    assert power_text(0.046, 0.021) == (
        "this test sees 4.6 % or more, which is more than the paper's 2.1 %"
    )
    assert power_text(0.01, 0.021) == (
        "this test sees 1.0 % or more, which would do for the paper's 2.1 %"
    )
    assert power_text(0.046, float("nan")) == "this test sees 4.6 % or more"


def test_the_papers_differences_are_shares_of_the_worse_row() -> None:
    rows = [Row("one", None, {NME: 2.66}), Row("other", None, {NME: 2.80}), Row("third", None)]
    column = Column(NME, NME)
    assert stated_gap(rows[0], rows[1], column) == pytest.approx(0.05)
    assert np.isnan(stated_gap(rows[0], rows[2], column))


def test_networks_of_the_same_layers_start_alike() -> None:
    plain = Recipe()
    assert starts_alike(plain, Recipe(mse=0.0, vgd=1.0, shapes=3))
    assert starts_alike(plain, Recipe(fusion="direct"))
    assert not starts_alike(plain, Recipe(network="mvn"))
    assert not starts_alike(plain, Recipe(view_set="7"))
    assert not starts_alike(plain, None)
