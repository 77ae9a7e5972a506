"""The calibration of the quality score: AUC, thresholds, and a fit that cannot go backwards."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality_fit import (
    auc,
    fit_model,
    held_out_scores,
    labels,
    rates,
    scores,
    threshold_for,
)
from fg3d_builder.records import QualityFigures

NAMES = [field.name for field in dataclasses.fields(QualityFigures)]


def rows(count: int, seed: int) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Bad rows have larger ``pull_mm``; a good one is known by larger ``gap_mm``."""
    rng = np.random.default_rng(seed)
    bad = rng.uniform(size=count) < 0.3
    table = []
    for number, is_bad in enumerate(bad):
        figures = dict(zip(NAMES, rng.lognormal(0.0, 0.3, len(NAMES)).tolist(), strict=True))
        figures["pull_mm"] *= 4.0 if is_bad else 1.0
        figures["gap_mm"] *= 1.0 if is_bad else 4.0
        name = f"s-{number % 12:02d}-{number:03d}"
        table.append({"capture": name, "figures": figures})
    return table, bad


def test_the_fit_finds_what_tells_and_nothing_goes_backwards() -> None:
    table, bad = rows(240, 1)
    model = fit_model(table, bad)
    assert max(model.weights, key=lambda n: model.weights[n]) == "pull_mm"
    assert "gap_mm" not in model.weights  # it would have to be rewarded
    assert all(weight > 0 for weight in model.weights.values())
    fresh, fresh_bad = rows(240, 2)
    assert auc(scores(model, fresh), fresh_bad) > 0.98
    assert auc(held_out_scores(table, bad), bad) > 0.97


def test_the_fitted_score_is_a_probability() -> None:
    """Among fresh rows with a score about p, weighted to even odds, a share p is good."""
    table, bad = rows(1500, 3)
    for row, is_bad in zip(table, bad, strict=True):  # nearer to each other than above
        row["figures"]["pull_mm"] *= 0.4 if is_bad else 1.0
    fresh, fresh_bad = table[750:], bad[750:]
    score = scores(fit_model(table[:750], bad[:750]), fresh)
    weight = np.where(fresh_bad, 0.5 / fresh_bad.sum(), 0.5 / (~fresh_bad).sum())
    for low, high in ((0.0, 0.35), (0.35, 0.65), (0.65, 1.0)):
        inside = (score >= low) & (score < high)
        good = weight[inside & ~fresh_bad].sum() / weight[inside].sum()
        expected = (weight[inside] @ score[inside]) / weight[inside].sum()
        assert good == pytest.approx(expected, abs=0.12)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[int, bool]]) -> None:
    score = np.array([float(s) for s, _ in pairs])
    bad = np.array([b for _, b in pairs])
    if bad.all() or not bad.any():
        assert np.isnan(auc(score, bad))
        return
    order = [(g > b) + 0.5 * (g == b) for g in score[~bad] for b in score[bad]]
    assert auc(score, bad) == pytest.approx(np.mean(order))


def test_rates_and_threshold() -> None:
    score = np.array([0.1, 0.2, 0.9, 0.15, 0.8, 0.7, 0.6, 0.95])
    bad = np.array([True, True, True, False, False, False, False, False])
    found = rates(score, bad, 0.3)
    assert found == {
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "good_rejected": pytest.approx(1 / 5),
    }
    assert threshold_for(score, bad, 0.2) == 0.6
    assert threshold_for(score, bad, 0.0) == 0.15


def test_either_limit_makes_a_row_bad() -> None:
    table = [{"surface_mm": s, "vertex_mm": v} for s, v in ((0.5, 2), (1.5, 2), (0.5, 4))]
    assert labels(table, 1.0, 3.5).tolist() == [False, True, True]
