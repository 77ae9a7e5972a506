"""The calibration of the quality: errors, AUC, thresholds, and priors where there are no data."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality_fit import (
    MM_PER_UNIT,
    auc,
    fit_model,
    folds_of,
    held_out_scores,
    labels,
    rates,
    scores,
    threshold_for,
)
from fg3d_builder.records import QualityFigures

NAMES = [field.name for field in dataclasses.fields(QualityFigures)]


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Rows whose vertex error is 0.8 mm and, independently, 2 mm for each mm of pull."""
    rng = np.random.default_rng(seed)
    table = []
    for number in range(count):
        figures = dict.fromkeys(NAMES, 0.0)
        figures["pull_mm"] = float(rng.lognormal(-0.5, 1.2))
        figures["gap_mm"] = float(rng.lognormal(1.0, 1.0))
        vertex = float(np.hypot(0.8, 2.0 * figures["pull_mm"]) * rng.lognormal(0.0, 0.1))
        table.append(
            {
                "capture": f"s-{number % 12:02d}-{number:03d}",
                "set": "synthetic",
                "figures": figures,
                "vertex_mm": vertex,
                "surface_mm": 0.25 * vertex,
            }
        )
    return table


def test_the_fit_predicts_errors_that_it_has_not_seen() -> None:
    table, fresh = rows(240, 1), rows(240, 2)
    model = fit_model(table, labels(table))
    judged = [model.judge(QualityFigures(**row["figures"])) for row in fresh]
    ratio = np.array([j.vertex_mm / r["vertex_mm"] for j, r in zip(judged, fresh, strict=True)])
    assert np.median(ratio) == pytest.approx(1.0, abs=0.15)
    assert np.quantile(np.abs(np.log(ratio)), 0.9) < 0.5
    bad = labels(fresh)
    assert auc(scores(model, fresh), bad) > 0.97
    folds = folds_of(fresh, lambda row: row["capture"].rsplit("-", 1)[0], 4)
    assert auc(held_out_scores(fresh, bad, folds), bad) > 0.97
    assert "gap_mm" not in model.ordinary


def test_what_the_rows_say_nothing_of_keeps_its_prior_weight() -> None:
    """No row has a wrong size: a face of 1.3 times the size is still known to be bad."""
    table = rows(240, 1)
    model = fit_model(table, labels(table))
    assert model.vertex.weights["size"] == pytest.approx(MM_PER_UNIT["size"], rel=0.05)
    large = QualityFigures(**(dict.fromkeys(NAMES, 0.0) | {"size": float(np.log(1.3))}))
    assert model.judge(large).quality < 0.2


def test_errors_that_are_not_known_take_no_part() -> None:
    """Real rows, without any error, say what is ordinary and nothing else."""
    table = rows(240, 1)
    real = [
        {"capture": "r", "set": "real", "figures": dict.fromkeys(NAMES, 0.0) | {"odd_hue": 0.2}}
        for _ in range(10)
    ]
    model = fit_model(table + real, labels(table + real))
    assert not labels(real).any()
    assert model.ordinary["odd_hue"] == pytest.approx(0.2)
    assert model.vertex.weights["odd_hue"] == pytest.approx(MM_PER_UNIT["odd_hue"], rel=0.05)


def test_the_fitted_quality_is_a_probability() -> None:
    """Among fresh rows with a quality about p, weighted to even odds, a share p is good."""
    table = rows(1500, 3)
    rng = np.random.default_rng(4)
    for row in table:  # so that the figures do not tell all
        row["vertex_mm"] *= rng.lognormal(0.0, 0.5)
    bad = labels(table)
    fresh, fresh_bad = table[750:], bad[750:]
    score = scores(fit_model(table[:750], bad[:750]), fresh)
    weight = np.where(fresh_bad, 0.5 / fresh_bad.sum(), 0.5 / (~fresh_bad).sum())
    for low, high in ((0.0, 0.35), (0.35, 0.65), (0.65, 1.0)):
        inside = (score >= low) & (score < high)
        good = weight[inside & ~fresh_bad].sum() / weight[inside].sum()
        expected = (weight[inside] @ score[inside]) / weight[inside].sum()
        assert good == pytest.approx(expected, abs=0.15)


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
