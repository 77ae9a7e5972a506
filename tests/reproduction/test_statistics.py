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
    spread_over_seeds,
)
from fg3d_builder.reproduction.tables import YAW, Claim, Column

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
